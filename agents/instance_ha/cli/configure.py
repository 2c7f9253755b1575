"""instance-ha configure: what this cluster lacks to be protected, as the commands that bring it about; and, asked to, does it."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import configuration, credentials, params
from ..cib import parse_cib, read_cib
from ..cluster import Cluster
from ..configuration import Configuration
from ..configuring import powering, transaction
from ..configuring.identity import identity, listed_hosts, shared
from ..configuring.provisioning import NOVA_EVACUATE, Proposal, Wish, propose, to_protect
from ..configuring.transaction import Transaction
from ..engine.entry import node_of
from ..engine.naming import host_of, is_listed, same_name
from ..errors import CloudError, ClusterError, ConfigurationError, HostError
from ..model import RECORDERS
from ..process import CLEAN_ENVIRONMENT
from .common import ALL_DONE, SOME_LEFT, connect

KEPT_IN = "/var/lib/instance-ha"
OPENSTACK_UNIT = ("rhel", "fedora", "centos")    # in ID and ID_LIKE of os-release, where the unit is openstack-nova-compute
GATE = """nova-compute is not Pacemaker's here: its own unit has to wait, on every compute host (docs/operations.md). The project is installed
there too, and /etc/systemd/system/nova-compute.service.d/instance-ha.conf (openstack-nova-compute.service.d on RHEL
and its kin, tripleo_nova_compute.service.d, kolla-nova_compute-container.service.d) says
    [Unit]
    After=pacemaker_remote.service pacemaker.service
    [Service]
    ExecStartPre=+/usr/bin/instance-ha wait-until-evacuated
    TimeoutStartSec=infinity"""
DROPPED = """these parameters are not taken over: {dropped}
What they say goes into /etc/openstack/clouds.yaml on every controller, mode 0600, owner root:
    clouds:
      {cloud}:
        auth: {{auth_url: "...", username: "...", password: "...", project_name: "...", user_domain_name: Default, project_domain_name: Default}}
        interface: internal
        region_name: "...\""""


