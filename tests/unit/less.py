"""The check of knowing less: what is taken away from a world, and what must not follow then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from instance_ha.engine import decide
from instance_ha.engine.places import Place, place_of
from instance_ha.engine.states import state_of
from instance_ha.model import Step

from tests.worlds import World

T = TypeVar("T")
DANGEROUS = (decide.EVACUATE, decide.START, decide.STOP, decide.PAUSE, decide.RESET)
FACTS = (
    "rows",
    "record",
    "record",
    "server",
    "hosts",
    "dead",
    "whole",
    "gaps",
    "moving",
    "ruling",
    "starts",
    "broken",
)


class Dice:
    """Choices, a byte each; once there is none left it is the first choice always. What hypothesis
    draws is one string of bytes: a draw for each choice costs ten times as much."""

    def __init__(self, bytes_: bytes) -> None:
        self._left: Iterable[int] = iter(bytes_)

    def one(self, of: Sequence[T]) -> T:
        """Return one of them."""
        return of[next(iter(self._left), 0) % len(of)]

    def flag(self) -> bool:
        """Return True or False."""
        return self.one((False, True))

    def some(self, of: Iterable[T]) -> list[T]:
        """Return any of them."""
        return [one for one in of if self.flag()]


@dataclass(frozen=True)
class Truth:
    """What is so, whatever is known of it.

    `building` are the hosts that are at the server for a request, `left` those on which one may
    have left its guest. `lost`: each request that no destination has begun is lost for certain.
    `moved`: Nova has moved the server, and nothing has brought it back.
    """

    building: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    lost: bool = True
    moved: bool = False


def less(dice: Dice, world: World) -> World:
    """Return the same world without some of its facts: few, since each of them alone may hide what
    another does."""
    case, scene, record = world.case, world.scene, world.record
    server, broken = case.server, world.broken
    gone = {dice.one(FACTS) for _ in range(dice.one((1, 2, 3)))}
    if "rows" in gone:
        kept = tuple(row for row in scene.migrations if dice.flag())
        case = replace(case, rows=tuple(row for row in kept if row.server == server.id))
        scene = replace(scene, migrations=kept)
    if "record" in gone and record is not None:
        how = dice.one(("unread", "unproven", "unproven", "event", "why", "trace", "details"))
        number = dice.one(range(len(record))) if record else 0
        if how in ("unread", "unproven"):
            record = None
            case = replace(case, owner_rebuilds=False, came_back=False, unlocked="")
        else:
            record = tuple(
                (action, _without(steps, how) if n == number else steps)
                for n, (action, steps) in enumerate(record)
            )
        if how == "unproven" and case.claim is not None:
            # Whose lock it is only the record says, to a worker that has not put it there.
            was = case.memory.was or scene.kept.get(server.id) or state_of(server).was
            case = replace(case, claim=None, was=was)
    if "server" in gone:
        name = dice.one(("vm_state", "host", "locked", "fault"))
        nothing: Any = "" if name == "fault" else None
        server = replace(server, **{name: nothing})
    if "hosts" in gone:
        scene = replace(
            scene,
            up_hosts=frozenset(dice.some(sorted(scene.up_hosts))),
            down_hosts=frozenset(dice.some(sorted(scene.down_hosts))),
        )
    if "dead" in gone:
        scene = replace(scene, dead_hosts=scene.dead_hosts & {scene.host})
    if "whole" in gone:
        scene = replace(scene, control_whole=False)
    if "gaps" in gone:
        scene = replace(scene, gaps={}, heard={}, nova_now="")
    if "moving" in gone:
        scene = replace(scene, moving={})
    if "ruling" in gone:
        case = replace(case, ruling=None)
    if "starts" in gone:
        scene = replace(scene, starts=False)
    if "broken" in gone:
        broken = frozenset()
    scene = replace(scene, servers=(server,))
    case = replace(case, server=server)
    return replace(world, case=case, scene=scene, record=record, broken=broken).read()


def _without(steps: tuple[Step, ...], how: str) -> tuple[Step, ...]:
    """The same events without the last one, or without what that says of a failure.

    Nova gives the record of one server whole or not at all, and the row of a request that has
    ended says so too. Of one that is under way nothing else would.
    """
    if (
        not steps
        or not steps[-1].finished
        or (how == "event" and steps[-1].result == "Success" and len(steps) == 1)
    ):
        return steps
    if how == "event":
        return steps[:-1]
    # Where Nova hides its words, the last line of its traceback is all (rows.py).
    line = steps[-1].trace.strip().rpartition("\n")[2].strip()
    lacks = {"why": {"why": line}, "trace": {"trace": ""}, "details": {"why": "", "trace": ""}}[how]
    return (*steps[:-1], replace(steps[-1], **lacks))


def more_daring(world: World, fewer: World) -> str:
    """Return what is decided on fewer facts and should not be, "" for nothing."""
    before, after = world.decided().verdict, fewer.decided().verdict
    # What is chosen by lists is decided again on the server's own record, and is not sent without
    # that (evacuation.py).
    sent = after.action in DANGEROUS and (
        after.action != decide.EVACUATE or fewer.case.attempts is not None
    )
    # A guest that is known to be there needs a person. A try to go there makes no second one.
    there = before.person and world.seen().suspects == {after.target}
    if sent and not there and before.action != after.action:
        return f"{after.action} instead of {before.action}"
    if sent and after.action == decide.EVACUATE and before.target not in (None, after.target):
        return f"to {after.target} instead of {before.target}"
    # Every wait has a limit: what is stuck is reported, and then keeps its host out no longer.
    # Where no list shows when the incident began, tries that came to nothing are no tries of it.
    idle = (
        fewer.seen().begin is None
        and place_of(world.seen()) is Place.FAILED
        and after.action == decide.LEFT
    )
    if (
        _is_over(after)
        and not after.person
        and not idle
        and fewer.scene.starts
        and not (_is_over(before) or before.action == decide.EVACUATE)
    ):
        return f"over with {after.action} instead of {before.action}"
    if fewer.restorable() and not world.restorable():
        return "restored on its old host"
    return ""


def _is_over(verdict: decide.Verdict) -> bool:
    return decide.host_over([verdict]) or verdict.action == decide.UNLOCK


def too_daring(world: World, truth: Truth) -> str:
    """Return what is decided on a world, whole or not, against what is so, "" for nothing."""
    verdict = world.decided().verdict
    sent = verdict.action == decide.EVACUATE and world.case.attempts is not None
    what = "evacuated" if sent else "restored" if world.restorable() else ""
    if not what:
        return ""
    if truth.building:
        return f"{what} while {sorted(truth.building)} is at it"
    if truth.left - ({verdict.target} if sent else set()):
        return f"{what}, to {verdict.target}, and its guest may be on {sorted(truth.left)}"
    if not truth.lost:
        return f"{what} while a request may still be carried out"
    return f"{what}, and Nova has moved it" if truth.moved else ""


def too_careful(world: World, truth: Truth) -> str:
    """Return the host that a server of a whole world is kept for without a reason, "" for none.

    A host that cannot take it would keep it down.
    """
    target = world.decided().verdict.target
    return "" if target in (None, *truth.left) else target
