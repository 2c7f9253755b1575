"""Placing servers on what is left, one after the other."""

from __future__ import annotations

import itertools
import random

import pytest
from instance_ha.model import Group
from instance_ha.planning import fit
from instance_ha.planning.certain import certain
from instance_ha.planning.fit import Item, Key, Space, Takes, chances, emptiest, fullest, place, ways_of_placing

APART = Group("g", "apart", "anti-affinity", ())


def on(hosts: str, keeps: tuple[str, ...] = (), apart: Group | None = None, name: str = "s", **amounts: int) -> Item:
    """A server that each of the hosts can take, each from one provider of the host's name."""
    return Item(name, {h: (way(h, **amounts),) for h in hosts}, frozenset(keeps), apart)


def way(provider: str, **amounts: int) -> Takes:
    return tuple(((provider, resource), amount) for resource, amount in amounts.items())


def room(members: dict[tuple[str, str], int] | None = None, **free: dict[str, int]) -> Space:
    left: dict[Key, int] = {(provider, resource): amount for provider, row in free.items() for resource, amount in row.items()}
    return Space(left, {key: 100 for key in left}, members or {})


def test_what_one_takes_the_next_does_not_have() -> None:
    items = [on("ab", ram=6, name="1"), on("ab", ram=6, name="2"), on("ab", ram=3, name="3"), on("ab", ram=3, name="4")]
    spots = place(items, room(a={"ram": 10}, b={"ram": 7}), emptiest)
    assert [spots[n].host for n in "1234"] == ["a", "b", "a", None]
    assert spots["4"].lack == "no host has room left when its turn comes; a comes nearest and is short of 2 ram"


@pytest.mark.parametrize(("choose", "hosts"), [(emptiest, ["a", "a"]), (fullest, ["b", "a"])])
def test_how_a_host_is_chosen(choose: fit.Choose, hosts: list[str]) -> None:
    spots = place([on("ab", ram=5, name="1"), on("ab", ram=1, name="2")], room(a={"ram": 20}, b={"ram": 5}), choose)
    assert [spots[n].host for n in "12"] == hosts


def test_every_class_counts() -> None:
    spot = place([on("ab", VCPU=2, MEMORY_MB=4)], room(a={"VCPU": 1, "MEMORY_MB": 90}, b={"VCPU": 9, "MEMORY_MB": 1}), emptiest)["s"]
    assert spot.host is None and spot.lack.endswith("a comes nearest and is short of 1 VCPU")


def test_a_device_is_taken_from_one_child() -> None:
    """Two children with one device each: two servers fit, a third does not."""
    def item(name: str) -> Item:
        return Item(name, {"a": (way("a1", dev=1), way("a2", dev=1))})
    spots = place([item("1"), item("2"), item("3")], room(a1={"dev": 1}, a2={"dev": 1}), emptiest)
    assert [spots[n].host for n in "123"] == ["a", "a", None]


def test_what_is_held_already_is_asked_and_not_taken() -> None:
    """Shared storage: Nova asks Placement for the disk, and does not take it twice."""
    def item(name: str, keeps: tuple[str, ...]) -> Item:
        return Item(name, {h: ((*way("disk", gb=4), *way(h, ram=1)),) for h in "ab"}, frozenset(keeps))
    space = room(disk={"gb": 5}, a={"ram": 9}, b={"ram": 9})
    spots = place([item("1", ("disk",)), item("2", ("disk",)), item("3", ()), item("4", ("disk",))], space, emptiest)
    assert [spots[n].host is not None for n in "1234"] == [True, True, True, False]


def test_anti_affinity_counts_those_that_live_and_those_that_were_placed() -> None:
    items = [on("abc", apart=APART, ram=1, name=n) for n in "12"]
    spots = place(items, room({("g", "a"): 1}, a={"ram": 9}, b={"ram": 9}, c={"ram": 9}), emptiest)
    assert {spots[n].host for n in "12"} == {"b", "c"}
    spots = place([on("ab", apart=APART, ram=1, name=n) for n in "12"], room({("g", "a"): 1}, a={"ram": 9}, b={"ram": 9}), emptiest)
    assert spots["2"] == fit.Spot(None, "every host that may take it has a member of its anti-affinity group apart")
    two = Group("g", "apart", "anti-affinity", (), 2)
    spots = place([on("a", apart=two, ram=1, name=n) for n in "12"], room({("g", "a"): 1}, a={"ram": 9}), emptiest)
    assert [spots[n].host for n in "12"] == ["a", None]


