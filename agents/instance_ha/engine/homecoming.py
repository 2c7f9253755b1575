"""A host comes back: it is given back to Nova, the servers that stayed are given back, those that left are mended."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ..errors import CloudError, CloudRefused
from ..model import ARRIVED, EVACUATED, KEPT_OUT, RETURNING, ClusterView, Migration, Record, Server, Service
from ..nova import Nova
from . import decide, quarantine, reserve
from .context import Context
from .evacuation import Evacuation
from .looked import Look
from .naming import is_ours
from .pulse import SURE, Reports
from .scene import Task, Terms
from .states import SHUT_DOWN
from .stayed import NAMED, Stayed

BUSY_PAUSE = 0.25        # seconds between two turns while something goes on
REST_PAUSE = 2.0         # while a host waits for its return
REST_LOOK = 30.0         # between two looks at its servers while it waits for a person
QUIET = 25.0             # without a report, which is made every 10 s by default: nova-compute is stopped
STOP_LIMIT = 150.0       # how long its stop may take
LATE = 600.0             # after so long a host that is not taken back is told
LINGER = 20.0            # how long nova-compute may report before the evacuations from its host are closed in Nova
OURS_IN_PASSING = frozenset(("lock", "unlock"))                       # what is asked of a server on its way, and leaves no task
OURS = OURS_IN_PASSING | frozenset(("evacuate", "stop", "start", "pause"))
LOG = logging.getLogger(__name__)


class Homecoming:
    """The return of one host."""

    def __init__(self, context: Context, node: str) -> None:
        self.context, self.node = context, node
        self._reports = Reports()              # since the node is online
        self._next_look = float("-inf")        # at its servers, while it waits for a person
        self._over: float | None = None        # since when nothing was seen that is left to do
        self._late: float | None = None        # since when something keeps it from being taken back
        self._lingers: float | None = None     # since when it reports and Nova has evacuations from it open
        self._stayed = Stayed(context, node)
        self._cleaning = False                 # guests that left were seen to be still on the host
        self._engine: Evacuation | None = None  # follows what has left and is still claimed
        self.stops: tuple[float, float] | None = None   # since when it is to be stopped, and when it last reported
        self._restarted = False                # that was done once
        self._counted = 0                      # reports before that
        self._stuck = 0                        # servers that left the host and need a person
        self.look: Look | None = None          # the last one at its servers

    @property
    def doubts(self) -> Mapping[str, str]:
        """Why servers that stayed are not restored on the host, by their ids."""
        return self._stayed.doubts

    def alive(self, view: ClusterView, service: Service) -> bool:
        """Whether the node is online and its nova-compute reports again. Once is not enough, unless nova-compute was seen to clean up."""
        node = view.nodes.get(self.node)
        if node is None or not node.online:
            self._reports = Reports()
            return False
        return self._reports.look(service) >= (1 if self._cleaning else SURE)

    def step(self, record: Record, service: Service, alive: bool, engine: Evacuation | None) -> float:
        """One turn of a host whose evacuation is over; `engine` did that, None if another worker did. Returns the pause before the next one.

        Raises CloudError, ClusterError."""
        context = self.context
        if record.state == EVACUATED:
            if not alive:
                self._show("evacuated; waiting for its return")
                return REST_PAUSE
            record = context.cluster.replace(record.to(RETURNING))
        if service.forced_down or not service.up:
            self._tell_if_late(self._bring_up(record, service, alive))
            return BUSY_PAUSE
        if not self._node_is(True):
            # Its servers run, and without its record Pacemaker's mark would count as of a new fencing.
            why = "Nova has it up, and Pacemaker does not see it online"
            self._show(f"returning; {why}")
            self._tell_if_late(why)
            return REST_PAUSE
        self._tell_if_late("")
        if context.clock() < self._next_look:
            return REST_PAUSE
        if is_ours(service) and not context.policy.leave_disabled and not service.reason.startswith(KEPT_OUT):
            why = quarantine.reason_to_keep_out(context, record)
            if why:
                context.nova.disable(service, why)
                LOG.warning("%s: %s", service.host, why)
            else:
                context.nova.enable(service)
                LOG.info("%s: enabled in Nova", service.host)
        engine = self._engine = self._follower(record, service.host, self._engine or engine)
        services = context.nova.services()
        look = self.look = engine.look(services, Terms(record.baseline or 0, record.kept, False, context.dead_hosts(services), record.broken))
        seen, self._over = self._over, None
        followed = self._followed(engine, look)
        left = self._stayed.restore(engine, look)    # none of them waits for one that has left
        if left and not self._stayed.stuck:
            self._show(f"returning; {left}")
            return BUSY_PAUSE if self._stayed.cut else REST_PAUSE
        if not followed or look.partial:
            self._show("returning; servers that left it are still looked at")
            return REST_PAUSE
        over = not left and not self._stuck
        if over and (seen is None or context.clock() - seen < REST_PAUSE):
            # Once more: a list of Nova leaves servers out without a word.
            self._over = context.clock() if seen is None else seen
            self._show("returning; its servers are looked at once more")
            return REST_PAUSE
        if record.baseline is not None:
            mend(context.nova.about(record.id), service.host, record.baseline)
        if record.reserve:
            record = context.cluster.replace(reserve.give_back(context, record, context.nova.evacuations(service.host)))
        if not over:
            self._next_look = context.clock() + REST_LOOK
            self._show(f"returning; {left or f'{self._stuck} servers that left it need a person'}")
            return REST_PAUSE
        context.solved(f"left {self.node}")
        context.cluster.clear(record)
        context.say(f"{self.node}: back in service, record cleared")
        return BUSY_PAUSE

    def _bring_up(self, record: Record, service: Service, alive: bool) -> str:
        """Get nova-compute to start, and then Nova to take the host back.

        Return what keeps it from that, "" while all is as it should be.
        """
        if self.stops is not None:
            self._stop(self.stops)
            return ""
        rows = self.context.nova.evacuations(service.host)
        leaving = [row for row in rows if row.status == "done"]
        # Nova lets the host in with these, and a later start of nova-compute removes a server whose row is open, though it be back.
        halfway = [row for row in rows if row.in_progress and record.baseline is not None and row.id > record.baseline]
        self._cleaning = self._cleaning or bool(leaving)
        if leaving or (halfway and not self._restarted):
            self._show(f"returning; nova-compute has to start and to remove {len(leaving)} guests that left" if leaving else
                       f"returning; nova-compute has to start and to close {len(halfway)} evacuations that came to nothing")
            self._linger(alive, [row.id for row in (*leaving, *halfway)])
        elif not service.forced_down:
            self._show("returning; waiting until Nova says it is up")
        elif not alive:
            self._show("returning; waiting for nova-compute to report")
        else:
            try:
                self.context.nova.force_down(service, False)
            except CloudRefused as error:
                self._show(f"returning; Nova does not take it yet: {error}")
                return f"Nova refuses that: {error}"
        if not self._node_is(True):
            return f"its node is not online; if it has died again, and is off: instance-ha dismiss {self.node}, then instance-ha host-evacuate"
        return "" if alive else "its nova-compute has not reported: look there"

    def _node_is(self, online: bool) -> bool:
        """Whether that is how Pacemaker sees its node; it may not tell."""
        node = self.context.view.nodes.get(self.node) if self.context.view else None
        return node is not None and node.online is online

    def _tell_if_late(self, why: str) -> None:
        """Tell of a host that `why` has kept from being taken back for LATE seconds, "" for nothing."""
        now = self.context.clock()
        self._late = (now if self._late is None else self._late) if why else None
        if self._late is not None and now - self._late > LATE:
            text = f"{self.node} is not taken back for {LATE:g} s: {why}"
            self.context.problem(f"late {self.node}", text)
        else:
            self.context.solved(f"late {self.node}")

    def _linger(self, alive: bool, rows: list[int]) -> None:
        """nova-compute closes one evacuation of a server when it starts. Of one that Nova lost and that was asked again there are
        two, and it takes a second start; until then Nova does not take the host back."""
        now = self.context.clock()
        self._lingers = (self._lingers or now) if alive else None
        if self._lingers is None or now - self._lingers <= LINGER:
            return
        if not self._restarted:
            LOG.info("%s: nova-compute is started once more, to close the evacuations that Nova has open (%s)", self.node, ", ".join(map(str, rows)))
            self.stops, self._restarted = (now, now), True
        else:
            text = f"nova-compute runs, and Nova has {len(rows)} of its evacuations open ({', '.join(map(str, rows[:NAMED]))})"
            self.context.problem(self.node, f"{self.node} is not taken back: {text}; restart nova-compute on it once more")

    def _stop(self, stops: tuple[float, float]) -> None:
        """Wait until nova-compute reports no more; then it may start again. Where nothing stops it, a person is told."""
        since, reported = stops
        now, count = self.context.clock(), self._reports.count
        self._show("returning; nova-compute is stopped, and then started once more")
        if count != self._counted:
            self._counted, reported = count, now
        self.stops = (since, reported) if now - reported < QUIET and now - since < STOP_LIMIT else None
        if self.stops is None:
            self._reports, self._lingers = Reports(), None

    def _follower(self, record: Record, host: str, engine: Evacuation | None) -> Evacuation:
        """Return what looks at the servers of the host and at those that have left it: `engine`, with its memory, if there is one."""
        context, nova = self.context, self.context.nova.about(record.id)
        if engine is None:
            engine = Evacuation(nova, Task(host, record.id, context.token), context.policy, context.aggregates())
        engine.records.deep = True
        engine.policy = context.policy
        engine.nova = engine.records.nova = nova
        return engine

    def _followed(self, engine: Evacuation, look: Look) -> bool:
        """Whether no server that has left the host needs anything more. Some do when the record was lost in the middle of the
        evacuation: they are brought into the state they had, and unlocked. One that cannot be is left claimed, and reported."""
        away = [v for v in look.verdicts if v.server.host != look.scene.host]      # or of which Nova does not show a host
        chores = [v for v in look.chores if v in away]
        for verdict in chores:
            engine.act(verdict, look, lambda: False)
        busy = chores or [v for v in away if v.action == decide.WAIT]
        slow = [v for v in away if v.action == decide.WAIT and v.slow]
        if slow:
            words = "; ".join(f"{v.server.name}: {v.reason}" for v in slow[:NAMED])
            self.context.problem(f"slow {self.node}", f"{len(slow)} of {self.node}'s servers take long: {words}")
        else:
            self.context.solved(f"slow {self.node}")
        self._stuck = 0
        stuck = [] if busy else [v for v in away if engine.cases[v.server.id].is_ours and v.action == decide.LEFT]
        if stuck:
            self._stuck = len(stuck)
            words = "; ".join(f"{v.server.name} ({v.server.id}): {v.reason}" for v in stuck[:NAMED])
            self.context.problem(f"left {self.node}", f"{len(stuck)} servers that left {self.node} are still locked by instance-ha: {words}")
        return not busy

    def _show(self, text: str) -> None:
        self.context.show(self.node, text)


def mend(nova: Nova, host: str, baseline: int) -> None:
    """Set right the servers that left the host and that its return has broken.

    What users asked of them when it died has waited in the host's message queue. Its nova-compute carries that out when it
    starts, on servers that are not its own any more, fails, and leaves them in ERROR or with a task. Raises CloudError.
    """
    gone = {row.server: row for row in nova.evacuations(host) if row.id > baseline and row.status in ARRIVED}
    failed: CloudError | None = None
    for destination in {row.destination for row in gone.values() if row.destination}:
        for server in nova.servers_on(destination):
            row = gone.get(server.id)
            if row and row.destination == destination and (server.vm_state == "error" or server.task_state):
                try:
                    _mend(nova, host, server, row)
                except CloudError as error:    # the others first
                    failed = error
    if failed is not None:
        raise failed


def _mend(nova: Nova, host: str, server: Server, row: Migration) -> None:
    actions = nova.actions(server.id)
    asked = next((action.started for action in actions if action.name == "evacuate"), "")
    late = [action for action in actions if action.name != "evacuate" and action.started < asked < action.updated]
    since = {action.name for action in actions if action.started > asked} - (OURS_IN_PASSING if server.task_state else OURS)
    if not late or since or server.being_deleted:
        return  # nothing old was done to it, or somebody has asked something of it since, which is not ours to undo
    LOG.warning("%s (%s): %s did an old %s (%s) to it although it is on %s; reset from %s", server.name, server.id, host,
                late[0].name, late[0].request, row.destination, server.task_state or server.vm_state)
    nova.reset(server.id)
    if server.power_state == SHUT_DOWN:
        nova.stop(server.id)
