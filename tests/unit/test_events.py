"""Events as a hook and the log get them; and the log's lines about servers."""

from __future__ import annotations

import json
import logging
import shlex
import threading
import time

import pytest
from instance_ha.events import Event, environment, iso, pairs
from instance_ha.reporting.lane import Lane
from instance_ha.trail import Trail

A, B = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
EVENT = Event("server-failed", "3f9c", "cmp-1", "cmp-1.example.com", 1795559436.7, 'db "main" is not moved',
              {"server": A, "name": 'db "main"', "attempt": 2, "request": "req-1", "final": 0})


def test_the_payload_is_flat_and_complete() -> None:
    assert json.loads(json.dumps(EVENT.payload("ctl-1"))) == {
        "version": 1, "event": "server-failed", "time": "2026-11-24T22:30:36Z", "incident": "3f9c", "node": "cmp-1", "host": "cmp-1.example.com",
        "controller": "ctl-1", "sentence": 'db "main" is not moved', "server": A, "name": 'db "main"', "attempt": 2, "request": "req-1", "final": 0}


def test_the_log_line_is_key_value_and_a_shell_splits_it_as_it_was_meant() -> None:
    words = dict(word.split("=", 1) for word in shlex.split(EVENT.line()))
    assert words["event"] == "server-failed" and words["incident"] == "3f9c" and words["server"] == A and words["name"] == 'db "main"'
    assert pairs({"a": "x", "empty": "", "b": "two words", "c": 3}) == 'a=x b="two words" c=3'
    assert "\n" not in pairs({"a": "two\nlines"})


def test_a_command_gets_variables_of_one_line() -> None:
    assert environment({"event": "partly", "left": 2, "sentence": "a\nb\0c"}) == {
        "INSTANCE_HA_EVENT": "partly", "INSTANCE_HA_LEFT": "2", "INSTANCE_HA_SENTENCE": "a b?c"}


def test_an_unknown_time_is_none() -> None:
    assert iso(0) == ""


@pytest.mark.parametrize(("line", "wanted"), [
    (("%s (%s): evacuation from %s asked, %s (%s)", "web", A, "cmp-1", "req-5f", "protect=all"),
     f"web ({A}): evacuation from cmp-1 asked, req-5f (protect=all) incident=3f9c server={A} request=req-5f"),
    (("%s (%s): arrived on %s", "web", A, "cmp-2"), f"web ({A}): arrived on cmp-2 incident=3f9c server={A} request=req-77"),
    (("%s (%s): not evacuated: it is gone", "db", B), f"db ({B}): not evacuated: it is gone server={B}"),
    (("%s: fencing confirmed by Pacemaker (%s)", "cmp-1", "node_fenced:1"), "cmp-1: fencing confirmed by Pacemaker (node_fenced:1)"),
    (("event=server-arrived incident=3f9c server=%s", A), f"event=server-arrived incident=3f9c server={A}"),
])
def test_every_line_about_a_server_carries_incident_server_and_request(line: tuple[str, ...], wanted: str) -> None:
    trail = Trail()
    trail.note(A, "3f9c", "req-77")
    trail.note_all([A], "3f9c")                    # a listing knows no request, and takes none away
    record = logging.LogRecord("x", logging.INFO, "", 0, line[0], line[1:], None)
    assert trail.filter(record) and record.getMessage() == wanted


def test_a_request_of_an_earlier_incident_is_not_told_as_one_of_this() -> None:
    trail = Trail()
    trail.note(A, "old", "req-1")
    trail.note_all([A], "new")
    record = logging.LogRecord("x", logging.INFO, "", 0, "web (%s): stayed", (A,), None)
    trail.filter(record)
    assert record.getMessage() == f"web ({A}): stayed incident=new server={A}"


def test_a_lane_holds_nobody_up_and_drops_what_does_not_fit() -> None:
    lane, go, done = Lane("test", 2), threading.Event(), []
    lane.put(go.wait)
    while lane._jobs.qsize():                       # the first is being done
        time.sleep(0.001)
    began = time.monotonic()
    assert [lane.put(lambda n=n: done.append(n)) for n in range(4)] == [True, True, False, False]  # type: ignore[misc]
    lane.close(0.05)
    assert time.monotonic() - began < 1 and lane.dropped == 2 and not done
    go.set()
    lane.close(5)
    assert done == [0, 1]


def test_a_job_that_fails_does_not_end_the_others(caplog: pytest.LogCaptureFixture) -> None:
    lane, done = Lane("test", 5), []
    lane.put(lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    lane.put(lambda: done.append(1))
    lane.close(5)
    assert done == [1] and "a job failed" in caplog.text
