"""The OCF agent and its worker: what may not stop it, and what a log that cannot be written does."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from instance_ha import ocf, params, service
from instance_ha.cluster import Cluster
from instance_ha.engine.context import Context
from instance_ha.engine.selection import Policy
from instance_ha.engine.worker import Worker
from instance_ha.process import start_time

from tests.unit.test_agent_process import AWAY

Said = pytest.CaptureFixture[str]
DEEP = {"OCF_RESOURCE_INSTANCE": "x", "OCF_CHECK_LEVEL": "10", "OCF_RESKEY_CRM_meta_interval": "60000",
        "OCF_RESKEY_CRM_meta_timeout": "40000"}
LINES, LINE = 200, "x" * 90


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> service.Service:
    """A worker that is well, as monitor sees it."""
    monkeypatch.setenv("HA_RSCTMP", str(tmp_path))
    one = service.Service("x")
    one.pidfile.write_text(f"{os.getpid()} {start_time(os.getpid())}")
    words = {"beat": time.clock_gettime(time.CLOCK_BOOTTIME), "limit": 120.0, "sentence": "", "problems": {}}
    one.health.write_text(json.dumps(words))
    return one


@pytest.mark.parametrize("wrong", [{"OCF_RESKEY_max_parallel": "many"}, {"OCF_RESKEY_password": ""}], ids=str)
def test_a_wrong_parameter_does_not_stop_a_worker_that_works_on_without_it(own: service.Service, capfd: Said, wrong: dict[str, str]) -> None:
    """reload-agent has let it work on, since for a 6 Pacemaker would stop it and start it nowhere; so must monitor."""
    environment = {**AWAY, **DEEP, **wrong}
    assert ocf.main(["NovaEvacuate", "monitor"], {**environment, "OCF_CHECK_LEVEL": "0"}) == ocf.SUCCESS
    assert ocf.main(["NovaEvacuate", "monitor"], environment) == ocf.DEGRADED
    assert next(iter(wrong)).removeprefix("OCF_RESKEY_") in capfd.readouterr().err


def test_a_name_server_that_is_silent_does_not_end_a_deep_monitor(own: service.Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its timeout Pacemaker calls it failed, and restarts the worker: a fault of OpenStack's may not."""
    silent = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: silent.wait(30) or (_ for _ in ()).throw(socket.gaierror(-3, "again")))
    environment = {**AWAY, **DEEP, "OCF_RESKEY_auth_url": "http://keystone.example.com:5000/v3", "OCF_RESKEY_CRM_meta_timeout": "4000"}
    code: list[int] = []
    thread = threading.Thread(target=lambda: code.append(ocf.main(["NovaEvacuate", "monitor"], environment)), daemon=True)
    thread.start()
    thread.join(4.0)
    assert code == [ocf.DEGRADED], "still waiting when Pacemaker kills it"
    silent.set()


FULL = """
import logging, resource, sys
from pathlib import Path
from instance_ha import service
service.log_to_syslog("x", "info", Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for number in range(int(sys.argv[2])):
    logging.getLogger("a").info("%s", sys.argv[3])
"""


