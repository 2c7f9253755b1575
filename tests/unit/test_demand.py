"""What the evacuation of a server asks of Placement."""

from __future__ import annotations

import pytest
from instance_ha.demand import Ask, Demand, blind_spots, demand_of, demand_of_group
from instance_ha.model import Provider

from tests.unit.test_model import server

PROVIDERS = {p.id: p for p in (
    Provider("r1", "cmp-1", "r1", "cmp-1"), Provider("pf0", "cmp-1_0000:81:00.0", "r1", "cmp-1"), Provider("nic", "cmp-1:agent:br0", "r1", "cmp-1"),
    Provider("r2", "cmp-2", "r2", "cmp-2"), Provider("nfs", "nfs", "nfs"))}
PLAIN = {"r1": {"VCPU": 1, "MEMORY_MB": 64, "DISK_GB": 1}}
BASE = (("DISK_GB", 1), ("MEMORY_MB", 64), ("VCPU", 1))


@pytest.mark.parametrize(("held", "demand"), [
    (PLAIN, Demand(Ask(BASE))),
    # A volume is no disk of the host; and what was left behind on a destination that died is none of its needs.
    ({"r1": {"VCPU": 1, "MEMORY_MB": 64}, "r2": PLAIN["r1"]}, Demand(Ask(BASE[1:]))),
    ({"r1": {"VCPU": 1, "MEMORY_MB": 64}, "nfs": {"DISK_GB": 1}}, Demand(Ask(BASE))),
    # Two devices and a port's bandwidth: each child's from one child again.
    ({**PLAIN, "pf0": {"CUSTOM_PCI_8086_1572": 2}, "nic": {"NET_BW_EGR_KILOBIT_PER_SEC": 100}},
     Demand(Ask(BASE), (Ask((("NET_BW_EGR_KILOBIT_PER_SEC", 100),)), Ask((("CUSTOM_PCI_8086_1572", 2),))))),
    # Placement holds nothing on its host: what its flavor says.
    ({}, Demand(Ask((("DISK_GB", 20), ("MEMORY_MB", 4096), ("VCPU", 2))))),
    ({"r2": PLAIN["r1"], "gone": {"VCPU": 9}}, Demand(Ask((("DISK_GB", 20), ("MEMORY_MB", 4096), ("VCPU", 2))))),
])
def test_what_it_holds_is_what_it_needs(held: dict[str, dict[str, int]], demand: Demand) -> None:
    assert demand_of(server(size=(2, 4096, 20)), held, PROVIDERS, {}) == demand


def test_traits_of_the_flavor_and_of_the_image() -> None:
    specs = {"trait:CUSTOM_SSD": "required", "trait:CUSTOM_OLD": "forbidden", "trait:CUSTOM_ODD": "perhaps", "resources:VCPU": "1"}
    demand = demand_of(server(extra_specs=specs), PLAIN, PROVIDERS, {"trait:HW_CPU_X86_AVX": "required", "trait:CUSTOM_X": "no", "os_type": "linux"})
    assert demand == Demand(Ask(BASE, ("!CUSTOM_OLD", "CUSTOM_SSD", "HW_CPU_X86_AVX")))
    assert demand.traits == ("!CUSTOM_OLD", "CUSTOM_SSD", "HW_CPU_X86_AVX") and demand.without_traits() == Demand(Ask(BASE))


def test_groups_that_the_flavor_names_keep_their_traits() -> None:
    specs = {"resources1:CUSTOM_PCI_8086_1572": "1", "trait1:CUSTOM_FAST": "required", "resources2:CUSTOM_PCI_8086_1572": "1",
             "group_policy": "isolate"}
    demand = demand_of(server(extra_specs=specs), {**PLAIN, "pf0": {"CUSTOM_PCI_8086_1572": 2}}, PROVIDERS, {})
    one = (("CUSTOM_PCI_8086_1572", 1),)
    assert demand == Demand(Ask(BASE), (Ask(one, ("CUSTOM_FAST",)), Ask(one)), isolate=True)
    assert demand.amounts == {**PLAIN["r1"], "CUSTOM_PCI_8086_1572": 2}


def test_a_group_is_its_flavors_sum_with_all_traits() -> None:
    family = [server(size=(1, 64, 1), extra_specs={"trait:CUSTOM_SSD": "required"}), server(size=(2, 512, 0))]
    assert demand_of_group(family) == Demand(Ask((("DISK_GB", 1), ("MEMORY_MB", 576), ("VCPU", 3)), ("CUSTOM_SSD",)))


@pytest.mark.parametrize(("specs", "image", "spots"), [
    ({"trait:CUSTOM_SSD": "required", "evacuable": "true"}, {"hw_disk_bus": "virtio"}, ()),
    ({"hw:numa_nodes": "2", "hw:cpu_policy": "dedicated"}, {}, ("NUMA", "pinned CPUs")),
    ({"pci_passthrough:alias": "gpu:1"}, {"hw_mem_page_size": "large"}, ("NUMA", "PCI devices")),
    ({"aggregate_instance_extra_specs:ssd": "true"}, {}, ("a scheduler filter",)),
])
def test_what_placement_cannot_know_of_it(specs: dict[str, str], image: dict[str, str], spots: tuple[str, ...]) -> None:
    assert blind_spots(server(extra_specs=specs), image) == spots
