"""One recorded host, from the record to its return to service. A step a turn; the record says how far it is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import decide
from .errors import CloudRefused
from .evacuation import SEND_DEADLINE, Evacuation, Turn
from .model import ARRIVED, CONFIRMED, DISABLED_BY_US, EVACUATED, FENCED, PARTLY, RETURNING, ClusterView, Record, Service

if TYPE_CHECKING:
    from .worker import Worker

WATCH_PAUSE = 0.1        # while Pacemaker's confirmation is awaited
BUSY_PAUSE = 0.25        # while servers move
REST_PAUSE = 2.0         # while a host waits for its return
TAKEOVER = SEND_DEADLINE + decide.SETTLE  # until then another worker's last request may not be seen in Nova yet
NAMED = 3                # servers that one sentence names
LOG = logging.getLogger(__name__)


class Host:
    """What a worker remembers of one incident; all of it can be lost."""

    def __init__(self, worker: Worker, record: Record) -> None:
        self.worker, self.node, self.incident = worker, record.node, record.id
        self.subjects = (self.node, f"left {self.node}", f"cloud {self.node}")
        self.under_way = 0
        self._evacuation: Evacuation | None = None
        self._last: Turn | None = None
        self._since: float | None = None       # when the proof was first seen, by the worker's clock
        self._taken_over: float | None = None
        self._updated = ""                     # the service's time stamp at the last look
        self._moves = 0                        # how often it has moved since the node is online
        self._prepare_at = worker.clock()
        self._baseline: int | None = None      # read while Pacemaker's confirmation was awaited
        self._cleaning = False                 # guests that left were seen to be still on the host

    def reconfigure(self) -> None:
        """The worker has new parameters."""
        if self._evacuation:
            self._evacuation.nova, self._evacuation.policy, self._evacuation.window = self.worker.nova, self.worker.policy, self.worker.window

    def step(self, view: ClusterView, record: Record, ask: Callable[[], list[Service] | None]) -> float:
        """One turn. `ask` gets Nova's services, None while Nova cannot be asked. Returns the pause before the next.

        Raises CloudError, ClusterError, ConflictError.
        """
        if record.state == FENCED:
            record = self._confirm(view, record)
            if record.state == FENCED:
                self._prepare(record, ask)
                return WATCH_PAUSE
        services = ask()
        if services is None:
            self._show(f"{record.state}, waiting for Nova")
            return REST_PAUSE
        service = self._service(record, services)
        if service is None:
            self.worker.problem(self.node, f"Nova knows no compute host for the node {self.node}; see the parameter domain")
            return REST_PAUSE
        alive = self._alive(view, service)
        if record.state in (CONFIRMED, PARTLY):
            return self._evacuate(self._own(record), service, services, alive)
        return self._return(record, service, alive)

    def _service(self, record: Record, services: list[Service]) -> Service | None:
        name = decide.host_of(record.host or record.node, self.worker.domain, services)
        return next((s for s in services if s.binary == "nova-compute" and s.host == name), None)

    def _confirm(self, view: ClusterView, record: Record) -> Record:
        proof, reason = decide.proof_of_fencing(record, view.nodes.get(self.node), self.worker.cluster.history(self.node))
        fault = decide.level_fault(view.levels.get(self.node, ()))
        if fault:
            self._show("recorded, and not trusted; see the fencing level")
            self.worker.problem(self.node, f"{self.node} is not evacuated: {fault}")
            return record
        if not proof:
            self._show(f"recorded; {reason}")
            if "failed" in reason or "online" in reason or "no such node" in reason:
                self.worker.problem(self.node, f"{self.node} is not evacuated: {reason}")
            return record
        self.worker.solved(self.node)
        LOG.info("%s: fencing confirmed by Pacemaker (%s)", self.node, proof)
        host = self._evacuation.host if self._evacuation else record.host
        return self.worker.cluster.replace(record.to(CONFIRMED, proof=proof, worker=self.worker.token, baseline=self._baseline, host=host))

    def _prepare(self, record: Record, ask: Callable[[], list[Service] | None]) -> None:
        """Use the wait for Pacemaker to get ready; nothing is changed."""
        if self._baseline is not None or self.worker.clock() < self._prepare_at:
            return
        self._prepare_at = self.worker.clock() + REST_PAUSE  # where Nova is away, Pacemaker is looked at all the same
        service = self._service(record, ask() or [])
        if service:
            self._baseline = self._engine(service.host).prepare()

    def _engine(self, host: str) -> Evacuation:
        worker = self.worker
        if self._evacuation is None:
            self._evacuation = Evacuation(worker.nova, host, self.incident, worker.token, worker.policy, window=worker.window)
        return self._evacuation

    def _own(self, record: Record) -> Record:
        """The record with this worker's name in it. After another worker's name, its requests are given time to arrive."""
        if self._since is None:
            self._since = self.worker.clock()
        if record.worker == self.worker.token:
            return record
        if record.worker:
            self._taken_over = self.worker.clock()
            LOG.info("%s: taken over from the worker %s", self.node, record.worker)
        return self.worker.cluster.replace(record.to(record.state, worker=self.worker.token))

    def _evacuate(self, record: Record, service: Service, services: list[Service], alive: bool) -> float:
        if alive and record.state == PARTLY:
            self.worker.cluster.replace(record.to(RETURNING))
            return BUSY_PAUSE
        hindrance = self._hindrance(record, service, services)
        if hindrance:
            self._show(f"{record.state}; {hindrance}")
            return BUSY_PAUSE
        engine = self._engine(service.host)
        if record.baseline is None:
            rows = self.worker.nova.evacuations(service.host)
            record = self.worker.cluster.replace(record.to(CONFIRMED, baseline=rows[-1].id if rows else 0, host=service.host))
        if record.state == PARTLY and self._last and self._last.queued:
            # fence_nova lets a partly evacuated node in, so the record has to change before anything is sent.
            record = self.worker.cluster.replace(record.to(CONFIRMED))
        room = 0 if record.state == PARTLY else self.worker.window.size - self.worker.under_way()
        turn = self._last = engine.turn(services, record.baseline or 0, not alive, room, lambda: self.worker.may_act(record))
        self.under_way = turn.under_way
        return self._tell(record, turn)

    def _hindrance(self, record: Record, service: Service, services: list[Service]) -> str:
        worker, now = self.worker, self.worker.clock()
        if not worker.policy.enabled:
            return "evacuation is switched off (enabled=false)"
        if self._taken_over is not None and now - self._taken_over < TAKEOVER:
            return "taking over from another worker"
        if now - (self._since or now) < worker.policy.evacuate_delay:
            return f"evacuate_delay of {worker.policy.evacuate_delay:g} s runs"
        if not service.forced_down:
            worker.nova.force_down(service, True)
            return "marking it down in Nova"
        if service.up:
            return "waiting until Nova says it is down"
        if service.enabled:
            worker.nova.disable(service, f"{DISABLED_BY_US} fenced by Pacemaker, being evacuated ({record.id})")
            return "disabling it in Nova"
        others = [s for s in services if s.binary == "nova-compute" and s.up and s.enabled and s.host != service.host]
        if not others:
            worker.problem(self.node, f"{self.node} is not evacuated: no other compute host is up and enabled")
            return "no other compute host is up and enabled"
        worker.solved(self.node)
        return ""

    def _tell(self, record: Record, turn: Turn) -> float:
        busy = {v.server.id for v in turn.verdicts if v.action not in (decide.UNLOCK, decide.DONE)}
        done = {m.server for m in turn.migrations if m.id > (record.baseline or 0) and m.status in ARRIVED} - busy
        left = [v for v in turn.verdicts if v.protected and v.action == decide.LEFT]
        total = len(done | {v.server.id for v in turn.verdicts if v.protected})
        if left:
            names = "; ".join(f"{v.server.name}: {v.reason}" for v in left[:NAMED])
            self.worker.problem(f"left {self.node}", f"{len(left)} of {self.node}'s servers not evacuated: {names}")
        else:
            self.worker.solved(f"left {self.node}")
        text = f"{len(done)}/{total} done" + (f", {len(left)} not" if left else "")
        if turn.acted or not decide.host_over(turn.verdicts):
            self._show(f"evacuating, {text}")
            return WATCH_PAUSE if turn.acted else BUSY_PAUSE
        state = PARTLY if left else EVACUATED
        if record.state != state or record.left != len(left):
            self.worker.cluster.replace(record.to(state, left=len(left)))
        self._show(f"{'partly evacuated' if left else 'evacuated'}, {text}; waiting for its return")
        return REST_PAUSE

    def _alive(self, view: ClusterView, service: Service) -> bool:
        """Whether nova-compute reports again: the node is online and the service's time stamp moves. Once may be a person's
        doing, since each change of a service moves it; once is enough when nova-compute was seen to clean up."""
        node = view.nodes.get(self.node)
        if node is None or not node.online:
            self._updated, self._moves = "", 0
            return False
        if self._updated and service.updated != self._updated:
            self._moves += 1
        self._updated = service.updated
        return self._moves >= (1 if self._cleaning else 2)

    def _return(self, record: Record, service: Service, alive: bool) -> float:
        worker = self.worker
        if record.state == EVACUATED:
            if not alive:
                self._show("evacuated; waiting for its return")
                return REST_PAUSE
            record = worker.cluster.replace(record.to(RETURNING))
        if service.forced_down or not service.up:
            self._bring_up(service, alive)
            return BUSY_PAUSE
        if decide.is_ours(service) and not worker.policy.leave_disabled:
            worker.nova.enable(service)
            LOG.info("%s: enabled in Nova", service.host)
        if self._engine(service.host).release():
            return REST_PAUSE
        worker.cluster.clear(record)
        worker.say(f"{self.node}: back in service, record cleared")
        return BUSY_PAUSE

    def _bring_up(self, service: Service, alive: bool) -> None:
        leaving = [row for row in self.worker.nova.evacuations(service.host) if row.status == "done"]
        self._cleaning = self._cleaning or bool(leaving)
        if leaving:
            self._show(f"returning; nova-compute has to start and to remove {len(leaving)} guests that left")
        elif not service.forced_down:
            self._show("returning; waiting until Nova says it is up")
        elif not alive:
            self._show("returning; waiting for nova-compute to report")
        else:
            try:
                self.worker.nova.force_down(service, False)
            except CloudRefused as error:
                self._show(f"returning; Nova does not take it yet: {error}")

    def _show(self, text: str) -> None:
        self.worker.show(self.node, text)
