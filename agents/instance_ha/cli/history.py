"""instance-ha history: past incidents, from the cluster's own configuration; no cloud is asked."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..cluster import Cluster
from ..engine.entry import node_of
from ..errors import ConfigurationError
from ..events import iso
from ..incident import OPEN, Incident, newest_first, why_unread
from ..model import EVACUATED, PARTLY, RETURNING, Record
from .common import ALL_DONE, SOME_LEFT, add_format, print_rows, resource_values

COLUMNS = ("Incident", "Host", "Recorded", "State", "Servers", "Left", "Tries", "Fenced", "Evacuated", "Returned", "Reason")
WHOLE = ("Incident", "Node", "Host", "State", "End", "Recorded", "Proven", "Requested", "Arrived", "Over", "Returned", "Protected", "Done",
         "Left", "Tries", "By", "Worker", "Proof", "Reason", "Version", "Settings")


def add(commands: Any) -> None:
    text = "past incidents, and those that go on, from the cluster's configuration"
    parser = commands.add_parser("history", help=text, description=text)
    parser.add_argument("host", nargs="?", help="only this host, by Pacemaker's or Nova's name")
    parser.add_argument("-n", "--newest", type=int, metavar="N", help="only the newest N")
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print a line an incident, the newest first. Exit code 1 when one of them goes on, or has left servers behind."""
    if args.newest is not None and args.newest < 1:
        raise ConfigurationError(f"--newest {args.newest}: give a number from 1 on")
    values = resource_values()
    found = [one for one in newest_first(known(values)) if args.host in (None, one.node, one.host)][:args.newest]
    if args.host and not found:
        view = Cluster(values["evacuate_attribute"]).view()
        if node_of([args.host], {*view.nodes, *map(view.named, view.nodes)}) is None:
            raise ConfigurationError(f"no incident is remembered of {args.host!r}, and it is no node of this cluster")
    if args.format == "table":
        print_rows(COLUMNS, [_row(one) for one in found], args.format)
        if not found:
            print("no incident is remembered" + (f" of {args.host}" if args.host else ""), file=sys.stderr)
    else:
        print_rows(WHOLE, [whole(one) for one in found], args.format)
    return SOME_LEFT if any(one.end == OPEN or one.left for one in found) else ALL_DONE


def known(values: Mapping[str, str]) -> dict[str, Incident]:
    """The history and what is on record now, by id. Raises ClusterError, HostError."""
    cluster = Cluster(values["evacuate_attribute"])
    found = cluster.incidents()
    if cluster.unread_history:
        print(f"instance-ha: {why_unread(cluster.unread_history)}", file=sys.stderr)
    for record in cluster.view().records.values():
        found[record.id] = _with(found.get(record.id) or Incident(record.id, record.node, recorded=float(record.since)), record)
    return found


def _with(one: Incident, record: Record) -> Incident:
    over = record.state in (EVACUATED, PARTLY, RETURNING)
    baseline = one.baseline if record.baseline is None else record.baseline
    return replace(one, state=record.state, host=record.host or one.host, by=record.by or one.by, proof=record.proof or one.proof,
                   left=record.left if over else one.left, baseline=baseline)


def _row(one: Incident) -> Sequence[object]:
    servers = f"{'?' if one.done is None else one.done}/{'?' if one.protected is None else one.protected}"
    return (one.id, one.node, iso(one.recorded), one.end or one.state, servers, one.left, one.tries, _after(one.recorded, one.proven),
            _after(one.recorded, one.over), iso(one.returned), one.reason if one.left else "")


def _after(start: float, end: float) -> str:
    return f"{max(0.0, end - start):.1f} s" if start and end else ""


def whole(one: Incident) -> Sequence[object]:
    """All of an incident, as WHOLE names it; times as UTC."""
    times = (iso(one.recorded), iso(one.proven), iso(one.requested), iso(one.arrived), iso(one.over), iso(one.returned))
    settings = " ".join(f"{name}={value}" for name, value in one.settings.items())
    return (one.id, one.node, one.host, one.state, one.end or "open", *times, one.protected, one.done, one.left, one.tries, one.by, one.worker,
            one.proof, one.reason, one.version, settings)
