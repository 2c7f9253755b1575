"""What Placement is asked, over HTTP: what a real Placement 16.0.0 (microversion 1.29) answered."""

from __future__ import annotations

from typing import Any

import pytest
from instance_ha import placement
from instance_ha.demand import Ask, Demand
from instance_ha.errors import CloudRefused, CloudUnreachable
from instance_ha.model import Provider

from tests.unit.fake import Fake

PLAIN = Demand(Ask((("MEMORY_MB", 64), ("VCPU", 1))))
# cmp-2 with two network cards as children, and shared storage.
CANDIDATES: dict[str, Any] = {
    "allocation_requests": [
        {"allocations": {"r2": {"resources": {"VCPU": 1, "MEMORY_MB": 64}}, "nfs": {"resources": {"DISK_GB": 1}},
                         "pf2": {"resources": {"CUSTOM_PCI_8086_1572": 1}}}},
        {"allocations": {"r2": {"resources": {"VCPU": 1, "MEMORY_MB": 64}}, "nfs": {"resources": {"DISK_GB": 1}},
                         "pf1": {"resources": {"CUSTOM_PCI_8086_1572": 1}}}}],
    "provider_summaries": {
        "r2": {"resources": {"VCPU": {"capacity": 32, "used": 2}, "MEMORY_MB": {"capacity": 512, "used": 128}}, "traits": ["CUSTOM_SSD"],
               "parent_provider_uuid": None, "root_provider_uuid": "r2"},
        "pf1": {"resources": {"CUSTOM_PCI_8086_1572": {"capacity": 2, "used": 0}}, "traits": [],
                "parent_provider_uuid": "r2", "root_provider_uuid": "r2"},
        "pf2": {"resources": {"CUSTOM_PCI_8086_1572": {"capacity": 2, "used": 1}}, "traits": [],
                "parent_provider_uuid": "r2", "root_provider_uuid": "r2"},
        "nfs": {"resources": {"DISK_GB": {"capacity": 100, "used": 1}}, "traits": ["MISC_SHARES_VIA_AGGREGATE"],
                "parent_provider_uuid": None, "root_provider_uuid": "nfs"}}}
NONE: dict[str, Any] = {"allocation_requests": [], "provider_summaries": {}}
REFUSED = {"errors": [{"status": 400, "title": "Bad Request", "code": "placement.undefined_code", "request_id": "req-6cd7",
                       "detail": "The server could not comply with the request since it is either malformed or otherwise incorrect.\n\n "
                                 "No such trait(s): CUSTOM_NOPE.  "}]}
HYPERVISORS = {"hypervisors": [{"id": "r1", "hypervisor_hostname": "cmp-1", "service": {"host": "cmp-1"}},
                               {"id": "r2", "hypervisor_hostname": "cmp-2", "service": {"host": "cmp-2"}}]}


def provider(key: str, name: str, parent: str | None = None) -> dict[str, Any]:
    return {"uuid": key, "name": name, "generation": 3, "links": [], "parent_provider_uuid": parent, "root_provider_uuid": parent or key}


PROVIDERS = {"resource_providers": [provider("r1", "cmp-1"), provider("r2", "cmp-2"), provider("pf1", "cmp-2_0000:81:00.0", "r2"),
                                    provider("nfs", "nfs")]}


def test_candidates_are_ways_with_what_is_free(fake: Fake) -> None:
    fake.says(200, CANDIDATES)
    found = placement.candidates(fake.nova, PLAIN)
    assert [way["nfs", "DISK_GB"] for way in found.ways] == [1, 1] and ("pf1", "CUSTOM_PCI_8086_1572") in found.ways[1]
    assert found.free["r2", "MEMORY_MB"] == 384 and found.capacity["r2", "MEMORY_MB"] == 512 and found.free["pf2", "CUSTOM_PCI_8086_1572"] == 1
    assert found.roots == {"r2": "r2", "pf1": "r2", "pf2": "r2", "nfs": "nfs"} and not found.cut


