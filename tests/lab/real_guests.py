"""Real guests (LAB_VIRT=libvirt): what tests.lab.guests is asked, answered by three witnesses.

They are the guests' own disks, the QEMU processes on each node, and libvirt's hook, which writes
starts and stops into the journal. None of them asks Nova.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.lab import cluster, disk_journal, guests, hypervisor
from tests.lab.common import INSTANCES, VOLUMES, LabError, Node

SECOND_LOOK = 0.5   # seconds: a guest that moves may be seen on both hosts by one look
BEGINS = ("started", "reconnect")
Event = dict[str, Any]


def hosts() -> list[str]:
    """Return the names of the compute hosts."""
    return [node.name for node in _computes()]


def _computes() -> list[Node]:
    return [node for node in cluster.size().nodes if node.kind == "compute"]


def on_host(host: str) -> list[dict[str, Any]]:
    """Return the guests that live on a host: each has a QEMU there."""
    found = hypervisor.guests(cluster.find(host))
    return [{"uuid": uid, "name": uid, "state": "running"} for uid in found]


def guest(host: str, uuid: str) -> dict[str, Any] | None:
    """Return the guest on that host, or None."""
    return next((found for found in on_host(host) if found["uuid"] == uuid), None)


def running() -> dict[str, list[str]]:
    """Return the hosts that have a QEMU of a server, by its uuid."""
    found: dict[str, list[str]] = {}
    for node in _computes():
        for uid in hypervisor.guests(node):
            found.setdefault(uid, []).append(node.name)
    return found


def answers(server: dict[str, Any]) -> bool:
    """Return True if the guest of a server (of servers.show) answers on the host that Nova says.

    The answer has the stamp of the host that the guest has booted on.
    """
    host = server["OS-EXT-SRV-ATTR:host"]
    if not host:
        return False
    told = hypervisor.agent(cluster.find(host), server["id"])
    return bool(told) and hypervisor.stamp(host) in told["host-name"]


def ask_witnesses() -> None:
    """Note in the journal each guest that a witness has seen run twice, once for each thing seen.

    What is noted stays, whatever becomes of the server. Raises LabError if a witness is blind.
    """
    _must_see()
    events = guests.journal()
    known = {_key(event) for event in events if event["event"] == "twice"}
    for found in (*by_disks(), *by_processes(), *by_hook(events)):
        if _key(found) not in known:
            guests.note(found.pop("host"), "twice", found.pop("uuid"), **found)


def _key(event: Event) -> tuple[object, ...]:
    return event["uuid"], event["witness"], str(event["hosts"]), event["seen"]


def _must_see() -> None:
    """Raise LabError if a node's guests do not write through a mount of its own."""
    for node in _computes():
        if hypervisor.guests(node) and not hypervisor.has_storage(node):
            raise LabError(f"{node.name} has guests and no own mount of the shared storage, so "
                           "QEMU's locks may hide one that runs twice; take the laboratory down")


def by_disks() -> Iterator[Event]:
    """Yield the servers whose disk tells of a second writer."""
    names = {hypervisor.stamp(host): host for host in hosts()}
    disks: list[Path] = [*INSTANCES.glob("*/disk"), *VOLUMES.glob("*")]
    for disk in disks:
        try:
            journal = disk_journal.read(disk)
        except FileNotFoundError:  # deleted meanwhile
            continue
        if journal.problems:
            places = [names.get(boot.first.host, "?") for boot in journal.boots[-2:]]
            yield {"uuid": journal.server or disk.parent.name, "witness": "disk",
                   "host": places[-1] if places else "?", "hosts": places,
                   "seen": len(journal.problems), "problems": journal.problems[:3]}


def by_processes() -> Iterator[Event]:
    """Yield the servers with a QEMU on more than one host that no live migration explains."""
    suspects = {uid for uid, places in running().items() if len(places) > 1}
    if not suspects:
        return
    time.sleep(SECOND_LOOK)
    for uid, places in running().items():
        alive = _without_migration(uid, places) if uid in suspects else []
        if len(alive) > 1:
            yield {"uuid": uid, "witness": "processes", "host": alive[-1], "hosts": alive,
                   "seen": 1}


def _without_migration(uid: str, places: list[str]) -> list[str]:
    """Return the hosts of a guest without that end of a live migration which stands still."""
    nodes = [cluster.find(host) for host in places]
    if not any(hypervisor.is_incoming(node, uid) for node in nodes):
        return places
    return [node.name for node in nodes if not hypervisor.paused(node, uid)]


def by_hook(events: Iterable[Event]) -> Iterator[Event]:
    """Yield the starts of a guest on one host while it lived on another, by the hook's journal."""
    alive: dict[str, set[str]] = {}
    for event in events:
        host, name = event["host"], event["event"]
        if name == "power_cut":
            for places in alive.values():
                places.discard(host)
            continue
        places = alive.setdefault(event["uuid"], set())
        if name == "stopped":
            places.discard(host)
        elif name in BEGINS and places - {host}:
            yield {"uuid": event["uuid"], "host": host, "witness": "hook",
                   "hosts": [*sorted(places - {host}), host], "seen": event["time"]}
        if name in (*BEGINS, "migrate"):  # of a live migration both ends live for a moment
            places.add(host)
