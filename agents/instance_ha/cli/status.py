"""instance-ha status: where each recorded host stands, and its servers."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..engine.naming import host_of, host_of_record
from ..errors import ClusterError, ConfigurationError, InstanceHaError
from ..events import iso
from ..model import UNRECORDED, ClusterView, Record
from ..nova import Nova
from ..reporting import board, server_status
from .common import ALL_DONE, CLEAR, NOTHING_TRIED, SOME_LEFT, add_format, cluster_view, connect, print_rows, seconds

COLUMNS = ("Host", "Server", "Name", "From", "To", "State", "Attempt", "Seconds", "Reason")
WATCH = 2.0              # seconds between two looks


def add(commands: Any) -> None:
    parser = commands.add_parser("status", help="where each fenced host stands, and its servers")
    parser.add_argument("host", nargs="?", help="only this host")
    parser.add_argument("--watch", metavar="SECONDS", nargs="?", type=seconds, const=WATCH,
                        help=f"look again and again, every {WATCH:g} s unless told, until interrupted; with -f json a line each time")
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print a line a server of each recorded host. Exit code 1 while something is on record."""
    nova, values = connect(args)

    def look() -> int:
        return _look(args, nova, values)

    return look() if args.watch is None else watch(look, max(0.1, args.watch), args.format)


def _look(args: argparse.Namespace, nova: Nova, values: Mapping[str, str]) -> int:
    found = cluster_view(values)
    if found is None:
        raise ClusterError("this machine is on no running cluster; status needs the records: run it on a controller")
    services = nova.services()
    view = found[1]
    names = {node: {node, view.named(node), host_of(view.named(node), values["domain"], services)} for node in {*view.records, *view.broken}}
    records = [r for r in view.records.values() if args.host in (None, *names[r.node])]
    broken = {node: raw for node, raw in view.broken.items() if args.host in (None, *names[node])}
    if args.host and not records and args.host not in {*view.nodes, *view.broken, *(service.host for service in services)}:
        raise ConfigurationError(f"{args.host!r} is neither a node of this cluster nor a host of Nova; see: instance-ha hosts")
    told = board.read(found[0]) if records else {}
    rows: list[tuple[object, ...]] = []
    ends: list[str] = []
    for record in records:
        host = host_of_record(record, values["domain"], services)
        words = told.get(record.id)
        servers = server_status.look(nova, record, host, words, time.time()) if host else []
        rows += [(record.node, one.id, one.name, one.source, one.to, one.state, one.attempt, one.seconds, one.reason) for one in servers]
        ends.append(_sentence(record, server_status.summary(servers) if host else "Nova knows no such host", view.told.get(record.node, "")))
    unread = [f"{node}: its fencing record cannot be read: {raw!r}; correct or delete the node attribute" for node, raw in broken.items()]
    unrecorded = _unrecorded(view, args.host)
    if args.format == "table":
        ends += unrecorded
    else:
        unread += unrecorded
    _print(args, rows, records, ends, unread)
    return SOME_LEFT if records or broken else ALL_DONE


def _print(
    args: argparse.Namespace, rows: Sequence[Sequence[object]], records: Sequence[Record], ends: Sequence[str], unread: Sequence[str],
) -> None:
    for line in unread:
        print(f"instance-ha: {line}", file=sys.stderr)
    if args.watch is not None and args.format == "json":
        told = [{"host": r.node, "incident": r.id, "record": r.state, "sentence": end} for r, end in zip(records, ends)]
        print(json.dumps({"time": iso(time.time()), "hosts": told, "servers": [dict(zip(COLUMNS, row)) for row in rows]}))
        return
    print_rows(COLUMNS, rows, args.format)
    if args.format == "table":
        print(*ends, sep="\n" if ends else "", end="\n" if ends else "")
        if not records and not unread:
            print("nothing is on record", file=sys.stdout if args.watch is not None else sys.stderr)


def _unrecorded(view: ClusterView, host: str | None) -> list[str]:
    """Return what a worker says of nodes that are on no record."""
    return [f"{node}: {text}" for node, text in sorted(view.told.items())
            if text.startswith(UNRECORDED) and node not in {*view.records, *view.broken}
            and host in (None, node, view.named(node))]


def _sentence(record: Record, servers: str, told: str) -> str:
    since = iso(record.since) or "an unknown time"
    return (f"{record.node}: {record.state}; {servers}; incident {record.id}, recorded at {since} by {record.by or 'an older agent'}; "
            f"proof: {record.proof or 'none yet'}" + (f"; the worker says: {told}" if told else "; no worker says anything of it"))


def watch(look: Callable[[], int], pause: float, how: str) -> int:
    """Look until interrupted. What cannot be seen is said, and looked for again. The last look's exit code."""
    screen = how == "table" and sys.stdout.isatty()
    code = NOTHING_TRIED
    try:
        while True:
            text = io.StringIO()
            with contextlib.redirect_stdout(text):
                try:
                    code = look()
                except InstanceHaError as error:
                    code = NOTHING_TRIED
                    print(json.dumps({"time": iso(time.time()), "error": str(error)}) if how == "json" else f"instance-ha: {error}")
            head = "" if how == "json" else "---\n" if how == "yaml" else iso(time.time()) + "\n"
            if screen:
                print(CLEAR, end="")
            print(head + text.getvalue(), end="", flush=True)
            time.sleep(pause)
    except KeyboardInterrupt:
        return code

