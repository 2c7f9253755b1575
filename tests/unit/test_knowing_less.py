"""Knowing less never does more: take any facts away from what is known of a server, and nothing more daring is decided about it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from instance_ha.engine import decide
from instance_ha.engine.attempts import Attempt, Stage
from instance_ha.engine.places import Seen, why_not_restore
from instance_ha.engine.scene import Case, HostScene, Memory
from instance_ha.engine.selection import Policy, Ruling
from instance_ha.model import Claim, Migration, Server

WORLDS = int(os.environ.get("WORLDS", "8000"))
HOSTS = ("cmp-2", "cmp-3", "cmp-4")
POLICY = Policy(recover=frozenset(("error", "paused", "resized")))
NOW = 10000.0
AT = "2026-11-25T%02d:00:00.%06d"
# What lists and the server's own record say of a request, together, as the laboratory shows them (docs/nova-evidence.md).
TOGETHER = {
    Stage.QUEUED: ("accepted",), Stage.SCHEDULING: ("accepted",), Stage.SENT: ("accepted",), Stage.BUILDING: ("accepted", "pre-migrating"),
    Stage.DONE: ("done", "completed"), Stage.CLEAN: ("error", "failed"), Stage.SUSPECT: ("failed", "error")}
DANGEROUS = (decide.EVACUATE, decide.START, decide.STOP, decide.PAUSE, decide.RESET)


@dataclass(frozen=True)
class World:
    """What is known of one server of cmp-1, and of Nova."""

    case: Case
    scene: HostScene

    def decided(self) -> decide.Decision:
        return decide.decide(self.case, self.scene, POLICY)

    def restorable(self) -> bool:
        return not why_not_restore(Seen(self.case, self.scene, POLICY))


@some.composite
def worlds(draw: some.DrawFn) -> World:
    """An honest world: lists and the server's own record agree."""
    stages = draw(some.lists(some.sampled_from(list(Stage)), max_size=3))
    attempts, rows = [], []
    for number, stage in enumerate(stages, 1):
        destination = draw(some.sampled_from(HOSTS))
        conductor = "" if stage is Stage.QUEUED else draw(some.sampled_from(("ctl-1", "ctl-2")))
        reached = stage in (Stage.BUILDING, Stage.DONE, Stage.SUSPECT) or (stage is Stage.CLEAN and draw(some.booleans()))
        named = draw(some.booleans())
        why = draw(some.sampled_from(("", "already exists", "No valid host was found")))
        attempts.append(Attempt(f"req-{number}", AT % (number, 0), stage, conductor, destination if reached else "", why))
        status = draw(some.sampled_from(TOGETHER[stage]))
        rows.append(Migration(number, "u1", status, "cmp-1", destination if reached or named else None, AT % (number, 5), AT % (number, 9)))
    moved = bool(stages) and stages[-1] is Stage.DONE and draw(some.booleans())
    host = attempts[-1].destination if moved else "cmp-1"
    was = draw(some.sampled_from(("active", "stopped", "halted", "started", "paused", "moving")))
    task = draw(some.sampled_from((None, None, "rebuilding", "rebuild_spawning", "deleting", "powering-off", "migrating")))
    if task in ("rebuilding", "rebuild_spawning") and not stages:
        task = None
    server = Server("u1", "web", host, draw(some.sampled_from(("active", "stopped", "error", "paused", "resized", "suspended", "building"))), task,
                    draw(some.sampled_from((0, 1, 4))), draw(some.booleans()), fault=draw(some.sampled_from(("", "a fault"))))
    claim = Claim("cmp-1", was, draw(some.sampled_from(("3f9c", "3f9c", "another"))), "me") if server.locked and draw(some.booleans()) else None
    if claim:
        server = replace(server, locked_reason=claim.text())
    up = draw(some.frozensets(some.sampled_from(HOSTS)))
    dead = draw(some.frozensets(some.sampled_from(HOSTS))) - up
    quiet, since = draw(some.sampled_from((None, 0.0, NOW - 10))), draw(some.sampled_from((0.0, NOW - 1, NOW - 40, NOW - 400)))
    row = rows[-1] if rows else None
    sign = f"{row and (row.id, row.status, row.destination, row.updated)} {server.task_state} {server.host}"
    memory = Memory(rows=len(rows), progress=(sign, since), quiet=quiet, failed={one.request: 0.0 for one in attempts},
                    refusals=draw(some.integers(0, 6)),
                    short=draw(some.booleans()), refusal=draw(some.sampled_from(("", "no"))))
    ruling = Ruling(draw(some.sampled_from((True, True, True, False))), "rule")
    whole = draw(some.booleans())
    scene = HostScene(
        "cmp-1", "3f9c", "me", draw(some.integers(0, 1)), (server,), {"u1": ruling}, tuple(rows), up, dead | {"cmp-1"},
        whole or draw(some.booleans()), NOW, draw(some.sampled_from((True, True, True, False))), len(rows), whole,
        fallen=draw(some.dictionaries(some.sampled_from(HOSTS), some.just(AT % (3, 0)), max_size=1)),
        moving=draw(some.dictionaries(some.just("u1"), some.sampled_from(("", "cmp-2")), max_size=1)),
        gaps=draw(some.dictionaries(some.just("ctl-1"), some.sampled_from((0.0, NOW - 5)), max_size=1)),
        nova_now=AT % (draw(some.sampled_from((3, 9))), 0), down_hosts=frozenset(HOSTS) - up)
    case = Case(server, tuple(rows), tuple(attempts), claim, claim.was if claim else was, ruling, memory=memory)
    return World(case, scene)


