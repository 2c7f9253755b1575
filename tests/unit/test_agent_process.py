"""NovaEvacuate's actions on this machine: what stop leaves, who may call it, what is looked at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from instance_ha import ocf, process, service
from instance_ha.metadata import ocf_xml
from lxml import etree

from tests.lab.common import REPOSITORY

SCHEMAS = (
    Path("/usr/share/pcs/data/ocf-1.1.rng"),
    Path("/usr/share/pacemaker/api/ocf-ra-1.1.rng"),
)
LIMIT = 10.0
CLOUD = {f"OCF_RESKEY_{name}": "x" for name in ("username", "password", "tenant_name")}
AWAY = {**CLOUD, "OCF_RESKEY_auth_url": "http://127.0.0.1:1/v3"}
INSTANCE = {"OCF_RESOURCE_INSTANCE": "t1", "OCF_RESKEY_CRM_meta_timeout": "20000"}
# A worker whose hook runs when it is stopped, as `tell` of a worker starts it.
WORKER = """
import signal, sys, threading
from instance_ha.process import tell
hook, ready = sys.argv[1:]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
threading.Thread(target=tell, args=([hook], "", {}, 60.0), daemon=True).start()
open(ready, "w").write("yes")
while True:
    signal.pause()
"""


def call(action: str, **environment: str) -> int:
    return ocf.main(["NovaEvacuate", action], {**INSTANCE, **environment})


def lives(pid: int) -> bool:
    return process.start_time(pid) is not None


def wait_for(path: Path) -> str:
    end = time.monotonic() + LIMIT
    while not path.exists() or not path.read_text().strip():
        assert time.monotonic() < end, f"{path} does not appear"
        time.sleep(0.01)
    return path.read_text()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HA_RSCTMP", str(tmp_path))
    return tmp_path


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    found: list[subprocess.Popen[bytes]] = []
    yield found
    for one in found:
        one.kill()
        one.wait()


def worker(folder: Path, started: list[subprocess.Popen[bytes]], *argv: str) -> int:
    """A process in the place of the worker t1."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(ocf.__file__).parents[1])}
    one = subprocess.Popen(argv, env=environment, start_new_session=True)
    started.append(one)
    (folder / "NovaEvacuate-t1.pid").write_text(f"{one.pid} {process.start_time(one.pid)}")
    return one.pid


