"""Pure: the fencing levels of compute hosts, and the devices in them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..configuration import ATTRIBUTE, NAME, PATTERN, Configuration, Level, Resource
from ..configuring.changes import SetProperties
from ..configuring.powering import best_levels, forced, host_list, host_map, names_node
from ..engine.naming import crossed_with
from ..fence_agents import Effect, effect_of, level_fault, proves
from ..model import RECORDERS
from ..properties import FENCING_TIMEOUT
from ..values import seconds
from .finding import Finding, Mend, by, operation, param, some, start, to_do
from .scene import Scene, is_watched, listed
from .worker import SEE_CONSTRAINTS, let_run, one_controller

FILE = "/root/instance-ha-levels.xml"   # the CIB holds passwords, and nobody else reads there
BEFORE = "/root/instance-ha-before.xml"
WRITES = 10.0                           # seconds that fence_nova may take besides Nova: to read and write the CIB
NOVA_TIMEOUT = 10.0                     # fence_nova's own
_TARGET = {NAME: "{}:", PATTERN: "pattern:{}", ATTRIBUTE: "attr:{}"}
Levels = tuple[tuple[str, ...], ...]    # the devices of each


def check(scene: Scene) -> Iterator[Finding]:
    """All of them."""
    faults = {node: fault for node in scene.computes if (fault := _fault(scene, node))}
    wanted = {node: levels for node in faults if (levels := _proposed(scene, node))}
    for node, (kind, what) in faults.items():
        yield Finding(kind, node, what, _replace(scene, node, wanted) if node in wanted else _no_device(scene, node))
    yield from _controllers(scene)
    yield from _absent(scene)
    yield from _crossed(scene)
    for device in scene.used:
        yield from _device(scene, device)
        yield from one_controller(scene, device)
        if device in scene.powers:
            yield from _power(scene, device)
        if effect_of(device.type) is Effect.UNKNOWN:
            ignore = f"instance-ha doctor --ignore agent-unknown={device.id}"
            yield Finding("agent-unknown", device.id, f"{device.id} is {device.type}",
                          to_do(f"where its success means that the host is off: {ignore}"))
    for device in scene.recorders:
        yield from _list(scene, device)
        yield from _time(scene, device)


def unprotected(has: Configuration, nodes: Iterable[str]) -> Iterator[Finding]:
    """The nodes that have a compute service of Nova and are not fenced as compute hosts."""
    for node in nodes:
        meant = f"If that is meant: instance-ha doctor --ignore host-unprotected={node}"
        if has.nodes[node].guest:
            yield Finding("host-unprotected", node, f"{node} is a guest node, which Pacemaker does not fence: it restarts the machine", to_do(meant))
            continue
        yield Finding("host-unprotected", node, f"Nova has a compute service for the controller {node}, such as Ironic's, which is not protected",
                      to_do(f"if it has servers: pcs node attribute {node} osprole=compute; then look again. {meant}"))


def _fault(scene: Scene, node: str) -> tuple[str, str] | None:
    """What is wrong with a host's levels as a whole, in any list of them that Pacemaker may use."""
    lists = scene.has.topologies_of(node)
    if not lists:
        return "level-missing", f"{node} has no fencing level"
    for levels in lists:
        fault = _list_fault(scene, node, levels)
        if fault and len(lists) > 1:
            targets = " and ".join(_TARGET[one[0].kind].format(one[0].target).removesuffix(":") for one in lists)
            return fault[0], f"{fault[1]}: the levels of {targets} are all for it, and Pacemaker does not say which it takes"
        if fault:
            return fault
    return None


def _list_fault(scene: Scene, node: str, levels: Sequence[Level]) -> tuple[str, str] | None:
    recorded = []
    for level in levels:
        types = [scene.type_of(device) for device in level.devices]
        recorded.append(any(agent in RECORDERS for agent in types))
        fault = level_fault(types)
        if fault:
            return "level-no-power", f"level {level.index} of {node} {fault}"
    if not any(recorded):
        return "level-no-record", f"no level of {node} has fence_nova"
    missing = [str(level.index) for level, there in zip(levels, recorded) if not there]
    return ("level-unrecorded", f"level {', '.join(missing)} of {node} has no fence_nova") if missing else None


