"""Answers that are slow or leave things out, owners with large groups, clocks that are seen rarely: nothing hangs, starves or dares more."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from instance_ha import pace
from instance_ha.engine import evacuation, lists, rebooted
from instance_ha.engine.attempts import Stage
from instance_ha.engine.decide import EVACUATE, LEFT
from instance_ha.engine.evacuation import Evacuation
from instance_ha.engine.lists import AHEAD, Ahead
from instance_ha.engine.rounds import Rounds, Share
from instance_ha.engine.scene import Task, Terms
from instance_ha.engine.selection import Policy
from instance_ha.engine.shared import Shared
from instance_ha.errors import CloudUnreachable, HostError

from tests.unit.little_nova import LittleNova
from tests.unit.test_decide import Turns, attempt, row, server
from tests.unit.test_missed import FENCED, OFFLINE, ONLINE, cib
from tests.unit.test_rebooted import Cloud, World, started_after, when


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    one = Cloud()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def starter(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(cloud, monkeypatch, after_reboot="start")


# engine/lists.py


def test_lists_that_take_long_are_taken_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nova needs longer than AHEAD for a list, as a slow one, for a large host, or with a limit
    of requests.
    """
    little, now, real = LittleNova(), [0.0], LittleNova.answer

    def slow(self: LittleNova, method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        now[0] += AHEAD + 1 if len(self.asked) < 40 else 0
        return real(self, method, path, body, request)

    monkeypatch.setattr(LittleNova, "answer", slow)
    try:
        assert Ahead(little.nova, "cmp-1", lambda: now[0]).take(0).servers.result() == []
        assert len(little.asked) == 2, "read again and again, and never taken"
    finally:
        little.server.shutdown()
        little.server.server_close()


# engine/reboot.py, rebooted.py: whose stop it was


def test_a_node_that_left_the_cluster_while_its_host_ran_is_no_reboot(starter: World) -> None:
    """Pacemaker was stopped on it for a while; Nova's API did not answer some time before that.

    An owner shuts his server down from within meanwhile. Nothing was rebooted, and nova-compute
    has reported all the time.
    """
    starter.boot("s1")
    starter.run(20)
    starter.cloud.away = True
    starter.run(60)
    starter.tools.cib = cib(OFFLINE)
    starter.cloud.away = False
    starter.run(20)
    starter.stop("s1")  # Nova's own, as its guest has gone off
    starter.run(20)
    starter.tools.cib = cib(ONLINE)
    starter.run(60)
    assert not starter.started()


def test_a_node_that_is_away_for_long_while_its_host_runs_is_no_reboot(starter: World) -> None:
    """The same without any fault of Nova's: after ten minutes it is looked at every half minute
    only.
    """
    starter.boot("s1")
    starter.run(20)
    starter.tools.cib = cib(OFFLINE)
    for _ in range(260):  # turns are five seconds apart, and a bit
        starter.cloud.service("cmp-1")["updated_at"] = when(starter.now // 10 * 10)
        starter.worker.turn()
        starter.now += 5.4
    starter.stop("s1")
    starter.tools.cib = cib(ONLINE)
    for _ in range(40):
        starter.cloud.service("cmp-1")["updated_at"] = when(starter.now // 10 * 10)
        starter.worker.turn()
        starter.now += 5.4
    assert not starter.started()


def test_a_guest_that_its_owner_shuts_down_while_nova_lists_nothing_is_not_started(
    starter: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libvirt, or Nova, has started it with its host.

    Nova's lists of servers fail for ten minutes, and nothing else does.
    """
    answer, away = starter.cloud.answer, [False]

    def partly(method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        if away[0] and path.startswith("/servers/detail"):
            return 504, {"error": {"message": "Gateway Time-out", "code": 504}}
        return answer(method, path, body, request)

    monkeypatch.setattr(starter.cloud, "answer", partly)
    starter.boot("s1")
    starter.run(20)
    starter.away()
    starter.cloud.runs.add("s1")
    away[0] = True
    starter.run(600)
    starter.stop("s1")
    starter.run(60)
    away[0] = False
    starter.run(90)
    assert not starter.started()


# where it runs


class Forgetful(Cloud):
    """Its list of migrations has lost the rows, as Nova's does without a word when the database
    of a cell fails it.
    """

    def answer(self, method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        code, found = super().answer(method, path, body, request)
        return (200, {"migrations": []}) if path.startswith("/os-migrations") else (code, found)


@pytest.mark.parametrize(
    "made",
    [
        Cloud,
        Forgetful,
    ],
)
def test_a_list_that_has_lost_a_live_migration_starts_nothing(
    monkeypatch: pytest.MonkeyPatch, made: type[Cloud]
) -> None:
    """Its host died in the middle of a live migration: the guest may run on the destination.

    nova-compute clears the task when it starts, finds the guest off on its own host, and stops
    it; the row stays `running`.
    """
    little = made()
    world = World(little, monkeypatch, after_reboot="start")
    try:
        world.boot("s1")
        world.act("s1", "live-migration", "admin", "admins", -5)
        little.migrations.append(
            {
                "id": 9,
                "instance_uuid": "s1",
                "source_compute": "cmp-1",
                "dest_compute": "cmp-2",
                "created_at": when(-5),
                "updated_at": when(-4),
                "status": "running",
                "migration_type": "live-migration",
            }
        )
        assert not started_after(world)
    finally:
        little.server.shutdown()
        little.server.server_close()


def test_a_host_that_was_fenced_stays_so_when_its_connection_flaps(starter: World) -> None:
    """It is online for a moment after its fencing, which has no record, before nova-compute has
    reported once.
    """
    starter.boot("s1")
    starter.run(20)
    starter.reports = False
    starter.tools.cib = cib(FENCED, recorder="fence_ipmilan")
    starter.run(60, 20)
    starter.tools.cib = cib(ONLINE)
    starter.run(20)
    starter.away(60)
    starter.run(15)
    starter.stop("s1")
    starter.run(60)
    assert not starter.started()


# what hides or delays others


def test_a_server_of_which_the_hypervisor_once_does_not_tell_stays_told(starter: World) -> None:
    starter.boot("s1")
    starter.run(20)
    starter.away()
    starter.run(40)
    assert "web-s1" in starter.told
    starter.cloud.mute.add("s1")
    starter.run(10)
    starter.cloud.mute.clear()
    starter.run(10)
    assert "web-s1" in starter.told


class Broken(Cloud):
    """Nova answers 500 to every question for what was asked of s0."""

    def answer(self, method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        if path.endswith("/s0/os-instance-actions"):
            return 500, {"computeFault": {"code": 500, "message": "Unexpected API Error."}}
        return super().answer(method, path, body, request)


@pytest.mark.parametrize(
    "made",
    [
        Cloud,
        Broken,
    ],
)
def test_one_server_that_cannot_be_read_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, made: type[Cloud]
) -> None:
    little = made()
    world = World(little, monkeypatch, after_reboot="start")
    try:
        world.boot("s0")
        world.boot("s1")
        world.run(20)
        world.away()
        world.stop("s0")
        world.stop("s1")
        world.run(90)
        assert "web-s1" in world.told and "s1" in world.started()
    finally:
        little.server.shutdown()
        little.server.server_close()


class Hung(Cloud):
    """Questions for the diagnostics of some servers take ten seconds and have no answer, as of a
    domain that libvirt has locked.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hung: set[str] = set()
        self.world: World | None = None

    def answer(self, method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        parts = path.split("/")
        if path.endswith("/diagnostics") and parts[2] in self.hung:
            assert self.world is not None
            self.world.now += 10
            return 504, {"error": {"message": "Gateway Time-out", "code": 504}}
        return super().answer(method, path, body, request)


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    little = Hung()
    little.world = World(little, monkeypatch)
    yield little.world
    little.server.shutdown()
    little.server.server_close()


def test_one_guest_that_hangs_hides_no_other(hung: World) -> None:
    assert isinstance(hung.cloud, Hung)
    hung.boot("s0")
    hung.boot("s1")
    hung.run(20)
    hung.away()
    hung.cloud.hung.add("s0")
    hung.run(300)
    assert "web-s1" in hung.told


def test_a_turn_is_not_as_long_as_a_host_has_servers_off(hung: World) -> None:
    """Other hosts, that are on record, wait for it."""
    assert isinstance(hung.cloud, Hung)
    for number in range(20):
        hung.boot(f"s{number}")
    hung.run(20)
    hung.away()
    hung.run(30)
    assert "20 servers" in hung.told
    hung.cloud.hung |= {*hung.cloud.servers}
    hung.now += rebooted.REST_LOOK
    before = hung.now
    hung.worker.turn()
    assert hung.now - before < 60


def test_a_turn_is_not_as_long_as_there_are_servers_to_start(
    starter: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer of Nova takes half a second."""
    for number in range(40):
        starter.boot(f"s{number:02}")
    starter.run(20)
    starter.away()
    starter.run(40)
    assert "40 servers" in starter.told
    for uid in starter.cloud.servers:
        starter.stop(uid)
    answer, asked = starter.cloud.answer, threading.Lock()

    def slow(method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        with asked:
            starter.now += 0.5
        return answer(method, path, body, request)

    monkeypatch.setattr(starter.cloud, "answer", slow)
    starter.now += 10 - starter.now % 10
    before = starter.now
    starter.worker.turn()
    assert starter.now - before < 60, f"{starter.now - before} s, {len(starter.started())} started"


# engine/shared.py


def test_a_shared_look_that_fails_does_not_fail_for_each_one_after_the_other() -> None:
    """cibadmin ends after ten seconds without an answer: thirty-two who ask at once would wait
    for minutes, without a beat.
    """
    count = [0]

    def read() -> None:
        count[0] += 1
        time.sleep(0.05)
        raise HostError("cibadmin did not end within 10 s")

    shared, gate = Shared(read), threading.Barrier(16)

    def ask(_: int) -> None:
        gate.wait()
        with pytest.raises(HostError):
            shared.look()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(16)))
    assert count[0] <= 3, count


# engine/places.py, decide.py


def test_a_request_for_a_named_host_that_a_conductor_took_to_its_grave_is_sent_again() -> None:
    """The row has the host from the POST; no destination has begun, by its own record and by its
    status.
    """
    turn, one = Turns(), server(task_state="rebuilding")
    rows, known = (row(1, "accepted", "cmp-2"),), (attempt(1, Stage.SCHEDULING),)
    more: dict[str, Any] = {"rows": rows, "attempts": known}
    turn(one, now=1000.0, **more)
    old = "2026-11-25T05:00:00.000000"
    found = [
        turn(one, now=now, nova_now=old, **more)
        for now in (1001.0, 1001.0 + Policy().stuck_timeout, 9000.0)
    ]
    assert found[-1].action == EVACUATE, found[-1].reason


def test_a_row_of_before_says_nothing_of_a_request() -> None:
    """A row shows that a destination has begun; the server's own record does not show it.

    One that was left of earlier times, and whose request a person has looked after, is no sign
    that nobody has begun.
    """
    one, rows = server(task_state="rebuild_spawning"), (row(2, "pre-migrating", "cmp-2"),)
    stale = row(1, "accepted", None)
    for given in (rows, (stale, *rows)):
        turn = Turns()
        more: dict[str, Any] = {"rows": given, "attempts": (attempt(2, Stage.SENT),)}
        for now in (1000.0, 1001.0, 1001.0 + Policy().stuck_timeout, 9000.0):
            assert turn(one, now=now, **more).action != EVACUATE, (len(given), now)


# engine/evacuation.py with a limit of requests


def test_a_low_limit_of_requests_delays_an_evacuation_or_is_told_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All times are a twentieth: a hundred requests a minute are allowed."""
    for module, name, seconds in (
        (evacuation, "STALE", 10.0),
        (evacuation, "SEND_DEADLINE", 5.0),
        (evacuation, "FRESH", 2.0),
        (evacuation, "TAKEOVER", 20.0),
        (pace, "LONGEST", 5.0),
        (pace, "FIRST", 0.2),
        (pace, "NONE", 0.02),
        (lists, "AHEAD", 500.0),
    ):
        monkeypatch.setattr(module, name, seconds / 20)
    little = LittleNova()
    try:
        little.boot("s1", "web")
        little.service("cmp-1").update(state="down", forced_down=True)
        engine = Evacuation(little.nova, Task("cmp-1", "3f9c", "ctl-1.1.1"), Policy())
        little.every, until, named = 0.03, time.monotonic() + 20, list[str]()
        while not (little.migrations or named) and time.monotonic() < until:
            with contextlib.suppress(CloudUnreachable):
                look = engine.look(little.nova.services(), Terms(0))
                named += [verdict.reason for verdict in look.verdicts if verdict.action == LEFT]
                for verdict in look.waiting:
                    engine.act(verdict, look, lambda: True)
        assert little.migrations or named, "neither sent nor named within 400 s"
    finally:
        little.server.shutdown()
        little.server.server_close()


@pytest.mark.parametrize("late", [0.0, 0.5])
def test_a_request_that_a_gateway_turned_away_and_passed_on_is_not_sent_twice(
    monkeypatch: pytest.MonkeyPatch, late: float
) -> None:
    """No RFC has such a gateway: it says 429, and Nova has the request, at once or half a second
    later.
    """
    little, held, sent, real = LittleNova(), list[Any](), list[str](), LittleNova._act

    def act(self: LittleNova, uid: str, body: Any, request: str) -> tuple[int, Any]:
        if "evacuate" not in body:
            return real(self, uid, body, request)
        sent.append(request)
        if len(sent) > 1:
            return real(self, uid, body, request)
        held.append(threading.Timer(late, real, (self, uid, body, request)))
        held[0].start()
        if not late:
            held[0].join()
        return 429, None

    monkeypatch.setattr(LittleNova, "_act", act)
    try:
        little.boot("s1", "web")
        little.service("cmp-1").update(state="down", forced_down=True)
        engine = Evacuation(little.nova, Task("cmp-1", "3f9c", "ctl-1.1.1"), Policy())
        until = time.monotonic() + 3
        while time.monotonic() < until:
            look = engine.look(little.nova.services(), Terms(0))
            for verdict in look.waiting:
                engine.act(verdict, look, lambda: True)
        assert len(sent) == 1
    finally:
        little.server.shutdown()
        little.server.server_close()


class Grouped(LittleNova):
    """A server group of ten, as many as Nova's usual quota lets it have; each answer takes a
    while.
    """

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def answer(self, method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        self.passed += 1.2
        if path == "/os-server-groups/g1":
            members = sorted(self.servers)
            return 200, {
                "server_group": {
                    "id": "g1",
                    "name": "g",
                    "policy": "anti-affinity",
                    "members": members,
                    "rules": {},
                }
            }
        return super().answer(method, path, body, request)


def test_a_member_of_a_group_is_sent_or_named_where_nova_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """1.2 s an answer, as Nova needs with eight requests at once; no limit of requests."""
    little = Grouped()
    real = time.monotonic
    monkeypatch.setattr(
        evacuation, "time", SimpleNamespace(monotonic=lambda: real() + little.passed)
    )
    monkeypatch.setattr(lists, "AHEAD", 500.0)
    try:
        for number in range(10):
            little.boot(
                f"s{number}", "web", "cmp-1" if not number else "cmp-2", server_groups=["g1"]
            )
        little.service("cmp-1").update(state="down", forced_down=True)
        engine = Evacuation(little.nova, Task("cmp-1", "3f9c", "ctl-1.1.1"), Policy())
        named = []
        for _ in range(30):
            look = engine.look(little.nova.services(), Terms(0))
            named += [verdict.reason for verdict in look.verdicts if verdict.action == LEFT]
            for verdict in look.waiting:
                engine.act(verdict, look, lambda: True)
        assert little.migrations or named, "neither sent nor named"
    finally:
        little.server.shutdown()
        little.server.server_close()


def test_a_users_large_group_keeps_nobody_elses_server_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two members of a group of a hundred, at the top by their owner's own priority, are chosen
    in each turn and never sent, so that the window stays narrow. Nova answers within five
    milliseconds, and all times are a twentieth.
    """

    class Large(Grouped):
        def answer(self, method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
            time.sleep(0.005)
            return super().answer(method, path, body, request)

    little = Large()
    monkeypatch.setattr(evacuation, "STALE", evacuation.STALE / 20)
    try:
        for number in range(100):
            little.boot(
                f"s{number}",
                "web",
                "cmp-1" if number < 2 else "cmp-2",
                server_groups=["g1"],
                metadata={"restart_priority": "1000"},
            )
        little.boot("other", "db", tenant_id="another")
        little.service("cmp-1").update(state="down", forced_down=True)
        engine, rounds = (
            Evacuation(little.nova, Task("cmp-1", "3f9c", "ctl-1.1.1"), Policy()),
            Rounds(Policy(), time.monotonic),
        )
        rounds.window.queue = Policy().min_parallel  # after some slow answers
        for _ in range(10):
            look = engine.look(little.nova.services(), Terms(0))
            share = Share("cmp-1", engine, look, look.waiting, look.chores)
            rounds.run(
                [share],
                {"cmp-1": look.in_window},
                look.still,
                lambda job: job[0].engine.act(job[1], job[0].look, lambda: True),
            )
        assert [row["instance_uuid"] for row in little.migrations].count("other") == 1, (
            little.migrations
        )
    finally:
        little.server.shutdown()
        little.server.server_close()
