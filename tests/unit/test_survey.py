"""From Nova's and Placement's answers, over HTTP, to what `instance-ha plan` says."""

from __future__ import annotations

import argparse
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from instance_ha.cli import plan, plan_any
from instance_ha.demand import Ask, Demand
from instance_ha.engine.selection import Policy
from instance_ha.errors import CloudRefused, ConfigurationError
from instance_ha.model import Server, Service
from instance_ha.planning.survey import UNHELD, UNPINNED, Survey

from tests.unit.fake import ROW, Fake
from tests.unit.test_limits import service
from tests.unit.test_model import server
from tests.unit.test_placement import NONE, REFUSED, provider

HOSTS = ("cmp-1", "cmp-2", "cmp-3")
SERVICES = [service(host) for host in HOSTS]
POLICY = Policy()
NOVA_GROUPS = "/os-server-groups?all_projects=true&limit=500&offset=0"


def demand(ram: int, *traits: str) -> Demand:
    return Demand(Ask((("MEMORY_MB", ram), ("VCPU", 1)), traits))


def path(wanted: Demand) -> str:
    first = wanted.first
    traits = {"required": ",".join(first.traits)} if first.traits else {}
    return "/allocation_candidates?" + urlencode({"resources": ",".join(f"{k}:{n}" for k, n in first.amounts), **traits, "limit": 10000})


def answer(wanted: Demand, **free: int) -> dict[str, Any]:
    """Placement's answer when these hosts (cmp_2) have so much memory free, and room."""
    hosts = {name.replace("_", "-"): amount for name, amount in free.items()}
    return {
        "allocation_requests": [{"allocations": {f"r-{host}": {"resources": dict(wanted.first.amounts)}}} for host in hosts],
        "provider_summaries": {f"r-{host}": {
            "resources": {"VCPU": {"capacity": 64, "used": 0}, "MEMORY_MB": {"capacity": 100, "used": 100 - amount}}, "traits": [],
            "parent_provider_uuid": None, "root_provider_uuid": f"r-{host}"} for host, amount in hosts.items()}}


class World:
    """A cloud of three hosts whose answers are set one by one."""

    def __init__(self, fake: Fake) -> None:
        self.fake, self.servers = fake, dict[str, list[Server]]()
        fake.says_always("/resource_providers", {"resource_providers": [provider(f"r-{host}", host) for host in HOSTS]})
        fake.says_always("/os-hypervisors/detail?limit=500", {"hypervisors": [
            {"id": f"r-{host}", "hypervisor_hostname": host, "service": {"host": host, "id": 7}} for host in HOSTS]})
        fake.says_always(NOVA_GROUPS, {"server_groups": []})
        fake.says_always(NOVA_GROUPS.replace("offset=0", "offset=1"), {"server_groups": []})

    def has(self, name: str, ram: int = 40, host: str = "cmp-1", **fields: object) -> None:
        """A server that holds so much memory on its host."""
        self.servers.setdefault(host, []).append(server(id=name, name=name, host=host, **fields))
        self.fake.says_always(f"/allocations/{name}", {"allocations": {f"r-{host}": {"resources": {"VCPU": 1, "MEMORY_MB": ram}}}})

    def room(self, wanted: Demand, **free: int) -> None:
        self.fake.says_always(path(wanted), answer(wanted, **free) if free else NONE)

    def survey(self, services: list[Service] = SERVICES) -> Survey:
        return Survey(self.fake.nova, services, [], self.servers, True)

    def fits(self, *hosts: str, services: list[Service] = SERVICES) -> dict[str, tuple[str, str, str]]:
        return plan._fits(self.survey(services), frozenset(hosts or ("cmp-1",)), POLICY)


@pytest.fixture
def world(fake: Fake) -> World:
    return World(fake)


