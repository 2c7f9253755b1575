"""When a host counts as back, and what is done to its servers then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from instance_ha.engine.homecoming import Homecoming, mend
from instance_ha.model import ClusterNode, ClusterView, Service

from tests.unit.fake import ROW, Fake

DOWN = Service("1", "nova-compute", "cmp-1", True, True, False, "", "10:00:00")


def view(online: bool) -> ClusterView:
    return ClusterView({"cmp-1": ClusterNode("cmp-1", True, online)}, {}, {}, True)


def looks(*services: Service, online: bool = True) -> list[bool]:
    worker: Any = None  # alive() asks nothing of it
    home = Homecoming(worker, "cmp-1")
    return [home.alive(view(online), service) for service in services]


def test_it_is_back_when_it_has_reported_twice() -> None:
    one, two = replace(DOWN, updated="10:00:10"), replace(DOWN, updated="10:00:20")
    assert looks(DOWN, one, one, two) == [False, False, False, True]
    assert not any(looks(DOWN, one, two, online=False))


def test_what_is_changed_on_a_service_is_no_report_of_its_host() -> None:
    """A host that boots quickly is online when it is marked down: forced down, then disabled, each with a new time stamp."""
    forced = replace(DOWN, up=False, forced_down=True, updated="10:00:01")
    disabled = replace(forced, enabled=False, reason="instance-ha: fenced", updated="10:00:02")
    again = replace(disabled, reason="mine now", updated="10:00:03")
    assert not any(looks(DOWN, forced, disabled, disabled, again, again))


SHUT_OFF = {"conflictingRequest": {
    "code": 409, "message": "Instance a1 in power state shutdown. Cannot get_diagnostics while the instance is in this state."}}


def action(name: str, started: str, updated: str) -> dict[str, str]:
    return {"action": name, "request_id": f"req-{name}", "start_time": f"2026-11-25T{started}", "updated_at": f"2026-11-25T{updated}"}


def posted(fake: Fake) -> list[str]:
    """The actions that were asked, by name."""
    return [next(iter(body)) for method, _, body, _ in fake.asked if method == "POST"]


EVACUATED = {"id": 7, "instance_uuid": "a1", "status": "completed", "source_compute": "cmp-1", "dest_compute": "cmp-2"}
OLD = action("suspend", "10:00:00", "10:00:40")
MOVE = action("evacuate", "10:00:10", "10:00:15")


@pytest.mark.parametrize(("row", "actions", "asked"), [
    ({"OS-EXT-STS:vm_state": "error"}, [MOVE, OLD], ["os-resetState"]),
    ({"OS-EXT-STS:vm_state": "error", "OS-EXT-STS:power_state": 4}, [action("stop", "10:00:20", "10:00:21"), MOVE, OLD],
     ["os-resetState", "os-stop"]),
    ({"OS-EXT-STS:task_state": "rebuilding"}, [action("unlock", "10:00:16", "10:00:16"), MOVE, OLD], ["os-resetState"]),
    ({"OS-EXT-STS:vm_state": "error"}, [MOVE, action("suspend", "10:00:00", "10:00:05")], []),       # nothing old was done to it
    ({"OS-EXT-STS:vm_state": "error"}, [action("reboot", "10:00:50", "10:00:55"), MOVE, OLD], []),  # its user has asked something since
    ({"OS-EXT-STS:task_state": "powering-off"}, [action("stop", "10:00:50", "10:00:50"), MOVE, OLD], []),
    ({"OS-EXT-STS:task_state": "deleting"}, [MOVE, OLD], []),
])
def test_only_what_an_old_message_broke_is_mended(fake: Fake, row: dict[str, object], actions: list[object], asked: list[str]) -> None:
    fake.says(200, {"migrations": [EVACUATED]})
    fake.says(200, {"servers": [{**ROW, "OS-EXT-SRV-ATTR:host": "cmp-2", **row}]})
    fake.says(200, {"instanceActions": actions})
    for _ in asked:
        fake.says(202)
    mend(fake.nova, "cmp-1", 0)
    assert posted(fake) == asked
