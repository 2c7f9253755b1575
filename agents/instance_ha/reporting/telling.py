"""Tells of what the worker does: the durable history, metrics, events for a hook and the log. It looks on after each turn and is
no part of it: nothing here waits for anybody, and nothing that fails here hinders an evacuation."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from .. import __version__, events, incident, params
from ..cluster import Cluster
from ..engine import decide
from ..engine.evacuation import arrived
from ..engine.naming import host_of_record
from ..errors import ClusterError, HostError
from ..events import Event
from ..incident import Incident, why_unread
from ..model import CONFIRMED, EVACUATED, FAILED, PARTLY, ClusterView, Record
from .hook import Hook, hook_fault
from .lane import Lane
from .metrics import Metrics
from .tale import ARRIVED, LEFT, MOVING, STANDS, WAITING, Seen, Sight, Tale

if TYPE_CHECKING:
    from ..engine.host import Host
    from ..engine.worker import Worker

HOOK_ROOM = 1000         # events that may wait for the hook
HISTORY_PAUSE = 30.0     # seconds before the history is tried again
METRICS_PAUSE = 10.0     # between two writings of the metrics when nothing happens
METRICS_LEAST = 1.0      # and when something does
CLOSE_LIMIT = 1.0        # seconds that the worker's end waits for what is still to be told
_STANDS = {decide.DONE: ARRIVED, decide.UNLOCK: ARRIVED, decide.LEFT: LEFT, decide.EVACUATE: WAITING, decide.QUEUED: WAITING}
LOG = logging.getLogger(__name__)


class Teller:
    """Looks on at one worker. `name` is the resource's, `controller` this node's."""

    def __init__(self, name: str, controller: str, cluster: Cluster, values: Mapping[str, str]) -> None:
        self.name, self.controller, self.cluster = name, controller, cluster
        self.metrics = Metrics()
        self.metrics.set("build_info", 1, version=__version__)
        self.history: dict[str, Incident] | None = None     # as it was last read, None before that
        self.tales: dict[str, Tale] = {}
        self._hook_lane, self._history_lane, self._file_lane = Lane("hook", HOOK_ROOM), Lane("history", 1), Lane("metrics", 1)
        self._heard: dict[str, str] = {}
        self._said: dict[tuple[str, str], frozenset[str]] = {}   # of nodes on no record, by kind
        self._names: dict[str, str] = {}
        self._due: dict[str, Incident] = {}                  # what the history should hold and does not, as far as is known
        self._writing = self._news = False
        self._history_after = self._unread_after = self._written = float("-inf")
        self._file = self._file_fault = self._hook_fault = self._broken = ""
        self.configure(values)

    def configure(self, values: Mapping[str, str]) -> None:
        """Take new parameters."""
        self.settings = params.in_force(values)
        self.hook = Hook(values["hook"]) if values["hook"] else None
        self._hook_lane.put(partial(self._check_hook, values["hook"]))
        directory = values["metrics_directory"]
        path = os.path.join(directory, f"instance_ha_{self.name}.prom") if directory else ""
        if self._file != path:
            self._file_fault = ""
        if self._file and self._file != path:
            self._file_lane.put(partial(_remove, self._file))
        self._file = path

    def look(self, worker: Worker) -> None:
        """After a turn."""
        try:
            self._look(worker)
        except Exception as error:  # an edge of its own: the worker goes on whatever this is
            if self._broken != repr(error):
                LOG.exception("what happens is not told as it should be")
            self._broken = repr(error)
        unread = why_unread(self.cluster.unread_history)
        for subject, fault in (("metrics", self._file_fault), ("hook", self._hook_fault), ("history", unread)):
            if fault:
                worker.context.problem(subject, fault)
            else:
                worker.context.solved(subject)

    def close(self) -> None:
        """Before the worker ends."""
        for lane in (self._history_lane, self._hook_lane, self._file_lane):
            lane.close(CLOSE_LIMIT)
        if self._file:
            _remove(self._file)

    def _look(self, worker: Worker) -> None:
        now, clock = time.time(), worker.context.clock()
        told: list[Event] = []
        view = worker.context.view
        if view is not None and view.quorate and self._read_history(clock):
            for node in [node for node, tale in self.tales.items() if _id_of(view, node) != tale.incident.id]:
                told += self._gone(view, node, now, clock)
            for record in view.records.values():
                told += self._one(worker, record, now, clock)
            self._keep(view, clock)
        if view is not None:
            told += self._unrecorded(worker, view, now) if view.quorate else self._without_quorum(worker, now)
        if not worker.hosts:
            self._names.clear()
        self._heard_of(worker)
        for event in told:
            self._tell(event)
        self._show(worker, now, clock, bool(told))

    def _read_history(self, clock: float) -> bool:
        """Whether it is known what was told before this worker."""
        if self.cluster.unread_history and clock >= self._unread_after:     # until somebody has deleted it
            self._unread_after = clock + HISTORY_PAUSE
            with contextlib.suppress(ClusterError, HostError):
                self.cluster.incidents()
        if self.history is None and clock >= self._history_after:
            self._history_after = clock + HISTORY_PAUSE
            try:
                self.history = self.cluster.incidents()
                self._history_after = float("-inf")
            except (ClusterError, HostError) as error:
                LOG.warning("the history of incidents cannot be read: %s", error)
        return self.history is not None

    def _one(self, worker: Worker, record: Record, now: float, clock: float) -> list[Event]:
        tale = self.tales.get(record.node)
        if tale is None:
            known = (self.history or {}).get(record.id)
            known_services = worker.context.services_known
            called = host_of_record(record, worker.context.domain, known_services)
            heard = self._heard.get(called or "", "")
            start = known or Incident(record.id, record.node, recorded=float(record.since), heard=heard, version=__version__)
            start = replace(start, worker=self.controller, settings=self.settings)
            tale = self.tales[record.node] = Tale(start, known is not None, clock, self._mark)
            self.metrics.count("incidents_total", 0 if known else 1)
        told = tale.record(record, now, clock)
        host = worker.hosts.get(record.node)
        if host is None or host.incident != record.id:
            return told
        # As the turn has left the record: confirmed before it looked at the servers, over after that.
        if host.record.state == CONFIRMED:
            told += tale.record(host.record, *(host.confirmed or (now, clock)))
        if host.look is not None:
            before = (tale.tries, tale.failures)
            told += tale.sight(self._sight(host), now, clock, host.asked)
            self.metrics.count("evacuation_requests_total", max(0, tale.tries - before[0]))
            self.metrics.count("evacuation_failures_total", max(0, tale.failures - before[1]))
        return told + tale.record(host.record, now, clock)

    def _unrecorded(self, worker: Worker, view: ClusterView, now: float) -> list[Event]:
        """What is new of hosts that are on no record."""
        found: list[tuple[Event, set[str]]] = []
        for node, why in worker.unfenced.told.items():
            found.append((Event(events.NOT_FENCED, "", node, view.named(node), now,
                                worker.unfenced.sentence(node), {"reason": why}), {why}))
        for node, servers in worker.rebooted.left_off.items():
            found.append((Event(events.LEFT_OFF, "", node, view.named(node), now,
                                worker.rebooted.sentence(node), {"servers": len(servers)}),
                          {one.id for one in servers}))
        before = self._said
        self._said = {(event.kind, event.node): frozenset(what) for event, what in found}
        return [event for event, what in found
                if what - before.get((event.kind, event.node), frozenset())]

    def _without_quorum(self, worker: Worker, now: float) -> list[Event]:
        before = self._said
        lost = Event(events.NO_QUORUM, "", "", "", now, worker.context.health.problems.get("quorum", ""))
        self._said = {**before, (lost.kind, lost.node): frozenset({"lost"})}
        return [] if (lost.kind, lost.node) in before else [lost]

    def _sight(self, host: Host) -> Sight:
        """One host's servers, as the turn that is over saw them."""
        look, engine = host.look, host.engine
        assert look is not None and engine is not None
        rows = [row for row in look.scene.migrations if row.id > look.scene.baseline]
        done = arrived(rows, look.scene.baseline, look.verdicts)
        found = {}
        for verdict in look.verdicts:
            server, memory = verdict.server, engine.memory.get(verdict.server.id)
            self._names[server.id] = server.name
            if verdict.protected:
                found[server.id] = Seen(server.id, server.name, server.host or "", _STANDS.get(verdict.action, MOVING),
                                        sum(1 for row in rows if row.server == server.id), memory.request if memory else "",
                                        verdict.reason, verdict.final)
        for row in rows:
            if row.server in done and row.server not in found:
                memory = engine.memory.get(row.server)
                found[row.server] = Seen(row.server, self._names.get(row.server, row.server), row.destination or "", ARRIVED,
                                         sum(1 for other in rows if other.server == row.server), memory.request if memory else "")
        failures = sum(1 for row in rows if row.status in FAILED)
        return Sight(look.scene.host, list(found.values()), len(rows), failures, host.paused, look.scene.avoid)

    def _gone(self, view: ClusterView, node: str, now: float, clock: float) -> list[Event]:
        tale = self.tales.pop(node)
        told = tale.gone(_end(view, node), now, clock)
        self.metrics.count("incidents_ended_total", end=tale.incident.end)
        self._due[tale.incident.id] = tale.incident
        return told

    def _keep(self, view: ClusterView, clock: float) -> None:
        """See to it that the history holds what it should: incidents whose evacuation is over, and how those before ended."""
        history = self.history or {}
        for tale in self.tales.values():
            one, known = tale.incident, history.get(tale.incident.id)
            if one.state in (EVACUATED, PARTLY) and (known is None or (known.state, known.done, known.left) != (one.state, one.done, one.left)):
                self._due[one.id] = one
        for one in history.values():
            # Its record went away while no worker looked: when, nobody knows.
            if one.end == incident.OPEN and one.id not in self._due and _id_of(view, one.node) != one.id:
                self._due[one.id] = replace(one, end=_end(view, one.node))
        self._due = {key: one for key, one in self._due.items() if key not in history or history[key].text() != one.text()}
        if self._due and not self._writing and clock >= self._history_after:
            self._writing = True             # before it is in the lane, which may be done with it at once
            self._history_lane.put(partial(self._write, next(iter(self._due.values())), clock))

    def _write(self, one: Incident, clock: float) -> None:
        """In the lane. What fails is due still, and tried again after a pause."""
        try:
            self.history = self.cluster.remember(one)
        except (ClusterError, HostError) as error:
            LOG.warning("the incident %s of %s is not in the history yet: %s", one.id, one.node, error)
            self.metrics.count("history_failures_total")
            self._history_after = clock + HISTORY_PAUSE
        finally:
            self._writing = False

    def _tell(self, event: Event) -> None:
        LOG.info("%s", event.line())
        if event.kind in _COUNTED:
            self.metrics.count(_COUNTED[event.kind])
        if self.hook and not self._hook_lane.put(partial(self._call, self.hook, event.payload(self.controller))):
            self.metrics.count("hook_calls_total", result="dropped")

    def _call(self, hook: Hook, payload: Mapping[str, object]) -> None:
        """In the lane."""
        try:
            hook.call(payload)
            self.metrics.count("hook_calls_total", result="ok")
            self._hook_fault = ""
        except HostError as error:
            LOG.warning("the hook was not told of %s of %s: %s", payload["event"], payload["incident"], error)
            self.metrics.count("hook_calls_total", result="failed")
            self._hook_fault = hook_fault(hook.target)

    def _check_hook(self, target: str) -> None:
        """In the lane, since a file system may hang."""
        self._hook_fault = hook_fault(target)

    def _mark(self, phase: str, seconds: float) -> None:
        if phase == "server":
            self.metrics.observe("server_duration_seconds", seconds)
        else:
            self.metrics.observe("phase_duration_seconds", seconds, phase=phase)

    def _heard_of(self, worker: Worker) -> None:
        """Remember when Nova last heard of the hosts that are well."""
        for service in worker.context.services_known:
            if service.binary == "nova-compute" and service.up and not service.forced_down:
                self._heard[service.host] = service.updated

    def _show(self, worker: Worker, now: float, clock: float, news: bool) -> None:
        self._news = self._news or news or bool(self.tales)
        if not self._file or clock - self._written < (METRICS_LEAST if self._news else METRICS_PAUSE):
            return
        self._written, self._news = clock, False
        fill(self.metrics, worker, self.tales, now)
        self._file_lane.put(partial(self._write_file, self._file, self.metrics.text()))

    def _write_file(self, path: str, text: str) -> None:
        """In the lane."""
        said = ""
        try:
            write_whole(path, text)
        except OSError as error:
            said = f"the metrics cannot be written to {path}: {error.strerror}"
        if path == self._file:
            self._file_fault = said


