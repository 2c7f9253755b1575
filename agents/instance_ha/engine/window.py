"""Pure: how many evacuations run at once, and who comes next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..model import Server
from .selection import Policy, group_of, order_key, rank_of

FIRST_QUEUE = 16      # evacuations that may wait for Nova's choice of a host at once, while nothing speaks against it
SLOW = 5.0            # seconds; an answer that takes longer narrows the window


class Window:
    """How many evacuations may be under way at once, and how many of them may wait for Nova to choose a host.

    Nova limits neither. Its conductor takes one after the other: a few that wait keep it busy, and
    more would wait in Nova, where a more important one cannot overtake them. What has a host is at
    work there, so many on each living host (Policy.most_at_once). `queue` halves after trouble, and
    doubles when as many as it holds were asked for without any; it is never below min_parallel.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.size = policy.most_at_once(0)
        self._floor = self.size
        self.queue = self._widest = max(FIRST_QUEUE, self._floor)
        self._well = 0

    def room(self, under_way: int, undecided: int, still: int, living: int) -> int:
        """Return how many may begin, with `living` hosts to go to.

        `undecided` of those under way wait for a host. What stands `still` counts for the whole only:
        lost requests would keep the others waiting for as long as it takes to know that they are.
        """
        self.size = self._policy.most_at_once(living)
        return min(self.size - under_way - still, self.queue - undecided)

    def tick(self, sent: int, smooth: bool) -> None:
        """Note that so many were asked for, and whether without trouble: an answer lost or slow, a rebuild that failed."""
        if not smooth:
            self.queue, self._well = max(self._floor, self.queue // 2), 0
            return
        self._well += sent
        if self._well >= self.queue:
            self.queue, self._well = min(self._widest, 2 * self.queue), 0


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
