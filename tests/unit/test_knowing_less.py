"""Knowing less never does more: without some facts nothing more daring is decided about a server.

Worlds are made, and those that workers of the laboratory met are read. Nothing that is decided on a
part of a world may be more daring than on the whole, or dangerous by what is so in that world.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from instance_ha.engine.attempts import Stage
from instance_ha.engine.naming import off_hosts
from instance_ha.engine.scene import Case, HostScene, Memory
from instance_ha.engine.selection import Policy, Ruling
from instance_ha.engine.states import MOVING
from instance_ha.model import (
    CONFIRMED,
    RETURNING,
    Action,
    Claim,
    ClusterNode,
    Migration,
    Record,
    Server,
    Service,
    Step,
    mark_of_request,
)

from tests.unit.less import Dice, Truth, less, more_daring, too_careful, too_daring
from tests.unit.test_attempts import CONFLICT, FRAME, SAVED, SCHEDULING, SPAWN
from tests.worlds import World, world_of

WORLDS = int(os.environ.get("WORLDS", "20000"))
RECORDED = Path(__file__).with_name("worlds.jsonl")  # CONTRIBUTING.md says how it is made
HOSTS = ("cmp-2", "cmp-3", "cmp-4")
POLICY = Policy(recover=frozenset(("error", "paused", "resized")))
NOW = 10000.0
AT = "2026-11-25T%02d:00:00.%06d"
# What lists and the server's own record say of a request, together (docs/nova-evidence.md).
TOGETHER = {
    Stage.QUEUED: ("accepted",),
    Stage.SCHEDULING: ("accepted",),
    Stage.SENT: ("accepted",),
    Stage.BUILDING: ("accepted", "pre-migrating"),
    Stage.DONE: ("done", "completed"),
    Stage.CLEAN: ("error", "failed"),
    Stage.SUSPECT: ("failed", "error"),
}
# How a request ends, in Nova's own words and traces, at its conductor and at its destination.
NO_HOST = ("Error", "No valid host was found. ", "")
AT_CONDUCTOR = {
    Stage.SCHEDULING: (("", "", ""),),
    Stage.CLEAN: (NO_HOST, ("Error", "MessagingTimeout", SCHEDULING)),
    Stage.SENT: (("Success", "", ""), ("Error", "MessagingTimeout", "")),
}
AT_DESTINATION = {
    Stage.BUILDING: (("", "", ""),),
    Stage.DONE: (("Success", "", ""),),
    Stage.CLEAN: (
        ("Error", "Failed to deploy instance", SPAWN),
        ("Error", CONFLICT.format("rebuilding"), ""),
        ("Error", "Build of instance u1 aborted: Insufficient compute resources: vCPU", ""),
        ("Error", "Volume v could not be found.", FRAME.format("detach_block_devices", "x")),
    ),
    Stage.SUSPECT: (
        ("Error", "MessagingTimeout", SAVED),
        ("Error", CONFLICT.format("rebuild_spawning"), SAVED),
        ("Error", "Instance instance-0000000d already exists.", SPAWN),
        ("Error", "MessagingTimeout", SPAWN),
        ("Error", "Failed to power off instance: x", FRAME.format("stop_instance", "x")),
        ("Error", "", ""),
    ),
}
BYTES = 160  # a choice each, in a world and in what is taken away from it


def honest(dice: Dice) -> tuple[World, Truth]:
    """Return a world in which lists and the server's own record agree, and what is so in it."""
    stages = [dice.one((*Stage, Stage.DONE)) for _ in range(dice.one((0, 1, 2, 3)))]
    tries = [_asked(dice, number, stage) for number, stage in enumerate(stages, 1)]
    record = tuple((action, steps) for action, steps, _ in tries)
    rows = tuple(row for _, _, row in tries)
    server, claim, was = _server(dice, record, stages)
    scene, off = _around(dice)
    scene = replace(scene, servers=(server,), migrations=rows, last_row=len(rows))
    row = rows[-1] if rows else None
    newest = row and (row.id, row.status, row.destination, row.updated)
    sign = f"{newest} {server.task_state} {server.host}"
    memory = Memory(
        rows=len(rows),
        progress=(sign, dice.one((0.0, NOW - 1, NOW - 40, NOW - 400))),
        quiet=dice.one((0.0, None, NOW - 10)),
        failed={action.request: 0.0 for action, _ in record},
        refusals=dice.one((0, 1, 3, 6)),
        short=dice.flag(),
        refusal=dice.one(("", "no")),
    )
    case = Case(
        server,
        rows,
        None,
        claim,
        was,
        Ruling(dice.one((True, True, True, False)), "rule"),
        memory=memory,
        came_back=bool(stages)
        and stages[-1] is Stage.DONE
        and server.host == "cmp-1"
        and (dice.flag() or len(rows) <= scene.baseline),
    )  # by now it has, after an earlier incident
    broken = frozenset(
        mark_of_request(action.request)
        for (action, _), stage in zip(record, stages)
        if stage in (Stage.BUILDING, Stage.SUSPECT) and dice.one((False, False, False, True))
    )
    world = World(case, scene, record, POLICY, broken).read()
    return world, _truth(world, stages, off)


