"""The promises, as decisions on what was seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from instance_ha import model
from instance_ha.engine import decide
from instance_ha.engine.decide import EVACUATE, LEFT, PAUSE, RESET, START, STOP, UNLOCK, WAIT, server_verdict
from instance_ha.engine.naming import host_of
from instance_ha.engine.proof import is_current, level_fault, proof_of_fencing
from instance_ha.engine.scene import HostScene, Memory
from instance_ha.engine.selection import Policy, Ruling
from instance_ha.model import Claim, ClusterNode, FenceEvent, Migration, Record, Server, Service

from tests.unit.fake import Fake
from tests.unit.test_model import server

RECORD = Record("cmp-1", model.FENCED, "3f9c", seen=("100",))
DOWN = ClusterNode("cmp-1", remote=True, online=False)
MARK = "node_fenced:77"
CLAIM = Claim("cmp-1", "active", "3f9c", "me")


def event(status: str, completed: str = "101", action: str = "reboot") -> FenceEvent:
    return FenceEvent("cmp-1", action, status, completed)


def scene(*servers: Server, rows: tuple[Migration, ...] = (), up: str = "cmp-2 cmp-3", dead: str = "cmp-1",
          now: float = 1000.0, starts: bool = True,
          baseline: int = 0, rulings: dict[str, Ruling] | None = None, **more: object) -> HostScene:
    return HostScene("cmp-1", "3f9c", "me", baseline, servers, rulings or {}, rows, frozenset(up.split()),
                     frozenset(dead.split()), more.pop("control_up", True), now, starts,  # type: ignore[arg-type]
                     rows[-1].id if rows else 0, **more)  # type: ignore[arg-type]


def row(number: int, status: str, destination: str | None = "cmp-2") -> Migration:
    return Migration(number, "u1", status, "cmp-1", destination)


def verdict(one: Server, memory: Memory | None = None, policy: Policy | None = None, **fields: object) -> decide.Verdict:
    return server_verdict(one, scene(one, **fields), policy or Policy(), memory or Memory())  # type: ignore[arg-type]


# Fenced first

@pytest.mark.parametrize(("node", "events"), [
    (ClusterNode("cmp-1", True, False, MARK), []),                       # a person's confirmation leaves only this
    (ClusterNode("cmp-1", True, False, MARK), [event("success")]),
    (ClusterNode("cmp-1", True, True), [event("success")]),         # it is back already
    (ClusterNode("cmp-1", False, False), [event("success", action="off")]),
    (ClusterNode("cmp-1", False, False, "node_state:send_stonith_update"), []),
    (ClusterNode("cmp-1", True, False, MARK), [event("failed", "102", "on"), event("success")]),
])
def test_proof(node: ClusterNode, events: list[FenceEvent]) -> None:
    assert proof_of_fencing(RECORD, node, events)[0]


@pytest.mark.parametrize(("node", "events", "word"), [
    (DOWN, [], "not confirmed"),
    (DOWN, [event("success", "100")], "not confirmed"),                # an earlier fencing than this record's
    (DOWN, [event("success", "100"), event("success", "99"), event("success", "98")], "not confirmed"),
    (DOWN, [event("failed", "102"), event("success", "101")], "last fencing failed"),
    (DOWN, [event("pending", ""), event("success", "101")], "still fencing"),
    (ClusterNode("cmp-1", True, False, MARK), [event("pending", "")], "still fencing"),
    (ClusterNode("cmp-1", True, True), [], "online"),
    (ClusterNode("cmp-1", True, None), [], "not confirmed"),
    (ClusterNode("cmp-1", True, False), [event("success", "102", "on")], "not confirmed"),
    (ClusterNode("cmp-1", False, False), [], "not confirmed"),         # a clean stop of a full member leaves no mark
    (None, [], "no such node"),
])
def test_no_proof(node: ClusterNode | None, events: list[FenceEvent], word: str) -> None:
    proof, reason = proof_of_fencing(RECORD, node, events)
    assert not proof and word in reason


@pytest.mark.parametrize(("levels", "word"), [
    ((), "no fencing level"), ((("fence_nova",),), "no power device"), ((("fence_nova", "fence_ipmilan"),), "no power device"),
    ((("fence_ipmilan", "fence_nova"), ("fence_compute",)), "level 2"), ((("", "fence_nova"),), "no power device")])
def test_a_level_that_cuts_no_power_is_not_trusted(levels: tuple[tuple[str, ...], ...], word: str) -> None:
    assert word in level_fault(levels)


@pytest.mark.parametrize("levels", [
    (("fence_ipmilan", "fence_nova"),), (("fence_ipmilan",), ("fence_sbd", "fence_nova")), (("fence_ipmilan", "fence_pdu", "fence_nova"),)])
def test_a_level_with_its_power_device_first_is_trusted(levels: tuple[tuple[str, ...], ...]) -> None:
    assert level_fault(levels) == ""


@pytest.mark.parametrize("raw", ["yes", "cmp-1@1764000000", "fenced;id=byhand"])
def test_a_record_that_knows_no_earlier_fencings_is_proven_by_the_mark_alone(raw: str) -> None:
    legacy = model.parse_record("cmp-1", raw)
    assert legacy is not None
    assert proof_of_fencing(legacy, ClusterNode("cmp-1", True, False, MARK), [event("success")])[0]
    for node in (ClusterNode("cmp-1", True, True), ClusterNode("cmp-1", True, False), ClusterNode("cmp-1", False, False)):
        assert not proof_of_fencing(legacy, node, [event("success")])[0]


def test_a_first_fencing_is_proven_when_the_node_is_back_already() -> None:
    record = model.parse_record("cmp-1", Record("cmp-1", model.FENCED, "3f9c", seen=()).text())
    assert record is not None and record.seen == ()
    assert proof_of_fencing(record, ClusterNode("cmp-1", True, True), [event("success")])[0]


SERVICE = model.Service("1", "nova-compute", "cmp-1", True, True, False)


@pytest.mark.parametrize(("node", "service", "current"), [
    (ClusterNode("cmp-1", True, False, MARK), SERVICE, True),
    (ClusterNode("cmp-1", True, True), replace(SERVICE, forced_down=True, enabled=False, reason="instance-ha: fenced (3f9c)"), True),
    (ClusterNode("cmp-1", True, True), SERVICE, False),                                   # restored with an older CIB, and in service
    (ClusterNode("cmp-1", True, False, "node_fenced:99"), SERVICE, True),                 # fenced again
    (ClusterNode("cmp-1", True, True, MARK), SERVICE, False),
    (ClusterNode("cmp-1", True, False), replace(SERVICE, forced_down=True, reason="instance-ha: fenced (another)"), False),
    (ClusterNode("cmp-1", True, True), replace(SERVICE, reason="instance-ha: fenced (3f9c)"), False),
    (None, SERVICE, False),
])
def test_a_record_speaks_of_now_only_with_a_mark_that_its_host_is_still_down(node: ClusterNode | None, service: model.Service, current: bool) -> None:
    assert is_current(Record("cmp-1", model.CONFIRMED, "3f9c", proof=MARK), node, service) is current


# Once

def test_one_under_way_is_waited_for() -> None:
    for status in ("accepted", "pre-migrating"):
        assert verdict(server(vm_state="active", task_state="rebuilding"), rows=(row(1, status),)).action == WAIT


def test_a_lost_answer_is_looked_for_before_anything_is_sent_again() -> None:
    memory = Memory(sent=1000.0, sent_after=3)
    assert verdict(server(), memory, now=1000.0 + decide.SETTLE - 1).action == WAIT
    assert verdict(server(), memory, now=1000.0 + decide.SETTLE + 1).action == EVACUATE


def test_a_lost_answer_whose_row_appears_is_under_way() -> None:
    memory = Memory(sent=1000.0, sent_after=3)
    assert verdict(server(task_state="rebuilding"), memory, rows=(row(4, "accepted", None),), now=1001.0).action == WAIT
    assert memory.sent is None


def test_stuck_is_named_and_never_sent_again() -> None:
    memory, rows = Memory(), (row(1, "pre-migrating"),)
    one = server(task_state="rebuild_spawning")
    assert verdict(one, memory, rows=rows, now=1000.0).action == WAIT
    late = verdict(one, memory, rows=rows, now=1000.0 + Policy().stuck_timeout + 1)
    assert late.action == LEFT and "stuck" in late.reason and not late.final
    assert decide.host_over([late]), "a request that Nova lost must not keep the host out for ever"


def test_a_request_that_no_scheduler_took_is_sent_again() -> None:
    memory, rows = Memory(), (row(1, "accepted", None),)
    one = server(task_state="rebuilding")
    assert verdict(one, memory, rows=rows, now=1000.0).action == WAIT
    late = verdict(one, memory, rows=rows, now=1000.0 + Policy().stuck_timeout + 1)
    assert late.action == LEFT and "lost try 1" in late.reason, "after a pause"
    assert verdict(one, memory, rows=rows, now=2000.0).action == EVACUATE


def test_a_request_that_no_scheduler_takes_keeps_the_others_waiting_only_for_a_while() -> None:
    one, untaken, taken = server(task_state="rebuilding"), (row(1, "accepted", None),), (row(1, "accepted"),)
    memory = Memory()
    assert [verdict(one, memory, rows=untaken, now=1000.0 + after).still for after in (0.0, decide.STILL, decide.STILL + 1)] == [False, False, True]
    assert not verdict(one, memory, rows=untaken, now=1100.0, control_up=False, control_whole=False).still, "nobody is there to take it"
    assert not verdict(one, memory, rows=taken, now=1200.0).still
    assert not verdict(one, memory, rows=taken, now=1200.0 + decide.STILL + 1).still, "its destination is at work"


def test_a_request_that_may_be_lost_is_not_given_up_before_that_is_known() -> None:
    """The conductors are seen at work only some seconds after the request: stuck would let the host in with it."""
    memory, rows = Memory(), (row(1, "accepted", None),)
    one, limit = server(task_state="rebuilding"), Policy().stuck_timeout
    assert verdict(one, memory, rows=rows, now=1000.0, control_whole=False).action == WAIT
    assert verdict(one, memory, rows=rows, now=1010.0, control_whole=False).action == WAIT
    assert verdict(one, memory, rows=rows, now=1005.0 + limit).action == WAIT
    assert "lost try 1" in verdict(one, memory, rows=rows, now=1011.0 + limit).reason
    assert "stuck" in verdict(one, Memory(progress=("1 accepted None rebuilding ", 0.0), quiet=0.0), rows=rows, now=2 * limit + 1,
                              control_whole=False).reason


def test_a_request_in_the_queue_of_a_host_that_came_back_late_is_not_given_up_either() -> None:
    memory, rows = Memory(), (row(1, "accepted", None),)
    one, limit, back = server(task_state="rebuilding"), Policy().stuck_timeout, 1000.0 + 1.5 * Policy().stuck_timeout
    for now in (1000.0, back):
        assert verdict(one, memory, rows=rows, now=now, fallen={"cmp-2": "2026-11-25T04:00:01.000000"}).action == WAIT
    assert verdict(one, memory, rows=rows, now=1001.0 + 2 * limit).action == WAIT, "its host would be let in, and the server stay on it"
    assert "lost try 1" in verdict(one, memory, rows=rows, now=back + limit + 1).reason


@pytest.mark.parametrize("fields", [{"control_up": False, "control_whole": False}, {"control_whole": False}])
def test_a_conductor_that_may_wake_with_the_request_is_waited_for(fields: dict[str, bool]) -> None:
    memory, rows = Memory(), (row(1, "accepted", None),)
    one = server(task_state="rebuilding")
    for now in (1000.0, 1200.0, 1400.0, 9000.0):
        assert verdict(one, memory, rows=rows, now=now, **fields).action in (WAIT, LEFT)


def test_a_destination_that_died_in_the_middle_is_no_evacuation_under_way() -> None:
    one = server(task_state="rebuild_spawning")
    assert verdict(one, rows=(row(1, "pre-migrating", "cmp-2"),), up="cmp-3", dead="cmp-1 cmp-2").action == EVACUATE


def test_a_destination_whose_report_is_late_may_still_be_at_it() -> None:
    one = server(task_state="rebuild_spawning")
    assert verdict(one, rows=(row(1, "pre-migrating", "cmp-2"),), up="cmp-3").action == WAIT


# All of them, in the state they had

def test_an_active_server_is_evacuated_and_unlocked_at_the_end() -> None:
    assert verdict(server()).action == EVACUATE
    arrived = server(host="cmp-2", locked=True, locked_reason=CLAIM.text())
    assert verdict(arrived, rows=(row(1, "done"),)).action == UNLOCK


def test_a_stopped_server_that_a_retry_brought_back_running_is_stopped() -> None:
    claim = Claim("cmp-1", "stopped", "3f9c", "other")
    one = server(host="cmp-2", locked=True, locked_reason=claim.text())
    assert verdict(one, rows=(row(1, "failed"), row(2, "done"))).action == STOP


def test_done_in_nova_but_not_moved_yet_is_not_done() -> None:
    assert verdict(server(), rows=(row(1, "done"),)).action == WAIT
    memory, policy = Memory(), Policy()
    assert verdict(server(), memory, rows=(row(1, "done"),)).action == WAIT
    late = verdict(server(), memory, rows=(row(1, "done"),), now=1001.0 + policy.stuck_timeout)
    assert late.action == LEFT and late.retry and late.reason.startswith("stuck: Nova says done")


def test_what_may_run_elsewhere_is_moved_by_nobody() -> None:
    claim = replace(CLAIM, was="elsewhere")
    for mark in (claim, replace(claim, id="other", token="another")):
        found = verdict(server(locked=True, locked_reason=mark.text()))
        assert found.action == LEFT and found.final and found.protected and "look there, then unlock" in found.reason


def test_arrived_on_a_host_that_is_down_is_not_arrived() -> None:
    one = server(host="cmp-2", locked=True, locked_reason=CLAIM.text())
    assert verdict(one, rows=(row(1, "done"),), up="cmp-3").action == WAIT


def test_failures_pause_and_end() -> None:
    memory, one = Memory(), server(vm_state="error", fault="boom")
    first = verdict(one, memory, rows=(row(1, "failed"),), now=1000.0)
    assert first.action == LEFT and "boom" in first.reason
    assert not decide.host_over([first]), "the host must stay out while tries are left"
    assert verdict(one, memory, rows=(row(1, "failed"),), now=1000.0 + Policy().retry_pause).action == EVACUATE
    many = tuple(row(n, "failed") for n in range(1, Policy().max_attempts + 1))
    last = verdict(one, memory, rows=many, now=5000.0)
    assert last.action == LEFT and last.final


def test_no_valid_host_is_tried_without_end() -> None:
    rows = tuple(row(n, "error", None) for n in range(1, 50))
    memory, one = Memory(), server(vm_state="error", fault="No valid host was found.")
    assert decide.host_over([verdict(one, memory, rows=rows, now=1000.0)]), "a returning host brings room"
    assert verdict(one, memory, rows=rows, now=1000.0 + decide.MAX_PAUSE).action == EVACUATE


def test_failures_of_an_earlier_incident_do_not_count() -> None:
    many = tuple(row(n, "failed") for n in range(1, 9))
    assert verdict(server(), rows=many, baseline=8).action == EVACUATE


@pytest.mark.parametrize("state", ["suspended", "rescued", "shelved", "shelved_offloaded", "building", "unheard-of"])
def test_what_is_not_recovered_is_named(state: str) -> None:
    found = verdict(server(vm_state=state))
    assert found.action == LEFT and found.final and (state in found.reason or "recover_states" in found.reason)


@pytest.mark.parametrize("state", ["suspended", "rescued", "shelved", "paused", "resized", "error"])
def test_what_the_policy_names_is_recovered(state: str) -> None:
    assert verdict(server(vm_state=state), policy=Policy(recover=frozenset((state,)))).action == EVACUATE
    assert verdict(server(vm_state=state), policy=Policy(recover=frozenset())).action == LEFT


def test_error_of_our_own_making_is_no_question_of_policy() -> None:
    one = server(vm_state="error", locked=True, locked_reason=CLAIM.text())
    assert verdict(one, policy=Policy(recover=frozenset())).action == EVACUATE
    owned = server(vm_state="error", locked=True, locked_reason="its owner's")
    memory = Memory(failed={1: 0.0})
    assert verdict(owned, memory, policy=Policy(recover=frozenset()), rows=(row(1, "failed"),)).action == EVACUATE


@pytest.mark.parametrize("rows", [
    (row(1, "accepted", None), row(2, "pre-migrating")), (row(1, "pre-migrating"), row(2, "accepted", None))])
def test_a_lost_requests_record_may_be_the_one_that_is_carried_out(rows: tuple[Migration, ...]) -> None:
    """Nova's conductor takes the first record at accepted, whichever request it has in hand."""
    memory, one = Memory(), server(task_state="rebuild_spawning")
    for now in (1000.0, 1000.0 + Policy().stuck_timeout + 1):
        found = verdict(one, memory, rows=rows, now=now)
        assert found.action in (WAIT, LEFT) and "lost" not in found.reason
    assert verdict(server(host="cmp-2"), rows=(row(1, "done"), row(2, "accepted", None))).action == decide.DONE


