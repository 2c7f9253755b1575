"""PID 1 of a node: namespaces, mounts, /dev/log, services, zombies.

A program of its own (`python3 -I -S init.py SPEC`, SPEC is a file with the JSON of node.py's `_spec`), because it outlives who started it
and has to stay small. It returns when the node's PID 1 is up (exit 0) or could not be (exit 1, the reason on stderr).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

LIBC = ctypes.CDLL(None, use_errno=True)
NEW_NS, NEW_UTS, NEW_IPC, NEW_PID, NEW_NET = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000
RDONLY, REMOUNT, BIND, REC, PRIVATE, DETACH = 1, 32, 4096, 16384, 1 << 18, 2
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8",
}
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
STAYS_DOWN = (0, 100)  # exit codes of Pacemaker that its units do not restart on: asked to stop, or told that it was fenced


def main() -> int:
    spec = json.loads(Path(sys.argv[1]).read_text())
    with open(spec["netns"]) as namespace:
        _call("setns", namespace.fileno(), NEW_NET)
    _call("unshare", NEW_NS | NEW_UTS | NEW_IPC | NEW_PID)
    ready, report = os.pipe()
    if os.fork():
        os.close(report)
        with open(ready) as answer:
            problem = answer.read()
        if problem != "ready":
            print(problem or "its PID 1 died", file=sys.stderr)
        return problem != "ready"
    # What the starter had open must not stay open as long as the node is on.
    os.closerange(3, report)
    os.closerange(report + 1, os.sysconf("SC_OPEN_MAX"))
    try:
        _become_machine(spec)
    except BaseException as error:
        os.write(report, f"{type(error).__name__}: {error}".encode())
        os._exit(1)
    init = Init(spec)
    os.write(report, b"ready")
    os.close(report)
    init.run()


def _call(function: str, *arguments: object) -> None:
    """A function of libc that answers 0. Raises OSError."""
    if getattr(LIBC, function)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{function}{arguments}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str | None, flags: int = 0, options: str | None = None) -> None:
    _call("mount", source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags), options and options.encode())


def _become_machine(spec: dict[str, Any]) -> None:
    """Write the pid file, and put the node's own root, /proc, /dev, /run in place of the host's."""
    # /proc is still the host's here, and tells the pid that the host knows this process by.
    pid = os.readlink("/proc/self")
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    Path(spec["pidfile"]).write_text(f"{pid} {started}")
    os.setsid()
    os.umask(0o022)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if number < 32:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    socket.sethostname(spec["name"])
    _mount("none", "/", None, REC | PRIVATE)
    root = spec["root"]
    _mount("overlay", root, "overlay", 0, f"lowerdir=/,upperdir={spec['upper']},workdir={spec['work']}")
    _mount_system(root, spec["devices"])
    for source, target in spec["binds"]:
        os.makedirs(root + target, exist_ok=True)
        _mount(source, root + target, None, BIND)
    os.chdir(root)
    _call("syscall", PIVOT_ROOT[os.uname().machine], b".", b".")
    _call("umount2", b".", DETACH)
    os.chdir("/")
    _make_run(spec["owners"])
    console = os.open("/var/log/console", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number, descriptor in enumerate((os.open("/dev/null", os.O_RDONLY), console, console)):
        os.dup2(descriptor, number)


def _mount_system(root: str, devices: dict[str, list[int]]) -> None:
    """/proc, /sys, /dev with `devices` besides the usual, /run and /tmp. What reaches the whole machine (sysctl, SysRq) cannot be written."""
    _mount("proc", f"{root}/proc", "proc")
    _mount(f"{root}/proc/sys", f"{root}/proc/sys", None, BIND)
    _mount("none", f"{root}/proc/sys", None, BIND | REMOUNT | RDONLY)
    _mount("sysfs", f"{root}/sys", "sysfs", RDONLY)
    for target, options in (("dev", "mode=755,size=1m"), ("run", "mode=755"), ("tmp", "mode=1777")):
        _mount("tmpfs", f"{root}/{target}", "tmpfs", 0, options)
    mask = os.umask(0)
    for name, (major, minor) in {**DEVICES, **devices}.items():
        os.makedirs(os.path.dirname(f"{root}/dev/{name}"), 0o755, exist_ok=True)
        os.mknod(f"{root}/dev/{name}", 0o020666, os.makedev(major, minor))
    os.umask(mask)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"), ("ptmx", "pts/ptmx")):
        os.symlink(target, f"{root}/dev/{name}")
    for target, kind, options in (("dev/shm", "tmpfs", "mode=1777"), ("dev/pts", "devpts", "newinstance,ptmxmode=666,mode=620")):
        os.mkdir(f"{root}/{target}")
        _mount(kind, f"{root}/{target}", kind, 0, options)
    if os.path.exists(f"{root}/proc/sysrq-trigger"):  # Pacemaker's panic would restart the host
        _mount(f"{root}/dev/null", f"{root}/proc/sysrq-trigger", None, BIND)


def _make_run(owners: list[int]) -> None:
    """The folders that packages expect below /run. `owners` are the uid and gid of hacluster:haclient."""
    for name, mode in (
        ("lock", 0o1777), ("lab", 0o755), ("resource-agents", 0o1755), ("fence-agents", 0o1755), ("cluster", 0o755), ("pcsd", 0o755),
        ("crm", 0o750),
    ):
        os.mkdir(f"/run/{name}")
        os.chmod(f"/run/{name}", mode)
    os.chown("/run/crm", *owners)


class Init:
    """Keeps the services, collects the dead and writes the system log."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.services: dict[str, dict[str, Any]] = {service["name"]: service for service in spec["services"]}
        self.boot_folder = spec["boot_folder"]
        self.pids: dict[int, str] = {}
        self.again: dict[str, float] = {}  # service -> when it is started again (monotonic)
        self.selector = selectors.DefaultSelector()
        self.syslog = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.syslog.bind("/dev/log")
        os.chmod("/dev/log", 0o666)
        self.wakeup, other = socket.socketpair()
        for end in (self.wakeup, other):
            end.setblocking(False)
        self.other = other
        signal.set_wakeup_fd(other.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGHUP, lambda *_: self.start_missing())
        self.log = open("/var/log/syslog", "a", buffering=1)  # noqa: SIM115 - open until the node dies
        for end in (self.syslog, self.wakeup):
            self.selector.register(end, selectors.EVENT_READ)

    def run(self) -> NoReturn:
        self.start_missing()
        self._spawn("boot", self._run_boot_folder)
        while True:
            pause = max(0.0, min(self.again.values()) - time.monotonic()) if self.again else None
            for key, _ in self.selector.select(pause):
                self._drain_syslog() if key.fileobj is self.syslog else self._drain_wakeup()
            self._reap()
            for name in [name for name, when in self.again.items() if when <= time.monotonic()]:
                self.start(name)

    def start_missing(self) -> None:
        for name in self.services:
            self.start(name)

    def start(self, name: str) -> None:
        """Start a service and the one it requires; a running one is left alone."""
        self.again.pop(name, None)
        if name in self.pids.values():
            return
        service = self.services[name]
        if service.get("requires"):
            self.start(service["requires"])
        pid = self._spawn(name, lambda: self._exec_service(service))
        Path(f"/run/lab/{name}.pid").write_text(str(pid))

    def _spawn(self, name: str, child: Any) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
                    signal.signal(number, signal.SIG_DFL)
                os.setsid()
                child()
            finally:
                os._exit(127)
        self.pids[pid] = name
        return pid

    def _exec_service(self, service: dict[str, Any]) -> None:
        while service.get("socket") and not _listens(service["socket"]):
            time.sleep(0.05)
        os.execve(service["argv"][0], service["argv"], ENVIRONMENT)

    def _run_boot_folder(self) -> None:
        """What the laboratory wants to run at every boot, one after the other."""
        folder = Path(self.boot_folder)
        for script in sorted(folder.iterdir()) if folder.is_dir() else ():
            if os.access(script, os.X_OK):
                os.waitpid(os.posix_spawn(script, [str(script)], ENVIRONMENT), 0)
        os._exit(0)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            name = self.pids.pop(pid, None)
            if name:
                self._ended(name, os.waitstatus_to_exitcode(status))

    def _ended(self, name: str, code: int) -> None:
        self.log.write(f"{_now()} init: {name} ended with {code}\n")
        if self.services.get(name, {}).get("restart") and code not in STAYS_DOWN:
            self.again[name] = time.monotonic() + 1

    def _drain_syslog(self) -> None:
        for _ in range(200):
            try:
                message = self.syslog.recv(65536)
            except BlockingIOError:
                return
            self.log.write(f"{_now()} {_plain(message)}\n")

    def _drain_wakeup(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.wakeup.recv(4096)


def _listens(name: str) -> bool:
    """Whether somebody listens on an abstract socket."""
    return any(line.endswith(f" @{name}") or f" @{name}@" in line for line in Path("/proc/net/unix").read_text().splitlines())


def _plain(message: bytes) -> str:
    """A syslog datagram without its priority and without libc's date."""
    text = message.decode(errors="replace").strip("\0\n")
    if text.startswith("<"):
        text = text.partition(">")[2]
    if text[3:4] == " " and text[6:7] == " " and text[9:10] == ":" and text[15:16] == " ":
        text = text[16:]
    return text.replace("\n", "\n\t")


def _now() -> str:
    now = time.time()
    return f"{time.strftime('%H:%M:%S', time.localtime(now))}.{int(now * 1000) % 1000:03d}"


if __name__ == "__main__":
    sys.exit(main())