def test_stop_fails_while_its_worker_lives(
    folder: Path,
    started: list[subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A signal has no effect on what is in an uninterruptible sleep: so it is here."""
    pid = worker(folder, started, "/bin/sleep", "60")
    monkeypatch.setattr(service, "STOP_GRACE", 0.5)
    with monkeypatch.context() as patch:
        patch.setattr(os, "kill", lambda pid, how: None)
        patch.setattr(os, "killpg", lambda pid, how: None)
        assert call("stop") == ocf.GENERIC
        said = capfd.readouterr().err
        assert f"ocf-exit-reason:process {pid} was killed and does not end (state S)" in said
        assert call("start", **AWAY) == ocf.SUCCESS and len(started) == 1, "no second worker"
    assert lives(pid) and (folder / "NovaEvacuate-t1.pid").exists()
    assert call("stop") == ocf.SUCCESS and not lives(pid) and not list(folder.iterdir())


@pytest.mark.parametrize("left", ["", "junk", "1 1", "a pipe"])
@pytest.mark.parametrize("action", ["stop", "start"])
def test_a_worker_whose_pid_file_is_gone_is_ended(
    folder: Path, started: list[subprocess.Popen[bytes]], action: str, left: str
) -> None:
    """Else a second one is started beside it. Another node's, which has its own folder, is spared."""
    (folder / "instance_ha.service").write_text("while :; do sleep 1; done\n")
    for where in (folder, folder / "elsewhere"):
        argv = ["/bin/sh", "-m", "instance_ha.service", "t1"]  # as the worker's command line begins
        environment = {"PATH": "/usr/bin:/bin", "HA_RSCTMP": str(where)}
        one = subprocess.Popen(argv, env=environment, cwd=folder, start_new_session=True)
        started.append(one)
    pidfile = folder / "NovaEvacuate-t1.pid"
    if left == "a pipe":
        os.mkfifo(pidfile)
    elif left:
        pidfile.write_text(left)
    expected = {"stop": ocf.SUCCESS, "start": ocf.GENERIC}  # no Pacemaker is here to start in
    assert call(action, **AWAY) == expected[action]
    assert not lives(started[0].pid) and lives(started[1].pid)


def test_stop_ends_a_worker_that_does_not_listen_and_what_it_waits_for(
    folder: Path, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "STOP_GRACE", 0.5)
    child = folder / "child"
    script = f"trap '' TERM; sleep 60 & echo $! > {child}; wait"
    pid = worker(folder, started, "/bin/sh", "-c", script)
    number = int(wait_for(child))
    child.unlink()
    began = time.monotonic()
    assert call("stop") == ocf.SUCCESS and time.monotonic() - began < 5
    assert not lives(pid) and not lives(number) and not list(folder.iterdir())


@pytest.mark.parametrize("how", [None, signal.SIGSTOP, signal.SIGKILL], ids=str)
def test_a_hook_does_not_outlive_stop(
    folder: Path,
    started: list[subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    how: int | None,
) -> None:
    """Of a worker that listens, of one that is frozen, and of one that has died."""
    monkeypatch.setattr(service, "STOP_GRACE", 2.0)  # what a busy machine takes to end a process
    hook, pids, ready = folder / "hook", folder / "pids", folder / "ready"
    hook.write_text(f"#!/bin/sh\nsleep 60 &\nsetsid sleep 60 &\necho $$ $! > {pids}\nwait\n")
    hook.chmod(0o755)
    pid = worker(folder, started, sys.executable, "-c", WORKER, str(hook), str(ready))
    numbers = [int(word) for word in wait_for(pids).split()]
    wait_for(ready)
    assert all(map(lives, numbers))
    if how is not None:
        os.kill(pid, how)
    if how == signal.SIGKILL:
        started[0].wait()
    assert call("stop") == ocf.SUCCESS
    assert not lives(pid) and not any(map(lives, numbers))
    assert {path.name for path in folder.iterdir()} == {"hook", "pids", "ready"}


def test_stop_spares_the_hook_of_another_worker(
    folder: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    other = subprocess.Popen(["/bin/sleep", "60"], env={process.STARTED_BY: "1.2"})
    started.append(other)
    worker(folder, started, "/bin/sleep", "60")
    assert call("stop") == ocf.SUCCESS and lives(other.pid)


@pytest.mark.parametrize("action", ["start", "stop", "reload-agent"])
def test_who_is_not_root_is_told_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], action: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    assert call(action, **AWAY) == ocf.PERM == 4
    assert (
        capfd.readouterr().err == f"ocf-exit-reason:{action} needs root, and this is user 65534\n"
    )
    assert call("monitor") == ocf.NOT_RUNNING and call("validate-all", **AWAY) == ocf.SUCCESS


def test_another_version_of_the_api_is_refused(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for action in ("start", "monitor", "reload-agent", "validate-all"):
        assert call(action, OCF_RA_VERSION_MAJOR="2", **AWAY) == ocf.INSTALLED
        assert "agent API 2 is unknown; this agent has 1" in capfd.readouterr().err
    assert call("stop", OCF_RA_VERSION_MAJOR="2") == ocf.SUCCESS
    for known in ("1", ""):
        assert call("validate-all", OCF_RA_VERSION_MAJOR=known, **AWAY) == ocf.SUCCESS


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"metrics_directory": "/no/such"}, "metrics_directory=/no/such is not there"),
        ({"hook": "/no/such"}, "hook=/no/such is not there"),
        ({"hook": "/etc/passwd"}, "hook=/etc/passwd may not be executed"),
        ({"hook": "/no/such", "metrics_directory": "/no/dir"}, "hook=/no/such is not there; metr"),
        ({"metrics_directory": "/tmp", "hook": "https://127.0.0.1:1/key"}, "Nova cannot be asked"),
    ],
    ids=str,
)
def test_level_10_looks_at_what_this_node_lacks(
    folder: Path, capfd: pytest.CaptureFixture[str], given: dict[str, str], word: str
) -> None:
    values = {**AWAY, **{f"OCF_RESKEY_{name}": value for name, value in given.items()}}
    assert call("validate-all", **values) == ocf.SUCCESS, "level 0 looks at nothing local"
    code = ocf.GENERIC if "Nova" in word else ocf.INSTALLED
    assert call("validate-all", OCF_CHECK_LEVEL="10", **values) == code
    assert f"ocf-exit-reason:{word}" in capfd.readouterr().err


def test_the_metadata_tells_of_level_10_and_of_what_is_to_be_unique() -> None:
    document = etree.fromstring(ocf_xml())
    depths = [(one.get("name"), one.get("depth")) for one in document.iter("action")]
    assert ("validate-all", "10") in depths and ("monitor", "10") in depths
    groups = {one.get("name"): one.get("unique-group") for one in document.iter("parameter")}
    assert {name for name, group in groups.items() if group} == {"evacuate_attribute"}


@pytest.mark.parametrize(("command", "code"), [
    ("ocf/openstack/NovaEvacuate meta-data", 0), ("ocf/openstack/NovaEvacuate nonsense", 3), ("agents/instance-ha --version", 0),
    ("agents/instance-ha nonsense", 2)])
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_stream_that_is_closed_changes_no_exit_code(command: str, code: int, closed: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "agents"), "OCF_ROOT": "/usr/lib/ocf"}
    line = f"{sys.executable} {REPOSITORY}/{command} {closed}"
    done = subprocess.run(["/bin/sh", "-c", line], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize("schema", [path for path in SCHEMAS if path.exists()], ids=str)
def test_the_metadata_fits_each_schema_of_this_machine(schema: Path) -> None:
    etree.RelaxNG(etree.parse(str(schema))).assertValid(etree.fromstring(ocf_xml()))
