"""Pure: what a cluster is configured to be, read from its CIB as Pacemaker reads it. The only reader of that.

Where Pacemaker itself does not say which of several things counts, all of them are there; what
depends on a rule that cannot be evaluated here is named as not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .fence_agents import IMPLICIT_WATCHDOG
from .nvpairs import Described, Given, Sets
from .properties import FENCING_WATCHDOG_TIMEOUT, Properties
from .rules import About, ActionIs, AgentIs, Expression, Rule, is_of_all, is_promoted, read_location_rule
from .values import boolean, host_list, host_map, matches, seconds

STONITH = "stonith:"
REMOTE = "ocf:pacemaker:remote"
NAME, PATTERN, ATTRIBUTE = "name", "pattern", "attribute"    # how a fencing level says whom it is for
CONTAINERS = ("group", "clone", "master", "bundle")
ACTIONS = ("start", "stop", "monitor")
INDEX = re.compile(r"\+?0*[1-9]")     # Pacemaker takes no other level


@dataclass(frozen=True)
class Resource:
    """A primitive, with what it takes from its template, the groups and clones around it and the
    defaults. `agent` is class:type or class:provider:type.

    `within` are the ids of what is around it, innermost first. `operations` are the options of each
    action as they are written, of the first of several, or of the first monitor that recurs;
    `usual` what op_defaults give the action besides. `unsure` names what a rule may give that cannot
    be evaluated: parameters, meta attributes, and options as "op ACTION NAME". `own` are the
    meta attributes that it does not take from the defaults. `templated`: its agent is its template's.
    `names` are, of a device, the nodes by their names in small letters: the fencer compares so.
    """

    id: str
    agent: str
    params: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, str] = field(default_factory=dict)
    operations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    within: tuple[str, ...] = ()
    usual: Mapping[str, Mapping[str, str]] = field(default_factory=dict, compare=False)
    unsure: frozenset[str] = field(default=frozenset(), compare=False)
    own: Mapping[str, str] = field(default_factory=dict, compare=False)
    templated: bool = field(default=False, compare=False)
    names: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def type(self) -> str:
        return self.agent.rpartition(":")[2]

    @property
    def device(self) -> bool:
        return self.agent.startswith(STONITH)

    @property
    def outermost(self) -> str:
        """What a constraint names to place it: the clone or group that it is in, or itself."""
        return self.within[-1] if self.within else self.id

    @property
    def disabled(self) -> bool:
        return self.meta.get("target-role", "").lower() == "stopped"

    @property
    def forgets_failures(self) -> bool:
        """Return True if a failure counts for a while only: a failure-timeout of 0 is none."""
        given = seconds(self.meta.get("failure-timeout"))
        return bool(given and given > 0) or "failure-timeout" in self.unsure

    @property
    def host_list(self) -> list[str]:
        """The nodes in a device's pcmk_host_list."""
        return [self._node(name) for name in host_list(self.params.get("pcmk_host_list", ""))]

    @property
    def host_map(self) -> dict[str, str]:
        """A device's pcmk_host_map: by node, what it is to the device."""
        found = host_map(self.params.get("pcmk_host_map", ""))
        return {self._node(name): plug for name, plug in found.items()}

    def _node(self, name: str) -> str:
        """Return the node that a device names, as the cluster writes it."""
        return name if name in self.names.values() else self.names.get(name.lower(), name)

    def option(self, action: str, name: str) -> str | None:
        """Return an option of an action, which op_defaults may give; None for none."""
        return self.operations.get(action, {}).get(name, self.usual.get(action, {}).get(name))

    def time(self, action: str, name: str) -> float | None:
        """Return the same as seconds, None where it is not given or no time."""
        return seconds(self.option(action, name))


@dataclass(frozen=True)
class Level:
    """A fencing level. `target` is a node's name, a pattern of names, or `attribute=value`, as `kind` says."""

    index: int
    devices: tuple[str, ...]
    target: str
    kind: str = NAME


@dataclass(frozen=True)
class Location:
    """A location constraint: for resources by id, or by a pattern; for one node with a score, or by rules."""

    resources: frozenset[str]
    pattern: str = ""
    node: str = ""
    score: str = ""
    rules: tuple[Rule, ...] = ()
    exclusive: bool = False
    id: str = field(default="", compare=False)


