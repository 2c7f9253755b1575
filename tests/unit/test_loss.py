"""What has to be placed when hosts are lost, where it may go, and which losses are the worst."""

from __future__ import annotations

from dataclasses import replace

import pytest
from instance_ha.demand import Ask, Demand
from instance_ha.model import Aggregate, Group, Service
from instance_ha.planning import worst
from instance_ha.planning.fit import emptiest, place
from instance_ha.planning.loss import Cloud, Lost, Mover, called, lost, space, takers
from instance_ha.planning.worst import combinations, hosts_missing, loss_of

from tests.unit.test_limits import service
from tests.unit.test_model import server

HOSTS = ("c1", "c2", "c3", "c4")


def size(ram: int, cpu: int = 1) -> Demand:
    return Demand(Ask((("MEMORY_MB", ram), ("VCPU", cpu))))


def mover(name: str, host: str = "c1", ram: int = 10, **fields: object) -> Mover:
    metadata = fields.pop("metadata", {})
    return Mover(server(id=name, name=name, host=host, metadata=metadata), host, size(ram), **fields)  # type: ignore[arg-type]


def cloud(*movers: Mover, free: int = 100, services: list[Service] | None = None, bundles: dict[tuple[str, str], Demand] | None = None,
          **fields: object) -> Cloud:
    """Hosts with so much memory free, on which everything may be placed."""
    demands = {*(m.demand for m in movers), *(bundles or {}).values()}
    left = {(host, name): free if name == "MEMORY_MB" else 64 for host in HOSTS for name in ("MEMORY_MB", "VCPU")}
    offers = {demand: {host: (tuple(((host, key), n) for key, n in demand.first.amounts),) for host in HOSTS} for demand in demands}
    return Cloud(services or [service(h) for h in HOSTS], movers, offers, left, dict.fromkeys(left, 100), bundles=bundles or {},
                 **fields)  # type: ignore[arg-type]


def part(parts: list[Lost], name: str) -> Lost:
    return next(p for p in parts if any(m.server.id == name for m in p.movers))


def test_who_can_take_something() -> None:
    services = [service("c1"), service("c2", enabled=False), service("c3", up=False), service("c4"), replace(service("c5"), forced_down=True)]
    assert takers(cloud(services=services), frozenset(("c1",))) == {"c4"}


def test_reserved_hosts_are_called_one_for_each() -> None:
    services = [service("c1"), service("c2"), *(service(f"r{n}", enabled=False, reason="reserved") for n in (1, 2, 3))]
    rack = [Aggregate("rack", frozenset(("c2", "r3")), {})]
    one = cloud(services=services, aggregates=rack)
    assert called(one, ("c2", "c1")) == ["r1", "r3"] and takers(one, frozenset(("c1", "c2"))) == {"r1", "r3"}
    assert called(one, ("r1", "c1")) == ["r2", "r3"]  # a reserved host may die too
    assert called(replace(one, reserves=False), ("c1",)) == []


def test_order_and_rules() -> None:
    services = [service("c1", zone="east"), service("c2", zone="east"), service("c3", zone="west"), service("c4", zone="west")]
    one = cloud(mover("late"), mover("early", metadata={"restart_priority": "900"}), mover("east", zone="east"),
                mover("moving", target="c4"), mover("both", zone="east", target="c4"), mover("elsewhere", host="c2"), services=services)
    parts = lost(one, frozenset(("c1",)))
    assert [p.item.id for p in parts] == ["early", "both", "east", "late", "moving"]
    assert [sorted(p.hosts) for p in parts] == [["c2", "c3", "c4"], [], ["c2"], ["c2", "c3", "c4"], ["c4"]]
    assert part(parts, "both").rule == "its live migration's destination c4 and hosts of its zone east" and part(parts, "late").rule == ""
    # The destination of its live migration is dead too: any host may have it.
    assert sorted(part(lost(one, frozenset(("c1", "c4"))), "moving").hosts) == ["c2", "c3"]


FAMILY = Group("f", "family", "affinity", ("f1", "f2", "away"))


def test_a_family_moves_as_one_to_a_host_of_its_zone() -> None:
    services = [service("c1", zone="east"), service("c2", zone="east"), service("c3"), service("c4")]
    one = cloud(mover("f1"), mover("f2", ram=20), mover("x"), services=services, bundles={("f", "c1"): size(30, 2)},
                groups=dict.fromkeys(FAMILY.members, FAMILY), homes={"f1": "c1", "f2": "c1"})
    parts = lost(one, frozenset(("c1",)))
    family = part(parts, "f2")
    assert [m.server.id for m in family.movers] == ["f1", "f2"] and family.demand == size(30, 2)
    assert family.hosts == {"c2"} and family.rule == "one host of the zone east, with all 2 of its affinity group family"
    assert sum(len(p.movers) for p in parts) == 3


