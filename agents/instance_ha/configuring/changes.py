"""Pure: changes of a cluster's configuration, each as the commands of pcs and of crmsh that make it in a file.

A command is a list of words. Those of pcs begin with `pcs`, those of crmsh with `crm`; which file is meant is added by transaction.py.
The syntax is that of pcs 0.10 to 0.12 and of crmsh 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import quoteattr

from ..configuration import ATTRIBUTE, NAME, PATTERN, Configuration, Level

Words = list[str]
# Forced: else crmsh refuses any change while crm_verify has a warning about something that was there before, an old spelling for one.
# What comes of the changes is read back before the cluster gets it.
CRM_CONFIGURE = ("crm", "-F", "configure")


def _pairs(values: Mapping[str, str]) -> Words:
    return [f"{name}={value}" for name, value in values.items()]


def _operations(operations: Mapping[str, Mapping[str, str]]) -> Words:
    return [word for name, options in operations.items() for word in ("op", name, *_pairs(options))]


def _meta(meta: Mapping[str, str]) -> Words:
    return ["meta", *_pairs(meta)] if meta else []


@dataclass(frozen=True)
class Change:
    """One change. Those below say what it needs."""

    def pcs(self) -> Iterator[Words]:
        raise NotImplementedError

    def crm(self) -> Iterator[Words]:
        raise NotImplementedError


@dataclass(frozen=True)
class Create(Change):
    """A new primitive, with `clone` (the options of one, {} for none) in a clone named ID-clone. `unseen`: its agent is not
    installed where the commands run, which pcs has to be told to accept."""

    id: str
    agent: str
    params: Mapping[str, str] = field(default_factory=dict)
    operations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    meta: Mapping[str, str] = field(default_factory=dict)
    clone: Mapping[str, str] = field(default_factory=dict)
    unseen: bool = False

    @property
    def _device(self) -> bool:
        return self.agent.startswith("stonith:")

    def pcs(self) -> Iterator[Words]:
        kind = ["stonith", "create", self.id, self.agent.partition(":")[2]] if self._device else ["resource", "create", self.id, self.agent]
        clone = ["clone", *_pairs(self.clone)] if self.clone else []
        yield ["pcs", *kind, *_pairs(self.params), *_operations(self.operations), *_meta(self.meta), *clone, *(["--force"] if self.unseen else [])]

    def crm(self) -> Iterator[Words]:
        params = ["params", *_pairs(self.params)] if self.params else []
        yield [*CRM_CONFIGURE, "primitive", self.id, self.agent, *params,
               *_operations(self.operations), *_meta(self.meta)]
        if self.clone:
            yield [*CRM_CONFIGURE, "clone", f"{self.id}-clone", self.id, *_meta(self.clone)]


@dataclass(frozen=True)
class Update(Change):
    """Other values for a primitive; an empty parameter is taken away. `operations` are the whole options of an action (pcs takes
    away what is not given), `had` those that it has now."""

    id: str
    device: bool
    params: Mapping[str, str] = field(default_factory=dict)
    operations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    meta: Mapping[str, str] = field(default_factory=dict)
    had: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def pcs(self) -> Iterator[Words]:
        """`meta` alone has a command that does not ask for the agent's metadata, which a controller may not have."""
        if not self.device and not self.params and not self.operations:
            yield ["pcs", "resource", "meta", self.id, *_pairs(self.meta)]
        else:
            yield ["pcs", "stonith" if self.device else "resource", "update", self.id, *_pairs(self.params), *_operations(self.operations),
                   *_meta(self.meta)]

    def crm(self) -> Iterator[Words]:
        for name, value in self.params.items():
            yield ["crm", "resource", "param", self.id, *(["set", name, value] if value else ["delete", name])]
        for action, options in self.operations.items():
            had = dict(self.had.get(action, {}))
            if not had and action != "monitor":
                yield self._new_operation(action, options)
                continue
            if not had:
                had = {name: options[name] for name in ("interval", "timeout")}
                yield [*CRM_CONFIGURE, action, self.id, ":".join(had.values())]
            for name, value in options.items():
                if had.get(name) != value:
                    yield [*CRM_CONFIGURE, "set", f"{self.id}.{action}.{name}", value]
        for name, value in self.meta.items():
            yield ["crm", "resource", "meta", self.id, "set", name, value]

    def _new_operation(self, action: str, options: Mapping[str, str]) -> Words:
        """Return what gives it an action that it has not: crmsh can add a monitor only."""
        whole = {"interval": "0s", **options}
        words = " ".join(f"{name}={quoteattr(value)}" for name, value in whole.items())
        op = f'<op id="{self.id}-{action}-interval-{whole["interval"]}" name="{action}" {words}/>'
        text = f'<primitive id="{self.id}"><operations>{op}</operations></primitive>'
        return ["cibadmin", "--modify", "--allow-create", "--xpath",
                f"//primitive[@id='{self.id}']", "--xml-text", text]


