"""What the parts of one worker share: the two doors, the operator's policy, what the last look showed, and the place where people are told.

The parts get this and not the worker: they cannot reach each other through it.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..cluster import Cluster
from ..errors import FORBIDDEN, CloudRefused
from ..model import TOLD, Aggregate, ClusterView, Moment, Record, Service
from ..nova import Nova
from .naming import is_listed, off_hosts
from .selection import Policy

AGGREGATES_AGE = 60.0    # seconds after which host aggregates are read again
SHOW_PAUSE = 3.0         # between two words of progress of one host in crm_mon
LOG = logging.getLogger(__name__)


@dataclass
class Health:
    """What monitor and people are told. `problems` by subject; empty when all is well."""

    sentence: str = "started"
    problems: dict[str, str] = field(default_factory=dict)


@dataclass
class Context:
    """One worker's. `token` names it in the records. `clock` is monotonic seconds; `alive` is called as often as a turn gets on;
    `watched` says whether a change of the configuration ends a pause.

    `view` is the cluster's of this turn, None when it could not be asked; `services_known` is Nova's last answer, and may be
    half a minute old. `records` are as this turn has left them, by node. `held` says why a node's evacuation waits for a
    person, "" when it does not; it may raise CloudUnreachable. `reserves` are the incidents and reserved hosts for which this
    worker has enabled one.
    """

    cluster: Cluster
    nova: Nova
    policy: Policy
    token: str
    domain: str = ""
    clock: Callable[[], float] = time.monotonic
    alive: Callable[[], None] = lambda: None
    watched: Callable[[], bool] = lambda: False
    view: ClusterView | None = None
    services_known: Sequence[Service] = ()
    records: dict[str, Record] = field(default_factory=dict)
    held: Callable[[str], str] = lambda node: ""
    reserves: set[tuple[str, str]] = field(default_factory=set)
    health: Health = field(default_factory=Health)
    _aggregates: Sequence[Aggregate] = ()
    _aggregates_read: float = float("-inf")
    _shown: dict[str, tuple[str, float]] = field(default_factory=dict)

    def moment(self) -> Moment:
        """Now, for those who look on."""
        return time.time(), self.clock()

    def aggregates(self, fresh: bool = False) -> Sequence[Aggregate]:
        """Return Nova's host aggregates, no older than a minute; none where Nova does not show them. Raises CloudError."""
        if fresh or self._aggregates_read <= self.clock() - AGGREGATES_AGE:
            try:
                self._aggregates = self.nova.aggregates()
                self.solved("aggregates")
            except CloudRefused as error:
                if error.status != FORBIDDEN:
                    raise
                self.problem("aggregates", f"Nova does not show its host aggregates, so that what they say does not count: {error}")
            self._aggregates_read = self.clock()
        return self._aggregates

    def dead_hosts(self, services: Sequence[Service]) -> frozenset[str]:
        """Return the hosts that are off for certain, by what the records say now."""
        return off_hosts(services, [*self.records.values()], self.view.nodes if self.view else {}, self.domain)

    def protects(self, node: str, host: str | None) -> bool:
        """Return True if a node is to be protected, by its own name or Nova's (protect_hosts)."""
        return is_listed(self.policy.hosts, node, host)

    def show(self, node: str, text: str) -> None:
        """Tell people how a host stands: in the log, and as an attribute of this node, since crm_mon hides those of dead ones."""
        self.health.sentence = f"{node}: {text}"
        self.mark(node, text)

    def mark(self, node: str, text: str) -> None:
        """Tell people of a host in the log and in crm_mon; the sentence of this turn stays."""
        before, when = self._shown.get(node, ("", float("-inf")))
        # Each write makes Pacemaker compute what is to be done anew: progress alone is told every few seconds.
        progress = re.sub(r"\d+", "", text) == re.sub(r"\d+", "", before)
        if before != text and (not progress or self.clock() - when >= SHOW_PAUSE):
            LOG.info("%s: %s", node, text)
            self.cluster.show(TOLD + node, text)
            self._shown[node] = (text, self.clock())

    @property
    def shown(self) -> Mapping[str, tuple[str, float]]:
        """What this node shows of hosts, by node: the words, and since when."""
        return self._shown

    def unshow(self, node: str) -> None:
        """Take away what this node shows of a host. Raises ClusterError, HostError."""
        self.cluster.show(TOLD + node, None)
        self._shown.pop(node, None)

    def say(self, text: str) -> None:
        """The sentence of this turn."""
        if self.health.sentence != text:
            LOG.info("%s", text)
        self.health.sentence = text

    def problem(self, subject: str, text: str) -> None:
        """Something that a person should know; it stays until it is solved."""
        if self.health.problems.get(subject) != text:
            LOG.warning("%s", text)
        self.health.problems[subject] = text

    def solved(self, subject: str) -> None:
        """The problem of this subject, if there was one, is no more."""
        self.health.problems.pop(subject, None)
