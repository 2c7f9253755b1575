"""The property test sees what it is there for: each fault of an older engine, put back, is found among some thousand worlds."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from instance_ha.engine import attempts, places
from instance_ha.engine.attempts import Stage

from tests.unit.less import Dice, less, more_daring, too_careful, too_daring
from tests.unit.test_knowing_less import BYTES, honest

WORLDS = 20_000
Patch = pytest.MonkeyPatch


def found(worlds: int = WORLDS) -> str:
    """What the first world shows in which the engine dares too much, or with less knowledge more; "" when there is none."""
    drawn = random.Random(1)
    for _ in range(worlds):
        dice = Dice(drawn.randbytes(BYTES))
        world, truth = honest(dice)
        fewer = less(dice, world)
        wrong = too_daring(world, truth) or too_daring(fewer, truth) or more_daring(world, fewer)
        other = replace(world.case.server, fault="" if world.case.server.fault else "a fault")
        if not wrong and replace(world, case=replace(world.case, server=other)).decided().verdict.target != world.decided().verdict.target:
            wrong = "a fault that Nova does not show decides where it may go"
        wrong = wrong or too_careful(world, truth) or ""
        if wrong:
            return wrong
    return ""


def lists_are_enough(patch: Patch) -> None:
    """1: no row in a list, so nothing was asked; what is being rebuilt is nobody's."""
    patch.setattr(places, "needs_evidence", lambda case, scene: False)
    whole = places.to_evacuate
    patch.setattr(places, "to_evacuate", lambda seen: whole(seen)[:-1])


def the_last_try_alone_counts(patch: Patch) -> None:
    """2: a later try that failed harmlessly ends the suspicion of an earlier one."""
    suspects = places.Seen.suspects.func  # type: ignore[attr-defined]
    patch.setattr(places.Seen, "suspects", property(
        lambda seen: suspects(seen) & {one.destination for one in seen.attempts[-1:] if one.stage is Stage.SUSPECT}))


def what_is_not_known_left_no_guest(patch: Patch) -> None:
    """3: each failure of a destination that is not known to leave a guest counts as none left."""
    patch.setattr(attempts, "left_no_guest", lambda step: True)


def silence_is_loss(patch: Patch) -> None:
    """5: what shows nothing for stuck_timeout, and has no destination yet, is sent again."""
    patch.setattr(places.Seen, "lost", lambda seen, one: (
        "Nova lost it" if one.is_open and not one.destination
        and seen.scene.now - seen.memory.progress[1] > seen.policy.stuck_timeout else ""))


def forced_down_is_off(patch: Patch) -> None:
    """12: a destination that somebody has marked down is one that has died."""
    lost = places.Seen.lost
    patch.setattr(places.Seen, "lost", lambda seen, one: (
        "its destination is down" if one.is_open and one.destination in seen.scene.down_hosts else lost(seen, one)))


def no_fault_is_a_guest(patch: Patch) -> None:
    """13: a try that failed, of which the server shows no fault, pins it to that destination."""
    suspects = places.Seen.suspects.func  # type: ignore[attr-defined]
    patch.setattr(places.Seen, "suspects", property(lambda seen: suspects(seen) | frozenset(
        {one.destination for one in seen.attempts if one.stage is Stage.CLEAN and one.destination and not seen.server.fault}
        - seen.scene.dead_hosts)))


@pytest.mark.parametrize("fault", [lists_are_enough, the_last_try_alone_counts, what_is_not_known_left_no_guest,
                                   silence_is_loss, forced_down_is_off, no_fault_is_a_guest])
def test_an_old_fault_is_found_when_it_is_put_back(fault: Callable[[Patch], None], monkeypatch: Patch) -> None:
    fault(monkeypatch)
    assert found(), f"{fault.__doc__} is not found in {WORLDS} worlds"


def test_nothing_is_found_where_none_is() -> None:
    assert not found(worlds=2_000)
