"""instance-ha release: let the evacuation of held hosts go on."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ..cluster import Cluster
from ..errors import ClusterError, ConfigurationError, ConflictError, HostError
from ..model import RETURNING
from .common import ALL_DONE, NOTHING_TRIED, SOME_LEFT, cluster_view, must_have_quorum, resource_values

TRIES = 5     # to change a record that the worker changes too


def add(commands: Any) -> None:
    parser = commands.add_parser("release", help="let the evacuation of hosts go on that threshold or max_failures holds")
    parser.add_argument("hosts", metavar="HOST", nargs="*", help="these nodes only; default: all that are on record")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Mark the records as released. Exit code 2 when there is none to release."""
    values = resource_values()
    found = cluster_view(values)
    if found is None:
        raise ClusterError("this machine is on no running cluster: run it on a controller")
    cluster, view = found
    unknown = [name for name in args.hosts if name not in view.records]
    if unknown:
        raise ConfigurationError(f"{', '.join(unknown)}: not on record; on record are {', '.join(view.records) or 'none'}")
    must_have_quorum(view)
    held = [node for node, record in view.records.items() if (not args.hosts or node in args.hosts) and record.state != RETURNING]
    released, failed = 0, False
    for node in held:
        try:
            if _release(cluster, node):
                released += 1
                print(f"{node}: released")
        except (ClusterError, HostError) as error:
            failed = True
            print(f"instance-ha: {node} is not released: {error}", file=sys.stderr)
    if not released and not failed:
        print("nothing is held" if view.records else "nothing is on record", file=sys.stderr)
    if not released:
        return NOTHING_TRIED
    return SOME_LEFT if failed else ALL_DONE


def _release(cluster: Cluster, node: str) -> bool:
    """Whether there was something to release. The worker changes a record again and again while it evacuates. Raises ConflictError."""
    for left in range(TRIES, 0, -1):
        record = cluster.view().records.get(node)
        if record is None or record.state == RETURNING:
            return False
        try:
            cluster.replace(record.to(record.state, released=True))
            return True
        except ConflictError:
            if left == 1:
                raise
    return False
