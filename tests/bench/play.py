"""One death of some hosts, and what one contender took to bring their servers back."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.peers import Peer
from tests.cluster.scenario import healthy
from tests.lab import bmc, cluster, guests, servers, watch
from tests.lab import node as machine
from tests.lab.common import LabError, say, wait_until
from tests.stress.incident import Incident, clean

FENCED_LIMIT, RECOVERED_LIMIT, BACK_LIMIT = 90.0, 900.0, 180.0
QUIET = 30.0          # so long nothing is under way of what a contender that has ended has left: it brings nothing back any more
LOOK = 2.0
UNDER_WAY = ("accepted", "pre-migrating")     # Nova's words of an evacuation
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Load:
    """How many hosts die, with how many servers each, whose rebuild takes how many seconds on its new host."""

    hosts: int
    servers: int
    rebuild: float

    @classmethod
    def of(cls, text: str) -> Load:
        """Return what is written as HOSTSxSERVERSxSECONDS. Raises ValueError."""
        hosts, count, rebuild = text.split("x")
        return cls(int(hosts), int(count), float(rebuild))

    def __str__(self) -> str:
        return f"{self.hosts}x{self.servers}x{self.rebuild:g}"


@dataclass
class Line:
    """What one contender took, in seconds from the end of the last fencing; `cpu` is of its own processes."""

    peer: str
    load: str
    first: float = 0.0
    last: float = 0.0
    back: float = 0.0
    requests: int = 0
    left: int = 0
    in_error: int = 0
    cpu: float = 0.0
    error: str = ""
    date: str = field(default_factory=lambda: time.strftime("%Y-%m-%d"))


def play(peer: Peer, load: Load) -> Line:
    """Let the hosts die, and the contender do its work. What goes wrong is in the line."""
    line = Line(peer.name, str(load))
    victims = [f"cmp-{number + 1}" for number in range(load.hosts)]
    incident = Incident(victims)
    _prepare(victims, ours=peer.work is None)
    try:
        guests.set_knob("spawn_delay", None)
        incident.boot(load.hosts * load.servers, opted_out=load.hosts * load.servers + 1)
        guests.set_knob("spawn_delay", load.rebuild or None)
        _die(incident, peer, line)
    except (LabError, AssertionError, OSError, KeyError, ValueError, servers.Unanswered) as error:
        line.error = f"{type(error).__name__}: {error}"[:300]
        say(f"  FAILED: {line.error}")
    finally:
        guests.set_knob("spawn_delay", None)
        _restore(victims, ours=peer.work is None)
    return line


def _die(incident: Incident, peer: Peer, line: Line) -> None:
    workers = _worker_cpu()
    incident.cut_power()
    if not wait_until(lambda: set(incident.fenced()) >= set(incident.victims), FENCED_LIMIT, 0.1):
        raise LabError(f"of {incident.victims} only {sorted(incident.fenced())} were fenced in {FENCED_LIMIT:g} s")
    end = max(incident.fenced().values())
    if peer.work:
        for host in incident.victims:
            servers.set_service(host, forced_down=True)
            servers.set_service(host, status="disabled")
        used = _own_cpu()
        peer.work(incident.victims)
        line.cpu = round(_own_cpu() - used, 1)
    try:
        if peer.work:
            wait_until(_NovaRests(incident), RECOVERED_LIMIT, LOOK)
        incident.wait_recovered(round(time.time() - incident.begun) if peer.work else RECOVERED_LIMIT)
    except LabError as error:
        line.error = str(error)[:300]
    if not peer.work:
        line.cpu = round(_worker_cpu() - workers, 1)
    found = servers.listed()
    line.left = len(incident.wrong())
    line.in_error = sum(1 for uid in incident.protected if found.get(uid, {}).get("status") == "ERROR")
    asked = watch.evacuation_requests(incident.begun)
    line.requests = sum(map(len, asked.values()))
    if asked:
        line.first = round(min(min(times) for times in asked.values()) - end, 2)
        line.last = round(max(max(times) for times in asked.values()) - end, 2)
    homes = {uid: known.host for uid, known in incident.before.items()}
    arrived = [event["time"] for event in guests.journal() if event["time"] > incident.begun and event["uuid"] in homes
               and event["host"] != homes[event["uuid"]]]
    line.back = round(max(arrived) - end, 1) if arrived else 0.0


class _NovaRests:
    """Whether all servers are back, or Nova has been at none of them for QUIET seconds."""

    def __init__(self, incident: Incident) -> None:
        self.incident, self.busy = incident, time.monotonic()

    def __call__(self) -> bool:
        found = servers.listed()
        tasks = any(uid in found and found[uid]["OS-EXT-STS:task_state"] for uid in self.incident.protected)
        if tasks or any(row["status"] in UNDER_WAY for row in self.incident.rows()):
            self.busy = time.monotonic()
        return not self.incident.wrong() or time.monotonic() - self.busy > QUIET


def _own_cpu() -> float:
    """What this process and the commands that it has run have used: those of a peer, while it works."""
    every = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in every)


def _worker_cpu() -> float:
    """What the workers and the tools that they have run have used."""
    total = 0.0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if b"instance_ha.service" in (path / "cmdline").read_bytes():
                fields = (path / "stat").read_text().rpartition(")")[2].split()
                total += sum(map(int, fields[11:15])) / TICKS
        except OSError:
            continue
    return total


def _prepare(victims: Sequence[str], ours: bool) -> None:
    """The hosts stay off once they are fenced, so that their return is no part of anything; the others are alone in the cluster."""
    watch.on_controller("pcs", "property", "set", "stonith-action=off")
    watch.on_controller("pcs", "resource", "update", "nova-evacuate", "threshold=100")
    if not ours:
        watch.on_controller("pcs", "resource", "disable", "nova-evacuate")
    for host in victims:
        bmc.stay_off(cluster.find(host), True)
        if not ours:
            watch.on_controller("pcs", "stonith", "level", "remove", "1", "target", host)
            watch.on_controller("pcs", "stonith", "level", "add", "1", host, f"fence-{host}")


def _restore(victims: Sequence[str], ours: bool) -> None:
    watch.on_controller("pcs", "property", "set", "stonith-action=")
    watch.on_controller("pcs", "resource", "update", "nova-evacuate", "threshold=")
    for host in victims:
        bmc.stay_off(cluster.find(host), False)
        machine.boot(cluster.find(host))
    for host in victims if not ours else ():
        # Enabled before it reports, it would keep the trait in Placement that forbids new servers.
        wait_until(lambda host=host: _forced_up(host) and servers.services()[host]["state"] == "up", BACK_LIMIT, 1.0)
        servers.set_service(host, status="enabled")
        watch.on_controller("pcs", "stonith", "level", "remove", "1", "target", host)
        watch.on_controller("pcs", "stonith", "level", "add", "1", host, f"fence-{host}", "fence-nova")
    if not ours:
        watch.on_controller("pcs", "resource", "enable", "nova-evacuate")
    healthy()
    clean()


def _forced_up(host: str) -> bool:
    """Nova refuses while the guests that left are still on the host."""
    try:
        servers.set_service(host, forced_down=False)
    except (LabError, servers.Unanswered):
        return False
    return True
