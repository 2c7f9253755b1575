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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import HostError, InstanceHaError
from .files import check_folder, open_log, read_text, why_unwritable, write_whole
from .logs import CLEAN, Lines, syslog
from .process import end_started_by, mark_of, spawn_detached, start_time, state_of
from .text import printable
from .trail import TRAIL

if TYPE_CHECKING:  # stop and the probe must work where lxml or keystoneauth1 are missing: _build imports the rest
    from .engine.worker import Worker
    from .reporting.telling import Teller

HEARTBEAT_LIMIT = 120.0    # a worker that has written no heartbeat for so long is stuck
ANSWERS = 10               # answers of Nova, each as late as can be, that one host's turn may wait for
START_LIMIT, STOP_GRACE = 15.0, 5.0   # how long a new worker may take to its first heartbeat; between TERM and KILL
FILES = Path("/proc/self/ns/mnt")     # which files this process sees
HOOK_GRACE = 2.0           # for what the hook has started to end when it is killed
LOG_ROOM = 8 << 20         # bytes of a log file, of which an older one is kept
LOG_MODE = 0o640
BUG_PAUSE = 1.0            # after a turn that failed by a bug
TOO_MANY = ("OpenStack answers 429 (too many requests): ours wait for their turns, and everything takes longer; "
            "allow the agents' user more")
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
        self.log = base / f"NovaEvacuate-{name}.log"      # where there is no syslog
        self.instance = instance.split(":")[0]

    def status(self) -> Status:
        """What is known of the worker, from this machine's files and processes."""
        try:
            pid_text, started = read_text(self.pidfile).split()
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
            limit = float(words["limit"])
            if age > limit and (why := why_unwritable(self.health.parent, 2 * self.health.stat().st_size)):
                # Its heartbeat cannot be seen, which is no sign that there is none: recovery needs no disk, and goes on.
                return Status(True, pid, 0.0, words["sentence"], {"state-folder": f"{self.health.parent} cannot be written to: {why}; "
                              "the worker goes on, and whether it is stuck cannot be seen"}, limit)
            return Status(True, pid, age, words["sentence"], words["problems"], limit)
        except (OSError, ValueError, KeyError, TypeError):
            return Status(True, pid, 0.0, "", {"health": "the worker's health file cannot be read"})

    def start(self, values: Mapping[str, str], instance: str) -> None:
        """Start the worker with these resolved parameters and return at its first heartbeat. Raises HostError."""
        directory = state_directory()
        try:
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            check_folder(directory)
            self.health.unlink(missing_ok=True)
            self.write_settings(values)
            argv = [sys.executable, "-m", "instance_ha.service", instance]
            root = str(Path(__file__).resolve().parents[1])
            environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "PYTHONPATH": root,
                           "PYTHONNOUSERSITE": "1", "HA_RSCTMP": str(directory), "HOME": "/root"}
            if os.environ.get("OS_CLIENT_CONFIG_FILE"):
                environment["OS_CLIENT_CONFIG_FILE"] = os.environ["OS_CLIENT_CONFIG_FILE"]
            pid = spawn_detached(argv, environment, str(self.output))
            write_whole(self.pidfile, f"{pid} {start_time(pid)}")
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
        write_whole(self.settings, json.dumps(dict(values)), 0o600)

    def reload(self, values: Mapping[str, str]) -> None:
        """Give a running worker new parameters; without one nothing is left behind. Raises HostError."""
        status = self.status()
        if status.running:
            try:
                self.write_settings(values)
            except OSError as error:
                raise HostError(f"{self.settings} cannot be written: {error.strerror}") from None
            try:
                os.kill(status.pid, signal.SIGHUP)
            except ProcessLookupError:
                raise HostError("the worker has died; its log says why") from None

    def stop(self, budget: float) -> str:
        """End the worker and what its hook has started, KILL at last, and remove what they left.

        Takes `budget` seconds, and never fails for what is gone. Returns "", or what is left:
        then the pid file stays, so that the next stop and the next start find it.
        """
        status = self.status()
        grace = max(0.5, min(STOP_GRACE, budget / 2))
        # A pid file may have been taken away, or be damaged, while its worker lives.
        pids = [status.pid] if status.running else self._unlisted()
        marks = [mark_of(pid) for pid in pids] + self._marks()
        left = [pid for pid in pids if not _end(pid, grace)]
        for mark in dict.fromkeys(marks):
            left += end_started_by(mark, min(grace, HOOK_GRACE))
        kept = (self.pidfile, self.health) if left else ()
        for path in (self.pidfile, self.health, self.settings, self.output):
            for name in (path, path.with_name(path.name + ".new")) if path not in kept else ():
                with contextlib.suppress(OSError):
                    name.unlink()
        return _why_left(left)

    def _marks(self) -> list[str]:
        """Return the mark of the worker in the pid file, who may be dead, in a list."""
        try:
            pid, started = read_text(self.pidfile).split()
            return [mark_of(int(pid), started)]
        except (OSError, ValueError):
            return []

    def _unlisted(self) -> list[int]:
        """This instance's workers by their command lines, for a pid file that does not name one.

        One that sees other files, as in a container, or has another folder is another node's.
        """
        found, words = [], ["-m", "instance_ha.service", self.instance]
        folder = f"HA_RSCTMP={self.pidfile.parent}".encode()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                named = path.read_text(errors="replace").split("\0")[1:4] == words
                ours = named and folder in path.with_name("environ").read_bytes().split(b"\0")
                if ours and (path.parent / "ns/mnt").readlink() == FILES.readlink():
                    found.append(int(path.parent.name))
        return [pid for pid in found if start_time(pid) is not None]


