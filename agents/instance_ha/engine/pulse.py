"""Pure: whether everything of Nova that may hold a request was at work all the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..model import DISABLED_BY_US, Service

PULSE = 30.0          # a conductor or scheduler that has not reported for so long may hang; Nova's report_interval is 10 s by default
SURE = 2              # reports of nova-compute after which it counts as running


class Pulse:
    """Whether every conductor and scheduler has been seen at work without a gap. Nova calls one up for as long as its
    service_down_time after it died, so what counts is that its time stamp moves; and that this process was there to see it."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, float]] = {}   # service id -> its time stamp, and when that moved
        self._looked = float("-inf")

    def beats(self, control: Sequence[Service], now: float) -> bool:
        """Whether nothing was missed since the last look."""
        unbroken, self._looked = now - self._looked < PULSE, now
        for service in control:
            stamp, _ = self._seen.get(service.id, (None, 0.0))
            if stamp is None:
                self._seen[service.id] = (service.updated, float("-inf"))
            elif stamp != service.updated:
                self._seen[service.id] = (service.updated, now)
        return unbroken and all(service.up and now - self._seen[service.id][1] < PULSE for service in control)


class Fallen:
    """Compute hosts that have died of late. A request that was given to one waits in its message queue, without a destination in
    Nova's record, and is carried out when the host is back."""

    def __init__(self) -> None:
        self._were_up: set[str] = set()

    def look(self, computes: Sequence[Service], dead: str) -> dict[str, str]:
        """Those that were up, or that instance-ha has marked down, and are not up now, each with Nova's last word of it; without the
        host that is evacuated."""
        self._were_up |= {service.host for service in computes if service.up}
        return {service.host: service.updated for service in computes if not service.up and service.host != dead
                and (service.host in self._were_up or service.reason.startswith(DISABLED_BY_US))}


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
