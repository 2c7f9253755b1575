"""The loop: observe, decide, act, record; one sentence a turn.

Everything that must survive is in the record and in Nova: a worker may be killed at any line, and the next one goes on.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .cluster import Cluster
from .errors import CloudError, ClusterError, ConflictError, HostError
from .evacuation import Window
from .host import BUSY_PAUSE, REST_PAUSE, Host
from .model import ClusterView, Record, Service
from .nova import Nova
from .selection import Policy

IDLE_PAUSE = 0.5         # between two looks at the CIB while nothing is on record
NOVA_LOOK = 30.0         # between two looks at Nova while nothing is on record
ATTRIBUTE = "evacuation-"  # and the node's name: what crm_mon -A shows of it
LOG = logging.getLogger(__name__)


@dataclass
class Health:
    """What monitor and people are told. `problems` by subject; empty when all is well."""

    sentence: str = "started"
    problems: dict[str, str] = field(default_factory=dict)


class Worker:
    """One worker. `token` names it in the records. `clock` is monotonic seconds; `alive` is called as often as a turn gets on."""

    def __init__(self, cluster: Cluster, nova: Nova, policy: Policy, token: str, domain: str = "",
                 clock: Callable[[], float] = time.monotonic, alive: Callable[[], None] = lambda: None) -> None:
        self.alive = alive
        self.cluster, self.nova, self.policy, self.token, self.domain, self.clock = cluster, nova, policy, token, domain, clock
        self.health = Health()
        self.window = Window(policy.max_parallel)
        self.hosts: dict[str, Host] = {}
        self.patience = 120.0  # seconds without a heartbeat after which monitor calls this worker stuck
        self._nova_looked = -NOVA_LOOK
        self._shown: dict[str, str] = {}

    def reconfigure(self, nova: Nova, policy: Policy, domain: str) -> None:
        """Take new parameters; what is remembered of hosts and of lost answers stays."""
        self.nova, self.policy, self.domain = nova, policy, domain
        self.window = Window(policy.max_parallel)
        for host in self.hosts.values():
            host.reconfigure()

    def turn(self) -> float:
        """One turn. Returns the pause in seconds before the next one. Errors of others end up in health, never here."""
        try:
            view = self.cluster.view()
        except (ClusterError, HostError) as error:
            self.problem("cluster", str(error))
            return REST_PAUSE
        self.solved("cluster")
        self._forget(view)
        if not view.quorate:
            self.problem("quorum", "this part of the cluster has no quorum; nothing is done")
            return REST_PAUSE
        self.solved("quorum")
        for node, raw in view.broken.items():
            self.problem(f"record {node}", f"the record of {node} cannot be read: {raw[:60]!r}; correct or delete the node attribute")
        if not view.records:
            return self._idle()
        ask = functools.cache(self._services)
        return min(self._one(view, record, ask) for _, record in sorted(view.records.items()))

    def _idle(self) -> float:
        if self.clock() - self._nova_looked >= NOVA_LOOK:
            self._nova_looked = self.clock()
            self._services()
        self.say("nothing is on record")
        return IDLE_PAUSE

    def _services(self) -> list[Service] | None:
        try:
            services = self.nova.services()
        except CloudError as error:
            self.problem("nova", f"Nova cannot be asked: {error}")
            return None
        self.solved("nova")
        return services

    def _one(self, view: ClusterView, record: Record, ask: Callable[[], list[Service] | None]) -> float:
        host = self.hosts.get(record.node)
        if host is None or host.incident != record.id:
            host = self.hosts[record.node] = Host(self, record)
        self.alive()
        try:
            pause = host.step(view, record, ask)
        except ConflictError as error:
            LOG.info("%s", error)
            return BUSY_PAUSE
        except CloudError as error:
            self.problem(f"cloud {record.node}", f"{record.node}: {error}")
            return REST_PAUSE
        except (ClusterError, HostError) as error:
            self.problem("cluster", str(error))
            return REST_PAUSE
        self.solved(f"cloud {record.node}")
        return pause

    def may_act(self, record: Record) -> bool:
        """Whether this worker may send for this record now: the CIB, read again, still says so."""
        try:
            view = self.cluster.view()
        except (ClusterError, HostError):
            return False
        now = view.records.get(record.node)
        return view.quorate and now is not None and (now.id, now.worker, now.state) == (record.id, self.token, record.state)

    def under_way(self) -> int:
        """Evacuations under way, of all hosts."""
        return sum(host.under_way for host in self.hosts.values())

    def show(self, node: str, text: str) -> None:
        """Tell people how a host stands: in the log, and as an attribute of this node, since crm_mon hides those of dead ones."""
        self.say(f"{node}: {text}")
        if self._shown.get(node) != text:
            self.cluster.show(ATTRIBUTE + node, text)
            self._shown[node] = text

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

    def leave(self) -> None:
        """Before the worker ends: take away what this node shows of hosts, since another node may go on."""
        for node in self._shown:
            self.cluster.show(ATTRIBUTE + node, None)

    def _forget(self, view: ClusterView) -> None:
        """Take away what is remembered and shown of nodes that have no record any more."""
        for node in [node for node in self.hosts if node not in view.records]:
            for subject in self.hosts.pop(node).subjects:
                self.solved(subject)
        for subject in [s for s in self.health.problems if s.startswith("record ") and s[len("record "):] not in view.broken]:
            self.solved(subject)
        for node in [node for node in self._shown if node not in view.records]:
            try:
                self.cluster.show(ATTRIBUTE + node, None)
                del self._shown[node]
            except (ClusterError, HostError) as error:
                LOG.warning("%s", error)
