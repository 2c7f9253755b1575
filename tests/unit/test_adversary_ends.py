"""What an adversarial reader has found of how an incident ends: each test fails while its fault is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from instance_ha import cluster as door
from instance_ha import params
from instance_ha.cluster import Cluster
from instance_ha.engine.context import Context
from instance_ha.engine.naming import off_hosts
from instance_ha.engine.selection import Policy
from instance_ha.engine.worker import Worker
from instance_ha.errors import HostError
from instance_ha.fence import Agent
from instance_ha.model import CONFIRMED, EVACUATED, ClusterNode, Record, Service
from instance_ha.process import Outcome

from tests.unit.test_adversary_return import BROKEN
from tests.unit.test_holdback import HELD
from tests.unit.test_missed import FENCED, OFFLINE, ONLINE, REMOTE, Pacemaker, cib
from tests.unit.test_stayed import Cloud, Home

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
        self.gone = False      # its connection was deleted, and so is its state

    def __call__(self, argv: list[str], timeout: float) -> Outcome:
        text = cib(self.state, self.record, self.remote)
        held = HELD.format(self.held) if self.held else ""
        self.cib = text.replace('<instance_attributes id="nodes-cmp-1">', '<instance_attributes id="nodes-cmp-1">' + held)
        if self.gone:
            self.cib = self.cib.replace(REMOTE, "").replace(self.state, "")
        if argv[0] == "crm_attribute" and "evacuate-held" in argv:
            self.held = argv[-1]
        elif argv[0] == "crm_attribute" and "nodes" in argv:
            self.record = argv[-1]
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
        self.cloud.service("cmp-1").update(state="down", forced_down=True, status="disabled",
                                           disabled_reason="instance-ha: fenced at 2026-11-25T04:00:01Z (3f9c)")

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


# Disks of which nobody has said where they are

def test_a_server_whose_disk_may_be_on_the_dead_host_is_told_and_moved_once_somebody_has_said(
        cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nova would make it a new disk from its image, and remove the old one when its host is back."""
    cloud.boot("s1", "local", image={"id": "i1"})
    cloud.boot("s2", "volume", image="")
    world = World(cloud, monkeypatch, Kept(FENCED, "confirmed;id=3f9c;proof=node_fenced:1795559437;host=cmp-1;worker=me"))
    world.run(60, 1.0)
    assert asked(cloud, "s2") == ["lock", "evacuate"] and "evacuate" not in asked(cloud, "s1")
    assert "1 of cmp-1's servers not evacuated: local: its disk may be on its host alone, and nobody has said" in world.told
    world.worker.reconfigure(cloud.nova, Policy(image_disks="evacuate"), "")
    world.run(60, 1.0)
    assert asked(cloud, "s1")[-1] == "evacuate"


# A record that is older than its host's return

OLD = "confirmed;id=old;by=ctl-1;proof=node_fenced:1764000000;baseline=0;worker=gone"


