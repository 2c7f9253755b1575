"""What became of a request, by Nova's record of it. The words and frames are those of docs/nova-evidence.md."""

from __future__ import annotations

import pytest
from instance_ha.engine.attempts import Attempt, Stage, attempts_of, lock_is_ours, since_the_last_arrival
from instance_ha.model import Action, Step

ASKED = Action("evacuate", "req-1", "2026-11-27T22:00:00.000000", "")
FRAME = '  File "/nova/compute/manager.py", line 1, in {}\n    {}\n'
SPAWN = FRAME.format("_rebuild_default_impl", "self.driver.spawn(context, instance, image_meta, injected_files,")
SAVED = FRAME.format("_do_rebuild_instance", "instance.save(expected_task_state=[task_states.REBUILD_SPAWNING])")
CONFLICT = "Conflict updating instance u1. Expected: {{'task_state': ['{}']}}. Actual: {{'task_state': None}}"


def conductor(result: str = "Success", why: str = "", trace: str = "") -> Step:
    return Step("rebuild_server", "ctl-1", "22:00:01", "22:00:02" if result else "", result, why, trace)


def destination(result: str = "Success", why: str = "", trace: str = "") -> Step:
    return Step("compute_rebuild_instance", "cmp-2", "22:00:02", "22:00:09" if result else "", result, why, trace)


SCHEDULING = FRAME.format("_schedule_instances", "host_lists = self.query_client.select_destinations(")


@pytest.mark.parametrize(("steps", "stage"), [
    ((), Stage.QUEUED), ((conductor(""),), Stage.SCHEDULING), ((conductor(),), Stage.SENT), ((conductor(), destination("")), Stage.BUILDING),
    ((conductor(), destination()), Stage.DONE), ((conductor("Error", "No valid host was found. "),), Stage.CLEAN),
    ((conductor("Error", "MessagingTimeout", SCHEDULING),), Stage.CLEAN),
    ((conductor("Error", "MessagingTimeout"),), Stage.SENT),                                      # it may be that of the sending
    ((conductor(), destination("Error", "Failed to deploy instance", SPAWN)), Stage.CLEAN),
    ((conductor(), destination("Error", "MessagingTimeout", SAVED)), Stage.SUSPECT),              # the guest runs, seen
    ((conductor(), destination("Error", CONFLICT.format("rebuild_spawning"), SAVED)), Stage.SUSPECT),
    ((conductor(), destination("Error", CONFLICT.format("rebuild_spawning"))), Stage.SUSPECT),
    ((conductor(), destination("Error", CONFLICT.format("rebuilding"))), Stage.CLEAN),
    ((conductor(), destination("Error", "Build of instance u1 aborted: Insufficient compute resources: vCPU")), Stage.CLEAN),
    ((conductor(), destination("Error", "Volume v could not be found.", FRAME.format("detach_block_devices", "x"))), Stage.CLEAN),
    ((conductor(), destination("Error", "libvirtError: Cannot recv data: Connection reset by peer", SPAWN)), Stage.SUSPECT),
    ((conductor(), destination("Error", "MessagingTimeout", SPAWN)), Stage.SUSPECT),
    ((conductor(), destination("Error", "Instance instance-0000000d already exists.", SPAWN)), Stage.SUSPECT),
    # Nova hides its words from a role that may not read them: of a driver there are frames alone then.
    ((conductor(), destination("Error", "self.driver.spawn(context, instance, image_meta, injected_files,", SPAWN)), Stage.SUSPECT),
    ((conductor(), destination("Error", "", SPAWN)), Stage.SUSPECT),
    ((conductor(), destination("Error", "", "")), Stage.SUSPECT), ((conductor(), destination("Error", "KeyError")), Stage.SUSPECT),
    ((conductor(), destination("Error", "Failed to power off instance: x", FRAME.format("stop_instance", "x"))), Stage.SUSPECT),
])
def test_how_far_a_request_is(steps: tuple[Step, ...], stage: Stage) -> None:
    assert attempts_of([ASKED], {"req-1": steps})[0].stage is stage


def test_a_request_whose_events_were_not_read_is_open() -> None:
    assert attempts_of([ASKED], {})[0].is_open


def test_events_of_other_names_say_nothing() -> None:
    """nova-compute adds its own to the newest action of a server, whatever that is."""
    strange = Step("compute_stop_instance", "cmp-2", "22:00:05", "22:00:06", "Success", "")
    assert attempts_of([ASKED], {"req-1": (conductor(), destination(""), strange)})[0].stage is Stage.BUILDING


def test_what_was_before_an_arrival_has_ended_with_it() -> None:
    tries = [Attempt(str(number), str(number), stage) for number, stage in enumerate((Stage.SUSPECT, Stage.DONE, Stage.CLEAN))]
    assert since_the_last_arrival(tries) == (tries[2],)


def asked(name: str, user: str, project: str) -> Action:
    return Action(name, "req", "", "", user, project)


OURS, ADMIN, USER = ("agent", "service"), ("root", "admin"), ("mallory", "p")


@pytest.mark.parametrize(("actions", "ours"), [
    ([("lock", OURS)], True), ([("lock", USER)], False), ([], False), ([("unlock", OURS), ("lock", OURS)], False),
    ([("lock", ADMIN)], True),                                     # a person's command, as another user
    ([("lock", ADMIN), ("lock", USER)], False),                    # keeps the user's words
    ([("lock", ADMIN), ("lock", OURS)], False),                    # keeps ours, and is the administrator's
    ([("lock", OURS), ("unlock", OURS), ("lock", USER)], True), ([("evacuate", OURS), ("lock", OURS)], True),
])
def test_whose_a_lock_is(actions: list[tuple[str, tuple[str, str]]], ours: bool) -> None:
    """Newest first. What a user of the cloud can write, the reason, says nothing of it."""
    assert lock_is_ours([asked(name, *who) for name, who in actions], "agent", "p") is ours


def test_in_our_own_project_only_we_are_trusted() -> None:
    """Every member of the agents' own project is an owner of its servers."""
    assert lock_is_ours([asked("lock", "agent", "service")], "agent", "service")
    assert not lock_is_ours([asked("lock", "member", "service")], "agent", "service")
    assert not lock_is_ours([asked("lock", "", "service")], "", "service")
