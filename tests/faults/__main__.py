"""make faults: the whole fault matrix in the real cluster, unattended; the table goes to docs/faults.md."""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import random
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.acts import end_tenants, forget_tenants, restore
from tests.chaos.judge import audit, await_fencing, keep, settle
from tests.chaos.player import DEATHS, Player
from tests.chaos.witness import Witness
from tests.cluster.scenario import healthy
from tests.faults.rows import MEMBER, Row, rows
from tests.lab import cluster, guests, servers, up, watch
from tests.lab.common import REPOSITORY, VIRT, Size, say, wait_until

PAGE = REPOSITORY / "docs" / "faults.md"
SETTLED_LIMIT, HEALTHY_LIMIT = 240.0, 240.0
STUCK_TIMEOUT = 60      # seconds instead of 300, so that the rows in which Nova loses a request do not take five minutes more
KINDS = {"remote": Size(controllers=3, computes=4), MEMBER: Size(controllers=3, computes=3, member_computes=True)}
HEAD = """# The fault matrix

Made by `make faults`, in one run or in several, on {date}, in the laboratory on {cores} cores. Each row is one scenario of
[tests/faults/rows.py](../tests/faults/rows.py)
in a real Pacemaker cluster with a real Nova; after each of them the audits are made that are part of none: no guest ran on two hosts at
once, no evacuation was asked before the fencing was complete, no server had two evacuations at work, no protected server was left behind
that nobody was told of, nothing was fenced that was not meant to die, no operation of a resource failed that was not meant to, nothing of
the agents was left running besides the worker, no secret is in any log.

Seconds count from the failure: until the (first) host was fenced, until the first request to evacuate, until the last server was at work on
its new host. The laboratory notices a dead remote after 5 to 10 s, and its hypervisor takes no time, or six seconds for each server in rows
of the kind "in the middle". stuck_timeout, after which a request that Nova has lost is sent again, is 60 s.
"(members)": the compute hosts are full members of the cluster, and Pacemaker Remote nodes elsewhere.

"""


@dataclass
class Outcome:
    """What a row gave."""

    row: Row
    error: str = ""
    fenced: float | None = None
    first: float | None = None
    recovered: float | None = None
    took: float = 0.0
    note: str = ""
    date: str = field(default_factory=lambda: datetime.date.today().isoformat())


def main() -> int:
    """0 when every row is green."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", action="append", metavar="PATTERN", help="rows whose 'group: name' matches; may be given again")
    parser.add_argument("--list", action="store_true", help="print the rows and do nothing")
    parser.add_argument("--results", type=Path, metavar="FILE", help="keep each row's outcome there too; the page is made from the newest of "
                        "each row when it holds all of them, so that the matrix can be run in parts")
    parser.add_argument("--failed", action="store_true", help="only rows that the results do not have as they should be")
    parser.add_argument("--keep", action="store_true", help="leave the last laboratory up")
    args = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    chosen = [row for row in rows() if not args.only or any(re.search(pattern, f"{row.group}: {row.name}") for pattern in args.only)]
    known = read(args.results) if args.results else {}
    if args.failed:
        chosen = [row for row in chosen if known.get(key(row), {}).get("error", "not run")]
    if args.list:
        print("\n".join(f"{row.group}: {row.name}" for row in chosen))
        return 0
    began, outcomes = time.monotonic(), []
    try:
        for kind, own in itertools.groupby(chosen, key=lambda row: row.kind):
            for outcome in run_kind(KINDS[kind], [*own]):
                outcomes.append(outcome)
                keep_result(args.results, outcome)
    except KeyboardInterrupt:
        say("interrupted")
        args.keep = False
        return 130
    finally:
        if not args.keep:
            up.take_down()
        print("\n" + table(outcomes), flush=True)
    bad = [outcome for outcome in outcomes if outcome.error]
    print(f"faults: {len(outcomes) - len(bad)} of {len(chosen)} rows as they should be, {time.monotonic() - began:.0f} s")
    known = read(args.results) if args.results else {key(outcome.row): asdict(outcome) for outcome in outcomes}
    if not VIRT and all(key(row) in known for row in rows()):  # the page is of the stand-in
        write([Outcome(**{**known[key(row)], "row": row}) for row in rows()])
    return 1 if bad or len(outcomes) < len(chosen) else 0


def key(row: Row) -> str:
    """A row's name in the results; what was run with real guests is another row."""
    return f"{VIRT} {row.kind} {row.group}: {row.name}".lstrip()


def read(results: Path) -> dict[str, dict[str, Any]]:
    """The newest outcome of each row in a file of results."""
    lines = results.read_text().splitlines() if results.exists() else []
    return {one.pop("key"): one for one in map(json.loads, lines)}


def keep_result(results: Path | None, outcome: Outcome) -> None:
    """Add an outcome to the results."""
    if results:
        with results.open("a") as file:
            file.write(json.dumps({**asdict(outcome), "key": key(outcome.row), "row": None}) + "\n")


def run_kind(size: Size, own: Sequence[Row]) -> Iterator[Outcome]:
    """The rows of one kind of laboratory; one that cannot be made healthy is brought up anew."""
    good = up.is_up() and cluster.size() == size
    for row in own:
        if not good:
            up.bring_up(size)
        outcome = one(row)
        print(line(outcome), flush=True)
        yield outcome
        good = not outcome.error


def one(row: Row) -> Outcome:
    """One row. What went wrong is in the outcome; then everything that tells how is kept."""
    outcome, began = Outcome(row), time.monotonic()
    say(f"\n=== {row.group}: {row.name}")
    try:
        _play(row, outcome)
    except Exception as error:  # whatever it is, the other rows are run
        outcome.error = f"{type(error).__name__}: {error}"[:600]
        say(f"  {outcome.error}\n  kept in {keep('faults-' + re.sub('[^a-z]+', '-', row.name))}")
    outcome.took = time.monotonic() - began
    return outcome


