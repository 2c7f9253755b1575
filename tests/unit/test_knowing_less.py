"""Knowing less never does more: take any facts away from what is known of a server, and nothing more daring is decided about it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from instance_ha.engine import decide
from instance_ha.engine.attempts import Stage, attempts_of
from instance_ha.engine.places import Seen, why_not_restore
from instance_ha.engine.scene import Case, HostScene, Memory
from instance_ha.engine.selection import Policy, Ruling
from instance_ha.model import Action, Claim, Migration, Server, Step

from tests.unit.test_attempts import CONFLICT, FRAME, SAVED, SCHEDULING, SPAWN

WORLDS = int(os.environ.get("WORLDS", "8000"))
HOSTS = ("cmp-2", "cmp-3", "cmp-4")
POLICY = Policy(recover=frozenset(("error", "paused", "resized")))
NOW = 10000.0
AT = "2026-11-25T%02d:00:00.%06d"
# What lists and the server's own record say of a request, together, as the laboratory shows them (docs/nova-evidence.md).
TOGETHER = {
    Stage.QUEUED: ("accepted",), Stage.SCHEDULING: ("accepted",), Stage.SENT: ("accepted",), Stage.BUILDING: ("accepted", "pre-migrating"),
    Stage.DONE: ("done", "completed"), Stage.CLEAN: ("error", "failed"), Stage.SUSPECT: ("failed", "error")}
# The same of how a request ends, in Nova's own words and traces: what its conductor says, and what its destination.
NO_HOST = ("Error", "No valid host was found. ", "")
AT_CONDUCTOR = {
    Stage.SCHEDULING: (("", "", ""),), Stage.CLEAN: (NO_HOST, ("Error", "MessagingTimeout", SCHEDULING)),
    Stage.SENT: (("Success", "", ""), ("Error", "MessagingTimeout", ""))}
AT_DESTINATION = {
    Stage.BUILDING: (("", "", ""),), Stage.DONE: (("Success", "", ""),),
    Stage.CLEAN: (("Error", "Failed to deploy instance", SPAWN), ("Error", CONFLICT.format("rebuilding"), ""),
                  ("Error", "Build of instance u1 aborted: Insufficient compute resources: vCPU", ""),
                  ("Error", "Volume v could not be found.", FRAME.format("detach_block_devices", "x"))),
    Stage.SUSPECT: (("Error", "MessagingTimeout", SAVED), ("Error", CONFLICT.format("rebuild_spawning"), SAVED),
                    ("Error", "Instance instance-0000000d already exists.", SPAWN), ("Error", "MessagingTimeout", SPAWN),
                    ("Error", "Failed to power off instance: x", FRAME.format("stop_instance", "x")), ("Error", "", ""))}
DANGEROUS = (decide.EVACUATE, decide.START, decide.STOP, decide.PAUSE, decide.RESET)


@dataclass(frozen=True)
class World:
    """What is known of one server of cmp-1, and of Nova. `record` is the server's own: what was asked, and what Nova did for it; None
    where it was not read."""

    case: Case
    scene: HostScene
    record: tuple[tuple[Action, tuple[Step, ...]], ...] | None

    def read(self) -> World:
        """The same with what the record means."""
        if self.record is None:
            return replace(self, case=replace(self.case, attempts=None))
        steps = {action.request: own for action, own in self.record}
        return replace(self, case=replace(self.case, attempts=attempts_of([action for action, _ in self.record], steps)))

    def decided(self) -> decide.Decision:
        return decide.decide(self.case, self.scene, POLICY)

    def restorable(self) -> bool:
        return not why_not_restore(Seen(self.case, self.scene, POLICY))


@some.composite
def worlds(draw: some.DrawFn) -> World:
    """An honest world: lists and the server's own record agree."""
    stages = draw(some.lists(some.sampled_from(list(Stage)), max_size=3))
    record, rows = [], []
    for number, stage in enumerate(stages, 1):
        destination = draw(some.sampled_from(HOSTS))
        request, steps = f"req-{number}", []
        reached = stage in (Stage.BUILDING, Stage.DONE, Stage.SUSPECT) or (stage is Stage.CLEAN and draw(some.booleans()))
        if stage is not Stage.QUEUED:
            said = ("Success", "", "") if reached else draw(some.sampled_from(AT_CONDUCTOR[stage]))
            conductor = draw(some.sampled_from(("ctl-1", "ctl-2")))
            steps.append(Step("rebuild_server", conductor, AT % (number, 1), AT % (number, 2) if said[0] else "", *said))
        if reached:
            said = draw(some.sampled_from(AT_DESTINATION[stage]))
            steps.append(Step("compute_rebuild_instance", destination, AT % (number, 3), AT % (number, 4) if said[0] else "", *said))
        record.append((Action("evacuate", request, AT % (number, 0), AT % (number, 9)), tuple(steps)))
        status = draw(some.sampled_from(TOGETHER[stage]))
        named = draw(some.booleans())
        rows.append(Migration(number, "u1", status, "cmp-1", destination if reached or named else None, AT % (number, 5), AT % (number, 9)))
    moved = bool(stages) and stages[-1] is Stage.DONE and draw(some.booleans())
    host = record[-1][1][-1].host if moved else "cmp-1"
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
    memory = Memory(rows=len(rows), progress=(sign, since), quiet=quiet, failed={action.request: 0.0 for action, _ in record},
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
    case = Case(server, tuple(rows), None, claim, claim.was if claim else was, ruling, memory=memory)
    return World(case, scene, tuple(record)).read()


FACTS = ("rows", "record", "server", "hosts", "dead", "whole", "gaps", "moving", "ruling", "starts")


@some.composite
def less(draw: some.DrawFn, world: World) -> World:
    """The same world without some of its facts: few, since each of them alone may hide what another does."""
    case, scene, record, server = world.case, world.scene, world.record, world.case.server
    gone = draw(some.sets(some.sampled_from(FACTS), min_size=1, max_size=3))
    if "rows" in gone:
        kept = tuple(row for row in case.rows if draw(some.booleans()))
        case, scene = replace(case, rows=kept), replace(scene, migrations=kept)
    if "record" in gone and record:
        how = draw(some.sampled_from(("unread", "event", "why", "trace", "details")))
        number = draw(some.integers(0, len(record) - 1))
        record = None if how == "unread" else tuple(
            (action, _without(steps, how) if n == number else steps) for n, (action, steps) in enumerate(record))
    if "server" in gone:
        name = draw(some.sampled_from(("vm_state", "host", "locked", "fault")))
        server = replace(server, **{name: "" if name == "fault" else None})  # type: ignore[arg-type]
    if "hosts" in gone:
        scene = replace(scene, up_hosts=frozenset(h for h in scene.up_hosts if draw(some.booleans())))
        scene = replace(scene, down_hosts=frozenset(h for h in scene.down_hosts if draw(some.booleans())))
    if "dead" in gone:
        scene = replace(scene, dead_hosts=frozenset(("cmp-1",)))
    if "whole" in gone:
        scene = replace(scene, control_whole=False)
    if "gaps" in gone:
        scene = replace(scene, gaps={}, nova_now="")
    if "moving" in gone:
        scene = replace(scene, moving={})
    if "ruling" in gone:
        case = replace(case, ruling=None)
    if "starts" in gone:
        scene = replace(scene, starts=False)
    return World(replace(case, server=server), replace(scene, servers=(server,)), record).read()


def _without(steps: tuple[Step, ...], how: str) -> tuple[Step, ...]:
    """The same events without the last one, or without what that says of a failure. Nova gives the record of one server whole or not
    at all, and the row of a request that has ended says so too; of one that is under way nothing else would."""
    if not steps or not steps[-1].finished or (how == "event" and steps[-1].result == "Success" and len(steps) == 1):
        return steps
    if how == "event":
        return steps[:-1]
    less = {"why": {"why": ""}, "trace": {"trace": ""}, "details": {"why": "", "trace": ""}}[how]
    return (*steps[:-1], replace(steps[-1], **less))


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


@settings(max_examples=WORLDS // 8, deadline=None, suppress_health_check=list(HealthCheck), print_blob=False, database=None,
          derandomize="WORLDS" not in os.environ)
@given(worlds())
def test_the_fault_that_a_server_shows_decides_nothing(world: World) -> None:
    """Nova shows none for a server that is not in ERROR, such as one whose destination had no room for it: what that said, its own record
    says."""
    bare = replace(world, case=replace(world.case, server=replace(world.case.server, fault="")))
    one, other = world.decided().verdict, bare.decided().verdict
    assert (one.action, one.target, one.final, one.person) == (other.action, other.target, other.final, other.person)
    assert world.restorable() == bare.restorable()
