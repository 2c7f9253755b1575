"""Pure: whether location constraints keep a resource off a node, as far as that can be told from the configuration."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping

from .inventory import Inventory, Location, Node, Resource, Rule

NEVER = "-INFINITY"


def is_banned(has: Inventory, resource: Resource, node: Node) -> bool:
    """Whether it can never run on the node. What is not certain counts as no."""
    constraints = placed(has, resource)
    scores = {location: _score(location, node) for location in constraints}
    if any(score is not None and score.upper() == NEVER for score in scores.values()):
        return True
    chosen = [location for location, score in scores.items() if score != ""]   # those that speak of this node, or may
    if any(location.exclusive for location in constraints) and not any(location.exclusive for location in chosen):
        return True
    return not has.properties.is_true("symmetric-cluster") and not chosen


def weight(has: Inventory, resource: Resource, node: Node) -> float:
    """The most that location constraints may give the node in sum."""
    return added(score for location in placed(has, resource) for score in weights(location, node))


def added(scores: Iterable[float]) -> float:
    """Scores as Pacemaker adds them: -INFINITY outweighs all else."""
    found = list(scores)
    return -math.inf if -math.inf in found else sum(found)


def weights(location: Location, node: Node) -> Iterator[float]:
    """The most that a constraint may give the node, rule by rule."""
    if location.node:
        yield number(location.score) if location.node.lower() == node.name.lower() else 0.0
    for rule in location.rules:
        answer, score = is_true(rule, node), number(rule.score)
        yield score if answer else 0.0 if answer is False else max(score, 0.0)


def number(score: str) -> float:
    """A score as a number; 0 for what is none."""
    text = score.strip().upper().removeprefix("+")
    if text.removeprefix("-") == "INFINITY":
        return -math.inf if text.startswith("-") else math.inf
    return float(text) if re.fullmatch(r"-?\d+", text) else 0.0


def placed(has: Inventory, resource: Resource) -> list[Location]:
    """The constraints that are about a resource."""
    ids = {resource.id, *resource.within}
    return [location for location in has.locations if location.resources & ids or _matches(location.pattern, ids)]


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


def _expression(attribute: str, operation: str, value: str, node: Node) -> bool | None:
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
    return None