def test_a_destination_that_died_does_not_hide_the_try_after_it() -> None:
    rows = (row(1, "pre-migrating", "cmp-2"), row(2, "accepted", None))
    assert verdict(server(task_state="rebuilding"), rows=rows, up="cmp-3", dead="cmp-1 cmp-2").action == WAIT


def test_a_record_that_an_earlier_failure_left_open_does_not_count() -> None:
    """Its server came back with its host, and nothing is being rebuilt."""
    assert verdict(server(), rows=(row(1, "pre-migrating"),), baseline=1).action == EVACUATE
    assert verdict(server(task_state="rebuild_spawning"), rows=(row(1, "pre-migrating"),), baseline=1).action == WAIT


@pytest.mark.parametrize(("was", "state", "action"), [
    ("halted", "active", STOP), ("started", "stopped", START), ("paused", "active", PAUSE), ("active", "stopped", UNLOCK),
    ("stopped", "stopped", UNLOCK), ("halted", "stopped", UNLOCK), ("paused", "paused", UNLOCK), ("stopped", "active", UNLOCK)])
def test_it_ends_where_its_owner_was_heading(was: str, state: str, action: str) -> None:
    """A server that was shut off and runs after a first try that did not fail was started by a person."""
    claim = Claim("cmp-1", was, "3f9c", "me")
    assert verdict(server(host="cmp-2", vm_state=state, locked=True, locked_reason=claim.text()), rows=(row(1, "done"),)).action == action