def _proposed(scene: Scene, node: str) -> Levels:
    """Return its levels with the power devices first in each and fence_nova after them.

    Returns () where a device is missing for that, and where it has several and only a person knows
    whether one of them is enough.
    """
    covering = _covering(scene, node)
    able = [device.id for device in scene.recorders if scene.covers(device, node) is not False]
    recorder = able[0] if able else ""
    found = []
    for devices in [level.devices for level in best_levels(scene.has, node)] or [()]:
        types = {device: scene.type_of(device) for device in devices}
        powers = [device for device, agent in types.items() if agent and _is_kept(agent)]
        if not any(proves(types[device]) for device in powers):
            powers += covering if len(covering) == 1 else []
        recorders = [device for device in devices if types[device] in RECORDERS] or [recorder]
        if not any(proves(scene.type_of(device)) for device in powers) or not all(recorders):
            return ()
        found.append((*powers, *recorders))
    return tuple(found)


def _is_kept(agent: str) -> bool:
    return effect_of(agent) not in (Effect.RECORD, Effect.NOTHING)


def _covering(scene: Scene, node: str) -> list[str]:
    """Return the power devices of a host: those that name it, else those that can fence it."""
    covering = [device for device in scene.powers if scene.covers(device, node)]
    named = [device for device in covering if names_node(device, node)]
    return [device.id for device in named or covering]


def _replace(scene: Scene, node: str, wanted: Mapping[str, Levels]) -> Mend:
    """Levels by the host's name, which count before those for a pattern or an attribute. What it has by name goes in the same step:
    in between it would have none, and any one of its devices would do. Only what differs is brought in: a record that is written
    meanwhile stays."""
    before = best_levels(scene.has, node)
    indexes = [level.index for level in before] or [1]
    adds = [" ".join((f"stonith level add {index} {node}", *devices, *forced(scene.has, devices)))
            for index, devices in zip(indexes, wanted[node])]
    deletes = [f"stonith level delete {level.index} target {node}" for level in before if (level.kind, level.target) == (NAME, node)]
    if not deletes:
        return Mend(tuple(f"pcs {add}" for add in adds), (_topology(scene, wanted),))
    changes = [f"pcs -f {FILE} {change}" for change in (*deletes, *adds)]
    return Mend((f"pcs cluster cib {BEFORE}", f"cp {BEFORE} {FILE}", *changes, f"pcs cluster cib-push {FILE} diff-against={BEFORE}"),
                (_topology(scene, wanted),))


def _topology(scene: Scene, wanted: Mapping[str, Levels]) -> str:
    """All levels, with every host's mended, in one line: crmsh changes them as a whole only."""
    targets: dict[str, list[tuple[str, ...]]] = {}
    for level in sorted(scene.has.levels, key=lambda level: level.index):
        targets.setdefault(_TARGET[level.kind].format(level.target), []).append(level.devices)
    for node, levels in wanted.items():
        targets[_TARGET[NAME].format(node)] = list(levels)
    words = [f"{target} {' '.join(','.join(devices) for devices in levels)}" for target, levels in targets.items()]
    return f"echo {shlex.quote('fencing_topology ' + ' '.join(words))} | crm -F configure load update -"


def _no_device(scene: Scene, node: str) -> Mend:
    if not scene.recorders:
        return to_do("create the device of fence_nova; then look again")
    several = _covering(scene, node)
    if len(several) > 1:
        all_off = f"pcs stonith level add 1 {node} {' '.join(several)} {scene.recorders[0].id}"
        return to_do(f"{some(several)} fence it: where all of them have to be off (two power "
                     f"supplies): {all_off}; where one is enough: each in a level of its own")
    free = (f"{word}-{node}" for word in ("fence", "power", "power2", "power3"))
    name = next((one for one in free if one not in scene.has.ids), f"power4-{node}")
    return to_do(f"create a power device for {node}, such as: pcs stonith create {name} fence_ipmilan ip=ADDRESS lanplus=1 username=USER "
                 f"password=PASSWORD pcmk_host_list={node} op monitor interval=60s; then look again")


