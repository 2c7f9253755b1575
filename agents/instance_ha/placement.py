"""What Placement is asked, through Nova's door. Every verb raises CloudUnreachable or CloudRefused."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .answers import one_line
from .demand import Amounts, Ask, Demand
from .errors import BAD_REQUEST, CloudRefused, CloudUnreachable
from .model import Provider
from .nova import Nova

MOST_CANDIDATES = 10000   # of one answer; with nested providers a host has many


@dataclass(frozen=True)
class Candidates:
    """The ways to meet a demand now: for each what it takes, by provider and resource class; and of every provider in a tree
    with such a way the capacity and what is free of each class, and its root. `cut`: there are more than MOST_CANDIDATES. `refused`: it
    asks something that this Placement does not even know, such as a trait, in its words; Nova gets the same answer, and finds no host."""

    ways: tuple[Mapping[tuple[str, str], int], ...]
    capacity: Mapping[tuple[str, str], int]
    free: Mapping[tuple[str, str], int]
    roots: Mapping[str, str]
    cut: bool = False
    refused: str = ""


def candidates(nova: Nova, demand: Demand) -> Candidates:
    """GET /allocation_candidates: where this could be placed if it came now, alone."""
    query = {**_group(demand.first, ""), "limit": str(MOST_CANDIDATES)}
    for number, ask in enumerate(demand.others, 1):
        query.update(_group(ask, str(number)))
    if len(demand.others) > 1:
        query["group_policy"] = "isolate" if demand.isolate else "none"
    try:
        requests, summaries = nova.ask_placement("/allocation_candidates", query, "allocation_requests", "provider_summaries")
    except CloudRefused as error:
        if error.status != BAD_REQUEST:
            raise
        return Candidates((), {}, {}, {}, refused=str(error))
    with _read("allocation candidates"):
        stock = {(provider, name): row for provider, summary in summaries.items() for name, row in summary["resources"].items()}
        return Candidates(
            tuple({(provider, name): _whole(amount) for provider, part in request["allocations"].items()
                   for name, amount in part["resources"].items()} for request in requests),
            {key: _whole(row["capacity"]) for key, row in stock.items()},
            {key: _whole(row["capacity"]) - _whole(row["used"]) for key, row in stock.items()},
            {provider: _name(summary["root_provider_uuid"]) for provider, summary in summaries.items()}, len(requests) >= MOST_CANDIDATES)


def hosts_with_room(nova: Nova, demand: Demand) -> list[str]:
    """The compute hosts that could take this now, alone."""
    found, nodes = candidates(nova, demand), nova.compute_nodes()
    with _read("allocation candidates"):
        return sorted({nodes[root] for way in found.ways for provider, _ in way if (root := found.roots[provider]) in nodes})


def providers(nova: Nova) -> dict[str, Provider]:
    """Every resource provider, by its id (GET /resource_providers)."""
    [rows] = nova.ask_placement("/resource_providers", {}, "resource_providers")
    nodes = nova.compute_nodes()
    with _read("resource providers"):
        found = [Provider(_name(row["uuid"]), _name(row["name"]), _name(row["root_provider_uuid"]), nodes.get(row["root_provider_uuid"], ""))
                 for row in rows]
    return {one.id: one for one in found}


def held_by(nova: Nova, consumer: str) -> dict[str, Amounts]:
    """What a server holds, by provider (GET /allocations/{consumer}); {} for nothing."""
    [rows] = nova.ask_placement(f"/allocations/{consumer}", {}, "allocations")
    with _read("allocations"):
        return {provider: {name: _whole(amount) for name, amount in part["resources"].items()} for provider, part in rows.items()}


def capacity_of(nova: Nova, provider: str) -> dict[str, int]:
    """What a provider has for servers altogether, by resource class (its inventories)."""
    [rows] = nova.ask_placement(f"/resource_providers/{provider}/inventories", {}, "inventories")
    with _read("inventories"):
        return {name: int((row["total"] - row["reserved"]) * row["allocation_ratio"]) for name, row in rows.items()}


@contextlib.contextmanager
def _read(what: str) -> Iterator[None]:
    """Placement's figures count together: where one cannot be read, none is known, and it is CloudUnreachable."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise CloudUnreachable(f"the {what} in Placement's answer cannot be read: {one_line(error)}") from None


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"an amount is a {type(value).__name__}")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"an id is a {type(value).__name__}")
    return value


def _group(ask: Ask, suffix: str) -> dict[str, str]:
    query = {f"resources{suffix}": ",".join(f"{name}:{amount}" for name, amount in ask.amounts)} if ask.amounts else {}
    if ask.traits:
        query[f"required{suffix}"] = ",".join(ask.traits)
    return query
