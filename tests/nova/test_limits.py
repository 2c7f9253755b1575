"""What holds an evacuation back: too many hosts at once, no power device, a Nova that has to notice by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.cluster.scenario import RETURN_LIMIT, Story, healthy
from tests.cluster.test_faults import degraded_reason
from tests.lab import bmc, cluster, guests, servers, watch
from tests.lab import node as machine
from tests.lab.common import wait_until
from tests.nova.test_choices import update


@pytest.fixture
def held() -> Iterator[None]:
    """An aggregate whose max_failures is 0 holds cmp-1 as soon as it dies; of two hosts that die, either may be the first."""
    aggregate = int(servers.nova("POST", "/os-aggregates", {"aggregate": {"name": "rack"}})["aggregate"]["id"])
    servers.nova("POST", f"/os-aggregates/{aggregate}/action", {"add_host": {"host": "cmp-1"}})
    servers.nova("POST", f"/os-aggregates/{aggregate}/action", {"set_metadata": {"metadata": {"instance-ha:max_failures": "0"}}})
    yield
    servers.nova("POST", f"/os-aggregates/{aggregate}/action", {"remove_host": {"host": "cmp-1"}})
    servers.nova("DELETE", f"/os-aggregates/{aggregate}")


def test_a_held_host_waits_for_a_person(held: None, stays_off: None) -> None:
    story = Story()
    story.boot(running=2, stopped=1)
    story.cut_power()
    assert wait_until(lambda: watch.records().get("cmp-1", "").startswith("partly"), 60, 0.2), "not held"
    assert wait_until(lambda: "the aggregate rack are down, more than its max_failures=0" in degraded_reason(), 40, 0.5), degraded_reason()
    assert not watch.evacuation_requests(story.begun)
    assert watch.on_controller("instance-ha", "release").splitlines() == ["cmp-1: released"]
    story.recovered()
    healthy()
    story.audit()


def test_a_held_host_that_comes_back_keeps_its_servers(held: None, stays_off: None) -> None:
    """They are what they were, on it."""
    story = Story()
    story.boot(running=2, stopped=1)
    running = [uid for uid, status in story.before.items() if status == "ACTIVE"]
    story.cut_power()
    assert wait_until(lambda: watch.records().get("cmp-1", "").startswith("partly"), 60, 0.2), "not held"
    bmc.stay_off(cluster.find("cmp-1"), False)
    machine.boot(cluster.find("cmp-1"))
    assert wait_until(lambda: watch.in_service("cmp-1"), RETURN_LIMIT, 0.5), "the held host was kept out"
    healthy()
    assert wait_until(lambda: all(guests.running().get(uid) == ["cmp-1"] for uid in running), 30, 0.5), "they are not started again"
    servers.wait_status(running, "ACTIVE")     # a hard reboot goes on for a moment after its guest runs
    found = servers.listed()
    assert [(found[uid]["status"], found[uid]["locked"]) for uid in story.before] == [("ACTIVE", False), ("ACTIVE", False), ("SHUTOFF", False)]
    story.stays = set(story.before)
    story.audit()


@pytest.fixture
def no_power_device() -> Iterator[None]:
    """cmp-1's level holds fence_nova alone."""
    watch.on_controller("pcs", "stonith", "level", "remove", "1", "target", "cmp-1")
    watch.on_controller("pcs", "stonith", "level", "add", "1", "cmp-1", "fence-nova")
    yield
    watch.on_controller("pcs", "stonith", "level", "remove", "1", "target", "cmp-1")
    watch.on_controller("pcs", "stonith", "level", "add", "1", "cmp-1", "fence-cmp-1", "fence-nova")
    update("quick_evacuate_level=")


def test_a_level_without_a_power_device_has_to_be_wanted(no_power_device: None) -> None:
    story = Story()
    story.boot(running=1, stopped=1)
    story.cut_power()
    assert wait_until(lambda: "no power device before fence_nova" in degraded_reason(), 60, 0.5), degraded_reason()
    assert not watch.evacuation_requests(story.begun)
    update("quick_evacuate_level=1")
    story.recovered()
    healthy()
    story.audit()


def change_fence_nova(words: str) -> None:
    """Change a parameter of fence_nova. Pacemaker then unfences every host anew, and restarts nova-compute on all of them."""
    watch.on_controller("pcs", "stonith", "update", "fence-nova", words)
    time.sleep(20)
    healthy()


@pytest.mark.slow
def test_nova_may_be_left_to_notice_by_itself() -> None:
    """Level 3: nobody forces the service down."""
    update("quick_evacuate_level=3")
    change_fence_nova("quick_evacuate_level=3")
    story = Story()
    story.boot(running=1, stopped=1)
    forced = []
    try:
        story.cut_power()

        def done() -> bool:
            forced.append(servers.services()[story.victim]["forced_down"])
            return all(servers.host_of(servers.show(uid)) != story.victim for uid in story.before)

        assert wait_until(done, 120, 0.5)
        story.recovered()
        assert not any(forced)
        healthy()
        story.audit()
    finally:
        update("quick_evacuate_level=")
        change_fence_nova("quick_evacuate_level=")


def test_storage_may_be_given_time_to_let_go() -> None:
    story = Story()
    story.boot(running=1, stopped=0)
    update("evacuate_delay=8")
    try:
        story.cut_power()
        story.recovered()
        first = min(min(times) for times in watch.evacuation_requests(story.begun).values())
        assert 8 <= first - watch.fencings(story.begun)[0].end < 20
        healthy()
        story.audit()
    finally:
        update("evacuate_delay=")