def _controllers(scene: Scene) -> Iterator[Finding]:
    if scene.has.has_watchdog:
        return                                 # its own watchdog may be what fences it
    for name, node in scene.has.nodes.items():
        if node.remote or name in scene.computes:
            continue
        own = [device for device in scene.fencers if scene.covers(device, name) is not False]
        if not own:
            yield Finding("controller-no-power", name, f"no power device fences {name}", _no_device(scene, name))
            continue
        mends = [_unusable(scene, device) for device in own]
        if mends[0] and all(mends):
            why = "is disabled" if own[0].disabled else "may run nowhere"
            what = f"{own[0].id}, which fences {name}, {why}"
            yield Finding("controller-no-power", name, what, mends[0])
            continue
        for levels in scene.has.topologies_of(name):
            wrong = [_wrong(scene, level, name) for level in levels]
            if all(wrong):
                what = f"its fencing level names {wrong[0]}, which does not fence {name}"
                yield Finding("controller-no-power", name, what, _level_of(scene, name, levels))


def _wrong(scene: Scene, level: Level, node: str) -> str:
    """Return the first device of a level that does not fence a node, "" for none."""
    known = [scene.has.resources[one] for one in level.devices if one in scene.has.resources]
    return next((one.id for one in known if scene.covers(one, node) is False), "")


def _level_of(scene: Scene, node: str, levels: Sequence[Level]) -> Mend:
    """Return what gives a controller a level of its own, which counts before one by a pattern."""
    own = _covering(scene, node)
    if len(own) != 1 or levels[0].kind == NAME:
        return to_do(f"give {node} a level with devices that fence it; see: pcs stonith level")
    line = " ".join((f"pcs stonith level add 1 {node} {own[0]}", *forced(scene.has, own)))
    return Mend((line,), (_topology(scene, {node: ((own[0],),)}),))


def _unusable(scene: Scene, device: Resource) -> Mend | None:
    """Return what makes a device usable that may run on no member, which Pacemaker does not fence
    with; None for one that it may use."""
    if device.disabled:
        return start(device)
    members = [name for name, node in scene.has.nodes.items() if not node.remote]
    if scene.open_to(device, members):
        return None
    return let_run(scene, device, scene.controllers) or to_do(SEE_CONSTRAINTS)


def _absent(scene: Scene) -> Iterator[Finding]:
    for name in dict.fromkeys(device for node in scene.computes for level in scene.levels(node) for device in level.devices):
        if not scene.type_of(name):
            where = [node for node in scene.computes for level in scene.levels(node) if name in level.devices]
            yield Finding("level-device", name, f"a level of {some(where)} names {name}, which does not exist",
                          to_do(f"create it, or take it out of the levels of {', '.join(where)}"))


def _device(scene: Scene, device: Resource) -> Iterator[Finding]:
    where = [node for node in scene.computes for level in scene.levels(node) if device.id in level.devices]
    if device.disabled:
        yield Finding("level-device", device.id, f"a level of {some(where)} names {device.id}, which is disabled", start(device))
    if device in scene.recorders and not listed(device):
        return                                 # told of by no-host-list
    covered = {node: scene.covers(device, node) for node in where}
    missing = [node for node, answer in covered.items() if answer is False]
    unsure = [node for node, answer in covered.items() if answer is None]
    if missing:
        recorder = device in scene.recorders
        mend = _list_of(device, _hosts(scene, device)) if recorder else _own(scene, device, missing)
        what = (f"a level of {some(missing)} names {device.id}, which fences "
                f"{some(listed(device)) or 'other nodes'} only")
        yield Finding("device-not-for-node", device.id, what, mend)
    if unsure:
        yield Finding("unseen", device.id, f"whether {device.id} can fence {some(unsure)}: the fencer names no device for it",
                      to_do(f"stonith_admin --list {unsure[0]}"))


