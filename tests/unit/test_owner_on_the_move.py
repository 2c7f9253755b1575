"""An owner who moves or shelves his server once it has arrived, and answers that fail for one server only: no other waits for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from instance_ha.engine import evidence
from instance_ha.engine.selection import Policy
from instance_ha.model import EVACUATED, PARTLY, Claim

from tests.unit.little_nova import LittleNova
from tests.unit.test_busy_tenant import FIRST, MALLORY, PROJECT, STATE, TASK, WINDOW, Cloud

HOST = "OS-EXT-SRV-ATTR:host"
OVER = (EVACUATED, PARTLY)


class Ailing(LittleNova):
    """Answers 500 to `ill`, parts of a request's line, and 409 to what is asked of a server that has a task."""

    def __init__(self) -> None:
        super().__init__()
        self.ill: tuple[str, ...] = ()

    def answer(self, method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        line = f"{method} {path.partition('?')[0]}"
        if any(line.endswith(one) for one in self.ill):
            self.asked.append(line)
            return 500, {"computeFault": {"code": 500, "message": "Unexpected API Error."}}
        if body and "pause" in body and self.servers[path.split("/")[2]][TASK]:
            return 409, {"conflictingRequest": {"code": 409, "message": "Cannot 'pause' instance while it is in task_state shelving"}}
        return super().answer(method, path, body, request)


@pytest.fixture
def little() -> Iterator[Ailing]:
    one = Ailing()
    one.service("cmp-1").update(
        state="down", forced_down=True, status="disabled", disabled_reason="instance-ha: fenced (i1)")
    yield one
    one.server.shutdown()
    one.server.server_close()


def until_over(cloud: Cloud, seconds: float, each: Any = lambda turn: None) -> None:
    """Let the worker go on until it says that the evacuation is over, for so long at most."""
    end, turn = time.monotonic() + seconds, 0
    while cloud.state() not in OVER and time.monotonic() < end:
        each(turn)
        cloud.worker.turn()
        turn += 1


def test_a_server_that_its_owner_shelves_when_it_has_arrived_keeps_no_host(little: Ailing) -> None:
    """It was paused and locked by him, so that nobody has claimed it; he unlocks it and shelves it before the worker pauses it. Nova
    offloads it at once: it is on no host then."""
    cloud = Cloud(little, Policy(retry_pause=0.01, stuck_timeout=0.3))
    cloud.own(1, state="paused")
    cloud.worker.turn()
    little.move("m0", "done", "cmp-2")
    little.servers["m0"].update({"locked": False, "locked_reason": None, TASK: "shelving"})
    cloud.worker.turn()
    little.servers["m0"].update({HOST: None, STATE: "shelved_offloaded", TASK: None, "status": "SHELVED_OFFLOADED"})
    until_over(cloud, 3.0)
    assert cloud.state() in OVER, (cloud.state(), [v.reason for v in cloud.worker.hosts["cmp-1"].look.verdicts])


def test_a_server_that_its_owner_moves_on_by_resizes_keeps_no_host(little: Ailing) -> None:
    cloud = Cloud(little, Policy(retry_pause=0.01, stuck_timeout=0.3))
    cloud.own(1, state="paused")
    cloud.worker.turn()
    little.move("m0", "done", "cmp-2")
    little.servers["m0"].update({"locked": False, "locked_reason": None, TASK: "resize_prep"})
    cloud.worker.turn()

    def resize(turn: int) -> None:
        little.servers["m0"].update({HOST: "cmp-3", TASK: ("resize_prep", "resize_migrating", "resize_reverting")[turn % 3]})

    until_over(cloud, 3.0, resize)
    assert cloud.state() in OVER


def test_rebuilds_that_do_not_end_take_the_places_of_others_for_a_time_only(little: Ailing) -> None:
    """As of images of hundreds of gigabytes, or where libvirt hangs on one volume. Nova goes on reporting from their destination."""
    cloud = Cloud(little, Policy(max_parallel=WINDOW, stuck_timeout=0.3))
    cloud.own(WINDOW)
    little.boot("victim", "victim", tenant_id="another")
    cloud.worker.turn()
    for uid in cloud.mine:
        little.move(uid, "pre-migrating", "cmp-2")
        little.servers[uid][TASK] = "rebuild_spawning"     # Nova writes its new host when the guest is there
    end = time.monotonic() + 3.0
    while "victim" not in cloud.sent() and time.monotonic() < end:
        cloud.worker.turn()
    assert "victim" in cloud.sent(), [(v.server.name, v.action, v.reason) for v in cloud.worker.hosts["cmp-1"].look.verdicts]


def test_one_moved_server_that_nova_cannot_show_stops_no_other(little: Ailing) -> None:
    cloud = Cloud(little, Policy(max_parallel=WINDOW, stuck_timeout=0.3))
    cloud.own(1, locked=False)
    cloud.worker.turn()
    little.move("m0", "done", "cmp-2")
    little.ill = ("GET /servers/m0",)
    little.boot("victim", "victim", tenant_id="another")
    end = time.monotonic() + 3.0
    while "victim" not in cloud.sent() and time.monotonic() < end:
        cloud.worker.turn()
    assert "victim" in cloud.sent(), cloud.worker.context.health.problems


@pytest.mark.parametrize("ill", ["GET /servers/m{}", "POST /servers/m{}/action"])
def test_servers_that_nova_cannot_show_or_lock_take_no_place_of_others(little: Ailing, ill: str) -> None:
    """They stand at the top, and the window is narrow after their failures."""
    cloud = Cloud(little, Policy(max_parallel=WINDOW, min_parallel=2, stuck_timeout=0.3))
    cloud.own(WINDOW + 1, locked=False)
    little.boot("victim", "victim", tenant_id="another")
    little.ill = tuple(ill.format(number) for number in range(WINDOW + 1))
    end = time.monotonic() + 6.0
    while "victim" not in cloud.sent() and time.monotonic() < end:
        cloud.worker.turn()
    assert "victim" in cloud.sent(), cloud.worker.context.health.problems


def test_an_administrators_lock_stays_although_its_owners_is_too_long_ago(little: Ailing, monkeypatch: pytest.MonkeyPatch) -> None:
    """His own, with the words of a claim, is further back than what is read of what was asked of his server."""
    little.page = 2
    cloud = Cloud(little, Policy())
    little.boot("m0", "m0", locked=True, locked_reason=Claim("cmp-1", "active", "i1", "x").text())
    little.note("m0", "lock", MALLORY, PROJECT)
    for _ in range(2 * 10):
        little.note("m0", "createImage", MALLORY, PROJECT)
    little.note("m0", "lock", "root", "admins")    # an operator freezes it; Nova keeps the reason
    for _ in range(3):
        cloud.worker.turn()
    if little.migrations:
        little.move("m0", "done", "cmp-2")
    for _ in range(5):
        cloud.worker.turn()
    assert little.servers["m0"]["locked"]


def test_what_was_asked_of_one_server_cannot_be_read_and_its_host_is_told(little: Ailing) -> None:
    cloud = Cloud(little, Policy(retry_pause=0.01, stuck_timeout=0.3))
    cloud.own(1, locked=False)
    cloud.worker.turn()
    little.move("m0", "error")
    little.ill = ("GET /servers/m0/os-instance-actions",)
    until_over(cloud, 3.0)
    assert cloud.state() in OVER or "m0" in " ".join(cloud.worker.context.health.problems.values()), cloud.worker.context.health.problems


def grouped(self: Ailing, method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
    """Two servers of one affinity group; Glance tells nothing of the image of one of them."""
    if path.startswith("/v2/images/"):
        return 503, None
    if path == "/os-server-groups/g1":
        return 200, {"server_group": {"id": "g1", "name": "g", "policy": "affinity", "members": ["m0", "m1"], "rules": {}}}
    return Ailing.answer(self, method, path, body, request)


def test_a_member_of_a_group_whose_protection_is_not_known_makes_no_bug_and_takes_no_place(
    little: Ailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image of the one is not told; the other says itself that it is protected."""
    monkeypatch.setattr(little, "answer", lambda *args: grouped(little, *args))
    cloud = Cloud(little, Policy(max_parallel=1, min_parallel=1, stuck_timeout=0.3))
    little.boot("m0", "m0", metadata={**FIRST, "evacuable": "true"}, server_groups=["g1"])
    little.boot("m1", "m1", image={"id": "i1"}, flavor={}, server_groups=["g1"])
    little.boot("victim", "victim", tenant_id="another")
    end = time.monotonic() + 3.0
    while "victim" not in cloud.sent() and time.monotonic() < end:
        cloud.worker.turn()
    problems = cloud.worker.context.health.problems
    assert "victim" in cloud.sent() and not any("bug" in said for said in problems.values()), problems


class Glance(Ailing):
    """A Glance that tells nothing: each answer takes 50 ms (a connection that hangs takes api_timeout, 10 s)."""

    def answer(self, method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        if path.startswith("/v2/images/"):
            self.asked.append(path)
            time.sleep(0.05)
            return 504, None
        return super().answer(method, path, body, request)


def test_a_glance_that_tells_nothing_is_not_asked_for_each_image_before_anything_is_sent() -> None:
    little = Glance()
    little.service("cmp-1").update(
        state="down", forced_down=True, status="disabled", disabled_reason="instance-ha: fenced (i1)")
    try:
        cloud = Cloud(little, Policy())
        for number in range(40):
            little.boot(f"m{number}", f"m{number}", image={"id": f"i{number}"}, flavor={})
        little.boot("victim", "victim", tenant_id="another")
        end = time.monotonic() + 30
        while "victim" not in cloud.sent() and time.monotonic() < end:
            cloud.worker.turn()
        asked = sum(one.startswith("/v2") for one in little.asked)
        assert "victim" in cloud.sent() and asked <= 15, asked
    finally:
        little.server.shutdown()
        little.server.server_close()


@pytest.mark.parametrize("more", [
    {"image": {"id": "i1"}, "flavor": {}},         # Glance does not tell whether it is protected
    {"flavor": {"vcpus": "x", "extra_specs": {}}},  # a row that cannot be read
], ids=["image", "odd row"])
def test_servers_of_which_something_is_not_known_take_no_place(little: Ailing, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]) -> None:
    """Nova has nothing to do for them. There are sixteen places for what waits for the scheduler."""
    monkeypatch.setattr(little, "answer", lambda *args: grouped(little, *args))
    cloud = Cloud(little, Policy())
    for number in range(20):
        little.boot(f"m{number}", f"m{number}", **more)
    little.boot("victim", "victim", tenant_id="another")
    end = time.monotonic() + 4.0
    while "victim" not in cloud.sent() and time.monotonic() < end:
        cloud.worker.turn()
    assert "victim" in cloud.sent(), cloud.worker.context.health


def test_long_lists_of_requests_are_not_read_in_each_turn(little: Ailing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their owner changes the words of his locks again and again. Each list has nine pages, of a thousand in Nova."""
    monkeypatch.setattr(evidence, "LONG", 50, raising=False)
    little.page = 10
    cloud = Cloud(little, Policy(max_parallel=1, min_parallel=1))
    little.boot("victim", "victim", tenant_id="another")
    for number in range(10):
        little.boot(f"m{number}", f"m{number}", locked=True, metadata={"restart_priority": "-1000"})
        for _ in range(9 * 10 - 1):
            little.note(f"m{number}", "createImage", MALLORY, PROJECT)
        little.note(f"m{number}", "lock", MALLORY, PROJECT)
    counts = []
    for turn in range(3):
        for number in range(10):
            little.servers[f"m{number}"]["locked_reason"] = Claim("cmp-1", "active", "i1", f"x{turn}").text()
        before = len(little.asked)
        cloud.worker.turn()
        counts.append(len(little.asked) - before)
    assert max(counts[1:]) < 30, counts


def test_a_server_that_cannot_be_locked_keeps_no_host(little: Ailing) -> None:
    """Nothing is begun (enabled=false), and those that wait are claimed before their host may come back."""
    cloud = Cloud(little, Policy(enabled=False))
    little.boot("m0", "m0")
    little.boot("victim", "victim", tenant_id="another")
    little.ill = ("POST /servers/m0/action",)
    until_over(cloud, 2.0)
    assert little.servers["victim"]["locked"] and cloud.state() in OVER, cloud.worker.context.health
