"""Where the members of a server group may go, when the scheduler alone cannot tell."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .. import placement
from ..demand import demand_of_group
from ..errors import FORBIDDEN, CloudError, CloudRefused
from ..model import FAILED, Aggregate, Group, Server, Service
from ..nova import Nova
from .limits import MAX_FAILURES
from .scene import HostScene

OPEN_TO_ALL = frozenset(("availability_zone", *MAX_FAILURES))   # keys of an aggregate that keep no server off its hosts
TENANT_KEY, FLAVOR_SCOPE = "filter_tenant_id", "aggregate_instance_extra_specs:"
AGGREGATES_AGE = 30.0    # seconds after which aggregates are read again


@dataclass(frozen=True)
class Place:
    """Where a server goes: `host` None is the scheduler's choice, `force` goes past it. `hindrance`: nowhere now, and why."""

    host: str | None = None
    force: bool = False
    hindrance: str = ""


class Placer:
    """One dead host's server groups. `target` is the host that a person asked for."""

    def __init__(self, nova: Nova, host: str, target: str | None) -> None:
        self.nova, self.host, self.target = nova, host, target
        self._aggregates: Sequence[Aggregate] | None = None    # None: Nova does not tell all of them
        self._aggregates_read = float("-inf")
        self._homes: dict[str, tuple[str, int]] = {}   # of an affinity group, and the highest evacuation when it was chosen
        self._refused: dict[str, set[str]] = {}        # homes where a member failed
        self._one_by_one = threading.Lock()  # two members that are sent at once must not choose two homes

    def place(self, server: Server, scene: HostScene, services: Iterable[Service], failed: frozenset[str] = frozenset()) -> Place:
        """The place of one server, seen as Nova shows it alone. `failed` are the hosts where it has failed. Raises CloudError."""
        if self.target:
            return Place(self.target)
        for group_id in server.groups or ():
            group = self.nova.group(group_id)
            if group and group.policy == "affinity":
                with self._one_by_one:
                    return self._together(server, group, scene, list(services))
            if group and group.policy == "anti-affinity":
                return self._apart(server, group, scene, {s.host for s in services if s.binary == "nova-compute" and s.up and s.enabled})
        return self._elsewhere(server, scene, services, failed | scene.avoid)

    def _elsewhere(self, server: Server, scene: HostScene, services: Iterable[Service], avoid: frozenset[str]) -> Place:
        """A host by name where it has not failed, as long as there is one: the scheduler would choose the emptiest again, and that is
        the one on which everything fails. A named host still passes the scheduler's filters."""
        left = _usable(services, self.host) - avoid - scene.dead_hosts
        if not avoid or not left:
            return Place()
        try:
            room = [host for host in placement.hosts_with_room(self.nova, demand_of_group([server])) if host in left]
        except CloudError:
            return Place(min(left))
        # Where there is no room for it, others' failures elsewhere are no reason to send it there.
        return Place(room[0]) if room else Place()

    def _together(self, server: Server, group: Group, scene: HostScene, services: list[Service]) -> Place:
        """Nova's scheduler pins a hard-affinity group to the hosts of its members: all on the dead one, there is no other for it."""
        here = {s.id: s for s in scene.servers if s.id in group.members and s.host == self.host}
        for member in group.members:
            other = None if member in here else self.nova.server(member)
            if other and other.host and other.host != self.host and other.host in scene.up_hosts:
                return self._at(other.host, server)
        home = self._home_under_way(group, scene) or self._chosen(group, scene)
        if home and home in scene.up_hosts and home not in scene.dead_hosts:
            return self._at(home, server)
        going = [s for s in here.values() if s.id not in scene.rulings or scene.rulings[s.id].protected] or [server]
        usable = _usable(services, self.host)
        room = placement.hosts_with_room(self.nova, demand_of_group(going))
        roomy = [host for host in room if host in usable]
        if not roomy:
            return Place(hindrance=f"no one host has room for the {len(going)} members of its affinity group {group.name}")
        allowed = self._open_to(going, roomy)
        fitting = [host for host in roomy if host in allowed]
        if not fitting:
            return Place(hindrance=self._why_closed(len(going), group))
        refused = self._refused.setdefault(group.id, set())
        if refused.issuperset(fitting):
            refused.clear()
        home = next(host for host in fitting if host not in refused)
        self._homes[group.id] = (home, scene.last_row)
        return Place(home, force=True)

    def _at(self, home: str, server: Server) -> Place:
        """The place with its group. Where the host may be for others the scheduler is asked, and has the last word."""
        return Place(home, force=home in self._open_to([server], [home]))

    def _open_to(self, servers: Iterable[Server], hosts: Iterable[str]) -> frozenset[str]:
        """Return those of the hosts that are known to be open to these servers: past the scheduler no filter keeps a server off
        hosts that are for other projects, flavors or images. Raises CloudError."""
        known = self._known_aggregates()
        if known is None:
            return frozenset()
        found = frozenset(hosts) - _set_apart(known, self.host)
        for one in _needed(known, self.host, list(servers)):
            found &= one.hosts
        return found

    def _known_aggregates(self) -> Sequence[Aggregate] | None:
        """Return Nova's host aggregates, None where it does not show them all. Raises CloudError."""
        if time.monotonic() - self._aggregates_read > AGGREGATES_AGE:
            try:
                found = self.nova.aggregates()
                self._aggregates = None if getattr(found, "unreadable", ()) else found
            except CloudRefused as error:
                if error.status != FORBIDDEN:
                    raise
                self._aggregates = None
            self._aggregates_read = time.monotonic()
        return self._aggregates

    def _why_closed(self, count: int, group: Group) -> str:
        if self._aggregates is None:
            return f"Nova does not show all host aggregates, so no host is known to be for its affinity group {group.name}"
        return f"no host with room for the {count} members of its affinity group {group.name} is known to be for them (host aggregates)"

    def _chosen(self, group: Group, scene: HostScene) -> str | None:
        """The home that was chosen, unless a member failed there and none is on its way to it."""
        home, since = self._homes.get(group.id, (None, 0))
        rows = [row for row in scene.migrations if row.id > since and row.server in group.members]
        if home is None or any(row.in_progress for row in rows) or not any(row.status in FAILED for row in rows):
            return home
        del self._homes[group.id]
        self._refused.setdefault(group.id, set()).add(home)
        return None

    def _home_under_way(self, group: Group, scene: HostScene) -> str | None:
        rows = [row for row in scene.migrations if row.id > scene.baseline and row.server in group.members and row.destination]
        return next((row.destination for row in reversed(rows) if row.in_progress or row.status == "done"), None)

    def _apart(self, server: Server, group: Group, scene: HostScene, hosts: set[str]) -> Place:
        """Whether one of the live `hosts` is left without a member: what the scheduler would refuse is not asked, and named."""
        count: dict[str, int] = {}
        here = {s.id for s in scene.servers if s.host == self.host}
        for member in group.members:
            other = self.nova.server(member) if member not in here and member != server.id else None
            if other and other.host and other.host != self.host:
                count[other.host] = count.get(other.host, 0) + 1
        for row in scene.migrations:
            if row.server in group.members and row.server != server.id and row.in_progress and row.destination:
                count[row.destination] = count.get(row.destination, 0) + 1
        if all(count.get(host, 0) >= group.most for host in hosts):
            return Place(hindrance=f"every live host has a member of its anti-affinity group {group.name}")
        return Place()


