"""Pure: what is found, and the commands that mend it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..configuration import Resource
from ..configuring.changes import Change, Update
from ..configuring.powering import FENCE_NOVA
from ..configuring.provisioning import UNFENCED
from .kinds import KINDS, LEVELS


@dataclass(frozen=True)
class Mend:
    """Lines of a shell that mend something: with pcs, or with tools that every cluster has; and with crmsh, none where that is no
    different. A line that begins with # is for a person."""

    lines: tuple[str, ...] = ()
    crm: tuple[str, ...] = ()

    def __add__(self, other: Mend) -> Mend:
        if not (self.crm or other.crm):
            return Mend(self.lines + other.lines)
        return Mend(self.lines + other.lines, (self.crm or self.lines) + (other.crm or other.lines))


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or that could not be looked at. `subject` is the node, host, device or resource it is about."""

    kind: str
    subject: str
    what: str
    mend: Mend = field(default_factory=Mend)

    @property
    def level(self) -> str:
        return KINDS[self.kind].level

    @property
    def why(self) -> str:
        return KINDS[self.kind].why


def by_weight(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first, within a level in the order of the kinds."""
    order = list(KINDS)
    return sorted(findings, key=lambda one: (LEVELS.index(one.level), order.index(one.kind), one.subject))


def some(names: Iterable[str], most: int = 3) -> str:
    """Names for a sentence: the first `most`, and how many more there are."""
    listed = list(names)
    more = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {more} more" if more > 0 else "")


def to_do(text: str) -> Mend:
    """What no command can do."""
    return Mend((f"# {text}",))


def shell(*lines: str) -> Mend:
    return Mend(lines)


def tools(pcs: str, crm: str) -> Mend:
    """One command, with either tool."""
    return Mend((pcs,), (crm,))


def by(*changes: Change) -> Mend:
    """Changes of the cluster's configuration."""
    mend = Mend()
    for change in changes:
        mend += Mend(tuple(map(shlex.join, change.pcs())), tuple(map(shlex.join, change.crm())))
    return mend


def param(resource: Resource, **values: str) -> Mend:
    """Parameters of a resource or of a fence device; an empty value takes one away."""
    warning = to_do(UNFENCED + "; not while a host is down") if resource.type == FENCE_NOVA else Mend()
    return warning + by(Update(resource.id, resource.device, values))


def meta(resource: Resource, name: str, value: str) -> Mend:
    return by(Update(resource.id, resource.device, meta={name: value}))


def operation(resource: Resource, action: str, **options: str) -> Mend:
    """Options of an action of a resource; those that are not given stay as they are."""
    whole = {**resource.operations.get(action, {}), **options}
    return by(Update(resource.id, resource.device, operations={action: whole}, had=resource.operations))


def clean_up(resource: Resource) -> Mend:
    return tools(f"pcs {kind(resource)} cleanup {resource.id}", f"crm resource cleanup {resource.id}")


def start(resource: Resource) -> Mend:
    return tools(f"pcs {kind(resource)} enable {resource.id}", f"crm resource start {resource.id}")


def kind(resource: Resource) -> str:
    """What pcs calls it."""
    return "stonith" if resource.device else "resource"
