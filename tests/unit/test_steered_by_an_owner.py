"""What a user's own servers do, and how they are named, moves no other user's server, and no operator's command fails of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from instance_ha.engine import decide, places
from instance_ha.engine.selection import Policy, Priorities
from instance_ha.engine.window import Queue, Waiting

from tests.unit.little_nova import LittleNova
from tests.unit.test_busy_tenant import Cloud
from tests.unit.test_decide import server


class Turns(LittleNova):
    """`groups` are the server groups, oldest first. With `churn` a user deletes one of his and makes a new one before each answer. With
    `login` something that stands before Nova answers each request to evacuate, with that code."""

    def __init__(self) -> None:
        super().__init__()
        self.groups = [f"g{number}" for number in range(5)]
        self.churn = False
        self.login = 0
        self.named: list[tuple[str, str | None]] = []     # servers that were asked for, and the host that was named

    def answer(self, method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        if path.startswith("/os-server-groups?"):
            self.asked.append(path)
            if self.churn:
                self.groups = [*self.groups[:1], *self.groups[2:], f"g{len(self.asked) + 10}"]
            offset = int(path.split("offset=")[1].split("&")[0])
            return 200, {"server_groups": [{"id": one, "name": one, "policy": "affinity", "members": [], "rules": {}}
                                           for one in self.groups[offset:]]}
        if self.login and body and "evacuate" in body:
            self.asked.append(f"{method} {path} evacuate")
            return self.login, "<html>Please log in</html>"
        if body and "evacuate" in body:
            self.named.append((path.split("/")[2], body["evacuate"].get("host")))
        return super().answer(method, path, body, request)


@pytest.fixture
def little() -> Iterator[Turns]:
    one = Turns()
    one.service("cmp-1").update(
        state="down", forced_down=True, status="disabled", disabled_reason="instance-ha: fenced (i1)")
    yield one
    one.server.shutdown()
    one.server.server_close()


def test_servers_of_one_user_that_fail_take_no_host_away_from_others(little: Turns) -> None:
    """He has deleted their port, say: each fails wherever it goes. Nova's scheduler chose cmp-2 for three of them."""
    cloud = Cloud(little, Policy(max_parallel=3))
    cloud.own(3, locked=False)
    victims = {f"victim-{number}" for number in range(6)}
    for name in victims:
        little.boot(name, name, tenant_id="another")
    cloud.worker.turn()
    for uid in cloud.mine:
        little.move(uid, "failed", "cmp-2")
    end = time.monotonic() + 4.0
    while not victims <= cloud.sent() and time.monotonic() < end:
        cloud.worker.turn()
        for row in little.migrations:
            if row["instance_uuid"] in victims and row["status"] == "accepted":
                little.move(row["instance_uuid"], "done", "cmp-3")
    problems = cloud.worker.context.health.problems
    assert {host for uid, host in little.named if uid in victims} == {None}, (little.named, problems)
    assert not any(subject.startswith("destination") for subject in problems)


def test_a_name_gives_no_precedence() -> None:
    """With user_priorities=false nothing that an owner writes does."""
    order = Priorities(users=False)
    assert order.users is False
    queue = Queue(300.0, 0.0, time.monotonic)
    mine = [Waiting("cmp-1", server(id=f"z{number}", name=f"!{number}", project="mine")) for number in range(8)]
    others = [Waiting("cmp-1", server(id=f"a{number}", name=f"web-{number}", project="another")) for number in range(8)]
    chosen, _ = queue.choose([*mine, *others], (), {}, 8)
    assert any(one in chosen for one in others)


def test_a_user_who_makes_and_deletes_groups_does_not_hide_them_all(little: Turns) -> None:
    little.churn = True
    assert {group.id for group in little.nova.groups()} >= {"g0"}


@pytest.mark.parametrize("code", [200, 503])
def test_requests_that_nova_never_gets_are_told(little: Turns, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A proxy answers in its place, with a page to log in, or with 503. Times are a hundredth."""
    for module in (places, decide):
        monkeypatch.setattr(module, "SETTLE", 0.15)
    cloud = Cloud(little, Policy(retry_pause=0.01, stuck_timeout=0.3))
    little.login = code
    little.boot("m0", "m0")
    end = time.monotonic() + 6.0
    while time.monotonic() < end and not cloud.worker.context.health.problems:
        cloud.worker.turn()
    assert cloud.worker.context.health.problems, sum(one.endswith("evacuate") for one in little.asked)


def test_a_name_says_nothing_of_another_server_in_the_log() -> None:
    """The line is completed with the incident and the id of the server that it is about."""
    from instance_ha.trail import Trail

    mine, other = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
    trail = Trail()
    trail.note_all((mine, other), "i1")
    for name in (f"web ({other})", f"web server={other}", "req-12345678-0000-4000-8000-000000000003"):
        record = logging.LogRecord("x", logging.INFO, "", 0, "%s (%s): %s", (name, mine, "it is gone"), None)
        trail.filter(record)
        said = record.getMessage()
        assert said.endswith(f"server={mine}"), said
