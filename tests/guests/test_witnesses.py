"""That the witnesses see: a host that is not fenced, and its server evacuated all the same.

Without this a scenario that finds nothing proves nothing. It comes last: what is noted stays noted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.cluster.scenario import switch_worker
from tests.lab import cluster, guests, hypervisor, real_guests, servers
from tests.lab import node as machine
from tests.lab.cluster import AGENT_IN_NODE

SOURCE, DEST = "cmp-1", "cmp-2"
ANSWER_LIMIT = 90.0
MOVED_LIMIT = 120.0
BOTH = 5.0  # seconds in which both guests run


@pytest.fixture(autouse=True)
def no_worker(calm: None) -> Iterator[None]:
    """Nobody protects the host, and at the end it serves again without the guest that left."""
    switch_worker("disable")
    yield
    source_returns()
    switch_worker("enable")


def source_returns() -> None:
    """Start nova-compute anew on the source: it removes what left, though that still runs."""
    for word in ("stop", "start"):
        machine.exec_in(cluster.find(SOURCE), [AGENT_IN_NODE, word], check=True)
    def removed() -> bool:
        return all(row["status"] == "completed" for row in servers.evacuations(SOURCE))

    servers.wait_for(removed, "nova-compute to remove what left", MOVED_LIMIT)
    servers.set_service(SOURCE, forced_down=False)
    servers.wait_computes([SOURCE], MOVED_LIMIT)


def evacuated_by_hand(uid: str) -> None:
    """Move a server away from a host that runs."""
    servers.set_service(SOURCE, forced_down=True)
    servers.evacuate(uid, DEST)
    servers.wait_evacuated([uid], SOURCE, MOVED_LIMIT)
    await_answer(uid)


def await_answer(uid: str) -> None:
    servers.wait_for(lambda: real_guests.answers(servers.show(uid)), "the guest to answer",
                     ANSWER_LIMIT)


def booted(name: str) -> str:
    """A server on the source whose guest answers."""
    [uid] = servers.boot([name], SOURCE)
    await_answer(uid)
    return uid


def told_by(found: Iterator[dict[str, object]], uid: str) -> list[dict[str, object]]:
    return [event for event in found if event["uuid"] == uid]


def test_each_witness_tells_of_a_guest_whose_host_was_not_fenced() -> None:
    uid = booted("twice")
    assert not told_by(iter(guests.twice()), uid)
    evacuated_by_hand(uid)
    time.sleep(BOTH)
    assert hypervisor.agent(cluster.find(SOURCE), uid), "the first guest is gone"
    [by_disk] = told_by(real_guests.by_disks(), uid)
    [by_process] = told_by(real_guests.by_processes(), uid)
    [by_hook] = told_by(real_guests.by_hook(guests.journal()), uid)
    assert "another writer" in str(by_disk["problems"])
    assert set(by_process["hosts"]) == {SOURCE, DEST} == set(by_hook["hosts"])
    assert {event["witness"] for event in guests.twice() if event["uuid"] == uid} == {
        "disk", "processes", "hook"}
    source_returns()
    assert uid not in hypervisor.guests(cluster.find(SOURCE))
    assert not told_by(real_guests.by_processes(), uid)
    assert told_by(real_guests.by_disks(), uid), "the mark is gone with the guest that made it"
    noted = len(guests.twice())
    servers.delete_all()
    assert len(guests.twice()) == noted, "what was noted is gone with the disk"


def test_a_stale_memory_image_that_is_resumed_is_told() -> None:
    """A suspended server's memory lies on its host. It is evacuated without, and resumed there."""
    uid = booted("stale")
    node, name = cluster.find(SOURCE), servers.show(uid)["OS-EXT-SRV-ATTR:instance_name"]
    servers.action(uid, "suspend")
    servers.wait_status([uid], "SUSPENDED")
    servers.action(uid, "os-resetState", {"state": "active"})
    evacuated_by_hand(uid)
    assert not told_by(iter(guests.twice()), uid), "only one has run as yet"
    machine.exec_in(node, ["virsh", "start", name], check=True)
    time.sleep(BOTH)
    [by_disk] = told_by(real_guests.by_disks(), uid)
    assert by_disk["problems"]
    assert {event["witness"] for event in guests.twice() if event["uuid"] == uid} == {
        "disk", "processes", "hook"}
