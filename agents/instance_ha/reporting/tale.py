"""Pure: one incident as it goes on. From what each turn of the worker saw to what is remembered of it and what is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from .. import events, incident
from ..events import Event
from ..incident import Incident
from ..model import CONFIRMED, EVACUATED, FENCED, PARTLY, RETURNING, Moment, Record

ARRIVED, MOVING, WAITING, LEFT = "arrived", "moving", "waiting", "left"
STANDS = (ARRIVED, MOVING, WAITING, LEFT)


@dataclass(frozen=True)
class Seen:
    """One protected server as a turn saw it. `stands` is one of STANDS, `where` its host, `attempt` the number of requests that Nova
    took, `request` the id of the last one as far as it is known. `final`: nothing more will be tried."""

    id: str
    name: str
    where: str
    stands: str
    attempt: int
    request: str = ""
    reason: str = ""
    final: bool = False


@dataclass(frozen=True)
class Sight:
    """The servers of one host as a turn saw them, how many evacuations Nova has taken and failed, why none may begin, "" if they may,
    and the destinations that have failed several servers."""

    host: str
    servers: Sequence[Seen]
    tries: int
    failures: int
    paused: str = ""
    failing: frozenset[str] = frozenset()

    def count(self, stands: str) -> int:
        """How many of them stand so."""
        return sum(1 for one in self.servers if one.stands == stands)


class Tale:
    """What one worker has seen of one incident. `mark(phase, seconds)` is told how long a phase took that it saw from end to end: fencing,
    start, evacuation, return, and server for each server's way.
    `now` is seconds since the epoch, `clock` monotonic seconds."""

    def __init__(self, start: Incident, known: bool, clock: float, mark: Callable[[str, float], None]) -> None:
        self.incident = start
        self.begun = clock
        self.confirmed: float | None = None     # by the monotonic clock
        self.servers: Mapping[str, Seen] = {}
        self.tries = self.failures = 0
        self._mark = mark
        self._let_in: float | None = None
        self._told: set[tuple[str, str]] = {("", events.RECORDED)} if known else set()
        self._calm: tuple[float, float] | None = None   # since when nothing is under way, by both clocks

    def record(self, record: Record, now: float, clock: float) -> list[Event]:
        """What a record says that a turn has read."""
        one, told = self.incident, []
        if self._news(events.RECORDED):
            told.append(self._event(events.RECORDED, now, f"{record.node} was fenced; recorded by {record.by or 'an older agent'}"))
        if record.proof and not one.proof:
            one = replace(one, proof=record.proof)
            if one.state == FENCED:              # else another worker saw it, and when is not known
                one = replace(one, proven=now)
                self.confirmed = clock
                self._mark("fencing", clock - self.begun)
            told.append(self._event(events.CONFIRMED, now, f"Pacemaker has confirmed that {record.node} is off", proof=record.proof))
        if record.state in (EVACUATED, PARTLY) and record.state != one.state:
            when, tick = self._calm or (now, clock)
            one = replace(one, over=when, left=record.left)
            told += self._over(one, record, when, tick)
        if record.state == RETURNING and self._let_in is None:
            self._let_in = clock
        baseline = one.baseline if record.baseline is None else record.baseline
        self.incident = replace(one, state=record.state, baseline=baseline, host=record.host or one.host, by=record.by or one.by)
        return told

    def _over(self, one: Incident, record: Record, now: float, clock: float) -> list[Event]:
        if one.state == CONFIRMED and self.confirmed is not None:
            self._mark("evacuation", clock - self.confirmed)
        counts = {name: value for name, value in (("protected", one.protected), ("done", one.done), ("left", record.left)) if value is not None}
        if record.state == EVACUATED:
            return [self._event(events.EVACUATED, now, f"nothing is left to move from {record.node}", **counts)]
        return [self._event(events.PARTLY, now, f"{record.left} servers of {record.node} are not moved: {one.reason}", **counts)]

    def sight(self, sight: Sight, now: float, clock: float, asked_at: Moment | None = None) -> list[Event]:
        """What a turn saw of the servers, after it had acted. `asked_at` is when Nova had taken the first request, by both clocks."""
        told, one = [], self.incident
        asked = sight.tries > 0 or any(server.request for server in sight.servers)
        # Requests that were there at the first look are another worker's, and when they went out is not known.
        if asked and not one.requested and (self.confirmed is not None or sight.tries == 0):
            when, tick = asked_at or (now, clock)
            one = replace(one, requested=when)
            if self.confirmed is not None:
                self._mark("start", tick - self.confirmed)
        arrived = sight.count(ARRIVED)
        if arrived > (one.done or 0):
            one = replace(one, arrived=now)
        busy = sight.count(MOVING) + sight.count(WAITING) > 0
        self._calm = None if busy else self._calm or (now, clock)
        left = [server for server in sight.servers if server.stands == LEFT]
        reason = f"{left[0].name}: {left[0].reason}" if left else sight.paused or one.reason
        one = replace(one, host=sight.host, protected=len(sight.servers), done=arrived, tries=sight.tries, reason=reason)
        self.servers, self.incident = {server.id: server for server in sight.servers}, one
        self.tries, self.failures = sight.tries, sight.failures
        for server in sight.servers:
            if server.stands == ARRIVED and self._news(events.SERVER_ARRIVED, server.id):
                told.append(self._of_server(events.SERVER_ARRIVED, server, now, f"{server.name} has arrived on {server.where}", to=server.where))
                if self.confirmed is not None:
                    self._mark("server", clock - self.confirmed)
            elif server.stands == LEFT and self._news(f"{events.SERVER_FAILED} {server.reason}", server.id):
                told.append(self._of_server(events.SERVER_FAILED, server, now, f"{server.name} is not moved: {server.reason}",
                                            reason=server.reason, final=int(server.final)))
        for host in sorted(sight.failing):
            if self._news(f"{events.DESTINATION} {host}"):
                told.append(self._event(events.DESTINATION, now, f"evacuations to {host} fail; others are tried first", destination=host))
        return told

    def gone(self, end: str, now: float, clock: float) -> list[Event]:
        """Its record is gone. `end` is how, as in incident.py."""
        one = self.incident
        if end == incident.IN_SERVICE and one.state in ("", FENCED):
            end = incident.CLEARED               # nothing was ever evacuated
        self.incident = replace(one, end=end, returned=now if end == incident.IN_SERVICE else 0.0)
        if end == incident.IN_SERVICE:
            if self._let_in is not None:
                self._mark("return", clock - self._let_in)
            return [self._event(events.IN_SERVICE, now, f"{one.node} is back in service")]
        if end == incident.DISMISSED:
            return [self._event(events.DISMISSED, now, f"a person has dismissed the record of {one.node}")]
        if end == incident.CLEARED:
            return [self._event(events.CLEARED, now, f"the record of {one.node} is gone, and nothing was evacuated")]
        return []

    def _news(self, kind: str, server: str = "") -> bool:
        """Whether it has not been told yet; from now on it has."""
        if (server, kind) in self._told:
            return False
        self._told.add((server, kind))
        return True

    def _of_server(self, kind: str, server: Seen, now: float, sentence: str, **facts: str | int) -> Event:
        request = {"request": server.request} if server.request else {}
        return self._event(kind, now, sentence, server=server.id, name=server.name, attempt=server.attempt, **request, **facts)

    def _event(self, kind: str, now: float, sentence: str, **facts: str | int) -> Event:
        return Event(kind, self.incident.id, self.incident.node, self.incident.host or self.incident.node, now, sentence, facts)

