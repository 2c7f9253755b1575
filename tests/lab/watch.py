"""What the laboratory's own logs and tables say happened: fencings, requests, guests. The witnesses of tests and demonstration."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from xml.etree import ElementTree

from tests.lab import cluster, servers
from tests.lab import node as machine
from tests.lab.common import LOGS, NODES, LabError

_FENCED = re.compile(r"^(\w+ +\d+ [\d:.]+) .*Operation '(?:reboot|off)' targeting (\S+) .*: OK")
_ACTION = re.compile(r'^([\d-]+ [\d:.]+) .*"POST /v2\.1/servers/([0-9a-f-]+)/action" status: (\d+) .* time: ([\d.]+)')


@dataclass(frozen=True)
class Fencing:
    """A completed fencing of a node, by Pacemaker's log. `end` is seconds since the epoch."""

    node: str
    end: float


def fencings(since: float) -> list[Fencing]:
    """The successful fencings that ended after `since`, oldest first, each once."""
    ends: dict[tuple[str, int], float] = {}
    year = datetime.date.today().year
    for path in NODES.glob("ctl-*/log/pacemaker/pacemaker.log"):
        for line in path.read_text(errors="replace").splitlines():
            match = _FENCED.match(line)
            if match and "finalize_op" in line:
                end = datetime.datetime.strptime(f"{year} {match.group(1)}", "%Y %b %d %H:%M:%S.%f").timestamp()
                if end > since:
                    key = (match.group(2), int(end / 2))  # each controller logs it, within a moment
                    ends[key] = min(end, ends.get(key, end))
    return sorted((Fencing(node, end) for (node, _), end in ends.items()), key=lambda fencing: fencing.end)


def evacuation_requests(since: float) -> dict[str, list[float]]:
    """When evacuations were asked of Nova, by server: the arrivals of actions answered 200 (a lock or a stop is answered 202)."""
    found: dict[str, list[float]] = {}
    for line in (LOGS / "nova-api.log").read_text(errors="replace").splitlines():
        match = _ACTION.match(line)
        if match and match.group(3) == "200":
            arrival = datetime.datetime.strptime(match.group(1), "%Y-%m-%d %H:%M:%S.%f").timestamp() - float(match.group(4))
            if arrival > since:
                found.setdefault(match.group(2), []).append(arrival)
    return found


def controller() -> str:
    """The name of a controller that is on. Raises LabError."""
    for node in cluster.size().nodes:
        if node.kind == "controller" and machine.is_on(node) and not machine.is_frozen(node):
            return node.name
    raise LabError("no controller is on")


def on_controller(*argv: str, check: bool = True, timeout: float = 60) -> str:
    """The output of a command on a controller that is on."""
    return machine.exec_in(cluster.find(controller()), argv, timeout, check=check).stdout


def cib() -> ElementTree.Element:
    """The CIB."""
    return ElementTree.fromstring(on_controller("cibadmin", "--query"))


def records() -> dict[str, str]:
    """The fencing records, by node."""
    pairs = cib().findall("configuration/nodes/node")
    return {node.get("uname", ""): pair.get("value", "") for node in pairs
            for pair in node.findall("instance_attributes/nvpair[@name='evacuate']")}


def fence_events(node: str) -> list[dict[str, str]]:
    """What Pacemaker's fencers remember of a node, newest first: action, status, completed, ... of each fencing."""
    text = on_controller("stonith_admin", "--history", node, "--verbose", "--output-as=xml", check=False)
    return [dict(event.attrib) for event in ElementTree.fromstring(text).iter("fence_event") if event.get("target") == node] if text else []


def where_runs(resource: str) -> str | None:
    """The node that runs a resource, as crm_mon has it."""
    root = ElementTree.fromstring(on_controller("crm_mon", "--one-shot", "--output-as=xml"))
    for found in root.iter("resource"):
        if found.get("id") == resource and found.get("active") == "true":
            node = found.find("node")
            return node.get("name") if node is not None else None
    return None


def failures(degraded: bool = False) -> list[tuple[str, str, str]]:
    """(operation, node, exit reason) of the failed resource actions that crm_mon shows; with `degraded` of those that ended
    with OCF_DEGRADED instead, which is no failure to Pacemaker."""
    return both_failures()[degraded]


def both_failures() -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """What failed, and what ended with OCF_DEGRADED, at the same moment."""
    root = ElementTree.fromstring(on_controller("crm_mon", "--one-shot", "--output-as=xml"))
    found: tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]] = ([], [])
    for f in root.iter("failure"):
        found[f.get("exitcode") == "190"].append((f.get("op_key", ""), f.get("node", ""), f.get("exitreason", "")))
    return found


def operation_seconds(resource: str, operation: str) -> float | None:
    """How long the last such operation of a resource took, as the CIB has it; None when it has none."""
    found = [op for entry in cib().iter("lrm_resource") if entry.get("id") == resource for op in entry.iter("lrm_rsc_op")
             if op.get("operation") == operation and op.get("exec-time")]
    newest = max(found, key=lambda op: int(op.get("last-rc-change") or 0), default=None)
    return None if newest is None else int(newest.get("exec-time", "0")) / 1000


def overlapping(rows: list[dict[str, object]]) -> list[str]:
    """Servers with two evacuations at work at the same time, by Nova's own records (a row works from its creation to its last change)."""
    bad = set()
    by_server: dict[str, list[dict[str, object]]] = {}
    for row in sorted(rows, key=lambda r: int(str(r["id"]))):
        by_server.setdefault(str(row["instance_uuid"]), []).append(row)
    for server, own in by_server.items():
        for earlier, later in zip(own, own[1:]):
            # completed is the later clean-up of the source, long after the move
            overlap = earlier["status"] in ("accepted", "pre-migrating") or str(earlier["updated_at"] or "9999") > str(later["created_at"])
            if overlap and earlier["status"] != "completed":
                bad.add(server)
    return sorted(bad)


def worker_log() -> str:
    """What every worker has logged since the laboratory is up, with what else the controllers did."""
    return "".join(path.read_text(errors="replace") for path in NODES.glob("ctl-*/log/syslog"))


def in_service(host: str) -> bool:
    """Whether Nova has the host up, enabled and not forced down."""
    service = servers.services()[host]
    return service["state"] == "up" and service["status"] == "enabled" and not service["forced_down"]