@pytest.mark.parametrize("state", [ONLINE, OFFLINE, FENCED.replace("1795559437", "1764000000")])
def test_a_living_host_that_only_makes_no_reports_is_not_evacuated_for_an_old_record(
        cloud: Cloud, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    """Its nova-compute was heard a year after that fencing, and is silent now, as while its conductor is away: Nova calls it down,
    and its guests run. Evacuated once, on 2026-11-28: two guests ran twice."""
    cloud.boot("s1", "web")
    world = World(cloud, monkeypatch, Kept(state, OLD))
    world.cloud.service("cmp-1").update(state="down", forced_down=False, status="enabled", disabled_reason=None)
    world.run(30, 1.0)
    assert world.state == "confirmed" and not asked(cloud, "s1")
    assert "cmp-1 is not evacuated: Nova has heard of cmp-1 since it was fenced" in world.told
    world.run(60, 2.0)
    assert not asked(cloud, "s1") and not cloud.service("cmp-1")["forced_down"], "nor marked down, which would be taken for a proof later"
    assert world.state == ("returning" if state == ONLINE else "confirmed"), "what is in the cluster is let in, or it could never start"


UP = {"state": "up", "forced_down": False, "status": "enabled", "disabled_reason": None}
MARKED_LATE = "instance-ha: fenced by Pacemaker, being evacuated; marked at 2026-11-28T04:59:30Z (3f9c)"
PROVEN = "confirmed;id=3f9c;since=1795559437;seen=-;fencings=0;proof=node_fenced:1795559437;host=cmp-1;baseline=0;worker=other"


def test_a_full_member_that_reports_is_not_evacuated_for_a_mark_without_a_time(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was fenced long ago, and runs without Pacemaker; its record is gone. A record of now made that mark one of now: the host was
    marked down in Nova and evacuated before its second report."""
    cloud.boot("s1", "web")
    world = World(cloud, monkeypatch, Kept(FORGETFUL, "", remote=False))
    cloud.service("cmp-1").update(UP)
    for number in range(60):
        if number % 5 == 0:
            cloud.service("cmp-1")["updated_at"] = f"2026-11-28T05:{number // 60:02}:{number % 60:02}.000000"
        world.run(1, 2.0)
    assert not asked(cloud, "s1") and not cloud.service("cmp-1")["forced_down"]
    assert "its nova-compute reports" in world.told


@pytest.mark.parametrize("silent", [True, False])
def test_a_full_member_that_a_person_confirmed_is_evacuated_by_the_time_of_that(
        cloud: Cloud, monkeypatch: pytest.MonkeyPatch, silent: bool) -> None:
    """Its mark has no time, and no device ran that could write a record."""
    cloud.boot("s1", "web")
    tools = Kept(FORGETFUL, "", remote=False)
    tools.when = "2026-11-25 04:10:00Z" if silent else "2026-11-25 03:50:00Z"
    world = World(cloud, monkeypatch, tools)
    cloud.service("cmp-1").update(UP)
    world.run(60, 2.0)
    assert ("evacuate" in asked(cloud, "s1")) == silent, (world.tools.record, world.told)


@pytest.mark.parametrize("state", [FENCED, ONLINE])
@pytest.mark.parametrize(("reason", "dead"), [("instance-ha: fenced at 2026-11-24T22:30:37Z (3f9c)", False), (MARKED_LATE, True),
                                              ("instance-ha: fenced by Pacemaker, being evacuated (3f9c)", False)])
def test_a_host_that_nova_has_heard_of_since_this_record_marked_it_down_is_not_evacuated_when_it_is_silent(
        cloud: Cloud, monkeypatch: pytest.MonkeyPatch, state: str, reason: str, dead: bool) -> None:
    """It was switched on, outside the cluster, or came back before an older CIB was restored. Its reports get lost when a new worker
    comes; Nova's mark and Pacemaker's are as they were."""
    cloud.boot("s1", "web")
    world = World(cloud, monkeypatch, Kept(state, PROVEN))
    cloud.service("cmp-1").update(updated_at="2026-11-28T05:00:00.000000", disabled_reason=reason)
    world.run(60, 2.0)
    assert ("evacuate" in asked(cloud, "s1")) == dead, (world.tools.record, world.told)
    assert dead or state == ONLINE or "Nova has heard of cmp-1 since it was fenced" in world.told


def test_one_report_of_a_host_that_was_taken_for_dead_is_looked_into(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is switched on while its servers wait for a host that takes them, reports once, and is cut off from Nova."""
    cloud.boot("s1", "web")
    world = World(cloud, monkeypatch, Kept(FENCED, PROVEN))
    cloud.service("cmp-1")["updated_at"] = "2026-11-24T22:30:30.000000"
    for host in ("cmp-2", "cmp-3"):
        cloud.service(host)["status"] = "disabled"
    world.run(20, 2.0)
    cloud.service("cmp-1")["updated_at"] = "2026-11-28T05:00:00.000000"
    world.run(2, 2.0)
    cloud.service("cmp-2")["status"] = "enabled"
    world.run(60, 2.0)
    assert "evacuate" not in asked(cloud, "s1") and "Nova has heard of cmp-1" in world.told


def test_a_destination_of_an_old_record_is_no_dead_one() -> None:
    """The rule has stopped its nova-compute, which may be at work on what it was asked."""
    record = Record("cmp-2", CONFIRMED, "3f9c", proof="node_fenced:1", host="cmp-2")
    node = ClusterNode("cmp-2", True, False)
    for updated, off in (("1970-01-01T00:00:00.000000", {"cmp-2"}), ("1970-01-02T00:00:00.000000", set())):
        service = Service("5", "nova-compute", "cmp-2", True, False, False, updated=updated)
        assert off_hosts([service], [record], {"cmp-2": node}, "") == off


@pytest.mark.parametrize("change", [{"updated_at": None}, {"updated_at": "soon"}, {"forced_down": True}])
def test_a_host_of_which_a_time_is_missing_is_neither_evacuated_nor_let_in(
        cloud: Cloud, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]) -> None:
    """It was fenced, is back, and waits for its evacuation: nova-compute would start the guests that have left it."""
    cloud.boot("s1", "web")
    world = World(cloud, monkeypatch, Kept(ONLINE, OLD))
    world.cloud.service("cmp-1").update({"state": "down", "forced_down": False, "status": "enabled", "disabled_reason": None, **change})
    world.run(80, 2.0)
    assert world.state == "confirmed" and not asked(cloud, "s1")
    has = "has" if "forced_down" in change else "may have"
    assert f"cmp-1 is not evacuated: Nova {has} heard of cmp-1 since it was fenced" in world.told


# Dies again while it returns

@pytest.mark.parametrize(("state", "remote", "heard", "again"), [
    (FENCED, True, "2026-11-24T22:30:30", True),       # seconds before the mark
    (FENCED, True, "2026-11-24T23:30:00", False),      # an hour after it: switched on since, and only silent now
    (FENCED, True, "", False),
    (FORGETFUL, False, "2026-11-24T22:30:30", False),  # the mark of a full member has no time
])
def test_a_host_that_was_fenced_again_before_this_worker_came_is_an_incident_again(
        cloud: Cloud, monkeypatch: pytest.MonkeyPatch, state: str, remote: bool, heard: str, again: bool) -> None:
    """A controller, with the worker, and a host that had just come back die together, and a person confirms its fencing: the
    mark may be of soon after the record. Where it may be an old one, silence is no fencing: a person is told."""
    cloud.boot("s1", "web")
    cloud.service("cmp-1")["updated_at"] = f"{heard}.000000" if heard else None
    world = World(cloud, monkeypatch, Kept(state, "returning;id=3f9c;since=1795559137;left=1;host=cmp-1", remote))
    world.run(20, 10.0)
    assert world.state == "returning", "it may be about to come back"
    world.run(60, 10.0)
    if again:
        assert world.state != "returning" and "evacuate" in asked(cloud, "s1"), (world.tools.record, world.told)
    else:
        assert world.state == "returning" and not asked(cloud, "s1"), world.tools.record
        assert "cmp-1 is not taken back for 600 s: its node is not online" in world.told, world.told


def test_a_host_that_is_lost_while_it_returns_and_not_fenced_is_told(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.boot("s1", "web")
    world = World(cloud, monkeypatch, Kept(ONLINE, "returning;id=3f9c;since=1795559137;left=1;host=cmp-1"))
    world.run(8)
    world.tools.state, world.tools.history = OFFLINE, "failed"
    world.run(15, 10.0)
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
    world.run(65, 10.0)
    assert "nova-compute" in world.told and "cmp-1" in world.told, world.told


def test_a_host_that_nova_refuses_to_take_back_is_told(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(cloud, monkeypatch, Kept(ONLINE, "returning;id=3f9c;since=1795559137;left=1;host=cmp-1;baseline=0"))
    answer = cloud.answer

    def refuses(method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        no = {"badRequest": {"message": "Unable to force up host as it has evacuations that are done", "code": 400}}
        return (400, no) if method == "PUT" else answer(method, path, body, request)

    monkeypatch.setattr(cloud, "answer", refuses)
    for number in range(70):
        cloud.service("cmp-1")["updated_at"] = f"2026-11-25T05:{number // 60:02}:{number % 60:02}.000000"
        world.run(1, 10.0)
    assert "cmp-1 is not taken back for 600 s: Nova refuses that: " in world.told


# Off for certain

@pytest.mark.parametrize("there", [None, True])
@pytest.mark.parametrize("known", [True, False])
def test_a_host_of_which_too_little_is_known_is_not_off_for_certain(there: bool | None, known: bool) -> None:
    """It was evacuated, and may be back by now: its node's state is not in the CIB, or its cell is away."""
    records = [Record("cmp-2", EVACUATED, "3f9c", proof="node_fenced:1", host="cmp-2")]
    services = [Service("5", "nova-compute", "cmp-2", False, False, known, updated="1970-01-01T00:00:00.000000", known=known)]
    off = ClusterNode("cmp-2", True, False, "node_fenced:1")
    assert off_hosts([replace(services[0], known=True)], records, {"cmp-2": off}, "") == {"cmp-2"}
    nodes = {"cmp-2": replace(off, online=there, mark="")} if known else {"cmp-2": off}
    assert off_hosts(services, records, nodes, "") == frozenset()
    assert off_hosts(services, records, {}, "") == frozenset()


# Its mark is lost

def test_servers_that_one_list_leaves_out_keep_their_record(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new worker meets a host that is back, with a server on it that carries our claim."""
    cloud.boot("s1", "web")
    cloud.claim("s1")
    lost = [True]
    loses(monkeypatch, cloud, lost)
    world = World(cloud, monkeypatch, Kept(ONLINE, "returning;id=3f9c;since=1795559137;left=1;host=cmp-1;baseline=0"))
    cloud.service("cmp-1").update(state="up", forced_down=False)
    world.run(1)
    lost[0] = False
    world.run(12, 2.0)
    assert not cloud.servers["s1"]["locked"] and "reboot" in asked(cloud, "s1")
    assert not world.tools.record


def test_a_node_that_is_taken_out_while_its_host_returns_keeps_the_mark_of_its_servers(
        cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.boot("s1", "web")
    cloud.claim("s1")
    cloud.ask("s1", "pre-migrating")
    world = World(cloud, monkeypatch, Kept(ONLINE, "returning;id=3f9c;since=1795559137;left=1;host=cmp-1;baseline=0"))
    cloud.service("cmp-1").update(state="up", forced_down=False)
    world.run(4)
    assert "may run elsewhere" in world.told
    world.tools.gone = True
    world.run(4)
    assert world.tools.record and "cmp-1" in world.told, world.tools.record


# Run twice

def test_a_server_whose_live_migration_broke_off_is_not_started_for_want_of_its_task(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """nova-compute takes the task away when it starts; the guest may run at the migration's destination."""
    cloud.boot("s1", "web")
    cloud.note("s1", "live-migration")
    cloud.migrations.append({"id": 7, "instance_uuid": "s1", "status": "running", "source_compute": "cmp-1", "dest_compute": "cmp-3",
                             "migration_type": "live-migration", "created_at": "2026-11-25T04:00:00.000000",
                             "updated_at": "2026-11-25T04:00:09.000000"})
    home = Home(cloud)
    for _ in range(3):
        home.turn()
    assert home.acted("s1") == ["live-migration"]


@pytest.mark.parametrize("record", ["evacuated;id=3f9c;since=1795559137;proof=node_fenced:1795559437;host=cmp-1;baseline=0;worker=me",
                                    "returning;id=3f9c;since=1795559137;left=1;host=cmp-1;baseline=0"])
@pytest.mark.parametrize("life", ["reports", "up"])
def test_a_host_that_is_back_and_not_in_the_cluster_is_no_incident_again(
        cloud: Cloud, monkeypatch: pytest.MonkeyPatch, record: str, life: str) -> None:
    """It was switched on, and Pacemaker does not reach it: its servers run."""
    cloud.boot("s1", "web")
    world = World(cloud, monkeypatch, Kept(FENCED, record))
    if life == "up":       # a person has brought it back
        cloud.service("cmp-1").update(state="up", forced_down=False, status="enabled", disabled_reason=None)
    for number in range(80):
        cloud.service("cmp-1")["updated_at"] = f"2026-11-25T05:{number // 60:02}:{number % 60:02}.000000"
        world.run(1, 10.0)
    assert "evacuate" not in asked(cloud, "s1") and world.state == record.partition(";")[0]
    assert cloud.service("cmp-1")["forced_down"] == (life == "reports")


@pytest.mark.parametrize(("record", "down"), [
    ("", False), ("partly;id=3f9c;since=1795559437;proof=node_fenced:1795559437;left=1;host=cmp-1;baseline=0;worker=other", True),
    ("confirmed;id=3f9c;since=1795559437;proof=node_fenced:1795559437;host=cmp-1;baseline=0;worker=other", True)])
def test_an_old_mark_is_no_proof_against_a_host_that_has_reported_since(
        cloud: Cloud, monkeypatch: pytest.MonkeyPatch, record: str, down: bool) -> None:
    """It was fenced and repaired, and runs; Pacemaker is not connected to it yet, and a new worker meets its mark. Without a record its
    connection was deleted, and is just put back."""
    cloud.boot("s1", "web")
    world = World(cloud, monkeypatch, Kept(FENCED, record))
    if not down:
        cloud.service("cmp-1").update(state="up", forced_down=False, status="enabled", disabled_reason=None)
    for number in range(60):
        if number % 5 == 0:
            cloud.service("cmp-1")["updated_at"] = f"2026-11-28T05:{number // 60:02}:{number % 60:02}.000000"
        world.run(1, 2.0)
    assert "evacuate" not in asked(cloud, "s1")
    assert "its nova-compute reports" in world.told


def test_a_server_that_left_and_that_nova_cannot_show_keeps_the_record(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is still locked by us; a new worker has never seen it."""
    cloud.boot("s2", "left", "cmp-3")
    cloud.claim("s2")
    cloud.ask("s2", "done", "cmp-3")
    cloud.migrations[-1]["status"] = "completed"
    world = World(cloud, monkeypatch, Kept(ONLINE, "returning;id=3f9c;since=1795559137;host=cmp-1;baseline=0"))
    cloud.service("cmp-1").update(state="up", forced_down=False)
    answer, away = cloud.answer, [True]
    monkeypatch.setattr(cloud, "answer", lambda method, path, *more: BROKEN if away[0] and path == "/servers/s2" else answer(method, path, *more))
    world.run(8, 2.0)
    assert world.tools.record, "cleared, and nobody unlocks it any more"
    away[0] = False
    world.run(8, 2.0)
    assert not cloud.servers["s2"]["locked"] and not world.tools.record


# One that is away holds up what does not need it

def test_an_attribute_manager_that_hangs_keeps_no_lost_host_from_being_told(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = Kept(OFFLINE)
    tools.history = "failed"
    world = World(cloud, monkeypatch, tools)
    cloud.service("cmp-1").update(forced_down=False, status="enabled", disabled_reason=None)

    def hangs(argv: list[str], timeout: float) -> Outcome:
        if argv[0] == "attrd_updater":
            raise HostError("attrd_updater gave no answer within 10 s")
        return tools(argv, timeout)

    monkeypatch.setattr(door, "run", hangs)
    world.run(15, 10.0)
    assert "cmp-1 is offline and will not be evacuated: its fencing fails" in world.told


def test_a_fencing_is_recorded_while_nova_is_away(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person has confirmed it: no device ran. Its mark does not outlive everything that its record does."""
    world = World(cloud, monkeypatch, Kept(ONLINE))
    cloud.service("cmp-1").update(state="up", forced_down=False, status="enabled", disabled_reason=None)
    world.run(3)
    cloud.away, world.tools.state = True, FENCED
    world.run(4, 2.0)
    assert world.state in ("fenced", "confirmed")


def test_a_host_that_waits_for_a_person_is_looked_at_now_and_then(
        cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.boot("s1", "web")
    cloud.claim("s1")
    cloud.ask("s1", "pre-migrating")
    cloud.boot("s2", "left", "cmp-3")
    cloud.ask("s2", "done", "cmp-3")
    cloud.migrations[-1]["status"] = "completed"
    world = World(cloud, monkeypatch, Kept(ONLINE, "returning;id=3f9c;since=1795559137;left=1;host=cmp-1;baseline=0"))
    cloud.service("cmp-1").update(state="up", forced_down=False)
    world.run(4, 2.0)
    cloud.asked.clear()
    world.run(20, 2.0)
    assert len([line for line in cloud.asked if not line.startswith("GET /os-services")]) < 30


@pytest.mark.parametrize("state", ["evacuated", "returning", "partly"])
def test_what_died_with_its_destination_is_known_when_the_host_dies_again(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    """Once that destination is back nothing else tells it: Nova shows the request as being carried out, for good."""
    tools = Kept(FENCED, f"{state};id=3f9c;since=1795559137;host=cmp-1;baseline=4;broken=0000002a")
    monkeypatch.setattr(door, "run", tools)
    values = params.resolve(params.of(params.FENCE), {"cloud": "c", "quick_evacuate_level": "3"})
    assert Agent(values, "cmp-1", "", ",").off() == 0
    assert tools.record.startswith("fenced;") and tools.record.endswith(";broken=0000002a")
