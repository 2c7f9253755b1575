"""Pure: what a cluster is configured to be, read from its CIB."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..incident import HISTORY
from .properties import Properties

STONITH = "stonith:"
FIRST_SET = "cib-bootstrap-options"   # the set of properties that counts before every other
NAME, PATTERN, ATTRIBUTE = "name", "pattern", "attribute"    # how a fencing level says whom it is for


@dataclass(frozen=True)
class Resource:
    """A primitive. `agent` is class:type or class:provider:type. `meta` holds what it inherits from the groups and clones around
    it too, whose ids are `within`, innermost first. `operations` are the options of each action, of the first of several."""

    id: str
    agent: str
    params: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, str] = field(default_factory=dict)
    operations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    within: tuple[str, ...] = ()

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


@dataclass(frozen=True)
class Level:
    """A fencing level. `target` is a node's name, a pattern of names, or `attribute=value`, as `kind` says."""

    index: int
    devices: tuple[str, ...]
    target: str
    kind: str = NAME


@dataclass(frozen=True)
class Rule:
    """A rule of a location constraint. A part is another rule or (attribute, operation, value); None is what is not understood,
    as a date is."""

    score: str
    any_of: bool
    parts: tuple[Rule | tuple[str, str, str] | None, ...]


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
    """A node of the cluster and its permanent attributes."""

    name: str
    remote: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Inventory:
    """All of it. `ids` are every id that the configuration has."""

    nodes: Mapping[str, Node]
    resources: Mapping[str, Resource]
    levels: tuple[Level, ...]
    locations: tuple[Location, ...]
    properties: Properties
    defaults: Mapping[str, str]
    ids: frozenset[str]

    def levels_of(self, node: str) -> tuple[Level, ...]:
        """The levels that the fencer uses for a node, in order: those for its name; only when there are none, those for a pattern
        of names, and then those for an attribute."""
        attributes = {f"{name}={value}" for name, value in self.nodes[node].attributes.items()}
        for kind in (NAME, PATTERN, ATTRIBUTE):
            found = [level for level in self.levels if level.kind == kind and (
                level.target == node if kind == NAME else _matches(level.target, node) if kind == PATTERN else level.target in attributes)]
            if found:
                return tuple(sorted(found, key=lambda level: level.index))
        return ()

    def of_type(self, agent: str) -> list[Resource]:
        """The resources with this agent, in the CIB's order."""
        return [resource for resource in self.resources.values() if resource.agent == agent]


def read(root: Any) -> Inventory:
    """A CIB element as an Inventory."""
    configuration = root.find("configuration")
    resources = {resource.id: resource for resource in _resources(configuration)}
    remotes = {r.id for r in resources.values() if r.agent == "ocf:pacemaker:remote"}
    nodes = {name: Node(name, True) for name in remotes}
    for element in configuration.iterfind("nodes/node"):
        name = element.get("uname") or element.get("id") or ""
        if name in remotes or element.get("type") != "remote":  # else it was removed, and its attributes were left behind
            nodes[name] = Node(name, name in remotes, pairs(element, "instance_attributes"))
    defaults = pairs(configuration.find("rsc_defaults"), "meta_attributes")
    ids = frozenset(found for element in configuration.iter() if isinstance(element.tag, str) and (found := element.get("id")))
    levels, locations = tuple(_levels(configuration)), tuple(_locations(configuration))
    return Inventory(nodes, resources, levels, locations, _properties(configuration), defaults, ids)


def _properties(configuration: Any) -> Properties:
    """Return the properties. Of several sets the first counts, in Pacemaker's order of them."""
    found = configuration.iterfind("crm_config/cluster_property_set")
    sets = [element for element in found if element.get("id") != HISTORY]
    given: dict[str, str] = {}
    for one in sorted(sets, key=lambda e: (e.get("id") != FIRST_SET, -_score(e.get("score")))):
        for name, value in _nvpairs(one):
            given.setdefault(name, value)
    return Properties(given)


def _score(text: str | None) -> float:
    try:
        return float(text or 0)            # Pacemaker's INFINITY is Python's too
    except ValueError:
        return 0.0


