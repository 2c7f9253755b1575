"""Pure: what the checks of Pacemaker look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..configuration import REMOTE, Configuration, Level, Node, Resource
from ..configuring.banned import is_banned, is_left_out
from ..configuring.powering import FENCE_NOVA, fenced_as_computes, has_list, host_list, host_map, names_node
from ..configuring.provisioning import NOVA_EVACUATE, is_converged, is_nova_compute
from ..fence_agents import Effect, effect_of
from ..model import HELD, RECORD, ClusterView, FenceEvent
from ..properties import FENCING_TIMEOUT
from ..standing import Standing
from ..values import boolean, seconds

# Node attributes that say how a node is at the moment, and not what kind of node it is.
STATES = frozenset(("standby", "maintenance", "terminate", "shutdown"))
STATIC = ("", "static-list")
ACTION_TIMEOUT = 20.0      # Pacemaker's own, where an action has none
DEFAULT_TIMEOUT = 60.0     # the same of fencing-timeout (stonith-timeout before 3.0.2)


@dataclass(frozen=True)
class Scene:
    """`computes` are the nodes that are compute hosts. `standing`, the fencings of each of them (`events`, newest first), the devices
    that the fencer says can fence it (`capable`, only where the configuration alone does not tell), and the nodes that could not run the
    worker's agent, with the reason (`unable`), are None and empty where they were not read."""

    has: Configuration
    view: ClusterView
    computes: tuple[str, ...]
    standing: Standing | None = None
    events: Mapping[str, list[FenceEvent]] = field(default_factory=dict)
    capable: Mapping[str, frozenset[str]] = field(default_factory=dict)
    unable: Mapping[str, str] = field(default_factory=dict)

    @property
    def recorders(self) -> list[Resource]:
        """The devices of fence_nova."""
        return self.has.of_type(f"stonith:{FENCE_NOVA}")

    @property
    def workers(self) -> list[Resource]:
        return self.has.of_type(NOVA_EVACUATE)

    @property
    def powers(self) -> list[Resource]:
        """The devices that cut a node's power, and those of agents that are not known."""
        devices = [resource for resource in self.has.resources.values() if resource.device]
        return [one for one in devices if effect_of(one.type) in (Effect.POWER, Effect.UNKNOWN)]

    @property
    def fencers(self) -> list[Resource]:
        """The devices that Pacemaker may fence a controller with, which runs no guests."""
        devices = [resource for resource in self.has.resources.values() if resource.device]
        no_fencing = (Effect.RECORD, Effect.NOTHING)
        return [one for one in devices if effect_of(one.type) not in no_fencing]

    @property
    def nova_computes(self) -> list[Resource]:
        """What starts nova-compute."""
        return [resource for resource in self.has.resources.values() if is_nova_compute(resource)]

    @property
    def used(self) -> list[Resource]:
        """The devices in the levels of compute hosts."""
        ids = {device for name in self.computes for level in self.levels(name) for device in level.devices}
        return [resource for resource in self.has.resources.values() if resource.device and resource.id in ids]

    @property
    def members(self) -> list[str]:
        """The compute hosts that are full members."""
        return [name for name in self.computes if not self.has.nodes[name].remote]

    @property
    def converged(self) -> bool:
        """Whether every member is a compute host, so that the worker runs beside servers."""
        return is_converged(self.has, self.computes)

    @property
    def apart(self) -> list[str]:
        """The compute hosts that NovaEvacuate stays off."""
        return [name for name in self.computes if not self.converged or self.has.nodes[name].remote]

    @property
    def remotes(self) -> list[Resource]:
        """The connections to compute hosts."""
        found = [self.has.resources[name] for name in self.computes if name in self.has.resources]
        return [resource for resource in found if resource.agent == REMOTE]

    def levels(self, node: str) -> tuple[Level, ...]:
        return self.has.levels_of(node)

    def type_of(self, device: str) -> str:
        """The agent of a device, "" when there is no such device."""
        return self.has.agent_of(device)

    def is_state(self, attribute: str) -> bool:
        """Return whether an attribute is a node's state: standby, a fencing record and the like."""
        agents = (*self.recorders, *self.workers)
        records = {RECORD, *(one.params.get("evacuate_attribute") or RECORD for one in agents)}
        states = {*STATES, *records, *map(HELD.format, records)}
        return attribute in states or attribute.startswith("#")

    def stateless(self, name: str) -> Node:
        """Return a node without the attributes that are its state."""
        node = self.has.nodes[name]
        kept = {word: value for word, value in node.attributes.items() if not self.is_state(word)}
        return replace(node, attributes=kept)

    def open_to(self, resource: Resource, nodes: Sequence[str]) -> list[str]:
        """Return the nodes that no constraint keeps a resource off, whatever their state is."""
        return [name for name in nodes if not is_banned(self.has, resource, self.stateless(name))]

    def left_out(self, resource: Resource, nodes: Sequence[str]) -> list[str]:
        """Return the nodes that a resource may not run on since nothing says that it may."""
        return [name for name in nodes if is_left_out(self.has, resource, self.stateless(name))]

    def nowhere(self, resource: Resource, nodes: Sequence[str]) -> bool:
        """Return whether a resource may run on none of these nodes, in a cluster in which it has to be said where."""
        opt_in = not self.has.properties.is_true("symmetric-cluster")
        return opt_in and bool(nodes) and not self.open_to(resource, nodes)

    @property
    def controllers(self) -> list[str]:
        """The members on which NovaEvacuate and fence_nova may run."""
        return [name for name, node in self.has.nodes.items() if not node.remote and (self.converged or name not in self.computes)]

    def off_timeout(self, device: Resource) -> float:
        """How long Pacemaker waits for its off, in seconds."""
        own = device.params.get("pcmk_off_timeout")
        return seconds(own or self.has.properties.value(FENCING_TIMEOUT)) or DEFAULT_TIMEOUT

    def covers(self, device: Resource, node: str) -> bool | None:
        """Whether a device fences a node; None where only the device itself knows, and the fencer was not asked."""
        check = device.params.get("pcmk_host_check", "")
        if check == "none":
            return True
        if has_list(device) and check in STATIC:
            return names_node(device, node)
        return device.id in self.capable[node] if node in self.capable else None


def guessed(has: Configuration) -> tuple[str, ...]:
    """The nodes that are taken for compute hosts where Nova does not tell: those, and every remote one."""
    return tuple(sorted({*fenced_as_computes(has), *(name for name, node in has.nodes.items() if node.remote and not node.guest)}))


def listed(device: Resource) -> list[str]:
    """The nodes that a device names, each once."""
    return list(dict.fromkeys((*host_list(device), *host_map(device))))


def option(resource: Resource, action: str, name: str) -> float | None:
    """A time that an action of a resource has been given, in seconds."""
    return resource.time(action, name)


def is_watched(resource: Resource) -> bool:
    """Whether it has a recurring monitor."""
    return bool(option(resource, "monitor", "interval"))


def is_set(values: Mapping[str, str], name: str, default: str = "false") -> bool:
    """Return True if a meta attribute or an attribute of a node is true, as Pacemaker reads it."""
    return boolean(values.get(name) or default) is True
