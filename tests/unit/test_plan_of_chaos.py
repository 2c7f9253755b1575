"""Chaos can be repeated, and never takes all compute hosts; the fault matrix names acts that there are."""

from __future__ import annotations

from tests.chaos.acts import NAMES
from tests.chaos.plan import plan
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
            assert len(dying) <= 3 and {act.name for act in drawn.acts} <= NAMES


def test_the_matrix_names_acts_that_there_are() -> None:
    found = [*rows()]
    assert {act.name for row in found for act in row.acts} <= NAMES
    assert len({(row.group, row.name) for row in found}) == len(found) > 50
