"""Pure: the rules of the CIB, and whether one is true. What cannot be told from here is None."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Union

from .values import seconds

PROMOTED = ("promoted", "master")
_ORDERED = ("lt", "lte", "gt", "gte")


class Expression(NamedTuple):
    """A comparison of a node attribute. `kind` is the type of the values, "" for Pacemaker's own."""

    attribute: str
    operation: str
    value: str = ""
    kind: str = ""


class AgentIs(NamedTuple):
    """The resource has this agent; "" is any."""

    standard: str
    provider: str
    type: str


class ActionIs(NamedTuple):
    """The action has this name, and this interval in seconds, None for any."""

    name: str
    interval: float | None


Part = Union["Rule", Expression, AgentIs, ActionIs, None]


@dataclass(frozen=True)
class Rule:
    """A rule. A part that is None is not understood, as a date is. `score` is None where an attribute
    of each node says it."""

    score: str | None
    any_of: bool
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class About:
    """What a rule is asked about. `attributes` are those of the node by name, None where the node is
    not known; `unsure` are attributes that change by themselves; `agent` and `action` as above."""

    attributes: Mapping[str, str] | None = None
    unsure: frozenset[str] = frozenset()
    agent: AgentIs | None = None
    action: ActionIs | None = None


def read_rule(element: Any) -> Rule:
    """Return a rule element (one that an id-ref names has been followed) as a Rule."""
    parts = [_part(part) for part in element if isinstance(part.tag, str)]
    given = element.get("score")
    by_attribute = given is None and element.get("score-attribute") is not None
    any_of = (element.get("boolean-op") or "").lower() == "or"
    return Rule(None if by_attribute else given or "", any_of, tuple(parts))


def read_location_rule(element: Any) -> Rule:
    """Return the rule of a constraint, as one that is not known where it is for one role alone.

    Started in a rule is such a role to Pacemaker 2.1, unlike in the constraint itself.
    """
    rule = read_rule(element)
    return rule if is_of_all(element.get("role")) else Rule(rule.score, False, (rule, None))


def is_promoted(role: str | None) -> bool:
    return (role or "").lower() in PROMOTED


def is_of_all(role: str | None, *more: str) -> bool:
    """Return whether each instance has to have a role before it can have any other."""
    return (role or "").lower() in ("", "unpromoted", "slave", *more)


def _part(element: Any) -> Part:
    if element.get("id-ref"):
        return None
    if element.tag == "rule":
        return read_rule(element)
    if element.tag == "rsc_expression":
        return AgentIs(*(element.get(name) or "" for name in ("class", "provider", "type")))
    if element.tag == "op_expression":
        interval = element.get("interval")
        return ActionIs(element.get("name") or "", None if interval is None else seconds(interval))
    if element.tag == "expression" and element.get("value-source", "literal") == "literal":
        names = ("attribute", "operation", "value", "type")
        return Expression(*(element.get(name) or "" for name in names))
    return None


def holds(rule: Rule, about: About) -> bool | None:
    """Return whether a rule is true; None when that cannot be told."""
    answers = [_part_holds(part, about) for part in rule.parts]
    if rule.any_of in answers:
        return rule.any_of
    return None if None in answers or not answers else not rule.any_of


def _part_holds(part: Part, about: About) -> bool | None:
    if isinstance(part, Rule):
        return holds(part, about)
    if isinstance(part, Expression):
        return _compare(part, about)
    if isinstance(part, AgentIs):
        return None if about.agent is None else _is_agent(part, about.agent)
    if isinstance(part, ActionIs):
        if about.action is None:
            return None
        return part.name == about.action.name and part.interval in (None, about.action.interval or 0)
    return None


def _is_agent(wanted: AgentIs, agent: AgentIs) -> bool:
    """Pacemaker takes a missing provider for a demand that there is none."""
    return (wanted.standard in ("", agent.standard) and wanted.provider == agent.provider
            and wanted.type in ("", agent.type))


def _compare(part: Expression, about: About) -> bool | None:
    if about.attributes is None or part.attribute in about.unsure:
        return None
    if part.attribute.startswith("#") and part.attribute not in about.attributes:
        return None
    there, value, operation = about.attributes.get(part.attribute), part.value or None, part.operation.lower()
    if operation in ("defined", "not_defined"):
        return (there is not None) is (operation == "defined")
    if there is None or value is None:
        same = there is None and value is None
        return {"eq": same, "ne": not same}.get(operation, False if operation in _ORDERED else None)
    kind = part.kind.lower() or _usual_kind(operation, there, value)
    if kind == "version":
        return None
    left, right = _comparable(kind, there, value)
    results = {"eq": left == right, "ne": left != right, "lt": left < right, "lte": left <= right,
               "gt": left > right, "gte": left >= right}
    return results.get(operation)


def _usual_kind(operation: str, *values: str) -> str:
    if operation not in _ORDERED:
        return "string"
    return "number" if any("." in value for value in values) else "integer"


def _comparable(kind: str, *values: str) -> tuple[Any, Any]:
    """Return two values as numbers, or as texts where one of them is none."""
    try:
        convert = {"integer": int, "number": float}[kind]
        left, right = (convert(value) for value in values)
    except (KeyError, ValueError):
        left, right = (value.lower() for value in values)
    return left, right
