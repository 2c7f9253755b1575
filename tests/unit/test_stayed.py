"""One return of a host on which servers stayed: what is done about each, once, and in small shares."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from instance_ha.cluster import Cluster
from instance_ha.engine import evacuation, stayed
from instance_ha.engine.context import Context
from instance_ha.engine.evacuation import Evacuation
from instance_ha.engine.scene import Task, Terms
from instance_ha.engine.selection import Policy
from instance_ha.engine.stayed import Stayed
from instance_ha.engine.worker import Worker
from instance_ha.errors import CloudUnreachable

from tests.unit.little_nova import LEFT_A_GUEST, LittleNova
from tests.unit.test_homecoming import SHUT_OFF

STATE, TASK, POWER = "OS-EXT-STS:vm_state", "OS-EXT-STS:task_state", "OS-EXT-STS:power_state"
NO_WORD = (501, {"notImplemented": {"message": "Unable to get diagnostics, functionality not implemented", "code": 501}})


class Cloud(LittleNova):
    """One in which no guest runs; `diagnostics` is what Nova answers when it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.diagnostics: tuple[int, Any] = (409, SHUT_OFF)
        self.loses = ""        # the action whose answer gets lost once

    def answer(self, method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        if path.endswith("/diagnostics"):
            self.asked.append(f"{method} {path}")
            return self.diagnostics
        code, found = super().answer(method, path, body, request)
        if body and self.loses in body and self.loses:
            self.loses = ""
            return 503, {"error": {"message": "Service Unavailable", "code": 503}}
        return code, found


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    one = Cloud()
    yield one
    one.server.shutdown()
    one.server.server_close()


class Home:
    """A host that is back, turn by turn."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.worker = Worker(Context(Cluster(), cloud.nova, Policy(), "me"))
        self.stayed = Stayed(self.worker.context, "cmp-1")
        self.engine = Evacuation(cloud.nova, Task("cmp-1", "3f9c", "me"), Policy())
        self.engine.records.deep = True

    def turn(self, baseline: int = 0) -> str:
        look = self.engine.look(self.cloud.nova.services(), Terms(baseline, starts=False))
        return self.stayed.restore(self.engine, look)

    def acted(self, uid: str) -> list[str]:
        """What this worker has asked of a server."""
        return [row["action"] for row in self.cloud.actions.get(uid, []) if row["action"] not in ("lock", "evacuate")]


@pytest.fixture
def home(cloud: Cloud) -> Home:
    return Home(cloud)


def test_each_is_started_once_and_what_a_user_shuts_down_later_stays_so(cloud: Cloud, home: Home) -> None:
    cloud.boot("s1", "web")
    cloud.boot("s2", "doubtful")
    cloud.claim("s2")
    cloud.ask("s2", "pre-migrating")
    assert "1 servers that stayed may run elsewhere" in home.turn()
    cloud.boot("new", "new")
    for _ in range(3):
        home.turn()
    assert home.acted("s1") == ["reboot"] and home.acted("new") == []


def test_many_are_seen_to_in_shares(cloud: Cloud, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that lasts as long as they all need keeps the other hosts waiting, and the worker from its heartbeat."""
    now = iter(range(1000))
    beats: list[int] = []
    monkeypatch.setattr(home.worker.context, "clock", lambda: float(next(now)))
    monkeypatch.setattr(home.worker.context, "alive", lambda: beats.append(1))
    for number in range(10):
        cloud.boot(f"s{number}", "web")
        if number < 5:
            cloud.claim(f"s{number}")
    monkeypatch.setattr(stayed, "SHARE", 4)
    told = []
    while True:
        told.append(home.turn())
        if not told[-1]:
            break
        assert home.stayed.cut and len(told) < 12
    assert len(told) > 2 and len(beats) >= 10
    assert all(home.acted(f"s{n}").count("reboot") == 1 for n in range(10))
    assert not any(server["locked"] for server in cloud.servers.values())


@pytest.mark.parametrize(("status", "destination", "failure", "doubtful"), [
    ("completed", "cmp-3", None, True), ("pre-migrating", "cmp-3", None, True), ("done", "cmp-3", None, True), ("error", None, None, False),
    ("failed", "cmp-3", {}, False), ("failed", "cmp-3", LEFT_A_GUEST, True), ("accepted", None, None, True)])
def test_what_may_run_elsewhere_is_not_started_on_its_old_host(
        cloud: Cloud, home: Home, status: str, destination: str | None, failure: dict[str, str] | None, doubtful: bool) -> None:
    """Seen on 2026-11-26, when the destination's nova-compute was restarted between the spawn and the move."""
    for uid in ("claimed", "plain"):
        cloud.boot(uid, uid)
        if uid == "claimed":
            cloud.claim(uid)
        cloud.ask(uid, status, destination, **(failure or {}))
    found = home.turn()
    assert ("may run elsewhere" in found) == doubtful
    for uid in ("claimed", "plain"):
        assert ("reboot" in home.acted(uid)) != doubtful
    assert cloud.servers["claimed"]["locked"] == doubtful


def test_doubt_outlives_the_worker_and_another_death_of_the_host(cloud: Cloud, home: Home) -> None:
    """A record that is written anew knows nothing of evacuations before it. Nova does."""
    cloud.boot("s1", "web")
    cloud.claim("s1")
    cloud.ask("s1", "failed", **LEFT_A_GUEST)
    home.turn()
    again = Home(cloud)
    for _ in range(2):
        assert "1 servers that stayed may run elsewhere" in again.turn(baseline=5)
    assert again.acted("s1") == [] and cloud.servers["s1"]["locked"]
    cloud.servers["s1"].update(locked=False, locked_reason=None)
    cloud.note("s1", "unlock", "a person", "admin")
    assert again.turn(baseline=5) == ""


def test_a_reboot_whose_answer_was_lost_is_looked_for(cloud: Cloud, home: Home) -> None:
    cloud.boot("s1", "web")
    cloud.claim("s1")
    cloud.loses = "reboot"
    with pytest.raises(CloudUnreachable):
        home.turn()
    assert home.turn() == "" and home.acted("s1") == ["reboot", "unlock"]


def test_what_runs_is_not_rebooted(cloud: Cloud, home: Home) -> None:
    """A record can be older than its host's return: then everything on the host runs."""
    cloud.diagnostics = (200, {"state": "running", "driver": "libvirt"})
    cloud.boot("s1", "web")
    cloud.claim("s1")
    assert home.turn() == "" and home.acted("s1") == ["unlock"]


@pytest.mark.parametrize(("row", "answer", "asked"), [
    ({}, (409, SHUT_OFF), ["reboot"]), ({}, (200, {"state": "running"}), []), ({}, NO_WORD, None),
    ({}, (400, {"badRequest": {"message": "no", "code": 400}}), []), ({STATE: "stopped"}, (409, SHUT_OFF), []),
    ({TASK: "powering-off"}, (409, SHUT_OFF), []), ({"metadata": {"evacuable": "false"}}, (409, SHUT_OFF), []),
])
def test_only_protected_servers_that_do_not_run_are_started_again(
        cloud: Cloud, home: Home, row: dict[str, object], answer: tuple[int, Any], asked: list[str] | None) -> None:
    cloud.boot("s1", "web", **row)
    cloud.diagnostics = answer
    if asked is None:
        with pytest.raises(CloudUnreachable):
            home.turn()
    else:
        home.turn()
    assert home.acted("s1") == (asked or [])


@pytest.mark.parametrize("state", ["active", "error", "stopped"])
def test_a_server_whose_live_migration_broke_off_keeps_its_mark(cloud: Cloud, home: Home, state: str) -> None:
    """Its guest may run at the destination."""
    cloud.boot("s1", "web", **{STATE: state})
    cloud.claim("s1", "moving")
    cloud.migrations.append({"id": 1, "instance_uuid": "s1", "status": "running", "migration_type": "live-migration", "source_compute": "cmp-1",
                             "dest_compute": "cmp-2", "created_at": "", "updated_at": ""})
    assert "may run elsewhere" in home.turn() and home.acted("s1") == [] and cloud.servers["s1"]["locked"]


def test_a_task_that_the_hosts_death_broke_off_is_not_waited_for_for_ever(cloud: Cloud, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(home.worker.context, "clock", lambda: now[0])
    cloud.boot("s1", "web", **{TASK: "suspending"})
    cloud.claim("s1")
    assert "have a task" in home.turn() and home.acted("s1") == []
    now[0] += Policy().stuck_timeout + 1
    assert home.turn() == "" and home.acted("s1") == ["os-resetState", "reboot", "unlock"]


def test_one_task_after_the_other_is_not_waited_for_for_ever(cloud: Cloud, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner may ask for images of it while we have locked it, and what comes after it waits for the end of that."""
    now = [1000.0]
    monkeypatch.setattr(home.worker.context, "clock", lambda: now[0])
    cloud.boot("s1", "web")
    cloud.claim("s1")
    for turn in range(4):
        cloud.servers["s1"][TASK] = ("image_snapshot", "image_uploading")[turn % 2]
        said = home.turn()
        now[0] += Policy().stuck_timeout / 2
    assert said == "" and "unlock" in home.acted("s1")


def test_a_lock_that_says_what_our_claim_says_is_a_users(cloud: Cloud, home: Home) -> None:
    cloud.boot("s1", "web")
    cloud.claim("s1", "elsewhere", user="mallory", project="p")
    assert home.turn() == "" and home.acted("s1") == ["reboot"] and cloud.servers["s1"]["locked"]


def test_an_answer_that_is_missing_starts_nothing(cloud: Cloud, home: Home) -> None:
    cloud.boot("s1", "web")
    cloud.claim("s1")
    cloud.ask("s1", "failed")
    usual = cloud.answer

    def answer(method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        return (503, {"error": {"message": "no", "code": 503}}) if "os-instance-actions" in path else usual(method, path, body, request)

    cloud.answer = answer  # type: ignore[method-assign]
    assert "does not tell what was asked: web" in home.turn()
    assert home.acted("s1") == [] and cloud.servers["s1"]["locked"]


def test_a_request_that_is_seen_for_the_first_time_is_not_lost(cloud: Cloud, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nova's queues had been read for minutes, before it was in one of them."""
    now = 1000.0
    monkeypatch.setattr(evacuation, "time", SimpleNamespace(monotonic=lambda: now))
    cloud.boot("s1", "web")
    cloud.claim("s1")
    for number in range(40):
        now += 10
        for service in cloud.services:
            service["updated_at"] = f"2026-11-25T04:{number // 6:02}:{number % 6}1.000000"
        home.engine.look(cloud.nova.services(), Terms(0, starts=False))
    cloud.ask("s1", "accepted", None)
    assert "1 servers that stayed may run elsewhere" in home.turn()
    assert home.acted("s1") == []
