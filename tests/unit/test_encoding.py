"""Names beyond ASCII, in a locale whose encoding does not have their letters."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from instance_ha.cli import main
from instance_ha.service import start_time


def test_a_letter_that_the_terminal_cannot_show_is_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="iso-8859-1"))
    with pytest.raises(SystemExit):
        main(["--version"])
    print("b\u00fcro \u65e5", flush=True)
    assert raw.getvalue().splitlines()[-1] == b"b\xfcro ?"


def test_a_process_may_have_a_name_that_is_no_text() -> None:
    """The kernel takes any bytes for one, and a pid that was the worker's may be such a process's by now."""
    rename = "import sys, time; open('/proc/self/comm', 'wb').write(b'a\\xff) b'); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", rename], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        assert start_time(process.pid)
        process.kill()
