"""Pure: what has to be placed when certain hosts are lost, and where the rules let it go."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..demand import Demand
from ..engine.limits import reserve_for
from ..engine.selection import order_key
from ..model import Aggregate, Group, Server, Service
from .fit import Item, Key, Space, Takes

Offer = Mapping[str, tuple[Takes, ...]]  # the ways to meet a demand, by host


@dataclass(frozen=True)
class Mover:
    """A protected server. `demand` is what its evacuation asks, `keeps` the providers on which it holds something already, `zone` the
    one that it may not leave, `target` the destination of a live migration under way; "" for none. `blind` is what of its needs
    Placement cannot answer for."""

    server: Server
    host: str
    demand: Demand
    keeps: frozenset[str] = frozenset()
    zone: str = ""
    target: str = ""
    blind: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cloud:
    """What is known of the cloud. `groups` are hard server groups by the id of each member, `homes` the hosts of members.
    `bundles` are the demands of affinity groups by group and host. `reserves`: reserved hosts are called."""

    services: Sequence[Service]
    movers: Sequence[Mover]
    offers: Mapping[Demand, Offer]
    free: Mapping[Key, int]
    capacity: Mapping[Key, int]
    aggregates: Sequence[Aggregate] = ()
    groups: Mapping[str, Group] = field(default_factory=dict)
    homes: Mapping[str, str] = field(default_factory=dict)
    bundles: Mapping[tuple[str, str], Demand] = field(default_factory=dict)
    reserves: bool = True

    @property
    def computes(self) -> list[Service]:
        return [s for s in self.services if s.binary == "nova-compute"]


@dataclass(frozen=True)
class Lost:
    """What moves as one. `rule` says where it may only go, "" for no rule; `hosts` are those of them that live. `fixed`: to one certain host."""

    item: Item
    movers: tuple[Mover, ...]
    demand: Demand
    hosts: frozenset[str]
    rule: str = ""
    fixed: bool = False


def called(cloud: Cloud, dead: Iterable[str]) -> list[str]:
    """The reserved hosts that would be enabled: one for each dead host, as reserve.py does it."""
    services, found = list(cloud.services), []
    for host in sorted(dead) if cloud.reserves else []:
        own = next((s for s in services if s.binary == "nova-compute" and s.host == host), None)
        spare = reserve_for(own, [s for s in services if s.host not in dead], cloud.aggregates) if own else None
        if spare:
            found.append(spare.host)
            services = [replace(s, enabled=True) if s is spare else s for s in services]
    return found


def takers(cloud: Cloud, dead: frozenset[str]) -> frozenset[str]:
    """The compute hosts that could take something when these are dead."""
    extra = set(called(cloud, dead))
    return frozenset(s.host for s in cloud.computes
                     if s.up and not s.forced_down and s.host not in dead and (s.enabled or s.host in extra))


def lost(cloud: Cloud, dead: frozenset[str]) -> list[Lost]:
    """What the death of these hosts leaves to be placed, in the order of evacuation."""
    live, found = takers(cloud, dead), []
    bundled: set[str] = set()
    for mover in _in_order(cloud, dead):
        if mover.server.id in bundled:
            continue
        group = cloud.groups.get(mover.server.id)
        if group and group.policy == "affinity":
            part = _together(cloud, mover, group, dead, live)
            bundled |= {m.server.id for m in part.movers}
        else:
            part = _alone(cloud, mover, group, dead, live)
        found.append(part)
    return found


def _in_order(cloud: Cloud, dead: frozenset[str]) -> list[Mover]:
    """Return what moves from these hosts, in the order in which it is evacuated."""
    return sorted((m for m in cloud.movers if m.host in dead), key=lambda m: order_key(m.server))


def living(cloud: Cloud, without: Collection[str]) -> int:
    """Return how many compute hosts take evacuations when those are lost."""
    return sum(1 for one in cloud.services if one.binary == "nova-compute" and one.up and one.enabled and one.host not in without)


def space(cloud: Cloud) -> Space:
    """What is left of the cloud before anything is placed."""
    members: dict[tuple[str, str], int] = {}
    for server, host in cloud.homes.items():
        group = cloud.groups.get(server)
        if group:
            members[group.id, host] = members.get((group.id, host), 0) + 1
    return Space(cloud.free, cloud.capacity, members)


def _alone(cloud: Cloud, mover: Mover, group: Group | None, dead: frozenset[str], live: frozenset[str]) -> Lost:
    hosts, rules = live, []
    if mover.target and mover.target not in dead:
        hosts &= {mover.target}
        rules.append(f"its live migration's destination {mover.target}")
    if mover.zone:
        hosts &= {s.host for s in cloud.computes if s.zone == mover.zone}
        rules.append(f"hosts of its zone {mover.zone}")
    apart = group if group and group.policy == "anti-affinity" else None
    item = Item(mover.server.id, _ways(cloud, mover.demand, hosts), mover.keeps, apart)
    return Lost(item, (mover,), mover.demand, hosts, " and ".join(rules),
                bool(mover.target))


def _together(cloud: Cloud, mover: Mover, group: Group, dead: frozenset[str], live: frozenset[str]) -> Lost:
    """A hard-affinity group: to its members that live, if there are any; else all of it to one host, which placing.py chooses in
    the zone of the dead one."""
    home = next((host for other in group.members if (host := cloud.homes.get(other)) and host not in dead
                 and any(s.host == host and s.up for s in cloud.computes)), None)
    if home:
        hosts = frozenset((home,))
        rule = f"{home}, where others of its affinity group {group.name} are"
        return Lost(Item(mover.server.id, _ways(cloud, mover.demand, hosts), mover.keeps), (mover,), mover.demand, hosts, rule, True)
    family = tuple(m for m in _in_order(cloud, dead) if m.host == mover.host and cloud.groups.get(m.server.id) == group)
    demand = cloud.bundles[group.id, mover.host]
    zone = next((s.zone for s in cloud.computes if s.host == mover.host), "")
    hosts = live & {s.host for s in cloud.computes if s.zone == zone}
    rule = f"one host of the zone {zone}, with all {len(family)} of its affinity group {group.name}"
    return Lost(Item(mover.server.id, _ways(cloud, demand, hosts), frozenset()), family, demand, hosts, rule)


def _ways(cloud: Cloud, demand: Demand, hosts: frozenset[str]) -> dict[str, tuple[Takes, ...]]:
    return {host: ways for host, ways in cloud.offers.get(demand, {}).items() if host in hosts}
