"""One dead host's evacuation on a Nova over HTTP: what is sent, and what is not, whatever lists leave out and users write."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from instance_ha.engine import decide, evacuation
from instance_ha.engine.evacuation import Evacuation
from instance_ha.engine.scene import Task, Terms
from instance_ha.engine.selection import Policy
from instance_ha.model import mark_of_request

from tests.unit.little_nova import LEFT_A_GUEST, LittleNova

TASK, HOST, STATE = "OS-EXT-STS:task_state", "OS-EXT-SRV-ATTR:host", "OS-EXT-STS:vm_state"


class Cloud(LittleNova):
    """`short` are the paths that are answered with an empty list, as by a cell that fails a query; `broken` those answered with 503."""

    def __init__(self) -> None:
        super().__init__()
        self.short: set[str] = set()
        self.broken: set[str] = set()
        self.named: list[Any] = []     # what each request to evacuate said

    def answer(self, method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        url = urlsplit(path).path
        if any(word in url for word in self.broken):
            return 503, {"error": {"message": "Service Unavailable", "code": 503}}
        if body and "evacuate" in body:
            self.named.append((url.split("/")[2], body["evacuate"].get("host")))
        code, found = super().answer(method, path, body, request)
        return (code, {key: [] for key in found}) if url in self.short else (code, found)


class Turns:
    """A worker's view of cmp-1, turn by turn; `now` is its clock."""

    def __init__(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cloud, self.now, self.broken = cloud, 1000.0, frozenset[str]()
        cloud.service("cmp-1").update(state="down", forced_down=True)
        monkeypatch.setattr(evacuation, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=None))
        self.engine = self.worker()

    def worker(self) -> Evacuation:
        return Evacuation(self.cloud.nova, Task("cmp-1", "3f9c", "ctl-1.1.1"), Policy())

    def turn(self, seconds: float = 1.0, dead: frozenset[str] = frozenset(("cmp-1",))) -> dict[str, decide.Verdict]:
        look = self.engine.look(self.cloud.nova.services(), Terms(0, dead=dead, broken=self.broken))
        for verdict in [*look.waiting, *look.chores]:
            self.engine.act(verdict, look, lambda: True)
        self.now += seconds
        return {verdict.server.id: verdict for verdict in look.verdicts}


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    one = Cloud()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def turns(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Turns:
    return Turns(cloud, monkeypatch)


@pytest.mark.parametrize("again", [False, True], ids=["the same worker", "a new worker"])
def test_a_list_that_leaves_rows_out_leads_to_no_second_request(cloud: Cloud, turns: Turns, again: bool) -> None:
    """Seen in an audit: one query of a cell failed, Nova answered 200 without its rows, and each server was sent once more."""
    for number in range(3):
        cloud.boot(f"s{number}", f"web-{number}")
    turns.turn()
    for number in range(3):
        cloud.move(f"s{number}", "pre-migrating", "cmp-2")
    if again:
        turns.engine = turns.worker()
    cloud.short = {"/os-migrations"}
    for _ in range(5):
        assert {one.action for one in turns.turn(40).values()} == {decide.WAIT}
    assert len(cloud.named) == 3


def test_an_own_record_that_cannot_be_read_leads_to_no_request(cloud: Cloud, turns: Turns) -> None:
    cloud.boot("s1", "web")
    cloud.broken = {"os-instance-actions"}
    for _ in range(3):
        turns.turn()
    assert not cloud.named
    assert turns.turn()["s1"].reason == "chosen, and not sent: what was asked of it cannot be read", "it is told, and takes no place of others'"
    cloud.broken = set()
    turns.turn(10)
    turns.turn()
    assert len(cloud.named) == 1


def test_forged_claims_neither_stop_nor_hold_up_an_evacuation(cloud: Cloud, turns: Turns) -> None:
    """Servers that never were on a host, locked by their owner with our words, first in every order."""
    for number in range(6):
        cloud.boot(f"f{number}", f"forged-{number}", host=None if number % 2 else "cmp-3", metadata={"restart_priority": "999999999"},
                   **{STATE: "error"})
        cloud.claim(f"f{number}", user="mallory", project="p")
    cloud.boot("s1", "victim")
    turns.turn()
    assert [uid for uid, _ in cloud.named] == ["s1"]
    cloud.move("s1", "done", "cmp-2")
    seen = [turns.turn() for _ in range(3)]
    assert {uid for turn in seen for uid in turn} == {"s1"} and not cloud.servers["s1"]["locked"] and turns.engine.done.keys() == {"s1"}
    assert not any(action["action"] == "unlock" for number in range(6) for action in cloud.actions[f"f{number}"])


@pytest.mark.parametrize("was", ["elsewhere", "halted"])
def test_a_forged_claim_on_the_dead_host_is_its_owners_lock(cloud: Cloud, turns: Turns, was: str) -> None:
    cloud.boot("s1", "mine")
    cloud.claim("s1", was, user="mallory", project="p")
    turns.turn()
    cloud.move("s1", "done", "cmp-2")
    for _ in range(3):
        turns.turn()
    assert len(cloud.named) == 1 and cloud.servers["s1"]["locked"]
    assert not {"os-stop", "unlock"} & {action["action"] for action in cloud.actions["s1"]}


def test_a_destination_that_fails_is_not_asked_again_while_another_is_left(cloud: Cloud, turns: Turns) -> None:
    for number in range(4):
        cloud.boot(f"s{number}", f"web-{number}")
    turns.turn()
    for number in range(4):
        cloud.move(f"s{number}", "failed", "cmp-2")
    for _ in range(3):
        turns.turn(10)
    again = cloud.named[4:]
    assert len(again) == 4 and {host for _, host in again} == {"cmp-3"}
    assert turns.engine.records.failing(turns.now) == {"cmp-2"}
    assert not turns.engine.records.failing(turns.now + 600)


def test_a_guest_that_a_try_may_have_left_is_looked_for_on_its_host_alone(cloud: Cloud, turns: Turns) -> None:
    """Also by a worker that knows nothing of the try, and after one that the scheduler refused."""
    cloud.boot("s1", "web")
    turns.turn()
    cloud.move("s1", "failed", "cmp-2", **LEFT_A_GUEST)
    turns.engine = turns.worker()
    for _ in range(3):
        turns.turn(10)
    assert cloud.named[1:] == [("s1", "cmp-2")]
    cloud.move("s1", "error", "cmp-2")
    for _ in range(4):
        turns.turn(100)
    assert {host for _, host in cloud.named[1:]} == {"cmp-2"}


def test_what_a_person_marks_down_is_not_off(cloud: Cloud, turns: Turns) -> None:
    """`openstack compute service set --down` on the destination, in the middle."""
    cloud.boot("s1", "web")
    turns.turn()
    cloud.move("s1", "pre-migrating", "cmp-2")
    cloud.service("cmp-2").update(forced_down=True, state="down")
    for _ in range(20):
        turns.turn(60)
    assert len(cloud.named) == 1


def test_one_image_that_glance_cannot_tell_holds_up_one_server(cloud: Cloud, turns: Turns) -> None:
    cloud.boot("s1", "web")
    cloud.boot("s2", "unknown", image={"id": "i1"})
    cloud.broken = {"/v2/images"}
    assert turns.turn()["s2"].action == decide.WAIT
    assert [uid for uid, _ in cloud.named] == ["s1"]


def test_a_claim_says_nothing_of_hosts_and_controllers(cloud: Cloud, turns: Turns) -> None:
    cloud.boot("s1", "web")
    turns.turn()
    reason = json.dumps(cloud.servers["s1"]["locked_reason"])
    assert "instance-ha: evacuating; was=active" in reason and "cmp-1" not in reason and "ctl-1" not in reason


def test_rows_of_earlier_incidents_hold_nothing_up(cloud: Cloud, turns: Turns) -> None:
    """Where a list that was read for the baseline left everything out."""
    cloud.boot("s1", "web")
    cloud.ask("s1", "done", "cmp-2")
    cloud.migrations[-1]["status"] = "completed"
    cloud.note("s1", "live-migration", "root", "admin")     # it was brought back
    turns.turn()
    assert [uid for uid, _ in cloud.named] == ["s1"]
    cloud.boot("s2", "not moved yet")
    cloud.ask("s2", "done", "cmp-2")
    for _ in range(3):
        assert turns.turn()["s2"].action == decide.WAIT
    assert len(cloud.named) == 1


def begun(cloud: Cloud, uid: str, destination: str) -> None:
    """Its destination has begun, and claims no room yet: a list shows the row as the API made it (seen, Nova 34)."""
    cloud.move(uid, "pre-migrating", destination)
    [row] = [m for m in cloud.migrations if m["instance_uuid"] == uid]
    row.update(status="accepted", dest_compute=None)


def test_what_died_with_its_destination_is_seen_before_that_is_back(cloud: Cloud, turns: Turns) -> None:
    """Seen on Debian 13: the destination was back within 20 s, the request was then taken for one that it is at, and waited for ever."""
    cloud.boot("s1", "web")
    turns.turn()
    begun(cloud, "s1", "cmp-2")
    assert turns.turn()["s1"].action == decide.WAIT
    cloud.service("cmp-2").update(state="down", forced_down=True)
    turns.turn(dead=frozenset(("cmp-1", "cmp-2")))
    cloud.service("cmp-2").update(state="up", forced_down=False)
    turns.turn(10)
    turns.turn()
    assert len(cloud.named) == 2
    assert turns.engine.broken == {mark_of_request(cloud.actions["s1"][1]["request_id"])}


def test_a_later_worker_knows_it_from_the_record(cloud: Cloud, turns: Turns) -> None:
    cloud.boot("s1", "web")
    turns.turn()
    begun(cloud, "s1", "cmp-2")
    turns.engine = turns.worker()
    assert turns.turn(40)["s1"].action == decide.WAIT and turns.turn(40)["s1"].action == decide.WAIT
    turns.engine = turns.worker()
    mark = mark_of_request(next(one["request_id"] for one in cloud.actions["s1"] if one["action"] == "evacuate"))
    turns.broken = frozenset((mark,))
    for _ in range(4):
        turns.turn(20)
    assert len(cloud.named) == 2


def test_what_its_destination_is_at_for_long_is_told_and_not_sent_again(cloud: Cloud, turns: Turns) -> None:
    cloud.boot("s1", "web")
    turns.turn()
    begun(cloud, "s1", "cmp-2")
    turns.turn(400)
    verdict = turns.turn(400)["s1"]
    verdict = turns.turn()["s1"]
    assert verdict.action == decide.WAIT and verdict.slow and "have cmp-2 fenced" in verdict.reason and len(cloud.named) == 1


@pytest.mark.parametrize("slow", ["/servers/s1", "os-instance-actions", "/servers/s1/action"])
def test_an_api_that_takes_its_time_is_slow_and_starves_nobody(cloud: Cloud, turns: Turns, monkeypatch: pytest.MonkeyPatch, slow: str) -> None:
    """Seen in an audit: with 6 s for each look at one server nothing was ever sent, and nothing was said."""
    cloud.boot("s1", "web")
    answer = cloud.answer

    def late(method: str, path: str, *more: Any) -> Any:
        if path.endswith(slow):
            turns.now += 6.0
        return answer(method, path, *more)

    monkeypatch.setattr(cloud, "answer", late)
    for _ in range(12):
        turns.turn(5)
    assert len(cloud.named) == 1


def test_whose_a_claim_is_has_to_be_known_before_a_server_counts_as_back(cloud: Cloud, turns: Turns) -> None:
    """A new worker could not read the record of a server for a moment: what was shut off before ran on, locked for ever."""
    cloud.boot("s1", "web", **{STATE: "stopped"})
    turns.turn()
    cloud.move("s1", "failed", "cmp-2")
    for _ in range(2):
        turns.turn(30)
    cloud.move("s1", "done", "cmp-3")          # from the second try on it comes back running
    turns.engine, cloud.broken = turns.worker(), {"os-instance-actions"}
    assert turns.turn()["s1"].action == decide.WAIT and not turns.engine.done
    cloud.broken = set()
    assert turns.turn()["s1"].action == decide.STOP
    cloud.servers["s1"][STATE] = "stopped"
    turns.turn(10)
    assert not cloud.servers["s1"]["locked"]


@pytest.mark.parametrize("was", ["stopped", "halted", "paused", "elsewhere"])
def test_what_a_server_is_to_be_outlives_the_death_of_its_new_host(
    cloud: Cloud, turns: Turns, was: str
) -> None:
    """Seen in an audit: the claim of the first incident did not count in the second."""
    cloud.boot("s1", "web", host="cmp-2")
    cloud.claim("s1", was, "aaaa")              # it has arrived from cmp-1, and cmp-2 dies too
    cloud.service("cmp-2").update(state="down", forced_down=True)
    turns.engine = Evacuation(cloud.nova, Task("cmp-2", "bbbb", "ctl-1.1.1"), Policy())
    dead = frozenset(("cmp-1", "cmp-2"))
    seen = [turns.turn(40, dead)["s1"] for _ in range(4)]
    assert {one.was for one in seen} == {was}
    if was == "elsewhere":
        assert not cloud.named and seen[-1].person
    else:
        assert f"was={was} id=bbbb" in cloud.servers["s1"]["locked_reason"]
        assert [uid for uid, _ in cloud.named] == ["s1"]


def test_the_beginning_of_an_incident_is_not_taken_from_one_list(
    cloud: Cloud, turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen in an audit: one empty list wrote baseline=0 into the record for good."""
    cloud.boot("s1", "web")
    cloud.ask("s1", "done", "cmp-2")
    answer, lists = cloud.answer, iter((True, False))

    def short(method: str, path: str, *more: Any) -> Any:
        code, found = answer(method, path, *more)
        evacuations = "os-migrations" in path and "type=evacuation" in path
        return (code, {"migrations": []}) if evacuations and next(lists) else (code, found)

    monkeypatch.setattr(cloud, "answer", short)
    assert turns.engine.prepare().baseline == 1
