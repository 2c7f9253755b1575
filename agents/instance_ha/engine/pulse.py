"""Pure: whether everything of Nova that may hold a request was at work all the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from ..model import Service

PULSE = 30.0          # a conductor or scheduler that has not reported for so long may hang; Nova's report_interval is 10 s by default
MISSED = 3            # after so many of its usual reports are missing, a service was silent
SHORTEST_GAP = 5.0    # seconds; less is no gap, however often it reports
RESTART = timedelta(seconds=15)   # a conductor that is started works for some seconds before its first report
GONE = timedelta(minutes=5)   # Nova's last word of a service may be so much older than its death
SURE = 2              # reports of nova-compute after which it counts as running


class Pulse:
    """Whether every conductor and scheduler that may hold a request has been seen at work without a gap. Nova calls one up for as
    long as its service_down_time after it died, so what counts is that its time stamp moves; and that this process was there to
    see it. `gaps` are the hosts of those that were silent for a while, and when they were heard again."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, float]] = {}   # service id -> its time stamp, and when that moved
        self._usual: dict[str, float] = {}              # and the shortest time between two of its reports
        self._since: dict[str, float] = {}              # and when that stamp was first seen
        self._looked = float("-inf")
        self.gaps: dict[str, float] = {}
        self.heard: dict[str, str] = {}                 # Nova's text of that report, by host

    def beats(self, control: Sequence[Service], now: float, began: str = "") -> bool:
        """Whether nothing was missed since the last look. One that has been down since long before `began`, Nova's text of the time
        of the first request, can hold none of them."""
        before, self._looked = self._looked, now
        unbroken = now - before < PULSE
        for service in control:
            stamp, moved = self._seen.get(service.id, (None, 0.0))
            if stamp is None:
                self._seen[service.id] = (service.updated, float("-inf"))
                self._since[service.id] = now
            elif stamp != service.updated:
                self._note(service, now, now - moved, before - self._since[service.id])
                self._seen[service.id] = (service.updated, now)
                self._since[service.id] = now
        relevant = [service for service in control if service.up or not long_before(service.updated, began)]
        return unbroken and all(service.up and now - self._seen[service.id][1] < PULSE for service in relevant)

    def _note(self, service: Service, now: float, pause: float, silent: float) -> None:
        """Note that a service was silent before this report: for `silent` seconds each look showed
        the same. `pause` is the time between the looks that showed something new."""
        usual = self._usual.get(service.id)
        if service.binary == "nova-conductor" and silent > (PULSE if usual is None else min(PULSE, max(MISSED * usual, SHORTEST_GAP))):
            self.gaps[service.host], self.heard[service.host] = now, service.updated
        if pause >= 1.0 and pause != float("inf"):
            self._usual[service.id] = min(usual or pause, pause)


def before_a_restart(taken: str, heard: str) -> bool:
    """Return True if a conductor that took a request at `taken` was started again after that: it was silent, and first heard
    again at `heard`. Both are Nova's texts; what cannot be read is not certain."""
    try:
        return datetime.fromisoformat(taken) + RESTART <= datetime.fromisoformat(heard)
    except (ValueError, TypeError):
        return False


def long_before(since: str, made: str) -> bool:
    """Return True if a service that was last heard at `since` was down for certain at `made`. Both are Nova's texts; what cannot be
    read is not certain."""
    try:
        return datetime.fromisoformat(since) + GONE < datetime.fromisoformat(made)
    except (ValueError, TypeError):
        return False


class Fallen:
    """Compute hosts that have died of late. A request that was given to one waits in its message queue, without a destination in
    Nova's record, and is carried out when the host is back."""

    def __init__(self) -> None:
        self._were_up: dict[str, str] = {}     # hosts that were up, and their last report

    def look(self, computes: Sequence[Service], dead: str) -> dict[str, str]:
        """Those that are not up, each with Nova's last word of it, without the host that is evacuated. One that a list leaves out is not
        known to be up."""
        self._were_up |= {service.host: service.updated for service in computes if service.up}
        up = {service.host for service in computes if service.up}
        said = {service.host: service.updated for service in computes}
        return {host: said.get(host, since) for host, since in {**self._were_up, **said}.items() if host not in up and host != dead}


class Reports:
    """How often a nova-compute was seen to report: its time stamp moves while nothing else of the service does. Each change of
    a service moves it too, ours when we mark it down as well as a person's."""

    def __init__(self) -> None:
        self.count = 0
        self._seen: Service | None = None      # the service at the last look

    def look(self, service: Service) -> int:
        """The count, after one more look."""
        if self._seen and service.updated != self._seen.updated:
            # What nova-compute reports changes nothing but the time stamp, and whether Nova has it up.
            self.count += replace(self._seen, updated=service.updated, up=service.up) == service
        self._seen = service
        return self.count
