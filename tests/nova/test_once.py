"""At most one evacuation of a server under way, whoever else is at it; and none that Nova lost is forgotten."""

from __future__ import annotations

import threading
import time

import pytest

from tests.cluster.scenario import Story, healthy
from tests.cluster.test_faults import wait_under_way
from tests.lab import bmc, cloud, cluster, guests, servers, watch
from tests.lab import node as machine
from tests.lab.common import wait_until
from tests.nova.test_choices import update

RPC_TIMEOUT = 60.0   # Nova's rpc_response_timeout
AWAY = 20.0      # a conductor that is away for less may have taken a request before it was heard again (pulse.RESTART)
LOOKS = 10.0     # seconds in which the worker looks at a returned host a few times
OCF = "/usr/lib/ocf/resource.d/openstack/NovaEvacuate"


def test_two_workers_at_once() -> None:
    """As after a botched failover: a second worker runs where Pacemaker has none."""
    story = Story()
    story.boot(running=4, stopped=1)
    home = watch.where_runs("nova-evacuate")
    other = next(node for node in cluster.size().nodes if node.member and node.kind == "controller" and node.name != home)
    given = {"OCF_RESKEY_cloud": "lab", "OCF_RESKEY_image_disks": "evacuate", "OCF_RESOURCE_INSTANCE": "second"}
    assert machine.exec_in(other, [OCF, "start"], env=given).returncode == 0
    try:
        story.cut_power()
        story.recovered()
        healthy()
    finally:
        machine.exec_in(other, [OCF, "stop"], env=given)
    story.audit()


@pytest.mark.slow
def test_a_person_at_the_same_time(stays_off: None) -> None:
    """One runs host-evacuate, one evacuates a server through Nova, one deletes a server, all while the worker is at it."""
    guests.set_knob("spawn_delay", 4)
    update("max_parallel=2")
    try:
        story = Story()
        story.boot(running=6, stopped=1)
        uids = list(story.before)
        story.cut_power()
        wait_under_way(story)
        results = []
        command = ["instance-ha", "host-evacuate", story.victim, "--host-is-off", "-f", "json"]
        person = threading.Thread(target=lambda: results.append(machine.exec_in(cluster.find(watch.controller()), command, 180)))
        person.start()
        busy = {row["instance_uuid"] for row in servers.evacuations(story.victim)}
        free = [uid for uid in uids if uid not in busy]
        servers.evacuate(free[-1])
        servers.nova("DELETE", f"/servers/{free[-2]}")
        del story.before[free[-2]]
        story.recovered()
        person.join()
        assert results[0].returncode == 0, results[0].stderr + results[0].stdout
        assert wait_until(lambda: free[-2] not in servers.listed(), 30, 0.5)
        bmc.stay_off(cluster.find(story.victim), False)
        healthy()
        story.audit()
    finally:
        update("max_parallel=")


@pytest.mark.slow
def test_a_request_that_nova_lost_is_sent_again() -> None:
    """The conductor dies while it waits for a scheduler that hangs: Nova's record stays at accepted for ever."""
    story = Story()
    story.boot(running=1, stopped=0)
    update("stuck_timeout=30")
    try:
        story.cut_power()
        assert wait_until(lambda: story.victim in watch.records(), 60, 0.1), "not recorded"
        cloud.stop("nova-scheduler", "freeze")
        assert wait_until(lambda: any(row["status"] == "accepted" for row in servers.evacuations(story.victim)), 30, 0.1), "no request"
        time.sleep(1.5)
        cloud.stop("nova-conductor", "kill")
        cloud.stop("nova-scheduler", "thaw")
        time.sleep(AWAY)
        cloud.start("nova-conductor")
        story.recovered(180)
        # Nova carried the second request out under the first one's record, and nova-compute closes one of the two at its start.
        healthy(180)
        assert f"{story.victim}: nova-compute is started once more" in watch.worker_log()
        rows = servers.evacuations(story.victim)
        story.audit(most_evacuations=2, lost=list(story.before))
        assert sorted(row["status"] for row in rows if row["instance_uuid"] in story.before) == ["completed", "completed"]
    finally:
        cloud.stop("nova-scheduler", "thaw")
        cloud.start("nova-conductor")
        update("stuck_timeout=")


