"""instance-ha status: where each recorded host stands, and its servers."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from .. import decide
from ..errors import ClusterError
from ..model import ARRIVED, Migration, Record, Server, claim_of
from ..nova import Nova
from .common import ALL_DONE, SOME_LEFT, add_format, cluster_view, connect, print_rows

COLUMNS = ("Host", "Record", "Server", "Name", "State", "On", "Evacuation", "Reason")


def add(commands: Any) -> None:
    parser = commands.add_parser("status", help="where each fenced host stands, and its servers")
    parser.add_argument("host", nargs="?", help="only this host")
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print a line a server of each recorded host. Exit code 1 while something is on record."""
    nova, values = connect(args)
    found = cluster_view(values)
    if found is None:
        raise ClusterError("this machine is on no running cluster; status needs the records: run it on a controller")
    services = nova.services()
    rows: list[tuple[object, ...]] = []
    records = [r for r in found[1].records.values() if args.host in (None, r.node, r.host)]
    for record in records:
        host = decide.host_of(record.host or record.node, values["domain"], services)
        rows += host_rows(nova, record, host) if host else [(record.node, record.state, "", "", "", "", "", "Nova knows no such host")]
    print_rows(COLUMNS, rows, args.format)
    if args.format == "table":
        for record in records:
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.since)) if record.since else "an unknown time"
            print(f"{record.node}: {record.state}, recorded at {since} by {record.by or 'an older agent'}; proof: {record.proof or 'none yet'}")
        if not records:
            print("nothing is on record", file=sys.stderr)
    return SOME_LEFT if records else ALL_DONE


def host_rows(nova: Nova, record: Record, host: str) -> list[tuple[object, ...]]:
    """A row for each server that is on the host, claimed for it, or has left it in this incident."""
    migrations: dict[str, Migration] = {m.server: m for m in nova.evacuations(host) if m.id > (record.baseline or 0)}
    servers: dict[str, Server] = {s.id: s for s in nova.servers_on(host)}
    servers.update({s.id: s for s in nova.locked_servers() if (claim := claim_of(s)) and claim.host == host})
    for key in migrations:
        server = servers.get(key) or nova.server(key)
        if server:
            servers[key] = server
    if not servers:
        return [(record.node, record.state, "", "", "", "", "", "no servers")]
    return [_row(nova, record, host, server, migrations.get(server.id)) for server in sorted(servers.values(), key=lambda s: s.name)]


def _row(nova: Nova, record: Record, host: str, server: Server, migration: Migration | None) -> tuple[object, ...]:
    reason = server.fault if server.vm_state == "error" else "locked by its owner" if server.locked and not claim_of(server) else ""
    if migration and migration.status in ("failed", "error"):
        reason = f"{reason or migration.status} ({nova.evacuation_request(server.id)})"
    state = "done" if migration and migration.status in ARRIVED and server.host != host else migration.status if migration else ""
    return (record.node, record.state, server.id, server.name, server.task_state or server.vm_state, server.host, state, reason)
