"""What an adversarial reader has found of waits: each has a limit, is told, and holds up nobody else's server."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from instance_ha import cluster as door
from instance_ha import credentials, fence, params
from instance_ha.cli import plan
from instance_ha.engine import decide, evacuation
from instance_ha.engine.attempts import Stage
from instance_ha.engine.decide import EVACUATE, LEFT, WAIT
from instance_ha.engine.evacuation import Evacuation
from instance_ha.engine.homecoming import Homecoming
from instance_ha.engine.host import Host
from instance_ha.engine.looked import Look
from instance_ha.engine.scene import Task, Terms
from instance_ha.engine.selection import Policy
from instance_ha.model import EVACUATED, PARTLY, RETURNING, ClusterNode, Record
from instance_ha.reporting import server_status

from tests.unit import test_down_cell as cell
from tests.unit.fake import ROW, Fake
from tests.unit.ill_cloud import IllCloud, values
from tests.unit.little_nova import LittleNova
from tests.unit.test_adversary import DAY, never
from tests.unit.test_decide import LIMIT, Turns, attempt, row, scene
from tests.unit.test_evacuation import HOST, Cloud
from tests.unit.test_fence_ill import agent
from tests.unit.test_missed import OFFLINE, cib
from tests.unit.test_model import server
from tests.unit.test_protect_hosts import Writes
from tests.unit.test_several_hosts import worker_with
from tests.unit.test_survey import HOSTS, NOVA_GROUPS, World, demand

SERVICE = {"binary": "nova-compute", "status": "enabled", "state": "up", "forced_down": False, "disabled_reason": None,
           "updated_at": "2026-11-25T04:00:01.000000", "zone": "nova"}
ODD: Any = (500, {"computeFault": {"code": 500, "message": "Unexpected API Error."}})


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    one = Cloud()
    one.service("cmp-1").update(status="disabled", state="down", forced_down=True,
                                disabled_reason="instance-ha: fenced at 2026-11-25T04:00:01Z (3f9c)")
    yield one
    one.server.shutdown()
    one.server.server_close()


class Watched:
    """A worker at cmp-1, turn by turn; `now` is its clock."""

    def __init__(self, cloud: LittleNova, monkeypatch: pytest.MonkeyPatch, policy: Policy | None = None) -> None:
        self.now, self.cloud = 1000.0, cloud
        monkeypatch.setattr(evacuation, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.worker = worker_with(cloud)
        self.worker.reconfigure(cloud.nova, policy or Policy(), "")
        self.context = self.worker.context
        self.context.clock = lambda: self.now
        self.context.view, self.worker.parameters = cell.VIEW, {}
        monkeypatch.setattr(type(self.context.cluster), "view", lambda _: cell.VIEW)
        self.record = cell.RECORD
        self.host = self.worker.hosts["cmp-1"] = Host(self.context, self.record)

    def turn(self, seconds: float = 1.0) -> dict[str, decide.Verdict]:
        host = self.host
        host.record = self.record
        self.worker._guarded(self.record, lambda: host.step(cell.VIEW, self.record, self.worker._services))
        found = {}
        if host.look is not None:
            host.tell(self.worker._act([host])["cmp-1"])
            found = {verdict.server.id: verdict for verdict in host.look.verdicts}
        self.record = host.record
        self.now += seconds
        return found


@pytest.fixture
def watched(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(cloud, monkeypatch)


# A server that Nova does not show, or shows only in part

@pytest.mark.parametrize("lacking", [{"vm_state": None}, {"locked": None}, {"host": None, "vm_state": "error"}],
                         ids=["no state", "no lock", "no host"])
def test_what_nova_shows_in_part_only_is_told_after_a_time_and_takes_no_place(lacking: dict[str, Any]) -> None:
    one = server(**lacking)
    found = never(one)
    assert found[0].action == WAIT and not found[0].slow
    assert Look(scene(one), (), found[:1]).in_window == 0
    assert found[-1].action == LEFT and found[-1].person and decide.host_over(found[-1:]), found[-1]
    assert EVACUATE not in {verdict.action for verdict in found}


def test_what_nova_shows_again_waits_as_long_when_it_is_hidden_once_more() -> None:
    turn, shown, hidden = Turns(), server(task_state="deleting"), server(vm_state=None)
    for day in range(3):
        assert turn(hidden, now=1000.0 + DAY * day).action == WAIT
        turn(shown, now=2000.0 + DAY * day)


def test_of_a_host_that_is_returning_such_a_server_never_ends_it_in_silence() -> None:
    found = never(server(host="cmp-2", vm_state=None), rows=(row(1, "done", "cmp-2"),), starts=False)[-1]
    assert found.action == WAIT and found.slow, found


def test_one_server_that_nova_never_shows_is_told_and_its_host_goes_on(watched: Watched, cloud: Cloud,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row in Nova's database is odd: 500 each time. Another one has arrived."""
    for uid in ("s1", "s2"):
        cloud.boot(uid, uid)
        cloud.ask(uid, "done", "cmp-3")
        cloud.servers[uid][HOST] = "cmp-3"
    answer = cloud.answer
    monkeypatch.setattr(cloud, "answer", lambda method, path, *more: ODD if path == "/servers/s1" else answer(method, path, *more))
    for _ in range(8):
        watched.turn()
    assert watched.record.state != PARTLY
    watched.now += 400.0
    for _ in range(8):
        watched.turn()
    assert watched.record.state == PARTLY and watched.record.left == 1
    assert "s1" in watched.context.health.problems["left cmp-1"], watched.context.health.problems