def test_the_ways_of_placing_are_the_same_each_time_and_keep_to_the_window() -> None:
    items = [on("a", ram=1, name=str(n)) for n in range(12)]
    first, again = ([[i.id for i in order] for order, _ in ways_of_placing(items, 3)] for _ in range(2))
    assert first == again and len(first) == fit.LOTS + 2
    assert first[0] == first[1] == [str(n) for n in range(12)] and len({tuple(order) for order in first}) > 5
    # The n-th to be placed is one of the first n + 3 of the order.
    assert all(int(name) <= place_ + 2 for order in first for place_, name in enumerate(order))
    assert all(sorted(order, key=int) == first[0] for order in first)


@pytest.mark.parametrize(("left", "word"), [(100, fit.SURE), (9, fit.SURE), (8, fit.LIKELY), (7, fit.TIGHT), (4, fit.NO)])
def test_the_words(left: int, word: str) -> None:
    """One of 5 among three of 3 on two hosts: the others take 9 at most; each host that is to be closed costs left - 4."""
    items = [on("ab", ram=3, name="1"), on("ab", ram=3, name="2"), on("ab", ram=3, name="3"), on("ab", ram=5, name="big")]
    space = room(a={"ram": left}, b={"ram": left})
    found, _ = chances(items, space, 16, certain(items, space))
    assert found["big"].word == word


def test_what_is_told_of_one() -> None:
    items = [on("ab", ram=3, name="1"), on("ab", ram=3, name="2")]
    found, left = chances(items, room(a={"ram": 3}, b={"ram": 1}), 16, frozenset())
    assert found["1"].hosts == ("a",) and found["1"].found + found["2"].found == len(left) == fit.LOTS + 2
    assert all(len(over) == 1 for over in left) and "short of 2 ram" in found["2"].lack
    assert found["1"].word == found["2"].word == fit.TIGHT  # by lot either may come first
    assert chances(items, room(a={"ram": 3}, b={"ram": 1}), 1, frozenset())[0]["1"].word == fit.LIKELY


def outcomes(items: list[Item], space: Space) -> list[set[str]]:
    """Who is left over, in every order and with every choice of hosts."""
    found = []
    for order in itertools.permutations(items):
        states: list[tuple[dict[Key, int], dict[tuple[str, str], int], frozenset[str]]] = [(dict(space.free), dict(space.members), frozenset())]
        for item in order:
            following = []
            for free, members, over in states:
                open_ = [(h, w) for h, ways in item.ways.items() for w in ways
                         if not (item.apart and members.get((item.apart.id, h), 0) >= item.apart.most) and all(free[k] >= n for k, n in w)]
                if not open_:
                    following.append((free, members, over | {item.id}))
                for host, w in open_:
                    less = {**free, **{k: free[k] - n for k, n in w if k[0] not in item.keeps}}
                    more = {**members, **({(item.apart.id, host): members.get((item.apart.id, host), 0) + 1} if item.apart else {})}
                    following.append((less, more, over))
            states = following
        found += [set(over) for _, _, over in states]
    return found


@pytest.mark.parametrize("seed", range(150))
def test_nothing_that_the_scheduler_may_do_leaves_a_sure_one_over(seed: int) -> None:
    """Small clouds by lot: with devices of children, shared storage, groups; every order and every choice of hosts is gone through."""
    lot = random.Random(seed)
    hosts = "abc"[:lot.randint(1, 3)]
    items = []
    for number in range(lot.randint(1, 4)):
        allowed = [h for h in hosts if lot.random() < 0.85]
        amounts = {"ram": lot.randint(1, 5), **({"cpu": lot.randint(1, 4)} if lot.random() < 0.6 else {})}
        storage = way("disk", gb=lot.randint(1, 2)) if lot.random() < 0.5 else ()
        device = lot.random() < 0.3
        ways = {h: tuple((*way(h, **amounts), *storage, *(way(child, dev=1) if child else ()))
                         for child in ((f"{h}1", f"{h}2") if device else ("",))) for h in allowed}
        items.append(Item(str(number), ways, frozenset(["disk"] if lot.random() < 0.5 else []), APART if lot.random() < 0.3 else None))
    free = {**{h: {"ram": lot.randint(3, 20), "cpu": lot.randint(3, 16)} for h in hosts}, "disk": {"gb": lot.randint(2, 5)},
            **{f"{h}{n}": {"dev": 1} for h in hosts for n in "12"}}
    space = room({("g", h): 1 for h in hosts if lot.random() < 0.2}, **free)
    left = set().union(*outcomes(items, space))
    assert not certain(items, space) & left
    found, _ = chances(items, space, 16, certain(items, space))
    assert {key for key, one in found.items() if one.word in (fit.TIGHT, fit.NO)} <= left


def test_much_room_is_sure() -> None:
    """The counting is no formality: in an ordinary cloud with room it vouches for all."""
    items = [on("abcdefgh", VCPU=2, MEMORY_MB=4, name=str(n)) for n in range(8)]
    space = room(**{h: {"VCPU": 90, "MEMORY_MB": 20} for h in "abcdefgh"})
    assert certain(items, space) == {item.id for item in items}
