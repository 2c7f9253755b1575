"""What crm_mon shows of a reason: Pacemaker 2.1.5 keeps 128 bytes, and drops the rest without a sign (seen on 2026-11-27)."""

from __future__ import annotations

import pytest
from instance_ha.ocf import CONFIGURED, DEGRADED, REASON_LENGTH, _fail, _in_one

PREFIX = "ocf-exit-reason:"


@pytest.mark.parametrize(("code", "whole"), [(DEGRADED, 0), (CONFIGURED, 1)])
def test_a_long_reason_is_cut_visibly_and_logged_whole_where_no_worker_does(capsys: pytest.CaptureFixture[str], code: int, whole: int) -> None:
    assert _fail(code, "word\n" * 60) == code
    *before, last = capsys.readouterr().err.splitlines()
    assert last.startswith(PREFIX) and last.endswith("...") and len(last) == len(PREFIX) + REASON_LENGTH
    assert before == [" ".join(["word"] * 60)] * whole


def test_a_short_reason_is_given_once(capsys: pytest.CaptureFixture[str]) -> None:
    _fail(CONFIGURED, "x" * REASON_LENGTH)
    assert capsys.readouterr().err == f"{PREFIX}{'x' * REASON_LENGTH}\n"


def test_of_several_problems_none_hides_the_others() -> None:
    assert _in_one(["short", "x" * 100]) == "short; " + "x" * 100
    text = _in_one([f"cmp-{number} is not evacuated: {'x' * 90}" for number in range(3)])
    assert len(text) <= REASON_LENGTH and all(f"cmp-{number} is not evacuated: xxx" in text for number in range(3))
    many = _in_one([f"cmp-{number} is not evacuated: {'x' * 90}" for number in range(40)])
    assert many.startswith("cmp-0 is not evacuate...; cmp-1 is not evacuate...; cmp-2")


def test_a_reason_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    """Pacemaker counts bytes, and would put half a letter into its XML."""
    for start in ("", "a", "ab"):
        _fail(DEGRADED, start + "\u0161" * 200)
        line = capsys.readouterr().err.rstrip("\n").removeprefix(PREFIX)
        assert line == start + "s" * (REASON_LENGTH - 3 - len(start)) + "..."
