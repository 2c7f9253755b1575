"""Hosts that were away and not fenced, as when somebody reboots one: servers that are off since.

They are told, and started where that is asked for.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ..errors import CloudError, CloudRefused, ClusterError, HostError
from ..model import ClusterNode, ClusterView, Server, Service
from .context import Context
from .evacuation import Evacuation
from .looked import Look
from .naming import host_of
from .pulse import SURE, Reports
from .reboot import LeftOff, Silence, was_stopped_by_nova, why_not_start, why_not_there
from .scene import Task, Terms
from .selection import START

LOOK = 5.0  # seconds between two looks at a host that is away, or has just come back
REST_LOOK = 30.0  # the same later
SETTLES = (
    600.0  # seconds after which a host that is away, or has come back, is looked at less often
)
LISTED = 60.0  # seconds for which its servers are listed again: a list may leave some out
SHARE = 3.0  # seconds of one turn for the servers of one host
NAMED = 3  # servers that one sentence names
SHORT = 24  # characters of a name in it
LOG = logging.getLogger(__name__)


@dataclass
class _Off:
    """A server that is off. `why` says why it is not started; `tried`: its start was asked for."""

    server: Server
    sign: tuple[object, ...] = ()
    why: str = ""
    tried: bool = False


@dataclass
class _Absence:
    """One host's. Times are by the worker's clock.

    `marked`: Pacemaker has fenced it meanwhile. `back` is since when it is online again. `unseen`
    are the servers that have not been looked at since then, None before nova-compute reports;
    `listed` those that a list has shown since;
    `vague` those of which the hypervisor did not tell whether they ran; `off` those that are off.
    """

    since: float
    silence: Silence = field(default_factory=Silence)
    marked: bool = False
    back: float | None = None
    reports: Reports = field(default_factory=Reports)
    began: float = 0.0
    unseen: set[str] | None = None
    listed: set[str] = field(default_factory=set)
    vague: set[str] = field(default_factory=set)
    off: dict[str, _Off] = field(default_factory=dict)


class Rebooted:
    """What a worker remembers of such hosts; all of it can be lost."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._absences: dict[str, _Absence] = {}
        self._looked = float("-inf")
        self._told: set[str] = set()

    @property
    def left_off(self) -> dict[str, list[Server]]:
        """Return the servers that are off, by the node of their host."""
        return {
            node: [one.server for one in absence.off.values()]
            for node, absence in self._absences.items()
            if absence.off
        }

    def sentence(self, node: str) -> str:
        """Return what is told of a node."""
        servers = self.left_off.get(node, [])
        names = ", ".join(f"{one.name[:SHORT]} ({one.id})" for one in servers[:NAMED])
        fenced = node in self._absences and self._absences[node].marked
        how = "was fenced without a record" if fenced else "was away without a fencing"
        more = ", ..." if len(servers) > NAMED else ""
        return (
            f"{node} {how}; {len(servers)} servers are off since: {names}{more}"
            f"; start them (openstack server start ID), or: instance-ha dismiss {node}"
        )

    def look(self, view: ClusterView, ask: Callable[[], Sequence[Service] | None]) -> None:
        """Look at them, as often as each needs it.

        `ask` gets Nova's services, None while Nova cannot be asked.
        """
        now = self.context.clock()
        self._follow(view, now)
        busy = any(
            now - (absence.back or absence.since) < SETTLES for absence in self._absences.values()
        )
        if self._absences and now - self._looked >= (LOOK if busy else REST_LOOK):
            self._looked = now
            services = ask()
            for node in [*self._absences] if services is not None else ():
                self._one(view, node, services or ())
        self._tell()

    def _follow(self, view: ClusterView, now: float) -> None:
        """Note which hosts go and come, but for those that are on record, or dismissed."""
        aside = {*view.records, *view.broken, *view.dismissed}
        for name in [name for name in self._absences if name in aside or name not in view.nodes]:
            del self._absences[name]
        for node in view.nodes.values():
            if node.name in aside:
                continue
            if node.online is False:
                self._is_away(view, node, now)
            elif (
                node.online
                and node.name in self._absences
                and self._absences[node.name].back is None
            ):
                self._absences[node.name].back = now

    def _is_away(self, view: ClusterView, node: ClusterNode, now: float) -> None:
        absence = self._absences.get(node.name)
        if absence is None or absence.back is not None:
            service = self._service(view, node.name, self.context.services_known)
            if service is None or not self.context.protects(node.name, service.host):
                return
            before = absence or _Absence(now)
            absence = self._absences[node.name] = _Absence(now, marked=before.marked, vague=before.vague, off=before.off)
            absence.silence.look(service.updated, now)
        absence.marked = absence.marked or bool(node.mark)

    def _service(self, view: ClusterView, node: str, services: Sequence[Service]) -> Service | None:
        host = host_of(view.named(node), self.context.domain, services)
        return next(
            (one for one in services if one.binary == "nova-compute" and one.host == host), None
        )

    def _one(self, view: ClusterView, node: str, services: Sequence[Service]) -> None:
        absence, service = self._absences[node], self._service(view, node, services)
        if service is None or not service.known:
            return
        absence.silence.look(service.updated, self.context.clock())
        if (
            absence.back is None
            or absence.reports.look(service) < SURE
            or not service.up
            or service.forced_down
        ):
            return
        try:
            self._servers(absence, service.host)
            if self.context.policy.after_reboot == START:
                self._start(view, node, absence, service)
        except CloudError as error:
            LOG.info("%s: which of its servers are off is not known yet: %s", node, error)
            return
        listed = self.context.clock() - absence.began >= LISTED
        if listed and not absence.off and not absence.unseen:
            del self._absences[node]

    def _servers(self, absence: _Absence, host: str) -> None:
        """Look at the servers of a host that is back, and again at those that are off.

        Raises CloudError.
        """
        nova, now = self.context.nova, self.context.clock()
        here = {server.id: server for server in nova.servers_on(host) if server.host == host}
        if absence.unseen is None:
            absence.began, absence.unseen = now, set()
        if now - absence.began < LISTED:
            absence.unseen |= {*here} - absence.listed - {*absence.off}
            absence.listed |= {*here}
        if now - absence.began > SETTLES:
            absence.unseen.clear()
        for key in sorted(absence.unseen, key=lambda key: (key in absence.vague, key)):
            if self._is_over(now):
                return
            with self._skipped(key):
                self._judge(absence, here.get(key))
        for key, off in [*absence.off.items()]:
            if self._is_over(now):
                return
            absence.off[key] = absence.off.pop(key)  # the others first the next time
            with self._skipped(key):
                server = here.get(key) or nova.server(key)  # a list may leave one out
                if server is None or not self._is_off(absence, server, off):
                    del absence.off[key]

    def _is_over(self, since: float) -> bool:
        """Whether one host's share of a turn is over."""
        self.context.alive()
        return self.context.clock() - since >= SHARE

    @contextlib.contextmanager
    def _skipped(self, key: str) -> Iterator[None]:
        """What Nova does not tell of one server says nothing of the others."""
        try:
            yield
        except CloudError as error:
            LOG.info("server %s: whether it is off is not known: %s", key, error)

    def _judge(self, absence: _Absence, server: Server | None) -> None:
        """Note whether a server is off. One of which nobody can tell is looked at again."""
        if server is None or server.vm_state is None or server.task_state or absence.unseen is None:
            return
        if server.vm_state == "active":
            runs = self._runs(server)
            if runs is None:
                absence.vague.add(server.id)
                return
            if not runs:
                absence.off[server.id] = _Off(server)
        elif server.vm_state == "stopped":
            actions = self.context.nova.actions(server.id)
            if was_stopped_by_nova(actions, absence.silence):
                absence.off[server.id] = _Off(server)
                if not absence.silence.is_soon_after(actions[0].started):
                    absence.vague.add(server.id)  # it may have run for a while before
        absence.unseen.discard(server.id)

    def _is_off(self, absence: _Absence, server: Server, off: _Off) -> bool:
        """Whether a server that was off is so still, and nobody has done anything about it."""
        sign = (
            server.host,
            server.vm_state,
            server.task_state,
            server.locked,
            server.locked_reason,
        )
        known, off.sign = off.sign == sign, sign
        if server.vm_state is None:  # Nova shows only a part of it
            return True
        moved, off.server = server.host != off.server.host, server
        if moved or server.being_deleted:
            return False
        if server.task_state:
            return True
        if server.vm_state == "active":
            return self._runs(server) is not True
        if server.vm_state != "stopped":
            return False
        return known or was_stopped_by_nova(self.context.nova.actions(server.id), absence.silence)

    def _runs(self, server: Server) -> bool | None:
        """Whether a server's guest runs, None where its hypervisor, or Nova, does not tell."""
        try:
            return self.context.nova.guest_runs(server.id)
        except CloudError as error:
            LOG.info("%s (%s): whether it runs is not known: %s", server.name, server.id, error)
            return None

    def _start(self, view: ClusterView, node: str, absence: _Absence, service: Service) -> None:
        """Start those of which all is known that has to be, each once. Raises CloudError."""
        wanted = [
            off
            for off in absence.off.values()
            if off.server.vm_state == "stopped" and not off.tried
        ]
        if not wanted:
            return
        why = self._why_nothing(view, node, absence) or why_not_there(service)
        if why:
            for off in wanted:
                off.why = why
            return
        context = self.context
        services = context.nova.services()
        engine = Evacuation(
            context.nova,
            Task(service.host, "", context.token),
            context.policy,
            context.aggregates(),
        )
        engine.records.deep = True
        look = engine.look(services, Terms(0, starts=False, dead=context.dead_hosts(services)))
        began = context.clock()
        for off in wanted:
            if self._is_over(began):
                return
            key = off.server.id
            absence.off[key] = absence.off.pop(key)
            with self._skipped(key):
                self._start_one(view, node, absence, off, (engine, look, service))

    def _start_one(self, view: ClusterView, node: str, absence: _Absence, off: _Off, seen: tuple[Evacuation, Look, Service]) -> None:
        """Start one of them, or say why not. Raises CloudError."""
        engine, look, service = seen
        case, nova, key = engine.cases.get(off.server.id), self.context.nova, off.server.id
        if case is None:
            off.why = "Nova's list does not show it"
            return
        ruling, doubt = case.ruling, engine.why_not_restore(case, look)
        protected = None if ruling is None else ruling.protected or ruling.stays
        known = LeftOff(
            service.host,
            nova.server(key),
            nova.actions(key),
            nova.migrations_of(key),
            absence.silence,
            doubt,
            protected,
            key in absence.vague,
        )
        off.why = why_not_start(known) or self._why_not_now(view, node)
        if not off.why:
            self._ask(node, off)
        else:
            LOG.info(
                "%s (%s): off since %s was away, and not started: %s",
                off.server.name,
                key,
                node,
                off.why,
            )

    def _ask(self, node: str, off: _Off) -> None:
        LOG.warning(
            "%s (%s): off since %s was away; starting it again",
            off.server.name,
            off.server.id,
            node,
        )
        off.tried = True
        try:
            self.context.nova.start(off.server.id)
        except CloudRefused as error:
            off.why = str(error)
            LOG.warning("%s (%s): %s", off.server.name, off.server.id, error)

    def _why_nothing(self, view: ClusterView, node: str, absence: _Absence) -> str:
        """Return why nothing may be started on a node, by the cluster's word, "" for nothing."""
        there = view.nodes.get(node)
        if there is None or not there.online or not view.quorate:
            return "its host is not online"
        if absence.marked or there.mark:
            return "its host was fenced"
        if node in {*view.records, *view.broken, *view.dismissed, *view.held}:
            return "its host is on record"
        if not self.context.policy.enabled:
            return "evacuation is switched off (enabled=false)"
        return view.fences_nobody

    def _why_not_now(self, view: ClusterView, node: str) -> str:
        """Return why nothing may be started now, by the CIB read again, "" for nothing."""
        absence = self._absences.get(node)
        try:
            now = self.context.cluster.view()
        except (ClusterError, HostError) as error:
            return f"the cluster cannot be asked: {error}"
        if now.parameters != view.parameters or absence is None:
            return "the parameters have changed"
        return self._why_nothing(now, node, absence)

    def _tell(self) -> None:
        told = {*self.left_off}
        for node in told:
            self.context.problem(f"off {node}", self.sentence(node))
        for node in self._told - told:
            self.context.solved(f"off {node}")
        self._told = told
