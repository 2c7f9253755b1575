"""The loop: observe, decide, act, record; one sentence a turn.

Everything that must survive is in the record and in Nova: a worker may be killed at any line, and the next one goes on.
"""

from __future__ import annotations

import functools
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ..cluster import Cluster
from ..errors import FORBIDDEN, CloudError, CloudRefused, ClusterError, ConflictError, HostError
from ..model import STOP, TOLD, TRUE, Aggregate, ClusterView, Moment, Record, Service
from ..nova import Nova
from . import decide
from .homecoming import BUSY_PAUSE, REST_PAUSE
from .host import Host
from .limits import Failed, held
from .missed import Missing
from .naming import host_of, off_hosts
from .scene import Verdict
from .selection import Policy
from .unfenced import Unfenced
from .window import Queue, Waiting, Window

IDLE_PAUSE = 0.5         # between two looks at the CIB while nothing is on record
NOVA_LOOK = 30.0         # between two looks at Nova while nothing is on record
AGGREGATES_AGE = 60.0    # seconds after which host aggregates are read again
SHOW_PAUSE = 3.0         # between two words of progress of one host in crm_mon
THREADS = 32             # requests to Nova at once
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
        self.hosts: dict[str, Host] = {}
        self._held: Callable[[], dict[str, str]] = dict
        self._new_limits()
        self._aggregates: Sequence[Aggregate] = ()
        self._aggregates_read = float("-inf")
        self.view: ClusterView | None = None          # of the last turn, None when the cluster could not be asked
        self.parameters: Mapping[str, str] | None = None  # of the resource, as the CIB last showed them
        self.patience = 120.0  # seconds without a heartbeat after which monitor calls this worker stuck
        self._nova_looked = -NOVA_LOOK
        self.services_known: Sequence[Service] = ()   # Nova's, as of the last look
        self.missing, self.unfenced = Missing(self), Unfenced(self)
        self._shown: dict[str, tuple[str, float]] = {}

    def reconfigure(self, nova: Nova, policy: Policy, domain: str) -> None:
        """Take new parameters; what is remembered of hosts and of lost answers stays."""
        self.nova, self.policy, self.domain = nova, policy, domain
        self._new_limits()
        for host in self.hosts.values():
            host.reconfigure()

    def _new_limits(self) -> None:
        policy = self.policy
        self.window = Window(policy.min_parallel, policy.max_parallel)
        self.queue = Queue(policy.group_timeout, policy.start_pause, self.clock)

    def turn(self) -> float:
        """One turn. Returns the pause in seconds before the next one. Errors of others end up in health, never here."""
        self.view = None
        try:
            view = self.view = self.cluster.view()
        except (ClusterError, HostError) as error:
            self.problem("cluster", str(error))
            return REST_PAUSE
        self.solved("cluster")
        self.parameters = view.parameters
        self._forget(view)
        if not view.quorate:
            self.problem("quorum", "this part of the cluster has no quorum; nothing is done")
            return REST_PAUSE
        self.solved("quorum")
        for node, raw in view.broken.items():
            self.problem(f"record {node}", f"the record of {node} cannot be read: {raw[:60]!r}; correct or delete the node attribute")
        ask = functools.cache(self._services)
        try:
            self._hold_back(view)
            self.missing.look(view, ask)
            self.unfenced.look(view)
        except (ClusterError, HostError) as error:
            self.problem("cluster", str(error))
        if not view.records:
            return self._idle(ask)
        self._held = functools.cache(lambda: self._limits(view, ask() or []))
        pause = min(self._one(view, record, ask) for _, record in sorted(view.records.items()))
        looking = [host for node, host in self.hosts.items() if node in view.records and host.look]
        if not looking:
            return pause
        acted = self._act(looking)
        return min([pause, *(self._guarded(host.record, functools.partial(host.tell, acted[host.node])) for host in looking)])

    def _hold_back(self, view: ClusterView) -> None:
        """Whether nova-compute may start on a node follows its record. A host that needs it started once more has it stopped for a while."""
        wanted = {node: STOP for node, host in self.hosts.items() if host.homecoming.stops and node in view.records}
        wanted |= dict.fromkeys(view.to_hold(), TRUE)
        for node in sorted({*wanted, *view.held}):
            if wanted.get(node, "") != view.held.get(node, ""):
                self.cluster.hold(node, wanted.get(node, ""))

    def held(self, node: str) -> str:
        """Why a node's evacuation waits for a person, "" when it does not. Raises CloudUnreachable."""
        return self._held().get(node, "")

    def _limits(self, view: ClusterView, services: list[Service]) -> dict[str, str]:
        failed = [Failed(node, host_of(record.host or node, self.domain, services) or node, record) for node, record in view.records.items()]
        return held(failed, services, self.aggregates(), self.policy.threshold)

    def _act(self, looking: list[Host]) -> dict[str, int]:
        """Choose over all hosts, and do it, all at once. How many servers of each were acted upon."""
        hosts = {host.node: host for host in looking}
        waiting = [Waiting(node, v.server) for node, host in hosts.items() if host.look and host.may_start for v in host.look.waiting]
        unfinished = [v.server for host in looking if host.look and not host.paused for v in host.look.verdicts
                      if v.protected and v.action not in (decide.DONE, decide.LEFT)]
        busy = {node: host.under_way for node, host in self.hosts.items()}  # of those that were not looked at now, what was seen last
        room = self.window.room(sum(busy.values()), sum(host.still for host in self.hosts.values()))
        chosen, reasons = self.queue.choose(waiting, unfinished, busy, room)
        starting = {one.server.id for one in chosen}
        undecided = finished = 0
        jobs: list[tuple[Host, Verdict]] = []
        for host in looking:
            assert host.look is not None and host.engine is not None
            undecided += host.look.undecided()
            host.look.queue(reasons if host.may_start else {v.server.id: "waits" for v in host.look.waiting})
            begun = [v for v in host.look.waiting if v.server.id in starting]
            jobs += [(host, v) for v in (*host.look.chores, *begun)]
            host.under_way += len(begun)
            finished, host.engine.finished = finished + host.engine.finished, 0
        with ThreadPoolExecutor(max_workers=max(1, min(THREADS, len(jobs)))) as pool:
            smooth = list(pool.map(self._do, jobs))
        if not all(smooth):
            self.window.trouble()
        self.window.tick(self.clock(), sum(busy.values()) + len(chosen), undecided, finished)
        return {node: sum(1 for host, _ in jobs if host.node == node) for node in hosts}

    def _do(self, job: tuple[Host, Verdict]) -> bool:
        host, verdict = job
        assert host.look is not None and host.engine is not None
        subject = f"bug {verdict.server.id}"
        try:
            smooth = host.engine.act(verdict, host.look, lambda: self.may_act(host.record))
        except Exception:  # one server's trouble must not keep the others from being evacuated
            LOG.exception("%s: acting on %s failed", host.node, verdict.server.id)
            self.problem(subject, f"{verdict.server.name} on {host.node}: the worker met a bug; its log has a traceback")
            host.subjects.add(subject)
            return False
        self.solved(subject)
        if verdict.action == decide.EVACUATE and host.asked is None:
            host.asked = self.moment()
        return smooth

    def moment(self) -> Moment:
        """Now, for those who look on."""
        return time.time(), self.clock()

    def aggregates(self, fresh: bool = False) -> Sequence[Aggregate]:
        """Nova's host aggregates, no older than a minute; none where Nova does not show them. Raises CloudError."""
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
        """Hosts that are off for certain, by what the records say now."""
        return off_hosts(services, [host.record for host in self.hosts.values()], self.view.nodes if self.view else {}, self.domain)

    def _idle(self, ask: Callable[[], object]) -> float:
        if self.clock() - self._nova_looked >= NOVA_LOOK:
            self._nova_looked = self.clock()
            ask()
        self.say("nothing is on record")
        return IDLE_PAUSE

    def _services(self) -> list[Service] | None:
        try:
            services = self.nova.services()
        except CloudError as error:
            self.problem("nova", f"Nova cannot be asked: {error}")
            return None
        self.solved("nova")
        self.services_known = services
        return services

    def _one(self, view: ClusterView, record: Record, ask: Callable[[], list[Service] | None]) -> float:
        host = self.hosts.get(record.node)
        if host is None or host.incident != record.id:
            self._drop(record.node)
            host = self.hosts[record.node] = Host(self, record)
        host.record = record
        self.alive()
        return self._guarded(record, lambda: host.step(view, record, ask))

    def _guarded(self, record: Record, work: Callable[[], float]) -> float:
        """Do one host's work; what others did wrong ends up in health. Returns the pause before the next turn."""
        try:
            pause = work()
        except ConflictError as error:
            LOG.info("%s", error)
            return BUSY_PAUSE
        except CloudError as error:
            self.problem(f"cloud {record.node}", f"{record.node}: {error}")
            return REST_PAUSE
        except (ClusterError, HostError) as error:
            self.problem("cluster", str(error))
            return REST_PAUSE
        except Exception:  # one host's trouble must not keep the others from being evacuated
            LOG.exception("%s: a turn failed; trying again", record.node)
            self.problem(f"bug {record.node}", f"{record.node}: the worker met a bug; its log has a traceback")
            return REST_PAUSE
        self.solved(f"cloud {record.node}")
        self.solved(f"bug {record.node}")
        return pause

    def may_act(self, record: Record) -> bool:
        """Whether this worker may send for this record now: the CIB, read again, still says so."""
        try:
            view = self.cluster.view()
        except (ClusterError, HostError):
            return False
        if view.parameters != self.parameters:
            return False  # they have changed since this turn began: look at them first
        now = view.records.get(record.node)
        return (view.quorate and now is not None and view.held.get(record.node) == TRUE
                and (now.id, now.worker, now.state) == (record.id, self.token, record.state))

    def show(self, node: str, text: str) -> None:
        """Tell people how a host stands: in the log, and as an attribute of this node, since crm_mon hides those of dead ones."""
        self.health.sentence = f"{node}: {text}"
        before, when = self._shown.get(node, ("", float("-inf")))
        # Each write makes Pacemaker compute what is to be done anew: progress alone is told every few seconds.
        progress = re.sub(r"\d+", "", text) == re.sub(r"\d+", "", before)
        if before != text and (not progress or self.clock() - when >= SHOW_PAUSE):
            LOG.info("%s: %s", node, text)
            self.cluster.show(TOLD + node, text)
            self._shown[node] = (text, self.clock())

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
            self.cluster.show(TOLD + node, None)

    def _forget(self, view: ClusterView) -> None:
        """Take away what is remembered and shown of nodes that have no record any more."""
        for node in [node for node in self.hosts if node not in view.records]:
            self._drop(node)
        for subject in [s for s in self.health.problems if s.startswith("record ") and s[len("record "):] not in view.broken]:
            self.solved(subject)
        for node in [node for node in self._shown if node not in view.records]:
            try:
                self.cluster.show(TOLD + node, None)
                del self._shown[node]
            except (ClusterError, HostError) as error:
                LOG.warning("%s", error)

    def _drop(self, node: str) -> None:
        """Forget an incident of a node, and what was wrong with it."""
        if node in self.hosts:
            for subject in self.hosts.pop(node).subjects:
                self.solved(subject)
