"""What keeps nova-compute from starting on a host: the attribute beside its record."""

from __future__ import annotations

import pytest
from instance_ha import cluster as door
from instance_ha.cib import parse_cib, read_cib
from instance_ha.cluster import Cluster
from instance_ha.engine.context import Context
from instance_ha.engine.entry import let_in
from instance_ha.engine.homecoming import LINGER, QUIET, STOP_LIMIT
from instance_ha.engine.host import UNPROVEN
from instance_ha.engine.selection import Policy
from instance_ha.engine.worker import Worker
from instance_ha.model import Record

from tests.unit.fake import Fake
from tests.unit.little_nova import LittleNova
from tests.unit.test_missed import FENCED, ONLINE, UP, Pacemaker, cib

HELD = "<nvpair id='h' name='evacuate-held' value='{}'/>"
SET = "crm_attribute --type nodes --node cmp-1 --name evacuate-held --update {}"
FREE = "cibadmin --delete --xpath //nodes/node[@uname='cmp-1']//nvpair[@name='evacuate-held']"


def recorded(value: str, held: str = "", state: str = ONLINE) -> str:
    """A CIB with a record and the attribute."""
    text = cib(state, value)
    return text.replace('<instance_attributes id="nodes-cmp-1">', '<instance_attributes id="nodes-cmp-1">' + (HELD.format(held) if held else ""))


@pytest.mark.parametrize(("value", "held", "change"), [
    ("fenced;id=1;seen=-", "", SET.format("true")), ("confirmed;id=1", "", SET.format("true")), ("junk", "", SET.format("true")),
    ("confirmed;id=1", "true", ""), ("evacuated;id=1", "true", FREE), ("partly;id=1", "true", FREE), ("returning;id=1", "true", FREE),
    ("no", "true", FREE), ("", "true", FREE), ("", "stop", FREE), ("", "", ""), ("confirmed;id=1", "stop", SET.format("true"))])
def test_the_attribute_follows_the_record(monkeypatch: pytest.MonkeyPatch, fake: Fake, value: str, held: str, change: str) -> None:
    tools = Pacemaker(recorded(value, held))
    monkeypatch.setattr(door, "run", tools)
    fake.says(200, {"services": [UP]})
    Worker(Context(Cluster(), fake.nova, Policy(), "me")).turn()
    fake.answers.clear()
    assert [line for line in tools.changes if "evacuate-held" in line] == ([change] if change else [])


def test_it_is_there_before_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    tools = Pacemaker(cib(FENCED))
    monkeypatch.setattr(door, "run", tools)
    with pytest.raises(Exception, match="the cluster does not show it"):    # this CIB never changes
        Cluster().write(Record("cmp-1", "fenced", "3f9c"))
    assert tools.changes[0] == SET.format("true") and "--name evacuate --update fenced;id=3f9c" in tools.changes[1]