def test_one_server_that_nova_hangs_on_delays_no_turn_but_the_first(watched: Watched, cloud: Cloud, monkeypatch: pytest.MonkeyPatch,
                                                                    caplog: pytest.LogCaptureFixture) -> None:
    cloud.boot("s1", "s1", host="cmp-3")
    cloud.ask("s1", "done", "cmp-3")
    answer = cloud.answer

    def hangs(method: str, path: str, *more: Any) -> tuple[int, Any]:
        if path != "/servers/s1":
            return answer(method, path, *more)
        watched.now += 10.0                      # api_timeout; a gateway says so
        cloud.asked.append("hung")
        return 504, None

    monkeypatch.setattr(cloud, "answer", hangs)
    watched.turn()
    first = cloud.asked.count("hung")
    for _ in range(10):
        watched.turn()
    assert cloud.asked.count("hung") == first > 0
    assert caplog.text.count("Nova does not show it") == 1
    watched.now += 31.0
    watched.turn()
    assert cloud.asked.count("hung") > first


# A worker that takes over

def test_after_a_takeover_the_first_request_waits_for_no_list_of_the_whole_cloud(watched: Watched, cloud: Cloud,
                                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """300 servers have left, and somebody locks thousands; one still waits. All that have left are looked at before the host is over."""
    cloud.boot("a0", "a0")
    for number in range(300):
        cloud.boot(f"s{number}", f"s{number}")
        cloud.ask(f"s{number}", "done", "cmp-3")
        cloud.servers[f"s{number}"][HOST] = "cmp-3"
    cloud.claim("s299")
    answer, lists = cloud.answer, []

    def noted(method: str, path: str, *more: Any) -> tuple[int, Any]:
        lists.append(path)
        return answer(method, path, *more)

    monkeypatch.setattr(cloud, "answer", noted)
    watched.turn()
    shown = [line for line in cloud.asked if line.startswith("GET /servers/s")]
    assert "POST /servers/a0/action" in cloud.asked
    assert not [path for path in lists if "locked=" in path] and len(shown) <= 60
    cloud.move("a0", "done", "cmp-3")
    for _ in range(20):
        assert watched.record.state == EVACUATED or watched.turn() is not None
    assert watched.record.state == EVACUATED
    assert not cloud.servers["s299"]["locked"] and len(watched.host.engine.done) == 301  # type: ignore[union-attr]


# fence_nova

@pytest.mark.parametrize("each", [0.02, 0.1, 0.45], ids=["a quick CIB", "a slow CIB", "a CIB that leaves no time"])
def test_off_ends_in_time_where_the_cib_is_slow_and_nova_hangs(monkeypatch: pytest.MonkeyPatch, each: float,
                                                               caplog: pytest.LogCaptureFixture) -> None:
    """At a thousand hosts the CIB takes seconds, and `off` reads or writes it six times. Past 60 s Pacemaker calls it failed, each time.
    Here 50 s are 2, and each tool takes so many seconds."""
    def slow(argv: list[str], timeout: float) -> Any:
        time.sleep(each)
        return tools(argv, timeout)

    tools = Writes(cib(OFFLINE))
    monkeypatch.setattr(door, "run", slow)
    monkeypatch.setattr(fence, "WHOLE", 2.0)
    monkeypatch.setattr(fence, "RECORDS", 0.0)
    monkeypatch.setattr(fence, "KILL_GRACE", 0.2)
    monkeypatch.setattr(credentials, "connect", lambda values: time.sleep(9))
    began = time.monotonic()
    assert agent(nova_timeout="1.5").off() == 0
    assert time.monotonic() - began < max(2.2, 8 * each)
    assert any("fenced;id=" in change for change in tools.changes)
    assert ("Pacemaker took" if each > 0.4 else "Nova took longer") in caplog.text


# instance-ha plan

ON_CMP_1 = "/servers/detail?all_tenants=1&host=cmp-1&limit=500"
SMALL = {"vcpus": 1, "ram": 40, "disk": 0}
GROUPED = {"id": "g", "name": "pair", "policy": "anti-affinity", "members": ["a", "far"], "rules": {}}


@pytest.fixture
def planned(fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], tuple[int, dict[str, Any]]]:
    """A cloud in which `a` and `b` are on cmp-1 and there is room; then `plan cmp-1`: its exit code, and its rows by server."""
    world = World(fake)
    fake.says_always("/os-services", {"services": [{**SERVICE, "host": host, "id": host} for host in HOSTS]})
    fake.says_always("/os-aggregates", {"aggregates": []})
    fake.says_always(ON_CMP_1, {"servers": [{**ROW, "id": uid, "name": uid, "flavor": SMALL} for uid in "ab"]})
    for uid in "ab":
        world.has(uid)
    world.room(demand(40), cmp_2=90, cmp_3=90)
    monkeypatch.setattr(plan, "connect", lambda args: (fake.nova, params.resolve(params.of(params.OCF), {"cloud": "x"})))

    def run() -> tuple[int, dict[str, Any]]:
        code = plan.run(argparse.Namespace(hosts=["cmp-1"], any=None, format="json"))
        return code, {row["Server"]: row for row in json.loads(capsys.readouterr().out)}

    return run


