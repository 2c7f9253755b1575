"""The only place that starts processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .errors import HostError

# Pacemaker's tools change their behaviour with OCF_RESKEY_CRM_meta_* and PCMK_* in their environment.
CLEAN_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
CHILD_PAUSE = 0.02    # seconds between two looks at a child
KILL_GRACE = 2.0      # seconds for the kernel to end what was killed
SAID_ROOM = 10000     # bytes of what somebody else's command says that are looked at


@dataclass(frozen=True)
class Outcome:
    """What a command did: its exit code and its output as text."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The last line it said, for an error message."""
        lines = (self.err.strip() or self.out.strip()).splitlines()
        return lines[-1].strip() if lines else "it said nothing"


def run(argv: Sequence[str], timeout: float) -> Outcome:
    """Run a command to its end, in a clean environment and with nothing on its standard input.

    `timeout` is in seconds. Raises HostError when the program is missing or does not end in time.
    """
    try:
        done = subprocess.run(
            list(argv), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, env=CLEAN_ENVIRONMENT, check=False
        )
    except FileNotFoundError:
        raise HostError(f"{argv[0]} is not installed on this machine") from None
    except PermissionError as error:
        raise HostError(f"{argv[0]} cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise HostError(f"{argv[0]} did not end within {timeout:g} s") from None
    return Outcome(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def tell(argv: Sequence[str], text: str, more: Mapping[str, str], timeout: float) -> Outcome:
    """Run somebody else's command to its end, with `text` on its standard input and `more` in its environment.

    After `timeout` seconds it is killed with all that it has started. Files take the place of pipes, which something that it has
    left behind could hold open for ever. Raises HostError when it is missing, cannot be run, or does not end in time.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(text.encode())
        given.seek(0)
        try:
            process = subprocess.Popen(list(argv), stdin=given, stdout=said, stderr=said, cwd="/", env={**CLEAN_ENVIRONMENT, **more},
                                       start_new_session=True, close_fds=True)
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
    os.waitpid(child, 0)
    return False


def spawn_detached(argv: Sequence[str], environment: Mapping[str, str], log: str, keep: Sequence[int] = ()) -> int:
    """Start a background process in a session of its own, in /, holding no descriptor of ours but `keep`. Its pid.

    `log` takes what it prints: nothing but a crash of the interpreter itself.
    """
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        process = subprocess.Popen(
            list(argv), stdin=subprocess.DEVNULL, stdout=descriptor, stderr=descriptor, cwd="/",
            env=dict(environment), start_new_session=True, close_fds=True, pass_fds=tuple(keep),
        )
    finally:
        os.close(descriptor)
    return process.pid
