"""What is done in a child of this process."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from instance_ha.process import within


def test_what_comes_to_its_end_in_time(tmp_path: Path) -> None:
    assert within(5, lambda: (tmp_path / "done").touch()) and (tmp_path / "done").exists()


def test_what_fails_has_come_to_its_end() -> None:
    assert within(5, lambda: 1 / 0)  # type: ignore[arg-type, return-value]


def test_what_no_signal_reaches_is_ended_all_the_same(tmp_path: Path) -> None:
    """As a wait for a name server: Python hears of a signal only when that is over."""
    def deaf() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.valid_signals()))
        time.sleep(20)
        (tmp_path / "done").touch()

    began = time.monotonic()
    assert not within(0.3, deaf)
    assert time.monotonic() - began < 3 and not (tmp_path / "done").exists()
