"""What runs beside the laboratory in make test, while that waits for Pacemaker most of the time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import pythons
from tests.lab.common import LOGS, NETNS, REPOSITORY, say

FIRST, LAST = 9, 20     # of Python 3
OS_RELEASE = Path("/etc/os-release")
CLEAN_UP = 60.0         # seconds
TAIL = 60               # lines of the log of what failed


@dataclass
class Job:
    """One command with its log; `code` is None until it has ended."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    code: int | None = None
    seconds: float = 0.0

    @property
    def log(self) -> str:
        """Return the path of its log."""
        return str(LOGS / f"beside-{self.name.replace(' ', '-')}.log")

    @property
    def end(self) -> list[str]:
        """Return the last lines of its log."""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read().rstrip().splitlines()[-TAIL:]

    def __str__(self) -> str:
        said = (self.end or [""])[-1].strip("= ")
        verdict = "passed" if self.code == 0 else f"FAILED ({self.code})"
        return f"{self.name}: {verdict} after {self.seconds:.0f} s: {said}"


def jobs() -> Iterator[Job]:
    """Yield the jobs of make test in their order; what this machine cannot run is said."""
    yield Job("unit tests", [sys.executable, "-m", "pytest", "-v", "--durations=15", "tests/unit"])
    there = pythons.minors(FIRST, LAST)
    newest = max(there, key=lambda version: int(version[2:]), default="")
    for version, pins in (("3.9", "oldest"), (newest, "newest")):
        name = f"unit tests on Python {version} with the {pins} libraries"
        if version not in there:
            say(f"{name}: not run: this machine has no Python {version}")
        elif pins == "newest" and int(version[2:]) <= sys.version_info[1]:
            say(f"{name}: not run: this machine has no Python newer than that of the other tests")
        else:
            yield Job(name, [sys.executable, "-m", "tests.compat.units", version, pins])
    if "VERSION_CODENAME=trixie" in OS_RELEASE.read_text():
        say("demo on Debian 13: not run beside the tests: this is Debian 13")
    else:
        # Not as this make was called: MAKEFLAGS has the variables of its command line.
        yield Job("demo on Debian 13", ["make", "--no-print-directory", "demo"],
                  {"LAB_SUITE": "trixie", "INSTANCE_HA_LAB_NETNS": f"{NETNS}13", "LAB_NOVA": "",
                   "LAB_ROLE": "", "MAKEFLAGS": "", "DEMO": ""})


class Beside(threading.Thread):
    """Runs jobs one after the other, so that they take one core and leave the other."""

    def __init__(self, todo: Sequence[Job]) -> None:
        super().__init__(daemon=True)
        self.jobs = todo
        self._now: subprocess.Popen[bytes] | None = None
        self._ended = False
        self._lock = threading.Lock()   # nothing is started between the end and its signal

    def run(self) -> None:
        """Run them; the result of each is said when it ends."""
        LOGS.mkdir(parents=True, exist_ok=True)
        for job in self.jobs:
            began = time.monotonic()
            process = self._start(job)
            if process is None:
                return
            job.code = process.wait()
            job.seconds = time.monotonic() - began
            say(f"beside: {job}")

    def _start(self, job: Job) -> subprocess.Popen[bytes] | None:
        """Start a job. Returns None once all is to end."""
        with self._lock:
            if not self._ended:
                with open(job.log, "wb") as log:
                    self._now = subprocess.Popen(
                        job.argv, cwd=REPOSITORY, env={**os.environ, **job.env},
                        stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
                return self._now
        return None

    def end(self) -> None:
        """End what runs, wait until it has cleaned up, and start nothing more."""
        with self._lock:
            self._ended = True
            if self._now and self._now.poll() is None:
                os.killpg(self._now.pid, signal.SIGTERM)
        self.join(CLEAN_UP)

    def verdict(self) -> int:
        """Wait for the last, and return 0 if all passed. Prints the end of a log that failed."""
        self.join()
        bad = [job for job in self.jobs if job.code != 0]
        for job in bad:
            say(f"\n=== {job}\n=== the end of {job.log}:\n" + "\n".join(job.end))
        for job in self.jobs:
            say(str(job))
        return 1 if bad else 0
