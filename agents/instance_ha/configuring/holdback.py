"""Pure: the location rules by which Pacemaker holds nova-compute back on a host while the attribute beside its record says so.

The first keeps nova-compute from starting, and does not stop one that runs: that one outweighs the rule with its stickiness. A record can be
older than its host's return, out of a configuration that was restored, and then nova-compute's reports are what tells the worker that the
host is in service. The second stops it: what Nova leaves open after a request that it lost takes a second start. They are `eq`s: of
others crmsh 4 forgets the type of the value whenever it changes anything in the configuration.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ..configuration import Configuration, Location, Node, Resource
from ..model import HELD, STOP, TRUE
from ..values import score
from .banned import added, placed, weight, weights

STICKINESS = 100000
STICKY = {"resource-stickiness": str(STICKINESS)}


@dataclass(frozen=True)
class Hold:
    """One of the rules: the attribute's value that it is about, its score, and the most that a host may come to by all constraints."""

    value: str
    score: str
    most: float

    def rule(self, attribute: str) -> list[str]:
        """Its words, as pcs and crmsh have them."""
        return [HELD.format(attribute), "eq", self.value]

    def id(self, resource: Resource) -> str:
        """A name for it."""
        return f"{resource.outermost}-{'held' if self.value == TRUE else 'stopped'}"

    def is_missing(self, has: Configuration, resource: Resource, hosts: Iterable[str], attribute: str) -> bool:
        """Whether a nova-compute lacks it for one of these hosts. What is not certain counts as yes."""
        return not all(weight(has, resource, self.held(has.nodes[host], attribute)) <= self.most for host in hosts)

    def held(self, node: Node, attribute: str) -> Node:
        """The node, with the attribute."""
        return node.having(**{HELD.format(attribute): self.value})


HOLD_BACK = Hold(TRUE, "-10000", -1)    # far more than what people prefer hosts by, and far less than the stickiness
STOPPED = Hold(STOP, "-INFINITY", -math.inf)


def is_sticky(resource: Resource) -> bool:
    """Whether the rule does not stop it where it runs."""
    return score(resource.meta.get("resource-stickiness")) >= STICKINESS


def stopping(has: Configuration, resource: Resource, hosts: Iterable[str], attribute: str) -> list[Location]:
    """The constraints that would stop it where it runs although it is only to be kept from starting: the attribute's `true` takes
    from one of these hosts as much as the stickiness gives it."""
    nodes = [has.nodes[host] for host in hosts]
    return [location for location in placed(has, resource) if any(
        added(weights(location, HOLD_BACK.held(node, attribute))) <= -STICKINESS < added(weights(location, node)) for node in nodes)]