def pairs(element: Any, kind: str) -> dict[str, str]:
    """The name and value pairs in an element's sets of a kind; of a name that is there twice the first, as Pacemaker has it."""
    found: dict[str, str] = {}
    for one in element.iterfind(kind) if element is not None else ():
        for name, value in _nvpairs(one):
            found.setdefault(name, value)
    return found


def _nvpairs(element: Any) -> Iterator[tuple[str, str]]:
    for pair in element.iterfind("nvpair"):
        yield pair.get("name") or "", pair.get("value") or ""


def _resources(configuration: Any) -> Iterator[Resource]:
    templates = {t.get("id"): t for t in configuration.iterfind("resources/template")}
    for primitive in configuration.iterfind("resources//primitive"):
        template = templates.get(primitive.get("template"))
        sources = [primitive] if template is None else [primitive, template]
        around = [e for e in primitive.iterancestors() if e.tag in ("group", "clone", "master", "bundle")]
        params: dict[str, str] = {}
        meta: dict[str, str] = {}
        operations: dict[str, Mapping[str, str]] = {}
        for source in sources:
            params = {**pairs(source, "instance_attributes"), **params}
            meta = {**pairs(source, "meta_attributes"), **meta}
            for operation in source.iterfind("operations/op"):
                operations.setdefault(operation.get("name") or "", {k: v for k, v in operation.attrib.items() if k not in ("id", "name")})
        for container in around:
            meta = {**pairs(container, "meta_attributes"), **meta}
        described = sources[-1]
        agent = ":".join(filter(None, (described.get("class"), described.get("provider"), described.get("type"))))
        yield Resource(primitive.get("id"), agent, params, meta, operations, tuple(e.get("id") for e in around))


def _levels(configuration: Any) -> Iterator[Level]:
    for level in configuration.iterfind("fencing-topology/fencing-level"):
        devices = tuple(device.strip() for device in (level.get("devices") or "").split(",") if device.strip())
        index = int(level.get("index") or 0)
        if level.get("target-pattern"):
            yield Level(index, devices, level.get("target-pattern"), PATTERN)
        elif level.get("target-attribute"):
            yield Level(index, devices, f"{level.get('target-attribute')}={level.get('target-value')}", ATTRIBUTE)
        else:
            yield Level(index, devices, level.get("target") or "")


def _locations(configuration: Any) -> Iterator[Location]:
    for element in configuration.iterfind("constraints/rsc_location"):
        named = {element.get("rsc"), *(ref.get("id") for ref in element.iterfind("resource_set/resource_ref"))}
        yield Location(
            frozenset(filter(None, named)), element.get("rsc-pattern") or "", element.get("node") or "", element.get("score") or "",
            tuple(_rule(rule) for rule in element.iterfind("rule")), element.get("resource-discovery") == "exclusive",
            element.get("id") or "")


def _rule(element: Any) -> Rule:
    parts: list[Rule | tuple[str, str, str] | None] = []
    for part in element:
        if part.tag == "rule":
            parts.append(_rule(part))
        elif part.tag == "expression":
            parts.append((part.get("attribute") or "", part.get("operation") or "", part.get("value") or ""))
        elif isinstance(part.tag, str):
            parts.append(None)
    return Rule(element.get("score") or "", element.get("boolean-op") == "or", tuple(parts))


def _matches(pattern: str, node: str) -> bool:
    try:
        return re.search(pattern, node) is not None
    except re.error:
        return False


def seconds(text: str) -> float:
    """A time as Pacemaker writes it, in seconds; 0 for none."""
    found = re.fullmatch(r"\s*(\d+)\s*(ms|msec|us|usec|s|sec|m|min|h|hr)?\s*", text)
    if not found:
        return 0.0
    units = {"ms": 0.001, "msec": 0.001, "us": 0.000001, "usec": 0.000001, "m": 60.0, "min": 60.0, "h": 3600.0, "hr": 3600.0}
    return int(found[1]) * units.get(found[2] or "s", 1.0)
