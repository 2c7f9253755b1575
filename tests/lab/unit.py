"""nova-compute as a unit that starts at boot, behind the project's gate, and not as Pacemaker's."""

from __future__ import annotations

from tests.lab import cluster, servers, watch
from tests.lab import node as machine
from tests.lab.common import Node

AGENT = "/usr/lib/ocf/resource.d/lab/nova-compute"
START = f"setsid sh -c 'instance-ha wait-until-evacuated 2>> /var/log/gate.log && {AGENT} start' &"
UP_LIMIT = 60.0
PCS_LIMIT = 90.0


def begin() -> None:
    """Pacemaker lets go of it on every compute host, and the unit starts it. Raises LabError."""
    watch.on_controller("pcs", "resource", "disable", "nova-compute-clone", "--wait=60", timeout=PCS_LIMIT)
    for node in _computes():
        script = machine.folder(node) / "boot.d" / "nova-compute"
        script.write_text(f"#!/bin/sh\n{START}\n")
        script.chmod(0o755)
        machine.exec_in(node, ["/bin/sh", "-c", START])
    servers.wait_computes([node.name for node in _computes()], UP_LIMIT)


def end() -> None:
    """Pacemaker starts it again. Raises LabError."""
    for node in _computes():
        (machine.folder(node) / "boot.d" / "nova-compute").unlink(missing_ok=True)
        machine.exec_in(node, [AGENT, "stop"])
    watch.on_controller("pcs", "resource", "enable", "nova-compute-clone", "--wait=60", timeout=PCS_LIMIT)


def runs(node: Node) -> bool:
    """Whether nova-compute runs on a host that is on."""
    return machine.exec_in(node, [AGENT, "monitor"]).returncode == 0


def told(node: Node) -> str:
    """What the gate said."""
    return (machine.folder(node) / "log" / "gate.log").read_text()


def _computes() -> list[Node]:
    return [node for node in cluster.size().nodes if node.kind == "compute"]
