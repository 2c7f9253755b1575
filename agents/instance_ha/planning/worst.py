"""Pure: which hosts a cloud can lose, which losses are the worst, and what is missing then."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..demand import Amounts
from .fit import Spot, place, ways_of_placing
from .loss import Cloud, Lost, lost, space

MOST_COMBINATIONS = 500   # of hosts that are tried
LOTS = 2                  # ways of placing by lot for each of them, besides emptiest first and fullest first


@dataclass(frozen=True)
class Loss:
    """The death of `hosts`: how many servers are to `move`, how many of them the best and the worst way of placing leave over, and
    which the worst one leaves."""

    hosts: tuple[str, ...]
    move: int
    fewest: int
    most: int
    left: tuple[Lost, ...]


def combinations(hosts: Sequence[str], number: int, weight: Mapping[str, int], most: int = MOST_COMBINATIONS) -> tuple[list[tuple[str, ...]], int]:
    """The combinations of so many hosts that are tried, and how many there are. Of too many: all of the heaviest hosts, as far as
    half of `most` goes, and others by lot, always the same."""
    total = math.comb(len(hosts), number)
    if total <= most:
        return list(itertools.combinations(sorted(hosts), number)), total
    heaviest = sorted(hosts, key=lambda host: (-weight.get(host, 0), host))
    few = number
    while few < len(hosts) and math.comb(few + 1, number) <= most // 2:
        few += 1
    found = {tuple(sorted(one)): None for one in itertools.combinations(heaviest[:few], number)}
    lot = random.Random(0)               # noqa: S311  an order that can be repeated, no secret
    while len(found) < most:
        found[tuple(sorted(lot.sample(list(hosts), number)))] = None
    return list(found), total


def loss_of(cloud: Cloud, hosts: tuple[str, ...], window: int) -> Loss:
    """What the death of these hosts leaves over."""
    gone = frozenset(hosts)
    parts, room = lost(cloud, gone), space(cloud)
    outcomes = [place(order, room, choose) for order, choose in ways_of_placing([part.item for part in parts], window, LOTS)]
    counts = [_count(parts, spots) for spots in outcomes]
    worst = outcomes[counts.index(max(counts))]
    return Loss(hosts, sum(len(part.movers) for part in parts), min(counts), max(counts),
                tuple(part for part in parts if worst[part.item.id].host is None))


def hosts_missing(left: Sequence[Lost], capacity: Amounts) -> int | None:
    """How many more hosts of this capacity, empty, would take all of these, the largest first; None where one of them does not even
    fit into an empty one, or may only go to one certain host. Classes that such a host does not have itself do not count."""
    bins: list[tuple[dict[str, int], Counter[str]]] = []
    for one in sorted(left, key=lambda part: -part.demand.amounts.get("MEMORY_MB", 0)):
        need = {key: amount for key, amount in one.demand.amounts.items() if key in capacity}
        if one.fixed or any(amount > capacity[key] for key, amount in need.items()):
            return None
        group = one.item.apart
        fitting = (b for b in bins if all(b[0][key] >= amount for key, amount in need.items()) and (not group or b[1][group.id] < group.most))
        bin_ = next(fitting, None)
        if bin_ is None:
            bin_ = dict(capacity), Counter()
            bins.append(bin_)
        for key, amount in need.items():
            bin_[0][key] -= amount
        if group:
            bin_[1][group.id] += 1
    return len(bins)


def _count(parts: Sequence[Lost], spots: Mapping[str, Spot]) -> int:
    return sum(len(part.movers) for part in parts if spots[part.item.id].host is None)