@dataclass(frozen=True)
class Node:
    """A node of the cluster and its permanent attributes. `marks` are all pairs of attribute and value
    that are written for it, which is what the fencer looks at; `passing` its transient attributes and
    those that a rule may give.
    `guest`: a machine that Pacemaker itself runs, and fences by ending it."""

    name: str
    remote: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)
    marks: frozenset[tuple[str, str]] = field(default=frozenset(), compare=False)
    passing: frozenset[str] = field(default=frozenset(), compare=False)
    guest: bool = field(default=False, compare=False)

    def having(self, **attributes: str) -> Node:
        """Return this node with further attributes."""
        return Node(self.name, self.remote, {**self.attributes, **attributes}, self.marks, self.passing, self.guest)


@dataclass(frozen=True)
class Configuration:
    """All of it. `defaults` are the meta attributes of a resource that no rule names, `dated` those
    that a rule may give besides, `default_sets` where they are; `ids` every id that is there."""

    nodes: Mapping[str, Node]
    resources: Mapping[str, Resource]
    levels: tuple[Level, ...]
    locations: tuple[Location, ...]
    properties: Properties
    defaults: Mapping[str, str]
    ids: frozenset[str]
    dated: frozenset[str] = frozenset()
    default_sets: tuple[Described, ...] = ()

    def topologies_of(self, node: str) -> list[tuple[Level, ...]]:
        """Return what the fencer may use for a node: one list of levels, none, or several.

        Levels for exactly its name come before all others. Else any target that matches may be
        used, a name in other letters, a pattern or an attribute: Pacemaker takes the first in a hash
        table, and does not say which that is.
        """
        targets: dict[str, list[Level]] = {}
        for level in self.levels:
            targets.setdefault(level.target, []).append(level)
        named = targets.get(node)
        found = [named] if named else [levels for levels in targets.values() if self._is_for(levels[0], node)]
        return [tuple(sorted(levels, key=lambda level: level.index)) for levels in found]

    def _is_for(self, level: Level, node: str) -> bool:
        if level.kind == PATTERN:
            return matches(level.target, node) is True
        if level.kind == ATTRIBUTE:
            marks = self.nodes[node].marks if node in self.nodes else frozenset()
            return tuple(level.target.split("=", 1)) in marks
        return level.target.lower() == node.lower()

    def levels_of(self, node: str) -> tuple[Level, ...]:
        """Return the levels of a node in order: of several lists that may be used, the first."""
        return next(iter(self.topologies_of(node)), ())

    def is_doubtful(self, node: str) -> bool:
        """Return whether Pacemaker does not say which of several lists of levels it uses for a node."""
        return len(self.topologies_of(node)) > 1

    def agent_of(self, device: str) -> str:
        """Return the fence agent of a device, "" where there is no such device.

        With a stonith-watchdog-timeout Pacemaker has one of its own, which no resource stands for.
        """
        resource = self.resources.get(device)
        if resource is not None:
            return resource.type if resource.device else ""
        return "fence_watchdog" if device == IMPLICIT_WATCHDOG and self.has_watchdog else ""

    @property
    def has_watchdog(self) -> bool:
        """Return whether Pacemaker has a watchdog device. A negative time is SBD's own doubled."""
        text = self.properties.value(FENCING_WATCHDOG_TIMEOUT)
        return bool(text) and seconds(text) != 0

    def of_type(self, agent: str) -> list[Resource]:
        """Return the resources with this agent, in the CIB's order."""
        return [resource for resource in self.resources.values() if resource.agent == agent]


def read(root: Any) -> Configuration:
    """Return a CIB element as a Configuration."""
    configuration = next(root.iterfind("configuration"), root.makeelement("configuration"))
    sets = Sets(root)
    resources = {resource.id: resource for resource in _Resources(configuration, sets)}
    nodes = _nodes(root, configuration, sets, resources)
    names = {name.lower(): name for name in nodes}
    resources = {one.id: replace(one, names=names) if one.device else one for one in resources.values()}
    properties = sets.properties(configuration.findall("crm_config"))
    given = configuration.findall("rsc_defaults")
    defaults = sets.read(given, "meta_attributes", About(agent=AgentIs("", "", "")))
    ids = frozenset(found for element in configuration.iter() if isinstance(element.tag, str) and (found := element.get("id")))
    return Configuration(
        nodes, resources, _levels(configuration), tuple(_Locations(configuration, sets, resources)),
        Properties(properties.values, frozenset(properties.unsure)), defaults.values, ids,
        frozenset(defaults.unsure), sets.described(given, "meta_attributes"))


