"""What every part of the laboratory shares: its folders, its names and addresses, and its processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
STATE = Path(os.environ.get("INSTANCE_HA_LAB_DIR", "/var/lib/instance-ha-lab"))
VENV = STATE / "venv"          # the tests' tools; releases.CHOSEN.venv has OpenStack's services
CLOUD = STATE / "cloud"        # configuration, data and logs of OpenStack's services
NODES = STATE / "nodes"        # one folder a Pacemaker node
GUESTS = STATE / "guests"      # one folder a compute host, one file a running guest, and journal.jsonl
SHARED = STATE / "shared"      # real guests: storage that each compute node mounts for itself, as NFS
INSTANCES = SHARED / "instances"     # Nova's instances_path: a folder a server, "disk" in it
VOLUMES = SHARED / "volumes"         # Cinder's volumes, a file each
GUEST_IMAGE = STATE / "guest-image"  # real guests: kernel, initrd and disk, see guest/build.py
BINDING = STATE / "binding"    # Debian's Python binding of libvirt, for Nova's virtual environment
RUN = STATE / "run"            # pid files
LOGS = STATE / "log"
SIZE = STATE / "size.json"     # the Size of the laboratory that is up, or was

LIBVIRT = "libvirt"            # Nova's own driver and QEMU guests, in place of the stand-in
VIRT = os.environ.get("LAB_VIRT", "")   # LIBVIRT or nothing: of the next laboratory, see virt()
ROLE = os.environ.get("LAB_ROLE", "")   # "evacuator": the agents' user has that role alone
NETNS = os.environ.get("INSTANCE_HA_LAB_NETNS", "ihalab")  # the network namespace of the switch, of OpenStack's services and of the BMCs
BRIDGE = "br0"
CLOUD_ADDRESS = "10.77.0.1"    # on the bridge; controllers are 10.77.0.1N, computes 10.77.0.10N


class LabError(Exception):
    """Something a person has to know, in one sentence."""


@dataclass(frozen=True)
class Node:
    """One machine of the laboratory. `kind` is "controller" or "compute", `number` counts from 1 within the kind."""

    name: str
    kind: str
    number: int
    member: bool = True  # a full cluster member; False: a Pacemaker Remote node

    @property
    def address(self) -> str:
        return f"10.77.0.{(10 if self.kind == 'controller' else 100) + self.number}"

    @property
    def mac(self) -> str:
        return f"02:77:00:00:{1 if self.kind == 'controller' else 2:02x}:{self.number:02x}"

    @property
    def bmc_port(self) -> int:
        """UDP port of its baseboard controller, on CLOUD_ADDRESS."""
        return (6200 if self.kind == "controller" else 6300) + self.number


@dataclass(frozen=True)
class Size:
    """How many machines, whether the computes are full members, and what runs the guests."""

    controllers: int = 3
    computes: int = 3
    member_computes: bool = False
    virt: str = VIRT  # LIBVIRT, or nothing for the stand-in

    @property
    def nodes(self) -> list[Node]:
        return [Node(f"ctl-{n}", "controller", n) for n in range(1, self.controllers + 1)] + [
            Node(f"cmp-{n}", "compute", n, self.member_computes) for n in range(1, self.computes + 1)
        ]


def virt() -> str:
    """Return what runs the guests of the laboratory that is up: LIBVIRT, or "" for the stand-in.

    The size's file says it: a BMC or a shell that knows nothing of LAB_VIRT boots nodes too.
    """
    try:
        return str(json.loads(SIZE.read_text()).get("virt", ""))
    except FileNotFoundError:
        return VIRT


def in_netns(argv: Sequence[str]) -> list[str]:
    """`argv`, to be run in the laboratory's network namespace."""
    return ["nsenter", f"--net=/run/netns/{NETNS}", *argv]


def say(text: str) -> None:
    """One line of progress for the person who waits."""
    print(text, file=sys.stderr, flush=True)


def start_time(pid: int) -> str | None:
    """The kernel's start time of a process (ticks since boot, as text), or None when there is none (or a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


class Daemon:
    """A background process of the laboratory, known by its pid and start time in RUN/<name>.pid, never by its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pidfile = RUN / f"{name}.pid"
        self.log = LOGS / f"{name}.log"

    @property
    def pid(self) -> int | None:
        """Its pid while it lives, else None."""
        try:
            pid, started = self.pidfile.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if start_time(int(pid)) == started else None

    def start(self, argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: str = "/") -> int:
        """Start it in its own session with its output in LOGS/<name>.log; a running one is left alone. Its pid."""
        if self.pid:
            return self.pid
        RUN.mkdir(parents=True, exist_ok=True)
        LOGS.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=cwd, start_new_session=True,
                env={**os.environ, **(env or {})},
            )
        self.pidfile.write_text(f"{process.pid} {start_time(process.pid)}")
        return process.pid

    def stop(self, how: signal.Signals = signal.SIGTERM, grace: float = 5.0) -> None:
        """End it and its process group with `how`, and with SIGKILL after `grace` seconds."""
        pid = self.pid
        if pid:
            for sig in (how, signal.SIGKILL):
                try:
                    os.killpg(pid, sig)
                except ProcessLookupError:
                    break
                if wait_until(lambda: self.pid is None, grace):
                    break
        self.pidfile.unlink(missing_ok=True)


def wait_until(condition: Callable[[], object], seconds: float, pause: float = 0.05) -> bool:
    """Whether `condition` came true within `seconds`."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            return False
        time.sleep(pause)
    return True


def run(argv: Sequence[str], *, check: bool = True, timeout: float = 120, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, its output captured. Raises LabError with the last of its output when it fails."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, **options)  # type: ignore[call-overload]
    if check and done.returncode:
        tail = (done.stdout + done.stderr).strip()[-2000:]
        raise LabError(f"{' '.join(argv)} failed with {done.returncode}: {tail}")
    return done
