"""Planned work is no failure; and a fencing meanwhile is one like any other."""

from __future__ import annotations

import time

from tests.cluster.scenario import Story, healthy
from tests.lab import cluster, servers, watch
from tests.lab import node as machine
from tests.lab.common import wait_until

UNDISTURBED = 20.0  # a dead host would be fenced within half of it


def instance_ha(*argv: str, code: int = 0) -> str:
    done = machine.exec_in(cluster.find(watch.controller()), ["instance-ha", *argv], 120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_host_is_switched_off_for_planned_work_and_comes_back() -> None:
    story = Story()
    story.boot(running=1, stopped=0)
    host = cluster.find(story.victim)
    try:
        assert "1 servers are on cmp-1" in instance_ha("maintenance", "on", story.victim, code=2)
        servers.delete_all()
        story.before.clear()
        assert "out of service" in instance_ha("maintenance", "on", story.victim, "--reason", "new fans")
        assert servers.services()[story.victim]["disabled_reason"].startswith("maintenance: new fans")
        machine.power_off(host)
        time.sleep(UNDISTURBED)
        machine.boot(host)
        assert not watch.records()
        assert "back in service" in instance_ha("maintenance", "off", story.victim)
    finally:
        machine.boot(host)
        watch.on_controller("crm_resource", "--resource", story.victim, "--meta", "--delete-parameter", "target-role", check=False)
    healthy()
    assert not watch.fencings(story.begun)
    story.audit()


def test_a_host_that_is_fenced_meanwhile_is_evacuated_and_stays_disabled() -> None:
    story = Story()
    story.boot(running=2, stopped=0)
    story.may_die.add(story.victim)
    try:
        instance_ha("maintenance", "on", story.victim, "--keep-servers")
        assert not watch.evacuation_requests(story.begun)
        watch.on_controller("stonith_admin", "--fence", story.victim)
        story.recovered()
        instance_ha("maintenance", "off", story.victim)
        assert wait_until(lambda: watch.in_service(story.victim), 30, 0.5), servers.services()[story.victim]
    finally:
        watch.on_controller("crm_resource", "--resource", story.victim, "--meta", "--delete-parameter", "target-role", check=False)
    healthy()
    story.audit()
