"""What one host on record means for another one, in one worker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from instance_ha import cluster as door
from instance_ha.cluster import Cluster
from instance_ha.engine import reserve
from instance_ha.engine.again import Again
from instance_ha.engine.context import Context
from instance_ha.engine.host import Host
from instance_ha.engine.lists import AHEAD, Ahead
from instance_ha.engine.scene import Terms
from instance_ha.engine.selection import Policy
from instance_ha.engine.worker import Worker
from instance_ha.errors import CloudUnreachable
from instance_ha.model import CONFIRMED, EVACUATED, FENCED, RETURNING, ClusterNode, ClusterView, Record
from instance_ha.ocf import REASON_LENGTH

from tests.unit.little_nova import LittleNova
from tests.unit.test_missed import OFFLINE, Pacemaker, cib


@pytest.fixture
def little() -> Iterator[LittleNova]:
    one = LittleNova(("cmp-1", "cmp-2", "r1", "r2"))
    yield one
    one.server.shutdown()
    one.server.server_close()


class Written(Cluster):
    """A cluster that takes what is written to it."""

    def replace(self, record: Record) -> Record:
        return record

    def show(self, attribute: str, text: str | None) -> None:
        pass


def worker_with(little: LittleNova, *records: Record) -> Worker:
    worker = Worker(Context(Written(), little.nova, Policy(), "me"))
    for record in records:
        worker.hosts[record.node] = Host(worker.context, record)
    return worker


@pytest.mark.parametrize(("state", "proof", "dead"), [
    (FENCED, "", False), (CONFIRMED, "node_fenced:1", True), (EVACUATED, "node_fenced:1", True), (RETURNING, "node_fenced:1", False)])
def test_a_host_whose_fencing_is_not_confirmed_is_no_dead_destination(little: LittleNova, state: str, proof: str, dead: bool) -> None:
    little.service("cmp-2").update(state="down", forced_down=True, updated_at="1970-01-01T00:00:01.000000")
    worker = worker_with(little, Record("cmp-2", state, "3f9c", proof=proof))
    worker.context.view = ClusterView({"cmp-2": ClusterNode("cmp-2", True, False, proof)}, {}, {}, True)
    assert worker.context.dead_hosts(little.nova.services()) == ({"cmp-2"} if dead else set())


def test_each_of_two_dead_hosts_gets_a_reserved_host_of_its_own(little: LittleNova) -> None:
    for name in ("r1", "r2"):
        little.service(name).update(status="disabled", disabled_reason="reserved")
    worker = worker_with(little, Record("cmp-1", CONFIRMED, "a"), Record("cmp-2", CONFIRMED, "b"))
    services = little.nova.services()
    for node in ("cmp-1", "cmp-2"):
        host = worker.hosts[node]
        host.record = reserve.call(worker.context, host.record, next(s for s in services if s.host == node), services)
    assert {host.record.reserve for host in worker.hosts.values()} == {"r1", "r2"}
    assert all(little.service(name)["status"] == "enabled" for name in ("r1", "r2"))


def test_a_bug_with_one_host_is_told_and_does_not_stop_the_others(little: LittleNova) -> None:
    worker, record = worker_with(little), Record("cmp-1", CONFIRMED, "a")

    def buggy() -> float:
        raise ZeroDivisionError

    def away() -> float:
        raise CloudUnreachable("no answer")

    assert worker._guarded(record, buggy) > 0 and "met a bug" in worker.context.health.problems["bug cmp-1"]
    assert worker._guarded(record, away) > 0 and worker._guarded(record, lambda: 7.0) == 7.0
    assert not worker.context.health.problems


def test_a_bug_with_one_server_is_told_until_its_incident_is_over(little: LittleNova, monkeypatch: pytest.MonkeyPatch) -> None:
    little.boot("s1", "web")
    little.service("cmp-1").update(state="down", forced_down=True)
    worker = worker_with(little, Record("cmp-1", CONFIRMED, "a", baseline=0))
    host = worker.hosts["cmp-1"]
    engine = host._engine("cmp-1")
    host.look = engine.look(little.nova.services(), Terms(0))
    monkeypatch.setattr(little.nova, "server", lambda *_: 1 / 0)
    monkeypatch.setattr(engine, "nova", little.nova)
    assert worker._do((host, host.look.verdicts[0])) is False and "web on cmp-1" in worker.context.health.problems["bug s1"]
    worker._drop("cmp-1")
    assert not worker.context.health.problems


def test_a_node_that_was_taken_out_of_the_cluster_in_the_middle_is_named(little: LittleNova) -> None:
    """Nothing can hold its nova-compute back any more, so that nothing is sent for it."""
    little.boot("s1", "web")
    record = Record("cmp-1", CONFIRMED, "a", baseline=0, proof="node_fenced:1", worker="me")
    worker = worker_with(little, record)
    worker.hosts["cmp-1"].step(ClusterView({}, {"cmp-1": record}, {}, True), record, worker._services)
    assert "the cluster knows no such node any more" in worker.context.health.problems["cmp-1"] and worker.hosts["cmp-1"].look is None


def test_of_several_that_are_left_each_is_named_within_the_room_of_crm_mon(little: LittleNova) -> None:
    for number in range(4):
        little.boot(f"s{number}", f"a-server-{number}", **{"OS-EXT-STS:vm_state": "building"})
    little.service("cmp-1").update(state="down", forced_down=True)
    worker = worker_with(little, Record("cmp-1", CONFIRMED, "a", baseline=0))
    host = worker.hosts["cmp-1"]
    for reason in ("short", "x" * 200):
        host.look = host._engine("cmp-1").look(little.nova.services(), Terms(0))
        host.look.verdicts = [replace(v, reason=reason) for v in host.look.verdicts]
        host.tell(0)
        text = worker.context.health.problems["left cmp-1"]
        assert text[:REASON_LENGTH].startswith("4 of cmp-1's servers not evacuated: a-server-0, a-server-1, a-server-2; a-server-0: " + reason[:10])
        assert text.endswith(f"; a-server-1: {reason}; a-server-2: {reason}")


def test_a_host_that_dies_again_while_it_returns_is_recorded_again(little: LittleNova, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its power device is dead, and a person confirms the fencing: no device runs that could write a record."""
    little.service("cmp-1").update(forced_down=True, state="down")
    record = Record("cmp-1", RETURNING, "3f9c", proof="node_fenced:1", baseline=4, reserve="r1", raw="returning;id=3f9c")
    worker = worker_with(little, record)
    written: list[Record] = []
    monkeypatch.setattr(worker.context.cluster, "replace", lambda one: written.append(one) or one)
    host = worker.hosts["cmp-1"]
    marked = ClusterNode("cmp-1", True, False, "node_fenced:9")      # it is let in before it is online
    for node in (marked, ClusterNode("cmp-1", True, False), ClusterNode("cmp-1", True, None, "node_fenced:9"), ClusterNode("cmp-1", True, True)):
        host.step(ClusterView({"cmp-1": node}, {"cmp-1": record}, {}, True), record, little.nova.services)
        assert not written
    fenced = ClusterNode("cmp-1", True, False, "node_fenced:99")
    host.step(ClusterView({"cmp-1": fenced}, {"cmp-1": record}, {}, True), record, little.nova.services)
    again = written[0]
    assert (again.state, again.baseline, again.proof, again.reserve, again.raw) == (FENCED, None, "", "r1", record.raw) and again.id != "3f9c"