def _play(row: Row, outcome: Outcome) -> None:
    forget_tenants()
    watch.on_controller("pcs", "resource", "update", "nova-evacuate", f"stuck_timeout={STUCK_TIMEOUT}")
    wanted, homes, stays = _boot(row)
    begun, split = time.time(), len(guests.twice())
    player = Player(row.acts, random.Random(row.name), [*wanted])
    with Witness() as witness:
        player.play()
        restore()
        assert not player.trouble, f"not done as it was to be: {player.trouble}"
        await_fencing(player, begun)
        wrong = settle(wanted, set(), SETTLED_LIMIT, {uid: homes[uid] for uid in wanted} if row.moves else None)
        assert not wrong, f"not recovered: {wrong}"
        if row.told:
            assert wait_until(lambda: any(row.told in reason for reason in witness.heard), 30, 1), f"nobody said {row.told!r}: {witness.heard}"
        if row.reason:
            _kept_disabled(row)
        healthy(HEALTHY_LIMIT)
    failure = min((moment for act, moment in player.times.items() if act.name in DEATHS), default=begun)
    ends = [fencing.end for fencing in watch.fencings(begun) if fencing.node in row.victims]
    asked = {uid: times for uid, times in watch.evacuation_requests(begun).items() if uid in homes}
    outcome.fenced = min(ends) - failure if ends else None
    outcome.first = min(min(times) for times in asked.values()) - failure if asked else None
    arrivals = [event["time"] for event in guests.journal() if event["time"] > begun and event["host"] != homes.get(event["uuid"], event["host"])]
    outcome.recovered = max(arrivals) - failure if asked and arrivals else None
    if witness.restarted:
        outcome.note = f"; told to, a person restarted nova-compute on {', '.join(sorted(witness.restarted))}"
    audit(begun, split, homes, player, witness)
    _hosts(row, homes, stays, asked)
    silent = end_tenants(witness.heard)
    assert not silent, f"the user's own servers stayed, and nobody was told: {silent}"
    assert not settle(wanted, set()), "no longer as they should be"
    servers.delete_all()
    watch.on_controller("pcs", "resource", "cleanup", check=False)


def _boot(row: Row) -> tuple[dict[str, str], dict[str, str], set[str]]:
    """On each victim two running, one stopped, and one server that is not protected: the states they are to end in, and their hosts."""
    wanted, homes, stays = {}, {}, set()
    for host in row.victims:
        ids = servers.boot([f"{host}-{n}" for n in range(3)], host)
        out = servers.boot([f"{host}-out"], host, metadata={"evacuable": "false"})
        servers.action(ids[2], "os-stop")
        servers.wait_status([ids[2]], "SHUTOFF")
        wanted.update({ids[0]: "ACTIVE", ids[1]: "ACTIVE", ids[2]: "SHUTOFF"})
        homes.update(dict.fromkeys((*ids, *out), host))
        stays |= {*out}
    return wanted, homes, stays


def _hosts(row: Row, homes: dict[str, str], stays: set[str], asked: dict[str, list[float]]) -> None:
    """That those moved which had to, and nothing else, and none of them too often."""
    found = servers.listed()
    moved = {uid for uid, host in homes.items() if servers.host_of(found[uid]) != host}
    assert not moved & stays and not set(asked) & stays, "a server was evacuated that is not protected"
    there = [found[uid]["name"] for uid in moved if servers.host_of(found[uid]) == row.nowhere]
    assert not there, f"on {row.nowhere}: {there}"
    if row.moves is not None:
        assert moved == (set(homes) - stays if row.moves else set()), f"moved: {len(moved)} of {len(homes) - len(stays)}"
    counts = {uid: len(times) for uid, times in asked.items()}
    assert all(count <= row.most for count in counts.values()), f"more requests than meant: {counts}"


def _kept_disabled(row: Row) -> None:
    """The service is given back as a person had left it; then the person enables it."""
    def kept() -> bool:
        service = servers.services()[row.victims[0]]
        as_it_was = (service["state"], service["status"], service["forced_down"]) == ("up", "disabled", False)
        return as_it_was and str(service["disabled_reason"]).startswith(row.reason)

    assert wait_until(lambda: not watch.records() and kept(), HEALTHY_LIMIT, 1), servers.services()[row.victims[0]]
    servers.set_service(row.victims[0], status="enabled")


def table(outcomes: Sequence[Outcome]) -> str:
    """The rows as a table of Markdown."""
    head = ["| | scenario | outcome | fenced | first request | all back |", "| --- | --- | --- | --- | --- | --- |"]
    return "\n".join([*head, *map(line, outcomes)])


def line(outcome: Outcome) -> str:
    """One row of the table."""
    numbers = ["" if value is None else f"{value:.1f}" for value in (outcome.fenced, outcome.first, outcome.recovered)]
    verdict = "FAILED: " + " ".join(outcome.error.replace("|", "/").split()) if outcome.error else "as it should be" + outcome.note
    return f"| {outcome.row.group} | {outcome.row.name} | {verdict} | {' | '.join(numbers)} |"


def write(outcomes: Sequence[Outcome]) -> None:
    """docs/faults.md."""
    PAGE.write_text(HEAD.format(date=" and ".join(sorted({outcome.date for outcome in outcomes})), cores=os.cpu_count()) + table(outcomes) + "\n")
    say(f"written: {PAGE.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    sys.exit(main())