def test_an_owners_lock_is_followed_by_what_the_record_kept() -> None:
    one = server(host="cmp-2", locked=True, locked_reason="mine")
    assert verdict(one, rows=(row(1, "failed"), row(2, "done")), kept={"u1": "stopped"}).action == STOP


def test_a_live_migration_that_was_broken_off_goes_to_its_destination() -> None:
    """The guest may run there already, and only there would Nova refuse to start it again."""
    one = server(task_state="migrating")
    assert verdict(one, moving={"u1": "cmp-2"}).target == "cmp-2"
    assert verdict(one, moving={"u1": "cmp-2"}, dead="cmp-1 cmp-2").target is None


def test_half_a_row_of_a_cell_that_is_down_is_not_acted_upon() -> None:
    assert verdict(server(vm_state=None, task_state=None, power_state=None, locked=None, host=None)).action == WAIT


# Nothing else

@pytest.mark.parametrize("fields", [{"task_state": "deleting"}, {"task_state": "soft-deleting"}, {"vm_state": "soft-delete"}])
def test_a_server_that_is_being_deleted_stays_deleted(fields: dict[str, object]) -> None:
    assert verdict(server(**fields)).action == LEFT
    assert verdict(server(locked=True, locked_reason=CLAIM.text(), **fields)).action == UNLOCK