def test_a_full_disk_of_the_log_does_not_fill_the_folder_of_the_worker(tmp_path: Path) -> None:
    """What the worker prints goes into a file without a limit in /run, which is memory."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, "-c", FULL, str(tmp_path / "log"), str(LINES), LINE]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (tmp_path / "log").stat().st_size <= 1000
    assert len(done.stdout + done.stderr) < LINES * len(LINE), "more was printed than there was to log"


@pytest.fixture
def syslog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], socket.socket]]:
    """A syslog that takes what comes into its socket, and reads nothing of it."""
    real, path = logging.handlers.SysLogHandler, str(tmp_path / "log")

    class Here(real):  # type: ignore[misc, valid-type]
        def __init__(self, _: str, facility: int) -> None:
            real.__init__(self, path, facility)

    def start() -> socket.socket:
        one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        one.bind(path)
        return one

    monkeypatch.setattr(logging.handlers, "SysLogHandler", Here)
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    yield start
    root.handlers[:] = kept
    root.setLevel(level)


def test_a_syslog_that_is_gone_does_not_fill_the_folder_of_the_worker(
    tmp_path: Path, syslog: Callable[[], socket.socket], capfd: Said
) -> None:
    one = syslog()
    service.log_to_syslog("x", "info")
    one.close()
    (tmp_path / "log").unlink()
    for _ in range(LINES):
        logging.getLogger("a").info("%s", LINE)
    said = capfd.readouterr()
    assert len(said.out + said.err) < LINES * len(LINE), "more was printed than there was to log"


def test_a_syslog_that_hangs_does_not_hold_up_the_worker(syslog: Callable[[], socket.socket]) -> None:
    one = syslog()
    service.log_to_syslog("x", "info")
    log = logging.getLogger("a")
    thread = threading.Thread(target=lambda: [log.info("%s", LINE) for _ in range(2000)], daemon=True)
    thread.start()
    thread.join(5.0)
    hangs = thread.is_alive()
    one.close()
    thread.join(5.0)
    assert not hangs, "it waits for syslog, and evacuates nothing"


def test_a_worker_that_dies_just_now_is_no_traceback_of_reload(own: service.Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(pid: int, how: int) -> None:
        raise ProcessLookupError(3, "No such process")

    monkeypatch.setattr(os, "kill", gone)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert ocf.main(["NovaEvacuate", "reload-agent"], {**AWAY, "OCF_RESOURCE_INSTANCE": "x"}) in (ocf.SUCCESS, ocf.NOT_RUNNING, ocf.GENERIC)


def test_a_parameter_under_its_other_name_is_taken_from_the_cib(own: service.Service) -> None:
    """`passwd` for password: as in a resource that was made for the old agent."""
    given = {"cloud": "x", "password": "old"}
    own.write_settings(params.resolve(params.of(params.OCF), given))
    worker = Worker(Context(Cluster(), None, Policy(), "me"))  # type: ignore[arg-type]
    assert service._take(own, worker, {"cloud": "x", "passwd": "old"}, {"cloud": "x", "passwd": "new"})
    assert json.loads(own.settings.read_text())["password"] == "new"


def test_little_room_is_not_taken_for_a_worker_that_is_stuck(own: service.Service) -> None:
    """Of many hosts' problems a heartbeat takes more than what is tried to be written."""
    code = """
import json, os, resource, sys, time
from instance_ha import service
from instance_ha.files import write_whole
one = service.Service("x")
words = json.loads(one.health.read_text())
words["beat"] -= 1000
words["problems"] = {f"left cmp-{n}": "3 of its servers not evacuated: web-1, web-2, web-3; No valid host was found." for n in range(60)}
one.health.write_text(json.dumps(words))
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    write_whole(one.health, json.dumps(words))
except OSError:
    status = one.status()
    sys.exit(status.age > status.limit)
sys.exit(9)
"""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(sys.path), "HA_RSCTMP": os.environ["HA_RSCTMP"]}
    own.pidfile.write_text(f"{os.getpid()} {start_time(os.getpid())}")
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False, timeout=60)
    assert done.returncode == 0


def test_a_probe_finds_a_worker_whose_pid_file_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else Pacemaker starts a second one on another node: of a damaged file the probe does so already."""
    monkeypatch.setenv("HA_RSCTMP", str(tmp_path))
    (tmp_path / "instance_ha.service").write_text("while :; do sleep 1; done\n")
    argv = ["/bin/sh", "-m", "instance_ha.service", "x"]
    environment = {"PATH": "/usr/bin:/bin", "HA_RSCTMP": str(tmp_path)}
    one = subprocess.Popen(argv, env=environment, cwd=tmp_path, start_new_session=True)
    try:
        time.sleep(0.2)
        code = ocf.main(["NovaEvacuate", "monitor"], {"OCF_RESOURCE_INSTANCE": "x", "OCF_RESKEY_CRM_meta_interval": "0"})
        assert code != ocf.NOT_RUNNING or start_time(one.pid) is None
    finally:
        one.kill()
        one.wait()
