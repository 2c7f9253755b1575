"""Records that are missing, old, or of hosts that are no more; and a nova-compute that Pacemaker does not start."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.cluster.scenario import Story, healthy
from tests.lab import bmc, cluster, guests, servers, unit, watch
from tests.lab import node as machine
from tests.lab.common import wait_until

LIMIT = 60.0
LET_IN = 150.0


def write_record(host: str, value: str) -> None:
    watch.on_controller("crm_attribute", "--type", "nodes", "--node", host, "--name", "evacuate", "--update", value)


def fencings_failed(host: str) -> int:
    """Return how many attempts to switch it off Pacemaker remembers that have not succeeded."""
    return sum(1 for event in watch.fence_events(host) if event.get("action") != "on" and event.get("status") != "success")


def spawns(host: str) -> int:
    return sum(1 for event in guests.journal() if event["event"] == "spawn" and event["host"] == host)


def test_a_persons_confirmation_is_enough_without_a_record() -> None:
    """The power device fails, so fence_nova is never called; a person looks, and confirms."""
    story = Story()
    story.boot(running=2, stopped=1, out=1)
    victim = cluster.find(story.victim)
    bmc.stop(victim)
    before = fencings_failed(story.victim)     # Pacemaker remembers those of other tests
    try:
        story.cut_power()
        assert wait_until(lambda: fencings_failed(story.victim) > before, LIMIT, 0.5), "no fencing was tried"
        assert not watch.records() and not watch.evacuation_requests(story.begun)
        watch.on_controller("stonith_admin", "--confirm", story.victim)
        story.recovered()
    finally:
        bmc.start(victim)
    healthy()
    assert not guests.twice() and not watch.overlapping(servers.evacuations(story.victim))


def test_a_record_that_is_lost_is_written_again(stays_off: None) -> None:
    guests.set_knob("spawn_delay", 5)
    story = Story()
    story.boot(running=3, stopped=1)
    story.cut_power()
    assert wait_until(lambda: servers.evacuations(story.victim), LIMIT, 0.1)
    before = watch.records()[story.victim]
    watch.on_controller("crm_attribute", "--type", "nodes", "--node", story.victim, "--name", "evacuate", "--delete")
    assert wait_until(lambda: watch.records().get(story.victim, before) != before, LIMIT, 0.2), "no new record"
    story.recovered()
    healthy()
    story.audit()


OLD = ["confirmed;id=old;by=ctl-1;proof=node_fenced:1764000000;baseline=0;worker=gone",
       "evacuated;id=old;proof=node_fenced:1764000000;baseline=0",
       "partly;id=old;proof=history:reboot@2026-11-25_04:00:00Z;baseline=0;left=1"]
SILENT = "Nova has heard of cmp-1 since it was fenced"


@pytest.mark.parametrize(("record", "silent"), [(OLD[0], True), (OLD[1], False), (OLD[2], False)])
def test_an_old_record_of_a_host_in_service_does_no_harm(record: str, silent: bool) -> None:
    """As a CIB that was restored has it; and its nova-compute hangs, and Nova calls it down: its guests ran twice once."""
    story = Story()
    story.boot(running=2, stopped=1)
    before = spawns(story.victim)
    if silent:
        cluster.compute(story.victim, "freeze")
        assert wait_until(lambda: not watch.in_service(story.victim), LIMIT, 0.5)
    write_record(story.victim, record)
    if silent:
        assert wait_until(lambda: any(SILENT in reason for _, _, reason in watch.failures(degraded=True)), LIMIT, 0.5), watch.failures(degraded=True)
    # The rule on evacuate-held has stopped nova-compute meanwhile, which starts once the record is seen to be an old one.
    assert wait_until(lambda: not watch.records(), LET_IN, 0.5), watch.records()
    # A report may be late on a busy machine, and Nova has the host down until it comes.
    assert wait_until(lambda: watch.in_service(story.victim), 15, 0.5) and spawns(story.victim) == before
    assert not watch.evacuation_requests(story.begun)
    assert {uid: servers.listed()[uid]["status"] for uid in story.before} == story.before
    healthy()
    story.audit()


def test_a_record_of_a_host_that_is_no_more_is_cleared() -> None:
    entry = ('<node id="cmp-99" type="remote" uname="cmp-99"><instance_attributes id="nodes-cmp-99">'
             '<nvpair id="nodes-cmp-99-evacuate" name="evacuate" value="confirmed;id=gone;proof=node_fenced:1"/></instance_attributes></node>')
    watch.on_controller("cibadmin", "--create", "--scope", "nodes", "--xml-text", entry)
    try:
        assert wait_until(lambda: not watch.records(), LIMIT, 0.5), watch.records()
        assert "cmp-99 is no node of the cluster any more; its record is cleared" in watch.worker_log()
    finally:
        watch.on_controller("cibadmin", "--delete", "--scope", "nodes", "--xml-text", '<node id="cmp-99"/>')


def test_a_dismissed_host_is_left_alone_until_it_is_back(stays_off: None) -> None:
    story = Story()
    story.boot(running=2, stopped=0)
    watch.on_controller("pcs", "resource", "update", "nova-evacuate", "enabled=false")
    try:
        story.cut_power()
        assert wait_until(lambda: "proof" in watch.records().get(story.victim, ""), LIMIT, 0.3)
        watch.on_controller("instance-ha", "dismiss", story.victim)
    finally:
        watch.on_controller("pcs", "resource", "update", "nova-evacuate", "enabled=true")
    assert not wait_until(lambda: watch.evacuation_requests(story.begun), 10, 0.5), "a dismissed host was evacuated"
    assert watch.records() == {story.victim: "no"}
    for node in cluster.size().nodes:
        bmc.stay_off(node, False)
    healthy()
    assert wait_until(lambda: all(s["status"] == "ACTIVE" and s["OS-EXT-STS:power_state"] == 1 for s in servers.listed().values()), LIMIT, 0.5)
    assert all(servers.host_of(s) == story.victim for s in servers.listed().values())
    story.audit()


@pytest.fixture
def units() -> Iterator[None]:
    """nova-compute is a unit that starts at boot, and not Pacemaker's."""
    unit.begin()
    yield
    unit.end()


def test_a_unit_of_nova_compute_waits_at_the_gate(units: None) -> None:
    guests.set_knob("spawn_delay", 8)
    story = Story()
    story.boot(running=3, stopped=1)
    story.cut_power()
    host = cluster.find(story.victim)
    early = []

    def over() -> bool:
        if machine.is_on(host) and watch.records().get(story.victim, "").startswith(("fenced", "confirmed")):
            early.append(unit.runs(host))
        return watch.records().get(story.victim, "").startswith(("returning", "evacuated"))

    assert wait_until(over, LIMIT, 0.3), watch.records()
    assert early and not any(early), "nova-compute ran before its servers had been moved"
    story.recovered()
    healthy()
    told = unit.told(host)
    assert "waiting: cmp-1 is not let in yet" in told and "is let in" in told
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(story.begun))
    refused = [e for e in watch.fence_events(story.victim) if (e["action"], e["status"]) == ("on", "failed") and e["completed"] > began]
    assert not refused, "unfencing was refused"
    story.audit()
