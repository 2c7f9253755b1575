"""The loop: observe, decide, act, record; one sentence a turn.

Everything that must survive is in the record and in Nova: a worker may be killed at any line, and the next one goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from . import decide
from .cluster import Cluster
from .errors import CloudError, CloudRefused, ClusterError, ConflictError, HostError
from .evacuation import SEND_DEADLINE, Evacuation, Turn, Window
from .model import CONFIRMED, DISABLED_BY_US, EVACUATED, FENCED, PARTLY, RETURNING, ClusterView, Record, Service
from .nova import Nova
from .selection import Policy

IDLE_PAUSE = 0.5         # between two looks at the CIB while nothing is on record
WATCH_PAUSE = 0.1        # while Pacemaker's confirmation is awaited
BUSY_PAUSE = 0.25        # while servers move
REST_PAUSE = 1.0         # while a host waits for its return
NOVA_LOOK = 30.0         # between two looks at Nova while nothing is on record
TAKEOVER = SEND_DEADLINE + 5.0  # how long requests of another worker may still be on their way
LOG = logging.getLogger(__name__)


@dataclass
class Health:
    """What monitor and people are told. `problems` by subject; empty when all is well."""

    sentence: str = "started"
    problems: dict[str, str] = field(default_factory=dict)


@dataclass
class _Host:
    """What the worker remembers of one record's host."""

    incident: str
    evacuation: Evacuation | None = None
    since: float = 0.0               # monotonic time at which the proof was seen
    taken_over: float | None = None
    updated: str = ""                # the service's updated_at when it was first looked at
    alive: int = 0                   # how often it has moved since
    cleaning: bool = False           # guests that left were seen to be still on it
    shown: str = ""
    last: Turn | None = None


