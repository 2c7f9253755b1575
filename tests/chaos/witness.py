"""Watches while faults are played, and sees what is left over afterwards: nothing here is part of a scenario. As the person on call it
does the one thing that the worker asks people to do and does not do itself."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from tests.chaos.acts import kill_nova_compute
from tests.chaos.plan import Act
from tests.lab import cluster, watch
from tests.lab import node as machine
from tests.lab.common import LabError, start_time, wait_until

LOOK = 2.0
ONE_ACTION = 120.0       # seconds that an action of an agent may take; Pacemaker ends none later
LEFT_LIMIT = 30.0
WORKER = re.compile(r"-m\0instance_ha\.service\0")
AGENT = re.compile(r"/(fence_nova|NovaEvacuate|instance-ha)\0")
CLOUD_IS_AWAY = frozenset(("service", "freeze_service", "address", "https", "expired", "bmc"))
RESTART = re.compile(r"(\S+) is not taken back: .*restart nova-compute on it once more")
Failure = tuple[str, str, str]  # operation, node, reason


class Witness:
    """Collects what crm_mon shows to people: `heard` are reasons of a degraded worker, `failed` are operations that failed,
    `restarted` are hosts whose nova-compute was started once more because the worker said so."""

    def __init__(self) -> None:
        self.heard: set[str] = set()
        self.failed: set[Failure] = set()
        self.restarted: set[str] = set()
        self._end = threading.Event()

    def __enter__(self) -> Witness:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()

    def _watch(self) -> None:
        while not self._end.wait(LOOK):
            self.look()
            for host in {found.group(1) for reason in self.heard if (found := RESTART.search(reason))} - self.restarted:
                with contextlib.suppress(LabError, subprocess.SubprocessError):   # it may have ended meanwhile; the next look says so
                    kill_nova_compute(host)
                    self.restarted.add(host)

    def look(self) -> None:
        """Look once. A controller that is in trouble shows nothing."""
        try:
            failed, degraded = watch.both_failures()
        except (LabError, OSError, ValueError, SyntaxError, subprocess.SubprocessError):
            return
        self.heard |= {reason for _, _, reason in degraded}
        self.failed |= {*failed}


def not_meant(failed: Iterable[Failure], acts: Iterable[Act], may_die: Iterable[str]) -> list[Failure]:
    """Those of the failed operations that no act explains."""
    names, dead = {act.name for act in acts}, {*may_die}

    def meant(failure: Failure) -> bool:
        operation, node, _ = failure
        resource, _, kind = operation.rpartition("_")[0].rpartition("_")
        if node in dead or resource in dead:
            return True
        if resource.startswith("fence-"):
            return bool(names & CLOUD_IS_AWAY)
        killed = {"nova-evacuate": "kill_worker", "nova-compute": "nova_compute"}
        return kind == "monitor" and killed.get(resource) in names

    return sorted({failure for failure in failed if not meant(failure)})


def left_running() -> list[str]:
    """What runs of the agents besides the one worker; waits for actions that are about to end. One sentence for each."""
    found: list[str] = []

    def clean() -> bool:
        found[:] = _strangers()
        return not found

    wait_until(clean, LEFT_LIMIT, 1)
    return found


def _strangers() -> list[str]:
    home, workers, found = watch.where_runs("nova-evacuate"), 0, []
    for node in cluster.size().nodes:
        for pid, argv in machine.commands(node).items():
            words = argv.replace("\0", " ").strip()
            if WORKER.search(argv):
                workers += node.name == home
                found += [] if node.name == home else [f"a worker on {node.name}, and Pacemaker has it on {home}: {words}"]
            elif AGENT.search(argv) and _age(pid) > ONE_ACTION:
                found.append(f"on {node.name} for {_age(pid):.0f} s: {words}")
    return found + ([] if workers == 1 else [f"{workers} workers on {home}"])


def _age(pid: int) -> float:
    """Seconds since a process was started; 0 when it is no more."""
    ticks = start_time(pid) if Path(f"/proc/{pid}").exists() else None
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(ticks) / os.sysconf("SC_CLK_TCK") if ticks else 0.0
