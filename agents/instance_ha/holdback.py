"""Pure: the location rules by which Pacemaker holds nova-compute back while the record of its host says that nothing may start there.

A record begins with its state. `evacuated`, `partly`, `returning` and `no` let nova-compute start; `fenced`, `confirmed`, fence_compute's `yes`
and what begins with any other letter do not. The rules compare text, without regard to case; they are not true of a host without a record.

They keep it from starting, and do not stop one that runs: it outweighs them with its stickiness. A record can be older than its host's
return, out of a configuration that was restored, and then nova-compute's reports are what tells the worker that the host is in service.
"""

from __future__ import annotations

from collections.abc import Iterable

from .banned import TEXT, number, weight
from .inventory import Inventory, Node, Resource
from .model import CONFIRMED, FENCED, LEGACY_YES

HELD = (CONFIRMED, LEGACY_YES, FENCED)
SCORE, STICKINESS = -10000, 100000      # far more than what people prefer hosts by, and far more than that
STICKY = {"resource-stickiness": str(STICKINESS)}


def rules(attribute: str) -> tuple[list[str], list[str]]:
    """The words of the two rules, as pcs has them."""
    return ([attribute, "lt", TEXT, "e", "or", attribute, "gt", TEXT, "s"],
            [attribute, "gt", TEXT, "f", "and", attribute, "lt", TEXT, "n"])


def missing(has: Inventory, resource: Resource, hosts: Iterable[str], attribute: str) -> list[list[str]]:
    """The rules that a nova-compute lacks for one of these hosts."""
    nodes = [has.nodes[host] for host in hosts]
    first, second = rules(attribute)
    held = {state: all(is_held(has, resource, recorded(node, attribute, state)) for node in nodes) for state in HELD}
    return ([] if held[CONFIRMED] and held[LEGACY_YES] else [first]) + ([] if held[FENCED] else [second])


def is_held(has: Inventory, resource: Resource, node: Node) -> bool:
    """Whether it cannot start on the node. What is not certain counts as no."""
    return weight(has, resource, node) < 0


def is_sticky(resource: Resource) -> bool:
    """Whether the rules do not stop it where it runs."""
    return number(resource.meta.get("resource-stickiness", "")) >= STICKINESS


def recorded(node: Node, attribute: str, state: str) -> Node:
    """The node with a record in a state."""
    text = state if state == LEGACY_YES else f"{state};id=0"
    return Node(node.name, node.remote, {**node.attributes, attribute: text})
