"""status shows what the worker has decided, as the worker told it."""

from __future__ import annotations

import base64
import uuid
import zlib
from collections.abc import Iterator

import pytest
from instance_ha import cluster as door
from instance_ha.cluster import Cluster
from instance_ha.engine.context import Context
from instance_ha.engine.host import Host
from instance_ha.engine.selection import Policy
from instance_ha.engine.worker import Worker
from instance_ha.model import CONFIRMED, Record
from instance_ha.process import Outcome
from instance_ha.reporting import board, server_status

from tests.unit.little_nova import LittleNova
from tests.unit.test_down_cell import VIEW, Written, turn

RECORD = Record("cmp-1", CONFIRMED, "3f9c", proof="p", baseline=0, worker="me")


@pytest.fixture
def little() -> Iterator[LittleNova]:
    one = LittleNova()
    one.service("cmp-1").update(forced_down=True, state="down", status="disabled",
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


class Notes:
    """attrd_updater, as 2.1.5 answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.values: dict[str, str] = {}
        monkeypatch.setattr(door, "run", self)

    def __call__(self, argv: list[str], timeout: float) -> Outcome:
        assert argv[:1] == ["attrd_updater"] and board.NAME in argv
        if "--query" in argv:
            return Outcome(0, "".join(f'name="{board.NAME}" host="{host}" value="{text}"\n' for host, text in self.values.items()), "")
        if "--delete" in argv:
            self.values.clear()
        else:
            assert "--private" in argv
            self.values["ctl-1"] = argv[argv.index("--update") + 1]
        return Outcome(0, "", "")


def test_a_request_whose_answer_was_lost_is_shown_as_the_worker_sees_it(
        little: LittleNova, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nova shows nothing of it yet: deciding anew, without the worker's memory, would say that it waits."""
    little.boot("s1", "web")
    answer = little.answer
    monkeypatch.setattr(little, "answer", lambda method, path, *more: (504, None) if "evacuate" in str(more) else answer(method, path, *more))
    turn(worker)
    turn(worker)
    left = Notes(monkeypatch)
    shown = board.Board(Cluster())
    shown.show(worker)
    shown._lane.close(5)
    told = board.read(Cluster())["3f9c"]
    assert told["s1"].action == "wait" and "the answer to the request was lost" in told["s1"].reason
    [one] = server_status.look(little.nova, RECORD, "cmp-1", told, 0.0)
    assert one.reason == told["s1"].reason
    shown.close()
    assert left.values == {}


def test_what_cannot_be_read_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    left = Notes(monkeypatch)
    odd = zlib.compress(b'{"cmp-1": {"incident": "3f9c", "servers": {"s1": {"odd": 1}}}}')
    for text in ("", "[]", "eJwDAAAAAAE=", base64.b64encode(odd).decode()):
        left.values["ctl-2"] = text
        assert board.read(Cluster()) == {}


def test_of_too_many_servers_those_that_need_a_person_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = {uuid.uuid4().hex: board.Told("wait", uuid.uuid4().hex * 4) for _ in range(2000)}
    text = board._packed({"cmp-1": ("3f9c", {**servers, "s1": board.Told("left", "look at it", person=True)})})
    Notes(monkeypatch).values["ctl-1"] = text
    assert len(text) <= board.ROOM and [*board.read(Cluster())["3f9c"]] == ["s1"]


def test_without_the_workers_word_only_what_nova_shows_is_said(little: LittleNova) -> None:
    little.boot("s1", "web")
    [one] = server_status.look(little.nova, RECORD, "cmp-1", None, 0.0)
    assert (one.state, one.reason) == ("waiting", server_status.UNTOLD)
