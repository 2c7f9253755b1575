"""When a person should look first, and which host takes the place of a dead one."""

from __future__ import annotations

import pytest
from instance_ha import model
from instance_ha.engine.limits import Failed, held, is_new, reserve_for
from instance_ha.model import Aggregate, Record, Service


def service(host: str, up: bool = True, enabled: bool = True, reason: str = "", zone: str = "nova") -> Service:
    return Service(host, "nova-compute", host, enabled, up, not up, reason, "", zone)


def failed(*hosts: str, state: str = model.CONFIRMED, released: bool = False) -> list[Failed]:
    return [Failed(host, host, Record(host, state, "x", released=released)) for host in hosts]


FOUR = [service(f"c{n}", up=n > 2) for n in range(1, 5)]


@pytest.mark.parametrize(("down", "threshold", "nodes"), [
    (failed("c1"), 50, set()), (failed("c1", "c2"), 50, set()), (failed("c1", "c2", "c3"), 50, {"c1", "c2", "c3"}),
    (failed("c1", "c2"), 49, {"c1", "c2"}), (failed("c1"), 0, set()), (failed("c1", "c2", "c3"), 100, set()),
    (failed("c1", "c2", "c3", state=model.RETURNING), 50, set()),
    ([*failed("c1", "c2", released=True), *failed("c3")], 50, {"c3"}),
])
def test_the_share_of_hosts(down: list[Failed], threshold: float, nodes: set[str]) -> None:
    found = held(down, FOUR, [], threshold)
    assert set(found) == nodes and all("instance-ha release" in reason for reason in found.values())


def test_hosts_that_nova_has_forgotten_do_not_count() -> None:
    """Services of hosts that were taken out years ago are down, and on no record."""
    old = [service(f"old{n}", up=False) for n in range(9)]
    assert set(held(failed("c1", "c2", "c3"), [*FOUR, *old], [], 50)) == {"c1", "c2", "c3"}


@pytest.mark.parametrize("key", ["instance-ha:max_failures", "instanceha:max_failures"])
def test_the_number_of_an_aggregate(key: str) -> None:
    rack = Aggregate("rack", frozenset(("c1", "c2")), {key: "1"})
    assert held(failed("c1", "c3"), FOUR, [rack], 100) == {}
    found = held(failed("c1", "c2", "c3"), FOUR, [rack], 100)
    assert set(found) == {"c1", "c2"} and "rack" in found["c1"]


def test_a_reserved_host_of_the_same_aggregate_comes_first() -> None:
    spare = [service("r1", enabled=False, reason="reserved"), service("r2", enabled=False, reason="Reserved for rack 2")]
    rack = [Aggregate("rack2", frozenset(("c1", "r2")), {})]
    assert reserve_for(FOUR[0], spare, rack) == spare[1]
    assert reserve_for(FOUR[0], spare, []) == spare[0]


@pytest.mark.parametrize("spare", [
    service("r1", enabled=False, reason="broken disk, was reserved"), service("r1"), service("r1", up=False, enabled=False, reason="reserved"),
    service("r1", enabled=False, reason="reserved", zone="other")])
def test_what_is_no_reserved_host_for_this_one(spare: Service) -> None:
    assert reserve_for(FOUR[0], [spare], []) is None


def test_hosts_in_repair_do_not_hold_up_the_next_one() -> None:
    """Seen at sites: two hosts wait for parts for a week, and the third one that dies is held for a person."""
    now = 1764000000.0
    for state, ago, counts in (("evacuated", 3599, True), ("evacuated", 3601, False), ("partly", 3601, False), ("confirmed", 90000, True),
                               ("fenced", 90000, True)):
        assert is_new(Record("n", state, "x", int(now - ago)), now) is counts
    assert is_new(Record("n", "evacuated", "x"), now), "nobody knows since when"