def test_a_server_that_opted_out_is_left() -> None:
    assert verdict(server(), rulings={"u1": Ruling(False, "tag")}).action == LEFT


def test_nothing_new_begins_once_the_host_returns() -> None:
    assert verdict(server(), starts=False).action == LEFT


# Names

def service(host: str) -> Service:
    return Service("1", "nova-compute", host, True, True, False)


@pytest.mark.parametrize(("node", "domain", "hosts", "found"), [
    ("cmp-1", "", "cmp-1 cmp-2", "cmp-1"), ("cmp-1", "", "cmp-1.example.com cmp-2.example.com", "cmp-1.example.com"),
    ("cmp-1.example.com", "", "cmp-1 cmp-2", "cmp-1"), ("cmp-1", "b.org", "cmp-1.a.org cmp-1.b.org", "cmp-1.b.org"),
    ("cmp-1", "", "cmp-1.a.org cmp-1.b.org", None), ("cmp-9", "", "cmp-1 cmp-2", None), ("CMP-1", "", "cmp-1", "cmp-1"),
    ("cmp-1.a.org", "", "cmp-1.b.org", None)])
def test_the_host_of_a_node(node: str, domain: str, hosts: str, found: str | None) -> None:
    assert host_of(node, domain, [service(host) for host in hosts.split()]) == found