def _nodes(root: Any, configuration: Any, sets: Sets, resources: Mapping[str, Resource]) -> dict[str, Node]:
    """Return the nodes by name: members, remote nodes by their connections, guests by their machines."""
    guests = set(_guests(configuration))
    remotes = {one.id for one in resources.values() if one.agent == REMOTE}
    nodes = {name: Node(name, True, guest=name in guests) for name in sorted(remotes | guests)}
    passing: dict[str, frozenset[str]] = {}
    for state in root.iterfind("status/node_state"):
        pairs = state.iterfind("transient_attributes/instance_attributes/nvpair")
        passing[state.get("uname") or ""] = frozenset(pair.get("name") or "" for pair in pairs)
    for element in configuration.iterfind("nodes/node"):
        name = element.get("uname") or element.get("id") or ""
        remote = name in nodes and nodes[name].remote
        if remote or element.get("type") != "remote":  # else it was removed, and its attributes were left behind
            given = sets.read([element], "instance_attributes", About())
            pairs = element.iterfind("instance_attributes/nvpair")
            marks = frozenset((pair.get("name") or "", pair.get("value") or "") for pair in pairs)
            changing = passing.get(name, frozenset()) | given.unsure
            nodes[name] = Node(name, remote, given.values, marks, changing, name in guests)
    return nodes


def _guests(configuration: Any) -> Iterator[str]:
    """Yield the names of guest nodes. Pacemaker looks for them in primitives alone and in groups, and
    not at what they have from a template."""
    for primitive in configuration.iterfind("resources/primitive"):
        yield from _guest(primitive)
    for primitive in configuration.iterfind("resources/group/primitive"):
        yield from _guest(primitive)


def _guest(primitive: Any) -> list[str]:
    names = [pair.get("value") for pair in primitive.iterfind("meta_attributes/nvpair") if pair.get("name") == "remote-node"]
    return [name for name in names[-1:] if name]


class _Resources:
    """Reads the primitives."""

    def __init__(self, configuration: Any, sets: Sets) -> None:
        self.configuration, self.sets = configuration, sets
        self.templates = {one.get("id"): one for one in configuration.iterfind("resources/template")}
        self.rsc_defaults, self.op_defaults = map(configuration.findall, ("rsc_defaults", "op_defaults"))

    def __iter__(self) -> Iterator[Resource]:
        for primitive in self.configuration.iterfind("resources//primitive"):
            yield self._read(primitive)

    def _read(self, primitive: Any) -> Resource:
        template = self.templates.get(primitive.get("template"))
        # What is in the primitive comes after what is in its template, and so counts before it.
        sources = [primitive] if template is None else [template, primitive]
        described = sources[0]
        around = [one for one in primitive.iterancestors() if one.tag in CONTAINERS]
        agent = AgentIs(*(described.get(name) or "" for name in ("class", "provider", "type")))
        params = Given()
        for elements in (sources, *([one] for one in around), self.rsc_defaults):
            self.sets.read(elements, "instance_attributes", About(), params)
        about = About(agent=agent)
        meta, inherited = self.sets.read(sources, "meta_attributes", about), Given()
        for one in around:
            self.sets.read([one], "meta_attributes", about, inherited)
        meta.add(inherited)
        own = dict(meta.values)
        self.sets.read(self.rsc_defaults, "meta_attributes", about, meta)
        operations, unsure = self._operations(primitive, template)
        usual = {}
        for action in (*ACTIONS, *operations):
            about = About(agent=agent, action=ActionIs(action, seconds(operations.get(action, {}).get("interval")) or 0))
            given = self.sets.read(self.op_defaults, "meta_attributes", about)
            usual[action] = given.values
            unsure |= {f"op {action} {name}" for name in given.unsure if name not in operations.get(action, {})}
        return Resource(primitive.get("id"), ":".join(filter(None, agent)), params.values, meta.values, operations,
                        tuple(one.get("id") for one in around), usual, frozenset(params.unsure | meta.unsure | unsure), own, template is not None)

    def _operations(self, primitive: Any, template: Any) -> tuple[dict[str, Mapping[str, str]], set[str]]:
        """Return the options of each action, and those that a rule may give."""
        written = self._written(primitive)
        known = {self._key(one) for one in written}
        inherited = [] if template is None else self._written(template)
        if written:
            inherited = [one for one in inherited if self._key(one) not in known]
        found: dict[str, Mapping[str, str]] = {}
        unsure: set[str] = set()
        for one in sorted([*written, *inherited], key=lambda one: not self._recurs(one)):
            name = one.get("name") or ""
            if name not in found:
                about = About(action=ActionIs(name, seconds(one.get("interval")) or 0))
                given = self.sets.read([one], "meta_attributes", about)
                found[name] = {**given.values, **{key: value for key, value in one.attrib.items() if key not in ("id", "name")}}
                unsure |= {f"op {name} {option}" for option in given.unsure if option not in found[name]}
        return found, unsure

    def _written(self, element: Any) -> list[Any]:
        return [self.sets.meant(op) for operations in element.iterfind("operations")
                for op in self.sets.meant(operations).iterfind("op")]

    def _key(self, op: Any) -> tuple[str, str]:
        """What an action is, to Pacemaker: of two that are the same, one of the template is left out."""
        role = (op.get("role") or "").lower()
        return op.get("name") or "", "" if role in ("started", "unpromoted", "slave") else role

    def _recurs(self, op: Any) -> bool:
        return bool(seconds(op.get("interval"))) and boolean(op.get("enabled")) is not False


