"""A host is back, and Nova refuses what is asked of one server on it, or cannot tell of it: the others are seen to all the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from instance_ha.engine import stayed
from instance_ha.engine.context import Context
from instance_ha.engine.homecoming import mend
from instance_ha.engine.selection import Policy
from instance_ha.engine.worker import Worker
from instance_ha.errors import CloudError
from instance_ha.model import RETURNING, ClusterNode

from tests.unit.test_odd_rows import RECORD, Written
from tests.unit.test_stayed import STATE, TASK, Cloud, Home

BUSY = (409, {"conflictingRequest": {
    "code": 409, "message": "Cannot 'reboot' instance m0 while it is in task_state image_snapshot"}})


class Busy(Cloud):
    """An owner asks for one image of m0 after the other: Nova refuses to reboot it meanwhile. `ill` are lines that are answered 500."""

    ill: tuple[str, ...] = ()

    def answer(self, method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        if f"{method} {path}" in self.ill:
            return 500, {"computeFault": {"code": 500, "message": "Unexpected API Error."}}
        if method == "POST" and path == "/servers/m0/action" and "reboot" in body:
            return BUSY
        return super().answer(method, path, body, request)


@pytest.fixture
def cloud() -> Iterator[Busy]:
    one = Busy()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.mark.parametrize("claimed", [True, False], ids=["claimed by us", "not claimed"])
def test_a_server_that_its_owner_keeps_busy_lets_the_others_be_started(cloud: Busy, claimed: bool) -> None:
    home = Home(cloud)
    for uid in ("m0", "victim"):
        cloud.boot(uid, uid)
        if claimed:
            cloud.claim(uid)
    for _ in range(10):
        with contextlib.suppress(CloudError):      # told of the whole host
            home.turn()
    assert home.acted("victim")[:1] == ["reboot"], home.acted("victim")


def test_one_that_cannot_be_read_lets_the_others_be_mended(cloud: Busy) -> None:
    for uid in ("m0", "victim"):
        cloud.boot(uid, uid)
        cloud.note(uid, "suspend")
        cloud.ask(uid, "done", "cmp-2")
        cloud.servers[uid].update({"OS-EXT-SRV-ATTR:host": "cmp-2", STATE: "error", TASK: None})
        cloud.actions[uid][0]["updated_at"] = "2026-11-25T04:00:59.000000"     # carried out late
    cloud.ill = ("GET /servers/m0/os-instance-actions",)
    with contextlib.suppress(CloudError):
        mend(cloud.nova, "cmp-1", 0)
    assert "os-resetState" in [row["action"] for row in cloud.actions["victim"]]


def test_a_claimed_server_with_a_task_lets_others_be_started(cloud: Busy) -> None:
    """Its owner asks for one image after the other, which its lock does not keep him from."""
    home = Home(cloud)
    cloud.boot("m0", "m0", **{TASK: "image_uploading"})
    cloud.claim("m0")
    cloud.boot("victim", "victim", tenant_id="another")
    for _ in range(5):
        home.turn()
    assert home.acted("victim") == ["reboot"]


def test_what_is_still_done_to_a_server_that_has_left_lets_those_that_stayed_be_started(cloud: Busy) -> None:
    """Its owner, who has locked it himself, has it unpaused each time that it is paused; its host is back."""
    cloud.service("cmp-1").update(state="up", forced_down=False, status="enabled")
    cloud.boot("m0", "m0", locked=True, locked_reason="mine")
    cloud.note("m0", "lock", "mallory", "p")
    cloud.ask("m0", "done", "cmp-2")
    cloud.servers["m0"].update({"OS-EXT-SRV-ATTR:host": "cmp-2", STATE: "active"})
    cloud.boot("victim", "victim", tenant_id="another")
    cluster = Written()
    cluster.node = ClusterNode("cmp-1", True, True)
    cluster.record = RECORD.to(RETURNING, baseline=0, kept={"m0": "paused"})
    worker = Worker(Context(cluster, cloud.nova, Policy(), "me"))
    for _ in range(5):
        worker.turn()
    asked = [row["action"] for row in cloud.actions.get("victim", [])]
    assert asked == ["reboot"], (cluster.record, worker.context.health)


def test_one_that_nova_refuses_to_restore_keeps_its_claim_and_is_told(cloud: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is locked for its owner: an end that needs a person, so that it is told until the person has acted."""
    home = Home(cloud)
    problems = home.worker.context.health.problems
    now = [0.0]
    monkeypatch.setattr(home.worker.context, "clock", lambda: now[0])
    cloud.boot("m0", "m0")
    cloud.claim("m0")

    def turn_after(seconds: float) -> str:
        now[0] += seconds
        return home.turn()

    def tries() -> int:
        return sum(asked == "GET /servers/m0/diagnostics" for asked in cloud.asked)

    assert turn_after(0.0).startswith("1 servers that stayed have a task") and not home.stayed.stuck
    assert turn_after(Policy().stuck_timeout + 1) == "1 servers that stayed need a person"
    assert home.stayed.stuck and cloud.servers["m0"]["locked"]
    assert "cmp-1: 1 servers stayed, are locked and not restored: m0 (m0): " in problems["refused cmp-1"]
    assert "Cannot 'reboot' instance m0" in problems["refused cmp-1"] and "Nova refuses that" in home.stayed.doubts["m0"]
    before = tries()
    assert turn_after(1.0) == "1 servers that stayed need a person" and tries() == before
    turn_after(stayed.REFUSED_PAUSE)
    assert tries() == before + 1 and "refused cmp-1" in problems
    cloud.servers["m0"]["locked"], cloud.servers["m0"]["locked_reason"] = False, None      # a person's unlock
    assert turn_after(1.0) == "" and not home.stayed.stuck and "refused cmp-1" not in problems
