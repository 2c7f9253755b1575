"""One round: servers on some hosts, the hosts die, the servers are recovered, the audits, and everything as it was before."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.cluster import scenario
from tests.lab import cluster, guests, servers, watch
from tests.lab import node as machine
from tests.lab.common import LabError, say, wait_until

BOOT_LIMIT = 240.0
RETURN_LIMIT = 300.0
DELETE_LIMIT = 240.0
LOOK = 2.0            # each look costs Nova's API a second with so many servers, which the evacuation lacks
HABITS = ("running", "running", "running", "stopped")  # of each four servers
OPTED_OUT = 15        # one server of so many is not protected
PRIORITIES = ("900", "", "100")  # "" is none, which is 500


@dataclass(frozen=True)
class Before:
    """What a server was before its host died."""

    name: str
    host: str
    status: str
    protected: bool
    priority: int = 500


@dataclass
class Incident:
    """Some hosts and their servers; what happened to them."""

    victims: Sequence[str]
    begun: float = 0.0
    before: dict[str, Before] = field(default_factory=dict)
    recovered_after: float = 0.0
    returned_after: float = 0.0

    @property
    def protected(self) -> dict[str, Before]:
        """The servers that must move."""
        return {uid: known for uid, known in self.before.items() if known.protected}

    def boot(self, count: int, priorities: bool = False, opted_out: int = OPTED_OUT) -> None:
        """`count` servers, evenly on the victims: running, stopped and, one of `opted_out`, not protected; with `priorities` of three kinds."""
        plan: list[tuple[str, int]] = [(self.victims[n % len(self.victims)], n // len(self.victims)) for n in range(count)]

        def one(place: tuple[str, int]) -> tuple[str, Before]:
            host, n = place
            out = n % opted_out == opted_out - 1
            word = PRIORITIES[n % 3] if priorities else ""
            status = "ACTIVE" if out or HABITS[n % 4] == "running" else "SHUTOFF"
            metadata = {**({"evacuable": "false"} if out else {}), **({"restart_priority": word} if word else {})}
            name = f"{host}-{n:02}"
            uid = servers.boot([name], host, metadata=metadata, wait=None)[0]
            return uid, Before(name, host, status, not out, int(word or 500))

        with ThreadPoolExecutor(4) as pool:
            self.before = dict(pool.map(one, plan))
        servers.wait_status([*self.before], "ACTIVE", BOOT_LIMIT)
        halted = [uid for uid, known in self.before.items() if known.status == "SHUTOFF"]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda uid: servers.action(uid, "os-stop"), halted))
        if halted:
            servers.wait_status(halted, "SHUTOFF", BOOT_LIMIT)

    def cut_power(self) -> None:
        """All victims at once."""
        self.begun = time.time()
        with ThreadPoolExecutor(len(self.victims)) as pool:
            list(pool.map(lambda name: machine.power_off(cluster.find(name)), self.victims))

    def wait_recovered(self, limit: float) -> None:
        """Wait until each protected server is elsewhere in the state it had. Raises LabError."""
        shown = -1
        while wrong := self.wrong():
            if len(wrong) != shown:
                shown = len(wrong)
                say(f"  {time.time() - self.begun:6.1f} s  {len(self.protected) - shown} of {len(self.protected)} servers are back")
            if time.time() - self.begun > limit:
                raise LabError(f"{len(wrong)} servers not recovered after {limit:g} s: " + "; ".join(wrong[:5]))
            time.sleep(LOOK)
        self.recovered_after = time.time() - self.begun
        say(f"  {self.recovered_after:6.1f} s  all {len(self.protected)} servers are back")

    def wrong(self) -> list[str]:
        """The protected servers that are not yet where and what they should be."""
        found = servers.listed()
        return [f"{known.name} ({uid}) {_words(found.get(uid))}, wanted {known.status}" for uid, known in self.protected.items()
                if not _is_right(found.get(uid), known)]

    def rows(self) -> list[dict[str, Any]]:
        """Nova's evacuation records of these servers."""
        return [row for host in self.victims for row in servers.evacuations(host) if row["instance_uuid"] in self.before]

    def audit(self) -> Counter[str]:
        """What must hold whatever was done to the agents; AssertionError says what does not. How many rows have which status."""
        rows = self.rows()
        requests = watch.evacuation_requests(self.begun)
        assert not self._twice(), f"a guest ran on two hosts: {self._twice()}"
        assert not watch.overlapping(rows), f"two evacuations of a server at once: {watch.overlapping(rows)}"
        assert not _again(rows), f"evacuated again after it had arrived: {_again(rows)}"
        moved = {row["instance_uuid"] for row in rows} | set(requests)
        assert not moved - set(self.protected), f"evacuated although not protected: {moved - set(self.protected)}"
        self._audit_fencing(requests)
        self._audit_guests()
        return Counter(str(row["status"]) for row in rows)

    def _twice(self) -> list[dict[str, Any]]:
        return [event for event in guests.twice() if event["time"] > self.begun]

    def fenced(self) -> dict[str, float]:
        """When the fencing of each victim was over."""
        ends: dict[str, float] = {}
        for fencing in watch.fencings(self.begun):
            ends.setdefault(fencing.node, fencing.end)
        return ends

    def _audit_fencing(self, requests: dict[str, list[float]]) -> None:
        ends = self.fenced()
        assert set(ends) == set(self.victims), f"fenced were {sorted(ends)} instead of {sorted(self.victims)}"
        early = [self.before[uid].name for uid, times in requests.items() if min(times) < ends[self.before[uid].host]]
        assert not early, f"requests before the fencing was over: {early}"

    def _audit_guests(self) -> None:
        """What the hypervisors run is what Nova says."""
        running, found = guests.running(), servers.listed()
        for uid, known in self.protected.items():
            wanted = [servers.host_of(found[uid])] if known.status == "ACTIVE" else []
            assert running.get(uid, []) == wanted, f"{known.name} ({uid}) runs on {running.get(uid)}, Nova says {wanted}"

    def wait_returned(self) -> None:
        """Wait until every victim serves again and nothing is on record, then see that nothing is left over."""
        reason: list[str] = []

        def all_back() -> bool:
            try:
                reason[:] = [host for host in self.victims if not watch.in_service(host)] + sorted(watch.records())
            except (LabError, OSError, KeyError) as error:
                reason[:] = [str(error)]
            return not reason

        if not wait_until(all_back, RETURN_LIMIT, LOOK):
            raise LabError(f"not back in service after {RETURN_LIMIT:g} s: {reason}")
        self.returned_after = time.time() - self.begun
        found = servers.listed()
        locked = [server["name"] for server in found.values() if server["locked"]]
        assert not locked, f"still locked: {locked}"
        assert not self._twice(), f"a guest ran on two hosts: {self._twice()}"
        wrong = [known.name for uid, known in self.before.items() if not known.protected and servers.host_of(found[uid]) != known.host]
        assert not wrong, f"not protected, and not on their host any more: {wrong}"
        assert not self.wrong(), f"no longer as they should be: {self.wrong()}"


