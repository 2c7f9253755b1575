"""A worker, and a user who locks his servers with the words of our claims, turn by turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from instance_ha.engine.context import Context
from instance_ha.engine.selection import Policy
from instance_ha.engine.worker import Worker
from instance_ha.model import EVACUATED, Claim

from tests.unit.little_nova import LittleNova
from tests.unit.test_odd_rows import Written

STATE = "OS-EXT-STS:vm_state"
MALLORY, PROJECT = "mallory", "p"      # a member of the project that the servers are of
OLD = "instance-ha: evacuating from cmp-1; was={was} id=i1 by=x"
FORMS = (OLD, Claim("cmp-1", "{was}", "i1", "x").text())
FIRST = {"restart_priority": "999999999", "restart_group": "a"}


@pytest.fixture
def little() -> Iterator[LittleNova]:
    one = LittleNova()
    one.service("cmp-1").update(
        state="down", forced_down=True, status="disabled",
        disabled_reason="instance-ha: fenced (i1)")
    one.boot("victim", "victim")
    yield one
    one.server.shutdown()
    one.server.server_close()


class Cloud:
    """A dead host with a victim on it, and a worker."""

    def __init__(self, little: LittleNova) -> None:
        self.little, self.cluster = little, Written()
        self.worker = Worker(Context(self.cluster, little.nova, Policy(), "me"))

    def forge(self, uid: str, text: str, host: str | None, state: str = "active") -> None:
        """Give the user a server and lock it in his name."""
        self.little.boot(uid, uid, host, metadata=FIRST, **{STATE: state})
        self.lock(uid, text)

    def lock(self, uid: str, text: str) -> None:
        self.little.servers[uid].update(locked=True, locked_reason=text)
        self.little.note(uid, "lock", MALLORY, PROJECT)

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.worker.turn()

    def sent(self) -> list[str]:
        """The servers that an evacuation was asked for."""
        return [row["instance_uuid"] for row in self.little.migrations]

    def asked(self, uid: str) -> list[str]:
        """What the worker has asked of a server."""
        rows: list[dict[str, Any]] = self.little.actions.get(uid, [])
        return [row["action"] for row in rows if row["user_id"] != MALLORY]


@pytest.fixture
def cloud(little: LittleNova) -> Cloud:
    return Cloud(little)


def over(cloud: Cloud) -> bool:
    """Whether the evacuation is, and the host may come back."""
    record = cloud.cluster.record
    return record is None or (record.state == EVACUATED and not record.left)


@pytest.mark.parametrize("form", FORMS, ids=["old", "new"])
@pytest.mark.parametrize("was", ["active", "halted", "elsewhere", "error"])
@pytest.mark.parametrize(
    ("host", "state"), [(None, "error"), ("cmp-2", "active"), ("cmp-2", "paused")],
    ids=["nowhere", "running", "paused"])
def test_servers_elsewhere_are_none_of_the_evacuation(
        cloud: Cloud, form: str, was: str, host: str | None, state: str) -> None:
    for number in range(8):
        cloud.forge(f"f{number}", form.replace("{was}", was), host, state)
    cloud.turns(3)
    assert cloud.sent() == ["victim"]
    cloud.little.move("victim", "done", "cmp-2")
    cloud.turns(4)
    assert over(cloud) and not any(cloud.asked(f"f{number}") for number in range(8))
    assert not cloud.worker.context.health.problems


@pytest.mark.parametrize("form", FORMS, ids=["old", "new"])
def test_locking_again_without_end_holds_nothing_up(cloud: Cloud, form: str) -> None:
    cloud.forge("live", form.replace("{was}", "active"), "cmp-2")
    cloud.turns(3)
    cloud.little.move("victim", "done", "cmp-3")
    for _ in range(10):
        cloud.little.servers["live"].update(locked=False, locked_reason=None)
        cloud.little.note("live", "unlock", MALLORY, PROJECT)
        cloud.turns(1)
        cloud.lock("live", form.replace("{was}", "active"))
        cloud.turns(1)
    assert over(cloud) and not cloud.asked("live")


@pytest.mark.parametrize("form", FORMS, ids=["old", "new"])
def test_an_administrators_lock_over_a_forged_one_stays(cloud: Cloud, form: str) -> None:
    """Nova keeps the owner's words when an administrator locks without a reason."""
    cloud.forge("frozen", form.replace("{was}", "active"), "cmp-2")
    cloud.little.note("frozen", "lock", "root", "admin")
    cloud.little.boot("here", "here", "cmp-1", locked=True,
                      locked_reason=form.replace("{was}", "active"))
    cloud.little.note("here", "lock", MALLORY, PROJECT)
    cloud.little.note("here", "lock", "root", "admin")
    cloud.turns(4)
    for uid in cloud.sent():
        cloud.little.move(uid, "done", "cmp-3")
    cloud.turns(5)
    assert sorted(cloud.sent()) == ["here", "victim"] and over(cloud)
    assert cloud.little.servers["frozen"]["locked"] and cloud.little.servers["here"]["locked"]
    assert "unlock" not in [*cloud.asked("frozen"), *cloud.asked("here")]


def test_his_own_server_on_the_dead_host_is_evacuated_with_its_lock(cloud: Cloud) -> None:
    for number, was in enumerate(("active", "halted", "elsewhere")):
        cloud.forge(f"f{number}", FORMS[1].replace("{was}", was), "cmp-1")
    cloud.turns(4)
    for uid in cloud.sent():
        cloud.little.move(uid, "done", "cmp-3")
    cloud.turns(5)
    assert sorted(cloud.sent()) == ["f0", "f1", "f2", "victim"] and over(cloud)
    assert all(cloud.little.servers[f"f{number}"]["locked"] for number in range(3))
