"""The switch of the laboratory and the cables to it: network namespaces, a bridge, a veth pair a node.

Nothing of it is in the host's own network namespace.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.lab.common import BRIDGE, CLOUD_ADDRESS, NETNS, LabError, Node, run

FOLDER = Path("/run/netns")  # where ip(8) keeps its names
BRIDGE_MAC = "02:77:00:00:00:01"


def namespace(node: Node) -> str:
    """The name of a node's network namespace."""
    return f"{NETNS}-{node.name}"


def port(node: Node) -> str:
    """The switch's end of a node's cable."""
    return f"p-{node.name}"


def up() -> None:
    """Make the switch, or see that it is there."""
    if _exists(NETNS):
        return
    run(["ip", "netns", "add", NETNS])
    # A bridge takes the lowest MAC of its ports, so without one of its own every plugged cable would leave stale ARP entries.
    _batch(NETNS, [
        "link set lo up",
        f"link add {BRIDGE} address {BRIDGE_MAC} type bridge",
        f"link set {BRIDGE} addrgenmode none",
        f"addr add {CLOUD_ADDRESS}/24 dev {BRIDGE}",
        f"link set {BRIDGE} up",
    ])


def down() -> None:
    """Remove the switch and every node's network namespace. Whoever still runs inside keeps a dead network."""
    names = [path.name for path in FOLDER.glob(f"{NETNS}*") if path.name == NETNS or path.name.startswith(f"{NETNS}-")]
    for name in sorted(names, reverse=True):
        run(["ip", "netns", "delete", name], check=False)
    # The first `ip netns add` after a boot bind mounts the folder on itself; nobody else takes that away.
    if FOLDER.is_dir() and not any(FOLDER.iterdir()) and FOLDER.is_mount():
        run(["umount", str(FOLDER)], check=False)


def plug(node: Node) -> None:
    """Give a node a fresh network namespace with `eth0`, its MAC and its address."""
    unplug(node)
    inside, end = namespace(node), port(node)
    run(["ip", "netns", "add", inside])
    _batch(NETNS, [
        f"link add {end} type veth peer name eth0 address {node.mac} netns {inside}",
        f"link set {end} addrgenmode none",
        f"link set {end} master {BRIDGE}",
        f"link set {end} up",
    ])
    _batch(inside, ["link set lo up", "link set eth0 addrgenmode none", f"addr add {node.address}/24 dev eth0", "link set eth0 up"])


def unplug(node: Node) -> None:
    """Take the cable and the node's network namespace away; nothing to do is fine.

    The veth pair goes by itself: a socket that still says goodbye for the dead keeps its namespace for a while.
    """
    run(["ip", "-n", NETNS, "link", "delete", port(node)], check=False)
    if _exists(namespace(node)):
        run(["ip", "netns", "delete", namespace(node)], check=False)


def cable(node: Node, up: bool) -> None:
    """Pull the cable of a node, or put it back. Raises LabError when it has none (the node is off)."""
    run(["ip", "-n", NETNS, "link", "set", port(node), "up" if up else "down"])


def cloud_address(there: bool) -> None:
    """Take the address of OpenStack's services (and of the BMCs) away from the network, silently, or give it back."""
    words = ["add", f"{CLOUD_ADDRESS}/24"] if there else ["del", f"{CLOUD_ADDRESS}/24"]
    run(["ip", "-n", NETNS, "addr", *words, "dev", BRIDGE], check=not there)  # one that is there already is fine


def has_link(node: Node) -> bool:
    """Whether the node's cable is in."""
    done = run(["ip", "-n", NETNS, "-br", "link", "show", "dev", port(node)], check=False)
    return done.returncode == 0 and "UP" in done.stdout.split()[-1].strip("<>").split(",")


def _exists(name: str) -> bool:
    return (FOLDER / name).exists()


def _batch(name: str, commands: list[str]) -> None:
    """ip(8) commands inside one namespace, in one process. Raises LabError."""
    done = subprocess.run(["ip", "-n", name, "-batch", "-"], input="\n".join(commands), capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise LabError(f"ip -n {name} failed: {done.stderr.strip()}")
