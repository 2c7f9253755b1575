"""Pure: what the evacuation of a server asks of Placement, and what of it Placement cannot know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .model import Provider, Server

Amounts = Mapping[str, int]
BASIC = ("VCPU", "MEMORY_MB", "DISK_GB")                   # the classes of Server.size, in its order
FORBIDDEN = "!"
_GRANULAR = re.compile(r"(resources|trait)([A-Za-z0-9_-]*):(.+)")
_BLIND = {  # beginnings of flavor keys and image properties -> what they make the scheduler look at besides Placement
    "hw:numa": "NUMA", "hw_numa": "NUMA", "hw:mem_page_size": "NUMA", "hw_mem_page_size": "NUMA",
    "hw:cpu_policy": "pinned CPUs", "hw_cpu_policy": "pinned CPUs", "hw:cpu_realtime": "pinned CPUs",
    "pci_passthrough:alias": "PCI devices", "hw:pci_numa_affinity_policy": "NUMA", "hw_pci_numa_affinity_policy": "NUMA",
    "accel:device_profile": "accelerators", "hw:tpm": "TPM", "hw_tpm": "TPM", "hw:mem_encryption": "memory encryption",
    "hw_mem_encryption": "memory encryption",
    "aggregate_instance_extra_specs:": "a scheduler filter", "capabilities:": "a scheduler filter",
}


@dataclass(frozen=True)
class Ask:
    """One group of a request: amounts by resource class, and traits; one that is forbidden begins with "!"."""

    amounts: tuple[tuple[str, int], ...]
    traits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Demand:
    """A request for allocation candidates. What the first group asks may come from several providers of a host; what each of
    the others asks comes from one. `isolate`: each of those from another one."""

    first: Ask
    others: tuple[Ask, ...] = ()
    isolate: bool = False

    @property
    def traits(self) -> tuple[str, ...]:
        """All traits of all groups."""
        return tuple(sorted({trait for ask in (self.first, *self.others) for trait in ask.traits}))

    @property
    def amounts(self) -> dict[str, int]:
        """What it takes altogether."""
        return _sum(dict(ask.amounts) for ask in (self.first, *self.others))

    def without_traits(self) -> Demand:
        return Demand(Ask(self.first.amounts), tuple(Ask(ask.amounts) for ask in self.others), self.isolate)


def demand_of(server: Server, held: Mapping[str, Amounts], providers: Mapping[str, Provider], image: Mapping[str, Any]) -> Demand:
    """What Nova would ask for the server. `held` is its allocation, by provider: what it holds on its own host and on shared
    providers is what it needs. `image` is Glance's view of its image, {} for none.

    What one child provider gives it now has to come from one child provider again; of groups that its flavor names, the traits
    count too.
    """
    own = {key: dict(amounts) for key, amounts in held.items() if key in providers and providers[key].host in (server.host, "")}
    specs = _granular(server.extra_specs)
    traits = [*specs.pop("", {}).get("trait", []), *(key[len("trait:"):] for key, word in image.items()
                                                     if key.startswith("trait:") and word == "required")]
    if not own:
        return Demand(_ask(_of_flavor([server]), traits))
    others = []
    for _, group in sorted(specs.items()):
        wanted = {key: int(amount) for key, amount in group.get("resources", [])}
        giver = next((amounts for amounts in own.values() if wanted and all(amounts.get(k, 0) >= n for k, n in wanted.items())), None)
        if giver is not None:
            others.append(_ask(wanted, group.get("trait", [])))
            for key, amount in wanted.items():
                giver[key] -= amount
    children = [key for key in sorted(own) if providers[key].root != key and providers[key].host and any(own[key].values())]
    rest = _sum(amounts for key, amounts in own.items() if key not in children)
    return Demand(_ask(rest, traits), (*others, *(_ask(own[key], []) for key in children)),
                  server.extra_specs.get("group_policy") == "isolate")


def demand_of_group(servers: Iterable[Server]) -> Demand:
    """What is asked for a hard-affinity group, which moves to one host, past the scheduler (placing.py): the flavors' sum, at once."""
    servers = list(servers)
    return Demand(_ask(_of_flavor(servers), [trait for server in servers for trait in _granular(server.extra_specs).get("", {}).get("trait", [])]))


def blind_spots(server: Server, image: Mapping[str, Any]) -> tuple[str, ...]:
    """What the server needs, by its flavor and image, that Placement cannot answer for."""
    found = {what for key in (*server.extra_specs, *image) for start, what in _BLIND.items() if key.startswith(start)}
    return tuple(sorted(found))


def _granular(extra_specs: Mapping[str, str]) -> dict[str, dict[str, list[Any]]]:
    """The resources and traits that a flavor names, by the suffix of their group."""
    found: dict[str, dict[str, list[Any]]] = {}
    for key, value in extra_specs.items():
        match = _GRANULAR.fullmatch(key)
        if not match:
            continue
        kind, suffix, name = match.groups()
        if kind == "resources" and value.isdigit() and int(value):
            found.setdefault(suffix, {}).setdefault(kind, []).append((name, value))
        elif kind == "trait" and value in ("required", "forbidden"):
            found.setdefault(suffix, {}).setdefault(kind, []).append(("" if value == "required" else FORBIDDEN) + name)
    return found


def _of_flavor(servers: Iterable[Server]) -> dict[str, int]:
    return _sum(dict(zip(BASIC, server.size)) for server in servers)


def _sum(many: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for amounts in many:
        for key, amount in amounts.items():
            total[key] = total.get(key, 0) + amount
    return total


def _ask(amounts: Mapping[str, int], traits: Iterable[str]) -> Ask:
    return Ask(tuple(sorted((key, amount) for key, amount in amounts.items() if amount)), tuple(sorted(set(traits))))