def _levels(configuration: Any) -> tuple[Level, ...]:
    """Return the levels. Several of one index for one target are one level to the fencer."""
    found: dict[tuple[str, int], Level] = {}
    kinds: dict[str, str] = {}
    for element in configuration.iterfind("fencing-topology/fencing-level"):
        target, kind = _target(element)
        index = element.get("index") or ""
        if not kind or not INDEX.fullmatch(index):
            continue
        kind = kinds.setdefault(target, kind)
        devices = tuple(device.strip() for device in (element.get("devices") or "").split(",") if device.strip())
        before = found.get((target, int(index)))
        found[target, int(index)] = Level(int(index), (before.devices if before else ()) + devices, target, kind)
    return tuple(found.values())


def _target(level: Any) -> tuple[str, str]:
    """Return for whom a level is, and how it says so; "" for a level that says it in no way."""
    if level.get("target") is not None:
        return level.get("target"), NAME
    if level.get("target-pattern") is not None:
        return level.get("target-pattern"), PATTERN
    if level.get("target-attribute") is not None and level.get("target-value") is not None:
        return f"{level.get('target-attribute')}={level.get('target-value')}", ATTRIBUTE
    return "", ""


class _Locations:
    """Reads the location constraints that are about whether a resource may run somewhere."""

    def __init__(self, configuration: Any, sets: Sets, resources: Mapping[str, Resource]) -> None:
        self.configuration, self.sets = configuration, sets
        self.known = {*resources, *(one for resource in resources.values() for one in resource.within)}
        self.several: dict[str, list[str]] = {}
        for primitive in configuration.iterfind("resources//primitive[@template]"):
            self.several.setdefault(primitive.get("template"), []).append(primitive.get("id"))
        for tag in configuration.iterfind("tags/tag"):
            self.several.setdefault(tag.get("id"), []).extend(ref.get("id") or "" for ref in tag.iterfind("obj_ref"))

    def __iter__(self) -> Iterator[Location]:
        for element in self.configuration.iterfind("constraints/rsc_location"):
            if is_promoted(element.get("role")):
                continue
            yield self._read(element)

    def _read(self, element: Any) -> Location:
        named = [element.get("rsc")] if element.get("rsc") else []
        named += [ref.get("id") or "" for one in element.iterfind("resource_set") if not is_promoted(one.get("role"))
                  for ref in self.sets.meant(one).iterfind("resource_ref")]
        rules = [one for one in map(self.sets.meant, element.iterfind("rule")) if not is_promoted(one.get("role"))]
        node, score, read = element.get("node") or "", element.get("score"), tuple(map(read_location_rule, rules))
        if not (node and score is not None):
            node, score = "", ""
        # What these depend on is not evaluated.
        if element.find("lifetime") is not None or not is_of_all(element.get("role"), "started"):
            if node:
                read = (Rule(score, False, (Expression("#uname", "eq", node), None)),)
            else:
                read = tuple(Rule(rule.score, False, (rule, None)) for rule in read)
            node, score = "", ""
        return Location(frozenset(self._meant(named)), element.get("rsc-pattern") or "", node, score or "", read,
                        element.get("resource-discovery") == "exclusive", element.get("id") or "")

    def _meant(self, names: Iterable[str]) -> Iterator[str]:
        """Yield what names stand for, also templates and tags, up to the first that is missing."""
        for name in names:
            for one in [name] if name in self.known else self.several.get(name, [name]):
                if one not in self.known:
                    return
                yield one
