"""When a host counts as back, and what is done to its servers then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from instance_ha.engine.homecoming import Homecoming, mend
from instance_ha.engine.stayed import begun_elsewhere, release, revive
from instance_ha.errors import CloudUnreachable
from instance_ha.model import Claim, ClusterNode, ClusterView, Service
from instance_ha.rows import server_of

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


def claimed(was: str, **more: object) -> dict[str, object]:
    """A server's row that carries our claim."""
    return {**ROW, "locked": True, "locked_reason": Claim("cmp-1", was, "3f9c", "me").text(), **more}


def always() -> bool:
    return True


SHUT_OFF = {"conflictingRequest": {
    "code": 409, "message": "Instance a1 in power state shutdown. Cannot get_diagnostics while the instance is in this state."}}


def action(name: str, started: str, updated: str) -> dict[str, str]:
    return {"action": name, "request_id": f"req-{name}", "start_time": f"2026-11-25T{started}", "updated_at": f"2026-11-25T{updated}"}


def posted(fake: Fake) -> list[str]:
    """The actions that were asked, by name."""
    return [next(iter(body)) for method, _, body, _ in fake.asked if method == "POST"]


def test_a_reboot_whose_answer_was_lost_is_looked_for(fake: Fake) -> None:
    reboots: dict[str, int] = {}
    fake.says(200, {"servers": [claimed("active")]})
    fake.says(409, SHUT_OFF)
    fake.says(200, {"instanceActions": []})
    fake.answers.append(None)
    with pytest.raises(CloudUnreachable):
        release(fake.nova, "cmp-1", reboots, lambda server: False, {}, always)
    fake.says(200, {"servers": [claimed("active")]})
    fake.says(409, SHUT_OFF)
    fake.says(200, {"instanceActions": [action("reboot", "10:00:00", "10:00:01")]})
    fake.says(202)
    assert release(fake.nova, "cmp-1", reboots, lambda server: False, {}, always) == []
    assert posted(fake) == ["reboot", "unlock"]


def test_what_runs_is_not_rebooted(fake: Fake) -> None:
    """A record can be older than its host's return: then everything on the host runs."""
    fake.says(200, {"servers": [claimed("active")]})
    fake.says(200, {"state": "running", "driver": "libvirt"})
    fake.says(202)
    release(fake.nova, "cmp-1", {}, lambda server: False, {}, always)
    assert posted(fake) == ["unlock"]


@pytest.mark.parametrize(("row", "answer", "asked"), [
    ({}, (409, SHUT_OFF), ["reboot"]),
    ({}, (200, {"state": "running"}), []),
    ({}, (501, {"notImplemented": {"message": "Unable to get diagnostics, functionality not implemented", "code": 501}}), None),
    ({}, (400, {"badRequest": {"message": "no", "code": 400}}), []),
    ({"OS-EXT-STS:vm_state": "stopped"}, None, []),
    ({"OS-EXT-STS:task_state": "powering-off"}, None, []),
    ({"name": "mine"}, None, []),
])
def test_only_protected_servers_that_do_not_run_are_started_again(fake: Fake, row: dict[str, object], answer: tuple[int, object] | None,
                                                                  asked: list[str] | None) -> None:
    fake.says(200, {"servers": [{**ROW, **row}]})
    for _ in range(1 if asked is not None else 3):
        if answer:
            fake.says(*answer)
    if asked:
        fake.says(200, {"instanceActions": []})
        fake.says(202)
    if asked is None:
        with pytest.raises(CloudUnreachable):
            revive(fake.nova, "cmp-1", {"a1"}, lambda server: server.name != "mine", {}, {}, always)
    else:
        revive(fake.nova, "cmp-1", {"a1"}, lambda server: server.name != "mine", {}, {}, always)
        assert posted(fake) == asked


@pytest.mark.parametrize("state", ["active", "error", "stopped"])
def test_a_server_whose_live_migration_broke_off_is_left_as_it_is(fake: Fake, state: str) -> None:
    """Its guest may run at the destination."""
    fake.says(200, {"servers": [claimed("moving", **{"OS-EXT-STS:vm_state": state})]})
    if state == "error":
        fake.says(200, {"migrations": []})
    fake.says(202)
    release(fake.nova, "cmp-1", {}, lambda server: False, {}, always)
    assert posted(fake) == ["unlock"]