def test_plenty_of_room(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.has("a")
    world.has("b")
    world.room(demand(40), cmp_1=20, cmp_2=90, cmp_3=90)
    assert world.fits() == {"a": ("sure", "cmp-2, cmp-3", ""), "b": ("sure", "cmp-2, cmp-3", "")}
    assert capsys.readouterr().err == ""


def test_too_little_room(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abc":
        world.has(name)
    world.has("first", metadata={"restart_priority": "900"})
    world.room(demand(40), cmp_2=90, cmp_3=50)
    found = world.fits()
    assert {word for word, _, _ in found.values()} == {"tight"}
    assert "no host has room left when its turn comes" in found["c"][2] and "ways of placing leave it over" in found["c"][2]
    assert capsys.readouterr().err == "instance-ha: 1 of 4 servers would be left over for lack of a host\n"


@pytest.mark.parametrize(("traits", "plain", "single", "why"), [
    (("CUSTOM_SSD",), {"cmp_2": 90}, {}, "no live host with room for it has the traits CUSTOM_SSD"),
    # Only the dead host itself has room.
    ((), {"cmp_1": 90}, {"MEMORY_MB": {"cmp_1": 90}}, "no live host has 40 MiB of memory free"),
    ((), {}, {"MEMORY_MB": {"cmp_2": 90}, "VCPU": {"cmp_3": 90}}, "no live host has 40 MiB of memory, 1 VCPU free at once"),
])
def test_why_no_host(world: World, traits: tuple[str, ...], plain: dict[str, int], single: dict[str, dict[str, int]], why: str) -> None:
    world.has("a", extra_specs={f"trait:{trait}": "required" for trait in traits})
    world.room(demand(40, *traits), **({} if traits else plain))
    world.room(demand(40), **plain)
    for resource, hosts in single.items():
        world.room(Demand(Ask(((resource, dict(demand(40).first.amounts)[resource]),))), **hosts)
    assert world.fits() == {"a": ("no", "", why)}


def test_a_trait_that_nobody_has_ever_had(world: World, fake: Fake) -> None:
    world.has("a", extra_specs={"trait:CUSTOM_NOPE": "required"})
    fake.says_always(path(demand(40, "CUSTOM_NOPE")), REFUSED, 400)
    word, hosts, why = world.fits()["a"]
    assert (word, hosts) == ("no", "") and why.startswith("Placement refuses what it asks: No such trait(s): CUSTOM_NOPE.")


def test_an_image_may_ask_for_a_trait(world: World, fake: Fake) -> None:
    world.has("a", image="i1")
    fake.says_always("/v2/images/i1", {"id": "i1", "tags": [], "trait:CUSTOM_SSD": "required", "hw_mem_page_size": "large"})
    world.room(demand(40, "CUSTOM_SSD"), cmp_3=90)
    assert world.fits() == {"a": ("likely", "cmp-3", "Placement does not know: NUMA")}


def test_zones_are_asked_for_only_where_there_are_several(world: World, fake: Fake) -> None:
    """A server that is pinned stays in its zone, one that only happens to be in it does not."""
    services = [service("cmp-1", zone="east"), service("cmp-2", zone="west"), service("cmp-3", zone="west")]
    listed = "/servers/detail?all_tenants=1&host=cmp-1&limit=500"
    fake.says_always(listed, {"servers": [
        {**ROW, "id": "a", "pinned_availability_zone": "east"}, {**ROW, "id": "b", "pinned_availability_zone": None}]})
    for name in "ab":
        world.has(name)
    world.room(demand(40), cmp_2=90, cmp_3=90)
    assert world.fits(services=services) == {
        "a": ("no", "", "it may only go to hosts of its zone east, and none is up and enabled"), "b": ("sure", "cmp-2, cmp-3", "")}
    fake.says_always(listed, {"computeFault": {"code": 406, "message": "Version 2.96 is not supported by the API."}}, 406)
    west = [service("cmp-1", zone="east"), service("cmp-2", zone="east"), service("cmp-3", zone="west")]
    assert world.fits(services=west)["b"] == ("likely", "cmp-2", f"Placement does not know: {UNPINNED}; it may only go to hosts of its zone east")


def group(policy: str, *members: str) -> dict[str, Any]:
    return {"id": "g", "name": "G", "policy": policy, "rules": {}, "members": list(members), "project_id": "p", "user_id": "u"}


def test_an_anti_affinity_group_whose_members_are_everywhere(world: World, fake: Fake) -> None:
    fake.says_always(NOVA_GROUPS, {"server_groups": [group("anti-affinity", "a", "x", "y")]})
    world.has("a")
    for name, host in (("x", "cmp-2"), ("y", "cmp-3")):
        fake.says_always(f"/servers/{name}", {"server": {**ROW, "id": name, "OS-EXT-SRV-ATTR:host": host}})
    world.room(demand(40), cmp_2=90, cmp_3=90)
    assert world.fits() == {"a": ("no", "", "every host that may take it has a member of its anti-affinity group G")}


def test_an_affinity_group_needs_one_host(world: World, fake: Fake) -> None:
    fake.says_always(NOVA_GROUPS, {"server_groups": [group("affinity", "a", "b")]})
    for name in "ab":
        world.has(name, size=(1, 40, 0))
    world.room(demand(40), cmp_2=90, cmp_3=70)
    both = Demand(Ask((("MEMORY_MB", 80), ("VCPU", 2))))
    world.room(both, cmp_2=90)
    rule = "it may only go to one host of the zone nova, with all 2 of its affinity group G"
    assert world.fits() == {"a": ("sure", "cmp-2", rule), "b": ("sure", "cmp-2", rule)}
    world.room(both)
    world.room(Demand(Ask((("MEMORY_MB", 80),))))
    assert world.fits()["b"][2] == f"{rule}, and none that lives has 80 MiB of memory free"


def test_a_reserved_host_counts(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    services = [*SERVICES[:1], service("cmp-2", enabled=False, reason="reserved"), service("cmp-3", up=False)]
    world.has("a")
    world.room(demand(40), cmp_2=90, cmp_3=90)
    assert world.fits(services=services) == {"a": ("sure", "cmp-2", "")}
    assert capsys.readouterr().err == "instance-ha: reserved hosts that would be enabled, and are counted: cmp-2\n"


def test_nobody_is_left(world: World) -> None:
    world.has("a")
    world.room(demand(40), cmp_2=90)
    assert world.fits(services=[SERVICES[0], service("cmp-2", enabled=False)]) == {"a": ("no", "", "no host is left that is up and enabled")}


def test_a_server_that_placement_has_lost(world: World, fake: Fake) -> None:
    world.has("a", size=(1, 40, 0))
    fake.says_always("/allocations/a", {"allocations": {}})
    world.room(demand(40), cmp_2=90)
    assert world.fits() == {"a": ("likely", "cmp-2", f"Placement does not know: {UNHELD}")}


def test_placement_that_may_not_be_asked(world: World, fake: Fake) -> None:
    fake.says_always("/resource_providers", {"errors": [{"status": 403, "title": "Forbidden", "detail": "Access was denied to this resource."}]}, 403)
    with pytest.raises(CloudRefused, match="Access was denied"):
        world.survey()


def any_n(world: World, capsys: pytest.CaptureFixture[str], number: int, staying: list[str] | None = None) -> tuple[int, list[dict[str, str]], str]:
    for host in HOSTS:
        inventory = {"total": 100, "reserved": 0, "allocation_ratio": 1.0}
        world.fake.says_always(f"/resource_providers/r-{host}/inventories", {"inventories": {"MEMORY_MB": inventory, "VCPU": inventory}})
    code = plan_any.report(world.survey(), (plan_any.hosts_of(SERVICES, number), number), POLICY, staying or [], "json")
    told = capsys.readouterr()
    return code, json.loads(told.out), told.err


def test_any_host_of_a_cloud_with_room(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.has("a", 40, "cmp-1")
    world.has("b", 30, "cmp-2")
    world.room(demand(40), cmp_1=60, cmp_2=70, cmp_3=100)
    world.room(demand(30), cmp_1=60, cmp_2=70, cmp_3=100)
    code, rows, said = any_n(world, capsys, 1)
    assert code == 0 and [row["Left"] for row in rows] == ["0", "0", "0"] and {row["Hosts"] for row in rows} == set(HOSTS)
    assert said == "instance-ha: any host may die: all that is protected and can be moved finds a host\n"
    code, rows, _ = any_n(world, capsys, 1, ["cmp-2"])
    assert code == 1 and {row["Hosts"]: row["Stay"] for row in rows} == {"cmp-1": "0", "cmp-2": "1", "cmp-3": "0"}


def test_any_two_of_a_cloud_that_can_lose_one(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for number, host in ((1, "cmp-1"), (2, "cmp-1"), (3, "cmp-2")):
        world.has(f"s{number}", 40, host)
    world.room(demand(40), cmp_2=60, cmp_3=100)
    code, rows, said = any_n(world, capsys, 2)
    assert code == 1 and len(rows) == 3
    assert rows[0] == {"Hosts": "cmp-1, cmp-2", "Moving": "3", "Left": "1", "Servers": "s3", "MissingVCPU": "1", "MissingMiB": "40",
                       "MissingGiB": "0", "MissingHosts": "1", "Stay": "0"}
    assert [(row["Hosts"], row["Moving"], row["Left"]) for row in rows[1:]] == [("cmp-1, cmp-3", "2", "1"), ("cmp-2, cmp-3", "1", "1")]
    assert said == ("instance-ha: 3 of 3 combinations leave something over; the worst, cmp-1, cmp-2, up to 1 servers: they take 40 MiB of memory, "
                    "1 VCPU; hosts like cmp-1 that are missing: 1\n"
                    "instance-ha: 3 of 3 combinations would wait for a person: 2 of 3 compute hosts are down, more than threshold=50 %; when they "
                    "are really down: instance-ha release\n")


@pytest.mark.parametrize(("hosts", "number"), [([], None), (["cmp-1"], 1)])
def test_which_hosts(hosts: list[str], number: int | None) -> None:
    with pytest.raises(ConfigurationError, match="plan wants"):
        plan.run(argparse.Namespace(hosts=hosts, any=number, format="json"))


@pytest.mark.parametrize("number", [0, -1, 3, 9])
def test_some_hosts_have_to_remain(number: int) -> None:
    with pytest.raises(ConfigurationError, match="at least 1 and less than the 3"):
        plan_any.hosts_of(SERVICES, number)
