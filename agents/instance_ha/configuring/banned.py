"""Pure: whether location constraints keep a resource off a node, as far as that can be told from the configuration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from ..configuration import Configuration, Location, Node, Resource
from ..rules import About, Rule, holds
from ..values import matches, score

NEVER = "-INFINITY"


def is_banned(has: Configuration, resource: Resource, node: Node) -> bool:
    """Whether it can never run on the node. What is not certain counts as no."""
    constraints = placed(has, resource)
    scores = {location: list(_scores(location, node)) for location in constraints}
    if any(is_never(one) for given in scores.values() for one in given if one is not None):
        return True
    chosen = [location for location, given in scores.items() if given]   # those that speak of this node, or may
    if any(location.exclusive for location in constraints) and not any(location.exclusive for location in chosen):
        return True
    return is_left_out(has, resource, node)


def is_left_out(has: Configuration, resource: Resource, node: Node) -> bool:
    """Return whether nothing speaks of it and the node, in a cluster where that is a no."""
    opt_in = not has.properties.is_true("symmetric-cluster")
    return opt_in and not any(True for one in placed(has, resource) for _ in _scores(one, node))


def is_shut_out(has: Configuration, resource: Resource, nodes: Sequence[Node]) -> bool:
    """Return whether constraints keep it off all of these nodes, so that none that allows it helps."""
    banned = all(is_banned(has, resource, node) for node in nodes)
    return bool(nodes) and banned and not any(is_left_out(has, resource, node) for node in nodes)


def is_never(given: str | None) -> bool:
    """Return whether a score is -INFINITY; None is one that is not known."""
    return given is not None and score(given) == -math.inf


def weight(has: Configuration, resource: Resource, node: Node) -> float:
    """The most that location constraints may give the node in sum."""
    return added(score for location in placed(has, resource) for score in weights(location, node))


def added(scores: Iterable[float]) -> float:
    """Scores as Pacemaker adds them: -INFINITY outweighs all else."""
    found = list(scores)
    return -math.inf if -math.inf in found else sum(found)


def weights(location: Location, node: Node) -> Iterator[float]:
    """The most that a constraint may give the node, rule by rule."""
    if location.node:
        yield score(location.score) if location.node.lower() == node.name.lower() else 0.0
    for rule in location.rules if not location.node else ():
        answer = is_true(rule, node)
        most = math.inf if rule.score is None else score(rule.score)
        yield most if answer else 0.0 if answer is False else max(most, 0.0)


def placed(has: Configuration, resource: Resource) -> list[Location]:
    """The constraints that are about a resource; one for a node that is not there counts for nothing."""
    ids, nodes = {resource.id, *resource.within}, {"", *map(str.lower, has.nodes)}
    return [location for location in has.locations if location.node.lower() in nodes
            and (location.resources & ids or _is_named(location.pattern, resource.outermost))]


def _is_named(pattern: str, resource: str) -> bool:
    """Return whether a pattern is about a resource, which begins with `!` to say all others."""
    if not pattern:
        return False
    found = matches(pattern.removeprefix("!"), resource)
    return found is not None and found is not pattern.startswith("!")


def _scores(location: Location, node: Node) -> Iterator[str | None]:
    """Yield the scores that a constraint gives a node: none when it is not about it, None for what cannot be told."""
    if location.node:
        if location.node.lower() == node.name.lower():
            yield location.score
        return
    for rule in location.rules:
        answer = is_true(rule, node)
        if answer is not False:
            yield rule.score if answer else None


def is_true(rule: Rule, node: Node) -> bool | None:
    """Whether a rule is true of a node; None when that cannot be told."""
    kind = "container" if node.guest else "remote" if node.remote else "cluster"
    known = {**node.attributes, "#uname": node.name, "#kind": kind}
    return holds(rule, About(known, node.passing))
