"""What a worker of the laboratory writes down of what it decides upon."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from instance_ha.engine import decide
from instance_ha.nova import Nova

from tests.lab import recordings
from tests.lab.recorder import Recorder
from tests.unit.less import Dice, less, more_daring
from tests.unit.little_nova import LEFT_A_GUEST
from tests.unit.test_evacuation import HOST, TASK, Cloud, Turns, cloud, turns
from tests.worlds import kind_of, plain, world_of

__all__ = ["cloud", "turns"]  # fixtures


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    for owner, name in ((decide, "decide"), (Nova, "actions"), (Nova, "steps")):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back at the end
    one = Recorder(tmp_path / "worlds.jsonl")
    one.listen()
    yield one
    assert not one.skipped


def written(recorder: Recorder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in recorder.path.read_text().splitlines()]


def incident(cloud: Cloud, turns: Turns) -> None:
    """Three servers: one comes back at the second try, where the first may have left its guest; one
    is locked by its owner; one is on its way."""
    cloud.boot("s1", "web", metadata={"secret": "hunter2"})
    cloud.boot("s2", "locked", locked=True, locked_reason="mine")
    cloud.boot("s3", "slow")
    turns.turn()
    cloud.move("s1", "failed", "cmp-2", **LEFT_A_GUEST)
    for _ in range(3):
        turns.turn(20)
    cloud.move("s1", "done", "cmp-2")
    cloud.move("s2", "error")
    for _ in range(3):
        turns.turn(10)


def test_each_kind_of_world_is_written_once_and_read_as_it_was(
    cloud: Cloud, turns: Turns, recorder: Recorder
) -> None:
    incident(cloud, turns)
    lines = written(recorder)
    assert len(lines) == len({line["kind"] for line in lines}) > 8
    for line in lines:
        world = world_of(line["world"])
        decision = world.decided()
        assert line["said"] == f"{decision.verdict.action}: {decision.verdict.reason}"
        assert kind_of(world, decision) == line["kind"] and plain(world) == line["world"]
    assert {line["said"].partition(":")[0] for line in lines} >= {
        decide.EVACUATE,
        decide.WAIT,
        decide.UNLOCK,
    }
    assert any("so that it may only go there" in line["said"] for line in lines)


def test_what_decides_nothing_is_not_written(
    cloud: Cloud, turns: Turns, recorder: Recorder
) -> None:
    incident(cloud, turns)
    assert "hunter2" not in recorder.path.read_text()


def test_a_recorded_world_is_put_to_the_check(
    cloud: Cloud, turns: Turns, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also that this finds an engine which takes what is missing for nothing."""
    incident(cloud, turns)
    worlds = [world_of(line["world"]) for line in written(recorder)]
    monkeypatch.setattr(recorder, "note", lambda world, decision: None)
    numbers = itertools.product((0,), range(12), range(8), range(3), range(2))
    drawn = [bytes(one) for one in numbers]
    assert not [
        wrong
        for world in worlds
        for one in drawn
        if (wrong := more_daring(world, less(Dice(one), world)))
    ]
    monkeypatch.setattr("instance_ha.engine.attempts.left_no_guest", lambda step: not step.why)
    assert [
        wrong
        for world in worlds
        for one in drawn
        if (wrong := more_daring(world.read(), less(Dice(one), world)))
    ]


def test_a_recorder_that_cannot_write_keeps_no_worker_from_its_work(
    cloud: Cloud, turns: Turns, recorder: Recorder
) -> None:
    recorder.path = recorder.path / "no" / "such"
    cloud.boot("s1", "web")
    turns.turn()
    assert (
        [uid for uid, _ in cloud.named] == ["s1"]
        and cloud.servers["s1"][HOST] == "cmp-1"
        and cloud.servers["s1"][TASK]
    )


def test_what_is_kept_has_as_many_words_of_the_engine_as_there_is_room_for(tmp_path: Path) -> None:
    def line(kind: str, said: str, more: str = "") -> str:
        return json.dumps({"kind": kind, "said": said, "world": more})

    (tmp_path / "a.jsonl").write_text(
        f"{line('1', 'wait: x')}\n{line('2', 'wait: x')}\n{line('1', 'wait: x')}\n"
        + '{"kind": "cut'
    )
    (tmp_path / "b.jsonl").write_text(
        f"{line('3', 'wait: x', 'long' * 9)}\n{line('4', 'left: y')}\n"
    )
    worlds = [*recordings.read(tmp_path.glob("*.jsonl"))]
    assert [one["kind"] for one in worlds] == ["1", "2", "3", "4"]
    assert [json.loads(one)["kind"] for one in recordings.choose(worlds, 10000)] == [
        "4",
        "1",
        "2",
        "3",
    ]
    assert [json.loads(one)["kind"] for one in recordings.choose(worlds, 120)] == ["4", "1"]


@pytest.mark.parametrize(("asked", "there"), [("1", True), ("0", False), ("", False)])
def test_only_a_laboratory_that_is_to_record_has_the_recorder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, there: bool
) -> None:
    """And its code is what the interpreter of a worker runs."""
    put: list[tuple[str, str]] = []
    monkeypatch.setattr(recordings, "RECORDS", asked not in ("", "0"))
    monkeypatch.setattr(
        recordings.machine, "put", lambda node, path, code: put.append((path, code))
    )
    for kind in ("controller", "compute"):
        recordings.put(recordings.Node("n", kind, 1))
    assert len(put) == there
    for path, code in put:
        compile(code, path, "exec")