@some.composite
def less(draw: some.DrawFn, world: World) -> World:
    """The same world without some of its facts."""
    case, scene = world.case, world.scene
    kept = [row for row in case.rows if draw(some.booleans())]
    if draw(some.booleans()):
        case = replace(case, rows=tuple(kept))
        scene = replace(scene, migrations=tuple(kept))
    how = draw(some.sampled_from(("whole", "whole", "unread", "event", "trace")))
    if how == "unread":
        case = replace(case, attempts=None)
    elif how in ("event", "trace") and case.attempts:
        number = draw(some.integers(0, len(case.attempts) - 1))
        case = replace(case, attempts=tuple(_without(one, how) if n == number else one for n, one in enumerate(case.attempts)))
    server = case.server
    hidden = draw(some.sets(some.sampled_from(("vm_state", "host", "locked", "fault")), max_size=1))
    for name in hidden:
        server = replace(server, **{name: "" if name == "fault" else None})  # type: ignore[arg-type]
    if draw(some.booleans()):
        scene = replace(scene, up_hosts=frozenset(h for h in scene.up_hosts if draw(some.booleans())))
        scene = replace(scene, down_hosts=frozenset(h for h in scene.down_hosts if draw(some.booleans())))
    if draw(some.booleans()):
        scene = replace(scene, dead_hosts=frozenset(("cmp-1",)))
    if draw(some.booleans()):
        scene = replace(scene, control_whole=False)
    if draw(some.booleans()):
        scene = replace(scene, gaps={}, nova_now="")
    if draw(some.booleans()):
        scene = replace(scene, moving={})
    if draw(some.booleans()):
        case = replace(case, ruling=None)
    if draw(some.booleans()):
        scene = replace(scene, starts=False)
    return World(replace(case, server=server), replace(scene, servers=(server,)))


def _without(attempt: Attempt, how: str) -> Attempt:
    """The same request, its last event, or what that says of the failure, left out. Nova gives the record of one server whole or not
    at all, and the row of a request that has ended says so too; of one that is under way nothing else would."""
    if attempt.is_open:
        return attempt
    if how == "trace":
        return replace(attempt, stage=Stage.SUSPECT, why="") if attempt.stage is Stage.CLEAN and attempt.destination else attempt
    reached = attempt.stage in (Stage.BUILDING, Stage.DONE, Stage.SUSPECT) or bool(attempt.destination)
    if reached:
        return replace(attempt, stage=Stage.SENT, destination="", why="")
    return replace(attempt, stage=Stage.QUEUED, conductor="", why="")


def is_over(decision: decide.Decision) -> bool:
    return decide.host_over([decision.verdict]) or decision.verdict.action == decide.UNLOCK


@settings(max_examples=WORLDS, deadline=None, suppress_health_check=list(HealthCheck), print_blob=False, database=None,
          derandomize="WORLDS" not in os.environ)
@given(some.data())
def test_knowing_less_never_does_more(data: some.DataObject) -> None:
    world = data.draw(worlds())
    fewer = data.draw(less(world))
    before, after = world.decided(), fewer.decided()
    action, target = after.verdict.action, after.verdict.target
    told = f"\n{world}\n{before}\n\n{fewer}\n{after}"
    # What is chosen by lists is decided again on the server's own record, and is not sent without that (evacuation.py).
    if action in DANGEROUS and (action != decide.EVACUATE or fewer.case.attempts is not None):
        assert before.verdict.action == action, told
    if action == decide.EVACUATE and fewer.case.attempts is not None:
        assert before.verdict.target in (None, target), told
    # Every wait has a limit: what is stuck is reported to a person, and then keeps its host out no longer.
    if is_over(after) and not after.verdict.person:
        assert is_over(before) or before.verdict.action == decide.EVACUATE or not fewer.scene.starts, told
    assert not fewer.restorable() or world.restorable(), told
