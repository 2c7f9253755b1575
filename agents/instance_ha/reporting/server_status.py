"""How each server of a host on record stands, for people: what the worker would decide now, and what Nova remembers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..model import ARRIVED, FAILED, RETURNING, Aggregate, Migration, Record, Server, Service
from ..nova import Nova
from ..rows import nova_time
from . import decide
from .evacuation import Evacuation
from .scene import Verdict
from .selection import Policy

STATES = ("waiting", "moving", "arrived", "failed", "left", "not protected", "gone")
NOT_PROTECTED = "not protected: "      # how decide.py begins the reason
WORDS = {decide.DONE: "arrived", decide.UNLOCK: "arrived", decide.EVACUATE: "waiting", decide.QUEUED: "waiting", decide.LEFT: "left"}


@dataclass(frozen=True)
class Progress:
    """One server. `state` is one of STATES; `to` is where it goes, or went, or would have gone, "" for not known. `attempt` counts the
    requests that Nova took. `seconds` is how long the last one took, or has taken so far; None for unknown: so far by this
    machine's clock, else by Nova's."""

    id: str
    name: str
    source: str
    to: str
    state: str
    attempt: int
    seconds: float | None
    reason: str


def look(nova: Nova, record: Record, host: str, policy: Policy, services: Sequence[Service], aggregates: Sequence[Aggregate],
         now: float) -> list[Progress]:
    """Every server that is on the host, claimed for it, or has left it in this incident, by name. Raises CloudError."""
    engine = Evacuation(nova, host, record.id, record.worker, policy, aggregates=aggregates)
    rows = nova.evacuations(host)
    # Before the evacuation has begun, all that Nova remembers is of earlier ones.
    baseline = record.baseline if record.baseline is not None else rows[-1].id if rows else 0
    verdicts = engine.look(services, baseline, record.state != RETURNING, record.kept).verdicts
    by_server: dict[str, list[Migration]] = {}
    for row in rows:
        if row.id > baseline:
            by_server.setdefault(row.server, []).append(row)
    found = [_of_verdict(verdict, host, by_server.get(verdict.server.id, []), now) for verdict in verdicts]
    away = {key: own for key, own in by_server.items() if key not in {verdict.server.id for verdict in verdicts}}
    servers = _elsewhere(nova, away)
    found += [_of_rows(key, servers.get(key), host, own, now) for key, own in away.items()]
    return sorted(found, key=lambda one: (one.name, one.id))


def _elsewhere(nova: Nova, away: Mapping[str, Sequence[Migration]]) -> dict[str, Server]:
    """Servers that have left, as they are now; one request a destination, and one for each that is not there."""
    destinations = {own[-1].destination for own in away.values() if own[-1].destination}
    found = {server.id: server for host in sorted(filter(None, destinations)) for server in nova.servers_on(host) if server.id in away}
    for key in away.keys() - found.keys():
        server = nova.server(key)
        if server:
            found[key] = server
    return found


def _of_verdict(verdict: Verdict, host: str, rows: Sequence[Migration], now: float) -> Progress:
    server, last = verdict.server, rows[-1] if rows else None
    state = WORDS.get(verdict.action, "moving" if rows else "waiting")
    if not verdict.protected:
        state = "not protected" if verdict.reason.startswith(NOT_PROTECTED) else "left"
    elif last and last.status in FAILED and server.host in (host, None) and not (state == "left" and verdict.final):
        state = "failed"
    to = server.host if server.host not in (host, None) else last.destination if last else verdict.target
    reason = "" if state == "arrived" else verdict.reason[len(NOT_PROTECTED):] if state == "not protected" else verdict.reason
    return Progress(server.id, server.name, host, to or "", state, len(rows), _seconds(last, now), reason)


def _of_rows(key: str, server: Server | None, host: str, rows: Sequence[Migration], now: float) -> Progress:
    last = rows[-1]
    state, reason = ("arrived", "") if server and last.status in ARRIVED else ("gone", "it was deleted") if server is None else ("left", last.status)
    if server and server.vm_state == "error":
        state, reason = "failed", f"on {server.host} in ERROR: {server.fault or 'no reason given'}"
    return Progress(key, server.name if server else key, host, (server.host if server else last.destination) or "", state, len(rows),
                    _seconds(last, now), reason)


def _seconds(row: Migration | None, now: float) -> float | None:
    if row is None or row.status == "completed":
        return None        # what it was last changed by is its host's return
    begun = nova_time(row.created)
    ended = now if row.in_progress else nova_time(row.updated)
    return None if begun is None or ended is None else max(0.0, round(ended - begun, 1))


def summary(servers: Iterable[Progress]) -> str:
    """How many stand how, in words."""
    counts = [(state, sum(1 for one in servers if one.state == state)) for state in STATES]
    return ", ".join(f"{count} {state}" for state, count in counts if count) or "no servers"
