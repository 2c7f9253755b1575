"""Files that are no plain ones, too long, in the way, or on a full disk: one sentence, and nothing waits, grows or is written over."""

from __future__ import annotations

import logging
import logging.handlers
import os
import resource
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from instance_ha import credentials, files, openrc, service
from instance_ha.configuring import transaction
from instance_ha.errors import HostError
from instance_ha.process import run, tell
from instance_ha.reporting.hook import Hook

from tests.unit.ill_cloud import values
from tests.unit.test_service_log import NoSyslog


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    one = logging.getLogger()
    kept, level = one.handlers[:], one.level
    yield one
    for handler in one.handlers:
        if handler not in kept:
            handler.close()
    one.handlers[:] = kept
    one.setLevel(level)


@pytest.fixture
def no_syslog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.handlers, "SysLogHandler", NoSyslog)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def long(path: Path) -> None:
    path.write_text("#" * (files.MOST + 1))


ILL: list[Callable[[Path], None]] = [pipe, device, folder, long]


@pytest.mark.parametrize("make", ILL)
def test_an_openrc_that_is_no_file_of_a_person_is_one_sentence(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "openrc")
    with pytest.raises(HostError, match=r"openrc=\S+ cannot be read: \S"):
        openrc.read(str(tmp_path / "openrc"))


@pytest.mark.parametrize("make", ILL)
def test_so_is_such_a_clouds_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]) -> None:
    make(tmp_path / "clouds.yaml")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    with pytest.raises(HostError, match="the cloud 'lab' cannot be used: "):
        credentials.connect(values(auth_url="", cloud="lab"))


@pytest.mark.parametrize("text", ["clouds: " + "[" * 3000, "{a: " * 3000])
def test_so_is_a_deep_clouds_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "clouds.yaml").write_text(text)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    with pytest.raises(HostError, match="the cloud 'lab' cannot be used: "):
        credentials.connect(values(auth_url="", cloud="lab"))


def test_a_log_is_written_through_no_link(tmp_path: Path, root: logging.Logger, no_syslog: None) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "log").symlink_to(tmp_path / "theirs")
    service.log_to_syslog("x", "info", tmp_path / "log", tmp_path / "usual")
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert f"log_file={tmp_path / 'log'} cannot be written" in (tmp_path / "usual").read_text()


def test_a_log_that_is_a_pipe_or_a_device_is_left_as_it_is(tmp_path: Path, root: logging.Logger, no_syslog: None) -> None:
    """A pipe that nobody reads would hold the worker up before its first heartbeat, and /dev/null would be for root alone."""
    os.mkfifo(tmp_path / "log", 0o600)
    ours, theirs = os.openpty()
    terminal = os.ttyname(theirs)
    mode = os.stat(terminal).st_mode
    for path in (tmp_path / "log", Path(terminal)):
        service.log_to_syslog("x", "info", path, tmp_path / "usual")
    assert (tmp_path / "usual").read_text().count("is no plain file") == 2
    assert stat.S_ISFIFO((tmp_path / "log").stat().st_mode) and os.stat(terminal).st_mode == mode
    os.close(theirs)
    os.close(ours)


def test_every_log_has_its_mode_whatever_the_umask(tmp_path: Path, root: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "LOG_ROOM", 2000)
    before = os.umask(0)
    try:
        service.log_to_syslog("x", "info", tmp_path / "log", None)
        for number in range(60):
            logging.getLogger("a").info("%d %s", number, "x" * 40)
    finally:
        os.umask(before)
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} == {"log": "0o640", "log.1": "0o640"}


def test_files_of_a_change_that_is_taken_back_are_written_through_no_link(tmp_path: Path) -> None:
    """They hold the passwords of power devices."""
    target, old = tmp_path / "target", tmp_path / "undo-to.xml"
    target.write_text("x")
    old.write_text("x")
    old.chmod(0o644)
    (tmp_path / "undo-from.xml").symlink_to(target)
    for name in ("undo-from.xml", "undo-to.xml"):
        transaction._write(tmp_path / name, "<cib/>")
        assert (tmp_path / name).read_text() == "<cib/>" and (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert target.read_text() == "x"


def test_a_hook_without_a_place_for_its_input_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = tmp_path / "hook"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(HostError, match=r"hook cannot be told: no file for its input can be written: No such file"):
        Hook(str(hook)).call({"event": "x"})


def test_so_is_a_disk_that_becomes_full() -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))    # as a full disk: a part is written, and the next write fails
    try:
        with pytest.raises(HostError, match=r"no file for its input can be written: File too large"):
            tell(["/bin/true"], "x" * 5000, {}, 5.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("word", ["x" * 300_000, "a\0b"], ids=["long", "NUL"])
def test_a_word_that_no_command_can_be_given_is_one_sentence(word: str) -> None:
    with pytest.raises(HostError, match="/bin/true cannot be run: "):
        run(["/bin/true", word], 5.0)
