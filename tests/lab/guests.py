"""The guests of all compute hosts, as files: what runs where, and a journal of everything that happened to them.

GUESTS/<host>/<server uuid>  {"uuid", "name", "state", "since"}; since: time.time()
                             state: "running", "paused", "suspended" or "shutdown"
GUESTS/journal.jsonl         one {"time", "host", "uuid", "event", ...} a line
GUESTS/knobs/<name>          what tests tell the hypervisor to do, see `knob`

Of real guests (LAB_VIRT=libvirt) there are no files but the journal and the knobs: tests.lab.real_guests
answers what is asked here.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.lab.common import GUEST_IMAGE, GUESTS, INSTANCES, LIBVIRT, VOLUMES, virt

ALIVE = ("running", "paused")  # states in which a guest holds its disk


def _real() -> ModuleType | None:
    """Return the module that asks real guests, or None when the hypervisor is the stand-in."""
    if virt() != LIBVIRT:
        return None
    from tests.lab import real_guests  # it asks the nodes, of which nova-compute knows nothing

    return real_guests


def _path(host: str, uuid: str) -> Path:
    return GUESTS / host / uuid


@contextlib.contextmanager
def _journal_lock() -> Iterator[None]:
    GUESTS.mkdir(parents=True, exist_ok=True)
    with open(GUESTS / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _append(host: str, event: str, uuid: str = "", **more: Any) -> None:
    line = json.dumps({"time": time.time(), "host": host, "uuid": uuid, "event": event, **more})
    with open(GUESTS / "journal.jsonl", "a") as journal_file:
        journal_file.write(line + "\n")


def _write(host: str, guest: dict[str, Any]) -> None:
    path = _path(host, guest["uuid"])
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(guest))
    os.replace(part, path)


def guest(host: str, uuid: str) -> dict[str, Any] | None:
    """The guest on that host, or None."""
    if real := _real():
        return real.guest(host, uuid)
    try:
        found: dict[str, Any] = json.loads(_path(host, uuid).read_text())
    except FileNotFoundError:
        return None
    return found


def on_host(host: str) -> list[dict[str, Any]]:
    """All guests defined on a host, running or not; of real guests those that live."""
    if real := _real():
        return real.on_host(host)
    folder = GUESTS / host
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    return [found for name in names if not name.startswith(".") and (found := guest(host, name))]


def hosts() -> list[str]:
    """The hosts that ever had a guest; of real guests all compute hosts."""
    if real := _real():
        return real.hosts()
    return sorted(p.name for p in GUESTS.iterdir() if p.is_dir() and p.name != "knobs") if GUESTS.is_dir() else []


def change(host: str, uuid: str, event: str, state: str, name: str = "") -> None:
    """Bring a guest into a state and write the event down, and "twice" (with `hosts`) when it now runs here and lives elsewhere too."""
    with _journal_lock():
        known = guest(host, uuid) or {"uuid": uuid, "name": name}
        _write(host, {**known, "state": state, "since": time.time()})
        _append(host, event, uuid, state=state)
        if state != "running":
            return
        others = [h for h in hosts() if h != host and (g := guest(h, uuid)) and g["state"] in ALIVE]
        if others:
            _append(host, "twice", uuid, hosts=[*others, host])


def remove(host: str, uuid: str, event: str) -> bool:
    """Take a guest off a host; whether it was there."""
    with _journal_lock():
        there = _path(host, uuid).exists()
        _path(host, uuid).unlink(missing_ok=True)
        _append(host, event, uuid, there=there)
    return there


def power_cut(host: str) -> list[str]:
    """The host lost its power: its guests run no more, their definitions stay on its disk. The uuids of those that were alive.

    To be called once the host's nova-compute is dead, else a spawn under way could still write "running" afterwards.
    """
    if virt() == LIBVIRT:  # a QEMU is a process of its node; a BMC does not wait for more imports
        note(host, "power_cut")
        return []
    with _journal_lock():
        cut = [g for g in on_host(host) if g["state"] != "shutdown"]
        for g in cut:
            _write(host, {**g, "state": "shutdown", "since": time.time()})
        alive = [str(g["uuid"]) for g in cut if g["state"] in ALIVE]
        _append(host, "power_cut", guests=alive)
    return alive


def running() -> dict[str, list[str]]:
    """Server uuid -> the hosts it runs on; more than one is split brain."""
    if real := _real():
        return real.running()
    found: dict[str, list[str]] = {}
    for host in hosts():
        for g in on_host(host):
            if g["state"] == "running":
                found.setdefault(g["uuid"], []).append(host)
    return found


def note(host: str, event: str, uuid: str = "", **more: Any) -> None:
    """Write an event into the journal."""
    with _journal_lock():
        _append(host, event, uuid, **more)


def journal() -> list[dict[str, Any]]:
    """Every event so far, oldest first."""
    try:
        return [json.loads(line) for line in (GUESTS / "journal.jsonl").read_text().splitlines()]
    except FileNotFoundError:
        return []


def twice() -> list[dict[str, Any]]:
    """The events in which a guest began to run on one host while it lived on another, with `hosts`.

    Of real guests, what their witnesses saw, with `witness`. Raises LabError if one of them is blind.
    """
    if real := _real():
        real.ask_witnesses()
    return [event for event in journal() if event["event"] == "twice"]


def knob(name: str, host: str) -> str | None:
    """The value set for this host (`<name>.<host>`) or for all (`<name>`), or None.

    spawn_delay, spawn_linger (once the guest runs), snapshot_delay, resize_delay, live_migration_delay: seconds. fail_spawn: any
    value makes spawns fail.
    """
    for file in (f"{name}.{host}", name):
        with contextlib.suppress(FileNotFoundError):
            return (GUESTS / "knobs" / file).read_text().strip()
    return None


def set_knob(name: str, value: object | None) -> None:
    """Set a knob ("spawn_delay" for all hosts, "spawn_delay.cmp-1" for one), or with None take it away."""
    path = GUESTS / "knobs" / name
    if value is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{name}.part")
    part.write_text(str(value))
    os.replace(part, path)


def clear_knobs() -> None:
    """Take every knob away."""
    shutil.rmtree(GUESTS / "knobs", ignore_errors=True)


def clear() -> None:
    """Forget all guests, knobs and the journal, and the disks of real guests."""
    shutil.rmtree(GUESTS, ignore_errors=True)
    GUESTS.mkdir(parents=True)
    if virt() == LIBVIRT:
        _empty_storage()


def _empty_storage() -> None:
    """Make the shared storage that of a new cloud, with Nova's cache of images full.

    Nova's lock on the cache holds within a node only, and two hosts would fetch into the same file.
    The shared folder itself stays: nodes have mounted it, and a mount goes with its folder.
    """
    from tests.lab.stub_glance import FILES  # of the cloud's side, which the hypervisor knows nothing of

    for path in (INSTANCES, VOLUMES):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    cache = INSTANCES / "_base"
    cache.mkdir()
    for uid, name in FILES.items():
        shutil.copy(GUEST_IMAGE / name, cache / hashlib.sha1(uid.encode()).hexdigest())
