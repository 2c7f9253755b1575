"""Pure: the location rules by which Pacemaker holds nova-compute back on a host while the attribute beside its record says so.

The first keeps nova-compute from starting. It stops one that runs, too, where others of the clone run on other hosts, whatever its
stickiness (crm_simulate of 2.1.5 and 3.0.0). A record can be older than its host's return, out of a configuration that was restored, and
then the host's servers run on, and the worker lets the host in. The second is for what Nova leaves open after a request that it lost, which takes
a second start. They are `eq`s: of others crmsh 4 forgets the type of the value whenever it changes anything in the configuration.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ..configuration import Configuration, Node, Resource
from ..model import HELD, STOP, TRUE
from .banned import weight


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


HOLD_BACK = Hold(TRUE, "-10000", -1)    # far more than what people prefer hosts by
STOPPED = Hold(STOP, "-INFINITY", -math.inf)