@pytest.mark.parametrize(("demand", "query"), [
    (PLAIN, "resources=MEMORY_MB%3A64%2CVCPU%3A1&limit=10000"),
    (Demand(Ask((("VCPU", 1),), ("!CUSTOM_OLD", "CUSTOM_SSD"))), "resources=VCPU%3A1&required=%21CUSTOM_OLD%2CCUSTOM_SSD&limit=10000"),
    (Demand(Ask((("VCPU", 1),)), (Ask((("A", 2),), ("T",)),)), "resources=VCPU%3A1&limit=10000&resources1=A%3A2&required1=T"),
    (Demand(Ask((("VCPU", 1),)), (Ask((("A", 2),)), Ask((("B", 1),)))),
     "resources=VCPU%3A1&limit=10000&resources1=A%3A2&resources2=B%3A1&group_policy=none"),
    (Demand(Ask((("VCPU", 1),)), (Ask((("A", 1),)), Ask((("A", 1),))), True),
     "resources=VCPU%3A1&limit=10000&resources1=A%3A1&resources2=A%3A1&group_policy=isolate"),
])
def test_how_a_demand_is_asked(fake: Fake, demand: Demand, query: str) -> None:
    fake.says(200, NONE)
    assert placement.candidates(fake.nova, demand).ways == ()
    assert fake.asked[0][1] == f"/allocation_candidates?{query}"


def test_what_placement_does_not_know_is_no_host_and_its_words(fake: Fake) -> None:
    fake.says(400, REFUSED)
    found = placement.candidates(fake.nova, PLAIN)
    assert found.ways == () and found.refused.startswith("No such trait(s): CUSTOM_NOPE. [GET /allocation_candidates was answered 400")


@pytest.mark.parametrize("code", [403, 404])
def test_another_refusal_is_an_error(fake: Fake, code: int) -> None:
    fake.says(code, {"errors": [{"status": code, "title": "Forbidden", "detail": "Access was denied to this resource.\n\n   "}]})
    with pytest.raises(CloudRefused, match="Access was denied"):
        placement.candidates(fake.nova, PLAIN)


@pytest.mark.parametrize("body", [{"allocation_requests": []}, [], {"error": 1}])
def test_half_an_answer_is_none(fake: Fake, body: object) -> None:
    fake.says(200, body)
    with pytest.raises(CloudUnreachable):
        placement.candidates(fake.nova, PLAIN)


def test_hosts_with_room_are_novas_and_not_the_storages(fake: Fake) -> None:
    fake.says(200, CANDIDATES)
    fake.says(200, HYPERVISORS)
    assert placement.hosts_with_room(fake.nova, PLAIN) == ["cmp-2"]


def test_providers_have_the_host_of_their_tree(fake: Fake) -> None:
    fake.says(200, PROVIDERS)
    fake.says(200, HYPERVISORS)
    found = placement.providers(fake.nova)
    assert found["pf1"] == Provider("pf1", "cmp-2_0000:81:00.0", "r2", "cmp-2") and found["nfs"].host == "" and found["r1"].host == "cmp-1"


def test_what_a_server_holds(fake: Fake) -> None:
    fake.says(200, {"allocations": {"r1": {"resources": {"VCPU": 1, "MEMORY_MB": 64}, "generation": 3}, "nfs": {"resources": {"DISK_GB": 1}}},
                    "project_id": "p", "user_id": "u", "consumer_generation": 1})
    fake.says(200, {"allocations": {}})
    assert placement.held_by(fake.nova, "a1") == {"r1": {"VCPU": 1, "MEMORY_MB": 64}, "nfs": {"DISK_GB": 1}}
    assert placement.held_by(fake.nova, "a2") == {} and fake.asked[1][1] == "/allocations/a2"


def test_capacity_is_what_placement_would_give(fake: Fake) -> None:
    row = {"min_unit": 1, "max_unit": 8, "step_size": 1}
    fake.says(200, {"resource_provider_generation": 3, "inventories": {
        "VCPU": {**row, "total": 8, "reserved": 0, "allocation_ratio": 4.0},
        "MEMORY_MB": {**row, "total": 1024, "reserved": 512, "allocation_ratio": 1.0}}})
    assert placement.capacity_of(fake.nova, "r1") == {"VCPU": 32, "MEMORY_MB": 512}
