"""Each row of the state table on a real Nova: one host dies with a server in each state, and each ends as the table says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from instance_ha.engine.states import ENDS, LEAVE, STATES, WORDS

from tests.cluster import conftest as protected
from tests.cluster.scenario import Story, healthy
from tests.lab import guests, servers, watch
from tests.lab.common import wait_until
from tests.nova import states

LOCKED = ("running", "shut off", "paused")   # rows that are also tried with the owner's own lock
LIMIT = 180.0
ROWS = {state.name: state for state in STATES}


@dataclass
class Incident:
    """The one failure that all rows share: what was asked to be, what came of it, and after the host's return."""

    story: Story
    ids: dict[str, str]
    at_death: dict[str, Any] = field(default_factory=dict)
    recovered: dict[str, Any] = field(default_factory=dict)
    returned: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(autouse=True)
def calm() -> None:
    """The rows share one incident; the module's fixture sees to health before and after."""


def facts(server: dict[str, Any]) -> dict[str, Any]:
    return {"status": server["status"], "task": server["OS-EXT-STS:task_state"], "host": servers.host_of(server), "vm": server["OS-EXT-STS:vm_state"],
            "power": server["OS-EXT-STS:power_state"], "locked": server["locked"], "reason": server["locked_reason"]}


@pytest.fixture(scope="module")
def incident(lab: None) -> Iterator[Incident]:
    inner = protected.calm.__wrapped__(lab)  # type: ignore[attr-defined]
    next(inner)
    watch.on_controller("pcs", "resource", "update", "nova-evacuate", f"recover_states={' '.join(WORDS)}")
    try:
        yield run()
    finally:
        watch.on_controller("pcs", "resource", "update", "nova-evacuate", "recover_states=")
        for knob in (f"live_migration_delay.{states.HOST}", f"spawn_delay.{states.HOST}"):
            guests.set_knob(knob, None)
        for _ in inner:
            pass


def run() -> Incident:
    """The failure, once."""
    story = Story()
    flavor = servers.make_flavor("wider", ram=96)
    ids = states.prepare(list(ROWS))
    extra = servers.boot([f"locked-{name.replace(' ', '-')}" for name in LOCKED], states.HOST)
    for name, uid in zip(LOCKED, extra):
        ids["locked " + name] = uid
    for name, action, status in (("locked shut off", "os-stop", "SHUTOFF"), ("locked paused", "pause", "PAUSED")):
        servers.action(ids[name], action)
        servers.wait_status([ids[name]], status)
    for name in LOCKED:
        servers.action(ids["locked " + name], "lock", {"locked_reason": "mine"})
    states.soft_delete(ids["soft-deleted"])
    states.begin(ids)
    story.before = {uid: "" for name, uid in ids.items()}
    happened = Incident(story, ids)
    story.cut_power()
    states.ask_the_dead(ids, flavor)
    happened.at_death = states.each(ids, facts)
    wait_until(lambda: settled(ids), LIMIT, 1)
    happened.recovered = states.each(ids, facts)
    guests.set_knob(f"spawn_delay.{states.HOST}", None)
    healthy()
    wait_until(lambda: states.each(ids, facts)["being deleted"] == "gone", 60, 1)
    happened.returned = states.each(ids, facts)
    return happened


def settled(ids: dict[str, str]) -> bool:
    found = states.each(ids, facts)
    return all(found[name] == "gone" or ROWS[name.removeprefix("locked ")].way == LEAVE
               or (found[name]["host"] not in (None, states.HOST) and not found[name]["task"] and found[name]["status"] == wanted(name)
                   and (name.startswith("locked ") or not found[name]["locked"]))
               for name in ids)


def wanted(name: str) -> str:
    return ENDS[ROWS[name.removeprefix("locked ")].was]


@pytest.mark.parametrize("name", [state.name for state in STATES if state.way != LEAVE])
def test_it_ends_as_the_table_says(incident: Incident, name: str) -> None:
    """And the row is what the server really was in when its host died, and it is still so when the host is back with its old messages."""
    row, before = ROWS[name], incident.at_death[name]
    assert row.vm_state == before["vm"] and row.power in (None, before["power"])
    assert name not in states.TASK or states.TASK[name] == before["task"]
    if row.tasks:
        assert any(before["task"].startswith(task.rstrip("*")) for task in row.tasks)
    for now in (incident.recovered[name], incident.returned[name]):
        assert (now["status"], now["task"], now["locked"]) == (wanted(name), None, False)
        assert now["host"] not in (None, states.HOST)
    running = guests.running().get(incident.ids[name], [])
    assert running == ([incident.recovered[name]["host"]] if wanted(name) == "ACTIVE" else [])


@pytest.mark.parametrize("name", LOCKED)
def test_an_owners_lock_stays(incident: Incident, name: str) -> None:
    now = incident.recovered["locked " + name]
    assert (now["status"], now["locked"], now["reason"]) == (wanted(name), True, "mine")
    assert now["host"] != states.HOST


def test_a_server_that_is_being_deleted_is_never_brought_back(incident: Incident) -> None:
    uid = incident.ids["being deleted"]
    before = incident.at_death["being deleted"]        # Nova deletes it itself where it knows already that its host is down
    assert before == "gone" or before["task"] == "deleting"
    assert incident.returned["being deleted"] == "gone"
    assert not spawned_elsewhere(uid) and uid not in watch.evacuation_requests(incident.story.begun)


@pytest.mark.parametrize("name", ["soft-deleted", "shelved and offloaded"])
def test_what_is_left_is_left(incident: Incident, name: str) -> None:
    assert incident.at_death[name] == incident.recovered[name] == incident.returned[name]
    assert not spawned_elsewhere(incident.ids[name])


def test_a_server_that_was_being_built_stays(incident: Incident) -> None:
    """Nova evacuates no server that never ran; nova-compute sets it to ERROR when it starts again."""
    assert incident.at_death["being built"]["status"] == "BUILD"
    assert incident.returned["being built"]["status"] == "ERROR"
    assert not spawned_elsewhere(incident.ids["being built"])


def test_a_broken_live_migration_goes_to_its_destination(incident: Incident) -> None:
    assert incident.recovered["live migration"]["host"] == states.OTHER


def test_the_audits(incident: Incident) -> None:
    incident.story.audit(asked=[incident.ids[name] for name in ("rescued", "rescuing")])


def spawned_elsewhere(uid: str) -> bool:
    return any(e["uuid"] == uid and e["event"] == "spawn" and e["host"] != states.HOST for e in guests.journal())
