"""Reading what a loss of hosts would need and what the others have: Nova's servers, groups and zones, and Placement's answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from .. import placement
from ..demand import Amounts, Ask, Demand, blind_spots, demand_of, demand_of_group
from ..engine.states import MOVING, state_of
from ..errors import CloudUnreachable
from ..model import Aggregate, Group, Provider, Server, Service
from ..nova import Nova
from ..placement import Candidates
from .fit import Key, Takes, amount_of
from .loss import Cloud, Lost, Mover, Offer

READERS = 8    # requests to Placement at once
HARD = ("affinity", "anti-affinity")
UNHELD = "what it takes (Placement holds nothing for it, its flavor was counted)"
UNREAD = "what its image asks (Glance does not tell)"
UNSEEN = "where a member of its group is (Nova does not show it)"
UNPINNED = "whether it may leave its zone (this Nova does not tell; counted as not)"
FEW = 8        # questions about single servers that may stay without an answer
CUT = "some of the hosts that have room (more ways than can be asked for)"
Result = TypeVar("Result")


class Survey:
    """One look at a cloud. `servers` are the protected ones that would be evacuated, by their host. Raises CloudError."""

    def __init__(self, nova: Nova, services: Sequence[Service], aggregates: Sequence[Aggregate], servers: Mapping[str, Sequence[Server]],
                 reserves: bool) -> None:
        self.nova = nova
        self._asked: dict[Demand, Candidates] = {}
        self._providers = placement.providers(nova)
        self._silent = 0
        groups = {member: group for group in nova.groups() if group.policy in HARD for member in group.members}
        movers = self._movers(services, servers)
        homes = self._homes(movers, groups)
        unseen = {group.id for group in groups.values() if not {*group.members} <= homes.keys()}
        movers = [replace(one, blind=(*one.blind, UNSEEN)) if one.server.id in groups and groups[one.server.id].id in unseen else one
                  for one in movers]
        bundles = _bundles(movers, groups)
        found = self._each(self._candidates, {*bundles.values(), *(mover.demand for mover in movers)})
        self.cloud = Cloud(
            services, movers, {demand: self._offer(answer) for demand, answer in found.items()},
            {key: amount for answer in found.values() for key, amount in answer.free.items()},
            {key: amount for answer in found.values() for key, amount in answer.capacity.items()},
            aggregates, groups, {key: host for key, host in homes.items() if host}, bundles, reserves)

    def why_nowhere(self, one: Lost) -> str:
        """Why no host may take it, however much the others leave: a rule, a trait, or a lack of room. Asks Placement again."""
        if not one.hosts:
            return f"it may only go to {one.rule}, and none is up and enabled" if one.rule else "no host is left that is up and enabled"
        nobody = f"it may only go to {one.rule}, and none that lives" if one.rule else "no live host"
        refused = self._candidates(one.demand).refused
        if refused:
            return f"Placement refuses what it asks: {refused}"
        bare = one.demand.without_traits()
        if one.demand.traits and self._hosts(bare) & one.hosts:
            return f"{nobody} with room for it has the traits {', '.join(one.demand.traits)}"
        for resource, amount in bare.amounts.items():
            if not self._hosts(Demand(Ask(((resource, amount),)))) & one.hosts:
                return f"{nobody} has {amount_of(resource, amount)} free"
        amounts = ", ".join(amount_of(resource, amount) for resource, amount in bare.amounts.items())
        return f"{nobody} has {amounts} free at once"

    def largest(self, hosts: Iterable[str]) -> tuple[str, dict[str, int]]:
        """The host with the most memory, and its capacity by resource class, empty. ("", {}) for none."""
        wanted = set(hosts)
        roots = sorted(p.id for p in self._providers.values() if p.host in wanted and p.root == p.id)
        sizes = self._each(lambda root: placement.capacity_of(self.nova, root), roots)
        best = max(roots, key=lambda root: sizes[root].get("MEMORY_MB", 0), default="")
        return (self._providers[best].host, sizes[best]) if best else ("", {})

    def _movers(self, services: Sequence[Service], servers: Mapping[str, Sequence[Server]]) -> list[Mover]:
        everyone = [server for host in sorted(servers) for server in servers[host]]
        held = self._those_told(lambda server: placement.held_by(self.nova, server), [server.id for server in everyone])
        images = self._those_told(self.nova.image_properties, {server.image for server in everyone if server.image})
        zones = {s.host: s.zone for s in services if s.binary == "nova-compute"}
        found = []
        for host in sorted(servers):
            pinned = self.nova.pinned_zones(host) if len(set(zones.values())) > 1 and servers[host] else {}
            moving = _moving(self.nova, host, servers[host])
            for server in servers[host]:
                image, own = images.get(server.image, {}), held.get(server.id, {})
                demand = demand_of(server, own, self._providers, image)
                unread = (UNREAD,) if server.image and server.image not in images else ()
                blind = (*blind_spots(server, image), *unread, *(() if _known(own, self._providers, host) else (UNHELD,)),
                         *((UNPINNED,) if pinned is None else ()))
                zone = zones.get(host, "") if pinned is None else pinned.get(server.id, "")
                found.append(Mover(server, host, demand, frozenset(own), zone, moving.get(server.id, ""), blind))
        return found

    def _homes(self, movers: Iterable[Mover], groups: Mapping[str, Group]) -> dict[str, str]:
        """Where the members of the servers' groups are, "" for nowhere. One that Nova does not show is not among them."""
        homes = {mover.server.id: mover.host for mover in movers if mover.server.id in groups}
        others = {member for key in homes for member in groups[key].members} - set(homes)
        found = self._those_told(self.nova.server, sorted(others))
        return {**homes, **{key: (server.host if server else None) or "" for key, server in found.items()}}

    def _candidates(self, demand: Demand) -> Candidates:
        if demand not in self._asked:
            self._asked[demand] = placement.candidates(self.nova, demand)
        return self._asked[demand]

    def _hosts(self, demand: Demand) -> set[str]:
        return set(self._offer(self._candidates(demand)))

    def _offer(self, answer: Candidates) -> Offer:
        """The ways by host. A way that takes from shared providers too is its tree's."""
        found: dict[str, list[Takes]] = {}
        for way in answer.ways:
            host = next((host for provider, _ in way if (host := self._host(answer.roots[provider]))), "")
            if host:
                takes: tuple[tuple[Key, int], ...] = tuple(sorted(way.items()))
                found.setdefault(host, []).append(takes)
        return {host: tuple(sorted(ways)) for host, ways in found.items()}

    def _host(self, provider: str) -> str:
        known = self._providers.get(provider)
        return known.host if known else ""

    def _each(self, ask: Callable[[Any], Result], keys: Iterable[Any]) -> dict[Any, Result]:
        """The answers, by key; several are asked at once."""
        keys = list(keys)
        with ThreadPoolExecutor(READERS) as pool:
            return dict(zip(keys, pool.map(ask, keys)))

    def _those_told(self, ask: Callable[[Any], Result], keys: Iterable[Any]) -> dict[Any, Result]:
        """The same, without those of which no answer comes: one server that cannot be looked at leaves the others to be planned.
        Raises CloudUnreachable where these are more than FEW."""
        def told(key: Any) -> list[Result]:
            try:
                return [ask(key)]
            except CloudUnreachable:
                self._silent += 1
                if self._silent > FEW:
                    raise
                return []

        return {key: answer[0] for key, answer in self._each(told, keys).items() if answer}

    @property
    def cut(self) -> bool:
        """Whether an answer of Placement was too long to be had whole."""
        return any(answer.cut for answer in self._asked.values())


def _known(held: Mapping[str, Amounts], providers: Mapping[str, Provider], host: str) -> bool:
    return any(provider in providers and providers[provider].host == host for provider in held)


def _moving(nova: Nova, host: str, servers: Iterable[Server]) -> dict[str, str]:
    """The destinations of the live migrations under way, by server."""
    if not any(state_of(server).was == MOVING for server in servers):
        return {}
    return {row.server: row.destination for row in nova.live_migrations(host) if row.in_progress and row.destination}


def _bundles(movers: Iterable[Mover], groups: Mapping[str, Group]) -> dict[tuple[str, str], Demand]:
    """What each hard-affinity group asks, by the host on which its members are."""
    families: dict[tuple[str, str], list[Server]] = {}
    for mover in movers:
        group = groups.get(mover.server.id)
        if group and group.policy == "affinity":
            families.setdefault((group.id, mover.host), []).append(mover.server)
    return {key: demand_of_group(family) for key, family in families.items()}
