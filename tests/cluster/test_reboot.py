"""A host that somebody reboots without a word to anyone: not fenced, its servers stay off, and people are told."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.cluster.scenario import Story, healthy
from tests.cluster.test_faults import degraded_reason
from tests.lab import cluster, guests, servers, watch
from tests.lab import node as machine
from tests.lab.cloud_config import ETC
from tests.lab.common import wait_until

AWAY = 60.0              # longer than the pauses between two reports of nova-compute, so that its end is told from its begin
GOODBYE_LIMIT = 60.0     # until Pacemaker has stopped everything there
TOLD_LIMIT = 120.0       # until nova-compute has compared
SECTION = "[DEFAULT]\n"


@pytest.fixture
def compares_soon() -> Iterator[None]:
    """nova-compute of cmp-1 compares what runs with what Nova knows every ten seconds, and not every ten minutes."""
    path = ETC / "nova-compute-cmp-1.conf"
    text = path.read_text()
    path.write_text(text.replace(SECTION, f"{SECTION}sync_power_state_interval = 10\n"))
    yield
    path.write_text(text)


@pytest.fixture(params=["tell", "start"])
def after_reboot(request: pytest.FixtureRequest) -> Iterator[str]:
    word: str = request.param
    watch.on_controller("pcs", "resource", "update", "nova-evacuate", f"after_reboot={word}")
    yield word
    watch.on_controller("pcs", "resource", "update", "nova-evacuate", "after_reboot=")


def reboot(host: str) -> None:
    """As a person does it who has Pacemaker close the connection first. The pacemaker_remoted of 2.1.5 that a signal ends drops its
    connection before the cluster has answered, and its host is fenced."""
    watch.on_controller("pcs", "resource", "disable", host, f"--wait={GOODBYE_LIMIT:.0f}")
    machine.power_off(cluster.find(host))
    time.sleep(AWAY)
    machine.boot(cluster.find(host))
    watch.on_controller("pcs", "resource", "enable", host)


@pytest.mark.slow
def test_its_servers_are_off_and_somebody_is_told(after_reboot: str, compares_soon: None) -> None:
    story = Story()
    story.boot(running=2, stopped=1)
    running = [uid for uid, status in story.before.items() if status == "ACTIVE"]
    story.stays = set(story.before)
    reboot(story.victim)
    if after_reboot == "tell":
        assert wait_until(lambda: f"{story.victim} was away without a fencing" in degraded_reason(), TOLD_LIMIT, 1), degraded_reason()
        assert not guests.running().keys() & {*running}, "started, and nobody asked for that"
        watch.on_controller("instance-ha", "dismiss", story.victim)
    else:
        assert wait_until(lambda: all(guests.running().get(uid) == [story.victim] for uid in running), TOLD_LIMIT, 1), degraded_reason()
        servers.wait_status(running, "ACTIVE")
    healthy()
    assert not watch.fencings(story.begun), "it was fenced"
    assert not watch.evacuation_requests(story.begun)
    story.audit()
