"""make compat: what runs on which platform, tried now, and docs/platforms.md with the results and their date.

Words choose rows by a part of their name: python3 -m tests.compat 3.9 demo. Rows that were not tried keep the result they had.
"""

from __future__ import annotations

import datetime
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.common import LOGS, REPOSITORY, STATE, say

PAGE = REPOSITORY / "docs" / "platforms.md"
PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
OLDEST = {"3.9": ("keystoneauth1==4.3.0", "openstacksdk==0.55.0", "lxml==4.6.5")}  # elsewhere the newest there are
NEWEST = ("keystoneauth1", "openstacksdk", "lxml")
TOOLS = ("pytest", "requests")
LAB_PYTHON = "${INSTANCE_HA_LAB_DIR:-/var/lib/instance-ha-lab}/venv/bin/python"
HEAD = """# Where it was run

Written by `make compat`, which runs every row on one machine; a row keeps its result and its date until it is run again.

| platform | what was run | result | minutes | date |
| --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True)
class Row:
    """One line of the table. An empty `command` says what is missing instead."""

    platform: str
    what: str
    command: str
    suite: str = ""
    missing: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.platform, self.what


def rows() -> Iterator[Row]:
    """Every row, in the table's order."""
    for version in PYTHONS:
        for age, pins in (("oldest", OLDEST.get(version)), ("newest", NEWEST)):
            if pins:
                yield _unit(version, age, pins)
    for name, command in (("demo", "make demo"), ("demo, computes as full members", "make demo DEMO=--members"),
                          ("unit and conformance", f"python3 -m tests.lab install && {LAB_PYTHON} -m pytest tests/unit tests/conformance"),
                          ("tests/configure", "make test-configure"),
                          ("tests/cluster", f"python3 -m tests.lab install && {LAB_PYTHON} -m tests.run -m 'not slow' tests/cluster")):
        yield Row("Debian 13", name, command, "trixie")
    makefile = (REPOSITORY / "Makefile").read_text()
    for target in ("deb", "rpm"):
        there = re.search(rf"^{target}:", makefile, re.MULTILINE)
        yield Row("packages", f"make {target}", f"make {target}" if there else "", missing=f"the Makefile has no target {target}")


def _unit(version: str, age: str, pins: tuple[str, ...]) -> Row:
    python = interpreter(version)
    venv = STATE / "compat" / f"{version}-{age}"
    command = (f"{python} -m venv {venv} && {venv}/bin/python -m pip install --quiet {' '.join(pins + TOOLS)} && "
               f"{venv}/bin/python -m pytest -q tests/unit")
    return Row(f"Python {version}", f"unit tests, {age} libraries", command if python else "", missing=f"no python{version} here")


def interpreter(version: str) -> str | None:
    """A Python of that version that starts: from PATH, or one that pyenv keeps."""
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for found in (shutil.which(f"python{version}"), *map(str, kept)):
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return found
    return None


def attempt(row: Row) -> tuple[str, float]:
    """The result in a few words, and the minutes it took. What it printed is in LOGS."""
    if not row.command:
        return f"not run: {row.missing}", 0.0
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / (re.sub(r"[^a-z0-9.]+", "-", "-".join(row.key).lower()) + ".log")
    argv = ["/bin/sh", "-c", row.command]
    if row.suite:
        argv = ["/usr/bin/python3", "-m", "tests.lab.suite", *argv]
    began = time.monotonic()
    with open(log, "w") as output:
        code = subprocess.run(argv, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False,
                              env={**os.environ, "LAB_SUITE": row.suite}).returncode
    return result(code, log), (time.monotonic() - began) / 60


def result(code: int, log: Path) -> str:
    """What the last lines of a log say, for the table."""
    found = [line.strip(" =") for line in log.read_text(errors="replace").splitlines()
             if line.startswith("demo: ") or re.search(r"\d+ (passed|failed|error)", line)]
    words = found[-1].removeprefix("demo: ").replace("|", "/") if found else ""
    return f"{'passes' if code == 0 else f'FAILS with {code}'}{': ' + words if words else ''}"


def earlier() -> dict[tuple[str, str], str]:
    """The lines of the page as it is, by platform and what was run."""
    if not PAGE.exists():
        return {}
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return {(cells[1].strip(), cells[2].strip()): line for line in lines if len(cells := line.split("|")) == 7}


def write(lines: dict[tuple[str, str], str]) -> None:
    """The page, with the rows that have ever been tried."""
    PAGE.write_text(HEAD + "".join(lines[row.key] + "\n" for row in rows() if row.key in lines), encoding="utf-8")


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    lines, bad = earlier(), 0
    today = datetime.date.today().isoformat()
    try:
        for row in rows():
            if sys.argv[1:] and not any(word in " ".join(row.key) for word in sys.argv[1:]):
                continue
            told, minutes = attempt(row)
            bad += told.startswith("FAILS")
            if row.command or row.key not in lines:
                lines[row.key] = f"| {row.platform} | {row.what} | {told} | {minutes:.1f} | {today} |"
            print(f"{row.platform:12} {row.what:40} {told}", flush=True)
            write(lines)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
