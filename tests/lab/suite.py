"""The laboratory on another release of Debian: a command runs in a root of that release, and nothing of it outlives the command.

LAB_SUITE=trixie python3 -m tests.lab.suite COMMAND...         in a new process tree, in this repository
LAB_SUITE=trixie python3 -m tests.lab.suite --join COMMAND...  beside the one that runs, in the same root

The root is made once by debootstrap and kept in STATE/<suite>/root. The command has its own mounts, host name, IPC and PIDs: when its
PID 1 ends, the kernel ends every process and every mount with it, so that neither Ctrl-C nor an error leaves anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.lab import install
from tests.lab.common import REPOSITORY, STATE, LabError, run, say, start_time
from tests.lab.init import BIND, DETACH, NEW_IPC, NEW_NS, NEW_PID, NEW_UTS, PIVOT_ROOT, PRIVATE, REC, _call, _mount

INCLUDED = ("ca-certificates", "make", "netbase", "python3")  # the rest is installed from inside, as on every machine
INSIDE = "/srv/instance-ha"                                   # where the repository is seen
SAME_AS_HERE = ("/etc/resolv.conf", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
PASSED_ON = re.compile(
    r"TERM|PYTHONDONTWRITEBYTECODE|INSTANCE_HA_LAB_NETNS|LAB_NOVA|LAB_RECORD|LAB_ROLE|PIP_.*|.*_proxy", re.IGNORECASE)
ROOM = 6 << 30
DEATH_SIGNAL = 1  # prctl(2)'s PR_SET_PDEATHSIG


def main() -> int:
    suite, argv = os.environ.get("LAB_SUITE", ""), sys.argv[1:]
    join = argv[:1] == ["--join"]
    argv = argv[1:] if join else argv
    try:
        if not re.fullmatch("[a-z]+", suite) or not argv:
            raise LabError("say the release and the command: LAB_SUITE=trixie python3 -m tests.lab.suite COMMAND")
        install.check_machine()
        if join:
            return _join(suite, argv)
        with _alone(suite):
            root = make(suite)
            return Inside(suite, root).run(argv)
    except LabError as error:
        say(f"lab: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


@contextlib.contextmanager
def _alone(suite: str) -> Iterator[None]:
    """Only one command at a time in a root, as its laboratory is one. Raises LabError."""
    folder = STATE / suite
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"the laboratory of {suite} in {folder} is in use; wait for it, or choose another INSTANCE_HA_LAB_DIR") from None
        yield


def make(suite: str) -> Path:
    """The root of a release, made if it is not there. Raises LabError."""
    folder = STATE / suite
    root, stamp, wanted = folder / "root", folder / "made", " ".join(INCLUDED)
    if stamp.exists() and stamp.read_text() == wanted:
        return root
    free = shutil.disk_usage(folder).free
    if free < ROOM:
        raise LabError(f"the root of {suite} needs {ROOM >> 30} GiB free in {folder}, and there are {free / (1 << 30):.1f}")
    install.need("debootstrap")
    mirror = _mirror()
    say(f"making a root of {suite} in {root}: a minute")
    shutil.rmtree(root, ignore_errors=True)
    # Namespaces of its own: what debootstrap mounts goes with it, however it ends.
    run(["unshare", "--mount", "--pid", "--fork", "--kill-child", "debootstrap", "--variant=minbase", f"--include={','.join(INCLUDED)}",
         suite, str(root), mirror], timeout=1800, cwd="/")
    (root / "etc/dpkg/dpkg.cfg.d/laboratory").write_text("force-unsafe-io\n")  # a root that is lost is made again
    stamp.write_text(wanted)
    return root


def _mirror() -> str:
    """Where this machine has its Debian from. Raises LabError."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian", "Label: Debian"]
    found = run(asked, check=False).stdout.split()
    if not found:  # the package lists were never fetched, or were thrown away
        run(["apt-get", "--quiet=2", "update"], timeout=600)
        found = run(asked, check=False).stdout.split()
    if not found:
        raise LabError("apt's sources on this machine name no mirror of Debian, which debootstrap needs")
    return found[0]


