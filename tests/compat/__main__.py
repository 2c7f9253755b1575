"""make compat: what runs on which platform, tried now; the table goes to docs/platforms.md."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.compat.rows import Row, rows
from tests.compat.units import NOT_RUN
from tests.lab.common import REPOSITORY, STATE, say

PAGE = REPOSITORY / "docs" / "platforms.md"
FOLDER = STATE / "compat"
NOT_PASSED_ON = ("MAKEFLAGS", "MFLAGS", "LAB_NOVA", "LAB_ROLE", "LAB_SUITE")
LIMIT = 3600.0      # seconds for one row
# What a log says of itself, the best first.
TOLD = (r"^not run: .*", r"\d+ (?:passed|failed)\b.* in [\d.]+s.*", r"^demo: .*", r"^lab: .*")
CANNOT = re.compile(r"^lab: (?:.*\bneeds\b|this machine lets root make no ).*", re.MULTILINE)
HEAD = """# Platforms

Made by `make compat` in the laboratory on {cores} cores, in one run or in several, last on {date}.
`make compat COMPAT='3.9 configure'` runs the rows that have one of these words in their name, and
keeps the results of the others. A row that this machine could not run has its reason.

- *oldest libraries*: keystoneauth1 4.3.0, openstacksdk 0.55.0, and the oldest lxml from 4.6 on that
  has a wheel for that Python. *newest*: what the laboratory pins. Without the property tests.
- *Debian 12*: Pacemaker 2.1, pcs 0.11, crmsh 4.4, Python 3.11. *Debian 13*: Pacemaker 3.0,
  pcs 0.12, crmsh 5.0, Python 3.13, in a root that debootstrap makes (`LAB_SUITE=trixie`).
- *Nova 29*, *Nova 23*: with the Keystone, the Placement and the libraries of their time, in a
  virtual environment of their own (`LAB_NOVA=29`, `LAB_NOVA=23`), on Debian 12. Elsewhere Nova is
  that of OpenStack 2026.2.
- All else is tested on Debian 12 by `make test`, `make test-slow`, `make test-configure`,
  `make faults`: see the README.

"""


@dataclass
class Outcome:
    """What a row gave."""

    name: str
    result: str         # "passed", "FAILED" or "not run"
    told: str = ""      # by its log, in one line
    seconds: float = 0.0
    date: str = ""


def main() -> int:
    """Return 0 when every row that was chosen has passed, or cannot be run here."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.compat", description=__doc__)
    parser.add_argument("--only", default="", metavar="WORDS",
                        help="rows with one of these words in their name")
    parser.add_argument("--list", action="store_true", help="print the names of the rows only")
    parser.add_argument("--results", type=Path, default=FOLDER / "results.jsonl", metavar="FILE",
                        help="where the outcome of each row is kept (%(default)s)")
    args = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    chosen = [row for row in rows() if matches(row, shlex.split(args.only))]
    if args.list:
        print("\n".join(row.name for row in chosen))
        return 0
    if not chosen:
        say(f"compat: no row has one of the words {args.only}; see: python3 -m tests.compat --list")
        return 2
    outcomes = []
    try:
        for row in chosen:
            outcomes.append(one(row))
            keep(args.results, outcomes[-1])
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    finally:
        known = read(args.results)
        PAGE.write_text(page(known))
        print("\n" + table({outcome.name: outcome for outcome in outcomes}, chosen), flush=True)
        say(f"written: {PAGE.relative_to(REPOSITORY)}")
    return 1 if any(outcome.result == "FAILED" for outcome in outcomes) else 0


def matches(row: Row, words: Sequence[str]) -> bool:
    """Return whether one of the words is in the row's name; without words each row matches."""
    return not words or any(word.lower() in row.name.lower() for word in words)


def one(row: Row) -> Outcome:
    """Run a row with its output in a log, and return its outcome. Shows the end if it failed."""
    log = FOLDER / (re.sub("[^a-z0-9.]+", "-", row.name.lower()).strip("-") + ".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    say(f"=== {row.name}   ({log})")
    began, date = time.monotonic(), datetime.date.today().isoformat()
    code = run(row, log)
    seconds, text = time.monotonic() - began, log.read_text(errors="replace")
    cannot = code and CANNOT.search(text)
    result = "not run" if cannot else {0: "passed", NOT_RUN: "not run"}.get(code, "FAILED")
    outcome = Outcome(row.name, result, cannot[0] if cannot else told(text), seconds, date)
    if result == "FAILED":
        say("\n".join(text.rstrip().splitlines()[-40:]))
    say(f"{result} after {seconds:.0f} s: {outcome.told}")
    return outcome


def run(row: Row, log: Path) -> int:
    """Return the exit code of a row's command. It is ended after LIMIT, and on Ctrl-C."""
    # Not as this make was called: MAKEFLAGS has the variables of its command line.
    env = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    with open(log, "wb") as file:
        process = subprocess.Popen(
            row.argv, cwd=REPOSITORY, env={**env, **row.env}, stdin=subprocess.DEVNULL,
            stdout=file, stderr=file, start_new_session=True)
        try:
            return process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            file.write(f"\nnot over after {LIMIT:.0f} s\n".encode())
            return 1
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                process.wait(120)


def told(text: str) -> str:
    """Return the line in which a log says what came of it: the last of the best kind, or of all."""
    for pattern in TOLD:
        found = re.findall(pattern, text, re.MULTILINE)
        if found:
            return str(found[-1]).strip("= ").removeprefix("not run: ")
    return (text.split() and text.rstrip().splitlines()[-1].strip()) or ""


def keep(results: Path, outcome: Outcome) -> None:
    """Add an outcome to the results."""
    with results.open("a") as file:
        file.write(json.dumps(asdict(outcome)) + "\n")


def read(results: Path) -> dict[str, Outcome]:
    """Return the newest outcome of each row in a file of results."""
    lines = results.read_text().splitlines() if results.exists() else []
    found = [Outcome(**json.loads(line)) for line in lines]
    return {outcome.name: outcome for outcome in found}


def table(known: Mapping[str, Outcome], chosen: Sequence[Row]) -> str:
    """Return the rows as a table of Markdown; one without an outcome says so."""
    lines = ["| platform | what | result | | date | seconds |",
             "| --- | --- | --- | --- | --- | --- |"]
    for row in chosen:
        outcome = known.get(row.name, Outcome(row.name, "not run", "not yet"))
        seconds = f"{outcome.seconds:.0f}" if outcome.result != "not run" else ""
        cells = (row.platform, row.what, outcome.result, outcome.told, outcome.date, seconds)
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(lines)


def page(known: Mapping[str, Outcome]) -> str:
    """Return docs/platforms.md."""
    names = {row.name for row in rows()}
    dates = [outcome.date for name, outcome in known.items() if name in names]
    head = HEAD.format(cores=os.cpu_count(), date=max(dates, default="-"))
    return head + table(known, [*rows()]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
