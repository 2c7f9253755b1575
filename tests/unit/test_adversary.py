"""What an adversarial reader of the engine has found: each test fails as long as its fault is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from instance_ha.engine import decide, reserve
from instance_ha.engine.attempts import Attempt, Stage
from instance_ha.engine.decide import EVACUATE, LEFT, WAIT
from instance_ha.engine.evacuation import Evacuation
from instance_ha.engine.host import Host
from instance_ha.engine.pulse import Pulse
from instance_ha.engine.scene import Case, Memory, Task, Terms
from instance_ha.engine.selection import Policy, Ruling
from instance_ha.model import CONFIRMED, KEPT_OUT, ClusterNode, Migration, Record, Server, Service

from tests.unit import test_down_cell as cell
from tests.unit.little_nova import LittleNova
from tests.unit.test_decide import IN_ERROR, LIMIT, QUEUED, SCHEDULING, UNTAKEN, Turns, attempt, row, scene
from tests.unit.test_model import server
from tests.unit.test_several_hosts import worker_with

DAY = 86400.0
HEARD = {"ctl-1": "2026-11-25T04:02:05.000000"}     # it works before its first report


@pytest.fixture
def little() -> Iterator[LittleNova]:
    one = LittleNova(("cmp-1", "cmp-2", "cmp-3", "r1", "r2"))
    yield one
    one.server.shutdown()
    one.server.server_close()


# Run twice

def test_a_conductor_that_was_silent_before_it_had_a_request_may_still_have_it() -> None:
    """The database was away for 40 s as the host died; the request came after that, and its scheduler waits for Placement."""
    turn, one, earlier = Turns(), server(task_state="rebuilding"), {"ctl-1": 900.0}
    said = {"ctl-1": "2026-11-25T03:59:20.000000"}
    assert turn(one, rows=UNTAKEN, attempts=SCHEDULING, now=1000.0, gaps=earlier, heard=said).action == WAIT
    late = turn(one, rows=UNTAKEN, attempts=SCHEDULING, now=1001.0 + LIMIT, gaps=earlier, heard=said)
    assert "lost" not in late.reason
    assert turn(one, rows=UNTAKEN, attempts=SCHEDULING, now=1100.0 + LIMIT, gaps=earlier, heard=said).action != EVACUATE


def test_a_conductor_that_took_a_request_from_its_queue_when_it_was_back_may_still_have_it() -> None:
    turn, one = Turns(), server(task_state="rebuilding")
    assert turn(one, rows=UNTAKEN, attempts=QUEUED, now=1000.0, control_whole=False).action == WAIT
    back = {"ctl-1": 1060.0}
    assert turn(one, rows=UNTAKEN, attempts=QUEUED, now=1060.0, gaps=back, heard=HEARD, control_whole=False).action == WAIT
    taken = (replace(SCHEDULING[0], taken="2026-11-25T04:02:01.000000"),)
    assert turn(one, rows=UNTAKEN, attempts=taken, now=1061.0, gaps=back, heard=HEARD).action == WAIT
    assert "lost" not in turn(one, rows=UNTAKEN, attempts=taken, now=1062.0 + LIMIT, gaps=back, heard=HEARD).reason


def test_a_schedulers_silence_is_no_conductors() -> None:
    """Both run on the same controller; the request is at its conductor, which reports all the time."""
    conductor = Service("7", "nova-conductor", "ctl-1", True, True, False, "", "0")
    scheduler = replace(conductor, id="8", binary="nova-scheduler")
    pulse = Pulse()
    for at in range(0, 100, 5):
        silent = "10" if 10 <= at < 80 else str(at // 10 * 10)
        pulse.beats([replace(conductor, updated=str(at // 10 * 10)), replace(scheduler, updated=silent)], float(at))
    assert pulse.gaps == {}


# Knowing less does more

def test_after_a_person_has_unlocked_a_list_that_loses_a_row_leads_to_no_evacuation() -> None:
    """docs/operations.md asks him to set a slow one to error and to unlock it; its destination may be at it all the same."""
    rows, memory = (row(1, "pre-migrating"),), Memory(rows=1)
    case = Case(IN_ERROR, rows, (), was="active", ruling=Ruling(True, "all"), unlocked="2026-11-25T04:03:00.000000", memory=memory)
    assert decide.decide(case, scene(IN_ERROR, rows=rows), Policy()).verdict.action == WAIT
    assert decide.decide(replace(case, rows=()), scene(IN_ERROR), Policy()).verdict.action != EVACUATE


def test_a_list_without_a_reserved_host_leads_to_no_second_one(little: LittleNova) -> None:
    for name in ("r1", "r2"):
        little.service(name).update(status="disabled", disabled_reason="reserved")
    worker = worker_with(little, Record("cmp-1", CONFIRMED, "a"))
    services, record = little.nova.services(), Record("cmp-1", CONFIRMED, "a")
    host = next(one for one in services if one.host == "cmp-1")
    record = reserve.call(worker.context, record, host, services)
    first = record.reserve
    again = reserve.call(worker.context, record, host, [one for one in little.nova.services() if one.host != first])
    assert again.reserve == first
    assert sorted(little.service(name)["status"] for name in ("r1", "r2")) == ["disabled", "enabled"]


# Waits for ever, and nobody is told

def never(one: Server, **fields: object) -> list[decide.Verdict]:
    """The verdicts of ten days."""
    turn = Turns()
    return [turn(one, now=1000.0 + DAY * day, **fields) for day in range(10)]


def test_what_its_owner_has_shelved_since_it_arrived_holds_no_host_back() -> None:
    """A new worker asks for all that have left: this one is on no host any more (Nova offloads at once, by default)."""
    one = server(host=None, vm_state="shelved_offloaded")
    found = never(one, rows=(row(1, "done"),))
    assert decide.host_over(found[-1:]), found[-1]


def test_what_its_owner_has_shelved_since_it_arrived_is_over_for_a_new_worker(little: LittleNova) -> None:
    """The same, as Nova answers."""
    little.service("cmp-1").update(status="disabled", state="down", forced_down=True)
    little.boot("s1", "web")
    little.ask("s1", "done", "cmp-3")
    little.servers["s1"].update({"OS-EXT-SRV-ATTR:host": None, "OS-EXT-STS:vm_state": "shelved_offloaded", "status": "SHELVED_OFFLOADED"})
    engine = Evacuation(little.nova, Task("cmp-1", "3f9c", "other"), Policy())
    look = engine.look(little.nova.services(), Terms(0, dead=frozenset(("cmp-1",))))
    assert decide.host_over(look.verdicts), look.verdicts


def test_a_server_whose_record_nova_never_tells_is_told() -> None:
    found = never(server(vm_state="error"), rows=(row(1, "failed"),), attempts=None)[-1]
    assert found.slow or found.action == LEFT, found


@pytest.mark.parametrize("known", [
    (QUEUED, ()),                                                           # the API failed between the action and the row
    ((attempt(1, Stage.CLEAN, None, "MessagingTimeout"), attempt(2, Stage.QUEUED)),
     (row(1, "completed", None), row(2, "accepted", None))),                # of an earlier incident; its host's return has completed it
    ((attempt(1, Stage.CLEAN, "cmp-2", "Build of instance u1 aborted"), attempt(2, Stage.QUEUED)),
     (row(1, "failed", None), row(2, "accepted", None))),                   # its destination found no compute node of its own
])
def test_a_request_that_no_row_explains_keeps_its_host_out_not_for_ever(known: tuple[tuple[Attempt, ...], tuple[Migration, ...]]) -> None:
    attempts, rows = known
    baseline = 1 if rows and rows[0].status == "completed" else 0
    found = never(server(task_state="rebuilding"), rows=rows, attempts=attempts, baseline=baseline)[-1]
    assert found.action != EVACUATE
    assert decide.host_over([found]) and found.person, found


# One that holds up all others

def test_a_host_whose_cell_is_away_takes_no_room_from_the_others_for_ever(little: LittleNova, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record("cmp-1", CONFIRMED, "3f9c", proof="node_fenced:1", baseline=0, worker="me", host="cmp-1")
    other = Record("cmp-2", CONFIRMED, "5b11", proof="node_fenced:1", baseline=0, worker="me", host="cmp-2")
    view = replace(cell.VIEW, nodes={name: ClusterNode(name, True, False, "node_fenced:1795579201") for name in ("cmp-1", "cmp-2")},
                   records={"cmp-1": record, "cmp-2": other}, held={"cmp-1": "true", "cmp-2": "true"})
    now, few = [1000.0], Policy(max_parallel=2, min_parallel=2)
    worker = worker_with(little)
    worker.reconfigure(little.nova, few, "")
    worker.context.clock = lambda: now[0]
    worker.context.view, worker.parameters = view, {}
    monkeypatch.setattr(type(worker.context.cluster), "view", lambda self: view)
    for one in (record, other):
        little.service(one.node).update(status="disabled", state="down", forced_down=True, disabled_reason=f"instance-ha: x ({one.id})")
        worker.hosts[one.node] = Host(worker.context, one)
    for number in (1, 2):
        little.boot(f"a{number}", f"a{number}", **{"OS-EXT-STS:task_state": "rebuild_spawning"})
        little.ask(f"a{number}", "pre-migrating", "cmp-3")
    little.boot("b1", "b1", host="cmp-2")

    def turn() -> None:
        for one in (record, other):
            worker.hosts[one.node].record = one
            worker._guarded(one, lambda one=one: worker.hosts[one.node].step(view, one, worker._services))
        looking = [host for host in worker.hosts.values() if host.look]
        acted = worker._act(looking)
        for host in looking:
            host.tell(acted[host.node])

    turn()
    assert worker.hosts["cmp-1"].under_way == 2
    service = little.service("cmp-1")
    service.clear()
    service.update(binary="nova-compute", host="cmp-1", status="UNKNOWN")      # as Nova tells of a cell that is down
    for _ in range(10):
        now[0] += 3600.0
        turn()
    assert "POST /servers/b1/action" in little.asked


def test_one_server_that_nova_cannot_show_holds_up_no_other(little: LittleNova, monkeypatch: pytest.MonkeyPatch) -> None:
    little.service("cmp-1").update(status="disabled", state="down", forced_down=True)
    little.boot("s1", "web")
    little.boot("s2", "db")
    little.ask("s1", "done", "cmp-3")
    answer = little.answer
    engine = Evacuation(little.nova, Task("cmp-1", "3f9c", "me"), Policy())
    little.servers["s1"]["OS-EXT-SRV-ATTR:host"] = "cmp-3"
    monkeypatch.setattr(little, "answer", lambda method, path, *more: (500, {"computeFault": {"code": 500, "message": "Unexpected API Error."}})
                        if path == "/servers/s1" else answer(method, path, *more))
    look = engine.look(little.nova.services(), Terms(0, dead=frozenset(("cmp-1",))))
    assert [one.server.id for one in look.waiting] == ["s2"]
    assert not decide.host_over(look.verdicts)


# Let in

def test_a_host_that_is_kept_out_stays_so_when_it_dies_once_more(little: LittleNova) -> None:
    """Its mark says that a person has to enable it; a day later its returns alone would not say so any more."""
    record = Record("cmp-1", CONFIRMED, "9999", proof="node_fenced:1", baseline=0, worker="me", host="cmp-1")
    little.service("cmp-1").update(status="disabled", state="down", forced_down=True,
                                   disabled_reason=f"{KEPT_OUT}: it failed 3 times within a day (3f9c)")
    worker = worker_with(little, record)
    host = worker.hosts["cmp-1"]
    for _ in range(3):
        service = next(one for one in little.nova.services() if one.host == "cmp-1")
        host._marking.hindrance(service, 0.0, None)
    assert little.service("cmp-1")["disabled_reason"].startswith(KEPT_OUT)
