"""The worker is killed twenty times during one evacuation, at moments of every kind."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.lab import cluster, guests, watch
from tests.lab import node as machine
from tests.lab.common import LOGS, LabError, say, wait_until
from tests.stress.incident import Incident, play
from tests.stress.report import Result, round_of

KILLS = 20
LIMIT = 1500.0
SPAWN_DELAY = 8
START_LIMIT = 60.0
FIRST_ACTION_LIMIT = 40.0  # a takeover's pause and the turn after it
PIDFILE = "run/resource-agents/NovaEvacuate-nova-evacuate.pid"
# Few at once, so that the evacuation outlasts the kills; Pacemaker looks often, so that the worker is started again soon.
SLOWLY = ("min_parallel=2", "max_parallel=3", "op", "monitor", "interval=2s", "timeout=20s")
AS_BEFORE = ("min_parallel=", "max_parallel=", "op", "monitor", "interval=10s", "timeout=20s")
MOMENTS = ("start", "pause", "act", "act", "act", "act", "later", "later")


def run(count: int, kills: int = KILLS, seed: int = 1) -> Iterator[Result]:
    """One result."""
    watch.on_controller("pcs", "resource", "update", "nova-evacuate", *SLOWLY)
    guests.set_knob("spawn_delay", SPAWN_DELAY)
    try:
        yield round_of("kills", f"{kills} kills", lambda result: _one(result, count, kills, seed))
    finally:
        guests.set_knob("spawn_delay", None)
        watch.on_controller("pcs", "resource", "update", "nova-evacuate", *AS_BEFORE)
        watch.on_controller("pcs", "resource", "cleanup", "nova-evacuate")


def _one(result: Result, count: int, kills: int, seed: int) -> None:
    incident = result.incident = Incident(("cmp-1", "cmp-2"))
    say(f"\n=== kills: {count} servers on {', '.join(incident.victims)}")
    incident.boot(count)
    result.statuses = play(incident, lambda: _kill(result, incident, kills, random.Random(seed)), LIMIT)


def _kill(result: Result, incident: Incident, kills: int, chance: random.Random) -> None:
    """Kill one worker after the other; what is slow is made quick again after the last."""
    if not wait_until(lambda: "proof" in watch.records().get(incident.victims[0], ""), START_LIMIT, 0.2):
        raise LabError("no confirmed record")
    last = ""
    for number in range(1, kills + 1):
        node, words = _worker_besides(last)
        moment = chance.choice(MOMENTS) if number > 1 else "act"
        _MOMENTS[moment](chance)
        machine.exec_in(cluster.find(node), ["kill", "-9", words.split()[0]], check=True)
        last, age = f"{node} {words}", _age(words)
        asked = sum(len(times) for times in watch.evacuation_requests(incident.begun).values())
        left = len(incident.wrong())
        note = f"kill {number} ({moment}) of a worker {age:.1f} s old: {asked} requests so far, {left} servers left"
        say(f"  {time.time() - incident.begun:6.1f} s  {note}")
        result.notes.append(note)
        assert left, f"all servers are back after {number} kills"
    guests.set_knob("spawn_delay", None)


def _worker_besides(last: str) -> tuple[str, str]:
    """The node, and pid and start time, of a worker that is not `last`. Raises LabError."""
    limit = time.monotonic() + START_LIMIT
    while time.monotonic() < limit:
        for node in cluster.size().nodes:
            pid = machine.pid_of(node) if node.kind == "controller" else None
            words = _read(Path("/proc", str(pid), "root", PIDFILE)) if pid else ""
            if words and f"{node.name} {words}" != last:
                return node.name, words
        time.sleep(0.1)
    raise LabError(f"Pacemaker has not started the worker again within {START_LIMIT:g} s")


def _age(words: str) -> float:
    """Seconds since the process of a pid file was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(words.split()[1]) / os.sysconf("SC_CLK_TCK")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _at_start(chance: random.Random) -> None:
    time.sleep(chance.uniform(0, 3))


def _in_the_pause(chance: random.Random) -> None:
    time.sleep(chance.uniform(3, 19))


def _while_it_acts(chance: random.Random) -> None:
    """Within a second and a half of its first lock."""
    log = LOGS / "nova-api.log"
    offset = log.stat().st_size
    with open(log, "rb") as file:
        file.seek(offset)
        wait_until(lambda: b'/action" status' in file.read(), FIRST_ACTION_LIMIT, 0.02)
    time.sleep(chance.uniform(0, 1.5))


def _later(chance: random.Random) -> None:
    _while_it_acts(chance)
    time.sleep(chance.uniform(1, 8))


_MOMENTS: dict[str, Callable[[random.Random], None]] = {
    "start": _at_start, "pause": _in_the_pause, "act": _while_it_acts, "later": _later}
