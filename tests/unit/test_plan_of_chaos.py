"""Chaos can be repeated, and never takes all compute hosts; the fault matrix names acts that there are."""

from __future__ import annotations

from tests.chaos.plan import Act, plan
from tests.chaos.player import KNOWN
from tests.chaos.witness import not_meant
from tests.faults.rows import rows

COMPUTES = [f"cmp-{n}" for n in range(1, 6)]


def test_a_seed_repeats_a_plan() -> None:
    assert plan(3, 7, COMPUTES) == plan(3, 7, COMPUTES)
    assert len({plan(3, number, COMPUTES) for number in range(50)}) > 40


def test_two_hosts_are_left_whatever_is_drawn() -> None:
    for seed in range(20):
        for number in range(50):
            drawn = plan(seed, number, COMPUTES)
            dying = {act.what for act in drawn.acts if act.name in ("power", "cable", "freeze", "remoted", "destination")}
            assert len(dying) <= 3 and {act.name for act in drawn.acts} <= KNOWN


def test_the_matrix_names_acts_that_there_are() -> None:
    found = [*rows()]
    assert {act.name for row in found for act in row.acts} <= KNOWN
    assert len({(row.group, row.name) for row in found}) == len(found) > 50


def test_only_what_an_act_explains_may_fail() -> None:
    dead, compute = ("cmp-1_monitor_5000", "ctl-2", ""), ("nova-compute_monitor_10000", "cmp-2", "")
    device, worker = ("fence-nova_monitor_60000", "ctl-1", ""), ("nova-evacuate_monitor_10000", "ctl-1", "the worker has died")
    stop = ("nova-evacuate_stop_0", "ctl-1", "")
    everything = [dead, compute, device, worker, stop]
    assert not_meant(everything, [], []) == sorted(everything)
    assert not_meant(everything, [Act(0, "power", "cmp-1"), Act(0, "service", "nova-api", 9)], ["cmp-1"]) == sorted([compute, worker, stop])
    assert not_meant(everything, [Act(0, "kill_worker"), Act(0, "nova_compute", "cmp-2")], ["cmp-1"]) == sorted([device, stop])