def _asked(dice: Dice, number: int, stage: Stage) -> tuple[Action, tuple[Step, ...], Migration]:
    """A request that has got so far: its action, what Nova did for it, and its row in a list."""
    destination, steps = dice.one(HOSTS), []
    reached = stage in (Stage.BUILDING, Stage.DONE, Stage.SUSPECT) or (
        stage is Stage.CLEAN and dice.flag()
    )
    if stage is not Stage.QUEUED:
        said = ("Success", "", "") if reached else dice.one(AT_CONDUCTOR[stage])
        steps.append(
            Step(
                "rebuild_server",
                dice.one(("ctl-1", "ctl-2")),
                AT % (number, 1),
                AT % (number, 2) if said[0] else "",
                *said,
            )
        )
    if reached:
        said = dice.one(AT_DESTINATION[stage])
        steps.append(
            Step(
                "compute_rebuild_instance",
                destination,
                AT % (number, 3),
                AT % (number, 4) if said[0] else "",
                *said,
            )
        )
    named = dice.flag()
    row = Migration(
        number,
        "u1",
        dice.one(TOGETHER[stage]),
        "cmp-1",
        destination if reached or named else None,
        AT % (number, 5),
        AT % (number, 9),
    )
    if stage is Stage.BUILDING and row.status == "accepted" and not named:
        row = replace(row, destination=None)  # it has claimed no room there yet
    return (
        Action("evacuate", f"req-{number}", AT % (number, 0), AT % (number, 9)),
        tuple(steps),
        row,
    )


def _server(
    dice: Dice, record: tuple[tuple[Action, tuple[Step, ...]], ...], stages: list[Stage]
) -> tuple[Server, Claim | None, str]:
    """The server after these requests, our claim on it, and what it is to be."""
    moved = bool(stages) and stages[-1] is Stage.DONE and dice.flag()
    task = dice.one(
        (
            None,
            None,
            None,
            "rebuilding",
            "rebuild_spawning",
            "deleting",
            "powering-off",
            "migrating",
        )
    )
    if task in ("rebuilding", "rebuild_spawning") and not stages:
        task = None
    server = Server(
        "u1",
        "web",
        record[-1][1][-1].host if moved else "cmp-1",
        dice.one(
            (
                "active",
                "active",
                "stopped",
                "error",
                "error",
                "paused",
                "resized",
                "suspended",
                "building",
            )
        ),
        task,
        dice.one((1, 0, 4)),
        dice.flag(),
        fault=dice.one(("", "a fault")),
    )
    was = dice.one(("active", "stopped", "halted", "started", "paused", "moving"))
    if not server.locked or not dice.flag():
        return server, None, was
    claim = Claim("cmp-1", was, dice.one(("3f9c", "3f9c", "another")), "me")
    return replace(server, locked_reason=claim.text()), claim, was


def _around(dice: Dice) -> tuple[HostScene, set[str]]:
    """The other hosts and services, and which of them are off: the engine finds that out itself."""
    kinds = {
        host: dice.one(("up", "up", "down", "marked down", "fenced", "returning")) for host in HOSTS
    }
    services = [
        Service(
            host,
            "nova-compute",
            host,
            True,
            kind == "up",
            kind in ("marked down", "fenced"),
            updated="1970-01-01T00:00:00.000000" if kind == "fenced" else "",
        )
        for host, kind in kinds.items()
    ]
    records = [
        Record(
            host,
            CONFIRMED if kind == "fenced" else RETURNING,
            "i",
            proof="node_fenced:1",
            host=host,
        )
        for host, kind in kinds.items()
        if kind in ("fenced", "returning")
    ]
    fenced = [host for host, kind in kinds.items() if kind == "fenced"]
    if dice.one((False, False, False, True)):
        services.append(Service("c", "nova-conductor", "ctl-1", True, False, False))
        fenced.append("ctl-1")
    nodes = {host: ClusterNode(host, True, False, "node_fenced:1") for host in fenced}
    dead = off_hosts(services, records, nodes, "") | {"cmp-1"}
    whole = dice.flag()
    fallen = dice.one(({}, {host: AT % (dice.one((0, 3)), 0) for host in dice.some(HOSTS)}))
    gaps = dice.one((0.0, NOW - 5))
    scene = HostScene(
        "cmp-1",
        "3f9c",
        "me",
        dice.one((0, 1)),
        (),
        {},
        (),
        frozenset(host for host, kind in kinds.items() if kind == "up"),
        dead,
        whole or dice.flag(),
        NOW,
        dice.one((True, True, True, False)),
        control_whole=whole,
        fallen=fallen,
        moving=dice.one(({}, {"u1": ""}, {"u1": "cmp-2"})),
        gaps=dice.one(({}, {"ctl-1": gaps})),
        heard=dice.one(({}, {"ctl-1": AT % (dice.one((0, 4)), 0)})),
        nova_now=AT % (dice.one((3, 9)), 0),
        down_hosts=frozenset(host for host, kind in kinds.items() if kind != "up"),
    )
    return scene, {"cmp-1", *fenced}