def test_a_request_that_may_wait_in_a_dead_hosts_queue_is_not_sent_again() -> None:
    one, memory, rows = server(task_state="rebuilding"), Memory(), (row(7, "accepted", None),)
    fallen = {"cmp-2": "2026-11-25T04:00:01.000000"}
    limit = 2 * Policy().stuck_timeout
    assert verdict(one, memory, rows=rows, fallen=fallen, now=100.0).action == WAIT
    assert verdict(one, memory, rows=rows, fallen=fallen, now=100.0 + limit).action == WAIT
    late = verdict(one, memory, rows=rows, fallen=fallen, now=101.0 + limit)
    assert (late.action, late.retry) == (LEFT, True) and "cmp-2, which died, may have it in its queue" in late.reason


def test_a_host_that_was_down_long_before_the_request_cannot_have_it() -> None:
    one, memory = server(task_state="rebuilding"), Memory()
    rows = (Migration(7, "u1", "accepted", "cmp-1", None, created="2026-11-25T04:10:00.000000"),)
    limit, long_gone = Policy().stuck_timeout, {"cmp-2": "2026-11-25T04:04:00.000000"}
    assert verdict(one, memory, rows=rows, fallen=long_gone, now=100.0).action == WAIT
    assert "lost try 1" in verdict(one, memory, rows=rows, fallen=long_gone, now=101.0 + limit).reason
    memory, of_late = Memory(), {"cmp-2": "2026-11-25T04:06:00.000000"}
    assert verdict(one, memory, rows=rows, fallen=of_late, now=100.0).action == WAIT
    assert verdict(one, memory, rows=rows, fallen=of_late, now=101.0 + limit).action == WAIT


