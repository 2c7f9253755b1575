"""instance-ha hosts: the compute hosts, as Nova and the cluster see them."""

from __future__ import annotations

import argparse
from typing import Any

from ..engine.naming import host_of
from .common import ALL_DONE, SOME_LEFT, add_format, cluster_view, connect, print_rows

COLUMNS = ("Host", "Nova", "Service", "Node", "Pacemaker", "Record", "Reason")


def add(commands: Any) -> None:
    parser = commands.add_parser("hosts", help="the compute hosts, as Nova and the cluster see them")
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print a line a host. Exit code 1 when one of them is down."""
    nova, values = connect(args)
    services = nova.services()
    computes = sorted((s for s in services if s.binary == "nova-compute"), key=lambda s: s.host)
    found = cluster_view(values)
    view = found[1] if found else None
    nodes = {host_of(view.named(node), values["domain"], computes): node for node in view.nodes} if view else {}
    rows = []
    for service in computes:
        node = nodes.get(service.host)
        state = view.nodes[node].online if view and node else None
        record = view.records.get(node) if view and node else None
        rows.append((
            service.host, "forced down" if service.forced_down else "up" if service.up else "down",
            "enabled" if service.enabled else "disabled", node or "", {True: "online", False: "OFFLINE", None: ""}[state],
            record.state if record else "", service.reason))
    print_rows(COLUMNS, rows, args.format)
    return ALL_DONE if all(s.up for s in computes) else SOME_LEFT