def _end(pid: int, grace: float) -> bool:
    """Send TERM, then KILL, and wait `grace` seconds after each. Returns whether it has ended."""
    started = start_time(pid)
    for how in (signal.SIGTERM, signal.SIGKILL):
        if started is None or start_time(pid) != started:
            return True
        with contextlib.suppress(ProcessLookupError):
            # A worker leads a group, in which are the tools of Pacemaker that it waits for.
            if how == signal.SIGKILL and os.getpgid(pid) == pid:
                os.killpg(pid, how)
            else:
                os.kill(pid, how)
        limit = time.monotonic() + grace
        while start_time(pid) == started and time.monotonic() < limit:
            time.sleep(0.05)
    return start_time(pid) != started


def _why_left(pids: Sequence[int]) -> str:
    if not pids:
        return ""
    state = state_of(pids[0])
    return (f"process {pids[0]} was killed and does not end (state {state}): it hangs in "
            "the kernel, at a disk or a network file system")


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        return "no output"
    return lines[-1] if lines else "no output"


def log_to_syslog(ident: str, level: str, path: Path | None = None, usual: Path | None = None) -> None:
    """Send the log to the file `path`, else to syslog (or the journal) under `ident`, else to the file `usual`.

    The next one is taken where one cannot be written; the last is nowhere.
    """
    root = logging.getLogger()
    root.handlers.clear()
    root.setLevel(level.upper())
    logging.raiseExceptions = False    # a traceback for each line of a log that cannot be written would fill /run
    logging.getLogger("keystoneauth").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its pool being full is no news
    own = _file(path)
    handler = own or syslog() or _file(usual) or logging.NullHandler()
    date = "%(asctime)s " if isinstance(handler, logging.FileHandler) else ""
    handler.addFilter(TRAIL)
    handler.addFilter(CLEAN)
    handler.setFormatter(Lines(f"{date}{printable(ident)}[{os.getpid()}]: %(levelname)s: %(message)s"))
    root.addHandler(handler)
    if path is not None and own is None:
        LOG.warning("log_file=%s cannot be written, or is no plain file: the log is elsewhere", path)


class _LogFile(logging.handlers.RotatingFileHandler):
    """A log that root alone may write and its group read, every one of them."""

    def _open(self) -> Any:
        return open_log(self.baseFilename, LOG_MODE)


def _file(path: Path | None) -> logging.Handler | None:
    """Return what writes into a file that does not grow without a limit, None when it cannot be written."""
    if path is None:
        return None
    try:
        return _LogFile(path, maxBytes=LOG_ROOM, backupCount=1, encoding="utf-8")
    except OSError:
        return None