@dataclass(frozen=True)
class Delete(Change):
    """A resource or fence device away, with the constraints that name it; from the levels too."""

    id: str
    device: bool

    def pcs(self) -> Iterator[Words]:
        yield ["pcs", "stonith" if self.device else "resource", "delete", self.id]

    def crm(self) -> Iterator[Words]:
        yield [*CRM_CONFIGURE, "delete", self.id]


@dataclass(frozen=True)
class SetAttribute(Change):
    """A permanent attribute of a node."""

    node: str
    name: str
    value: str

    def pcs(self) -> Iterator[Words]:
        yield ["pcs", "node", "attribute", self.node, f"{self.name}={self.value}"]

    def crm(self) -> Iterator[Words]:
        yield ["crm", "node", "attribute", self.node, "set", self.name, self.value]


@dataclass(frozen=True)
class SetProperties(Change):
    """Properties of the cluster."""

    values: Mapping[str, str]

    def pcs(self) -> Iterator[Words]:
        yield ["pcs", "property", "set", *_pairs(self.values)]

    def crm(self) -> Iterator[Words]:
        yield [*CRM_CONFIGURE, "property", *_pairs(self.values)]


@dataclass(frozen=True)
class SetDefaults(Change):
    """Defaults of the meta attributes of all resources, in a set by its id; in a new one for None.

    Without an id pcs takes the only set, also one with a rule, and takes none of several.
    """

    values: Mapping[str, str]
    into: str | None = ""

    def pcs(self) -> Iterator[Words]:
        defaults = ["pcs", "resource", "defaults"]
        if self.into == "":
            yield [*defaults, "update", *_pairs(self.values)]
        else:
            where = ["create"] if self.into is None else ["update", self.into]
            yield [*defaults, "set", *where, *_meta(self.values)]

    def crm(self) -> Iterator[Words]:
        yield [*CRM_CONFIGURE, "rsc_defaults", *_pairs(self.values)]


def default(has: Configuration, name: str, value: str) -> SetDefaults:
    """Return the change of one default, where it is set now or beside the sets that have rules."""
    plain = [one.id for one in has.default_sets if not one.ruled]
    holding = [one.id for one in has.default_sets if not one.ruled and name in one.names]
    if not has.default_sets or (len(has.default_sets) == 1 and plain):
        return SetDefaults({name: value})
    return SetDefaults({name: value}, holding[0] if holding else None)


@dataclass(frozen=True)
class Ban(Change):
    """A rule by which a resource never runs where it is true of a node, or with another `score` than the usual does not start there.
    `discovery`: whether Pacemaker looks for it there all the same.
    crmsh wants an id for it, pcs makes one."""

    id: str
    resource: str
    rule: Sequence[str]
    discovery: bool = False
    score: str = "-INFINITY"

    def pcs(self) -> Iterator[Words]:
        never = [] if self.discovery else ["resource-discovery=never"]
        yield ["pcs", "constraint", "location", self.resource, "rule", *never, f"score={self.score}", *self.rule]

    def crm(self) -> Iterator[Words]:
        never = [] if self.discovery else ["resource-discovery=never"]
        yield [*CRM_CONFIGURE, "location", self.id, self.resource, *never, "rule",
               "-inf:" if self.score == "-INFINITY" else f"{self.score}:", *self.rule]


@dataclass(frozen=True)
class DeleteConstraint(Change):
    """A constraint away."""

    id: str

    def pcs(self) -> Iterator[Words]:
        yield ["pcs", "constraint", "delete", self.id]

    def crm(self) -> Iterator[Words]:
        yield [*CRM_CONFIGURE, "delete", self.id]


@dataclass(frozen=True)
class SetLevels(Change):
    """The fencing levels of nodes by name, in place of those they have by name. `others` are all levels of other targets, `forced` is
    what pcs needs for these devices."""

    before: Sequence[Level]
    after: Sequence[Level]
    others: Sequence[Level] = ()
    forced: Sequence[str] = ()

    def pcs(self) -> Iterator[Words]:
        for level in self.before:
            yield ["pcs", "stonith", "level", "delete", str(level.index), "target", level.target]
        for level in self.after:
            yield ["pcs", "stonith", "level", "add", str(level.index), level.target, *level.devices, *self.forced]

    def crm(self) -> Iterator[Words]:
        """crmsh has the topology as one object, which it does not change but make anew."""
        if self.before or self.others:
            yield [*CRM_CONFIGURE, "delete", "fencing_topology"]
        levels = sorted([*self.others, *self.after], key=lambda level: level.index)
        words: Words = []
        for kind, target in dict.fromkeys((level.kind, level.target) for level in levels):
            words.append({NAME: f"{target}:", PATTERN: f"pattern:{target}", ATTRIBUTE: f"attr:{target}"}[kind])
            words += [",".join(level.devices) for level in levels if (level.kind, level.target) == (kind, target)]
        yield [*CRM_CONFIGURE, "fencing_topology", *words]
