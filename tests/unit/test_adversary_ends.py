"""What an adversarial reader has found of how an incident ends: each test fails while its fault is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from instance_ha import cluster as door
from instance_ha.cluster import Cluster
from instance_ha.engine.context import Context
from instance_ha.engine.selection import Policy
from instance_ha.engine.worker import Worker
from instance_ha.process import Outcome

from tests.unit.test_holdback import HELD
from tests.unit.test_missed import FENCED, OFFLINE, ONLINE, Pacemaker, cib
from tests.unit.test_stayed import Cloud

FORGETFUL = '<node_state id="3" uname="cmp-1" in_ccm="false" crmd="offline" crm-debug-origin="send_stonith_update" join="down" expected="down"/>'
OFF = '<pacemaker-result><nodes><node name="cmp-1" online="false" type="remote"/></nodes></pacemaker-result>'
VALUE = re.compile(r'value="([^"]*)"')
SAME = re.compile(r"@value='([^']*)'")


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    one = Cloud()
    yield one
    one.server.shutdown()
    one.server.server_close()


class Kept(Pacemaker):
    """Tools of a cluster that keeps the record of cmp-1 and what holds its nova-compute."""

    def __init__(self, state: str, record: str = "", remote: bool = True) -> None:
        super().__init__("")
        self.state, self.record, self.held, self.remote = state, record, "", remote

    def __call__(self, argv: list[str], timeout: float) -> Outcome:
        text = cib(self.state, self.record, self.remote)
        held = HELD.format(self.held) if self.held else ""
        self.cib = text.replace('<instance_attributes id="nodes-cmp-1">', '<instance_attributes id="nodes-cmp-1">' + held)
        if argv[0] == "crm_attribute" and "evacuate-held" in argv:
            self.held = argv[-1]
        if argv[0] == "cibadmin" and "evacuate-held" in argv[-1]:
            self.held = ""
        elif argv[:2] == ["cibadmin", "--modify"]:
            was, now = SAME.search(argv[-1]), VALUE.search(argv[argv.index("--xml-text") + 1])
            assert now
            if was and was.group(1) != self.record:
                return Outcome(105, "", "no such object")
            self.record = now.group(1)
        if argv[0] == "crm_mon":
            return Outcome(0, OFF if self.state != ONLINE else OFF.replace("false", "true"), "")
        return super().__call__(argv, timeout)


class World:
    """A worker, its cluster and its Nova; the worker's clock is the test's."""

    def __init__(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tools: Kept) -> None:
        self.cloud, self.tools, self.now = cloud, tools, 1000.0
        monkeypatch.setattr(door, "run", tools)
        self.worker = Worker(Context(Cluster(), cloud.nova, Policy(), "me", clock=lambda: self.now))
        self.down()

    def down(self) -> None:
        self.cloud.service("cmp-1").update(state="down", forced_down=True, status="disabled", disabled_reason="instance-ha: (3f9c)")

    def run(self, turns: int, step: float = 0.25) -> None:
        for _ in range(turns):
            self.worker.turn()
            self.now += step

    @property
    def told(self) -> str:
        return "; ".join(self.worker.context.health.problems.values())

    @property
    def state(self) -> str:
        return self.tools.record.partition(";")[0]


def asked(cloud: Cloud, uid: str) -> list[str]:
    """What was asked of a server, by name."""
    return [row["action"] for row in cloud.actions.get(uid, [])]


def loses(monkeypatch: pytest.MonkeyPatch, cloud: Cloud, lost: list[bool]) -> None:
    """While `lost` holds something true Nova's lists leave servers out without a word, as while their cell's database fails it."""
    answer = cloud.answer

    def short(method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        code, found = answer(method, path, body, request)
        return (code, {"servers": []}) if lost[0] and path.startswith("/servers/detail") else (code, found)

    monkeypatch.setattr(cloud, "answer", short)


# Lost, and not told

def test_a_host_whose_servers_lists_left_out_is_not_evacuated_for_good(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nova's database was away for some seconds when the host died."""
    cloud.boot("s1", "web")
    lost = [True]
    loses(monkeypatch, cloud, lost)
    world = World(cloud, monkeypatch, Kept(FENCED, "confirmed;id=3f9c;proof=node_fenced:1795559437;host=cmp-1;worker=me"))
    world.run(8)
    lost[0] = False
    world.run(40, 2.0)
    assert "evacuate" in asked(cloud, "s1"), (world.tools.record, world.told)


# Dies again while it returns

@pytest.mark.parametrize(("state", "remote"), [(FORGETFUL, False), (FENCED, True)])
def test_a_host_that_was_fenced_again_before_this_worker_came_is_an_incident_again(
        cloud: Cloud, monkeypatch: pytest.MonkeyPatch, state: str, remote: bool) -> None:
    """A controller, with the worker, and a host that had just come back die together, and a person confirms its fencing: the
    mark of a full member has no time, and that of a remote node may be of soon after the record."""
    cloud.boot("s1", "web")
    world = World(cloud, monkeypatch, Kept(state, "returning;id=3f9c;since=1795559137;left=1;host=cmp-1", remote))
    world.run(60)
    assert world.state == "returning", "it may be about to come back"
    world.run(400, 2.0)
    assert world.state != "returning" and "evacuate" in asked(cloud, "s1"), (world.tools.record, world.told)


def test_a_host_that_is_lost_while_it_returns_and_not_fenced_is_told(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.boot("s1", "web")
    world = World(cloud, monkeypatch, Kept(ONLINE, "returning;id=3f9c;since=1795559137;left=1;host=cmp-1"))
    world.run(8)
    world.tools.state, world.tools.history = OFFLINE, "failed"
    world.run(60, 2.0)
    assert "cmp-1 is offline and will not be evacuated: its fencing fails" in world.told
    world.tools.state = ONLINE
    world.run(4)
    assert "is offline" not in world.told


def test_a_host_that_was_let_in_and_does_not_come_back_is_told(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its node is online, its nova-compute does not start, and a server that could not be evacuated is still on it. The worker that
    had said so is gone."""
    cloud.boot("s1", "web")
    world = World(cloud, monkeypatch, Kept(ONLINE, "partly;id=3f9c;since=1795559137;left=1;host=cmp-1;baseline=0"))
    world.run(8)
    assert world.state == "returning"
    world.run(400, 2.0)
    assert "nova-compute" in world.told and "cmp-1" in world.told, world.told
