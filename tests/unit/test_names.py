"""Nova keeps the row of a compute service after a renaming, dead, beside the new one: which is meant."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from instance_ha import cluster as door
from instance_ha import credentials, params
from instance_ha.engine.context import Context
from instance_ha.engine.host import Host
from instance_ha.engine.naming import doubles_of, host_of, host_of_record, namesakes_of
from instance_ha.engine.selection import Policy
from instance_ha.engine.worker import Worker
from instance_ha.errors import ClusterError
from instance_ha.fence import Agent
from instance_ha.model import CONFIRMED, FENCED, ClusterNode, ClusterView, Record, Service

from tests.unit.little_nova import LittleNova
from tests.unit.test_missed import OFFLINE, Pacemaker, cib
from tests.unit.test_several_hosts import Written

LONG_AGO, TODAY, NOW = (
    "2026-08-01T04:00:00.000000",
    "2026-11-25T03:30:00.000000",
    "2026-11-25T04:00:00.000000",
)
OLD, NEW = "cmp-1", "cmp-1.example.com"
OFF = ClusterView({"cmp-1": ClusterNode("cmp-1", True, False, "node_fenced:1795579201")}, {}, {}, True)


def row(host: str, updated: str, up: bool = False, known: bool = True) -> Service:
    return Service(host, "nova-compute", host, True, up, False, "", updated, known=known)


@pytest.mark.parametrize(
    ("node", "domain", "rows", "found"),
    [
        ("cmp-1", "", [row(OLD, LONG_AGO), row(NEW, NOW, True)], NEW),  # short → FQDN
        ("cmp-1", "", [row(OLD, LONG_AGO), row(NEW, NOW)], NEW),  # the same, when it has died
        ("cmp-1", "", [row(OLD, NOW), row(NEW, LONG_AGO)], OLD),  # FQDN → short
        (
            "cmp-1",
            "",
            [row("cmp-1.a.org", LONG_AGO), row("cmp-1.b.org", NOW)],
            "cmp-1.b.org",
        ),  # another domain
        ("cmp-1", "a.org", [row("cmp-1.a.org", LONG_AGO), row("cmp-1.b.org", NOW)], "cmp-1.b.org"),
        ("cmp-1", "b.org", [row("cmp-1.a.org", NOW), row("cmp-1.b.org", NOW)], "cmp-1.b.org"),
        ("CMP-1", "", [row("cmp-1", LONG_AGO), row("CMP-1.example.com", NOW)], "CMP-1.example.com"),
        ("cmp-1", "", [row(OLD, TODAY), row(NEW, NOW)], OLD),  # not clear
        ("cmp-1", "", [row("cmp-1.a.org", TODAY), row("cmp-1.b.org", NOW)], None),
        ("cmp-1", "", [row(OLD, LONG_AGO, True), row(NEW, NOW)], OLD),  # what is up is not stale
        ("cmp-1", "", [row(OLD, "", known=False), row(NEW, NOW)], OLD),  # its cell is away
        ("cmp-1", "", [row(OLD, LONG_AGO), row(NEW, "", known=False)], OLD),
        ("cmp-1", "", [row(OLD, "odd"), row(NEW, NOW)], OLD),
        (
            "cmp-1.a.org",
            "",
            [row("cmp-1.a.org", LONG_AGO), row("cmp-1.b.org", NOW)],
            "cmp-1.a.org",
        ),  # perhaps two machines
        ("cmp-1.a.org", "", [row("cmp-1.a.org", LONG_AGO), row("cmp-1", NOW)], "cmp-1"),
        (
            "cmp-1",
            "",
            [row(OLD, LONG_AGO), row("cmp-1.a.org", LONG_AGO), row("cmp-1.b.org", NOW)],
            "cmp-1.b.org",
        ),
    ],
)
def test_the_row_that_lives_is_meant(
    node: str, domain: str, rows: list[Service], found: str | None
) -> None:
    assert host_of(node, domain, rows) == found and host_of(node, domain, rows[::-1]) == found


def test_a_host_whose_evacuation_has_begun_is_not_changed_for_another() -> None:
    rows = [row(OLD, LONG_AGO), row(NEW, NOW)]
    begun = Record("cmp-1", CONFIRMED, "a", host=OLD, baseline=7)
    assert host_of_record(begun, "", rows) == OLD
    assert host_of_record(begun.to(CONFIRMED, baseline=None, host=""), "", rows) == NEW
    assert host_of_record(begun, "", rows[1:]) is None, "a list may leave one out"
    assert host_of_record(begun.to(CONFIRMED, host=""), "", rows) == NEW


def test_which_other_rows_are_doubtful() -> None:
    rows = [row("cmp-1.a.org", NOW), row("cmp-1.b.org", NOW), row("cmp-2", NOW)]
    both = ClusterView(
        {name: ClusterNode(name) for name in ("cmp-1.a.org", "cmp-1.b.org")}, {}, {}, True
    )
    assert [one.host for one in namesakes_of("cmp-1.a.org", OFF, rows)] == ["cmp-1.b.org"]
    assert not namesakes_of("cmp-1.a.org", both, rows) and not doubles_of("cmp-1.a.org", OFF, rows)
    assert doubles_of("cmp-1.a.org", OFF, [row("cmp-1.a.org", LONG_AGO), rows[1]])
    assert doubles_of(OLD, OFF, [row(OLD, NOW), row(NEW, LONG_AGO)])


@pytest.fixture
def little() -> Iterator[LittleNova]:
    """cmp-1 was renamed, and has died; its servers are on the new row."""
    one = LittleNova((OLD, NEW, "cmp-2"))
    one.service(OLD).update(updated_at=LONG_AGO, state="down")
    one.service(NEW).update(updated_at=NOW, state="down")
    one.boot("s1", "web", NEW)
    yield one
    one.server.shutdown()
    one.server.server_close()


def step(little: LittleNova, times: int = 1, host: str = "", baseline: int | None = None) -> Worker:
    record = Record(
        "cmp-1", CONFIRMED, "3f9c", proof="node_fenced:1", worker="me", host=host, baseline=baseline
    )
    now = [0.0]
    worker = Worker(Context(Written(), little.nova, Policy(), "me", clock=lambda: now[0]))
    worker.context.view = OFF
    worker.hosts["cmp-1"] = Host(worker.context, record)
    for _ in range(times):
        worker.hosts["cmp-1"].step(OFF, worker.hosts["cmp-1"].record, little.nova.services)
        now[0] += 30.0
    return worker


def test_the_servers_of_the_row_that_lives_are_evacuated(little: LittleNova) -> None:
    worker = step(little, 8)
    look = worker.hosts["cmp-1"].look
    assert look is not None and [verdict.server.id for verdict in look.verdicts] == ["s1"]
    assert little.service(NEW)["forced_down"] and not little.service(OLD)["forced_down"]


def test_a_row_of_that_name_that_reports_is_not_marked_down(little: LittleNova) -> None:
    """They are two machines after all."""
    now = [0.0]
    record = Record("cmp-1", CONFIRMED, "3f9c", proof="node_fenced:1", worker="me")
    worker = Worker(Context(Written(), little.nova, Policy(), "me", clock=lambda: now[0]))
    worker.hosts["cmp-1"] = Host(worker.context, record)
    little.service(NEW).update(state="up")
    for number in range(10):
        little.service(NEW)["updated_at"] = f"2026-11-25T04:00:{number:02d}.000000"
        worker.hosts["cmp-1"].step(OFF, record, little.nova.services)
        now[0] += 10.0
    assert "its nova-compute reports" in worker.context.health.problems["cmp-1"]
    assert not any(asked.startswith("PUT") for asked in little.asked)


def test_a_row_without_servers_is_no_success_while_its_namesake_has_some(
    little: LittleNova,
) -> None:
    """Somebody has disabled the old row today, and so it does not look old."""
    little.service(OLD)["updated_at"] = TODAY
    worker = step(little, 8)
    told = worker.context.health.problems["row cmp-1"]
    assert told.startswith(
        "cmp-1 is not evacuated: Nova has cmp-1, without servers, and cmp-1.example.com; which is it?"
    )
    assert "openstack compute service delete s-nova-compute-cmp-1" in told
    assert not any(asked.startswith("PUT") for asked in little.asked)


@pytest.mark.parametrize(("rows", "marked"), [((OLD, NEW), []), ((NEW,), [NEW]), ((OLD,), [OLD])])
def test_fence_nova_leaves_a_doubtful_host_to_the_worker(
    little: LittleNova, monkeypatch: pytest.MonkeyPatch, rows: tuple[str, ...], marked: list[str]
) -> None:
    little.services = [one for one in little.services if one["host"] in rows]
    monkeypatch.setattr(credentials, "connect", lambda values: little.nova)
    agent = Agent(params.resolve(params.of(params.FENCE), {"cloud": "x"}), "cmp-1", "", ",")
    agent._view = OFF
    agent._mark_down(Record("cmp-1", FENCED, "3f9c", 1, "ctl-1"))
    assert [one["host"] for one in little.services if one["forced_down"]] == marked


def test_what_is_read_ahead_does_not_settle_which_row_is_meant(little: LittleNova) -> None:
    """Else the record would name it before anybody has looked for servers."""
    little.service(OLD)["updated_at"] = TODAY
    worker = Worker(Context(Written(), little.nova, Policy(), "me"))
    worker.context.view = OFF
    record = Record("cmp-1", FENCED, "3f9c", seen=())
    host = worker.hosts["cmp-1"] = Host(worker.context, record)
    host._prepare(record, little.nova.services)
    assert host.engine is None and host._prepared is None
    little.services.remove(little.service(OLD))
    host._prepare_at = 0.0
    host._prepare(record, little.nova.services)
    assert host.engine is not None and host.engine.host == NEW


def test_when_the_row_that_is_not_meant_is_deleted_the_evacuation_goes_on(
    little: LittleNova,
) -> None:
    little.service(OLD)["updated_at"] = TODAY
    now = [0.0]
    worker = Worker(Context(Written(), little.nova, Policy(), "me", clock=lambda: now[0]))
    worker.context.view = OFF
    record = Record("cmp-1", CONFIRMED, "3f9c", proof="node_fenced:1", worker="me")
    host = worker.hosts["cmp-1"] = Host(worker.context, record)
    for _ in range(10):
        host.step(OFF, host.record, little.nova.services)
        now[0] += 30.0
        if "row cmp-1" in worker.context.health.problems:
            little.services.remove(little.service(OLD))
    assert host.look is not None and [one.server.id for one in host.look.verdicts] == ["s1"]
    assert little.service(NEW)["forced_down"] and not worker.context.health.problems


def test_a_second_fencing_keeps_the_host_whose_evacuation_has_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = Record("cmp-1", CONFIRMED, "3f9c", host=NEW, baseline=7).text()
    tools = Pacemaker(cib(OFFLINE, begun))
    monkeypatch.setattr(door, "run", tools)
    values = params.resolve(params.of(params.FENCE), {"cloud": "x", "record_only": "1"})
    with pytest.raises(ClusterError, match="does not show it"):  # these tools keep nothing
        Agent(values, "cmp-1", "", ",").off()
    assert any(f"host={NEW};" in change and "fenced;id=" in change for change in tools.changes)
