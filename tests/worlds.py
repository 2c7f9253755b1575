"""A world: all that a worker knows of one server when it decides about it, as a value and as JSON.

The property test makes worlds (tests/unit/test_knowing_less.py), and a worker of the laboratory
writes down those that it meets (tests/lab/recorder.py). Both are put to the same check.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Any

from instance_ha.engine import decide
from instance_ha.engine.attempts import attempts_of
from instance_ha.engine.places import Seen, place_of, why_not_restore
from instance_ha.engine.scene import Case, HostScene, Memory
from instance_ha.engine.selection import Policy, Ruling
from instance_ha.model import Action, Claim, Migration, Server, Step

Record = tuple[tuple[Action, tuple[Step, ...]], ...]


@dataclass(frozen=True)
class World:
    """What is known of one server of a dead host, and of Nova.

    `record` is the server's own: what was asked, and what Nova did for it; None where it was not
    read. `broken` are requests whose destination died, as decide.decide takes them.
    """

    case: Case
    scene: HostScene
    record: Record | None
    policy: Policy
    broken: frozenset[str] = frozenset()

    def read(self) -> World:
        """Return the same with what the record means."""
        if self.record is None:
            return replace(self, case=replace(self.case, attempts=None))
        steps = {action.request: own for action, own in self.record}
        found = attempts_of([action for action, _ in self.record], steps)
        return replace(self, case=replace(self.case, attempts=found))

    def decided(self) -> decide.Decision:
        """Return what the engine decides."""
        return decide.decide(self.case, self.scene, self.policy, self.broken)

    def seen(self) -> Seen:
        """Return what a rule looks at."""
        return Seen(self.case, self.scene, self.policy, self.broken)

    def restorable(self, decision: decide.Decision | None = None) -> bool:
        """Return True if the server may be started on its old host, once this is decided."""
        case = replace(self.case, memory=(decision or self.decided()).memory)
        return not why_not_restore(replace(self.seen(), case=case))


# What nothing is decided by, and what is made again from the rest.
LEFT_OUT = frozenset(
    (
        "selection",
        "priorities",
        "metadata",
        "extra_specs",
        "image",
        "groups",
        "size",
        "order",
        "project",
        "user",
        "rulings",
        "servers",
        "attempts",
        "rows",
    )
)
KINDS = {
    kind.__name__: kind
    for kind in (
        World,
        Case,
        HostScene,
        Memory,
        Server,
        Migration,
        Claim,
        Ruling,
        Action,
        Step,
        Policy,
    )
}


def plain(value: Any) -> Any:
    """Return a world, or a part of one, as JSON has it: fields that are as usual are left out."""
    if is_dataclass(value):
        own = {
            f.name: getattr(value, f.name)
            for f in fields(value)
            if (f.name not in LEFT_OUT or type(value) is Memory) and not _as_usual(value, f)
        }
        return {"is": type(value).__name__, **{name: plain(one) for name, one in own.items()}}
    if isinstance(value, Mapping):
        return {"map": [[key, plain(one)] for key, one in sorted(value.items())]} if value else {}
    if isinstance(value, frozenset):
        return {"set": sorted(value)}
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _as_usual(value: Any, field: Any) -> bool:
    usual = field.default if field.default_factory is MISSING else field.default_factory()
    return usual is not MISSING and getattr(value, field.name) == usual


def world_of(text: Any) -> World:
    """Return the world that `plain` has written."""
    world: World = _made(text)
    server, rows = world.case.server, world.scene.migrations
    case = replace(world.case, rows=tuple(row for row in rows if row.server == server.id))
    return replace(world, case=case, scene=replace(world.scene, servers=(server,))).read()


def _made(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_made(one) for one in value)
    if not isinstance(value, dict):
        return value
    if "set" in value:
        return frozenset(value["set"])
    if "is" not in value:
        return {key: _made(one) for key, one in value.get("map", ())}
    kind = KINDS[value["is"]]
    more = {"servers": (), "rulings": {}} if kind is HostScene else {}
    return kind(**more, **{name: _made(one) for name, one in value.items() if name != "is"})


def alone(world: World) -> World:
    """Return the same without the host's other servers."""
    key, scene = world.case.server.id, world.scene
    rows = tuple(row for row in scene.migrations if row.server == key or row.id == scene.baseline)
    return replace(
        world,
        scene=replace(
            scene,
            migrations=rows,
            servers=(world.case.server,),
            moving={one: host for one, host in scene.moving.items() if one == key},
            kept={one: was for one, was in scene.kept.items() if one == key},
        ),
    )


def kind_of(world: World, decision: decide.Decision) -> str:
    """Return a name that worlds share which differ in times, ids and names alone."""
    case, scene, memory, server = world.case, world.scene, world.case.memory, world.case.server
    verdict, now = decision.verdict, scene.now

    def host(name: str | None) -> str:
        known = (
            ("old", {scene.host}),
            ("dead", scene.dead_hosts),
            ("up", scene.up_hosts),
            ("down", scene.down_hosts),
        )
        return next((word for word, names in known if name in names), "other" if name else "")

    def since(when: float | None) -> str:
        return "" if when is None else "long" if now - when > world.policy.stuck_timeout else "now"

    parts: list[Any] = [
        place_of(world.seen()).value,
        verdict.action,
        verdict.final,
        verdict.retry,
        verdict.person,
        verdict.slow,
        host(verdict.target),
        server.vm_state,
        server.task_state,
        server.power_state,
        server.locked,
        host(server.host),
        bool(server.fault),
        case.was,
        case.claim and case.claim.is_by(scene.token),
        case.came_back,
        case.owner_rebuilds,
        bool(case.unlocked),
        case.ruling and case.ruling.protected,
        case.attempts is None,
        world.restorable(decision),
        scene.starts,
        scene.control_up,
        scene.control_whole,
        [(row.status, host(row.destination), row.id > scene.baseline) for row in case.rows],
        [
            (one.stage.value, host(one.destination), host(one.conductor), _shape(one.why))
            for one in case.attempts or ()
        ],
        memory.sent is not None,
        memory.refusals > 0,
        memory.short,
        since(memory.quiet),
        since(memory.progress[1] or None),
        memory.chore is not None,
        memory.until > now,
        len(case.rows) < memory.rows,
        sorted(scene.moving.values()),
        bool(scene.gaps),
        [host(name) for name in sorted(scene.fallen)],
        bool(world.broken),
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _shape(why: str) -> str:
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]+|\d+", "#", why)[:60]
