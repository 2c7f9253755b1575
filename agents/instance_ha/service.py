"""The worker as a process: its start, its stop, its health. Only this machine is asked; nothing here uses the network."""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import HostError, InstanceHaError
from .process import spawn_detached
from .trail import TRAIL

if TYPE_CHECKING:  # stop and the probe must work where lxml or keystoneauth1 are missing: _build imports the rest
    from .engine.worker import Worker
    from .reporting.telling import Teller

HEARTBEAT_LIMIT = 120.0    # a worker that has written no heartbeat for so long is stuck
ANSWERS = 10               # answers of Nova, each as late as can be, that one host's turn may wait for
START_LIMIT = 15.0         # how long a new worker may take to its first heartbeat
STOP_GRACE = 5.0           # between TERM and KILL
BUG_PAUSE = 1.0            # after a turn that failed by a bug
LOG = logging.getLogger(__name__)


def state_directory() -> Path:
    """Where resource agents keep what does not outlive a boot; Pacemaker does not export HA_RSCTMP to agents."""
    return Path(os.environ.get("HA_RSCTMP") or "/run/resource-agents")


@dataclass(frozen=True)
class Status:
    """What monitor sees: `running` (None: a stale pid, the worker died), the pid, its last heartbeat's age in
    seconds, its words, and the age at which it counts as stuck."""

    running: bool | None
    pid: int = 0
    age: float = 0.0
    sentence: str = ""
    problems: Mapping[str, str] | None = None
    limit: float = HEARTBEAT_LIMIT