def test_plan_goes_on_where_placement_does_not_tell_of_one_server(planned: Any, fake: Fake) -> None:
    assert planned()[0] == 0
    fake.says_always("/allocations/a", {"errors": []}, 500)
    _, rows = planned()
    assert (rows["a"]["Fits"], rows["b"]["Fits"]) == ("likely", "sure") and "its flavor was counted" in rows["a"]["Why"], rows


def test_plan_goes_on_where_nova_does_not_show_a_member_of_a_group(planned: Any, fake: Fake) -> None:
    fake.says_always(NOVA_GROUPS, {"server_groups": [GROUPED]})
    fake.says_always("/servers/far", ODD[1], 500)
    _, rows = planned()
    assert (rows["a"]["Fits"], rows["b"]["Fits"]) == ("likely", "sure") and "a member of its group" in rows["a"]["Why"], rows


def test_plan_goes_on_where_glance_does_not_tell_of_an_image(planned: Any, fake: Fake) -> None:
    fake.says_always(ON_CMP_1,
                     {"servers": [{**ROW, "id": uid, "name": uid, "image": {"id": "i1"} if uid == "a" else ""} for uid in "ab"]})
    fake.says_always("/v2/images/i1", {}, 500)
    code, rows = planned()
    assert code == 1 and rows["a"]["Protected"] == "unknown" and "Glance" in rows["a"]["Rule"], rows
    assert (rows["a"]["Fits"], rows["b"]["Fits"]) == ("likely", "sure"), rows


def test_plan_knows_no_answer_at_all_from_a_few(planned: Any, fake: Fake) -> None:
    many = [f"m{number}" for number in range(20)]
    fake.says_always(ON_CMP_1, {"servers": [{**ROW, "id": uid, "name": uid} for uid in many]})
    for uid in many:
        fake.says_always(f"/allocations/{uid}", {"errors": []}, 500)
    code, rows = planned()
    assert code == 1 and {row["Fits"] for row in rows.values()} == {"unknown"}