def _set_apart(aggregates: Iterable[Aggregate], host: str) -> frozenset[str]:
    """Return the hosts that are in an aggregate which the dead host is not in, and which may be for certain servers only."""
    apart = [one for one in aggregates if host not in one.hosts and {*one.metadata} - OPEN_TO_ALL]
    return frozenset(name for one in apart for name in one.hosts)


def _needed(aggregates: Iterable[Aggregate], host: str, servers: Sequence[Server]) -> list[Aggregate]:
    """Return the aggregates of the dead host that one of the servers may have to stay in, for its flavor or its project."""
    return [one for one in aggregates if host in one.hosts and any(
        _ties(key, value, server) for key, value in one.metadata.items() for server in servers)]


def _ties(key: str, value: str, server: Server) -> bool:
    """Whether an aggregate's pair may be what keeps a server there."""
    if key.startswith(TENANT_KEY):
        return server.project in {name.strip() for name in value.split(",")}
    return key in server.extra_specs or FLAVOR_SCOPE + key in server.extra_specs


def _usable(services: Iterable[Service], host: str) -> set[str]:
    """The hosts that are up, enabled, and in the dead host's zone: a forced evacuation asks no filter for that."""
    computes = [s for s in services if s.binary == "nova-compute"]
    zone = next((s.zone for s in computes if s.host == host), "")
    return {s.host for s in computes if s.up and s.enabled and not s.forced_down and s.zone == zone and s.host != host}