def test_a_family_with_a_member_that_lives_goes_to_it() -> None:
    """Even on a host that is disabled: it is sent past the scheduler. One on another dead host is no home."""
    one = cloud(mover("f1"), mover("f2"), services=[service("c1"), service("c2", enabled=False), service("c3")], bundles={("f", "c1"): size(20, 2)},
                groups=dict.fromkeys(FAMILY.members, FAMILY), homes={"f1": "c1", "f2": "c1", "away": "c2"})
    assert [(p.item.id, sorted(p.hosts), p.fixed) for p in lost(one, frozenset(("c1",)))] == [("f1", ["c2"], True), ("f2", ["c2"], True)]
    assert [sorted(p.hosts) for p in lost(one, frozenset(("c1", "c2")))] == [["c3"]]


def test_anti_affinity_counts_members_on_hosts_that_live() -> None:
    group = Group("g", "apart", "anti-affinity", ("a1", "a2", "a3"))
    one = cloud(mover("a1"), mover("a2", host="c2"), groups=dict.fromkeys(group.members, group), homes={"a1": "c1", "a2": "c2", "a3": "c3"})
    for gone, hosts in ((("c1",), {"c4"}), (("c1", "c2"), {"c4", None})):
        spots = place([p.item for p in lost(one, frozenset(gone))], space(one), emptiest)
        assert {spot.host for spot in spots.values()} == hosts


def test_the_worst_loss_and_what_is_missing() -> None:
    one = cloud(*(mover(f"a{n}", "c1", 60) for n in range(4)), mover("b", "c2", 10))
    found = {hosts: loss_of(one, hosts, 16) for hosts in combinations(HOSTS, 1, {})[0]}
    assert {hosts: (loss.move, loss.fewest, loss.most) for hosts, loss in found.items()} == {
        ("c1",): (4, 1, 1), ("c2",): (1, 0, 0), ("c3",): (0, 0, 0), ("c4",): (0, 0, 0)}
    assert [p.item.id for p in found["c1",].left] == ["a3"]
    two = loss_of(one, ("c1", "c2"), 16)
    assert (two.move, two.fewest, two.most) == (5, 2, 2)
    assert hosts_missing(two.left, {"MEMORY_MB": 100, "VCPU": 64}) == 2 and hosts_missing(two.left, {"MEMORY_MB": 120, "VCPU": 64}) == 1
    assert hosts_missing(two.left, {"MEMORY_MB": 59, "VCPU": 64}) is None and hosts_missing([], {}) == 0


def test_the_left_are_those_of_the_worst_way() -> None:
    """Emptiest first leaves no host for the large one; fullest first does."""
    one = cloud(mover("a", ram=40), mover("b", ram=40), mover("large", ram=90), mover("other", "c2", 1))
    loss = loss_of(replace(one, services=[service("c1"), service("c2"), service("c3")]), ("c1",), 1)
    assert (loss.fewest, loss.most, [p.item.id for p in loss.left]) == (0, 1, ["large"])


def test_hosts_that_are_missing_for_a_group() -> None:
    group = Group("g", "apart", "anti-affinity", ("a", "b"))
    one = cloud(mover("a"), mover("b"), groups=dict.fromkeys(group.members, group))
    assert hosts_missing(lost(one, frozenset(("c1",))), {"MEMORY_MB": 100, "VCPU": 64}) == 2
    assert hosts_missing([replace(p, fixed=True) for p in lost(one, frozenset(("c1",)))], {"MEMORY_MB": 100, "VCPU": 64}) is None
    # A class that the host itself does not have, such as a device's, does not count.
    assert hosts_missing(lost(one, frozenset(("c1",))), {"VCPU": 64}) == 2


@pytest.mark.parametrize(("count", "number", "total"), [(4, 2, 6), (40, 1, 40), (40, 2, 780), (400, 3, 10586800)])
def test_combinations(count: int, number: int, total: int) -> None:
    """All of them where they are few; else all of the heaviest hosts, and others, always the same, each once."""
    hosts = [f"c{n:03}" for n in range(count)]
    weight = {host: n for n, host in enumerate(hosts)}
    found, all_ = combinations(hosts, number, weight)
    assert all_ == total and len(found) == len(set(found)) == min(total, worst.MOST_COMBINATIONS)
    assert all(list(one) == sorted(set(one)) and len(one) == number for one in found)
    assert tuple(hosts[-number:]) in found and found == combinations(hosts, number, weight)[0]
    assert any(hosts[0] in one for one in found)
