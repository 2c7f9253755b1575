"""The loop: observe, decide, act, record; one sentence a turn.

Everything that must survive is in the record and in Nova: a worker may be killed at any line, and the next one goes on.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from ..errors import CloudError, ClusterError, ConflictError, HostError
from ..model import STOP, TRUE, UNRECORDED, ClusterView, Record, Service
from ..nova import Nova
from . import decide
from .context import Context
from .homecoming import BUSY_PAUSE, REST_PAUSE
from .host import Host
from .limits import Failed, held, is_new
from .missed import Missing
from .naming import host_of, host_of_record, is_listed, unmatched
from .quarantine import KeptOut
from .rebooted import Rebooted
from .rounds import Job, Rounds
from .selection import Policy
from .shared import Shared
from .unfenced import Unfenced

IDLE_PAUSE = 0.5         # between two looks at the CIB while nothing is on record
WATCHED_PAUSE = 5.0      # the same where a change of the configuration ends the pause
AT_ONCE = 16             # hosts whose lists are read at once
WHOLE = 60.0             # after so long the CIB is read whole although its version is the same
NOVA_LOOK = 30.0         # between two looks at Nova while nothing is on record
LOG = logging.getLogger(__name__)


class Worker:
    """One worker: the records' hosts, and the turns in which they get on."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.hosts: dict[str, Host] = {}
        self.rounds = Rounds(self.context.policy, self.context.clock)
        self.parameters: Mapping[str, str] | None = None  # of the resource, as the CIB last showed them
        self.patience = 120.0  # seconds without a heartbeat after which monitor calls this worker stuck
        self._nova_looked = -NOVA_LOOK
        self._whole = float("-inf")   # when the CIB was last read whole
        self._now = Shared(self._view)
        self.missing, self.unfenced, self.kept_out = Missing(context), Unfenced(context), KeptOut(context)
        self.rebooted = Rebooted(context)

    def reconfigure(self, nova: Nova, policy: Policy, domain: str) -> None:
        """Take new parameters; what is remembered of hosts and of lost answers stays."""
        self.context.nova, self.context.policy, self.context.domain = nova, policy, domain
        self.rounds = Rounds(self.context.policy, self.context.clock)
        for host in self.hosts.values():
            host.reconfigure()

    def turn(self) -> float:
        """One turn. Returns the pause in seconds before the next one. Errors of others end up in health, never here."""
        last, self.context.view = self.context.view, None
        try:
            view = self.context.view = self._look(last)
        except (ClusterError, HostError) as error:
            self.context.problem("cluster", str(error))
            return REST_PAUSE
        self.context.solved("cluster")
        self.parameters = view.parameters
        self._forget(view)
        self.context.records = dict(view.records)
        if not view.quorate:
            self.context.problem("quorum", "this part of the cluster has no quorum; nothing is done")
            return REST_PAUSE
        self.context.solved("quorum")
        for node, raw in view.broken.items():
            self.context.problem(f"record {node}", f"the record of {node} cannot be read: {raw[:60]!r}; correct or delete the node attribute")
        self._unmatched(view)
        ask = functools.cache(self._services)
        looks: tuple[Callable[[], None], ...] = (
            lambda: self._hold_back(view),
            lambda: self.missing.look(view, ask),
            lambda: self.unfenced.look(view),
            lambda: self.kept_out.look(self.context.services_known),
            lambda: self.rebooted.look(view, ask),
            self._mark_unrecorded,
        )
        for look in looks:                 # one that fails keeps no other from being done
            try:
                look()
            except (ClusterError, HostError) as error:
                self.context.problem("cluster", str(error))
        if not view.records:
            return self._idle(ask)
        limits = functools.cache(lambda: self._limits(view, ask() or []))
        self.context.held = lambda node: limits().get(node, "")
        self._read_ahead([self.hosts[node] for node in sorted(view.records) if node in self.hosts])
        pause = min(self._one(view, record, ask) for _, record in sorted(view.records.items()))
        looking = [host for node, host in self.hosts.items() if node in view.records and host.look]
        if not looking:
            return pause
        acted = self._act(looking)
        return min([pause, *(self._guarded(host.record, functools.partial(host.tell, acted[host.node])) for host in looking)])

    def _mark_unrecorded(self) -> None:
        for node, text in self._unrecorded().items():
            self.context.mark(node, UNRECORDED + text)

    def _look(self, last: ClusterView | None) -> ClusterView:
        """Return the CIB as it is now: while nothing is on record the last view, if its version says that nothing has changed."""
        if last is not None and not last.records and self.context.clock() - self._whole < WHOLE and self.context.cluster.is_at(last.version):
            return last
        self._whole = self.context.clock()
        return self._view()

    def _view(self) -> ClusterView:
        return self.context.cluster.view()

    def _hold_back(self, view: ClusterView) -> None:
        """Whether nova-compute may start on a node follows its record. A host that needs it started once more has it stopped for a while."""
        wanted = {node: STOP for node, host in self.hosts.items() if host.homecoming.stops and node in view.records}
        wanted |= dict.fromkeys(view.to_hold(), TRUE)
        for node in sorted({*wanted, *view.held}):
            if wanted.get(node, "") != view.held.get(node, ""):
                self.context.cluster.hold(node, wanted.get(node, ""))

    def _unmatched(self, view: ClusterView) -> None:
        """A name in protect_hosts that is no host's protects nothing: nobody else would say so."""
        hosts = [one.host for one in self.context.services_known]
        names = [*view.nodes, *view.mapped.values(), *hosts]
        odd = unmatched(self.context.policy.hosts, names) if hosts else []
        if odd:
            said = f"protect_hosts names what is no host: {', '.join(odd)}"
            self.context.problem("protect_hosts", said)
        else:
            self.context.solved("protect_hosts")

    def _limits(self, view: ClusterView, services: list[Service]) -> dict[str, str]:
        now, domain = time.time(), self.context.domain
        hosts = self.context.policy.hosts
        node_of = {host_of(view.named(node), domain, services) or "": node for node in view.nodes} if hosts else {}
        failed = [Failed(node, host_of_record(record, domain, services) or node, record)
                  for node, record in view.records.items() if is_new(record, now)]
        protected = [one for one in services if is_listed(hosts, one.host, node_of.get(one.host))]
        return held(failed, protected, self.context.aggregates(), self.context.policy.threshold)

    def _act(self, looking: list[Host]) -> dict[str, int]:
        """Choose over all hosts, and do it, all at once. How many servers of each were acted upon."""
        # Of those that were not looked at now, what was seen last.
        busy = {node: host.under_way for node, host in self.hosts.items() if host.is_counted}
        still = sum(host.still for host in self.hosts.values() if host.is_counted)
        jobs = self.rounds.run([host.share() for host in looking], busy, still, self._do)
        for host in looking:
            host.under_way += sum(1 for share, verdict in jobs if share.node == host.node and verdict.action == decide.EVACUATE)
        return {host.node: sum(1 for share, _ in jobs if share.node == host.node) for host in looking}

    def _do(self, job: Job) -> bool:
        share, verdict = job
        host, subject = self.hosts[share.node], f"bug {verdict.server.id}"
        try:
            smooth = share.engine.act(verdict, share.look, lambda: self.may_act(host.record))
        except Exception:  # one server's trouble must not keep the others from being evacuated
            LOG.exception("%s: acting on %s failed", host.node, verdict.server.id)
            self.context.problem(subject, f"{verdict.server.name} on {host.node}: the worker met a bug; its log has a traceback")
            host.subjects.add(subject)
            return False
        self.context.solved(subject)
        if verdict.action == decide.EVACUATE and host.asked is None:
            host.asked = self.context.moment()
        return smooth

    def _read_ahead(self, hosts: Sequence[Host]) -> None:
        """Read the lists of several hosts at once, which are looked at one after the other."""
        busy = [host for host in hosts if host.is_busy()]
        if len(busy) > 1:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(Host.read_ahead, busy))

    def _idle(self, ask: Callable[[], object]) -> float:
        if self.context.clock() - self._nova_looked >= NOVA_LOOK:
            self._nova_looked = self.context.clock()
            ask()
        self.context.say("nothing is on record")
        return WATCHED_PAUSE if self.context.watched() else IDLE_PAUSE

    def _services(self) -> list[Service] | None:
        try:
            services = self.context.nova.services()
        except CloudError as error:
            self.context.problem("nova", f"Nova cannot be asked: {error}")
            return None
        self.context.solved("nova")
        self.context.services_known = services
        return services

    def _one(self, view: ClusterView, record: Record, ask: Callable[[], list[Service] | None]) -> float:
        host = self.hosts.get(record.node)
        if host is None or host.incident != record.id:
            self._drop(record.node)
            host = self.hosts[record.node] = Host(self.context, record)
        host.record = record
        self.context.alive()
        return self._guarded(record, lambda: host.step(view, record, ask))

    def _guarded(self, record: Record, work: Callable[[], float]) -> float:
        """Do one host's work; what others did wrong ends up in health. Returns the pause before the next turn."""
        try:
            pause = work()
        except ConflictError as error:
            LOG.info("%s", error)
            return BUSY_PAUSE
        except CloudError as error:
            self.context.problem(f"cloud {record.node}", f"{record.node}: {error}")
            return REST_PAUSE
        except (ClusterError, HostError) as error:
            self.context.problem("cluster", str(error))
            return REST_PAUSE
        except Exception:  # one host's trouble must not keep the others from being evacuated
            LOG.exception("%s: a turn failed; trying again", record.node)
            self.context.problem(f"bug {record.node}", f"{record.node}: the worker met a bug; its log has a traceback")
            return REST_PAUSE
        self.context.solved(f"cloud {record.node}")
        self.context.solved(f"bug {record.node}")
        return pause

    def may_act(self, record: Record) -> bool:
        """Whether this worker may send for this record now: the CIB, read again, still says so."""
        try:
            view = self._now.look()
        except (ClusterError, HostError):
            return False
        if view.parameters != self.parameters:
            return False  # they have changed since this turn began: look at them first
        now = view.records.get(record.node)
        return (view.quorate and now is not None and view.held.get(record.node) == TRUE
                and (now.id, now.worker, now.state) == (record.id, self.context.token, record.state))

    def leave(self) -> None:
        """Before the worker ends: take away what this node shows of hosts, since another node may go on."""
        for node in [*self.context.shown]:
            self.context.unshow(node)

    def _forget(self, view: ClusterView) -> None:
        """Take away what is remembered and shown of nodes that have no record any more."""
        for node in [node for node in self.hosts if node not in view.records]:
            self._drop(node)
        for subject in [s for s in self.context.health.problems if s.startswith("record ") and s[len("record "):] not in view.broken]:
            self.context.solved(subject)
        told = {*view.records, *self._unrecorded()}
        for node in [node for node in self.context.shown if node not in told]:
            try:
                self.context.unshow(node)
            except (ClusterError, HostError) as error:
                LOG.warning("%s", error)

    def _unrecorded(self) -> dict[str, str]:
        """Return what is told of nodes that are on no record."""
        off = {node: f"back, and not evacuated; {len(servers)} servers are off since"
               for node, servers in self.rebooted.left_off.items()}
        lost = {node: f"offline, and will not be evacuated: {why}"
                for node, why in self.unfenced.told.items() if node not in self.context.records}
        return {**off, **lost}

    def _drop(self, node: str) -> None:
        """Forget an incident of a node, and what was wrong with it."""
        if node in self.hosts:
            for subject in self.hosts.pop(node).subjects:
                self.context.solved(subject)