class Inside:
    """A command in a root, as child of a PID 1 of its own."""

    def __init__(self, suite: str, root: Path) -> None:
        self.suite = suite
        self.root = str(root)
        self.pidfile = STATE / suite / "pid"

    def run(self, argv: Sequence[str]) -> int:
        """Exit code of the command, 128 + N when signal N ended it. Raises LabError when the root cannot be entered."""
        self._adapt()
        _call("unshare", NEW_PID)
        child = os.fork()
        if child == 0:
            self._first(argv)
        try:
            self.pidfile.write_text(f"{child} {start_time(child)}")
            return _exit_code(self._wait(child))
        finally:
            self.pidfile.unlink(missing_ok=True)

    def _wait(self, child: int) -> int:
        # A terminal sends Ctrl-C to the command itself; whatever is sent to this process alone is passed on.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: os.kill(child, signal.SIGTERM))
        return os.waitpid(child, 0)[1]

    def _adapt(self) -> None:
        """Names are looked up and certificates trusted as on this machine."""
        for name in SAME_AS_HERE:
            if os.path.exists(name):
                shutil.copyfile(name, self.root + name)
        Path(self.root + "/etc/hosts").write_text(f"127.0.0.1 localhost {self.suite}\n")
        Path(self.root + "/etc/hostname").write_text(f"{self.suite}\n")

    def _first(self, argv: Sequence[str]) -> None:
        """PID 1: enters the root, runs the command, collects the dead, and ends with the command's exit code. Does not return."""
        code = 1
        try:
            _call("prctl", DEATH_SIGNAL, signal.SIGKILL)  # even a killed parent leaves nothing
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._enter()
            command = subprocess.Popen(argv, cwd=INSIDE, env=environment(), preexec_fn=_plain_signals)
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, lambda *_: os.kill(command.pid, signal.SIGTERM))
            pid = 0
            while pid != command.pid:
                pid, status = os.waitpid(-1, 0)
            code = _exit_code(status)
        except FileNotFoundError as error:
            say(f"lab: {error.filename}: {error.strerror}")
        except BaseException as error:
            say(f"lab: the root in {self.root} cannot be entered: {error}")
        os._exit(code)

    def _enter(self) -> None:
        root = self.root
        _call("unshare", NEW_NS | NEW_UTS | NEW_IPC)
        socket.sethostname(self.suite)
        _mount("none", "/", None, REC | PRIVATE)
        _mount(root, root, None, BIND)
        _mount("proc", f"{root}/proc", "proc")
        for name in ("dev", "sys"):
            _mount(f"/{name}", f"{root}/{name}", None, BIND | REC)
        for name, mode in (("run", "755"), ("tmp", "1777"), ("dev/shm", "1777")):
            _mount("tmpfs", f"{root}/{name}", "tmpfs", 0, f"mode={mode}")
        os.makedirs(root + INSIDE, exist_ok=True)
        _mount(str(REPOSITORY), root + INSIDE, None, BIND)
        os.chdir(root)
        _call("syscall", PIVOT_ROOT[os.uname().machine], b".", b".")
        _call("umount2", b".", DETACH)
        os.chdir("/")


def environment() -> dict[str, str]:
    """What a command in the root finds in its environment."""
    return {**ENVIRONMENT, **{name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}}


def _plain_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _join(suite: str, argv: Sequence[str]) -> int:
    """Run a command in the root where another runs. Raises LabError when none does."""
    try:
        pid, started = (STATE / suite / "pid").read_text().split()
    except (FileNotFoundError, ValueError):
        pid, started = "0", ""
    if not started or start_time(int(pid)) != started:
        raise LabError(f"nothing runs in the root of {suite} in {STATE / suite}")
    words = [f"{name}={value}" for name, value in environment().items()]
    return subprocess.run(["nsenter", f"--target={pid}", "--mount", "--uts", "--ipc", "--pid", f"--wdns={INSIDE}", "/usr/bin/env", "-i",
                           *words, *argv], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
