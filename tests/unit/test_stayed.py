"""One return of a host on which servers stayed: what is done about each, once, and in small shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from instance_ha.cluster import Cluster
from instance_ha.engine import stayed
from instance_ha.engine.host import Host
from instance_ha.engine.scene import Memory
from instance_ha.engine.selection import Policy
from instance_ha.engine.stayed import Stayed
from instance_ha.engine.worker import Worker
from instance_ha.errors import CloudUnreachable
from instance_ha.model import RETURNING, Claim, Record

from tests.unit.little_nova import LittleNova
from tests.unit.test_homecoming import SHUT_OFF

RECORD = Record("cmp-1", RETURNING, "3f9c", baseline=0, host="cmp-1")


class Cloud(LittleNova):
    """One in which no guest runs."""

    def answer(self, method: str, path: str, body: object, request: str) -> tuple[int, object]:
        if path.endswith("/diagnostics"):
            self.asked.append(f"{method} {path}")
            return 409, SHUT_OFF
        return super().answer(method, path, body, request)


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    one = Cloud()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def home(cloud: Cloud) -> Stayed:
    return Stayed(Worker(Cluster(), cloud.nova, Policy(), "me"), "cmp-1")


def acted(cloud: Cloud, uid: str) -> list[str]:
    return [row["action"] for row in cloud.actions.get(uid, [])]


def row(cloud: Cloud, uid: str, status: str) -> None:
    cloud.migrations.append({"id": len(cloud.migrations) + 1, "instance_uuid": uid, "status": status, "migration_type": "evacuation",
                             "source_compute": "cmp-1", "dest_compute": "cmp-3", "created_at": "2026-11-26T20:00:00.000000", "updated_at": None})


def claimed(was: str = "active") -> dict[str, object]:
    return {"locked": True, "locked_reason": Claim("cmp-1", was, "3f9c", "me").text()}


def test_each_is_started_once_and_what_a_user_shuts_down_later_stays_so(cloud: Cloud, home: Stayed) -> None:
    cloud.boot("s1", "web")
    cloud.boot("s2", "doubtful", **claimed())
    row(cloud, "s2", "completed")
    assert "1 servers that stayed may run elsewhere" in home.give_back(RECORD, "cmp-1")
    cloud.boot("new", "new")
    for _ in range(3):
        home.give_back(RECORD, "cmp-1")
    assert acted(cloud, "s1") == ["reboot"] and acted(cloud, "new") == []


def test_many_are_seen_to_in_shares(cloud: Cloud, home: Stayed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that lasts as long as they all need keeps the other hosts waiting, and the worker from its heartbeat."""
    now = iter(range(1000))
    beats: list[int] = []
    monkeypatch.setattr(home.worker, "clock", lambda: float(next(now)))
    monkeypatch.setattr(home.worker, "alive", lambda: beats.append(1))
    for number in range(10):
        cloud.boot(f"s{number}", "web", **(claimed() if number < 5 else {}))
    monkeypatch.setattr(stayed, "SHARE", 4)
    told = []
    while True:
        told.append(home.give_back(RECORD, "cmp-1"))
        if not told[-1]:
            break
        assert home.cut and len(told) < 10
    assert len(told) > 2 and len(beats) >= 10
    assert all(acted(cloud, f"s{n}").count("reboot") == 1 for n in range(10))
    assert not any(server["locked"] for server in cloud.servers.values())


def test_doubt_outlives_another_death_of_the_host(cloud: Cloud, home: Stayed) -> None:
    """A record that is written anew knows nothing of evacuations before it, and so the claim says it."""
    cloud.boot("s1", "web", **claimed())
    row(cloud, "s1", "completed")
    home.give_back(RECORD, "cmp-1")
    assert "was=elsewhere" in cloud.servers["s1"]["locked_reason"]
    later = Record("cmp-1", RETURNING, "77aa", baseline=5, host="cmp-1")
    again = Stayed(home.worker, "cmp-1")
    for _ in range(2):
        assert "1 servers that stayed may run elsewhere" in again.give_back(later, "cmp-1")
    assert acted(cloud, "s1") == ["unlock", "lock"] and cloud.servers["s1"]["locked"]
    cloud.servers["s1"].update(locked=False, locked_reason=None)
    assert again.give_back(later, "cmp-1") == "" and acted(cloud, "s1") == ["unlock", "lock"]


def test_a_new_claim_whose_answer_was_lost_is_made_again(cloud: Cloud, home: Stayed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the old and the new one the server is not locked: that is no person's word."""
    cloud.boot("s1", "web", **claimed())
    row(cloud, "s1", "completed")
    act, lost = cloud._act, []

    def lose(uid: str, body: dict[str, object], request: str) -> tuple[int, object]:
        if "lock" in body and not lost:
            lost.append(uid)
            return 503, {"error": {"message": "Service Unavailable", "code": 503}}
        return act(uid, body, request)

    monkeypatch.setattr(cloud, "_act", lose)
    with pytest.raises(CloudUnreachable):
        home.give_back(RECORD, "cmp-1")
    assert not cloud.servers["s1"]["locked"]
    assert "may run elsewhere" in home.give_back(RECORD, "cmp-1") and cloud.servers["s1"]["locked"]


def test_a_fault_from_before_the_request_says_nothing_of_it(cloud: Cloud, home: Stayed) -> None:
    cloud.boot("s1", "web", **claimed(), **{"OS-EXT-STS:vm_state": "error", "fault": {"message": "No valid host", "created": "then"}})
    row(cloud, "s1", "failed")
    host = home.worker.hosts["cmp-1"] = Host(home.worker, RECORD)
    host._engine("cmp-1").memory["s1"] = Memory(fault_at="then")
    assert "1 servers that stayed may run elsewhere" in home.give_back(RECORD, "cmp-1")
    cloud.boot("s1", "web", **claimed(), **{"OS-EXT-STS:vm_state": "error", "fault": {"message": "No valid host", "created": "later"}})
    assert home.give_back(RECORD, "cmp-1") == "" and "reboot" in acted(cloud, "s1")
