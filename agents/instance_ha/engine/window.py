"""Pure: how many evacuations run at once, and who comes next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..model import Server
from .selection import group_of, order_key, rank_of

FIRST_WINDOW = 4      # evacuations begun before Nova has shown how it copes
SLOW = 5.0            # seconds; an answer that takes longer narrows the window
GAIN = 1.1            # completions a second have to grow by this factor for the window to widen further
LOOK = 5.0            # seconds after which a window whose evacuations all have a destination is widened although none is complete


class Window:
    """How many evacuations may be under way at once.

    It starts modestly, doubles as long as that brings more completions a second, and halves after trouble: a lost answer, or
    one slower than SLOW. `floor` and `ceiling` bound it. Nova itself limits nothing.
    """

    def __init__(self, floor: int, ceiling: int) -> None:
        self.floor, self.ceiling = min(floor, ceiling), ceiling
        self.size = min(max(FIRST_WINDOW, floor), ceiling)
        self._began: float | None = None
        self._finished = 0
        self._best = 0.0

    def room(self, under_way: int, still: int) -> int:
        """How many may begin. What stands `still` takes no place in the window: lost requests would keep the others waiting for as
        long as it takes to know that they are. All of them together stay below the ceiling."""
        return min(self.size - under_way, self.ceiling - under_way - still)

    def tick(self, now: float, under_way: int, undecided: int, finished: int) -> None:
        """A turn is over: `under_way` evacuations run, `undecided` of them have no destination yet, `finished` more are complete."""
        if under_way + finished < self.size:
            self._began = None  # not full: it tells nothing
            return
        if self._began is None:
            self._began, self._finished = now, 0
            return
        self._finished += finished
        rate = self._finished / max(now - self._began, 0.001)
        if self._finished >= self.size:
            if rate > self._best * GAIN:
                self._widen()
            self._best = rate
            self._began = None
        elif not self._best and not undecided and now - self._began >= LOOK:
            self._widen()
            self._began = None

    def trouble(self) -> None:
        """An answer was lost or slow."""
        self.size = max(self.floor, self.size // 2)
        self._began, self._best = None, 0.0

    def _widen(self) -> None:
        self.size = min(self.ceiling, self.size * 2)


Group = tuple[str, str]   # the project, and the restart group's name


@dataclass(frozen=True)
class Waiting:
    """A server that is to be evacuated, and its dead host."""

    host: str
    server: Server


class Queue:
    """Who comes next, over all hosts: the highest priority first; among equals each host in turn; a restart group when the
    groups before it are over, or `group_timeout` seconds after the first of them that is not was begun."""

    def __init__(self, group_timeout: float, start_pause: float, clock: Callable[[], float]) -> None:
        self.group_timeout, self.start_pause, self._clock = group_timeout, start_pause, clock
        self._since: dict[Group, float] = {}
        self._last_start = float("-inf")

    def choose(self, waiting: Sequence[Waiting], unfinished: Iterable[Server], busy: Mapping[str, int],
               room: int) -> tuple[list[Waiting], dict[str, str]]:
        """Those to begin now, at most `room`; and why each of the others waits, by id. `unfinished` are all servers that have
        not arrived and are not given up, `busy` how many each host has under way."""
        now = self._clock()
        held = self._held(list(unfinished), now)
        if self.start_pause:
            room = min(room, 1 if now - self._last_start >= self.start_pause else 0)
        load = dict(busy)
        chosen: list[Waiting] = []
        rest = [one for one in waiting if _group(one.server) not in held]
        while rest and len(chosen) < room:
            following = min(rest, key=lambda one: (rank_of(one.server), load.get(one.host, 0), order_key(one.server)))
            rest.remove(following)
            chosen.append(following)
            load[following.host] = load.get(following.host, 0) + 1
        if chosen:
            self._last_start = now
        reasons = {one.server.id: held.get(_group(one.server), "waits for its turn") for one in waiting if one not in chosen}
        return chosen, reasons

    def _held(self, unfinished: Sequence[Server], now: float) -> dict[Group, str]:
        """The groups that have to wait, and for which one. A group is one of a project: no user holds up another project's servers."""
        ranks: dict[Group, tuple[int, int, int]] = {}
        for server in unfinished:
            if group_of(server):
                group = _group(server)
                ranks[group] = min(ranks.get(group, rank_of(server)), rank_of(server))
        self._since = {group: since for group, since in self._since.items() if group in ranks}
        held: dict[Group, str] = {}
        before: dict[str, str] = {}
        for group in sorted(ranks, key=lambda one: (ranks[one], one)):
            project, name = group
            if project in before:
                held[group] = f"waits for the restart group {before[project]}"
            elif now - self._since.setdefault(group, now) < self.group_timeout:
                before[project] = name
        return held


def _group(server: Server) -> Group:
    return server.project, group_of(server)
