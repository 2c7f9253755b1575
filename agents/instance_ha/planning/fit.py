"""Pure: placing servers one after the other on what the hosts have left. Placement's arithmetic, and none of the scheduler's taste."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..model import Group

Key = tuple[str, str]                       # provider, resource class
Takes = tuple[tuple[Key, int], ...]         # what one way of placing takes, and from where
LOTS = 16                                   # ways of placing that are drawn by lot, besides emptiest first and fullest first
UNITS = {"VCPU": "VCPU", "PCPU": "PCPU", "MEMORY_MB": "MiB of memory", "DISK_GB": "GiB of disk"}

SURE = "sure"        # no choice of hosts for the others can leave it over
LIKELY = "likely"    # it found a host in each way of placing that was tried
TIGHT = "tight"      # in some, not in all
NO = "no"            # in none


@dataclass(frozen=True)
class Item:
    """What is placed as one: a server, or an affinity group. `ways` are the ways to take it, by the host; hosts where the rules
    do not let it go are not in it. On the providers in `keeps` it holds its share already: room is asked there, and none taken.
    `apart` is its hard anti-affinity group."""

    id: str
    ways: Mapping[str, tuple[Takes, ...]]
    keeps: frozenset[str] = frozenset()
    apart: Group | None = None


@dataclass(frozen=True)
class Space:
    """What is left before the first is placed: `free` and `capacity` by provider and class, and how many `members` of an
    anti-affinity group (its id) a host has."""

    free: Mapping[Key, int]
    capacity: Mapping[Key, int]
    members: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True)
class Spot:
    """Where one was placed; `host` None: nowhere, and `lack` says what was missing."""

    host: str | None
    lack: str = ""


@dataclass(frozen=True)
class Chance:
    """How it went for one in all ways of placing: in how many of them it `found` a host. `certain`: no way at all can leave it
    over. `hosts` could take it if it came first. `lack` is what was missing in the first way that left it over."""

    found: int
    ways: int
    certain: bool
    hosts: tuple[str, ...]
    lack: str = ""

    @property
    def word(self) -> str:
        if not self.found:
            return NO
        if self.found < self.ways:
            return TIGHT
        return SURE if self.certain else LIKELY


Choose = Callable[[Mapping[str, float]], str]  # a host out of those with room, given what share of each would be free


def emptiest(room: Mapping[str, float]) -> str:
    return max(sorted(room), key=lambda host: room[host])


def fullest(room: Mapping[str, float]) -> str:
    return min(sorted(room), key=lambda host: room[host])


def by_lot(lot: random.Random) -> Choose:
    return lambda room: lot.choice(sorted(room))


def ways_of_placing(items: Sequence[Item], window: int, lots: int = LOTS) -> Iterator[tuple[Sequence[Item], Choose]]:
    """The ways that are tried: an order, and how a host is chosen. The first two keep the order of evacuation. By lot, one may
    be overtaken by those that are under way with it, `window` at once. The same call gives the same ways."""
    yield items, emptiest
    yield items, fullest
    for number in range(lots):
        lot = random.Random(number)      # noqa: S311  an order that can be repeated, no secret
        rest, order = list(items), []
        while rest:
            order.append(rest.pop(lot.randrange(min(max(window, 1), len(rest)))))
        yield order, by_lot(lot)


def place(items: Iterable[Item], space: Space, choose: Choose) -> dict[str, Spot]:
    """Place all, in this order, each on the chosen one of the hosts that have room for it then."""
    free, members = dict(space.free), dict(space.members)
    spots: dict[str, Spot] = {}
    for item in items:
        fitting = {host: way for host, ways in item.ways.items() if not _is_full(item, host, members) and (way := _first(ways, free))}
        if not fitting:
            spots[item.id] = Spot(None, _lack(item, free, space.capacity, members))
            continue
        host = choose({name: _share(way, free, space.capacity) for name, way in fitting.items()})
        spots[item.id] = Spot(host)
        for key, amount in fitting[host]:
            if key[0] not in item.keeps:
                free[key] -= amount
        if item.apart:
            members[item.apart.id, host] = members.get((item.apart.id, host), 0) + 1
    return spots


def chances(items: Sequence[Item], space: Space, window: int, certain: frozenset[str]) -> tuple[dict[str, Chance], list[frozenset[str]]]:
    """The chance of each, and for each way of placing who was left over. `certain` are those for whom it is known (certain.py)."""
    found = {item.id: 0 for item in items}
    lacks: dict[str, str] = {}
    left: list[frozenset[str]] = []
    for order, choose in ways_of_placing(items, window):
        spots = place(order, space, choose)
        left.append(frozenset(key for key, spot in spots.items() if spot.host is None))
        for key, spot in spots.items():
            if spot.host is None:
                lacks.setdefault(key, spot.lack)
            else:
                found[key] += 1
    return {item.id: Chance(found[item.id], len(left), item.id in certain, hosts_with_room(item, space), lacks.get(item.id, ""))
            for item in items}, left


def hosts_with_room(item: Item, space: Space) -> tuple[str, ...]:
    """The hosts that could take it if it came first."""
    return tuple(sorted(host for host, ways in item.ways.items() if not _is_full(item, host, space.members) and _first(ways, space.free)))


def amount_of(resource: str, amount: int) -> str:
    """An amount of a resource class for a person."""
    return f"{amount} {UNITS.get(resource, resource)}"


def _first(ways: Iterable[Takes], free: Mapping[Key, int]) -> Takes | None:
    return next((way for way in ways if all(free.get(key, 0) >= amount for key, amount in way)), None)


def _is_full(item: Item, host: str, members: Mapping[tuple[str, str], int]) -> bool:
    return item.apart is not None and members.get((item.apart.id, host), 0) >= item.apart.most


def _share(way: Takes, free: Mapping[Key, int], capacity: Mapping[Key, int]) -> float:
    return sum((free[key] - amount) / capacity[key] for key, amount in way) / max(len(way), 1)


def _lack(item: Item, free: Mapping[Key, int], capacity: Mapping[Key, int], members: Mapping[tuple[str, str], int]) -> str:
    """What the host that comes nearest is short of."""
    short = [(sum(missing / capacity[key] for key, missing in one.items()), host, one)
             for host, ways in sorted(item.ways.items()) if not _is_full(item, host, members)
             for way in ways if (one := {key: amount - free.get(key, 0) for key, amount in way if amount > free.get(key, 0)})]
    if not short:
        group = item.apart.name if item.apart else ""
        return f"every host that may take it has a member of its anti-affinity group {group}"
    _, host, missing = min(short, key=lambda one: one[:2])
    words = ", ".join(amount_of(key[1], amount) for key, amount in sorted(missing.items()))
    return f"no host has room left when its turn comes; {host} comes nearest and is short of {words}"
