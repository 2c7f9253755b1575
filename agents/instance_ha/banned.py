"""Pure: whether location constraints keep a resource off a node, as far as that can be told from the configuration."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping

from .inventory import Inventory, Location, Node, Resource, Rule

NEVER = "-INFINITY"
TEXT = "string"
COMPARED: Mapping[str, Callable[[str, str], bool]] = {"lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge}
FALSE = frozenset(("false", "no", "off", "0", "n"))


def is_banned(has: Inventory, resource: Resource, node: Node) -> bool:
    """Whether it can never run on the node. What is not certain counts as no."""
    ids = {resource.id, *resource.within}
    placed = [location for location in has.locations if location.resources & ids or _matches(location.pattern, ids)]
    scores = {location: _score(location, node) for location in placed}
    if any(score is not None and score.upper() == NEVER for score in scores.values()):
        return True
    chosen = [location for location, score in scores.items() if score != ""]   # those that speak of this node, or may
    if any(location.exclusive for location in placed) and not any(location.exclusive for location in chosen):
        return True
    return has.properties.get("symmetric-cluster", "true").lower() in FALSE and not chosen


def _matches(pattern: str, ids: set[str]) -> bool:
    try:
        return bool(pattern) and any(re.search(pattern, one) for one in ids)
    except re.error:
        return False


def _score(location: Location, node: Node) -> str | None:
    """The score that a constraint gives a node; "" when it is not about it, None when that cannot be told."""
    if location.node:
        return location.score if location.node.lower() == node.name.lower() else ""
    answers = [(rule.score, is_true(rule, node)) for rule in location.rules]
    certain = [score for score, answer in answers if answer]
    if any(score.upper() == NEVER for score in certain):
        return NEVER
    if any(answer is None for _, answer in answers):
        return None
    return certain[0] or "0" if certain else ""


def is_true(rule: Rule, node: Node) -> bool | None:
    """Whether a rule is true of a node; None when that cannot be told."""
    answers = [is_true(part, node) if isinstance(part, Rule) else None if part is None else _expression(*part, node) for part in rule.parts]
    decisive = rule.any_of
    if decisive in answers:
        return decisive
    return None if None in answers or not answers else not decisive


def _expression(attribute: str, operation: str, value: str, kind: str, node: Node) -> bool | None:
    known: Mapping[str, str] = {**node.attributes, "#uname": node.name, "#kind": "remote" if node.remote else "cluster"}
    if attribute.startswith("#") and attribute not in known:
        return None
    there = known.get(attribute)
    if operation == "defined":
        return there is not None
    if operation == "not_defined":
        return there is None
    if operation == "eq":
        return there is not None and there.lower() == value.lower()
    if operation == "ne":
        return there is None or there.lower() != value.lower()
    if there is None:
        return False
    if kind == TEXT and operation in COMPARED:
        return COMPARED[operation](there.lower(), value.lower())
    return None
