"""Pure: what fences a host: its power devices, and its fencing levels with fence_nova after them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ..configuration import NAME, Configuration, Level, Resource
from ..fence_agents import Effect, effect_of, proves
from ..model import RECORDERS

FENCE_NOVA = "fence_nova"
OLD = RECORDERS - {FENCE_NOVA}


def host_list(device: Resource) -> list[str]:
    """The nodes in a device's pcmk_host_list."""
    return device.host_list


def host_map(device: Resource) -> dict[str, str]:
    """A device's pcmk_host_map: by node, what it is to the device."""
    return device.host_map


def names_node(device: Resource, node: str) -> bool:
    """Whether a device's pcmk_host_list or pcmk_host_map names a node."""
    return node.lower() in {name.lower() for name in (*host_list(device), *host_map(device))}


def has_list(device: Resource) -> bool:
    """Whether a device says itself which nodes it can fence; else Pacemaker asks it."""
    return bool(device.params.get("pcmk_host_list") or device.params.get("pcmk_host_map"))


def is_for_others(device: Resource, node: str) -> bool:
    """Return whether a device says of itself that it fences other nodes, and not this one."""
    static = device.params.get("pcmk_host_check", "") in ("", "static-list")
    return static and has_list(device) and not names_node(device, node)


def forced(has: Configuration, devices: Iterable[str]) -> tuple[str, ...]:
    """Return the word without which pcs refuses these devices in a level: it does not see that one of a template is a device."""
    known = (has.resources.get(device) for device in devices)
    return ("--force",) if any(one is not None and one.templated for one in known) else ()


def devices_of(has: Configuration, node: str, capable: Mapping[str, Collection[str]]) -> list[str]:
    """The devices that cut a node's power: those that name it; where none does, those that the fencer has said can fence it."""
    devices = [resource for resource in has.resources.values() if resource.device]
    power = [one for one in devices if effect_of(one.type) in (Effect.POWER, Effect.UNKNOWN)]
    named = [device.id for device in power if names_node(device, node)]
    return named or [device.id for device in power if device.id in capable.get(node, ()) and not has_list(device)]


def fencers_of(has: Configuration, nodes: Collection[str],
               capable: Mapping[str, Collection[str]]) -> list[Resource]:
    """Return what Pacemaker has to run somewhere to watch nodes and to fence them: the devices of
    their levels, or those that fence them where they have none, and the remote ones' connections."""
    ids = {name for name in nodes if has.nodes[name].remote}
    for name in nodes:
        levels = best_levels(has, name)
        ids |= {device for level in levels for device in level.devices}
        ids |= set() if levels else {*devices_of(has, name, capable)}
    return [one for one in has.resources.values() if one.id in ids]


def unnamed(has: Configuration) -> list[str]:
    """The nodes that have no levels and that no power device names, so that the fencer has to be asked."""
    return [node for node in sorted(has.nodes) if not has.levels_of(node) and not devices_of(has, node, {})]


def fenced_as_computes(has: Configuration) -> tuple[str, ...]:
    """Return the nodes that are fenced as compute hosts: those with a level that has an agent that
    records fencings, and the remote ones that a device of fence_nova names.

    A pattern may match more than is meant: there the agent says itself whom it is for.
    """
    recorders = [one for one in has.resources.values() if one.device and one.type in RECORDERS]

    def is_recorded(level: Level, node: str) -> bool:
        return any(one.id in level.devices and (level.kind == NAME or not is_for_others(one, node))
                   for one in recorders)

    novas = has.of_type(f"stonith:{FENCE_NOVA}")
    names = {name for device in novas for name in (*host_list(device), *host_map(device))}
    return tuple(sorted(
        name for name, node in has.nodes.items() if (node.remote and name in names)
        or any(is_recorded(one, name) for levels in has.topologies_of(name) for one in levels)))


def types_of(has: Configuration, level: Level) -> list[str]:
    """The fence agents of a level's devices; "" for one that is not there."""
    return [has.agent_of(device) for device in level.devices]


def best_levels(has: Configuration, node: str) -> tuple[Level, ...]:
    """Return the levels of a node: of several lists that may be used, one that is right, else the first."""
    lists = has.topologies_of(node)
    return next((levels for levels in lists if all(is_right(has, level) for level in levels)), has.levels_of(node))


def is_right(has: Configuration, level: Level) -> bool:
    """Whether fence_nova is in a level, after all of its power devices, with no other recorder."""
    types = types_of(has, level)
    powers = [position for position, agent in enumerate(types) if agent not in RECORDERS]
    novas = [position for position, agent in enumerate(types) if agent == FENCE_NOVA]
    ordered = bool(powers and novas) and max(powers) < min(novas)
    return ordered and any(map(proves, types)) and len(powers) + len(novas) == len(types)


def fault_of(has: Configuration, node: str, capable: Mapping[str, Collection[str]], migrate: bool) -> str:
    """Why a node's levels cannot be made right, and what a person has to do; "" when they can, or are."""
    levels = best_levels(has, node)
    for level in levels:
        for device, agent in zip(level.devices, types_of(has, level)):
            if not agent:
                return f"{node}: its fencing level {level.index} names {device}, which is not there: create it, or take it out of the level"
            if device in has.resources and has.resources[device].disabled and agent not in OLD:
                return f"{node}: {device} in its fencing level {level.index} is disabled: pcs stonith enable {device}"
            known = has.resources.get(device)
            if known and proves(agent) and is_for_others(known, node):
                own = ", ".join(devices_of(has, node, capable)) or "the one that cuts its power"
                return (f"{node}: {device} in its fencing level {level.index} fences other nodes: "
                        f"put {own} in its place")
            if agent in OLD and not migrate:
                return f"{node}: {device} in its fencing level {level.index} is {agent}: --migrate puts fence_nova in its place"
        others = [agent for agent in types_of(has, level) if agent not in RECORDERS]
        if others and not any(map(proves, others)):
            return (f"{node}: its fencing level {level.index} has only {others[0]}, which "
                    f"{effect_of(others[0]).value}: put a power device into it, or delete it: "
                    f"pcs stonith level delete {level.index} target {node}")
    if any(proves(agent) for level in levels for agent in types_of(has, level)):
        return ""
    power = devices_of(has, node, capable)
    if not power:
        return (f"{node}: no power device fences it: create one, such as: pcs stonith create fence-{node} fence_ipmilan ip=ADDRESS lanplus=1 "
                f"username=USER password=PASSWORD pcmk_host_list={node}")
    if len(power) > 1:
        both = " ".join(power)
        return (f"{node}: {len(power)} power devices fence it ({', '.join(power)}) and no level says how: where all have to be off (two power "
                f"supplies): pcs stonith level add 1 {node} {both}; where one is enough: each in a level of its own")
    return ""


def wanted_levels(has: Configuration, node: str, capable: Mapping[str, Collection[str]], nova: str) -> tuple[Level, ...]:
    """The levels that a node without a fault is to have, by name: its own with fence_nova (the device `nova` where a level has none) last; those
    without a power device go. The levels it has when they are right, each list of them that Pacemaker may use."""
    levels = best_levels(has, node)
    if levels and all(is_right(has, level) for one in has.topologies_of(node) for level in one):
        return levels
    wanted = []
    for level in levels:
        types = dict(zip(level.devices, types_of(has, level)))
        power = [device for device, agent in types.items() if agent not in RECORDERS]
        own = next((device for device, agent in types.items() if agent == FENCE_NOVA), nova)
        if power:
            wanted.append(Level(level.index, (*power, own), node))
    return tuple(wanted) or (Level(1, (*devices_of(has, node, capable), nova), node),)