@pytest.mark.parametrize(("fields", "scene_fields"), [
    ({"task_state": "powering-off"}, {}), ({}, {"up": "cmp-3"}), ({}, {"rows": (row(1, "pre-migrating"),)})])
def test_what_has_left_is_not_waited_for_for_ever(fields: dict[str, str], scene_fields: dict[str, object]) -> None:
    one, memory, limit = server(host="cmp-2", locked=True, locked_reason=CLAIM.text(), **fields), Memory(), Policy().stuck_timeout
    scene_fields = {"rows": (row(1, "done"),), **scene_fields}
    assert verdict(one, memory, now=100.0, **scene_fields).action == WAIT
    late = verdict(one, memory, now=101.0 + limit, **scene_fields)
    assert late.action == LEFT and late.reason.startswith("stuck: ") and decide.host_over([late])


def test_a_state_that_nova_does_not_bring_about_is_asked_for_with_pauses_and_given_up() -> None:
    memory, policy = Memory(), Policy()
    one = server(host="cmp-2", locked=True, locked_reason=Claim("cmp-1", "halted", "3f9c", "ctl-1.1.1").text())
    asked = [verdict(one, memory, rows=(row(1, "done"),), now=100.0 + after).action for after in (0.0, 1.0, policy.retry_pause)]
    assert asked == [STOP, WAIT, STOP]
    late = verdict(one, memory, rows=(row(1, "done"),), now=101.0 + policy.stuck_timeout)
    assert late.action == LEFT and late.final and "does not bring that about" in late.reason


