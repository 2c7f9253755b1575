"""Four hosts die at once: the order holds over all of them, and none waits for another."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

from tests.cluster.scenario import switch_worker
from tests.lab import cluster, watch
from tests.lab.common import NODES, LabError, say, wait_until
from tests.stress.incident import Incident, play
from tests.stress.report import Result, round_of

VICTIMS = 4
LIMIT = 600.0
FENCED_LIMIT = 240.0
MOST_AT_ONCE = 16    # so many wait for Nova at most, and may have been begun when a more important server turns up
ONE_TURN = 8.0       # seconds; what one turn chose goes out side by side, and Nova answers so late when 16 wait
_CONFIRMED = re.compile(r"^([\d:.]+) .*INFO: (\S+): fencing confirmed by Pacemaker")
_DAY = 86400.0


def run(count: int) -> Iterator[Result]:
    """One result as it comes, and one where the worker is away until all hosts are fenced: then the order holds over all of them."""
    yield round_of("hosts", "at once", lambda result: _one(result, count, False))
    yield round_of("hosts", "together", lambda result: _one(result, count, True))


def _one(result: Result, count: int, together: bool) -> None:
    computes = [node.name for node in cluster.size().nodes if node.kind == "compute"]
    incident = result.incident = Incident(computes[:VICTIMS])
    say(f"\n=== hosts: {count} servers on {', '.join(incident.victims)}")
    incident.boot(count, priorities=True)
    if together:
        switch_worker("disable")
    result.statuses = play(incident, (lambda: _hold(incident)) if together else (lambda: None), LIMIT)
    first = {uid: min(times) for uid, times in watch.evacuation_requests(incident.begun).items()}
    confirmed = confirmations(incident.begun)
    result.notes += describe(incident, first, confirmed)
    audit_order(incident, first, confirmed, together)
    audit_shares(incident, first, confirmed)


def _hold(incident: Incident) -> None:
    """There is no worker until Pacemaker has fenced all of them."""
    try:
        if not wait_until(lambda: set(incident.fenced()) >= set(incident.victims), FENCED_LIMIT, 2):
            raise LabError(f"of {', '.join(incident.victims)} only {', '.join(incident.fenced())} are fenced")
        assert not watch.evacuation_requests(incident.begun), "requests although there is no worker"
    finally:
        switch_worker("enable")


def confirmations(since: float) -> dict[str, float]:
    """When the worker had Pacemaker's word on each host, by its log."""
    found: dict[str, float] = {}
    for path in NODES.glob("ctl-*/log/syslog"):
        for line in path.read_text(errors="replace").splitlines():
            match = _CONFIRMED.match(line)
            if match:
                clock = datetime.datetime.strptime(match.group(1), "%H:%M:%S.%f").time()
                moment = datetime.datetime.combine(datetime.date.fromtimestamp(since), clock).timestamp()
                if moment < since and since - moment > _DAY / 2:  # past midnight: the log has no date
                    moment += _DAY
                if moment > since:
                    found.setdefault(match.group(2), moment)
    return found


def describe(incident: Incident, first: dict[str, float], confirmed: dict[str, float]) -> list[str]:
    """The order in a few lines."""
    lines = ["confirmed after " + ", ".join(f"{host} {moment - incident.begun:.1f} s" for host, moment in sorted(confirmed.items()))]
    for priority in sorted({known.priority for known in incident.protected.values()}, reverse=True):
        times = [first[uid] - incident.begun for uid, known in incident.protected.items() if known.priority == priority]
        lines.append(f"priority {priority}: {len(times)} requests from {min(times):.1f} to {max(times):.1f} s")
    late = inversions(incident, first, confirmed)
    lines.append(f"largest inversion {max(late, default=0):.2f} s, {len(late)} in all")
    return lines


def inversions(incident: Incident, first: dict[str, float], confirmed: dict[str, float]) -> list[float]:
    """For each request before which a more important server, whose host was confirmed, should have had its own: how much later that came."""
    late = []
    for uid, known in incident.protected.items():
        waited = [first[other] - first[uid] for other, more in incident.protected.items()
                  if more.priority > known.priority and confirmed[more.host] < first[uid] < first[other]]
        if waited:
            late.append(max(waited))
    return late


def audit_order(incident: Incident, first: dict[str, float], confirmed: dict[str, float], together: bool) -> None:
    """A less important server is asked for before a more important one only within the same turn."""
    missing = [known.name for uid, known in incident.protected.items() if uid not in first]
    assert not missing, f"no request is on record for {missing}"
    late = inversions(incident, first, confirmed)
    assert max(late, default=0) < ONE_TURN, f"a more important server was asked for {max(late):.1f} s after a less important one"
    if not together:
        return
    last_900 = max(first[uid] for uid, known in incident.protected.items() if known.priority == 900)
    first_100 = min(first[uid] for uid, known in incident.protected.items() if known.priority == 100)
    assert last_900 < first_100, "a server of priority 100 was asked for before the last of priority 900"


def audit_shares(incident: Incident, first: dict[str, float], confirmed: dict[str, float]) -> None:
    """In each class the first server of each host is among the first that are asked for after the host was confirmed."""
    for priority in {known.priority for known in incident.protected.values()}:
        for host in incident.victims:
            own = [first[uid] for uid, known in incident.protected.items() if (known.priority, known.host) == (priority, host)]
            if not own:
                continue
            others = [first[uid] for uid, known in incident.protected.items()
                      if known.priority == priority and known.host != host and confirmed[host] < first[uid] < min(own)]
            assert len(others) < MOST_AT_ONCE, f"{len(others)} servers of priority {priority} came before the first of {host}"
