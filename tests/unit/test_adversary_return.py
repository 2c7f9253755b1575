"""What an adversarial reader has found of a host's return, and of one server that holds up others; each fails while its fault is there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from instance_ha import cluster as door
from instance_ha import questions
from instance_ha.cluster import Cluster
from instance_ha.engine import decide, evacuation
from instance_ha.engine.context import Context
from instance_ha.engine.evacuation import Evacuation
from instance_ha.engine.scene import Task, Terms
from instance_ha.engine.selection import Policy
from instance_ha.engine.window import Window
from instance_ha.engine.worker import Worker
from instance_ha.errors import CloudError

from tests.unit.little_nova import LittleNova
from tests.unit.test_holdback import Pacemaker, recorded
from tests.unit.test_stayed import Cloud, Home

BROKEN = 500, {"computeFault": {"code": 500, "message": "Unexpected API Error."}}


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    one = Cloud()
    yield one
    one.server.shutdown()
    one.server.server_close()


def breaks(monkeypatch: pytest.MonkeyPatch, cloud: LittleNova, path: str, word: str = "") -> None:
    """Let Nova answer 500 to what is asked at this path, and has this word in its body."""
    answer = cloud.answer

    def broken(method: str, asked: str, body: Any, request: str) -> tuple[int, Any]:
        return BROKEN if asked.startswith(path) and (not word or word in str(body)) else answer(method, asked, body, request)

    monkeypatch.setattr(cloud, "answer", broken)


def turns(home: Home, count: int = 3) -> None:
    for _ in range(count):
        with contextlib.suppress(CloudError):     # told, and tried again
            home.turn()


def test_one_whose_hypervisor_does_not_answer_keeps_no_other_from_being_started(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for uid in ("s1", "s2"):
        cloud.boot(uid, uid)
    home = Home(cloud)
    breaks(monkeypatch, cloud, "/servers/s1/diagnostics")
    turns(home)
    assert home.acted("s2") == ["reboot"]


def test_one_that_cannot_be_restored_keeps_no_other_locked(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for uid in ("s1", "s2"):
        cloud.boot(uid, uid)
        cloud.claim(uid)
    home = Home(cloud)
    breaks(monkeypatch, cloud, "/servers/s1/action", "reboot")
    turns(home)
    assert cloud.servers["s1"]["locked"] and not cloud.servers["s2"]["locked"]


def test_what_only_its_image_protects_is_started_when_glance_is_back(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.boot("s1", "web", image={"id": "i1"}, flavor={"extra_specs": {}})
    monkeypatch.setattr(questions, "UNTOLD", 0.0)
    home, answer, away = Home(cloud), cloud.answer, [True]
    monkeypatch.setattr(cloud, "answer", lambda method, path, *more: BROKEN if away[0] and "images" in path else answer(method, path, *more))
    turns(home)
    away[0] = False
    turns(home)
    assert home.acted("s1") == ["reboot"]


def test_one_that_left_and_whose_record_cannot_be_read_keeps_none_that_stayed_off(
        cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    tools, now = Pacemaker(recorded("returning;id=3f9c;baseline=0;worker=me")), [100.0]
    monkeypatch.setattr(door, "run", tools)
    cloud.boot("s1", "stayed")
    cloud.claim("s1")
    cloud.boot("s2", "left")
    cloud.claim("s2")
    cloud.ask("s2", "done", "cmp-3")
    cloud.servers["s2"]["OS-EXT-SRV-ATTR:host"] = "cmp-3"
    cloud.migrations[-1]["status"] = "completed"
    breaks(monkeypatch, cloud, "/servers/s2/os-instance-actions")
    worker = Worker(Context(Cluster(), cloud.nova, Policy(), "me", clock=lambda: now[0]))
    for _ in range(6):
        worker.turn()
        now[0] += 3600.0
    assert not cloud.servers["s1"]["locked"]


class Clock:
    """A worker's view of cmp-1 over hours."""

    def __init__(self, cloud: LittleNova, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cloud, self.now = cloud, 1000.0
        cloud.service("cmp-1").update(state="down", forced_down=True, status="disabled")
        monkeypatch.setattr(evacuation, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=None))
        self.engine = Evacuation(cloud.nova, Task("cmp-1", "3f9c", "me"), Policy())

    def look(self) -> Any:
        found = self.engine.look(self.cloud.nova.services(), Terms(0, dead=frozenset(("cmp-1",))))
        for verdict in found.chores:
            self.engine.act(verdict, found, lambda: True)
        self.now += 600.0
        return found


def test_one_that_cannot_be_unlocked_keeps_its_host_out_not_for_ever(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.boot("s1", "web")
    cloud.claim("s1")
    cloud.ask("s1", "done", "cmp-3")
    cloud.servers["s1"]["OS-EXT-SRV-ATTR:host"] = "cmp-3"
    breaks(monkeypatch, cloud, "/servers/s1/action", "unlock")
    clock = Clock(cloud, monkeypatch)
    found = [clock.look() for _ in range(5)][-1].verdicts
    assert decide.host_over(found) and found[0].person, found


def test_rebuilds_that_hang_on_their_destination_take_no_place_of_others_for_ever(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the storage of some servers is away: each counts as under way, on a host that reports."""
    few = Policy(max_parallel=2)
    for uid in ("s1", "s2"):
        cloud.boot(uid, uid, **{"OS-EXT-STS:task_state": "rebuild_spawning"})
        cloud.ask(uid, "pre-migrating", "cmp-3")
    cloud.boot("s3", "other")
    clock = Clock(cloud, monkeypatch)
    looks = [clock.look() for _ in range(20)]
    assert [one.slow for one in looks[5].under_way] == [True, True] and not looks[-1].under_way
    for found in (looks[5], looks[-1]):
        assert [one.server.id for one in found.waiting] == ["s3"]
        assert Window(few).room(found.in_window, found.undecided(), found.still, 2) > 0


def test_a_glance_that_hangs_holds_a_host_up_once_and_not_for_each_server(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no image, and every other host, waits for all of it; the client of this test gives up after 2 s."""
    cloud.boot("s0", "volume")
    for number in range(1, 5):
        cloud.boot(f"s{number}", "web", image={"id": f"i{number}"}, flavor={"extra_specs": {}})
    answer = cloud.answer

    def hangs(method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        if "images" in path:
            time.sleep(2.5)
        return answer(method, path, body, request)

    monkeypatch.setattr(cloud, "answer", hangs)
    engine = Evacuation(cloud.nova, Task("cmp-1", "3f9c", "me"), Policy())
    began = time.monotonic()
    look = engine.look(cloud.nova.services(), Terms(0, dead=frozenset(("cmp-1",))))
    assert [one.server.id for one in look.waiting] == ["s0"]
    assert time.monotonic() - began < 5.0
