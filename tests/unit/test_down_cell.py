"""A cell whose database is away: Nova tells no more of its compute hosts than their names, and leaves its servers out of lists."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from instance_ha.cluster import Cluster
from instance_ha.engine.context import Context
from instance_ha.engine.host import Host
from instance_ha.engine.limits import Failed, held
from instance_ha.engine.selection import Policy
from instance_ha.engine.worker import Worker
from instance_ha.errors import CellAway
from instance_ha.model import CONFIRMED, EVACUATED, ClusterNode, ClusterView, Record

from tests.unit.little_nova import LittleNova

RECORD = Record("cmp-1", CONFIRMED, "3f9c", proof="node_fenced:1", baseline=0, worker="me", host="cmp-1")
VIEW = ClusterView({"cmp-1": ClusterNode("cmp-1", True, False, "node_fenced:1795579201")}, {"cmp-1": RECORD}, {}, True, held={"cmp-1": "true"})


class Written(Cluster):
    """A cluster that takes what is written to it."""

    def view(self) -> ClusterView:
        return VIEW

    def replace(self, record: Record) -> Record:
        return record

    def show(self, attribute: str, text: str | None) -> None:
        pass


@pytest.fixture
def little() -> Iterator[LittleNova]:
    one = LittleNova()
    one.service("cmp-1").update(status="disabled", state="down", forced_down=True,
                                disabled_reason="instance-ha: fenced at 2026-11-25T04:00:01Z (3f9c)")
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def worker(little: LittleNova) -> Worker:
    one = Worker(Context(Written(), little.nova, Policy(), "me"))
    one.context.view, one.parameters = VIEW, {}
    one.hosts["cmp-1"] = Host(one.context, RECORD)
    return one


def turn(worker: Worker) -> str:
    """The state of the record after one turn."""
    host = worker.hosts["cmp-1"]
    host.record = RECORD
    host.step(VIEW, RECORD, worker._services)
    if host.look is not None:
        host.tell(worker._act([host])[host.node])
    return host.record.state


def hide(little: LittleNova) -> None:
    """As Nova 34 does from 2.69 on."""
    service = little.service("cmp-1")
    service.clear()
    service.update(binary="nova-compute", host="cmp-1", status="UNKNOWN")


def test_a_host_of_which_nova_tells_nothing_is_named_and_left_as_it_is(little: LittleNova, worker: Worker) -> None:
    little.boot("s1", "web")
    hide(little)
    host = worker.hosts["cmp-1"]
    [service] = [s for s in little.nova.services() if s.host == "cmp-1"]
    assert not (service.known or service.up or service.enabled or service.forced_down)
    for change in (lambda: little.nova.force_down(service, True), lambda: little.nova.enable(service), lambda: little.nova.disable(service, "x")):
        with pytest.raises(CellAway, match="the database of its cell is away"):
            change()
    worker._guarded(RECORD, lambda: host.step(VIEW, RECORD, worker._services))
    assert worker.context.health.problems == {"cloud cmp-1": "cmp-1: Nova tells nothing of cmp-1 but its name: the database of its cell is away"}
    assert not [line for line in little.asked if line.startswith(("PUT", "POST"))]


def test_hosts_of_a_cell_that_is_away_count_for_the_threshold(little: LittleNova) -> None:
    failed = [Failed(node, node, Record(node, CONFIRMED, node)) for node in ("cmp-2", "cmp-3")]
    little.services += [{"binary": "nova-compute", "host": f"far-{number}", "status": "UNKNOWN"} for number in range(3)]
    assert not held(failed, little.nova.services(), (), 50)


def test_a_server_that_a_list_leaves_out_is_asked_for(little: LittleNova, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    little.boot("s1", "web")
    turn(worker)
    assert [row["instance_uuid"] for row in little.migrations] == ["s1"]
    answer = little.answer
    monkeypatch.setattr(little, "answer", lambda method, path, *more: (200, {"servers": []}) if "detail" in path else answer(method, path, *more))
    for _ in range(4):
        assert turn(worker) == CONFIRMED
    look = worker.hosts["cmp-1"].look
    assert look and [(v.server.id, v.action) for v in look.verdicts] == [("s1", "wait")]
    del little.servers["s1"]
    assert [turn(worker), turn(worker), turn(worker)][-1] == EVACUATED


def test_one_empty_list_is_no_evacuated_host(little: LittleNova, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    little.boot("s1", "web")
    answer, lists = little.answer, []

    def short(method: str, path: str, *more: object) -> tuple[int, object]:
        if "detail" in path and not lists:
            lists.append(path)
            return 200, {"servers": []}
        return answer(method, path, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(little, "answer", short)
    host = worker.hosts["cmp-1"]
    assert turn(worker) == CONFIRMED and not host.look.verdicts  # type: ignore[union-attr]
    assert turn(worker) == CONFIRMED and [v.server.id for v in host.look.verdicts] == ["s1"]  # type: ignore[union-attr]
