"""One recorded host, from the record to its return to service. A step a turn; the record says how far it is."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..errors import CellAway
from ..model import CONFIRMED, EVACUATED, FENCED, MOST_BROKEN, PARTLY, RETURNING, TRUE, ClusterView, Moment, Record, Service
from . import decide, proof, reserve
from .again import Again
from .claiming import Claiming
from .context import Context
from .doubt import Doubt, why_elsewhere
from .evacuation import Evacuation, Prepared, arrived
from .evidence import FAILS
from .homecoming import BUSY_PAUSE, REST_PAUSE, Homecoming
from .limits import is_reserved
from .looked import Look
from .marking import Marking
from .naming import crossed_with, doubles_of, host_of_record, namesakes_of
from .rounds import Share
from .scene import Task, Terms
from .selection import rank_of
from .stayed import NAMED

WATCH_PAUSE = 0.1        # while Pacemaker's confirmation is awaited
UNPROVEN = 60.0          # how long a record may be without a proof before people are told, and its host online before it is let in
UNKNOWN = 20.0           # how long Nova has to show no such host before that is believed
REST_LOOK = 30.0         # between two looks at the servers of a host of which nothing is under way
SHORT = 24               # characters of a name that stands beside others
DEPOSED = 120.0          # how long a worker that was taken over from lets the other one work
NO_POWER_NEEDED = 1      # quick_evacuate_level
LOG = logging.getLogger(__name__)


class Host:
    """What a worker remembers of one incident; all of it can be lost."""

    def __init__(self, context: Context, record: Record) -> None:
        self.context, self.node, self.incident = context, record.node, record.id
        self.subjects = {self.node, f"left {self.node}", f"cloud {self.node}", f"held {self.node}", f"bug {self.node}",
                         f"slow {self.node}", f"row {self.node}", f"late {self.node}", f"doubtful {self.node}", f"refused {self.node}",
                         f"unlocked {self.node}", f"reserve {self.node}"}
        self.engine: Evacuation | None = None
        self.look: Look | None = None          # of this turn, while it evacuates
        context.records[record.node] = record
        self.may_start = False                 # whether this turn may send anything
        self.under_way = 0                     # evacuations that Nova is at work on, as of the last look
        self.still = 0                         # those that it has accepted besides, and that show nothing any more
        self._counted = float("-inf")          # when these were counted
        self.confirmed: Moment | None = None   # when this worker saw the proof
        self.asked: Moment | None = None       # when Nova had taken the first request of this worker
        self.paused = ""                       # why nothing may be begun now
        self._control = ""                     # the same, as long as it is Nova's control plane
        self._since: float | None = None       # when the proof was first seen, by the worker's clock
        self._taken_over: float | None = None
        self._owned: float | None = None       # when the record last had this worker's name
        self._doubt, self._marking = Doubt(context, record.node), Marking(context, record.node, record.id)
        self._unproven: float | None = None    # since when it is online without a proof
        self._missing: float | None = None     # since when Nova does not show it
        self._begun = context.clock()
        self._again = Again(context, record.node)
        self.homecoming, self._claiming = Homecoming(context, record.node), Claiming(context, record.node)
        self._rested = self._was_rested = False   # whether this turn, and the one before, found nothing to do any more
        self._takers: frozenset[str] = frozenset()   # the hosts that took servers, as of the last look
        self._next_look = context.clock()       # at a host of which nothing is under way
        self._prepare_at = context.clock()
        self._prepared: Prepared | None = None  # read while Pacemaker's confirmation was awaited

    @property
    def is_counted(self) -> bool:
        """Whether what it has under way was looked at of late: one whose cell is away takes no room of others without a limit."""
        return self.context.clock() - self._counted <= self.context.policy.stuck_timeout

    @property
    def record(self) -> Record:
        """The record as this turn has left it."""
        return self.context.records[self.node]

    @record.setter
    def record(self, record: Record) -> None:
        self.context.records[self.node] = record

    def reconfigure(self) -> None:
        """The worker has new parameters."""
        if self.engine:
            nova = self.context.nova.about(self.incident)
            self.engine.nova = self.engine.placer.nova = self.engine.records.nova = self.engine.ahead.nova = nova
            self.engine.policy = self.context.policy

    def is_busy(self) -> bool:
        """Return whether its servers are about to be looked at."""
        return self.engine is not None and self.record.state == CONFIRMED and self.record.baseline is not None

    def read_ahead(self) -> None:
        """Read what the step is about to need of Nova's lists; what goes wrong is told by the step."""
        assert self.engine is not None
        self.engine.ahead.read(self.record.baseline or 0)

    def step(self, view: ClusterView, record: Record, ask: Callable[[], list[Service] | None]) -> float:
        """The first half of a turn: everything but the servers. `ask` gets Nova's services, None while Nova cannot be asked.
        Returns the pause before the next turn, unless there is a `look` now: then the worker chooses, acts, and calls `tell`.

        Raises CloudError, ClusterError, ConflictError.
        """
        self.look, self._was_rested, self._rested = None, self._rested, False
        if self.node not in view.nodes:
            return self._without_node(record, ask)
        if record.state == FENCED:
            record = self.record = self._confirm(view, record)
            if record.state == FENCED:
                self._prepare(record, ask)
                return WATCH_PAUSE
        services = ask()
        if services is None:
            self._show(f"{record.state}, waiting for Nova")
            return REST_PAUSE
        service = self._service(record, services)
        if self._is_unknown(service):
            self.context.problem(self.node, f"Nova knows no host {self.node}: set domain; if it is new: instance-ha dismiss {self.node}")
            return REST_PAUSE
        if service is None:
            self._show(f"{record.state}; Nova does not show its host")
            return REST_PAUSE
        if not service.known:
            raise CellAway(service.host)
        other = crossed_with(view, self.node, service.host)
        if other:
            self._show(f"{record.state}; Nova's {service.host} belongs to {other}")
            self.context.problem(self.node, f"{self.node} is not evacuated: {service.host} is the compute host of {other}; correct "
                                f"pcmk_host_map, then: instance-ha dismiss {self.node}")
            return REST_PAUSE
        alive = self.homecoming.alive(view, service)
        elsewhere = why_elsewhere(self.context, view, record, service, services)
        if elsewhere:
            self._show(f"{record.state}; Nova has several hosts of that name")
            self.context.problem(f"row {self.node}", elsewhere)
            return REST_PAUSE
        self.context.solved(f"row {self.node}")
        if record.state in (CONFIRMED, PARTLY):
            return self._go_on(view, record, service, services, alive)
        if record.state == RETURNING and self._again.died(view, record, service):
            self._again.begin(record)
            return BUSY_PAUSE
        if record.state == EVACUATED and not self._online(view) and self._again.has_left_out(record, service, self._engine(service.host)):
            self._next_look = self.context.clock()
            return BUSY_PAUSE
        return self.homecoming.step(record, service, alive, self.engine)

    def _go_on(self, view: ClusterView, record: Record, service: Service, services: list[Service], alive: bool) -> float:
        """Go on with an evacuation, if nothing speaks against its host's being off."""
        owned = self._own(record)
        if owned is None:
            self.context.say(f"{self.node}: the worker {record.worker} evacuates it")
            return REST_PAUSE
        doubtful = bool(doubles_of(service.host, view, services))
        let_in = alive or (record.state == PARTLY and self._online(view))    # nothing is begun for it
        doubt = "" if let_in else self._doubt.look(view, owned, service, doubtful)
        if doubt and self._doubt.is_old(view):
            LOG.warning("%s: online, and %s; it is let in with its servers", self.node, doubt)
            self.context.cluster.replace(owned.to(RETURNING))
            self.context.solved(self.node)
            return BUSY_PAUSE
        if doubt:
            self._show(f"{record.state}; {doubt}")
            return BUSY_PAUSE
        self._rested = self._was_rested
        return self._evacuate(owned, service, services, alive)

    def _online(self, view: ClusterView | None) -> bool:
        node = view.nodes.get(self.node) if view else None
        return bool(node and node.online)

    def _service(self, record: Record, services: list[Service]) -> Service | None:
        name = host_of_record(record, self.context.domain, services)
        return next((s for s in services if s.binary == "nova-compute" and s.host == name), None)

    def _is_unknown(self, service: Service | None) -> bool:
        """Whether Nova has not shown the host for UNKNOWN seconds: one list may leave it out."""
        now = self.context.clock()
        self._missing = None if service else now if self._missing is None else self._missing
        return self._missing is not None and now - self._missing >= UNKNOWN

    def _without_node(self, record: Record, ask: Callable[[], list[Service] | None]) -> float:
        """A node was taken out of the cluster, and its record is still there: nothing can hold its nova-compute back any more."""
        services = None if record.state == EVACUATED else ask()
        if record.state == EVACUATED or (services is not None and self._is_unknown(self._service(record, services))):
            self.context.cluster.clear(record)
            LOG.warning("%s is no node of the cluster any more; its record is cleared (%s)", self.node, record.raw)
            return BUSY_PAUSE
        gone = f"the cluster knows no such node any more; put it back, or: instance-ha dismiss {self.node}"
        if record.state == RETURNING:          # what is still locked on it, or may run elsewhere, is not to be forgotten
            self.context.problem(self.node, f"{self.node} is not taken back: {gone}, and look at its servers")
        else:
            self.context.problem(self.node, f"{self.node} is not evacuated: {gone}, and then instance-ha host-evacuate {self.node}")
        return REST_PAUSE

    def _confirm(self, view: ClusterView, record: Record) -> Record:
        found, reason = proof.proof_of_fencing(record, view.nodes.get(self.node), self.context.cluster.history(self.node))
        if found.partition("@")[0] in proof.marks(view.nodes.get(self.node)) and self.context.cluster.calls_online(self.node):
            found, reason = "", "crm_mon says it is online"
        fault = proof.level_fault(view.levels.get(self.node, ()))
        if fault and self.context.policy.quick_evacuate_level != NO_POWER_NEEDED:
            self._show("recorded, and not trusted; see the fencing level")
            self.context.problem(self.node, f"{self.node} is not evacuated: {fault}")
            return record
        if not found:
            self._show(f"recorded; {reason}")
            # A fencing that was broken off, as by the death of the controller that did it. What does not run any more is started on the host itself.
            open_end = self._online(view) and reason != proof.GOES_ON
            self._unproven = (self._unproven or self.context.clock()) if open_end else None
            if self._unproven is not None and self.context.clock() - self._unproven >= UNPROVEN:
                LOG.warning("%s: online for %g s, and %s; it is let in with its servers", self.node, UNPROVEN, reason)
                self.context.solved(self.node)
                return self.context.cluster.replace(record.to(RETURNING))
            if self.context.clock() - self._begun > UNPROVEN or any(words in reason for words in ("failed", "online", "no such node")):
                self.context.problem(self.node, f"{self.node} is not evacuated: {reason}")
            return record
        self.context.solved(self.node)
        self.confirmed = self.context.moment()
        LOG.info("%s: fencing confirmed by Pacemaker (%s)", self.node, found)
        host = self.engine.host if self.engine else record.host
        record = record.to(CONFIRMED, proof=found, worker=self.context.token, host=host)
        return self.context.cluster.replace(self._prepared.into(record) if self._prepared else record)

    def _prepare(self, record: Record, ask: Callable[[], list[Service] | None]) -> None:
        """Use the wait for Pacemaker to get ready; nothing is changed."""
        if self._prepared is not None or self.context.clock() < self._prepare_at:
            return
        self._prepare_at = self.context.clock() + REST_PAUSE  # where Nova is away, Pacemaker is looked at all the same
        services = ask() or []
        service, view = self._service(record, services), self.context.view
        if service and view and not namesakes_of(service.host, view, services):
            self._prepared = self._engine(service.host).prepare()

    def _engine(self, host: str) -> Evacuation:
        if self.engine is None:
            context = self.context
            task = Task(host, self.incident, context.token)
            self.engine = Evacuation(context.nova.about(self.incident), task, context.policy, context.aggregates(fresh=True))
        return self.engine

    def _own(self, record: Record) -> Record | None:
        """The record with this worker's name in it. After another worker's name, its requests are given time to arrive. None
        when another worker has taken over from this one: it is let work, or two that both live would take over in turn for ever."""
        now = self.context.clock()
        if self._since is None:
            self._since = now
        if record.worker == self.context.token:
            self._owned = now
            return record
        if self._owned is not None and now - self._owned < DEPOSED:
            return None
        if record.worker:
            self._taken_over = now
            LOG.info("%s: taken over from the worker %s", self.node, record.worker)
        return self.context.cluster.replace(record.to(record.state, worker=self.context.token))

    def _evacuate(self, record: Record, service: Service, services: list[Service], alive: bool) -> float:
        if record.state == PARTLY and (alive or self._online(self.context.view)):
            # It is let in: from now on nothing is begun for it.
            self.context.cluster.replace(record.to(RETURNING))
            return BUSY_PAUSE
        takers = frozenset(s.host for s in services if s.binary == "nova-compute" and s.up and s.enabled)
        if record.state == PARTLY and takers == self._takers and self.context.clock() < self._next_look:
            return REST_PAUSE                  # only room, or a person, can change anything
        self._takers = takers
        since = self.context.clock() if self._since is None else self._since
        hindrance = "" if alive else self._marking.hindrance(service, since, self._taken_over)
        if hindrance:
            self._show(f"{record.state}; {hindrance}")
            return BUSY_PAUSE
        engine = self._engine(service.host)
        if record.baseline is None:
            record = self.context.cluster.replace(engine.prepare().into(record.to(CONFIRMED, host=service.host)))
        self.paused = self._reason_to_pause(service, services)
        self._control = "" if self.paused else self._without_control_plane(services)
        self.paused = self.paused or self._control
        if not self.paused and not alive:
            record = reserve.call(self.context, record, service, services)
        dead = self.context.dead_hosts(services) | (frozenset() if alive or service.up else {service.host})
        look = engine.look(services, Terms(record.baseline or 0, record.kept, not alive, dead, record.broken))
        if not engine.broken <= record.broken and len(record.broken) < MOST_BROKEN:
            # Before anything is sent upon it: once the destination is back, nothing tells a later worker.
            record = self.context.cluster.replace(record.to(record.state, broken=frozenset(engine.broken)))
        self.may_start = not self.paused
        if record.state == PARTLY and look.waiting and self.may_start:
            # A partly evacuated node is let in: nova-compute is held and the record changed before anything is sent.
            self.context.cluster.hold(self.node, TRUE)
            record, self.may_start = self.context.cluster.replace(record.to(CONFIRMED)), False
            if self._online(self.context.cluster.view()):
                self.context.cluster.replace(record.to(RETURNING))
                return BUSY_PAUSE
        self.look, self.record, self.still = look, record, look.still
        self.under_way, self._counted = look.in_window, self.context.clock()
        return BUSY_PAUSE

    def share(self) -> Share:
        """Return what this host brings to the round, after a step that has left a `look`."""
        assert self.look is not None and self.engine is not None
        waiting = self.look.waiting
        if not self.may_start:
            self.look.queue(dict.fromkeys((verdict.server.id for verdict in waiting), "waits"))
        return Share(self.node, self.engine, self.look, waiting if self.may_start else (), self.look.chores, bool(self.paused))

    def _reason_to_pause(self, service: Service, services: list[Service]) -> str:
        """Why nothing may be begun now although the host is down; what is under way is followed all the same."""
        context = self.context
        if not context.policy.enabled:
            return "evacuation is switched off (enabled=false)"
        if not context.protects(self.node, service.host):
            context.problem(f"held {self.node}", f"{self.node} is not evacuated: protect_hosts "
                            f"does not name it; if that is meant: instance-ha dismiss {self.node}")
            return "protect_hosts does not name it"
        held = context.held(self.node)
        if held:
            context.problem(f"held {self.node}", f"{self.node} is not evacuated: {held}")
            return held
        context.solved(f"held {self.node}")
        others = [s for s in services if s.binary == "nova-compute" and s.up and s.host != service.host
                  and (s.enabled or (is_reserved(s) and context.policy.reserved_hosts))]
        if not others:
            context.problem(self.node, f"{self.node} is not evacuated: no other compute host is up and enabled")
            return "no other compute host is up and enabled"
        return ""

    def _without_control_plane(self, services: list[Service]) -> str:
        """What Nova lacks to carry an evacuation out, "" for nothing. It is awaited, and the host is not let in meanwhile."""
        missing = [binary for binary in ("nova-scheduler", "nova-conductor") if not any(s.binary == binary and s.up for s in services)]
        if missing:
            self.context.problem(self.node, f"{self.node} is not evacuated: Nova has no {' and no '.join(missing)} that is up")
            return f"no {missing[0]} is up"
        self.context.solved(self.node)
        return ""

    def tell(self, acted: int) -> float:
        """The second half of a turn, when the worker has acted: say and record how far it is. Returns the pause."""
        assert self.look is not None
        look, record = self.look, self.record
        done = arrived(look.scene.migrations, record.baseline or 0, look.verdicts)
        left = [v for v in look.verdicts if v.protected and (v.action == decide.LEFT or (self.paused and v.action == decide.QUEUED))]
        left.sort(key=lambda v: (rank_of(v.server), v.server.name))      # for people
        total = len(done | {v.server.id for v in look.verdicts if v.protected})
        why = {v.server.id: self.paused if v.action == decide.QUEUED else v.reason for v in left}
        if left and not all(v.action == decide.QUEUED for v in left):
            # Names first: Pacemaker keeps the beginning only.
            names = ", ".join(v.server.name[:SHORT] for v in left[:NAMED]) + "; " if len(left) > 1 else ""
            reasons = "; ".join(f"{v.server.name}: {why[v.server.id]}" for v in left[:NAMED])
            self.context.problem(f"left {self.node}", f"{len(left)} of {self.node}'s servers not evacuated: {names}{reasons}")
        else:
            self.context.solved(f"left {self.node}")
        slow = [v for v in look.verdicts if v.slow]
        if slow:
            reasons = "; ".join(f"{v.server.name}: {v.reason}" for v in slow[:NAMED])
            self.context.problem(f"slow {self.node}", f"{len(slow)} of {self.node}'s servers take long: {reasons}")
        else:
            self.context.solved(f"slow {self.node}")
        for destination in sorted(look.scene.avoid):
            self.subjects.add(f"destination {destination}")
            self.context.problem(f"destination {destination}", f"evacuations to {destination} fail: {FAILS} servers or more; others are tried first."
                                f" Look at its nova-compute")
        text = f"{len(done)}/{total} done" + (f", {len(left)} not" if left else "") + (f"; {self.paused}" if self.paused else "")
        # Paused with nothing under way, its host may come back and keep its servers.
        resting = decide.host_over(v for v in look.verdicts if not (self.paused and not self._control and v.action == decide.QUEUED))
        if acted or look.partial or not resting or not self._rested:
            # Twice the same, since Nova leaves servers out of a list when their cell's database fails it for a moment.
            self._rested = resting and not (acted or look.partial)
            self._show(f"evacuating, {text}")
            return WATCH_PAUSE if acted else BUSY_PAUSE
        assert self.engine is not None
        if not self._claiming.claim(self.engine, look.verdicts):
            return BUSY_PAUSE
        state = PARTLY if left else EVACUATED
        if record.reserve and not left:
            record = reserve.give_back(self.context, record, look.scene.migrations)
        self.record = self.context.cluster.replace(record.to(state, left=len(left)))
        self._next_look = self.context.clock() + REST_LOOK
        self._show(f"{'partly evacuated' if left else 'evacuated'}, {text}; waiting for its return")
        return BUSY_PAUSE

    def _show(self, text: str) -> None:
        self.context.show(self.node, text)
