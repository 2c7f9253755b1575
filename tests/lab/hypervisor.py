"""A compute node with its own libvirtd, whose guests are its QEMU processes (LAB_VIRT=libvirt)."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.lab import node as machine
from tests.lab.common import (
    GUESTS,
    INSTANCES,
    SHARED,
    VOLUMES,
    LabError,
    Node,
    wait_until,
)

STORAGE_LIMIT = 30.0  # seconds from a node's boot until it has mounted the shared storage
AGENT_LIMIT = 20.0
DEVICES = {"fuse": (10, 229), "net/tun": (10, 200)}
SOCKET = "/run/libvirt/libvirt-sock"
# libvirtd starts once the storage is there: a node without it must not run a guest.
MOUNTED = f"grep -q ' {SHARED} fuse' /proc/self/mounts"
# Each node mounts the shared folder for itself, as it would mount NFS. So QEMU's locks on a disk
# count within a node and not between two: they would hide a guest that runs twice. The subtype is
# one of those that libvirt takes for shared storage, else it refuses live migrations.
SERVICES: list[dict[str, object]] = [
    {"name": "storage", "argv": ["/usr/bin/bindfs", "-f", "--multithreaded", "-o",
                                 "nonempty,subtype=glusterfs", str(SHARED), str(SHARED)]},
    {"name": "libvirtd", "restart": True, "argv": [
        "/bin/sh", "-c", f"until {MOUNTED}; do sleep 0.1; done; exec /usr/sbin/libvirtd --listen"]},
]
QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
seccomp_sandbox = 0
stdio_handler = "file"
"""
LIBVIRTD_CONF = """\
auth_unix_ro = "none"
auth_unix_rw = "none"
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
host_uuid = "{uuid}"
log_outputs = "3:stderr"
"""
SSH = """\
#!/bin/sh
# ssh -o OPTION HOST COMMAND: Nova's resize asks another host about the shared folder only.
# What is done here is done there.
shift 3
exec sh -c "$*"
"""
# A guest of which a live migration begins comes without "started"; libvirt calls the hook with
# "migrate" on its destination.
HOOK = """\
#!/bin/sh
# libvirtd runs this as qemu NAME EVENT ..., with the guest's definition at its input.
# It writes a line of the journal of tests.lab.guests.
case $2 in started|stopped|reconnect|migrate) ;; *) exit 0 ;; esac
uuid=$(sed -n 's|.*<uuid>\\(.*\\)</uuid>.*|\\1|p' | head -n 1)
printf '{{"time": %s, "host": "%s", "uuid": "%s", "event": "%s"}}\\n' \\
    "$(date +%s.%N)" "$(hostname)" "$uuid" "$2" >> {journal}
"""


def stamp(host: str) -> str:
    """Return what a guest reads as its serial number while it runs on that host.

    Nova makes it of the host's /etc/machine-id.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{host}.machine-id"))


def configure(node: Node) -> None:
    """Give a node that is off libvirt's configuration, the hook and a machine id."""
    SHARED.mkdir(parents=True, exist_ok=True)
    machine.put(node, "/etc/machine-id", stamp(node.name).replace("-", "") + "\n")
    machine.put(node, "/etc/libvirt/qemu.conf", QEMU_CONF)
    own = uuid.uuid5(uuid.NAMESPACE_DNS, node.name)
    machine.put(node, "/etc/libvirt/libvirtd.conf", LIBVIRTD_CONF.format(uuid=own))
    machine.put(node, "/usr/bin/ssh", SSH, 0o755)
    hook = HOOK.format(journal=GUESTS / "journal.jsonl")
    machine.put(node, "/etc/libvirt/hooks/qemu", hook, 0o755)


def has_storage(node: Node) -> bool:
    """Return True if a node that is on has its own mount of the shared folder."""
    try:
        mounts = Path(f"/proc/{machine.pid_of(node)}/mounts").read_text()
    except OSError:
        return False
    lines = (line.split() for line in mounts.splitlines())
    return any(words[1] == str(SHARED) and words[2].startswith("fuse") for words in lines)


def await_storage(nodes: Sequence[Node]) -> None:
    """Wait until each compute node has its own mount of the shared folder. Raises LabError."""
    computes = [node for node in nodes if node.kind == "compute"]
    if not wait_until(lambda: all(has_storage(node) for node in computes), STORAGE_LIMIT):
        blind = ", ".join(node.name for node in computes if not has_storage(node))
        raise LabError(f"{blind} has no mount of its own of {SHARED}, and QEMU's locks would hide "
                       "a guest that runs twice; bindfs says why in its node's log/console")


def guests(node: Node) -> dict[str, int]:
    """Return the guests that run on a node: the pid of the QEMU by the server's uuid.

    The processes' command lines say it, not libvirtd.
    """
    found = {}
    for pid, command in machine.commands(node).items():
        words = command.split("\0")
        if "qemu-system" in words[0]:
            with contextlib.suppress(ValueError):
                found[words[words.index("-uuid") + 1]] = pid
    return found


def agent(node: Node, uid: str, command: str = "guest-get-host-name") -> Any:
    """Return what the guest's agent answers on a node, or None when the guest does not answer."""
    words = ["virsh", "-q", "qemu-agent-command", uid, json.dumps({"execute": command})]
    try:
        done = machine.exec_in(node, [*words, "--timeout", "2"], AGENT_LIMIT)
    except LabError:
        return None
    return json.loads(done.stdout)["return"] if done.returncode == 0 else None


def paused(node: Node, uid: str) -> bool:
    """Return True if libvirtd says that the guest's processor stands still."""
    try:
        done = machine.exec_in(node, ["virsh", "-q", "domstate", uid], AGENT_LIMIT)
    except LabError:
        return False
    return done.returncode == 0 and done.stdout.strip() == "paused"


def disk(server: dict[str, Any]) -> Path:
    """Return the root disk of a server, as servers.show or listed tells it."""
    volumes = server.get("os-extended-volumes:volumes_attached") or []
    return VOLUMES / volumes[0]["id"] if volumes else INSTANCES / server["id"] / "disk"


def is_incoming(node: Node, uid: str) -> bool:
    """Return True if a guest on a node was begun as the destination of a live migration."""
    pid = guests(node).get(uid)
    try:
        return bool(pid) and b"\0-incoming\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
