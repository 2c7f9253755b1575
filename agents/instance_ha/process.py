"""The only place that starts processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import HostError

# Pacemaker's tools change their behaviour with OCF_RESKEY_CRM_meta_* and PCMK_* in their environment.
CLEAN_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
CHILD_PAUSE = 0.02    # seconds between two looks at a child
KILL_GRACE = 2.0      # seconds for the kernel to end what was killed
STARTED_BY = "INSTANCE_HA_WORKER"    # variable of what `tell` starts: the mark of who did
SAID_ROOM = 10000     # bytes of what somebody else's command says that are looked at


PCS_GIVES_UP = "Error: Errors have occurred, therefore pcs is unable to continue"


@dataclass(frozen=True)
class Outcome:
    """What a command did: its exit code and its output as text."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The last line it said, for an error message; not the one in which pcs says only that it gives up."""
        lines = [line for line in (self.err.strip() or self.out.strip()).splitlines() if not line.startswith(PCS_GIVES_UP)]
        return lines[-1].strip() if lines else "it said nothing"


def run(argv: Sequence[str], timeout: float) -> Outcome:
    """Run a command to its end, in a clean environment and with nothing on its standard input.

    `timeout` is in seconds. Raises HostError when the program is missing or does not end in time.
    """
    try:
        done = subprocess.run(           # noqa: S603  a list of words, never a shell
            list(argv), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, env=CLEAN_ENVIRONMENT, check=False
        )
    except FileNotFoundError:
        raise HostError(f"{argv[0]} is not installed on this machine") from None
    except OSError as error:         # no memory, too many processes, an argument that is too long
        raise HostError(f"{argv[0]} cannot be run: {error.strerror}") from None
    except ValueError:
        raise HostError(f"{argv[0]} cannot be run: a word for it holds a NUL") from None
    except subprocess.TimeoutExpired:
        raise HostError(f"{argv[0]} did not end within {timeout:g} s") from None
    return Outcome(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def tell(argv: Sequence[str], text: str, more: Mapping[str, str], timeout: float) -> Outcome:
    """Run somebody else's command to its end, with `text` on its standard input and `more` in its environment.

    After `timeout` seconds it is killed with all that it has started. Files take the place of pipes, which something that it has
    left behind could hold open for ever. Raises HostError when it is missing, cannot be run, or does not end in time.
    """
    with contextlib.ExitStack() as files:
        try:
            given, said = (files.enter_context(tempfile.TemporaryFile(buffering=0)) for _ in range(2))
            rest = text.encode()
            while rest:                  # a disk that becomes full takes a part
                rest = rest[given.write(rest):]
            given.seek(0)
        except OSError as error:
            raise HostError(f"{argv[0]} cannot be told: no file for its input can be written: {error.strerror}") from None
        try:
            environment = {**CLEAN_ENVIRONMENT, **more, STARTED_BY: mark_of(os.getpid())}
            process = subprocess.Popen(  # noqa: S603  the operator's own hook, a list of words
                list(argv), stdin=given, stdout=said, stderr=said, cwd="/",
                env=environment, start_new_session=True, close_fds=True)
        except OSError as error:
            raise HostError(f"{argv[0]} cannot be run: {error.strerror}") from None
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(KILL_GRACE)
            raise HostError(f"{argv[0]} did not end within {timeout:g} s") from None
        said.seek(0)
        return Outcome(code, said.read(SAID_ROOM).decode(errors="replace"), "")


def start_time(pid: int) -> str | None:
    """Return the kernel's start time of a process in ticks; None for none, or only its zombie."""
    fields = _stat(pid)
    return None if not fields or fields[0] in "ZX" else fields[19]


def state_of(pid: int) -> str:
    """Return the kernel's letter for the state of a process, "" when there is none."""
    return (_stat(pid) or [""])[0]


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def mark_of(pid: int, started: str | None = None) -> str:
    """Return what no other process of this boot has: the pid and the start time."""
    return f"{pid}.{started or start_time(pid)}"


def end_started_by(mark: str, seconds: float) -> list[int]:
    """Kill all that the process with this mark has started by `tell` and that still runs.

    Children of those count too. Returns the processes that are still there after `seconds`.
    """
    limit = time.monotonic() + seconds
    while left := _started_by(mark):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > limit:
            return left
        time.sleep(CHILD_PAUSE)
    return []


def _started_by(mark: str) -> list[int]:
    wanted, found = f"{STARTED_BY}={mark}".encode(), []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return [pid for pid in found if start_time(pid) is not None]


def within(seconds: float, work: Callable[[], None]) -> bool:
    """Do something in a child of this process, which is killed after `seconds`: nothing else ends a wait for a name server.
    Whether it came to its end; what it has changed in memory is lost."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(CHILD_PAUSE)
    os.kill(child, signal.SIGKILL)
    limit = time.monotonic() + KILL_GRACE      # one that hangs in the kernel does not end
    while not os.waitpid(child, os.WNOHANG)[0] and time.monotonic() < limit:
        time.sleep(CHILD_PAUSE)
    return False


def spawn_detached(argv: Sequence[str], environment: Mapping[str, str], log: str, keep: Sequence[int] = ()) -> int:
    """Start a background process in a session of its own, in /, holding no descriptor of ours but `keep`. Its pid.

    `log` takes what it prints: nothing but a crash of the interpreter itself.
    """
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        process = subprocess.Popen(      # noqa: S603  our own Python, with words that are ours
            list(argv), stdin=subprocess.DEVNULL, stdout=descriptor, stderr=descriptor, cwd="/",
            env=dict(environment), start_new_session=True, close_fds=True, pass_fds=tuple(keep),
        )
    finally:
        os.close(descriptor)
    return process.pid


def open_streams() -> None:
    """Give this process the streams that it was started without (`>&-`): what is said there goes nowhere, and fails nothing."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))     # noqa: SIM115