_COUNTED = {events.CONFIRMED: "fencings_confirmed_total", events.SERVER_ARRIVED: "servers_arrived_total",
            events.SERVER_FAILED: "servers_failed_total"}


def fill(metrics: Metrics, worker: Worker, tales: Mapping[str, Tale], now: float) -> None:
    """Set every gauge to what it is now."""
    view, problems = worker.context.view, worker.context.health.problems
    metrics.set("worker_heartbeat_timestamp_seconds", now)
    metrics.set("worker_problems", len(problems))
    metrics.set("worker_enabled", int(worker.context.policy.enabled))
    metrics.set("cluster_quorate", int(view is not None and view.quorate))
    metrics.set("nova_reachable", int("nova" not in problems))
    metrics.set("parallel_limit", worker.rounds.window.size)
    metrics.forget("host_record", "host_servers", "host_held", "compute_hosts",
                   "destination_failing", "host_not_fenced", "servers_left_off")
    for node in worker.unfenced.told:
        metrics.set("host_not_fenced", 1, node=node)
    for node, servers in worker.rebooted.left_off.items():
        metrics.set("servers_left_off", len(servers), node=node)
    for name in {name for host in worker.hosts.values() if host.look for name in host.look.scene.avoid}:
        metrics.set("destination_failing", 1, host=name)
    computes = [service for service in worker.context.services_known if service.binary == "nova-compute"]
    for state, count in (("up", sum(1 for s in computes if s.up)), ("down", sum(1 for s in computes if not s.up)),
                         ("forced_down", sum(1 for s in computes if s.forced_down)), ("disabled", sum(1 for s in computes if not s.enabled))):
        metrics.set("compute_hosts", count, state=state)
    for node, tale in tales.items():
        metrics.set("host_record", 1, node=node, state=tale.incident.state)
        metrics.set("host_held", int(f"held {node}" in problems), node=node)
        for stands in STANDS:
            metrics.set("host_servers", sum(1 for one in tale.servers.values() if one.stands == stands), node=node, state=stands)


def directory_fault(directory: str) -> str:
    """Return why metrics cannot be written into a directory of this node, "" for nothing."""
    if not directory or (os.path.isdir(directory) and os.access(directory, os.W_OK)):
        return ""
    there = os.path.isdir(directory)
    return f"metrics_directory={directory} {'cannot be written to' if there else 'is not there'}"


def write_whole(path: str, text: str) -> None:
    """Put a file in place at once, readable by all. The draft's name is nobody's to know: the directory may be another user's. Raises OSError."""
    descriptor, draft = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".instance_ha.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
        os.replace(draft, path)
    except OSError:
        _remove(draft)
        raise


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _id_of(view: ClusterView, node: str) -> str:
    return view.records[node].id if node in view.records else ""


def _end(view: ClusterView, node: str) -> str:
    """How the record of a node ended that is not there any more."""
    return incident.AGAIN if node in view.records else incident.DISMISSED if node in view.dismissed else incident.IN_SERVICE