def test_only_a_broken_off_live_migration_says_where_to_go() -> None:
    assert verdict(server(), moving={"u1": "cmp-2"}).target is None
    assert verdict(server(task_state="migrating"), moving={"u1": "cmp-2"}).target == "cmp-2"


@pytest.mark.parametrize(("rows", "again"), [
    ((row(1, "completed"),), RESET), ((row(1, "error", None), row(2, "failed")), RESET), ((row(1, "failed", "cmp-3"), row(2, "completed")), LEFT)])
def test_what_nova_could_not_write_down_to_the_end_is_set_right_once(rows: tuple[Migration, ...], again: str) -> None:
    """Seen on 2026-11-26: the conductor died as the guest ran on its new host; not where another try may have left a guest elsewhere."""
    one, memory = server(host="cmp-2", vm_state="error", fault="MessagingTimeout", locked=True, locked_reason=CLAIM.text()), Memory()
    assert [verdict(one, memory, rows=rows).action for _ in range(2)] == [again, LEFT]
    assert verdict(replace(one, locked=False, locked_reason=""), rows=rows).action == LEFT
    assert verdict(replace(one, vm_state="active"), memory, rows=rows).action == UNLOCK


def test_a_server_in_error_is_reset_only_if_its_guest_runs(fake: Fake) -> None:
    fake.says(200, {"state": "running", "driver": "libvirt"})
    fake.says(202)
    fake.nova.reset_running("a1")
    fake.says(409, {"conflictingRequest": {"code": 409, "message": "Instance a1 in power state shutdown. Cannot get_diagnostics while ..."}})
    fake.nova.reset_running("a1")
    assert [next(iter(body)) for method, _, body, _ in fake.asked if method == "POST"] == ["os-resetState"]


def failed(fault: str, *rows: Migration, memory: Memory | None = None, at: str = "2", **fields: object) -> decide.Verdict:
    """The verdict long after a try has failed with this fault."""
    one = server(vm_state="error", fault=fault, fault_at=at if fault else "", locked=True, locked_reason=CLAIM.text())
    return verdict(one, memory or Memory(failed={row.id: 0.0 for row in rows}), rows=rows, **fields)


@pytest.mark.parametrize(("fault", "target"), [
    ("MessagingTimeout", "cmp-2"), ("DBConnectionError", "cmp-2"), ("", "cmp-2"), ("Failed to deploy instance: no image", None)])
def test_a_try_that_may_have_left_a_guest_is_made_again_where_that_is(fault: str, target: str | None) -> None:
    """Nova refuses a server on a host that has its guest, and shows such a guest nowhere: seen on 2026-11-26, when the conductor died
    after the guest was started, and another host started it once more."""
    assert (failed(fault, row(1, "failed")).action, failed(fault, row(1, "failed")).target) == (EVACUATE, target)
    assert ("its guest may be on cmp-2" in failed(fault, row(1, "failed")).reason) == bool(target)


def test_what_is_not_known_of_an_earlier_try_is_no_proof() -> None:
    tries = (row(1, "failed"), row(2, "error", None))
    assert failed("No valid host", *tries).target == "cmp-2"
    seen = Memory(failed={1: 0.0, 2: 0.0})
    assert failed("Failed to deploy", *tries[:1], memory=seen).target is None and failed("No valid host", *tries, memory=seen).target is None
    stale = Memory(failed={1: 0.0}, fault_at="2")       # what Nova notes of a try is newer than the try
    assert failed("No valid host", row(1, "failed"), memory=stale).target == "cmp-2"


def test_a_guest_that_was_left_is_named_and_one_that_died_with_its_host_is_none() -> None:
    tries = (row(1, "failed"), row(2, "failed"))
    found = failed("Instance instance-00000001 already exists.", *tries)
    assert found.action == LEFT and found.final and "its guest is on cmp-2" in found.reason
    dead = failed("MessagingTimeout", *tries, up="cmp-3", dead="cmp-1 cmp-2")
    assert dead.action == EVACUATE and dead.target is None
