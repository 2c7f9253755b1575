"""instance-ha wait-until-evacuated: for nova-compute's own unit, where Pacemaker does not start it."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from ..cluster import Cluster
from ..engine import entry
from ..errors import ClusterError, ConfigurationError, ConflictError, HostError
from .common import ALL_DONE, SOME_LEFT, attribute_name, has_pacemaker, seconds

LOOK = 2.0       # seconds between two looks at the cluster


def add(commands: Any) -> None:
    text = "wait until this compute host may start its nova-compute (ExecStartPre= of its unit)"
    parser = commands.add_parser("wait-until-evacuated", help=text, description=text)
    parser.add_argument("node", nargs="?", help="default: this node")
    parser.add_argument("--timeout", type=seconds, default=0.0, metavar="SECONDS",
                        help="give up after this long; default: never, the unit's own limit counts")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Return when the node may start. Exit code 1 when it may not within the limit; 2 when it is no node of the cluster."""
    if not has_pacemaker():
        raise ConfigurationError("Pacemaker's tools are not installed on this machine (pacemaker, or pacemaker-remote with pacemaker-cli)")
    began, told = time.monotonic(), ""
    while True:
        ready, sentence = _look(args.node)
        if ready:
            print(f"instance-ha: {sentence}", file=sys.stderr)
            return ALL_DONE
        if sentence != told:
            told = sentence
            print(f"instance-ha: waiting: {sentence}", file=sys.stderr, flush=True)
        if args.timeout and time.monotonic() - began > args.timeout:
            print(f"instance-ha: gave up after {args.timeout:g} s: {sentence}", file=sys.stderr)
            return SOME_LEFT
        time.sleep(LOOK)


def _look(wanted: str | None) -> tuple[bool, str]:
    """Whether the node may start now, and the sentence that says why. Not to know is to wait. Raises ConfigurationError."""
    try:
        # The attribute's name is asked for each time: after a boot there is no cluster to ask at first.
        cluster = Cluster(attribute_name())
        view = cluster.view()
        if not view.quorate:
            return False, "this part of the cluster has no quorum"
        names = [wanted] if wanted else [cluster.local_node()]
        node = entry.node_of(names, set(view.nodes))
        if node is None:
            raise ConfigurationError(f"{names[0]!r} is no node of this cluster; it has {', '.join(sorted(view.nodes))}")
        if not view.nodes[node].online:
            return False, f"the cluster has {node} not online yet"
        return entry.let_in(cluster, view, node)
    except (ClusterError, HostError, ConflictError) as error:
        return False, str(error)
