"""A worker, and a user who keeps his own servers busy, turn by turn: he holds up nobody else's, and no host."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from instance_ha.engine.context import Context
from instance_ha.engine.selection import Policy
from instance_ha.engine.worker import Worker
from instance_ha.model import EVACUATED, PARTLY
from instance_ha.nova import MOST_PAGES

from tests.unit.little_nova import LittleNova
from tests.unit.test_odd_rows import Written

STATE, TASK = "OS-EXT-STS:vm_state", "OS-EXT-STS:task_state"
MALLORY, PROJECT = "mallory", "p"
TASKS = ("reboot_pending_hard", "reboot_started_hard", "image_snapshot", "image_uploading")
FIRST = {"restart_priority": "1000"}
WINDOW = 4


@pytest.fixture
def little() -> Iterator[LittleNova]:
    one = LittleNova()
    one.service("cmp-1").update(
        state="down", forced_down=True, status="disabled", disabled_reason="instance-ha: fenced (i1)")
    yield one
    one.server.shutdown()
    one.server.server_close()


class Cloud:
    """A dead host with servers of two users on it, and a worker."""

    def __init__(self, little: LittleNova, policy: Policy) -> None:
        self.little, self.cluster = little, Written()
        self.worker = Worker(Context(self.cluster, little.nova, policy, "me"))
        self.mine: list[str] = []
        self.turn = 0

    def own(self, count: int, locked: bool = True, state: str = "active") -> None:
        """Give the user servers on the dead host, which come first. He has locked them himself, or not."""
        for number in range(count):
            self.mine.append(f"m{number}")
            self.little.boot(f"m{number}", f"m{number}", metadata=FIRST, **{STATE: state})
            if locked:
                self.little.servers[f"m{number}"].update(locked=True, locked_reason="mine")
                self.little.note(f"m{number}", "lock", MALLORY, PROJECT)

    def go_on(self, turns: int) -> None:
        """Nova carries out what it is asked; the user asks something of his servers again and again once they have moved."""
        for _ in range(turns):
            self.turn += 1
            self.worker.turn()
            for row in self.little.migrations:
                if row["status"] == "accepted":
                    self.little.move(row["instance_uuid"], "done", "cmp-2")
            for uid in self.mine:
                if self.little.servers[uid]["OS-EXT-SRV-ATTR:host"] == "cmp-2":
                    self.little.servers[uid][TASK] = TASKS[self.turn % len(TASKS)]

    def state(self) -> str:
        """The record's."""
        return self.cluster.record.state if self.cluster.record else ""

    def sent(self) -> set[str]:
        """The servers that an evacuation was asked for."""
        return {row["instance_uuid"] for row in self.little.migrations}


@pytest.mark.parametrize("locked", [True, False], ids=["locked by him", "claimed by us"])
def test_what_an_owner_does_with_a_server_that_has_moved_holds_nothing_up(little: LittleNova, locked: bool) -> None:
    """An image can be made of a server whoever has locked it."""
    cloud = Cloud(little, Policy(max_parallel=WINDOW))
    cloud.own(WINDOW + 1, locked)
    for number in range(3):
        little.boot(f"victim-{number}", f"victim-{number}")
    cloud.go_on(12)
    assert cloud.sent() >= {"victim-0", "victim-1", "victim-2"}
    assert cloud.state() == EVACUATED
    assert [little.servers[uid]["locked"] for uid in cloud.mine] == [locked] * (WINDOW + 1)


def test_a_server_that_does_not_take_on_the_state_it_had_takes_no_place_of_others(little: LittleNova) -> None:
    cloud = Cloud(little, Policy(max_parallel=WINDOW))
    cloud.own(WINDOW + 1, state="paused")          # this Nova pauses none
    victims = {f"victim-{number}" for number in range(3 * WINDOW)}
    for name in victims:
        little.boot(name, name)
    cloud.go_on(12)
    assert cloud.sent() >= victims


def test_the_tasks_of_a_stop_are_waited_for_and_not_for_ever(little: LittleNova) -> None:
    """Whoever asks for one again and again is named in the end, and his host is let go."""
    cloud = Cloud(little, Policy(max_parallel=WINDOW, stuck_timeout=0.3))
    cloud.own(1, locked=False)
    cloud.worker.turn()
    little.move("m0", "done", "cmp-2")
    end = time.monotonic() + 5.0
    while cloud.state() not in (EVACUATED, PARTLY) and time.monotonic() < end:
        little.servers["m0"][TASK] = ("powering-off", "powering-on")[cloud.turn % 2]
        cloud.turn += 1
        cloud.worker.turn()
    assert cloud.state() == PARTLY and "m0" in " ".join(cloud.worker.context.health.problems.values())


def asked_for(little: LittleNova, uid: str, count: int) -> None:
    """Let the owner of a server ask for images of it."""
    for _ in range(count):
        little.note(uid, "createImage", MALLORY, PROJECT)


@pytest.mark.parametrize("locked", [True, False], ids=["locked by him", "claimed by us"])
def test_a_list_of_requests_that_its_owner_has_made_long_is_read_to_its_end(little: LittleNova, locked: bool) -> None:
    """Nova gives a thousand at once."""
    little.page = 5
    cloud = Cloud(little, Policy(retry_pause=0.01))
    cloud.own(1, locked)
    cloud.worker.turn()
    little.move("m0", "error")
    asked_for(little, "m0", 12)
    for _ in range(3):
        time.sleep(0.02)
        cloud.worker.turn()
    assert [row["status"] for row in little.migrations] == ["error", "accepted"]


def test_pages_that_repeat_what_was_there_add_nothing(little: LittleNova) -> None:
    """Of two requests with one id Nova takes the newer one for the marker."""
    little.page = 2
    little.boot("m0", "m0")
    for _ in range(6):
        little.note("m0", "reboot", MALLORY, PROJECT)
    for action in little.actions["m0"]:
        action["request_id"] = "req-1" if action["start_time"] < little.actions["m0"][4]["start_time"] else action["request_id"]
    found = little.nova.actions("m0")
    assert len(found) == len(set(found)) >= 4 and [one.started for one in found] == sorted((one.started for one in found), reverse=True)


def test_a_list_without_an_end_keeps_no_host(little: LittleNova) -> None:
    """What is not in the part that is read is not known: the server is named, and nothing is sent."""
    little.page = 2
    cloud = Cloud(little, Policy(retry_pause=0.01, stuck_timeout=0.3))
    cloud.own(1)
    cloud.worker.turn()
    little.move("m0", "error")
    asked_for(little, "m0", 2 * MOST_PAGES)
    end = time.monotonic() + 5.0
    while cloud.state() not in (EVACUATED, PARTLY) and time.monotonic() < end:
        cloud.worker.turn()
    assert cloud.state() == PARTLY and len(little.migrations) == 1
    assert "m0" in " ".join(cloud.worker.context.health.problems.values())


def test_a_live_migration_that_nova_knows_nothing_of_any_more_keeps_no_host(little: LittleNova) -> None:
    """Its guest may be on another host, and no list says on which."""
    cloud = Cloud(little, Policy(retry_pause=0.01, stuck_timeout=0.3))
    little.boot("m0", "m0")
    little.claim("m0", "moving", "i1")
    end = time.monotonic() + 5.0
    while cloud.state() not in (EVACUATED, PARTLY) and time.monotonic() < end:
        cloud.worker.turn()
    assert cloud.state() == PARTLY and cloud.sent() == set()
    assert "m0: where its live migration was going" in " ".join(cloud.worker.context.health.problems.values())