class Worker:
    """One worker. `clock` is monotonic seconds."""

    def __init__(self, cluster: Cluster, nova: Nova, policy: Policy, token: str, domain: str = "",
                 clock: Callable[[], float] = time.monotonic) -> None:
        self.cluster, self.nova, self.policy, self.token, self.domain, self.clock = cluster, nova, policy, token, domain, clock
        self.health = Health()
        self.window = Window(policy.max_parallel)
        self.hosts: dict[str, _Host] = {}
        self._nova_looked = -NOVA_LOOK
        self._shown: set[str] = set()

    def turn(self) -> float:
        """One turn. Returns the pause in seconds before the next one. Errors of others end up in health, never here."""
        try:
            view = self.cluster.view()
        except (ClusterError, HostError) as error:
            self._problem("cluster", str(error))
            return REST_PAUSE
        self.health.problems.pop("cluster", None)
        self._forget(view)
        if not view.quorate:
            self._problem("quorum", "this part of the cluster has no quorum; nothing is done")
            return REST_PAUSE
        self.health.problems.pop("quorum", None)
        for node, raw in view.broken.items():
            self._problem(node, f"the record of {node} cannot be read: {raw[:60]!r}")
        if not view.records:
            return self._idle()
        return self._work(view)

    def _idle(self) -> float:
        if self.clock() - self._nova_looked >= NOVA_LOOK:
            self._nova_looked = self.clock()
            self._services()
        self._sentence("nothing is on record")
        return IDLE_PAUSE

    def _services(self) -> list[Service] | None:
        try:
            services = self.nova.services()
        except CloudError as error:
            self._problem("nova", f"Nova cannot be asked: {error}")
            return None
        self.health.problems.pop("nova", None)
        return services

    def _work(self, view: ClusterView) -> float:
        seen_at = self.clock()
        services = self._services()
        pauses = []
        for node, record in sorted(view.records.items()):
            host = self.hosts.get(node)
            if host is None or host.incident != record.id:
                host = self.hosts[node] = _Host(record.id)
            try:
                pauses.append(self._host(view, record, host, services, seen_at))
                self.health.problems.pop(f"cloud {node}", None)
            except ConflictError as error:
                LOG.info("%s", error)
                pauses.append(BUSY_PAUSE)
            except CloudError as error:
                self._problem(f"cloud {node}", f"{node}: {error}")
                pauses.append(REST_PAUSE)
            except (ClusterError, HostError) as error:
                self._problem("cluster", str(error))
                pauses.append(REST_PAUSE)
        return min(pauses)

    def _host(self, view: ClusterView, record: Record, host: _Host, services: list[Service] | None, seen_at: float) -> float:
        if record.state == FENCED:
            record = self._confirm(view, record, host)
            if record.state == FENCED:
                self._prepare(record, host, services)
                return WATCH_PAUSE
        if services is None:
            self._show(record, host, f"{record.state}, waiting for Nova")
            return REST_PAUSE
        name = decide.host_of(record.host or record.node, self.domain, services)
        service = next((s for s in services if s.binary == "nova-compute" and s.host == name), None)
        if service is None:
            self._problem(record.node, f"Nova knows no compute host for the node {record.node}: see the parameter domain")
            return REST_PAUSE
        if record.worker != self.token and record.state in (CONFIRMED, PARTLY):
            if record.worker:
                host.taken_over = self.clock()
                LOG.info("%s: taken over from the worker %s", record.node, record.worker)
            record = self.cluster.replace(record.to(record.state, worker=self.token))
        if record.state in (CONFIRMED, PARTLY):
            return self._evacuate(view, record, host, service, services, seen_at)
        return self._return(view, record, host, service)

    def _confirm(self, view: ClusterView, record: Record, host: _Host) -> Record:
        proof, reason = decide.proof_of_fencing(record, view.nodes.get(record.node), self.cluster.history(record.node))
        if not proof:
            self._show(record, host, f"recorded; {reason}")
            if "failed" in reason or "online" in reason:
                self._problem(record.node, f"{record.node} is not evacuated: {reason}")
            return record
        self.health.problems.pop(record.node, None)
        host.since = self.clock()
        LOG.info("%s: fencing confirmed by Pacemaker (%s)", record.node, proof)
        return self.cluster.replace(record.to(CONFIRMED, proof=proof, worker=self.token))

    def _evacuate(self, view: ClusterView, record: Record, host: _Host, service: Service, services: list[Service],
                  seen_at: float) -> float:
        if not host.since:
            host.since = self.clock()
        hindrance = self._hindrance(record, host, service, services)
        if hindrance:
            self._show(record, host, f"{record.state}; {hindrance}")
            return BUSY_PAUSE
        if self._alive(view, record, host, service):
            self._show(record, host, "nova-compute is alive again")
            self.cluster.replace(record.to(RETURNING))
            return BUSY_PAUSE
        if host.evacuation is None:
            host.evacuation = self._evacuation(record, service.host)
        if record.baseline is None:
            rows = self.nova.evacuations(service.host)
            record = self.cluster.replace(record.to(CONFIRMED, baseline=rows[-1].id if rows else 0, host=service.host))
        if record.state == PARTLY and host.last and any(v.action == decide.EVACUATE or v.action == decide.WAIT for v in host.last.verdicts):
            record = self.cluster.replace(record.to(CONFIRMED))
        # Servers of a partly evacuated host are only looked at; trying again needs the record back in CONFIRMED first,
        # so that the node is not let in meanwhile.
        room = 0 if record.state == PARTLY else self.window.size - self._under_way()
        turn = host.last = host.evacuation.turn(services, record.baseline or 0, True, seen_at, room)
        return self._tell(record, host, turn)

    def _hindrance(self, record: Record, host: _Host, service: Service, services: list[Service]) -> str:
        if not self.policy.enabled:
            return "evacuation is switched off (enabled=false)"
        if host.taken_over is not None and self.clock() - host.taken_over < TAKEOVER:
            return "taking over from another worker"
        if self.clock() - host.since < self.policy.evacuate_delay:
            return f"evacuate_delay of {self.policy.evacuate_delay:g} s runs"
        if service.up or not service.forced_down:
            self.nova.force_down(service, True)
            return "marking it down in Nova"
        if service.enabled:
            self.nova.disable(service, f"{DISABLED_BY_US} fenced by Pacemaker, being evacuated ({record.id})")
            return "disabling it in Nova"
        others = [s for s in services if s.binary == "nova-compute" and s.up and s.enabled and s.host != service.host]
        if not others:
            self._problem(record.node, f"{record.node} is not evacuated: no other compute host is up and enabled")
            return "no other compute host is up and enabled"
        self.health.problems.pop(record.node, None)
        return ""

    def _prepare(self, record: Record, host: _Host, services: list[Service] | None) -> None:
        """Use the wait for Pacemaker to get ready; nothing is changed."""
        name = decide.host_of(record.host or record.node, self.domain, services or [])
        if host.evacuation is None and name:
            host.evacuation = self._evacuation(record, name)
            host.evacuation.prepare()

    def _evacuation(self, record: Record, host: str) -> Evacuation:
        return Evacuation(self.nova, host, record.id, self.token, self.policy, window=self.window)

    def _under_way(self) -> int:
        return sum(
            1 for host in self.hosts.values() if host.last
            for verdict in host.last.verdicts if verdict.action == decide.EVACUATE or (verdict.action == decide.WAIT and not verdict.retry)
        )

    def _tell(self, record: Record, host: _Host, turn: Turn) -> float:
        done = len(host.evacuation.done) if host.evacuation else 0
        counted = [v for v in turn.verdicts if v.protected and v.server.id not in (host.evacuation.done if host.evacuation else {})]
        left = [v for v in counted if v.action == decide.LEFT]
        total = done + len([v for v in counted if v.action != decide.UNLOCK])
        if left:
            names = "; ".join(f"{v.server.name}: {v.reason}" for v in left[:3])
            self._problem(f"left {record.node}", f"{len(left)} of {record.node}'s servers not evacuated: {names}")
        else:
            self.health.problems.pop(f"left {record.node}", None)
        text = f"{done}/{total} done" + (f", {len(left)} failed" if left else "")
        if turn.acted or not decide.host_over(turn.verdicts):
            self._show(record, host, f"evacuating, {text}")
            return 0.05 if turn.acted else BUSY_PAUSE
        state = PARTLY if left else EVACUATED
        if record.state != state or record.left != len(left):
            record = self.cluster.replace(record.to(state, left=len(left)))
        self._show(record, host, f"{'evacuated' if state == EVACUATED else 'partly evacuated'}, {text}; waiting for its return")
        return REST_PAUSE

    def _alive(self, view: ClusterView, record: Record, host: _Host, service: Service) -> bool:
        """Whether nova-compute reports again: the node is online, and the service's time stamp has moved twice since it
        was first looked at. Once may be a person's doing: each change of a service moves it."""
        node = view.nodes.get(record.node)
        if node is None or not node.online:
            host.updated, host.alive = "", 0
            return False
        if not host.updated:
            host.updated = service.updated
        elif service.updated and service.updated != host.updated:
            host.updated, host.alive = service.updated, host.alive + 1
        return host.alive >= 2

    def _return(self, view: ClusterView, record: Record, host: _Host, service: Service) -> float:
        alive = self._alive(view, record, host, service)
        if record.state == EVACUATED and not alive:
            self._show(record, host, "evacuated; waiting for its return")
            return REST_PAUSE
        if record.state == EVACUATED:
            record = self.cluster.replace(record.to(RETURNING))
        if not service.up:
            self._bring_up(record, host, service, alive)
            return BUSY_PAUSE
        if not service.enabled and decide.is_ours(service) and not self.policy.leave_disabled:
            self.nova.enable(service)
            LOG.info("%s: enabled in Nova", service.host)
        evacuation = host.evacuation or self._evacuation(record, service.host)
        if evacuation.release():
            return REST_PAUSE
        self.cluster.clear(record)
        LOG.info("%s: back in service, record cleared", record.node)
        self._sentence(f"{record.node} is back in service")
        return BUSY_PAUSE

    def _bring_up(self, record: Record, host: _Host, service: Service, alive: bool) -> None:
        leaving = [row for row in self.nova.evacuations(service.host) if row.status == "done"]
        # Records that became completed are nova-compute's own doing: with them one report is enough.
        host.cleaning = host.cleaning or bool(leaving)
        if leaving or not (alive or (host.cleaning and host.alive)):
            self._show(record, host, f"returning; nova-compute has to start and remove {len(leaving)} guests that left")
            return
        try:
            self.nova.force_down(service, False)
            self._show(record, host, "returning; waiting until Nova says it is up")
        except CloudRefused as error:
            self._show(record, host, f"returning; Nova does not take it yet: {error}")

    def _show(self, record: Record, host: _Host, text: str) -> None:
        self._sentence(f"{record.node}: {text}")
        name = f"evacuation-{record.node}"
        self._shown.add(name)
        if host.shown != text:
            self.cluster.show(name, text)
            host.shown = text

    def _forget(self, view: ClusterView) -> None:
        """Take away what is shown of hosts that have no record any more."""
        for node in [node for node in self.hosts if node not in view.records]:
            del self.hosts[node]
            for subject in (node, f"left {node}", f"cloud {node}"):
                self.health.problems.pop(subject, None)
        for name in [name for name in self._shown if name[len("evacuation-"):] not in view.records]:
            try:
                self.cluster.show(name, None)
                self._shown.discard(name)
            except (ClusterError, HostError) as error:
                LOG.warning("%s", error)

    def _problem(self, subject: str, text: str) -> None:
        if self.health.problems.get(subject) != text:
            LOG.warning("%s", text)
        self.health.problems[subject] = text

    def _sentence(self, text: str) -> None:
        if self.health.sentence != text:
            LOG.info("%s", text)
        self.health.sentence = text
