"""What a host costs others: at rest, with a long history, beside many locked servers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from instance_ha.cluster import Cluster
from instance_ha.engine.context import SHOW_PAUSE, Context
from instance_ha.engine.host import REST_LOOK, Host
from instance_ha.engine.selection import Policy
from instance_ha.engine.worker import Worker
from instance_ha.model import PARTLY, ClusterNode, ClusterView, Record

from tests.unit.little_nova import LittleNova

RECORD = Record(
    "cmp-1", PARTLY, "3f9c", proof="node_fenced:1", baseline=40, worker="me", host="cmp-1", left=1
)
RECORD = replace(RECORD, raw=RECORD.text())
VIEW = ClusterView(
    {"cmp-1": ClusterNode("cmp-1", True, False, "node_fenced:1795579201")}, {"cmp-1": RECORD}, {}, True
)
PAGE = 500
MANY = 4000


class Cloud(LittleNova):
    """One that gives its migrations in pages, the newest first."""

    def answer(self, method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        code, found = super().answer(method, path, body, request)
        if "migrations" in (found or {}):
            query = parse_qs(urlsplit(path).query)
            rows = sorted(found["migrations"], key=lambda row: -row["id"])
            marker = query.get("marker", [None])[0]
            first = next((n + 1 for n, row in enumerate(rows) if row["uuid"] == marker), 0)
            page = rows[first : first + PAGE]
            more = (
                {"migrations_links": [{"rel": "next", "href": "x"}]} if rows[first + PAGE :] else {}
            )
            return code, {"migrations": page, **more}
        return code, found


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    one = Cloud()
    one.service("cmp-1").update(
        status="disabled",
        state="down",
        forced_down=True,
        disabled_reason="instance-ha: fenced at 2026-11-25T04:00:01Z (3f9c)",
    )
    yield one
    one.server.shutdown()
    one.server.server_close()


class Resting:
    """A worker, and a host for one server of which no other has room, turn by turn."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud, self.now, self.wrote = cloud, 1000.0, list[str]()
        wrote = self.wrote

        class Written(Cluster):
            def replace(self, record: Record) -> Record:
                if record.text() != record.raw:  # what is there already is not written
                    wrote.append(record.state)
                return record

            def view(self) -> ClusterView:
                return VIEW

            def show(self, attribute: str, text: str | None) -> None:
                wrote.append("show")

            def hold(self, node: str, how: str) -> None:
                wrote.append(f"hold {how}")

        self.worker = Worker(Context(Written(), cloud.nova, Policy(), "me", clock=lambda: self.now))
        self.worker.context.view, self.worker.parameters = VIEW, {}
        self.host = self.worker.hosts["cmp-1"] = Host(self.worker.context, RECORD)
        cloud.boot("s1", "web", **{"OS-EXT-STS:vm_state": "error"})
        cloud.claim("s1")
        self.row(41, "s1", "error")
        cloud.note("s1", "evacuate")
        cloud.actions["s1"][-1]["events"] = cloud._events("error", None, {})
        for _ in range(3):
            self.turn(2)

    def row(self, number: int, uid: str, status: str) -> None:
        self.cloud.migrations.append(
            {
                "id": number,
                "uuid": f"m-{number}",
                "instance_uuid": uid,
                "status": status,
                "migration_type": "evacuation",
                "source_compute": "cmp-1",
                "dest_compute": None,
                "created_at": "2026-11-25T04:00:12.000000",
                "updated_at": None,
            }
        )

    def turn(self, seconds: float) -> list[str]:
        """What one turn asked Nova for, besides its services and one server's own."""
        del self.cloud.asked[:]
        self.host.record = RECORD
        self.host.step(VIEW, RECORD, self.worker._services)
        if self.host.look is not None:
            self.host.tell(self.worker._act([self.host])["cmp-1"])
        self.now += seconds
        return [
            one for one in self.cloud.asked if one in ("GET /os-migrations", "GET /servers/detail")
        ]


def test_a_host_at_rest_is_looked_at_twice_a_minute_and_at_once_when_a_host_appears(
    cloud: Cloud,
) -> None:
    """Seen in an audit: four looks a second for days, and six changes of the CIB a minute."""
    resting = Resting(cloud)
    resting.now += REST_LOOK
    resting.turn(2)
    resting.turn(2)
    del resting.wrote[:]
    looks = [bool(resting.turn(2)) for _ in range(60)]
    assert 2 <= sum(looks) <= 2 * 60 * 2 / REST_LOOK and not resting.wrote
    cloud.service("cmp-2").update(status="disabled")
    assert resting.turn(2), "what may take servers has changed"
    assert not all(resting.turn(2) for _ in range(3))
    cloud.service("cmp-2").update(status="enabled")
    assert resting.turn(2)


def test_a_look_reads_the_history_down_to_the_beginning_of_the_incident(cloud: Cloud) -> None:
    resting = Resting(cloud)
    cloud.migrations[:] = cloud.migrations[-1:]
    for number in range(1, 41):
        resting.row(number, f"old-{number}", "completed")
    long_ago = [
        {**cloud.migrations[-1], "id": -number, "uuid": f"o-{number}"} for number in range(1, MANY)
    ]
    cloud.migrations += long_ago
    resting.now += REST_LOOK
    assert resting.turn(2).count("GET /os-migrations") == 1


def test_locked_servers_of_the_cloud_are_not_listed(cloud: Cloud) -> None:
    """Enterprises lock thousands. What has left this host is asked for by its id."""
    for number in range(MANY // 10):
        cloud.boot(f"l{number}", "locked", host="cmp-3", locked=True, locked_reason="mine")
    asked: list[str] = []
    answer = cloud.answer

    def noted(method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        asked.append(path)
        return answer(method, path, body, request)

    cloud.answer = noted  # type: ignore[method-assign]
    resting = Resting(cloud)
    for _ in range(3):
        resting.now += REST_LOOK
        resting.turn(2)
    lists = [path for path in asked if path.startswith("/servers/detail")]
    assert lists and all(parse_qs(urlsplit(path).query).get("host") == ["cmp-1"] for path in lists)
    assert not [path for path in asked if path.startswith("/servers/l")]


def test_progress_in_crm_mon_is_written_every_few_seconds_only(cloud: Cloud) -> None:
    """Each change of the CIB has Pacemaker compute anew what is to be done, and holds the next
    fencing up in a big cluster."""
    resting = Resting(cloud)
    del resting.wrote[:]
    for number in range(60):
        resting.worker.context.show("cmp-1", f"evacuating, {number}/60 done")
        resting.now += 0.1
    assert len(resting.wrote) <= 1 + 6.0 / SHOW_PAUSE
    resting.worker.context.show("cmp-1", "evacuated; waiting for its return")
    resting.worker.context.show("cmp-1", "returning")
    assert len(resting.wrote) <= 3 + 6.0 / SHOW_PAUSE, "what is no progress is told at once"
