"""The worker's files, and what monitor sees while a turn hangs or the disk is full."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from instance_ha import credentials, files, ocf
from instance_ha.cluster import Cluster
from instance_ha.engine.context import Context
from instance_ha.engine.selection import Policy
from instance_ha.engine.worker import Worker
from instance_ha.errors import HostError
from instance_ha.files import check_folder, write_whole
from instance_ha.heart import Heart
from instance_ha.http_limits import PENDING
from instance_ha.service import Service, start_time

from tests.unit.ill_cloud import values

QUIET = 0.2


def worker(patience: float = 120.0) -> Worker:
    one = Worker(Context(Cluster(), credentials.connect(values()), Policy(), "me"))
    one.patience = patience
    one.context.say("nothing is on record")
    return one


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("HA_RSCTMP", str(tmp_path))
    one = Service("x")
    one.pidfile.write_text(f"{os.getpid()} {start_time(os.getpid())}")
    before = os.umask(0)
    yield one
    os.umask(before)


def test_files_have_their_modes_whatever_the_umask(own: Service) -> None:
    Heart(own.health, worker()).beat()
    own.write_settings({"password": "p"})
    assert (own.health.stat().st_mode & 0o777, own.settings.stat().st_mode & 0o777) == (0o644, 0o600)


def test_nothing_is_written_through_a_link(own: Service, tmp_path: Path) -> None:
    target = tmp_path / "victim"
    target.write_text("x")
    for link in (own.health, own.health.with_name(own.health.name + ".new")):
        link.symlink_to(target)
    Heart(own.health, worker()).beat()
    assert target.read_text() == "x" and not own.health.is_symlink() and own.status().sentence == "nothing is on record"


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775, 0o757])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f").chmod(mode)
    with pytest.raises(HostError, match=r"may be written to by others than root.*chmod 755"):
        check_folder(tmp_path / "f")
    (tmp_path / "f").chmod(0o755)
    check_folder(tmp_path / "f")


def test_start_refuses_it(own: Service, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(HostError, match="may be written to by others"):
        own.start({}, "x")
    assert not own.settings.exists()


def test_a_hanging_turn_is_seen_while_it_hangs(own: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    one = worker()
    heart = Heart(own.health, one, QUIET)
    heart.beat()
    key = PENDING.begin("GET http://nova/servers/detail")
    heart.start()
    try:
        time.sleep(QUIET * 2)
        status = own.status()
        assert status.problems and "no answer yet to GET http://nova/servers/detail" in status.problems["hangs"]
        assert status.age > QUIET, "nothing has come: it is no sign of life"
        code, said = monitor(monkeypatch, own)
        assert code == ocf.DEGRADED and "this turn of the worker goes on" in said
        one.patience = 0.1
        heart.look()
        code, said = monitor(monkeypatch, own)
        assert code == ocf.GENERIC and "no sign of life" in said and "no answer yet to GET" in said
    finally:
        one.patience = 120.0
        PENDING.end(key)
    heart.look()
    status = own.status()
    assert status.age < QUIET and status.problems, "an answer came: the worker lives, and its turn is long"
    heart.beat()
    assert own.status().problems == {}
    heart.stop()


def monitor(monkeypatch: pytest.MonkeyPatch, own: Service) -> tuple[int, str]:
    said: list[str] = []
    monkeypatch.setattr(ocf, "print", lambda text, file: said.append(text), raising=False)
    code = ocf._monitor({"OCF_RESOURCE_INSTANCE": "x", "OCF_RESKEY_CRM_meta_interval": "10000"})
    return code, " ".join(said)


@pytest.mark.parametrize("why", [28, 30])
def test_a_full_or_read_only_disk_ends_no_recovery(own: Service, monkeypatch: pytest.MonkeyPatch, why: int) -> None:
    """ENOSPC, EROFS. The heartbeat gets old, and monitor does not fail by that."""
    Heart(own.health, worker()).beat()
    words = json.loads(own.health.read_text())
    own.health.write_text(json.dumps({**words, "beat": words["beat"] - 1000}))

    opened = os.open

    def refuse(path: str, flags: int, *more: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(why, os.strerror(why))
        return opened(path, flags, *more)

    monkeypatch.setattr(files.os, "open", refuse)
    Heart(own.health, worker()).beat()
    code, said = monitor(monkeypatch, own)
    assert code == ocf.DEGRADED and os.strerror(why) in said
    monkeypatch.undo()
    monkeypatch.setenv("HA_RSCTMP", str(own.health.parent))
    assert monitor(monkeypatch, own)[0] == ocf.GENERIC, "it can be written to: the worker is stuck"


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "a", "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fchmod", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old" and [one.name for one in tmp_path.iterdir()] == ["a"]