def _truth(world: World, stages: list[Stage], off: set[str]) -> Truth:
    """By the stages and hosts that were chosen, and not by what the engine reads of them."""
    scene, memory = world.scene, world.case.memory
    ended = max(
        (number for number, stage in enumerate(stages, 1) if stage is Stage.DONE), default=0
    )
    building, left, lost = set(), set(), True
    at_work = (
        scene.control_whole
        and memory.quiet is not None
        and NOW - memory.quiet > POLICY.stuck_timeout
        and not any(since > AT % (1, 0) for since in scene.fallen.values())
    )
    # Which row is whose nothing says: as many of them have to show that nobody has begun, and that
    # of a request which another has superseded may be taken for a newer one's.
    unbegun = sum(row.status == "accepted" for row in scene.migrations)
    waiting = sum(stage in (Stage.QUEUED, Stage.SENT, Stage.SCHEDULING) for stage in stages)
    at_work = at_work and unbegun >= waiting
    for stage, (action, steps) in list(zip(stages, world.record or ()))[ended:]:
        host = steps[-1].host if steps else ""
        over = mark_of_request(action.request) in world.broken or host in off
        if stage is Stage.BUILDING and not over:
            building.add(host)
        elif stage is Stage.SUSPECT and not over:
            left.add(host)
        elif stage in (Stage.QUEUED, Stage.SENT):
            lost = lost and at_work
        elif stage is Stage.SCHEDULING:
            taken = AT % (int(action.request[4:]), 1)
            again = scene.gaps.get(host) == 0.0 and scene.heard.get(host, "") > taken
            restarted = again or scene.nova_now > taken
            lost = lost and at_work and (host in off or restarted)
    if world.case.was == MOVING:
        left |= {scene.moving.get("u1") or ""} - {"", *off}
    moved = (
        bool(stages)
        and stages[-1] is Stage.DONE
        and world.case.server.host == "cmp-1"
        and not world.case.came_back
    )
    return Truth(frozenset(building), frozenset(left), lost, moved)


def told(world: World, fewer: World) -> str:
    return f"\n{world}\n{world.decided()}\n\n{fewer}\n{fewer.decided()}"


often = settings(
    max_examples=WORLDS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
    database=None,
    derandomize="WORLDS" not in os.environ,
)


@often
@given(some.binary(min_size=BYTES, max_size=BYTES))
def test_knowing_less_never_does_more(drawn: bytes) -> None:
    dice = Dice(drawn)
    world, truth = honest(dice)
    fewer = less(dice, world)
    wrong = too_daring(world, truth) or too_daring(fewer, truth) or more_daring(world, fewer)
    assert not wrong, wrong + told(world, fewer)


@often
@given(some.binary(min_size=BYTES, max_size=BYTES))
def test_the_fault_that_a_server_shows_decides_nothing(drawn: bytes) -> None:
    """Nova shows none for a server that is not in ERROR, such as one whose destination had no room
    for it. What that said, its own record says."""
    world, truth = honest(Dice(drawn))
    server = replace(world.case.server, fault="" if world.case.server.fault else "a fault")
    other = replace(world, case=replace(world.case, server=server))
    one, two = world.decided().verdict, other.decided().verdict
    assert (one.action, one.target, one.final, one.person) == (
        two.action,
        two.target,
        two.final,
        two.person,
    )
    assert world.restorable() == other.restorable()
    kept = too_careful(world, truth)
    assert not kept, f"only to {kept}, where no guest can be" + told(world, other)


def recorded() -> list[World]:
    """The worlds that workers of the laboratory met."""
    lines = RECORDED.read_text(encoding="utf-8").splitlines()
    return [world_of(json.loads(line)["world"]) for line in lines]


def test_knowing_less_of_what_the_laboratory_met_does_no_more() -> None:
    worlds, chance = recorded(), random.Random(1)
    each = max(20, WORLDS // (8 * len(worlds)))
    for world in worlds:
        for _ in range(each):
            fewer = less(Dice(chance.randbytes(BYTES)), world)
            wrong = more_daring(world, fewer)
            assert not wrong, wrong + told(world, fewer)
