"""How each server of a host on record stands, for people: what Nova shows, and what the worker has told of it. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..engine import decide
from ..errors import CloudUnreachable
from ..model import ARRIVED, FAILED, Migration, Record, Server
from ..nova import Nova
from ..rows import nova_time
from .board import Told

STATES = ("waiting", "moving", "arrived", "failed", "left", "not protected", "gone")
NOT_PROTECTED = "not protected: "      # how decide.py begins the reason
WORDS = {decide.DONE: "arrived", decide.UNLOCK: "arrived", decide.EVACUATE: "waiting", decide.QUEUED: "waiting", decide.LEFT: "left"}
FEW = 8                # servers that Nova may fail to show; beyond that it is Nova's trouble
UNTOLD = "no worker has told of it yet"


@dataclass(frozen=True)
class Progress:
    """One server. `state` is one of STATES; `to` is where it goes, or went, or would have gone, "" for not known. `attempt` counts the
    requests that Nova took. `seconds` is how long the last one took, or has taken so far; None for unknown: so far by this
    machine's clock, else by Nova's. `reason` is the worker's."""

    id: str
    name: str
    source: str
    to: str
    state: str
    attempt: int
    seconds: float | None
    reason: str


def look(nova: Nova, record: Record, host: str, told: Mapping[str, Told] | None, now: float) -> list[Progress]:
    """Return every server that is on the host, claimed for it, or has left it in this incident, by name. `told` are the worker's
    words, by server, None where they are not to be had. Raises CloudError."""
    rows = nova.evacuations(host)
    # Before the evacuation has begun, all that Nova remembers is of earlier ones.
    baseline = record.baseline if record.baseline is not None else rows[-1].id if rows else 0
    by_server: dict[str, list[Migration]] = {}
    for row in rows:
        if row.id > baseline:
            by_server.setdefault(row.server, []).append(row)
    servers = {server.id: server for server in nova.servers_on(host)}
    elsewhere, hidden = _elsewhere(nova, {key: by_server.get(key, []) for key in {*by_server, *(told or {})} - servers.keys()})
    servers |= elsewhere
    found = [_unseen(key, host, by_server.get(key, []), why, now) for key, why in hidden.items()]
    for key in {*servers, *by_server} - hidden.keys():
        server, own, word = servers.get(key), by_server.get(key, []), (told or {}).get(key)
        if server is not None and word is not None:
            found.append(_as_told(server, host, own, word, now))
        else:
            found.append(_as_seen(key, server, host, own, now))
    return sorted(found, key=lambda one: (one.name, one.id))


def _elsewhere(nova: Nova, away: Mapping[str, Sequence[Migration]]) -> tuple[dict[str, Server], dict[str, str]]:
    """Servers that have left, as they are now, and why Nova does not show the others. One request a destination, and one for each that
    is not there."""
    destinations = {own[-1].destination for own in away.values() if own and own[-1].destination}
    found = {server.id: server for host in sorted(filter(None, destinations)) for server in nova.servers_on(host) if server.id in away}
    hidden = {}
    for key in away.keys() - found.keys():
        try:
            server = nova.server(key)
        except CloudUnreachable as error:
            hidden[key] = str(error)
            if len(hidden) > FEW:
                raise
            continue
        if server:
            found[key] = server
    return found, hidden


def _unseen(key: str, host: str, rows: Sequence[Migration], why: str, now: float) -> Progress:
    last = rows[-1] if rows else None
    to = (last.destination if last else None) or ""
    return Progress(key, key, host, to, "left", len(rows), _seconds(last, now), f"Nova does not show it: {why}")


def _as_told(server: Server, host: str, rows: Sequence[Migration], told: Told, now: float) -> Progress:
    last = rows[-1] if rows else None
    state = WORDS.get(told.action, "moving" if rows else "waiting")
    if not told.protected:
        state = "not protected" if told.reason.startswith(NOT_PROTECTED) else "left"
    elif last and last.status in FAILED and server.host in (host, None) and not (state == "left" and told.final):
        state = "failed"
    to = server.host if server.host not in (host, None) else last.destination if last else told.target
    return Progress(server.id, server.name, host, to or "", state, len(rows), _seconds(last, now), _reason(server, state, told))


def _reason(server: Server, state: str, told: Told) -> str:
    if state == "arrived":
        return ""
    if state == "not protected":
        return told.reason[len(NOT_PROTECTED):]
    if told.doubt:
        return f"not started on its old host: {told.doubt}; look where it runs, then: openstack server unlock {server.id}"
    if told.person and server.locked:
        return f"{told.reason}; look at it, then: openstack server unlock {server.id}"
    return told.reason


def _as_seen(key: str, server: Server | None, host: str, rows: Sequence[Migration], now: float) -> Progress:
    """How Nova shows a server of which the worker has told nothing here."""
    last = rows[-1] if rows else None
    state, reason = _seen_state(server, host, last)
    to = (server.host if server and server.host != host else None) or (last.destination if last else None)
    return Progress(key, server.name if server else key, host, to or "", state, len(rows), _seconds(last, now), reason)


def _seen_state(server: Server | None, host: str, last: Migration | None) -> tuple[str, str]:
    if server is None:
        return "gone", "it was deleted"
    away = server.host not in (host, None)
    if server.vm_state == "error" and (away or last is not None):
        return "failed", f"on {server.host} in ERROR: {server.fault or 'no reason given'}"
    if last is None:
        return ("left", f"it is on {server.host}") if away else ("waiting", UNTOLD)
    if away:
        return ("arrived", "") if last.status in ARRIVED else ("left", last.status)
    return ("failed", last.status) if last.status in FAILED else ("moving", UNTOLD)


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