def clean() -> None:
    """The laboratory as before: healthy and empty."""
    scenario.healthy()
    servers.delete_all(DELETE_LIMIT)


def play(incident: Incident, meanwhile: Callable[[], None], limit: float) -> Counter[str]:
    """The death of the hosts, `meanwhile`, the recovery, the audits, and the hosts' return. How many rows have which status."""
    incident.cut_power()
    meanwhile()
    incident.wait_recovered(limit)
    statuses = incident.audit()
    incident.wait_returned()
    return statuses


def _is_right(server: servers.Server | None, known: Before) -> bool:
    return (server is not None and server["status"] == known.status and servers.host_of(server) not in (known.host, None)
            and not server["OS-EXT-STS:task_state"] and not server["locked"])


def _words(server: servers.Server | None) -> str:
    if server is None:
        return "is gone"
    task = server["OS-EXT-STS:task_state"]
    return f"is {server['status']}{f'/{task}' if task else ''} on {servers.host_of(server)}{', locked' if server['locked'] else ''}"


def _again(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Servers with a row after one that was done: what overlapping() cannot see once the host's return has completed the first."""
    last: dict[tuple[str, str], str] = {}
    bad = set()
    for row in sorted(rows, key=lambda r: int(r["id"])):
        key = (row["instance_uuid"], row["source_compute"])
        if last.get(key) in ("done", "completed"):
            bad.add(row["instance_uuid"])
        last[key] = row["status"]
    return sorted(bad)
