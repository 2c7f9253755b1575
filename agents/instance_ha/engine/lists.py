"""What Nova lists of a dead host, read for several hosts at once before these are looked at one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from ..model import Migration, Server
from ..nova import Nova

AHEAD = 5.0           # seconds for which lists that were read ahead are looked at


@dataclass(frozen=True)
class Lists:
    """A host's evacuations from `baseline` on, and its servers, or why Nova did not list them. `began` is when Nova was asked."""

    began: float
    baseline: int
    migrations: Future[list[Migration]]
    servers: Future[list[Server]]


class Ahead:
    """Reads the lists of one host. `clock` is monotonic seconds."""

    def __init__(self, nova: Nova, host: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.nova, self._host, self._clock = nova, host, clock
        self._lists: Lists | None = None

    def read(self, baseline: int) -> None:
        """Read them for the next `take`."""
        began = self._clock()
        with ThreadPoolExecutor(2) as pool:
            rows, there = pool.submit(self.nova.evacuations, self._host, baseline), pool.submit(self.nova.servers_on, self._host)
        self._lists = Lists(began, baseline, rows, there)

    def take(self, baseline: int) -> Lists:
        """Return those that were read ahead, if they are fresh, else new ones. Each are taken once."""
        lists, self._lists = self._lists, None
        if lists is None or lists.baseline != baseline or self._clock() - lists.began > AHEAD:
            self.read(baseline)                # however long that took: whoever acts looks at the server itself once more
            lists, self._lists = self._lists, None
        assert lists is not None
        return lists