def test_status_goes_on_where_nova_does_not_show_one_server(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has left for a host on which no list shows it."""
    for uid in ("s1", "s2"):
        cloud.boot(uid, uid)
        cloud.ask(uid, "done", "cmp-3")
        cloud.servers[uid][HOST] = "cmp-3" if uid == "s2" else "cmp-2"
    answer = cloud.answer
    monkeypatch.setattr(cloud, "answer", lambda method, path, *more: ODD if path == "/servers/s1" else answer(method, path, *more))
    found = {one.id: one for one in server_status.look(cloud.nova, cell.RECORD, "cmp-1", None, time.time())}
    assert found["s2"].state == "arrived"
    assert found["s1"].state == "left" and "Nova does not show it" in found["s1"].reason, found


# A request that may be sent now only

def test_a_token_that_is_renewed_too_slowly_lets_no_request_go_out_late(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nova takes the token no more, and Keystone is slow. What is sent after SEND_DEADLINE another worker does not wait for."""
    ill, tokens, times = IllCloud(), list[float](), list[float]()
    answer = cloud.answer

    def slow(token: Any) -> Any:
        tokens.append(time.monotonic())
        time.sleep(0.8 if len(tokens) > 1 else 0.0)
        return token

    def refuses(method: str, path: str, body: Any, *more: Any) -> tuple[int, Any]:
        if body and "evacuate" in body:
            times.append(time.monotonic())
            if len(times) == 1:
                return 401, {"error": {"code": 401, "message": "The request you have made requires authentication."}}
        return answer(method, path, body, *more)

    monkeypatch.setattr(cloud, "answer", refuses)
    monkeypatch.setattr(evacuation, "SEND_DEADLINE", 0.5)
    cloud.boot("s1", "s1")
    nova = credentials.connect(values(auth_url=ill.keystone(f"http://127.0.0.1:{cloud.server.server_port}", slow)))
    engine, permits = Evacuation(nova, Task("cmp-1", "3f9c", "me"), Policy()), list[float]()

    def permit() -> bool:
        permits.append(time.monotonic())
        return True

    for _ in range(2):
        look = engine.look(nova.services(), Terms(0, dead=frozenset(("cmp-1",))))
        for verdict in look.waiting:
            engine.act(verdict, look, permit)
    ill.close()
    assert len(tokens) == 2 and len(times) == 2, (tokens, times)
    assert times[0] - permits[0] < 0.5 and times[1] - permits[-1] < 0.5, "the second one was permitted anew"


# Servers that wait for a person

def paused(cloud: Cloud, watched: Watched, count: int) -> None:
    """More hosts are down than max_failures."""
    for number in range(count):
        cloud.boot(f"s{number:03}", f"s{number:03}")
    watched.context.held = lambda node: "2 hosts of the aggregate rack are down, more than its max_failures=1; instance-ha release"


def test_one_that_nova_never_locks_is_told_and_keeps_no_other_from_its_claim(watched: Watched, cloud: Cloud,
                                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    paused(cloud, watched, 3)
    answer = cloud.answer
    monkeypatch.setattr(cloud, "answer", lambda method, path, *more: ODD if path == "/servers/s000/action" else answer(method, path, *more))
    for _ in range(6):
        watched.turn()
    assert watched.record.state == PARTLY and [uid for uid, one in cloud.servers.items() if one["locked"]] == ["s001", "s002"]
    assert "unlocked cmp-1" not in watched.context.health.problems
    for _ in range(40):
        watched.turn(31.0)
    assert "s000: POST" in watched.context.health.problems["unlocked cmp-1"] and watched.record.state == PARTLY
    monkeypatch.setattr(cloud, "answer", answer)
    for _ in range(4):
        watched.turn(31.0)
    assert cloud.servers["s000"]["locked"] and "unlocked cmp-1" not in watched.context.health.problems


def test_claims_that_take_long_are_shared_among_turns(watched: Watched, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each lock takes a second: a hundred of them would hold up the evacuations of all other hosts."""
    paused(cloud, watched, 40)
    answer = cloud.answer

    def slow(method: str, path: str, *more: Any) -> tuple[int, Any]:
        watched.now += 1.0 if method == "POST" else 0.0
        return answer(method, path, *more)

    monkeypatch.setattr(cloud, "answer", slow)
    longest = 0.0
    for _ in range(20):
        before = watched.now
        watched.turn(0.0)
        longest = max(longest, watched.now - before)
    assert longest <= 12.0 and watched.record.state == PARTLY
    assert all(one["locked"] for one in cloud.servers.values())


# A destination that does not go on, and does not say so

BUILDING = (attempt(1, Stage.BUILDING, "cmp-2"),)


def test_a_rebuild_whose_nova_compute_was_restarted_is_a_persons_in_the_end() -> None:
    """Seen: the restart of the destination writes nothing, and its service is up. The message says what helps."""
    turn, one, rows = Turns(), server(task_state="rebuild_spawning"), (row(1, "pre-migrating"),)
    hour = 12 * LIMIT
    assert not turn(one, rows=rows, attempts=BUILDING, now=1000.0).slow
    slow = turn(one, rows=rows, attempts=BUILDING, now=1001.0 + LIMIT)
    assert slow.action == WAIT and slow.slow and "if it was restarted, have cmp-2 fenced" in slow.reason
    assert turn(one, rows=rows, attempts=BUILDING, now=999.0 + hour).action == WAIT
    late = turn(one, rows=rows, attempts=BUILDING, now=1001.0 + hour)
    assert late.action == LEFT and late.person and "have cmp-2 fenced" in late.reason, late
    assert not decide.host_over([late]), "that nothing is seen of it lets no host in"
    again = turn(one, rows=rows, attempts=BUILDING, now=1002.0 + hour, up="cmp-3", dead="cmp-1 cmp-2")
    assert again.action == EVACUATE, "the cure helps"


@pytest.mark.parametrize("fields", [
    {"rows": (row(1, "failed"),), "attempts": None},                # nova-api fails for the actions of this server
    {"rows": (row(1, "accepted", None),), "attempts": None},
    {"rows": (row(1, "pre-migrating", "gone"),), "attempts": None},       # its destination's service was deleted
])
def test_what_nova_never_tells_of_a_request_is_a_persons_in_the_end(fields: dict[str, Any]) -> None:
    found = never(server(task_state="rebuilding"), **fields)
    assert EVACUATE not in {verdict.action for verdict in found}
    assert found[-1].action == LEFT and found[-1].person and not decide.host_over(found[-1:]), found[-1]


# One server on which Nova fails

def test_a_lock_that_nova_does_not_take_away_is_asked_for_now_and_then_and_narrows_nothing(watched: Watched, cloud: Cloud,
                                                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """It was asked for at each look, several times a second, and each failure halved how many of the others were asked for at once."""
    cloud.boot("s1", "s1")
    cloud.claim("s1")
    cloud.ask("s1", "done", "cmp-3")
    cloud.servers["s1"][HOST] = "cmp-3"
    answer, asked = cloud.answer, []

    def fails(method: str, path: str, body: Any, *more: Any) -> tuple[int, Any]:
        if body and "unlock" in body:
            asked.append(watched.now)
            return ODD
        return answer(method, path, body, *more)

    monkeypatch.setattr(cloud, "answer", fails)
    wide = watched.worker.rounds.window.queue
    for _ in range(80):
        watched.turn(0.25)
    assert 2 <= len(asked) <= 1 + 20 / Policy().retry_pause, asked
    assert watched.worker.rounds.window.queue == wide


def test_one_whose_record_nova_hangs_on_delays_no_turn_but_the_first(watched: Watched, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look of all hosts waited for it as long as api_timeout. The client of this test gives up after 2 s."""
    cloud.boot("s1", "s1", **{"OS-EXT-STS:vm_state": "error"})
    answer = cloud.answer

    def hangs(method: str, path: str, *more: Any) -> tuple[int, Any]:
        if path.endswith("os-instance-actions"):
            cloud.asked.append("hung")
            time.sleep(2.2)
        return answer(method, path, *more)

    monkeypatch.setattr(cloud, "answer", hangs)
    for _ in range(10):
        watched.turn()
    assert cloud.asked.count("hung") == 1
    monkeypatch.setattr(cloud, "answer", answer)
    for _ in range(4):
        watched.turn(31.0)
    assert "POST /servers/s1/action" in cloud.asked


def test_a_record_that_pacemaker_shows_too_slowly_each_time_is_told(watched: Watched, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """At hundreds of hosts the CIB may take longer than SEND_DEADLINE: nothing was ever sent, and only the log said so."""
    cloud.boot("s1", "s1")

    def slow(record: Record) -> bool:
        watched.now += 6.0
        return True

    monkeypatch.setattr(watched.worker, "may_act", slow)
    for _ in range(10):
        watched.turn()
    assert "POST /servers/s1/action" in cloud.asked and not cloud.named
    assert "Pacemaker takes too long" in watched.context.health.problems["left cmp-1"], watched.context.health.problems


def test_a_reserved_host_that_cannot_be_enabled_is_told_and_holds_up_nothing(watched: Watched, cloud: Cloud,
                                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.boot("s1", "s1")
    cloud.service("cmp-3").update(status="disabled", disabled_reason="reserved")
    answer = cloud.answer
    monkeypatch.setattr(cloud, "answer", lambda method, path, *more: ODD if method == "PUT" else answer(method, path, *more))
    for _ in range(4):
        watched.turn()
    assert [uid for uid, _ in cloud.named] == ["s1"]
    assert "cmp-3 is not enabled for cmp-1" in watched.context.health.problems["reserve cmp-1"]
    monkeypatch.setattr(cloud, "answer", answer)
    watched.turn()
    assert "reserve cmp-1" not in watched.context.health.problems and cloud.service("cmp-3")["status"] == "enabled"


def test_a_host_that_nova_goes_on_calling_up_is_told(watched: Watched, cloud: Cloud) -> None:
    """quick_evacuate_level=3: Nova has to notice by itself, and somebody's nova-compute reports under that name."""
    watched.worker.reconfigure(cloud.nova, Policy(quick_evacuate_level=3), "")
    cloud.service("cmp-1").update(state="up", forced_down=False, status="enabled")
    cloud.boot("s1", "s1")
    for _ in range(3):
        watched.turn(100.0)
    assert not watched.context.health.problems
    for _ in range(3):
        watched.turn(100.0)
    assert "waiting until Nova says it is down, for 8 minutes" in watched.context.health.problems["cmp-1"]
    cloud.service("cmp-1").update(state="down", status="disabled", disabled_reason="instance-ha: fenced at 2026-11-25T04:00:01Z (3f9c)")
    watched.turn()
    assert not watched.context.health.problems and [uid for uid, _ in cloud.named] == ["s1"]


def test_what_the_first_list_after_a_takeover_leaves_out_is_looked_at_when_a_list_shows_it(watched: Watched, cloud: Cloud) -> None:
    """A server that was shut off has come back running, from a later try; only its claim says so, and the first list lacks its rows."""
    cloud.boot("s1", "s1")
    cloud.claim("s1", was="halted")
    cloud.ask("s1", "done", "cmp-3")
    cloud.servers["s1"][HOST] = "cmp-3"
    cloud.short = {"/os-migrations"}
    watched.turn()
    cloud.short = set()
    for _ in range(4):
        watched.turn()
    assert "POST /servers/s1/action" in cloud.asked and watched.record.state != EVACUATED


def test_a_host_that_returns_is_not_over_while_nova_does_not_show_a_server_that_left_it(
        watched: Watched, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new worker, which knows of it by the list of evacuations alone: it may carry our claim, and be not as it is to be."""
    cleared: list[Record] = []
    watched.context.view = replace(cell.VIEW, nodes={"cmp-1": ClusterNode("cmp-1", True, True)})
    monkeypatch.setattr(type(watched.context.cluster), "clear", lambda _, record: cleared.append(record), raising=False)
    monkeypatch.setattr(type(watched.context.cluster), "incidents", lambda _: {}, raising=False)
    cloud.service("cmp-1").update(status="enabled", state="up", forced_down=False, disabled_reason=None)
    cloud.boot("s1", "s1")
    cloud.claim("s1")
    cloud.ask("s1", "done", "cmp-3")
    cloud.servers["s1"][HOST] = "cmp-3"
    answer = cloud.answer
    ill = {"/servers/s1"}
    monkeypatch.setattr(cloud, "answer", lambda method, path, *more: ODD if path in ill else answer(method, path, *more))
    home = Homecoming(watched.context, "cmp-1")

    def turn(seconds: float) -> None:
        watched.now += seconds
        service = next(s for s in cloud.nova.services() if s.host == "cmp-1" and s.binary == "nova-compute")
        home.step(replace(cell.RECORD, state=RETURNING), service, True, None)

    for seconds in (1.0, 1.0, LIMIT + 1.0, 1.0):
        turn(seconds)
    assert not cleared and "1 of cmp-1's servers take long" in watched.context.health.problems["slow cmp-1"]
    ill.clear()
    for _ in range(4):
        turn(40.0)
    assert cleared and not cloud.servers["s1"]["locked"] and "slow cmp-1" not in watched.context.health.problems
