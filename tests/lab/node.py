"""A machine of the laboratory: its disk, its power, its cable, and commands inside it."""

from __future__ import annotations

import contextlib
import fcntl
import grp
import json
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.lab import network
from tests.lab.common import (
    LIBVIRT,
    NODES,
    REPOSITORY,
    RUN,
    STATE,
    Daemon,
    LabError,
    Node,
    run,
    start_time,
    virt,
    wait_until,
)

INIT = Path(__file__).with_name("init.py")
REMOTED = STATE / "pacemaker-remote" / "usr" / "sbin" / "pacemaker-remoted"  # install.py unpacks it there
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOG_FOLDERS = {"pacemaker": ("hacluster", 0o770), "crmsh": ("hacluster", 0o775), "pcsd": ("root", 0o755),
               "corosync": ("root", 0o755), "cluster": ("root", 0o755)}


def folder(node: Node) -> Path:
    """What belongs to a node: `root` (what differs from the host's files), `log` (its /var/log), `boot.d`."""
    return NODES / node.name


def create(node: Node) -> None:
    """A machine with an empty disk, whatever it was before. It has to be off."""
    home = folder(node)
    shutil.rmtree(home, ignore_errors=True)
    for name in ("root", "work", "mount", "log", "boot.d"):
        (home / name).mkdir(parents=True)
    for name, (owner, mode) in LOG_FOLDERS.items():
        path = home / "log" / name
        path.mkdir()
        path.chmod(mode)
        shutil.chown(path, owner, "haclient" if owner == "hacluster" else "root")


def put(node: Node, path: str, content: str | bytes, mode: int = 0o644, owner: str = "root", group: str = "root") -> None:
    """Write a file of a node, at an absolute path inside it, whether the node is on or off."""
    pid = pid_of(node)
    # Behind the back of a mounted overlay its files must not be changed, so a node that is on is written to through its own root.
    root = Path(f"/proc/{pid}/root") if pid else folder(node) / "root"
    target = root / path.lstrip("/")
    _make_parents(root, Path(path).parent)
    target.write_bytes(content.encode() if isinstance(content, str) else content)
    target.chmod(mode)
    shutil.chown(target, owner, group)


def pid_of(node: Node) -> int | None:
    """The pid, as the host knows it, of the node's PID 1, while the node is on."""
    return Daemon(f"node-{node.name}").pid


def is_on(node: Node) -> bool:
    return pid_of(node) is not None


def is_frozen(node: Node) -> bool:
    pid = pid_of(node)
    return bool(pid) and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def boot(node: Node) -> None:
    """Switch a node on and come back when its PID 1 runs; one that is on is left alone. Raises LabError."""
    with _switch(node):
        if is_on(node):
            return
        if not folder(node).is_dir():
            raise LabError(f"{node.name} does not exist; bring the laboratory up first")
        network.plug(node)
        spec = folder(node) / "spec.json"
        spec.write_text(json.dumps(_spec(node)))
        started = run(["/usr/bin/python3", "-I", "-S", str(INIT), str(spec)], check=False, env={"PATH": PATH})
        if started.returncode:
            network.unplug(node)
            raise LabError(f"{node.name} does not boot: {started.stderr.strip()}")


def power_off(node: Node) -> None:
    """Cut the power: the cable first, so that nobody hears a goodbye, then every process at once. Comes back when all are dead.

    What a compute host ran as guests ends with it.
    """
    with _switch(node):
        pid = pid_of(node)
        if pid:
            run(["ip", "-n", network.NETNS, "link", "set", network.port(node), "down"], check=False)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            if not wait_until(lambda: start_time(pid) is None or not _alive(pid), 10, 0.005):
                raise LabError(f"{node.name} does not die: {_alive(pid)}")
        network.unplug(node)
        (RUN / f"node-{node.name}.pid").unlink(missing_ok=True)
        if pid and node.kind == "compute":
            _cut_guests(node)


def freeze(node: Node) -> None:
    """Stop every process of a node, as a hung kernel does. Raises LabError when it is off."""
    pid = _need(node)
    stopped: set[int] = set()
    while fresh := set(_processes(pid)) - stopped:  # a process may have forked while the others were stopped
        _signal(fresh, signal.SIGSTOP)
        stopped |= fresh


def thaw(node: Node) -> None:
    """Let a frozen node run on. Raises LabError when it is off."""
    _signal(_processes(_need(node)), signal.SIGCONT)


def cable(node: Node, up: bool) -> None:
    """Pull the network cable of a running node, or put it back. Raises LabError when it is off."""
    _need(node)
    network.cable(node, up)


def stop_service(node: Node, name: str, how: signal.Signals = signal.SIGTERM) -> None:
    """End a service of a node: "corosync", "pacemaker", "pacemaker-remote" or "libvirtd".

    As with their units: what fails (SIGKILL) is started again after a second, corosync is not. Does not wait.
    """
    exec_in(node, ["/bin/sh", "-c", f"kill -{how.value} $(cat /run/lab/{name}.pid)"], check=True)