def add(commands: Any) -> None:
    text = "print, or with --apply run, the commands of pcs or crmsh that this cluster lacks to be protected"
    parser = commands.add_parser("configure", help=text, description=text)
    parser.add_argument("--apply", action="store_true", help="save the configuration, then run them")
    parser.add_argument("--undo", metavar="FOLDER", help="take back what an --apply did, which named this folder")
    parser.add_argument("--cloud", default="", metavar="NAME", help="entry of /etc/openstack/clouds.yaml for both agents; default: what they have")
    parser.add_argument("--hosts", metavar="HOST,...", help="protect these, and do not ask Nova; default: every compute host of Nova")
    parser.add_argument("--image-disks", default="", choices=("evacuate", "shared", "leave"), help="what becomes of servers that were made "
                        "from an image (parameter image_disks); --migrate without it: evacuate, as the old agents did")
    parser.add_argument("--migrate", action="store_true", help="put fence_nova in the place of fence_compute, and cloud= in that of credentials")
    parser.add_argument("--nova-compute", default="", metavar="AGENT", help="agent that starts nova-compute where no resource does, "
                        "class:type; default: systemd:nova-compute, on RHEL and its kin systemd:openstack-nova-compute")
    parser.add_argument("--no-nova-compute", action="store_true", help="nova-compute is not Pacemaker's; its own unit waits")
    parser.add_argument("--tool", choices=tuple(transaction.TOOLS), help="default: pcs, where it is installed")
    parser.add_argument("--save-in", default=KEPT_IN, metavar="FOLDER", help=f"where the configuration is kept; default: {KEPT_IN}")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0: nothing is missing, or all was applied; 1: steps are missing; 2: nothing was tried."""
    cluster = Cluster()
    if args.undo:
        return _undo(cluster, Path(args.undo).absolute())
    cib = cluster.cib()
    has = configuration.read(parse_cib(cib))
    wish = _wish(args, cluster, has)
    proposal = propose(has, wish)
    if proposal.faults:
        raise ConfigurationError("\n  ".join(["this cluster cannot be configured as it is:", *proposal.faults]))
    work = Transaction(cluster, Path(args.save_in).absolute() / time.strftime("configure-%Y%m%dT%H%M%SZ", time.gmtime()), _tool(args.tool))
    _quiet(cluster, cib, proposal, wish)
    _comment([*proposal.notes, *_texts(proposal, wish)])
    if not proposal.steps:
        print("# nothing to do")
        return ALL_DONE
    if args.apply:
        return _apply(work, proposal, wish, cib)
    missing = "1 step is" if len(proposal.steps) == 1 else f"{len(proposal.steps)} steps are"
    _comment([f"{missing} missing; --apply takes what is missing, and so does a shell that is given these lines"])
    print("\n".join(transaction.script(work, [(step.why, step.change) for step in proposal.steps])))
    return SOME_LEFT


def _wish(args: argparse.Namespace, cluster: Cluster, has: Configuration) -> Wish:
    agent = "" if args.no_nova_compute else args.nova_compute or _usual_unit()
    if agent.count(":") not in (0, 1, 2) or (agent and ":" not in agent):
        raise ConfigurationError(f"--nova-compute {agent!r} is no agent: write it as class:type or class:provider:type")
    hosts = _asked(args, has) if args.hosts is None else _named(args.hosts, has)
    capable = {node: cluster.capable_of(node) for node in powering.unnamed(has)}
    return Wish(hosts, args.cloud, agent, bool(agent) and not cluster.has_agent(agent), args.migrate, args.image_disks, capable)


def _named(text: str, has: Configuration) -> tuple[str, ...]:
    found = {name: node_of([name], {*has.nodes}) for name in text.replace(",", " ").split()}
    if not found:
        raise ConfigurationError(f"--hosts {text!r} names no host")
    unknown = [name for name, node in found.items() if node is None]
    if unknown:
        raise ConfigurationError(f"{', '.join(unknown)}: no node of this cluster, which has {', '.join(sorted(has.nodes))}")
    return tuple(sorted({node for node in found.values() if node}))


def _asked(args: argparse.Namespace, has: Configuration) -> tuple[str, ...]:
    """The nodes that are compute hosts of Nova. Raises ConfigurationError when Nova has one that is no node."""
    agents = [*has.of_type(NOVA_EVACUATE), *has.of_type(f"stonith:{powering.FENCE_NOVA}")]
    devices = [resource for resource in has.resources.values() if resource.device and resource.type in RECORDERS]
    domain = shared([*agents, *devices]).get("domain", "")
    pointer = identity(agents, args.cloud)
    try:
        if pointer:
            nova = credentials.connect(params.resolve(params.of(params.OCF), pointer))
        else:
            nova, _ = connect(args)
        services = [service for service in nova.services() if service.binary == "nova-compute"]
    except (CloudError, ConfigurationError, HostError) as error:
        raise ConfigurationError(f"Nova cannot be asked for its compute hosts: {error}; or name them: --hosts HOST,...") from None
    names = {node: host for device in devices for node, host in powering.host_map(device).items()}
    found = {host_of(names.get(node, node), domain, services): node for node in has.nodes}
    there = {host for host in found if host}
    # A row of before a renaming is no host that is missing.
    wanted = listed_hosts([*agents, *devices])
    missing = sorted({s.host for s in services if s.host not in there and is_listed(wanted, s.host)
                      and (s.up or not any(same_name(s.host, host) for host in there))})
    if missing:
        node = missing[0].split(".")[0]
        raise ConfigurationError(
            f"{', '.join(missing)}: compute hosts of Nova, and no nodes of this cluster: make each a node, such as: pcs cluster node add-remote "
            f"{node} ADDRESS reconnect_interval=5 op monitor interval=5 timeout=5 op start timeout=15; or leave them out: --hosts HOST,...")
    if not services:
        raise ConfigurationError("Nova has no compute hosts")
    nodes = {node for host, node in found.items() if host}
    if wanted:
        chosen = [node for host, node in found.items() if host and is_listed(wanted, node, host)]
        if not chosen:
            raise ConfigurationError(f"protect_hosts={' '.join(wanted)} names no node of this "
                                     "cluster that Nova has a compute service for")
        return tuple(sorted(node for node in chosen if not has.nodes[node].guest))
    hosts = to_protect(has, nodes)
    for node in sorted(nodes - hosts):
        print(f"# {node}: Nova has a compute service for this controller, such as Ironic's; it is not protected (else name it with --hosts)")
    return tuple(sorted(hosts))


def _usual_unit() -> str:
    try:
        words = Path("/etc/os-release").read_text(encoding="utf-8").lower()
    except OSError:
        words = ""
    kin = [word for line in words.splitlines() if line.startswith(("id=", "id_like=")) for word in line.partition("=")[2].strip('"').split()]
    return "systemd:openstack-nova-compute" if any(word in OPENSTACK_UNIT for word in kin) else "systemd:nova-compute"


def _tool(wanted: str | None) -> str:
    here = [tool for tool, program in transaction.TOOLS.items() if shutil.which(program, path=CLEAN_ENVIRONMENT["PATH"])]
    if not wanted and not here:
        raise HostError("neither pcs nor crmsh is installed on this machine: install one, or name the one to print for with --tool")
    return wanted or here[0]


def _texts(proposal: Proposal, wish: Wish) -> list[str]:
    texts = [GATE] if proposal.elsewhere else []
    if proposal.dropped:
        texts.append(DROPPED.format(dropped="; ".join(proposal.dropped), cloud=wish.cloud or "NAME"))
    return texts


def _comment(texts: Sequence[str]) -> None:
    for text in texts:
        print("\n".join(f"# {line}" for line in text.splitlines()))


def _quiet(cluster: Cluster, cib: str, proposal: Proposal, wish: Wish) -> None:
    """Raise ConfigurationError unless nothing is under way that the steps would disturb."""
    restarts = any(step.restarts for step in proposal.steps)
    attribute = _attribute(cib)
    view = read_cib(parse_cib(cib), attribute)
    busy = [f"{record.node} is on record ({record.state})" for record in view.records.values()]
    busy += [f"the record of {node} cannot be read" for node in view.broken]
    if wish.migrate:
        busy += [f"{node} has been fenced by fence_compute" for node in Cluster(attribute).transient_yes()]
        busy += [f"{host} is not online" for host in wish.hosts if not view.nodes[host].online]
    if busy and proposal.steps and (restarts or wish.migrate):
        raise ConfigurationError(f"not now, since nova-compute is restarted everywhere for it: {', '.join(busy)}; wait, see: instance-ha status")


def _attribute(cib: str) -> str:
    """The node attribute that holds the records in this cluster."""
    agents = configuration.read(parse_cib(cib)).of_type(NOVA_EVACUATE)
    return shared(agents).get("evacuate_attribute", "evacuate")


def _apply(work: Transaction, proposal: Proposal, wish: Wish, cib: str) -> int:
    work.begin(cib)
    print(f"# the configuration as it was: {work.before}")
    commands = [(step.why, command) for step in proposal.steps for command in work.commands(step.change)]
    for number, (why, command) in enumerate(commands, 1):
        print(f"# {number}/{len(commands)} {why}\n{shlex.join(command)}", flush=True)
        failure = _failure(work, command)
        if failure:
            return _stopped(f"step {number} of {len(commands)} failed: {failure}; the cluster is as it was, since the steps are made in a file first")
    left = _left(work.result(), wish)
    if left:
        return _stopped(f"{work.after} is not what it should be after all steps ({left}); the cluster is as it was")
    print(f"# all at once, into the cluster\n{shlex.join(work.push())}", flush=True)
    failure = _failure(work, work.push())
    try:
        left = _left(work.cluster.cib(), wish)
    except (ClusterError, HostError) as error:
        return _stopped(f"whether the cluster has taken the change is not known ({failure or error}); look again with: instance-ha configure")
    if left:
        return _stopped(f"the cluster does not take the change ({failure or left}); it was refused as a whole, or has changed meanwhile: once more")
    print(f"# applied; the way back: {work.way_back()}")
    return ALL_DONE


def _left(cib: str, wish: Wish) -> str:
    """Why a configuration is not yet what it should be; "" when it is."""
    proposal = propose(configuration.read(parse_cib(cib)), wish)
    return next(iter((*proposal.faults, *(step.why for step in proposal.steps))), "")


def _failure(work: Transaction, command: Sequence[str]) -> str:
    try:
        done = work.run(command)
    except HostError as error:
        return str(error)
    return done.sentence if done.code else ""


def _stopped(why: str) -> int:
    print(f"instance-ha: {why}", file=sys.stderr)
    return SOME_LEFT


def _undo(cluster: Cluster, folder: Path) -> int:
    cib = cluster.cib()
    view = read_cib(parse_cib(cib), _attribute(cib))
    if view.records or view.broken:
        states = {**{name: record.state for name, record in view.records.items()}, **dict.fromkeys(view.broken, "cannot be read")}
        busy = ", ".join(f"{node} ({state})" for node, state in states.items())
        raise ConfigurationError(f"not now: on record are {busy}; wait, see: instance-ha status")
    transaction.undo(cluster, folder)
    print(f"# taken back: {folder}")
    return ALL_DONE