class Service:
    """The worker of one resource instance."""

    def __init__(self, instance: str) -> None:
        name = self.name = re.sub(r"[^A-Za-z0-9_.-]", "_", instance.split(":")[0])
        base = state_directory()
        self.pidfile = base / f"NovaEvacuate-{name}.pid"
        self.health = base / f"NovaEvacuate-{name}.health"
        self.settings = base / f"NovaEvacuate-{name}.settings"
        self.output = base / f"NovaEvacuate-{name}.out"
        self.instance = instance.split(":")[0]

    def status(self) -> Status:
        """What is known of the worker, from this machine's files and processes."""
        try:
            pid_text, started = self.pidfile.read_text().split()
            pid = int(pid_text)
        except FileNotFoundError:
            return Status(False)
        except (OSError, ValueError):
            return Status(None)
        if start_time(pid) != started:
            return Status(None, pid)
        try:
            words = json.loads(self.health.read_text())
            age = time.clock_gettime(time.CLOCK_BOOTTIME) - float(words["beat"])
            return Status(True, pid, age, words["sentence"], words["problems"], float(words["limit"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Status(True, pid, 0.0, "", {"health": "the worker's health file cannot be read"})

    def start(self, values: Mapping[str, str], instance: str) -> None:
        """Start the worker with these resolved parameters and return at its first heartbeat. Raises HostError."""
        directory = state_directory()
        try:
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.health.unlink(missing_ok=True)
            self.write_settings(values)
            argv = [sys.executable, "-m", "instance_ha.service", instance]
            root = str(Path(__file__).resolve().parents[1])
            environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "PYTHONPATH": root,
                           "PYTHONNOUSERSITE": "1", "HA_RSCTMP": str(directory), "HOME": "/root"}
            if os.environ.get("OS_CLIENT_CONFIG_FILE"):
                environment["OS_CLIENT_CONFIG_FILE"] = os.environ["OS_CLIENT_CONFIG_FILE"]
            pid = spawn_detached(argv, environment, str(self.output))
            self.pidfile.write_text(f"{pid} {start_time(pid)}")
        except OSError as error:
            raise HostError(f"the worker cannot be started: {error}") from None
        limit = time.monotonic() + START_LIMIT
        while not self.health.exists():
            if start_time(pid) is None:
                raise HostError(f"the worker ended at once: {_last_line(self.output)}")
            if time.monotonic() > limit:
                raise HostError(f"the worker gave no sign of life within {START_LIMIT:g} s")
            time.sleep(0.05)

    def write_settings(self, values: Mapping[str, str]) -> None:
        """Leave the parameters where the worker reads them: readable by root only, never in argv or environment."""
        draft = self.settings.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(dict(values), file)
        draft.replace(self.settings)

    def reload(self, values: Mapping[str, str]) -> None:
        """Give a running worker new parameters; without one nothing is left behind. Raises HostError."""
        status = self.status()
        if status.running:
            try:
                self.write_settings(values)
            except OSError as error:
                raise HostError(f"{self.settings} cannot be written: {error.strerror}") from None
            os.kill(status.pid, signal.SIGHUP)

    def stop(self, budget: float) -> None:
        """End the worker within `budget` seconds, KILL at last, and remove what it left. Never fails for one that is gone."""
        status = self.status()
        grace = max(0.5, min(STOP_GRACE, budget / 2))
        damaged = status.running is None and not status.pid
        for pid in [status.pid] if status.running else self._unlisted() if damaged else []:
            _end(pid, grace)
        drafts = (self.settings.with_suffix(".new"), self.health.with_suffix(".health.new"))
        for path in (self.pidfile, self.health, self.settings, self.output, *drafts):
            with contextlib.suppress(OSError):
                path.unlink()

    def _unlisted(self) -> list[int]:
        """This instance's workers by their command lines, for a pid file that cannot be read."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if path.read_text(errors="replace").split("\0")[1:4] == ["-m", "instance_ha.service", self.instance]:
                    found.append(int(path.parent.name))
        return found


def _end(pid: int, grace: float) -> None:
    """TERM, then KILL, each with `grace` seconds to take effect."""
    started = start_time(pid)
    for how in (signal.SIGTERM, signal.SIGKILL):
        if started is None or start_time(pid) != started:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)
        limit = time.monotonic() + grace
        while start_time(pid) == started and time.monotonic() < limit:
            time.sleep(0.05)


def start_time(pid: int) -> str | None:
    """The kernel's start time of a process in ticks, as text; None when there is none, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        return "no output"
    return lines[-1] if lines else "no output"


def log_to_syslog(ident: str, level: str) -> None:
    """Send the log to syslog (or the journal) under `ident`; to nowhere when there is no syslog."""
    root = logging.getLogger()
    root.handlers.clear()
    root.setLevel(level.upper())
    logging.getLogger("keystoneauth").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its pool being full is no news
    try:
        handler: logging.Handler = logging.handlers.SysLogHandler("/dev/log", logging.handlers.SysLogHandler.LOG_DAEMON)
    except OSError:
        handler = logging.NullHandler()
    handler.addFilter(TRAIL)
    handler.setFormatter(logging.Formatter(f"{ident}[{os.getpid()}]: %(levelname)s: %(message)s"))
    root.addHandler(handler)


def main(instance: str) -> int:
    """The worker's process, until TERM. Exit code 0 after TERM, 1 when it cannot work at all."""
    service = Service(instance)
    stop, reload = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, lambda *_: reload.set())
    try:
        worker, teller = _build(service, instance, None)
    except (InstanceHaError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    _beat(service, worker)
    taken = looked = None   # the resource's parameters as the CIB had them when they were taken, and when they were last looked at
    while not stop.is_set():
        if reload.is_set():
            reload.clear()
            _reload(service, instance, worker, teller)
        try:
            pause = worker.turn()
            worker.solved("bug")
        except Exception:  # the process edge: a bug must neither end the worker nor be hidden
            LOG.exception("a turn failed; trying again")
            worker.health.problems["bug"] = "the worker met a bug; its log has a traceback"
            pause = BUG_PAUSE
        teller.look(worker)
        _beat(service, worker)
        now = worker.parameters
        taken = taken or now
        # Pacemaker's own reload waits for whatever it is at, such as the 60 s of a start of the dead host's connection.
        if taken and now and now != (looked or taken) and _take(service, worker, taken, now):
            taken, pause = now, 0.0
            reload.set()
        looked = now or looked
        stop.wait(pause)
    with contextlib.suppress(InstanceHaError):
        worker.leave()
    teller.close()
    LOG.info("stopped")
    return 0


def _build(service: Service, instance: str, old: tuple[Worker, Teller] | None) -> tuple[Worker, Teller]:
    from . import credentials
    from .cluster import Cluster
    from .engine.selection import policy_from
    from .engine.worker import Worker
    from .reporting.telling import Teller

    values = json.loads(service.settings.read_text())
    log_to_syslog(f"NovaEvacuate({instance})", values["log_level"])
    policy = policy_from(values)
    nova = credentials.connect(values)
    if old is not None:
        worker, teller = old
        worker.reconfigure(nova, policy, values["domain"])
        teller.configure(values)
    else:
        cluster = Cluster(values["evacuate_attribute"], instance)
        node = cluster.local_node()
        token = f"{node}.{os.getpid()}.{start_time(os.getpid())}"
        LOG.info("started, as %s", token)
        worker = Worker(cluster, nova, policy, token, values["domain"])
        worker.alive = lambda: _beat(service, worker)
        teller = Teller(service.name, node, cluster, values)
    worker.patience = max(HEARTBEAT_LIMIT, ANSWERS * float(values["api_timeout"]))
    return worker, teller


def _take(service: Service, worker: Worker, before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Write down what has changed of the resource's parameters in the CIB. Whether they can be taken; else monitor says why."""
    from . import params

    changed = {name: now.get(name, "") for name in {*before, *now} if before.get(name) != now.get(name)}
    try:
        values = {**json.loads(service.settings.read_text()), **changed}
        service.write_settings(params.resolve(params.of(params.OCF), values))
    except (InstanceHaError, OSError, ValueError) as error:
        _not_taken(worker, error)
        return False
    return True


def _reload(service: Service, instance: str, worker: Worker, teller: Teller) -> None:
    try:
        _build(service, instance, (worker, teller))
        worker.health.problems.pop("settings", None)
        LOG.info("parameters read again")
    except Exception as error:  # the worker that runs goes on whatever this is
        _not_taken(worker, error)


def _not_taken(worker: Worker, error: Exception) -> None:
    worker.problem("settings", f"the new parameters were not taken: {error}")


def _beat(service: Service, worker: Worker) -> None:
    words = {"beat": time.clock_gettime(time.CLOCK_BOOTTIME), "limit": worker.patience, "sentence": worker.health.sentence,
             "problems": worker.health.problems}
    draft = service.health.with_suffix(".health.new")
    with contextlib.suppress(OSError):
        draft.write_text(json.dumps(words))
        draft.replace(service.health)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
