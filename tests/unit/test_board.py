"""status shows what the worker has decided, as the worker told it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from instance_ha.engine.context import Context
from instance_ha.engine.host import Host
from instance_ha.engine.selection import Policy
from instance_ha.engine.worker import Worker
from instance_ha.model import CONFIRMED, Record
from instance_ha.reporting import board, server_status

from tests.unit.little_nova import LittleNova
from tests.unit.test_down_cell import VIEW, Written, turn

RECORD = Record("cmp-1", CONFIRMED, "3f9c", proof="p", baseline=0, worker="me")


@pytest.fixture
def little() -> Iterator[LittleNova]:
    one = LittleNova()
    one.service("cmp-1").update(forced_down=True, state="down", status="disabled", disabled_reason="instance-ha: x (3f9c)")
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def worker(little: LittleNova) -> Worker:
    one = Worker(Context(Written(), little.nova, Policy(), "me"))
    one.context.view, one.parameters = VIEW, {}
    one.hosts["cmp-1"] = Host(one.context, RECORD)
    return one


def test_a_request_whose_answer_was_lost_is_shown_as_the_worker_sees_it(
        little: LittleNova, worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nova shows nothing of it yet: deciding anew, without the worker's memory, would say that it waits."""
    little.boot("s1", "web")
    answer = little.answer
    monkeypatch.setattr(little, "answer", lambda method, path, *more: (504, None) if "evacuate" in str(more) else answer(method, path, *more))
    turn(worker)
    turn(worker)
    shown = board.Board(tmp_path / "NovaEvacuate-x.servers")
    shown.show(worker)
    told = board.read(tmp_path, "cmp-1", "3f9c")
    assert told and told["s1"].action == "wait" and "the answer to the request was lost" in told["s1"].reason
    [one] = server_status.look(little.nova, RECORD, "cmp-1", told, 0.0)
    assert one.reason == told["s1"].reason
    assert (tmp_path / "NovaEvacuate-x.servers").stat().st_mode & 0o777 == 0o600


def test_another_incident_and_what_cannot_be_read_tell_nothing(tmp_path: Path) -> None:
    (tmp_path / "NovaEvacuate-x.servers").write_text('{"cmp-1": {"incident": "other", "servers": {}}}')
    assert board.read(tmp_path, "cmp-1", "3f9c") is None
    for text in ("", "[]", '{"cmp-1": []}', '{"cmp-1": {"incident": "3f9c", "servers": {"s1": {"odd": 1}}}}'):
        (tmp_path / "NovaEvacuate-x.servers").write_text(text)
        assert board.read(tmp_path, "cmp-1", "3f9c") is None


def test_without_the_workers_word_only_what_nova_shows_is_said(little: LittleNova) -> None:
    little.boot("s1", "web")
    [one] = server_status.look(little.nova, RECORD, "cmp-1", None, 0.0)
    assert (one.state, one.reason) == ("waiting", server_status.UNTOLD)
