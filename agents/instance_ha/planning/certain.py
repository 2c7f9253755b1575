"""Pure: which servers find room whatever hosts the scheduler chooses for the others, and in whatever order they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .fit import Item, Key, Space, Takes

NEVER = float("inf")


def certain(items: Sequence[Item], space: Space) -> frozenset[str]:
    """Those that nothing can leave over.

    To leave one over, the others would have to take so much of each host that may have it that no room is left there for it.
    For each host that is at least a certain share of all that the others take of one resource class. When these shares add
    up to more than there are classes, there is not enough of the others to do it.
    """
    shared = _on_several_hosts(items)
    total: Counter[str] = Counter()              # of a class, what all take together, at most
    reach: Counter[tuple[str, str]] = Counter()  # of a class, what those take that may come to this host
    drain: Counter[Key] = Counter()              # from a shared provider, at most
    for item in items:
        by_host = {host: _most(item, ways, shared) for host, ways in item.ways.items()}
        total.update(_highest(by_host.values()))
        reach.update({(host, resource): amount for host, most in by_host.items() for resource, amount in most.items()})
        drain.update(_drained(item, shared))
    rivals = _Rivals(shared, total, reach, drain)
    return frozenset(item.id for item in items if _is_certain(item, items, space, rivals))


@dataclass(frozen=True)
class _Rivals:
    """What all items take together at most: of a class, of a class on one host, from a provider that several hosts share (`shared`)."""

    shared: frozenset[str]
    total: Mapping[str, int]
    reach: Mapping[tuple[str, str], int]
    drain: Mapping[Key, int]


def _is_certain(item: Item, items: Sequence[Item], space: Space, rivals: _Rivals) -> bool:
    shared, total, reach, drain = rivals.shared, rivals.total, rivals.reach, rivals.drain
    by_host = {host: _most(item, ways, shared) for host, ways in item.ways.items()}
    own, own_drain = _highest(by_host.values()), _drained(item, shared)
    hosts = [host for host in item.ways if not item.apart or space.members.get((item.apart.id, host), 0) < item.apart.most]
    costs: list[float] = []
    classes: set[str] = set()
    for host in hosts:
        cost = 0.0
        for way in item.ways[host]:
            if any(key[0] in shared and space.free.get(key, 0) - drain.get(key, 0) + own_drain.get(key, 0) < amount for key, amount in way):
                continue
            free = {key: space.free.get(key, 0) - amount for key, amount in way if key[0] not in shared}
            price, by = _price(free, {r: n - own.get(r, 0) for r, n in total.items()},
                               {r: reach.get((host, r), 0) - by_host[host].get(r, 0) for r in total})
            cost = max(cost, price)
            classes |= by
        costs.append(cost)
    if item.apart:
        others = sum(1 for other in items if other.id != item.id and other.apart and other.apart.id == item.apart.id)
        costs = sorted(costs)[:max(0, len(costs) - others)]
    return bool(costs) and sum(costs) > len(classes)


def _price(free: Mapping[Key, int], total: Mapping[str, int], reach: Mapping[str, int]) -> tuple[float, set[str]]:
    """The least share of all that the others take of a class that closes this way, and the classes that can; NEVER: nothing does.
    `free` is what the way leaves of each class."""
    price, classes = NEVER, set()
    for (_, resource), rest in free.items():
        block = rest + 1
        if block <= 0:
            return 0.0, set()
        if block <= reach.get(resource, 0):
            classes.add(resource)
            price = min(price, block / total[resource])
    return price, classes


def _on_several_hosts(items: Sequence[Item]) -> frozenset[str]:
    """The providers that more than one host takes from, such as shared storage."""
    seen: dict[str, str] = {}
    shared = set()
    for item in items:
        for host, ways in item.ways.items():
            for way in ways:
                for (provider, _), _amount in way:
                    if seen.setdefault(provider, host) != host:
                        shared.add(provider)
    return frozenset(shared)


def _most(item: Item, ways: Sequence[Takes], shared: frozenset[str]) -> dict[str, int]:
    """The most that it takes of each class on one host, in any of these ways."""
    return _highest(_sum(way, item.keeps | shared) for way in ways)


def _sum(way: Takes, without: frozenset[str]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for (provider, resource), amount in way:
        if provider not in without:
            total[resource] += amount
    return total


def _highest(many: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for amounts in many:
        for resource, amount in amounts.items():
            found[resource] = max(found.get(resource, 0), amount)
    return found


def _drained(item: Item, shared: frozenset[str]) -> dict[Key, int]:
    found: dict[Key, int] = {}
    for ways in item.ways.values():
        for way in ways:
            for key, amount in way:
                if key[0] in shared and key[0] not in item.keeps:
                    found[key] = max(found.get(key, 0), amount)
    return found