def start_services(node: Node) -> None:
    """Start what does not run of a node's services. Does not wait."""
    os.kill(_need(node), signal.SIGHUP)


def commands(node: Node) -> dict[int, str]:
    """The command lines of what runs on a node, arguments separated by NUL, by the pids that the host knows; {} when it is off."""
    found = {}
    for pid in _processes(pid_of(node) or 0):
        with contextlib.suppress(OSError):
            found[pid] = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    return found


def enter(node: Node, argv: Sequence[str], env: Mapping[str, str] | None = None) -> list[str]:
    """`argv`, to be run inside a node, with a clean environment. Raises LabError when it is off."""
    variables = {"PATH": PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", "TERM": "dumb", **(env or {})}
    return ["nsenter", f"--target={_need(node)}", "--mount", "--uts", "--ipc", "--net", "--pid", "--", "/usr/bin/env", "-i",
            *(f"{name}={value}" for name, value in variables.items()), *argv]


def exec_in(
    node: Node, argv: Sequence[str], timeout: float = 60, *, check: bool = False, stdin: str | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command inside a node to its end, its output captured.

    Raises LabError when the node is off, after `timeout` seconds (the command and its process group are killed), and with `check`
    when the command fails.
    """
    process = subprocess.Popen(
        enter(node, argv, env), stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True, cwd="/",
    )
    try:
        out, err = process.communicate(stdin, timeout)
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise LabError(f"{' '.join(argv)} on {node.name} took longer than {timeout} s") from None
        raise
    if check and process.returncode:
        raise LabError(f"{' '.join(argv)} on {node.name} failed with {process.returncode}: {(out + err).strip()[-2000:]}")
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


def _spec(node: Node) -> dict[str, object]:
    """What init.py has to know, for JSON."""
    home = folder(node)
    return {
        "name": node.name,
        "netns": str(network.FOLDER / network.namespace(node)),
        "pidfile": str(RUN / f"node-{node.name}.pid"),
        "root": str(home / "mount"), "upper": str(home / "root"), "work": str(home / "work"),
        "binds": [(str(home / "log"), "/var/log"), (str(STATE), str(STATE)), (str(REPOSITORY), str(REPOSITORY))],
        "owners": [pwd.getpwnam("hacluster").pw_uid, grp.getgrnam("haclient").gr_gid],
        "boot_folder": str(home / "boot.d"),
        **_hypervisor(node),
    }


def _hypervisor(node: Node) -> dict[str, object]:
    """Return the devices and the services of a node; real guests want some of their own."""
    if node.kind != "compute" or virt() != LIBVIRT:
        return {"devices": {}, "services": _services(node)}
    from tests.lab import hypervisor  # it needs this module

    return {"devices": hypervisor.DEVICES, "services": [*hypervisor.SERVICES, *_services(node)]}


def _services(node: Node) -> list[dict[str, object]]:
    if not node.member:
        return [{"name": "pacemaker-remote", "argv": _with_defaults(str(REMOTED)), "restart": True}]
    return [
        {"name": "corosync", "argv": ["/usr/sbin/corosync", "-f"]},
        {"name": "pacemaker", "argv": _with_defaults("/usr/sbin/pacemakerd"), "restart": True, "requires": "corosync", "socket": "cmap"},
    ]


def _with_defaults(program: str) -> list[str]:
    """As its unit does it: with the variables of /etc/default/pacemaker."""
    return ["/bin/sh", "-c", f"set -a; . /etc/default/pacemaker; exec {program}"]


def _make_parents(root: Path, path: Path) -> None:
    """The folder `path` below `root`, new ones like the host's of that name: an overlay shows owner and mode of the upper one."""
    if path == Path("/") or (root / path.relative_to("/")).is_dir():
        return
    _make_parents(root, path.parent)
    new = root / path.relative_to("/")
    new.mkdir()
    if path.is_dir():
        shutil.copystat(path, new)
        os.chown(new, path.stat().st_uid, path.stat().st_gid)


@contextlib.contextmanager
def _switch(node: Node) -> Iterator[None]:
    """Only one hand at a node's power switch: the BMC's or a person's."""
    RUN.mkdir(parents=True, exist_ok=True)
    with open(RUN / f"node-{node.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _need(node: Node) -> int:
    pid = pid_of(node)
    if not pid:
        raise LabError(f"{node.name} is off")
    return pid


def _processes(pid: int) -> list[int]:
    """All processes in the PID namespace of `pid`, as the host numbers them."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        wanted = os.readlink(f"/proc/{pid}/ns/pid")
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _namespace(entry) == wanted]
    return []


def _namespace(entry: Path) -> str | None:
    try:
        return os.readlink(entry / "ns" / "pid")
    except OSError:
        return None


def _alive(pid: int) -> list[int]:
    """Who lives besides PID 1, which stays until the parent of every dead process entered from outside has collected it."""
    return [other for other in _processes(pid) if other != pid and start_time(other) is not None]


def _signal(pids: Sequence[int] | set[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _cut_guests(node: Node) -> None:
    from tests.lab import guests  # only a laboratory with a cloud has any

    guests.power_cut(node.name)
