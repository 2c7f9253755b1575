"""Scenarios: servers, a fault, what must hold at the end; and audits that are part of none."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.lab import cluster, guests, servers, watch
from tests.lab import node as machine
from tests.lab.cloud_config import AGENTS_YAML, CLOUDS_YAML
from tests.lab.common import NODES, LabError, wait_until

HEALTHY_LIMIT = 120.0
RECOVERED_LIMIT = 120.0
RETURN_LIMIT = 150.0
SWITCH_LIMIT = 60.0
LOOK = 0.3


def healthy(limit: float = HEALTHY_LIMIT) -> None:
    """Wait until every node is on, online and serves, and nothing is on record. Raises LabError saying what is not."""
    size = cluster.size()
    hosts = [node.name for node in size.nodes if node.kind == "compute"]
    for node in size.nodes:
        machine.boot(node)
    reason = ""

    def all_well() -> bool:
        nonlocal reason
        try:
            missing = {node.name for node in size.nodes} - cluster.online()[0]
            bad = [host for host in hosts if not watch.in_service(host)]
            kept = watch.records()
            worker = watch.where_runs("nova-evacuate")
        except (LabError, OSError, KeyError, servers.Unanswered) as error:
            reason = str(error)
            return False
        reason = f"offline {missing}, not in service {bad}, on record {kept}, worker on {worker}"
        return not missing and not bad and not kept and worker is not None

    if not wait_until(all_well, limit, LOOK):
        raise LabError(f"the laboratory is not healthy after {limit:g} s: {reason}")


@dataclass
class Story:
    """One failure of one host: its servers before, and what the audits look at."""

    victim: str = "cmp-1"
    begun: float = field(default_factory=time.time)
    before: dict[str, str] = field(default_factory=dict)
    stays: set[str] = field(default_factory=set)
    may_die: set[str] = field(default_factory=set)

    def boot(self, running: int = 3, stopped: int = 1, volume: int = 0, out: int = 0) -> None:
        """Servers of each kind on the victim."""
        kinds = ((running, {}), (stopped, {"stopped": True}), (volume, {"volume": True}), (out, {"metadata": {"evacuable": "false"}}))
        for number, (count, options) in enumerate(kinds):
            ids = servers.boot([f"s{number}-{n}" for n in range(count)], self.victim, **options) if count else []  # type: ignore[arg-type]
            for uid in ids:
                self.before[uid] = "SHUTOFF" if options.get("stopped") else "ACTIVE"
                if "metadata" in options:
                    self.stays.add(uid)
        self.begun = time.time()

    def cut_power(self) -> None:
        """The victim loses its power, cable first."""
        self.may_die.add(self.victim)
        machine.power_off(cluster.find(self.victim))

    def recovered(self, limit: float = RECOVERED_LIMIT) -> None:
        """Wait until each protected server is elsewhere in the state it had. Raises LabError."""
        def there() -> bool:
            found = servers.listed()
            return all(self._is_right(found.get(uid), status) for uid, status in self.before.items() if uid not in self.stays)

        if not wait_until(there, limit, LOOK):
            found = servers.listed()
            raise LabError("not recovered: " + "; ".join(
                f"{uid} wanted {status}, is {found[uid]['status']} on {servers.host_of(found[uid])}" if uid in found else f"{uid} gone"
                for uid, status in self.before.items() if uid not in self.stays and not self._is_right(found.get(uid), status)))

    def _is_right(self, server: servers.Server | None, status: str) -> bool:
        return (server is not None and server["status"] == status and servers.host_of(server) != self.victim
                and not server["OS-EXT-STS:task_state"] and not server["locked"])

    def audit(self, most_evacuations: int = 1, failed: Iterable[str] = (), lost: Iterable[str] = (), asked: Iterable[str] = ()) -> None:
        """What must hold after every scenario, whatever it was. `lost` are servers whose request Nova itself lost: its record
        of that stays at accepted for ever. Of those in `asked` something else was asked that is answered like an evacuation."""
        requests = {uid: times for uid, times in watch.evacuation_requests(self.begun).items() if uid not in set(asked)}
        ends = [f.end for f in watch.fencings(self.begun) if f.node == self.victim]
        rows = [row for row in servers.evacuations(self.victim) if row["instance_uuid"] in self.before]
        assert not guests.twice(), f"a guest ran on two hosts: {guests.twice()}"
        twice = set(watch.overlapping(rows)) - set(lost)
        assert not twice, f"two evacuations of a server at once: {[row for row in rows if row['instance_uuid'] in twice]}"
        assert all(min(times) > min(ends, default=float("inf")) for times in requests.values()), "a request before the fencing was complete"
        assert {f.node for f in watch.fencings(self.begun)} <= self.may_die, "a node was fenced that was not meant to die"
        counts = {uid: sum(1 for row in rows if row["instance_uuid"] == uid) for uid in self.before}
        assert all(count <= most_evacuations for count in counts.values()), f"more evacuations than meant: {counts}"
        assert not any(counts[uid] for uid in self.stays), "a server was evacuated that is not protected"
        bad = [f for f in watch.failures() if "nova-evacuate" in f[0] and not any(word in f[0] for word in failed)]
        assert not bad, f"the agent failed: {bad}"
        assert not secrets_in_logs(), "the password is in a log"


def switch_worker(word: str) -> None:
    """"enable" or "disable" the worker; not with --wait, since the cluster does not settle while hosts wait to be let in."""
    watch.on_controller("pcs", "resource", word, "nova-evacuate")
    if not wait_until(lambda: (watch.where_runs("nova-evacuate") is None) == (word == "disable"), SWITCH_LIMIT, 0.5):
        raise LabError(f"the worker is not {word}d after {SWITCH_LIMIT:g} s")


def agents_use(changes: Mapping[str, object]) -> None:
    """The agents' clouds.yaml with these entries changed, {} for what it was at first, and the worker started anew with it."""
    config = json.loads(AGENTS_YAML.read_text())
    config["clouds"]["lab"].update(changes)
    for node in cluster.size().nodes:
        if node.kind == "controller":
            machine.put(node, "/etc/openstack/clouds.yaml", json.dumps(config), 0o600)
    switch_worker("disable")
    switch_worker("enable")


def secrets_in_logs() -> list[str]:
    """Logs of nodes that hold the cloud's password."""
    password = json.loads(CLOUDS_YAML.read_text())["clouds"]["lab"]["auth"]["password"]
    return [str(path) for path in NODES.glob("*/log/**/*") if path.is_file() and password in path.read_text(errors="replace")]
