"""Who may evacuate a server when a worker and a person want to: one of them, whatever each has seen before the other's claim."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from instance_ha.engine import evacuation
from instance_ha.engine.decide import CLAIM_AGE, QUEUED, SEND_DEADLINE, TAKEOVER
from instance_ha.engine.evacuation import FRESH, OWNED, Evacuation
from instance_ha.engine.looked import Look
from instance_ha.engine.scene import ByHand, Task, Terms
from instance_ha.engine.selection import Policy
from instance_ha.model import Claim

from tests.unit.little_nova import LittleNova


class Scene:
    """A dead host with one server, a worker and a person; `now` is the clock of both."""

    def __init__(self, own: bool) -> None:
        self.now = 1000.0
        self.little = LittleNova()
        self.little.own = own
        self.little.boot("u1", "web")
        self.little.service("cmp-1").update(state="down", forced_down=True)
        self.worker = Evacuation(self.little.nova, Task("cmp-1", "3f9c", "ctl-1.1.1"), Policy())
        self.person = Evacuation(self.little.nova, Task("cmp-1", "aaaa", "cli-ctl-2.7"), Policy(), by_hand=ByHand())

    def look(self, who: Evacuation) -> Look:
        return who.look(self.little.nova.services(), Terms(0))

    def act(self, who: Evacuation, look: Look) -> None:
        for verdict in look.waiting:
            who.act(verdict, look, lambda: True)

    def turn(self, who: Evacuation) -> str:
        look = self.look(who)
        self.act(who, look)
        return look.verdicts[0].action

    @property
    def sent(self) -> int:
        return len(self.little.migrations)


@pytest.fixture(params=[False, True], ids=["foreign-project", "own-project"])
def scene(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    here = Scene(request.param)
    monkeypatch.setattr(evacuation, "time", SimpleNamespace(monotonic=lambda: here.now, sleep=None))
    yield here
    here.little.server.shutdown()


def test_a_worker_alone_sends_at_once(scene: Scene) -> None:
    scene.turn(scene.worker)
    assert scene.sent == 1


def test_a_person_alone_sends_when_all_who_looked_before_would_show(scene: Scene) -> None:
    scene.turn(scene.person)
    scene.now += TAKEOVER - 1
    assert (scene.turn(scene.person), scene.sent) == (QUEUED, 0)
    scene.now += 2
    scene.turn(scene.person)
    assert scene.sent == 1


def test_both_looked_and_the_person_claims_first(scene: Scene) -> None:
    seen, later = scene.look(scene.worker), scene.look(scene.person)
    scene.act(scene.person, later)
    scene.act(scene.worker, seen)
    assert scene.sent == (0 if scene.little.own else 1), "whose claim stands"
    for _ in range(30):
        scene.now += 1
        scene.turn(scene.person)
        scene.turn(scene.worker)
    assert scene.sent == 1


def test_both_looked_and_the_worker_claims_first(scene: Scene) -> None:
    seen, later = scene.look(scene.worker), scene.look(scene.person)
    scene.act(scene.worker, seen)
    scene.act(scene.person, later)
    for _ in range(30):
        scene.now += 1
        scene.turn(scene.person)
        scene.turn(scene.worker)
    assert scene.sent == 1


def test_a_worker_that_looked_long_ago_looks_again(scene: Scene) -> None:
    seen = scene.look(scene.worker)
    scene.turn(scene.person)
    scene.now += FRESH + 1
    scene.act(scene.worker, seen)
    assert scene.sent == 0 and Claim("cmp-1", "active", "aaaa", "cli-ctl-2.7").text() == scene.little.servers["u1"]["locked_reason"]


def test_a_worker_whose_claim_took_long_waits_too(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = scene.little.nova.lock
    monkeypatch.setattr(scene.little.nova, "lock", lambda *words: (lock(*words), setattr(scene, "now", scene.now + SEND_DEADLINE)))
    scene.turn(scene.worker)
    assert (scene.turn(scene.worker), scene.sent) == (QUEUED, 0)
    scene.now += TAKEOVER
    scene.turn(scene.worker)
    assert scene.sent == 1


def test_a_person_who_claims_and_goes_away_is_succeeded(scene: Scene) -> None:
    scene.turn(scene.person)
    assert scene.turn(scene.worker) == QUEUED
    scene.now += CLAIM_AGE - 1
    assert (scene.turn(scene.worker), scene.sent) == (QUEUED, 0)
    scene.now += 2
    scene.turn(scene.worker)
    assert (scene.turn(scene.worker), scene.sent) == (QUEUED, 0), "the person may have looked just before"
    scene.now += TAKEOVER
    scene.turn(scene.worker)
    assert scene.sent == 1


def test_an_owners_lock_cannot_be_claimed(scene: Scene) -> None:
    scene.little.servers["u1"].update(locked=True, locked_reason="mine")
    assert not scene.person.unclaimed(scene.look(scene.person).verdicts[0].server)
    scene.person.by_hand = ByHand(recorded=True)
    scene.turn(scene.person)
    assert scene.sent == 0 and scene.look(scene.person).verdicts[0].reason.startswith(OWNED)
    scene.person.by_hand = ByHand(recorded=False)
    scene.person.memory.clear()
    scene.turn(scene.person)
    assert scene.sent == 1