def test_nothing_is_sent_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker has set it in this turn, and the cluster does not show it."""
    for held, permitted in (("", False), ("stop", False), ("true", True)):
        tools = Pacemaker(recorded("confirmed;id=1;worker=me", held))
        monkeypatch.setattr(door, "run", tools)
        worker = Worker(Context(Cluster(), LittleNova().nova, Policy(), "me"))
        worker.parameters = {}
        record = worker.context.cluster.view().records["cmp-1"]
        assert worker.may_act(record) is permitted


def test_unfencing_takes_it_away_where_no_worker_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, held, change in (("", "true", [FREE]), ("confirmed;id=1", "true", []), ("returning;id=1", "stop", [])):
        tools = Pacemaker(recorded(value, held))
        monkeypatch.setattr(door, "run", tools)
        let_in(Cluster(), read_cib(parse_cib(tools.cib), "evacuate"), "cmp-1")
        assert tools.changes == change


@pytest.mark.parametrize(("status", "seen", "ends"), [
    ("success", "2026-11-25_04:00:00Z", True), ("failed", "2026-11-25_03:00:00Z", True), ("pending", "2026-11-25_03:00:00Z", False)])
def test_a_record_without_a_proof_ends_when_its_host_stays_online(monkeypatch: pytest.MonkeyPatch, fake: Fake, status: str, seen: str,
                                                                  ends: bool) -> None:
    """As that of a fencing whose controller died in the middle: nothing is evacuated, and the host is let in."""
    tools = Pacemaker(recorded(f"fenced;id=1;seen={seen}", "true"), status)
    monkeypatch.setattr(door, "run", tools)
    now = [100.0]
    worker = Worker(Context(Cluster(), fake.nova, Policy(), "me", clock=lambda: now[0]))
    for _ in range(3):
        fake.says(200, {"services": [UP]})
        worker.turn()
        now[0] += UNPROVEN / 2 - 1
    assert not any("returning" in change for change in tools.changes)
    now[0] += 3
    worker.turn()
    fake.answers.clear()
    assert any('value="returning;id=1' in change for change in tools.changes) is ends


@pytest.mark.parametrize("stops", [True, False])
def test_nova_compute_is_started_once_more_where_nova_has_left_something_open(monkeypatch: pytest.MonkeyPatch, stops: bool) -> None:
    """Where nothing stops it, a person is told."""
    tools, nova, now = Pacemaker(recorded("returning;id=1;baseline=0")), LittleNova(), [100.0]
    monkeypatch.setattr(door, "run", tools)
    nova.service("cmp-1").update(forced_down=True, state="down", status="disabled", disabled_reason="instance-ha: fenced (1)")
    nova.migrations.append({"id": 1, "instance_uuid": "aaaaaaaa-2222-3333-4444-555555555555", "status": "done", "source_compute": "cmp-1",
                            "dest_compute": "cmp-2", "migration_type": "evacuation", "created_at": "2026-11-25T04:00:00.000000",
                            "updated_at": "2026-11-25T04:00:09.000000"})
    worker = Worker(Context(Cluster(), nova.nova, Policy(), "me", clock=lambda: now[0]))

    def turns(seconds: float, reports: bool) -> None:
        for _ in range(int(seconds / 5)):
            now[0] += 5
            if reports:
                nova.service("cmp-1")["updated_at"] = f"2026-11-25T04:{int(now[0]) // 60:02}:{int(now[0]) % 60:02}.000000"
            worker.turn()

    def held() -> str:
        return [change for change in tools.changes if "evacuate-held" in change][-1]

    turns(LINGER + 20, True)
    assert held() == SET.format("stop") and "cmp-1" not in worker.context.health.problems
    tools.cib = recorded("returning;id=1;baseline=0", "stop")
    turns(QUIET + 10 if stops else STOP_LIMIT + 10, not stops)
    assert held() == FREE
    tools.cib = recorded("returning;id=1;baseline=0")
    turns(LINGER + 20, True)
    assert "restart nova-compute on it once more" in worker.context.health.problems["cmp-1"]


def test_a_host_that_nova_does_not_know_is_held_and_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch, fake: Fake) -> None:
    """Seen on a new host that was fenced before its nova-compute ever ran."""
    tools = Pacemaker(recorded("confirmed;id=1;worker=me", "true"))
    monkeypatch.setattr(door, "run", tools)
    now = [0.0]
    worker = Worker(Context(Cluster(), fake.nova, Policy(), "me", clock=lambda: now[0]))
    for now[0] in (0.0, 19.0, 20.0):
        assert "cmp-1" not in worker.context.health.problems, "one list may leave it out"
        fake.says(200, {"services": [{**UP, "host": "cmp-2"}]})
        worker.turn()
    assert "set domain" in worker.context.health.problems["cmp-1"] and "instance-ha dismiss cmp-1" in worker.context.health.problems["cmp-1"]
    assert not [line for line in tools.changes if "evacuate-held" in line] and {method for method, *_ in fake.asked} == {"GET"}