def _own(scene: Scene, device: Resource, nodes: Sequence[str]) -> Mend:
    """Return what puts each node's own power device in the place of one that is for others.

    Where it has not one alone a person decides: told that it is for this node too, a device would
    cut the power of another one.
    """
    owns = {node: _covering(scene, node) for node in nodes}
    if any(len(own) != 1 for own in owns.values()):
        return to_do(f"put the device that cuts its power into its level; {device.id} only where it "
                     "does: then tell it so with pcmk_host_list, or pcmk_host_map")
    wanted = {}
    for node, (own,) in owns.items():
        levels = best_levels(scene.has, node)
        wanted[node] = tuple(_instead(level.devices, device.id, own) for level in levels)
    mends = Mend()
    for node in nodes:
        mends += _replace(scene, node, wanted)
    return Mend(mends.lines, (_topology(scene, wanted),))


def _instead(devices: Sequence[str], wrong: str, right: str) -> tuple[str, ...]:
    kept = [device for device in devices if device != right]
    return tuple(right if device == wrong else device for device in kept)


def _hosts(scene: Scene, device: Resource) -> list[str]:
    """The hosts that a device of fence_nova is to have: those it names, and those whose levels name it."""
    return [node for node in scene.computes if node in listed(device) or any(device.id in level.devices for level in scene.levels(node))]


def _list_of(device: Resource, names: Sequence[str]) -> Mend:
    """Give a device these hosts, in the way in which it has them."""
    known = host_map(device)
    if not known:
        return param(device, pcmk_host_list=" ".join(names))
    new = [name for name in names if name not in listed(device)]
    if new and device.type not in RECORDERS:
        return to_do(f"tell it what it calls {', '.join(new)}: pcs stonith update {device.id} pcmk_host_map=...")
    changes = {"pcmk_host_map": ";".join(f"{name}:{known.get(name, name)}" for name in names if name in known or name in new)}
    if host_list(device):
        changes["pcmk_host_list"] = " ".join(name for name in host_list(device) if name in names)
    return param(device, **changes)


def _crossed(scene: Scene) -> Iterator[Finding]:
    for node in scene.computes:
        host = scene.view.named(node)
        other = crossed_with(scene.view, node, host)
        if other:
            yield Finding("map-crossed", node, f"pcmk_host_map gives {node} the host {host}, which is {other}'s",
                          to_do("correct pcmk_host_map, so that each node has its own host; see: instance-ha hosts, and: pcs stonith config"))


def _list(scene: Scene, device: Resource) -> Iterator[Finding]:
    if not listed(device):
        yield Finding("no-host-list", device.id, f"{device.id} has neither pcmk_host_list nor pcmk_host_map", _list_of(device, scene.computes))
    for name in listed(device):
        if name not in scene.computes:
            known = name in scene.has.nodes
            yield Finding("not-a-compute" if known else "list-unknown", name,
                          f"{device.id} names {name}, which is {'no compute host' if known else 'no node of this cluster'}",
                          _list_of(device, _hosts(scene, device)))


def _power(scene: Scene, device: Resource) -> Iterator[Finding]:
    if not is_watched(device):
        yield Finding("device-unwatched", device.id, f"{device.id} has no recurring monitor",
                      operation(device, "monitor", interval="60s", timeout="60s"))
    reboot = seconds(device.params.get("pcmk_reboot_timeout"))
    if reboot and "pcmk_off_timeout" not in device.params and reboot > scene.off_timeout(device):
        given = device.params["pcmk_reboot_timeout"]
        yield Finding("off-timeout", device.id, f"{device.id} has pcmk_reboot_timeout={given}, and its off has {scene.off_timeout(device):g} s",
                      param(device, pcmk_off_timeout=given))


def _time(scene: Scene, device: Resource) -> Iterator[Finding]:
    asked = seconds(device.params.get("nova_timeout"))
    longest = (NOVA_TIMEOUT if asked is None else asked) + (seconds(device.params.get("delay")) or 0.0) + WRITES
    limit = scene.off_timeout(device)
    if longest <= limit:
        return
    enough = f"{math.ceil(longest / 10) * 10}s"
    own = "pcmk_off_timeout" in device.params
    name = scene.has.properties.name(FENCING_TIMEOUT)
    yield Finding("fencing-time", device.id,
                  f"{device.id} may take {longest:g} s (nova_timeout, delay, {WRITES:g} s for the record), and Pacemaker ends it after {limit:g} s",
                  param(device, pcmk_off_timeout=enough) if own else by(SetProperties({name: enough})))
