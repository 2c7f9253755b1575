"""A host is back, and Nova refuses what is asked of one server on it, or cannot tell of it: the others are seen to all the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from instance_ha.engine.homecoming import mend
from instance_ha.errors import CloudError

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
        try:
            home.turn()
        except CloudError:
            pass                    # told of the whole host
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