def main(instance: str) -> int:
    """The worker's process, until TERM. Exit code 0 after TERM, 1 when it cannot work at all."""
    service = Service(instance)
    stop, reload = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, lambda *_: reload.set())
    try:
        from .cib_file import CibFile
        from .heart import Heart
        from .reporting.board import Board

        worker, teller = _build(service, instance, None)
    except (InstanceHaError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    heart, board = Heart(service.health, worker), Board(worker.context.cluster)
    changes = CibFile()
    worker.context.alive, worker.context.watched = heart.beat, changes.is_there
    heart.beat()
    heart.start()
    taken = looked = None   # the resource's parameters as the CIB had them when they were taken, and when they were last looked at
    while not stop.is_set():
        if reload.is_set():
            reload.clear()
            _reload(service, instance, worker, teller)
        try:
            pause = worker.turn()
            worker.context.solved("bug")
        except Exception:  # the process edge: a bug must neither end the worker nor be hidden
            LOG.exception("a turn failed; trying again")
            worker.context.health.problems["bug"] = "the worker met a bug; its log has a traceback"
            pause = BUG_PAUSE
        tell_unreadable(worker)
        teller.look(worker)
        board.show(worker)
        heart.beat()
        now = worker.parameters
        taken = taken or now
        # Pacemaker's own reload waits for whatever it is at, such as the 60 s of a start of the dead host's connection.
        if taken and now and now != (looked or taken) and _take(service, worker, taken, now):
            taken, pause = now, 0.0
            reload.set()
        looked = now or looked
        changes.wait(stop, pause)
    board.close()
    with contextlib.suppress(InstanceHaError):
        worker.leave()
    teller.close()
    heart.stop()
    end_started_by(mark_of(os.getpid()), HOOK_GRACE)
    LOG.info("stopped")
    return 0


def _build(service: Service, instance: str, old: tuple[Worker, Teller] | None) -> tuple[Worker, Teller]:
    from . import credentials
    from .cluster import Cluster
    from .engine.context import Context
    from .engine.selection import policy_from
    from .engine.worker import Worker
    from .reporting.telling import Teller

    values = json.loads(service.settings.read_text())
    own = Path(values["log_file"]) if values.get("log_file") else None
    log_to_syslog(f"NovaEvacuate({instance})", values["log_level"], own, service.log)
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
        worker = Worker(Context(cluster, nova, policy, token, values["domain"]))
        teller = Teller(service.name, node, cluster, values)
    worker.patience = max(HEARTBEAT_LIMIT, ANSWERS * float(values["api_timeout"]))
    return worker, teller


def _take(service: Service, worker: Worker, before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Write down what has changed of the resource's parameters in the CIB. Whether they can be taken; else monitor says why."""
    from . import params

    changed = {name for name in {*before, *now} if before.get(name) != now.get(name)}
    try:
        values = json.loads(service.settings.read_text())
        # By all names of a parameter: one that was given by another name stands in the settings by its own.
        again = {param.name for param in params.of(params.OCF) if changed & {param.name, *param.aliases}}
        values = {name: value for name, value in values.items() if name not in again}
        given = {name: now[name] for name in now if {name} & {one for param in params.of(params.OCF) if param.name in again
                                                           for one in (param.name, *param.aliases)}}
        service.write_settings(params.resolve(params.of(params.OCF), {**values, **given}))
    except (InstanceHaError, OSError, ValueError) as error:
        _not_taken(worker, error)
        return False
    return True


def _reload(service: Service, instance: str, worker: Worker, teller: Teller) -> None:
    try:
        _build(service, instance, (worker, teller))
        worker.context.health.problems.pop("settings", None)
        LOG.info("parameters read again")
    except Exception as error:  # the worker that runs goes on whatever this is
        _not_taken(worker, error)


def _not_taken(worker: Worker, error: Exception) -> None:
    worker.context.problem("settings", f"the new parameters were not taken: {error}")


def tell_unreadable(worker: Worker) -> None:
    """Make what could not be read of Nova's answers a problem, which monitor shows, for as long as it cannot; and its limits."""
    now = {f"unreadable {what}": sentence for what, sentence in worker.context.nova.unreadable.items()}
    for subject in [one for one in worker.context.health.problems if one.startswith("unreadable ") and one not in now]:
        worker.context.solved(subject)
    for subject, sentence in now.items():
        worker.context.problem(subject, sentence)
    if worker.context.nova.pace.pause:
        worker.context.problem("pace", TOO_MANY)
    else:
        worker.context.solved("pace")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
