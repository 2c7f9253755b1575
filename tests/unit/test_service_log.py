"""Where the worker's log goes: a file by parameter, syslog, and without that a file all the same."""

from __future__ import annotations

import logging
import logging.handlers
from collections.abc import Iterator
from pathlib import Path

import pytest
from instance_ha import params, service
from instance_ha.errors import ConfigurationError


class NoSyslog(logging.handlers.SysLogHandler):
    """As in a container without /dev/log."""

    def __init__(self, *_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    monkeypatch.setattr(logging.handlers, "SysLogHandler", NoSyslog)
    yield root
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = kept
    root.setLevel(level)


def test_without_syslog_there_is_a_log_all_the_same(tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    service.log_to_syslog("NovaEvacuate(x)", "info", None, usual)
    logging.getLogger("a").info("b%sc", "\n")
    (line,) = usual.read_text().splitlines()
    assert line.endswith("INFO: b c") and "NovaEvacuate(x)[" in line and line.startswith("20")
    assert usual.stat().st_mode & 0o777 == 0o640


def test_a_file_by_parameter_and_what_is_taken_where_it_cannot_be_written(tmp_path: Path) -> None:
    own, usual = tmp_path / "own", tmp_path / "usual"
    service.log_to_syslog("x", "info", own, usual)
    logging.getLogger("a").info("here")
    service.log_to_syslog("x", "info", tmp_path / "no" / "such", usual)
    logging.getLogger("a").info("there")
    service.log_to_syslog("x", "info", tmp_path / "no" / "such", tmp_path / "no" / "usual")
    logging.getLogger("a").info("nowhere")
    assert own.read_text().endswith("here\n") and usual.read_text().endswith("there\n")


def test_a_log_does_not_grow_without_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "LOG_ROOM", 1000)
    service.log_to_syslog("x", "info", tmp_path / "own")
    for _ in range(100):
        logging.getLogger("a").info("x" * 90)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own", "own.1"]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())


def test_a_path_that_is_not_absolute_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="log_file='log' is no absolute path"):
        params.resolve(params.of(params.OCF), {"log_file": "log"})