@pytest.mark.parametrize(("mapped", "refused"), [({"cmp-1": "cmp-2", "cmp-2": "cmp-1"}, True), ({}, False), ({"cmp-1": "nova-1"}, False)])
def test_the_host_of_another_node_is_not_evacuated(little: LittleNova, mapped: dict[str, str], refused: bool) -> None:
    little.services.append({**little.service("cmp-1"), "id": "n", "host": "nova-1"})
    record = Record("cmp-1", CONFIRMED, "3f9c", proof="node_fenced:1", baseline=0, host=mapped.get("cmp-1", ""))
    worker = worker_with(little, record)
    nodes = {name: ClusterNode(name, True, name != "cmp-1", "" if name != "cmp-1" else "node_fenced:1") for name in ("cmp-1", "cmp-2")}
    worker.hosts["cmp-1"].step(ClusterView(nodes, {"cmp-1": record}, {}, True, mapped=mapped), record, little.nova.services)
    assert ("is the compute host of cmp-2" in worker.context.health.problems.get("cmp-1", "")) == refused
    assert not refused or not any(asked.startswith("PUT") for asked in little.asked)


def test_a_host_that_nobody_will_fence_is_told(little: LittleNova, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment tool has switched fencing off, and a host dies: nothing would ever be on record. Once it is on, Pacemaker fences it."""
    monkeypatch.setattr(door, "run", Pacemaker(cib(OFFLINE), "pending"))
    now = [0.0]
    worker = Worker(Context(Written(), little.nova, Policy(), "me", clock=lambda: now[0]))
    worker.context.services_known = little.nova.services()
    nodes = {"cmp-1": ClusterNode("cmp-1", True, False), "db-1": ClusterNode("db-1", True, False), "cmp-2": ClusterNode("cmp-2", True, True)}
    off = ClusterView(nodes, {}, {}, True, fences_nobody="fencing is switched off (stonith-enabled=false)")
    worker.unfenced.look(off)
    assert not worker.context.health.problems
    now[0] = 6.0
    worker.unfenced.look(off)
    assert worker.context.health.problems == {
        "unfenced cmp-1": "cmp-1 is offline and will not be evacuated: fencing is switched off (stonith-enabled=false)"}
    worker.unfenced.look(ClusterView(nodes, {}, {}, True))
    assert not worker.context.health.problems


@pytest.mark.parametrize(("mark", "again"), [
    ("node_fenced:1795000030", False), ("node_fenced:1795009000", True), ("node_state:send_stonith_update", False)])
def test_a_worker_that_has_not_seen_a_host_come_back_goes_by_the_time_of_the_mark(little: LittleNova, mark: str, again: bool) -> None:
    little.service("cmp-1").update(forced_down=True, state="down")
    record = Record("cmp-1", RETURNING, "3f9c", since=1795000000, proof="history:reboot@x")
    worker = worker_with(little, record)
    view = ClusterView({"cmp-1": ClusterNode("cmp-1", True, False, mark)}, {"cmp-1": record}, {}, True)
    assert Again(worker.context, "cmp-1").died(view, record, little.nova.services()[0]) is again


@pytest.mark.parametrize("forged", [False, True])
def test_only_a_reserved_host_that_this_worker_has_enabled_is_kept_back_again(little: LittleNova, forged: bool) -> None:
    """A record with reserve=, written by root on a compute host, would have any empty host disabled."""
    little.service("r1").update(status="enabled" if forged else "disabled", disabled_reason=None if forged else "reserved")
    worker = worker_with(little, Record("cmp-1", CONFIRMED, "a"))
    record, services = worker.hosts["cmp-1"].record, little.nova.services()
    if forged:
        record = record.to(CONFIRMED, reserve="r1")
    else:
        record = reserve.call(worker.context, record, next(s for s in services if s.host == "cmp-1"), services)
    assert record.reserve == "r1" and little.service("r1")["status"] == "enabled"
    assert reserve.give_back(worker.context, record, ()).reserve == ""
    assert little.service("r1")["status"] == ("enabled" if forged else "disabled")


@pytest.mark.parametrize(("patterns", "paused"), [((), False), (("cmp-*",), False), (("cmp-2",), True)])
def test_a_recorded_host_that_protect_hosts_does_not_name_is_held(
        little: LittleNova, patterns: tuple[str, ...], paused: bool) -> None:
    little.boot("s1", "web")
    worker = worker_with(little, Record("cmp-1", CONFIRMED, "a", baseline=0, host="cmp-1"))
    worker.context.policy = Policy(hosts=patterns)
    services = little.nova.services()
    (service,) = (one for one in services if one.host == "cmp-1")
    assert bool(worker.hosts["cmp-1"]._reason_to_pause(service, services)) == paused
    assert ("held cmp-1" in worker.context.health.problems) == paused


def test_hosts_that_protect_hosts_does_not_name_are_no_share(little: LittleNova) -> None:
    """Ironic's services on controllers are up whatever happens to compute hosts."""
    names = ("cmp-1", "cmp-2")
    records = {name: Record(name, CONFIRMED, "a", host=name, baseline=0) for name in names}
    worker = worker_with(little, *records.values())
    view = ClusterView({name: ClusterNode(name, True, False) for name in names}, records, {}, True)
    assert not worker._limits(view, little.nova.services())
    worker.context.policy = Policy(hosts=("cmp-*",))
    assert set(worker._limits(view, little.nova.services())) == {"cmp-1", "cmp-2"}
def lists_asked(little: LittleNova) -> int:
    return sum(1 for one in little.asked if one in ("GET /os-migrations", "GET /servers/detail"))


def test_the_lists_of_several_hosts_are_read_ahead_once_and_looked_at(little: LittleNova) -> None:
    little.boot("s1", "web", "cmp-1")
    little.boot("s2", "db", "cmp-2")
    worker = worker_with(little, Record("cmp-1", CONFIRMED, "a", baseline=0), Record("cmp-2", CONFIRMED, "b", baseline=0))
    services = little.nova.services()
    for host in worker.hosts.values():
        host._engine(host.node).look(services, Terms(0))
    before = lists_asked(little)
    worker._read_ahead([*worker.hosts.values()])
    assert lists_asked(little) == before + 4
    looks = {host.node: host._engine(host.node).look(services, Terms(0)) for host in worker.hosts.values()}
    assert lists_asked(little) == before + 4, "read ahead for nothing"
    assert {node: [v.server.id for v in look.verdicts] for node, look in looks.items()} == {"cmp-1": ["s1"], "cmp-2": ["s2"]}
    worker.hosts["cmp-1"]._engine("cmp-1").look(services, Terms(0))
    assert lists_asked(little) == before + 6, "what was read ahead is looked at once"


def test_lists_that_could_not_be_read_ahead_are_no_empty_lists(little: LittleNova) -> None:
    worker = worker_with(little, Record("cmp-1", CONFIRMED, "a", baseline=0), Record("cmp-2", CONFIRMED, "b", baseline=0))
    services = little.nova.services()
    engines = [host._engine(host.node) for host in worker.hosts.values()]
    little.away = True
    worker._read_ahead([*worker.hosts.values()])
    little.away = False
    with pytest.raises(CloudUnreachable):
        engines[0].look(services, Terms(0))


@pytest.mark.parametrize(("passed", "baseline"), [(AHEAD + 1, 0), (0.0, 7)])
def test_lists_that_are_old_or_begin_elsewhere_are_read_again(little: LittleNova, passed: float, baseline: int) -> None:
    now = [0.0]
    ahead = Ahead(little.nova, "cmp-1", lambda: now[0])
    ahead.read(0)
    now[0] += passed
    before = lists_asked(little)
    assert ahead.take(baseline).baseline == baseline and lists_asked(little) == before + 2


def test_the_lists_of_a_host_alone_are_not_read_ahead(little: LittleNova) -> None:
    worker = worker_with(little, Record("cmp-1", CONFIRMED, "a", baseline=0))
    worker.hosts["cmp-1"]._engine("cmp-1")
    before = lists_asked(little)
    worker._read_ahead([*worker.hosts.values()])
    assert lists_asked(little) == before


def test_new_credentials_are_asked_for_the_lists_too(little: LittleNova) -> None:
    worker = worker_with(little, Record("cmp-1", CONFIRMED, "a", baseline=0))
    engine = worker.hosts["cmp-1"]._engine("cmp-1")
    other = LittleNova()
    other.boot("s9", "new", "cmp-1")
    try:
        little.away = True                # as one whose password is no longer taken
        worker.reconfigure(other.nova, Policy(), "")
        assert [verdict.server.id for verdict in engine.look(other.nova.services(), Terms(0)).verdicts] == ["s9"]
    finally:
        other.server.shutdown()
        other.server.server_close()
