"""instance-ha release: let the evacuation of held hosts go on."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ..errors import ClusterError, ConfigurationError
from ..model import RETURNING
from .common import ALL_DONE, NOTHING_TRIED, cluster_view, resource_values


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
    released = [record for node, record in view.records.items() if (not args.hosts or node in args.hosts) and record.state != RETURNING]
    for record in released:
        cluster.replace(record.to(record.state, released=True))
        print(f"{record.node}: released")
    if not released:
        print("nothing is held" if view.records else "nothing is on record", file=sys.stderr)
    return ALL_DONE if released else NOTHING_TRIED