@pytest.mark.slow
def test_the_destination_dies_in_the_middle() -> None:
    """What was being rebuilt there goes elsewhere, and what had arrived there is evacuated once more, from there."""
    guests.set_knob("spawn_delay", 12)
    update("threshold=100", "stuck_timeout=30")      # one that died with its destination before it was taken is known to be lost only then
    try:
        story = Story()
        story.boot(running=5, stopped=1)
        story.cut_power()
        assert wait_until(lambda: destinations() >= {"cmp-2"}, 60, 0.2), "nothing is rebuilt on cmp-2"
        time.sleep(1)
        story.may_die.add("cmp-2")
        machine.power_off(cluster.find("cmp-2"))
        rows = [row for row in servers.evacuations(story.victim) if row["status"] in ("accepted", "pre-migrating")]
        # A request on its way to cmp-2 shows no destination yet.
        lost = [row["instance_uuid"] for row in rows if row["dest_compute"] in ("cmp-2", None)]
        # Looked at now: when the victim is back, its nova-compute closes one of a server's records, whichever it is.
        broken_off = [row["instance_uuid"] for row in rows if row["dest_compute"] == "cmp-2"]
        guests.set_knob("spawn_delay", None)
        story.recovered(180)
        healthy(180)
        asked = watch.evacuation_requests(story.begun)
        assert broken_off and all(len(asked[uid]) == 2 for uid in broken_off), f"no rebuild was broken off: {rows}, {asked}"
        story.audit(most_evacuations=2, lost=lost)
    finally:
        update("threshold=", "stuck_timeout=")


@pytest.mark.slow
def test_a_destination_restarted_between_the_spawn_and_the_move() -> None:
    """The guest runs there, Nova has the server on the old host, and the host comes back: it is not started a second time."""
    story = Story()
    story.boot(running=1, stopped=0)
    uid = next(iter(story.before))
    guests.set_knob("spawn_linger", 100)
    update("stuck_timeout=30")
    try:
        story.cut_power()
        assert wait_until(lambda: guests.running().get(uid), 90, 0.2), "nothing was spawned"
        [destination] = guests.running()[uid]
        machine.exec_in(cluster.find(destination), ["/bin/sh", "-c", "kill -9 $(cut -d' ' -f1 /run/nova-compute.pid)"], check=True)
        guests.set_knob("spawn_linger", None)
        words = f"look there, then unlock: {servers.show(uid)['name']} on {destination} ({uid})"
        assert wait_until(lambda: words in watch.worker_log(), 240, 0.5), f"nobody is told of {words}"
        assert watch.in_service(story.victim) and story.victim in watch.records() and servers.show(uid)["locked"]
        time.sleep(LOOKS)
        assert guests.running()[uid] == [destination], "it was started where its guest is not"
        servers.action(uid, "unlock")
        healthy()
        assert guests.running()[uid] == [destination]
        story.audit()
    finally:
        update("stuck_timeout=")
        for host in guests.hosts():
            if host != story.victim:
                guests.remove(host, uid, "destroy")


@pytest.mark.slow
def test_a_guest_that_a_failed_try_has_left_is_started_nowhere_else() -> None:
    """The conductor is away as the destination wants to write down that the guest runs: Nova calls the try failed, and the guest runs on."""
    story = Story()
    story.boot(running=1, stopped=0)
    uid = next(iter(story.before))
    guests.set_knob("spawn_linger", 5)
    try:
        story.cut_power()
        assert wait_until(lambda: guests.running().get(uid), 90, 0.2), "nothing was spawned"
        [destination] = guests.running()[uid]
        cloud.stop("nova-conductor", "kill")
        time.sleep(RPC_TIMEOUT + 12)
        cloud.start("nova-conductor")
        words = f"its guest is on {destination}, left by a failed try"
        assert wait_until(lambda: words in watch.worker_log(), 120, 0.5), f"nobody is told: {words}"
        looked = f"look there, then unlock: {servers.show(uid)['name']} on {destination} ({uid})"
        assert wait_until(lambda: looked in watch.worker_log(), 240, 0.5), f"nobody is told of {looked}"
        time.sleep(LOOKS)
        assert guests.running()[uid] == [destination], "it was started a second time"
        servers.action(uid, "unlock")
        healthy()
        story.audit(most_evacuations=2)
    finally:
        cloud.start("nova-conductor")
        guests.set_knob("spawn_linger", None)
        for host in guests.hosts():
            if host != story.victim:
                guests.remove(host, uid, "destroy")


def destinations() -> set[str]:
    """The hosts on which something is being rebuilt."""
    return {row["dest_compute"] for row in servers.evacuations("cmp-1") if row["status"] == "pre-migrating"}
