"""instance-ha dismiss: leave a host alone that is on record."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ..errors import ClusterError, ConfigurationError, HostError
from .common import ALL_DONE, SOME_LEFT, cluster_view, must_have_quorum, resource_values


def add(commands: Any) -> None:
    text = "drop the record of a host: its servers stay where they are, until it has come back and is fenced again"
    parser = commands.add_parser("dismiss", help=text, description=text)
    parser.add_argument("host", metavar="HOST", help="by Pacemaker's name")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Put "no" in place of the record. Exit code 2 when the cluster has no such node."""
    found = cluster_view(resource_values())
    if found is None:
        raise ClusterError("this machine is on no running cluster: run it on a controller")
    cluster, view = found
    must_have_quorum(view)
    if args.host not in {*view.nodes, *view.records, *view.broken}:
        raise ConfigurationError(f"{args.host!r} is no node of this cluster; it has {', '.join(sorted(view.nodes))}")
    try:
        cluster.dismiss(args.host)
    except (ClusterError, HostError) as error:
        if args.host not in cluster.view().dismissed:
            raise
        print(f"instance-ha: {args.host} is dismissed, and its nova-compute is held still: {error}", file=sys.stderr)
        return SOME_LEFT
    print(f"{args.host}: dismissed; what Nova is at work on goes on")
    return ALL_DONE
