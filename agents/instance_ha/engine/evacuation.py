"""Acting on the servers of one dead host: look, then act on what was chosen, once a turn. The worker and the command line share it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import CloudError, CloudRefused, CloudUnreachable
from ..model import ARRIVED, FAILED, Aggregate, Claim, Migration, Record, Server, Service, claim_of
from ..nova import Nova
from . import decide
from .decide import EVACUATE, SEND_DEADLINE, TAKEOVER
from .limits import aggregate_metadata
from .looked import Look
from .naming import forced_down
from .placing import Place, Placer
from .pulse import Fallen, Pulse
from .scene import HostScene, Memory, Verdict
from .selection import Policy, Ruling, order_key, rule_for
from .states import CONFIRM, RESET, kept_of, state_of
from .window import SLOW

OWNED = "its owner has locked it, so that nobody can claim it, and its host is on record: leave it to the worker, or unlock it first"
FRESH = 2.0           # seconds after which a server is looked at again before it is claimed
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """What the record has to hold before the first request: the highest id of Nova's evacuations of the host, and what servers
    that their owners locked are to be."""

    baseline: int
    kept: Mapping[str, str]

    def into(self, record: Record) -> Record:
        """The record with it, not stored yet. What the record says already is older, and stays."""
        baseline = self.baseline if record.baseline is None else record.baseline
        return record.to(record.state, baseline=baseline, kept={**self.kept, **record.kept})


class Evacuation:
    """One host's evacuation. `token` names who acts; `by_hand`: a person, who gives way to a worker; `recorded`: of a host that is on
    record, so that a worker may be at it too. `password` makes a server's new password."""

    def __init__(self, nova: Nova, host: str, incident: str, token: str, policy: Policy,
                 target: str | None = None, only: str | None = None, aggregates: Sequence[Aggregate] = (),
                 password: Callable[[], str] | None = None, by_hand: bool = False, recorded: bool = False) -> None:
        self.nova, self.host, self.incident, self.token, self.policy = nova, host, incident, token, policy
        self.only, self.aggregates, self.password, self.by_hand, self.recorded = only, aggregates, password, by_hand, recorded
        self.placer = Placer(nova, host, target)
        self.memory: dict[str, Memory] = {}
        self.done, self.passwords = dict[str, str](), dict[str, str]()
        self.finished = 0                        # arrivals since the last time somebody asked
        self.broken: set[int] = set()            # evacuations whose destination was seen to die in the middle
        self._listed: set[str] = set()           # servers that were seen in a list and have come to no end yet
        self._moving: dict[str, str] | None = None
        self._pulse, self._fallen = Pulse(), Fallen()
        self._read = 0.0

    def prepare(self) -> Prepared:
        """Read what the first turn will need again, so that images are known and connections are open by then."""
        servers = self.nova.servers_on(self.host)
        self._listed |= {server.id for server in servers}
        for server in servers:
            self.ruling(server)
        self._broken_off()
        rows = self.nova.evacuations(self.host)
        return Prepared(rows[-1].id if rows else 0, kept_of(servers))

    def look(self, services: Sequence[Service], baseline: int, starts: bool, kept: Mapping[str, str], dead: frozenset[str] | None = None) -> Look:
        """See and decide. `dead` are the hosts that are off for certain, those that are forced down unless told. Raises CloudError."""
        scene = self._observe(services, baseline, starts, kept, dead)
        verdicts = [
            decide.server_verdict(server, scene, self.policy, self.memory.setdefault(server.id, Memory()))
            for server in sorted(scene.servers, key=order_key)
        ]
        for verdict in [v for v in verdicts if v.action == decide.DONE]:
            self._finish(verdict)
        return Look(scene, services, verdicts)

    def act(self, verdict: Verdict, look: Look, permit: Callable[[], bool]) -> bool:
        """Do it. `permit` is asked just before a request to evacuate whether it may be sent at all. Whether Nova answered, and soon."""
        server, memory, began = verdict.server, self.memory[verdict.server.id], time.monotonic()
        try:
            if verdict.action == EVACUATE:
                self._evacuate(verdict, look, permit)
            elif verdict.action == decide.UNLOCK:
                self.nova.unlock(server.id)
                self._finish(verdict)
            else:
                {decide.STOP: self.nova.stop, decide.START: self.nova.start, decide.PAUSE: self.nova.pause,
                 decide.RESET: self.nova.reset_running}[verdict.action](server.id)
        except CloudRefused as error:
            self._refused(server, memory, str(error), short=False)
        except CloudError as error:
            LOG.warning("%s (%s): %s", server.name, server.id, error)
            return False
        return memory.sent is None or (not memory.lost and time.monotonic() - began < SLOW)

    def unclaimed(self, server: Server) -> bool:
        """Whether our claim is missing on a server that can have one."""
        claim = claim_of(server)
        return claim.token != self.token if claim else not server.locked

    def is_unsent(self, verdict: Verdict) -> bool:
        """Whether nothing of ours is under way for it."""
        return verdict.action in (decide.LEFT, decide.QUEUED) or (verdict.action == EVACUATE and self.memory[verdict.server.id].sent is None)

    def claim(self, verdicts: Iterable[Verdict], go_on: Callable[[], None]) -> None:
        """Claim servers that wait, to be given back in the state they had if their host returns first. `go_on` is called for each."""
        for verdict in verdicts:
            go_on()
            if not verdict.server.locked:
                self.nova.lock(verdict.server.id, Claim(self.host, verdict.was, self.incident, self.token).text())

    def _observe(self, services: Sequence[Service], baseline: int, starts: bool, kept: Mapping[str, str], dead: frozenset[str] | None) -> HostScene:
        self._read = time.monotonic()
        migrations = self.nova.evacuations(self.host)
        found = {server.id: server for server in self.nova.servers_on(self.host)}
        for server in self.nova.locked_servers():
            claim = claim_of(server)
            if claim and claim.host == self.host:
                found[server.id] = server
        self._add_unlisted(found, {row.server for row in migrations if row.id > baseline} & set(kept))
        if self.only:
            found = {key: server for key, server in found.items() if key == self.only}
        computes = [s for s in services if s.binary == "nova-compute"]
        control = [s for s in services if s.binary in ("nova-conductor", "nova-scheduler")]
        down, now = self._fallen.look(computes, self.host), time.monotonic()
        scene = HostScene(
            self.host, self.incident, self.token, baseline, list(found.values()),
            {key: self.ruling(server) for key, server in found.items()}, migrations,
            up_hosts=frozenset(s.host for s in computes if s.up), dead_hosts=forced_down(services) if dead is None else dead,
            control_up={s.binary for s in control if s.up} == {"nova-conductor", "nova-scheduler"},
            control_whole=self._pulse.beats(control, now), fallen=down,
            now=now, starts=starts, last_row=migrations[-1].id if migrations else 0, moving=self._broken_off(), kept=kept,
        )
        self.broken |= {row.id for row in migrations if row.status not in ARRIVED and row.destination in scene.dead_hosts}
        self._ask_for_requests(scene)
        return scene

    def _broken_off(self) -> dict[str, str]:
        """The destinations of the live migrations that were under way from the host: the guest may have got there."""
        if self._moving is None:
            last = {row.server: row for row in self.nova.live_migrations(self.host)}
            self._moving = {key: row.destination for key, row in last.items() if row.in_progress and row.destination}
        return self._moving

    def _add_unlisted(self, found: dict[str, Server], kept: set[str]) -> None:
        """A server locked by its owner carries no claim: it is followed by its id until it has arrived. So is what was listed once: Nova
        leaves servers out of a list, without a word, when their cell's database fails it for a moment."""
        for key in ({key for key, memory in self.memory.items() if memory.was} | kept | self._listed) - {*found, *self.done}:
            server = self.nova.server(key)
            if server:
                found[key] = server
        self._listed = {*found} - {*self.done}

    def _ask_for_requests(self, scene: HostScene) -> None:
        """Nova's own id of each request that has failed, for those whose answer this process did not get."""
        last = {row.server: row for row in scene.migrations if row.id > scene.baseline}
        for key, row in last.items():
            memory = self.memory.setdefault(key, Memory())
            if row.status in FAILED and row.id not in memory.failed and not memory.request:
                memory.request = self.nova.evacuation_request(key)

    def ruling(self, server: Server) -> Ruling:
        """Whether it is protected. The image is asked for only where its word would count; what Glance cannot tell now is not
        known, and so not a no. Raises CloudError."""
        aggregate = aggregate_metadata(self.host, self.aggregates)
        ruling = rule_for(server, None, self.policy.selection, aggregate)
        if ruling is None:
            ruling = rule_for(server, self.nova.image_properties(server.image) if server.image else {}, self.policy.selection, aggregate)
        assert ruling is not None
        return ruling

    def _refused(self, server: Server, memory: Memory, reason: str, short: bool) -> None:
        if memory.refusal != reason:
            LOG.warning("%s (%s): %s", server.name, server.id, reason)
        memory.refusal, memory.refused_at, memory.refusals, memory.short = reason, time.monotonic(), memory.refusals + 1, short

    def _finish(self, verdict: Verdict) -> None:
        if verdict.server.id not in self.done and verdict.protected:
            LOG.info("%s (%s): %s", verdict.server.name, verdict.server.id, verdict.reason)
            self.finished += 1
        self.done[verdict.server.id] = verdict.reason
        self.memory[verdict.server.id].was = ""

    def _evacuate(self, verdict: Verdict, look: Look, permit: Callable[[], bool]) -> None:
        server, memory = verdict.server, self.memory[verdict.server.id]
        claim = Claim(self.host, verdict.was, self.incident, self.token)
        owned = bool(server.locked) and claim_of(server) is None
        if owned and self.by_hand and self.recorded:
            self._refused(server, memory, OWNED, short=True)
            return
        if not owned and claim_of(server) != claim and not self._claim(server, claim, memory):
            return
        asked = time.monotonic()
        now = self._still(server, claim, owned)
        if now and state_of(now).way in (RESET, CONFIRM):
            if not permit() or not self._made_evacuable(now, memory, look.scene):
                return
            asked = time.monotonic()
            now = self._still(server, claim, owned)
        if now is None:
            return
        place = Place(verdict.target) if verdict.target else self.placer.place(now, look.scene, look.services)
        if time.monotonic() - asked > FRESH:     # a large server group takes long to look at
            asked = time.monotonic()
            now = self._still(server, claim, owned)
            if now is None:
                return
        if place.hindrance:
            self._refused(server, memory, place.hindrance, short=True)
            return
        if not permit() or time.monotonic() - asked > SEND_DEADLINE:
            LOG.warning("%s (%s): not evacuated now: the right to it was lost, or checking it took too long", server.name, server.id)
            return
        memory.was, memory.fault_at = verdict.was if owned else "", now.fault_at or None
        memory.sent, memory.sent_after, memory.lost = time.monotonic(), look.scene.last_row, False
        self._send(verdict, memory, place)

    def _claim(self, server: Server, claim: Claim, memory: Memory) -> bool:
        """Put our claim on it. Whether the request may follow at once: not for a person, nor after somebody else's claim, nor when
        it took long. Who looked at the server before it was there may send still, and that has to be seen first."""
        began = self._read
        if time.monotonic() - began > FRESH:
            began, now = time.monotonic(), self.nova.server(server.id)
            if now is None or (now.locked, now.locked_reason) != (server.locked, server.locked_reason):
                return False
        before = claim_of(server)
        memory.until = time.monotonic() + TAKEOVER
        if server.locked:
            self.nova.unlock(server.id)  # Nova would keep the other claim's words
        self.nova.lock(server.id, claim.text())
        memory.until = time.monotonic() + TAKEOVER
        if not self.by_hand and (before is None or before.id == self.incident) and time.monotonic() - began < SEND_DEADLINE:
            memory.until = 0.0
        return not memory.until

    def _still(self, server: Server, claim: Claim, owned: bool) -> Server | None:
        """The server as it is now; None when something speaks against its evacuation."""
        now = self.nova.server(server.id)
        hindrance = _hindrance(server, now, claim, owned)
        if hindrance:
            LOG.info("%s (%s): not evacuated: %s", server.name, server.id, hindrance)
        return None if hindrance else now

    def _made_evacuable(self, server: Server, memory: Memory, scene: HostScene) -> bool:
        """Bring it into a state in which Nova evacuates it; False when that takes until a later turn."""
        if state_of(server).way == CONFIRM and memory.confirming is None:
            resize = self.nova.resize_of(server.id)
            if resize and resize.status == "finished" and resize.source in scene.up_hosts:
                memory.confirming = time.monotonic()
                self.nova.confirm_resize(server.id)
                LOG.info("%s (%s): its resize is confirmed, so that Nova evacuates it", server.name, server.id)
                return False
        self.nova.reset(server.id)
        LOG.info("%s (%s): reset from %s, so that Nova evacuates it", server.name, server.id, server.vm_state)
        return True

    def _send(self, verdict: Verdict, memory: Memory, place: Place) -> None:
        server = verdict.server
        password = self.password() if self.password else None
        try:
            memory.request = self.nova.evacuate(server.id, place.host, place.force, password)
            memory.refusal, memory.refusals, memory.short = "", 0, False
            LOG.info("%s (%s): evacuation from %s%s asked, %s (%s)", server.name, server.id, self.host,
                     f" to {place.host}" if place.host else "", memory.request, verdict.reason)
        except CloudRefused:
            memory.sent = None
            raise
        except CloudUnreachable as error:
            memory.lost, memory.request, memory.sent = True, "", time.monotonic()
            LOG.warning("%s (%s): the answer was lost, looking before anything is sent again: %s", server.name, server.id, error)
        if password:
            self.passwords[server.id] = password


def arrived(migrations: Iterable[Migration], baseline: int, verdicts: Iterable[Verdict]) -> set[str]:
    """The servers that have left the host in this incident and need nothing more."""
    busy = {v.server.id for v in verdicts if v.action not in (decide.UNLOCK, decide.DONE)}
    return {m.server for m in migrations if m.id > baseline and m.status in ARRIVED} - busy


def _hindrance(before: Server, now: Server | None, claim: Claim, owned: bool) -> str:
    """Why a server that was to be evacuated must not be, seen just before the request; "" for nothing."""
    if now is None:
        return "it is gone"
    if now.host != claim.host:
        return f"it is on {now.host} now"
    if now.being_deleted:
        return "its user is deleting it"
    if not owned and claim_of(now) != claim:
        return "somebody else has claimed it"
    if now.task_state != before.task_state and (now.task_state or "").startswith("rebuild"):
        return "somebody else evacuates it"
    return ""
