"""What must hold at the end, whatever was done; and what is kept when it does not."""

from __future__ import annotations

import functools
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.chaos.player import DEATHS, Player
from tests.chaos.witness import Witness, left_running, not_meant
from tests.cluster.scenario import secrets_in_logs
from tests.lab import cluster, guests, servers, watch
from tests.lab.cloud_config import PORTS, secret
from tests.lab.common import LOGS, NODES, STATE, LabError, in_netns, run, wait_until

SETTLED_LIMIT = 600.0      # a lost request is sent again after stuck_timeout, 300 s, which begins when the last host that died is back
FENCED_LIMIT = 150.0
LOOK = 1.0
TABLES = ("instances", "migrations", "services", "instance_actions", "instance_actions_events", "instance_faults")


def await_fencing(player: Player, begun: float, limit: float = FENCED_LIMIT) -> None:
    """Wait until the hosts that were killed have been fenced: until somebody notices, all seems well. Raises AssertionError."""
    killed = {act.what for act in player.times if act.name in DEATHS}
    left: set[str] = set()

    def all_are() -> bool:
        left.clear()
        left.update(killed - {fencing.node for fencing in watch.fencings(begun)})
        return not left

    assert wait_until(all_are, limit, LOOK), f"not fenced: {sorted(left)}"


def settle(wanted: dict[str, str], touched: set[str], limit: float = SETTLED_LIMIT, homes: Mapping[str, str] | None = None) -> list[str]:
    """Wait until each server is on a host that is up, and not the one in `homes`, in the state it is to have; those that are not
    have to be named in crm_mon. Raises AssertionError."""
    wrong: list[str] = []

    def settled() -> bool:
        try:
            wrong[:] = look(wanted, touched, homes or {})
        except (LabError, OSError, KeyError, servers.Unanswered) as error:
            wrong[:] = [str(error)]
        return not wrong

    if wait_until(settled, limit, LOOK):
        return []
    told = " ".join(reason for _, _, reason in watch.failures(degraded=True))
    silent = [words for words in wrong if words.split()[0] not in told]
    assert not silent, f"left behind, and nobody is told: {silent}; crm_mon says: {told or 'nothing'}"
    return wrong


def look(wanted: dict[str, str], touched: set[str], homes: Mapping[str, str]) -> list[str]:
    """The servers that are not as they should be, each beginning with its name. What a user has touched may be stopped, run, or be gone."""
    found, running, services = servers.listed(), guests.running(), servers.services()
    wrong = []
    for uid, status in wanted.items():
        server = found.get(uid)
        if server is None:
            wrong += [] if uid in touched else [f"{uid} is gone"]
            continue
        host, now = servers.host_of(server), server["status"]
        right = now == status or (uid in touched and now in ("ACTIVE", "SHUTOFF"))
        runs = running.get(uid, []) == ([host] if now == "ACTIVE" else [])
        away = host != homes.get(uid)
        if not right or not runs or not away or server["OS-EXT-STS:task_state"] or server["locked"] or services[str(host)]["state"] != "up":
            wrong.append(f"{server['name']} is {now}/{server['OS-EXT-STS:task_state']} on {host}, wanted {status}, runs on {running.get(uid)}"
                         f"{', locked' if server['locked'] else ''}")
    return wrong


def audit(begun: float, split: int, homes: dict[str, str], player: Player, witness: Witness) -> None:
    """What must hold whatever was drawn. `homes` are the hosts of the servers before. Raises AssertionError."""
    requests = {uid: times for uid, times in watch.evacuation_requests(begun).items() if uid in homes and uid not in player.touched}
    ends: dict[str, float] = {}
    for fencing in watch.fencings(begun):
        ends[fencing.node] = min(fencing.end, ends.get(fencing.node, fencing.end))
    rows = [row for row in servers.evacuations() if row["instance_uuid"] in homes and not came_to_nothing(row, player.may_die)]
    early = {uid: times for uid, times in requests.items() if min(times) < ends.get(homes[uid], float("inf"))}
    witness.look()
    failed = not_meant(witness.failed, player.acts, player.may_die)
    assert len(guests.twice()) == split, f"a guest ran on two hosts: {guests.twice()[split:]}"
    assert not early, f"requests before the fencing was complete: {early}, fenced {ends}"
    assert set(ends) <= player.may_die, f"fenced although not meant to die: {set(ends) - player.may_die}"
    overlaps = watch.overlapping(rows)
    assert not overlaps, f"two evacuations of a server at once: {[row for row in rows if row['instance_uuid'] in overlaps]}"
    assert not failed, f"operations that were not meant to fail: {failed}"
    left = left_running()
    assert not left, f"left running: {left}"
    assert not secrets_in_logs(), f"the password is in {secrets_in_logs()}"


def came_to_nothing(row: dict[str, object], dead: set[str]) -> bool:
    """Whether Nova lost this request itself (its record stays at accepted for ever, with no destination), or its destination died with it."""
    return (row["status"] == "accepted" and not row["dest_compute"]) or (row["dest_compute"] in dead and row["status"] not in ("done", "completed"))


def keep(name: str) -> Path:
    """Copy what tells how it came to this: all logs, the CIB, Nova's tables."""
    folder = STATE / "kept" / f"{name}-{time.strftime('%H%M%S')}"
    folder.mkdir(parents=True)
    shutil.copytree(LOGS, folder / "openstack", dirs_exist_ok=True, ignore_dangling_symlinks=True)
    for node in cluster.size().nodes:
        shutil.copytree(NODES / node.name / "log", folder / node.name, dirs_exist_ok=True, ignore_dangling_symlinks=True)
        cibs = NODES / node.name / "root" / "var/lib/pacemaker/cib"   # the newest hundred, as Pacemaker keeps them
        if cibs.is_dir():
            shutil.copytree(cibs, folder / node.name / "cib", dirs_exist_ok=True)
    tables: tuple[tuple[str, Callable[[], object]], ...] = (
        ("migrations", servers.evacuations), ("servers", servers.listed), ("services", servers.services), ("guests", guests.journal))
    asks: list[tuple[str, Callable[[], str]]] = [
        ("cib.xml", lambda: watch.on_controller("cibadmin", "--query")), ("crm_mon.txt", lambda: watch.on_controller("crm_mon", "-1A")),
        ("nova.sql", _dump), *((f"{name}.json", functools.partial(lambda read: json.dumps(read(), indent=1), read)) for name, read in tables)]
    for name, ask in asks:
        try:
            (folder / name).write_text(ask())
        except (LabError, OSError, servers.Unanswered) as error:
            (folder / name).write_text(str(error))
    return folder


def _dump() -> str:
    """Nova's own tables, whether its API answers or not."""
    command = ["mariadb-dump", "--host=127.0.0.1", f"--port={PORTS['mariadb']}", "--user=lab", "nova", *TABLES]
    return run(in_netns(command), env={**os.environ, "MYSQL_PWD": secret()}).stdout
