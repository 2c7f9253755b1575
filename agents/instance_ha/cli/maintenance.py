"""instance-ha maintenance: planned work on a compute host is no failure."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from ..cluster import Cluster
from ..engine.naming import crossed_with, host_of
from ..errors import CloudError, ClusterError, ConfigurationError, HostError
from ..model import MAINTENANCE, ClusterNode, Service
from ..nova import Nova
from .assurance import node_of
from .common import ALL_DONE, SOME_LEFT, cluster_view, connect, must_have_quorum, seconds

STILL_RUNS = "its nova-compute still runs; where it is a unit of its own: systemctl stop nova-compute (openstack-nova-compute) on it, then again"
LIMIT = 180.0                  # seconds for Pacemaker and nova-compute to follow
LOOK = 1.0


def add(commands: Any) -> None:
    text = "take a compute host out of service for planned work, without a fencing, and put it back"
    parser = commands.add_parser("maintenance", help=text, description=text)
    parser.add_argument("what", choices=("on", "off"))
    parser.add_argument("host", metavar="HOST", help="by Nova's or Pacemaker's name")
    parser.add_argument("--reason", default="planned work", help="what Nova shows of it")
    parser.add_argument("--keep-servers", action="store_true", help="go on although servers are on it; nothing protects them meanwhile")
    parser.add_argument("--timeout", type=seconds, default=LIMIT, metavar="SECONDS", help=f"how long the host may take; default: {LIMIT:g}")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 1 when the host has not followed in time; 2 when nothing was tried."""
    nova, values = connect(args)
    found = cluster_view(values)
    if found is None:
        raise ClusterError("this machine is on no running cluster: run it on a controller")
    cluster, view = found
    must_have_quorum(view)
    services = nova.services()
    host = host_of(view.named(args.host), values["domain"], services)
    service = next((s for s in services if s.binary == "nova-compute" and s.host == host), None)
    node = node_of(view, values["domain"], host, services) if host else None
    if service is None or node is None:
        raise ConfigurationError(f"{args.host!r} is not both a compute host of Nova and a node of this cluster; see: instance-ha hosts")
    other = crossed_with(view, node.name, service.host)
    if other:
        raise ConfigurationError(f"{service.host} is the host of {other}, and pcmk_host_map gives it to {node.name}, too; correct the map")
    if args.what == "on" and node.name in view.records:
        raise ConfigurationError(f"{node.name} is on record ({view.records[node.name].state}); see: instance-ha status {node.name}")
    if args.what == "on" and node.name in view.broken:
        raise ConfigurationError(f"the fencing record of {node.name} cannot be read: {view.broken[node.name]!r}; see: instance-ha doctor")
    if args.what == "on":
        return _on(args, nova, cluster, node, service)
    return _off(args, nova, cluster, node, service)


def _on(args: argparse.Namespace, nova: Nova, cluster: Cluster, node: ClusterNode, service: Service) -> int:
    servers = nova.servers_on(service.host)
    if servers and not args.keep_servers:
        names = ", ".join(server.name for server in servers[:3])
        raise ConfigurationError(f"{len(servers)} servers are on {service.host} ({names}{', ...' if len(servers) > 3 else ''}): "
                                 "move them first (openstack server migrate --live-migration), or give --keep-servers")
    if service.enabled:
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        who = os.environ.get("USER", "root")
        nova.disable(service, f"{MAINTENANCE} {args.reason} (since {since} by {who})")
    print(f"{service.host}: disabled in Nova")
    try:
        return _take_out(args, nova, cluster, node, service)
    except (CloudError, ClusterError, HostError) as error:    # something is done: no error of "nothing was tried"
        print(f"instance-ha: {service.host} stays disabled in Nova, and its node in service: {error}; then again", file=sys.stderr)
        return SOME_LEFT


def _take_out(args: argparse.Namespace, nova: Nova, cluster: Cluster, node: ClusterNode, service: Service) -> int:
    late = [] if args.keep_servers else nova.servers_on(service.host)
    if late:
        words = f"{late[0].name} came to {service.host} meanwhile ({len(late)} servers in all): move what is there, then again"
        print(f"instance-ha: {words}", file=sys.stderr)
        return SOME_LEFT
    if node.remote:
        cluster.remote_connection(node.name, False)
    else:
        cluster.standby(node.name, True)

    def still() -> str:
        if node.remote and cluster.view().nodes[node.name].online:
            return "see crm_mon"
        return _runs(nova, service)

    left = _wait(still, args.timeout)
    if left:
        print(f"instance-ha: {service.host} has not followed within {args.timeout:g} s: {left}", file=sys.stderr)
        return SOME_LEFT
    last = "" if node.remote else "; stop Pacemaker on it (pcs cluster stop, or systemctl stop pacemaker corosync) before you switch it off"
    print(f"{node.name}: out of service; Pacemaker does not fence it for being off{last}")
    return ALL_DONE


def _off(args: argparse.Namespace, nova: Nova, cluster: Cluster, node: ClusterNode, service: Service) -> int:
    if node.remote:
        cluster.remote_connection(node.name, True)
    else:
        cluster.standby(node.name, False)
    left = _wait(lambda: "" if _is_up(nova, service) else "see crm_mon", args.timeout)
    if left:
        print(f"instance-ha: nova-compute on {service.host} is not up within {args.timeout:g} s: {left}; then again: "
              f"instance-ha maintenance off {args.host}", file=sys.stderr)
        return SOME_LEFT
    if not service.enabled and service.reason.startswith(MAINTENANCE):
        nova.enable(service)
        print(f"{service.host}: back in service")
    else:
        print(f"{service.host}: back; in Nova it is {'enabled' if service.enabled else 'disabled: ' + (service.reason or 'no reason given')}")
    return ALL_DONE


def _runs(nova: Nova, service: Service) -> str:
    """Why its nova-compute may run still, "" when it does not. What Nova does not show is not known."""
    now = [one for one in nova.services() if one.binary == service.binary and one.host == service.host]
    if not now or not now[0].known:
        return f"Nova does not say whether nova-compute of {service.host} runs"
    return STILL_RUNS if now[0].up and not now[0].forced_down else ""


def _is_up(nova: Nova, service: Service) -> bool:
    return any(s.id == service.id and s.up and not s.forced_down for s in nova.services())


def _wait(look: Callable[[], str], limit: float) -> str:
    """Look until "" says that it is so, or the limit is over. What is still to be done, "" for nothing."""
    end = time.monotonic() + limit
    while True:
        try:
            left = look()
        except (CloudError, ClusterError, HostError) as error:   # what was begun goes on
            left = str(error)
        if not left or time.monotonic() > end:
            return left
        time.sleep(LOOK)
