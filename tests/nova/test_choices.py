"""Which servers, and where to: tags, aggregates, projects, names, server groups and reserved hosts on a real Nova."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.cluster.scenario import Story, healthy
from tests.cluster.test_faults import degraded_reason
from tests.lab import cluster, servers, watch
from tests.lab import node as machine
from tests.lab.common import wait_until


def plan(host: str) -> dict[str, dict[str, str]]:
    """What `instance-ha plan` says of each server, by name."""
    done = machine.exec_in(cluster.find(watch.controller()), ["instance-ha", "plan", host, "-f", "json"], 60)
    assert done.returncode in (0, 1), done.stderr
    return {row["Name"]: row for row in json.loads(done.stdout)}


def update(*words: str) -> None:
    """Change the worker's parameters."""
    watch.on_controller("pcs", "resource", "update", "nova-evacuate", *words)


@pytest.fixture
def aggregate() -> Iterator[int]:
    """A host aggregate with cmp-1 alone, whose metadata opts out."""
    uid = int(servers.nova("POST", "/os-aggregates", {"aggregate": {"name": "cheap"}})["aggregate"]["id"])
    servers.nova("POST", f"/os-aggregates/{uid}/action", {"add_host": {"host": "cmp-1"}})
    servers.nova("POST", f"/os-aggregates/{uid}/action", {"set_metadata": {"metadata": {"evacuable": "false"}}})
    yield uid
    servers.nova("POST", f"/os-aggregates/{uid}/action", {"remove_host": {"host": "cmp-1"}})
    servers.nova("DELETE", f"/os-aggregates/{uid}")


def test_the_plan_is_what_happens(aggregate: int) -> None:
    """Every kind of rule at once; the flavor is private, and deleted before the host dies."""
    story = Story()
    flavor = str(servers.nova("POST", "/flavors", {"flavor": {
        "name": "private", "ram": 64, "disk": 1, "vcpus": 1, "os-flavor-access:is_public": False}})["flavor"]["id"])
    servers.nova("POST", f"/flavors/{flavor}/os-extra_specs", {"extra_specs": {"evacuable": "true"}})
    ids = dict(zip(("plain", "pet-1"), servers.boot(["plain", "pet-1"], story.victim)))
    ids["flavored"] = boot_with("flavored", flavor, story.victim)
    servers.nova("DELETE", f"/flavors/{flavor}")
    ids |= dict(zip(["tagged"], servers.boot(["tagged"], story.victim, metadata={"evacuable": "true"})))
    ids |= dict(zip(["amphora-1"], servers.boot(["amphora-1"], story.victim, metadata={"evacuable": "true"})))
    ids |= dict(zip(["volume"], servers.boot(["volume"], story.victim, volume=True, metadata={"HA_Enabled": "True", "restart_priority": "900"})))
    story.before = dict.fromkeys(ids.values(), "ACTIVE")
    story.stays = {ids["plain"], ids["amphora-1"]}
    update("skip_servers=amphora-*", "protect_servers=pet-*", "max_parallel=1")
    try:
        told = plan(story.victim)
        assert {name: row["Protected"] for name, row in told.items()} == {
            "plain": "no", "amphora-1": "no", "pet-1": "yes", "flavored": "yes", "tagged": "yes", "volume": "yes"}
        rules = {name: row["Rule"] for name, row in told.items()}
        assert rules["plain"] == "aggregate metadata evacuable=false" and "skip_servers" in rules["amphora-1"]
        assert rules["flavored"] == "flavor extra spec evacuable=true" and "protect_servers" in rules["pet-1"]
        assert told["volume"]["Order"] == "1"
        story.cut_power()
        story.recovered()
        requests = watch.evacuation_requests(story.begun)
        assert min(requests, key=lambda uid: requests[uid][0]) == ids["volume"]
        healthy()
        story.audit()
        assert all(servers.host_of(servers.show(uid)) == story.victim for uid in story.stays)
    finally:
        update("skip_servers=", "protect_servers=", "max_parallel=")


def boot_with(name: str, flavor: str, host: str) -> str:
    """Boot a server with a flavor that the list of public flavors does not show."""
    server = {"name": name, "flavorRef": flavor, "imageRef": servers.IMAGE, "networks": "none", "host": host}
    uid = str(servers.nova("POST", "/servers", {"server": server})["server"]["id"])
    servers.wait_status([uid], "ACTIVE")
    return uid


def make_group(name: str, policy: str) -> str:
    """Make a server group; its id."""
    return str(servers.nova("POST", "/os-server-groups", {"server_group": {"name": name, "policy": policy}})["server_group"]["id"])


def test_groups_and_a_reserved_host(stays_off: None) -> None:
    """A hard-affinity group moves as one, past a scheduler that cannot; an anti-affinity group that cannot hold is named; the
    reserved host is enabled."""
    story = Story()
    together, apart = make_group("together", "affinity"), make_group("apart", "anti-affinity")
    family = [servers.boot([f"family-{n}"], story.victim, group=together)[0] for n in range(3)]
    # The member in the other zone of the group is what makes it impossible: one on every host.
    loner = servers.boot(["loner-1"], story.victim, group=apart)[0]
    servers.boot(["loner-2"], "cmp-2", group=apart)
    servers.boot(["loner-3"], "cmp-3", group=apart)
    servers.nova("PUT", f"/os-services/{servers.services()['cmp-3']['id']}", {"status": "disabled", "disabled_reason": "reserved for failures"})
    story.before = {uid: "ACTIVE" for uid in [*family, loner]}
    story.stays = {loner}
    try:
        story.cut_power()
        story.recovered()
        assert len({servers.host_of(servers.show(uid)) for uid in family}) == 1
        assert servers.services()["cmp-3"]["status"] == "enabled", "the reserved host was not called"
        assert wait_until(lambda: "anti-affinity group apart" in degraded_reason(), 40, 0.5), degraded_reason()
        assert servers.show(loner)["status"] == "ACTIVE", "it was sent although no host may take it"
        healthy()
        story.audit()
    finally:
        servers.set_service("cmp-3", status="enabled")
        for group in (together, apart):
            servers.nova("DELETE", f"/os-server-groups/{group}")


def test_a_reserved_host_that_was_not_needed_is_given_back() -> None:
    story = Story()
    story.boot(running=0, stopped=0, out=1)
    servers.nova("PUT", f"/os-services/{servers.services()['cmp-3']['id']}", {"status": "disabled", "disabled_reason": "Reserved: rack 2"})
    try:
        story.cut_power()
        assert wait_until(lambda: "given back" in (servers.services()["cmp-3"]["disabled_reason"] or ""), 90, 0.5)
        assert wait_until(lambda: watch.in_service(story.victim) and not watch.records(), 90, 0.5)
    finally:
        servers.set_service("cmp-3", status="enabled")
    healthy()
    story.audit()