@pytest.mark.parametrize(("stuck", "asked", "left"), [(False, [], 1), (True, ["os-resetState", "reboot", "unlock"], 0)])
def test_a_task_that_the_hosts_death_broke_off_is_not_waited_for_for_ever(fake: Fake, stuck: bool, asked: list[str], left: int) -> None:
    fake.says(200, {"servers": [claimed("active", **{"OS-EXT-STS:task_state": "suspending"})]})
    if stuck:
        fake.says(202)
        fake.says(409, SHUT_OFF)
        fake.says(200, {"instanceActions": []})
        fake.says(202)
        fake.says(202)
    assert len(release(fake.nova, "cmp-1", {}, lambda server: stuck, {}, always)) == left
    assert posted(fake) == asked


@pytest.mark.parametrize(("first", "second", "asked"), [
    (("17:22:13", "17:22:19"), ("17:22:14", "17:22:17"), ["unlock"]),
    (("17:22:13", "17:22:14"), ("17:22:14", "17:22:17"), ["os-resetState", "reboot", "unlock"]),
])
def test_a_server_with_two_evacuations_at_once_is_left_as_it_is(fake: Fake, first: tuple[str, str], second: tuple[str, str],
                                                                asked: list[str]) -> None:
    """A person and a worker sent within half a second of each other (seen on 2026-11-25): both failed, and the guest of one ran on."""
    fake.says(200, {"servers": [claimed("active", **{"OS-EXT-STS:vm_state": "error"})]})
    fake.says(200, {"migrations": [
        {"id": number, "instance_uuid": "a1", "status": "error", "source_compute": "cmp-1", "dest_compute": "cmp-3",
         "created_at": f"2026-11-25T{begun}.000000", "updated_at": f"2026-11-25T{ended}.000000"}
        for number, (begun, ended) in enumerate((first, second), 25)]})
    fake.says_always("/servers/a1/os-instance-actions", {"instanceActions": []})
    for _ in asked:
        fake.says(202)
    release(fake.nova, "cmp-1", {}, lambda server: False, {}, always)
    assert posted(fake) == asked


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


@pytest.mark.parametrize(("status", "destination", "fault", "doubtful"), [
    ("completed", "cmp-3", "", True), ("pre-migrating", "cmp-3", "", True), ("done", "cmp-3", "", True), ("error", "cmp-3", "No valid host", False),
    ("failed", "cmp-3", "Failed to deploy", False), ("failed", "cmp-3", "MessagingTimeout", True), ("failed", "cmp-3", "", True),
    ("accepted", None, "", False)])
def test_what_a_destination_has_begun_is_not_started_on_its_old_host(
        fake: Fake, status: str, destination: str | None, fault: str, doubtful: bool) -> None:
    """Its guest may run there: seen on 2026-11-26, when the destination's nova-compute was restarted between the spawn and the move."""
    fake.says(200, {"migrations": [{"id": 21, "instance_uuid": "a1", "status": status, "source_compute": "cmp-1", "dest_compute": destination}]})
    there = [server_of({**ROW, "fault": {"message": fault, "created": "2026-11-26T20:00:00Z"} if fault else {}})]
    begun = begun_elsewhere(fake.nova, "cmp-1", 20, there, (), ())
    assert bool(begun) == doubtful and not begun_elsewhere(fake.nova, "cmp-1", None, there, (), ())
    fake.says(200, {"servers": [claimed("active")]})
    if not doubtful:
        fake.says(200, {"state": "running"})
        fake.says(202)
    assert release(fake.nova, "cmp-1", {}, lambda server: False, begun, always) == []
    assert posted(fake) == ([] if doubtful else ["unlock"])
    fake.says(200, {"servers": [ROW]})
    if not doubtful:
        fake.says(200, {"state": "running"})
    revive(fake.nova, "cmp-1", {"a1"}, lambda server: True, {}, begun, always)
    assert posted(fake) == ([] if doubtful else ["unlock"])
