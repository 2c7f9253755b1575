"""Acting on the servers of one dead host: look, then act on what was chosen, once a turn. The worker and the command line share it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from ..errors import CloudBusy, CloudError, CloudRefused, CloudUnreachable, TooLate
from ..http_limits import sent_by
from ..model import ARRIVED, Aggregate, Claim, Migration, Record, Server, Service, claim_of, mark_of_request
from ..nova import Nova
from . import decide, places
from .attempts import Stage
from .decide import EVACUATE, SEND_DEADLINE, TAKEOVER
from .evidence import Records
from .limits import aggregate_metadata
from .lists import Ahead
from .looked import Look
from .placing import Place, Placer
from .pulse import Fallen, Pulse
from .scene import NOBODY, ByHand, Case, HostScene, Memory, Task, Terms, Verdict
from .selection import TELL, Policy, Ruling, disk_stays, order_key, order_of, rule_for
from .states import CONFIRM, MOVING, RESET, kept_of, state_of
from .unlisted import Unlisted
from .window import SLOW

OWNED = "its owner has locked it, so that nobody can claim it, and its host is on record: leave it to the worker, or unlock it first"
FRESH = 2.0           # seconds after which a server is looked at again before it is claimed
STALE = 10.0          # seconds after which what was read of a server is too old for a request
GIVEN_UP = 3          # so often chosen and not sent, a server is named
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
    """One host's evacuation, as its worker does it, or a person. New passwords of servers are in `passwords` then, by their ids.
    What is remembered may be lost at any time."""

    def __init__(self, nova: Nova, task: Task, policy: Policy, aggregates: Sequence[Aggregate] = (), by_hand: ByHand = NOBODY) -> None:
        self.nova, self.policy, self.aggregates, self.by_hand = nova, policy, aggregates, by_hand
        self.host, self.incident, self.token = task.host, task.incident, task.token
        self.placer = Placer(nova, task.host, by_hand.target)
        self.memory: dict[str, Memory] = {}
        self.cases: dict[str, Case] = {}         # of the last look
        self.done, self.passwords = dict[str, str](), dict[str, str]()
        self.broken: set[str] = set()            # requests whose destination was seen to die after it began, by their marks
        self.records = Records(nova)
        self._why_not_sent: dict[str, str] = {}   # why one that was chosen was not sent the last time
        self._listed: set[str] = set()           # servers that were seen in a list and have come to no end yet
        self._moving: dict[str, str] | None = None
        self._pulse, self._fallen = Pulse(), Fallen()
        self._began = ""                         # Nova's time when this began
        self._read = 0.0
        self.ahead = Ahead(nova, task.host, lambda: time.monotonic())
        self._unlisted = Unlisted(lambda key: self.nova.server(key), lambda: time.monotonic())

    def prepare(self) -> Prepared:
        """Read what the first turn will need again, so that images are known and connections are open by then."""
        servers = self.nova.servers_on(self.host)
        self._listed |= {server.id for server in servers}
        for server in servers:
            self.ruled(server)
        self._broken_off()
        # Twice, since what is kept is never taken from one list alone: one may have left rows out.
        newest = max((row.id for _ in range(2) for row in self.nova.evacuations(self.host)), default=0)
        return Prepared(newest, kept_of(servers))

    def look(self, services: Sequence[Service], terms: Terms) -> Look:
        """See and decide. Raises CloudError."""
        lists = self.ahead.take(terms.baseline)
        self._read, migrations = lists.began, lists.migrations.result()
        servers = self._servers(lists.servers.result(), migrations, terms)
        scene = self._scene(services, terms, migrations, servers)
        self.cases = {server.id: self.records.case(server, scene, self.memory.setdefault(server.id, Memory())) for server in servers}
        self.records.fill(self.cases, scene)
        self.broken |= terms.broken | {
            mark_of_request(attempt.request) for case in self.cases.values() for attempt in case.attempts or ()
            if attempt.stage in (Stage.BUILDING, Stage.SUSPECT) and attempt.destination in scene.dead_hosts}
        decisions = [decide.decide(case, scene, self.policy, frozenset(self.broken))
                     for case in sorted(self.cases.values(), key=lambda case: order_key(case.server))]
        for decision in decisions:
            self.memory[decision.verdict.server.id] = decision.memory
            if decision.verdict.action == decide.DONE:
                self._finish(decision.verdict)
        return Look(scene, services, [self._named_if_never_sent(decision.verdict) for decision in decisions], self._unlisted.more)

    def why_not_restore(self, case: Case, look: Look) -> str:
        """Return why a server must not be started on its old host, which is back; "" for nothing."""
        # What this look has noted: a request that it shows for the first time was in no queue before.
        case = replace(case, memory=self.memory[case.server.id])
        return places.why_not_restore(places.Seen(case, look.scene, self.policy, frozenset(self.broken))) or look.was_moving(case.server)

    def release(self, server: str) -> None:
        """Take our claim away."""
        self.nova.unlock(server)
        self.records.claimed.pop(server, None)

    def act(self, verdict: Verdict, look: Look, permit: Callable[[], bool]) -> bool:
        """Do it. `permit` is asked just before a request to evacuate whether it may be sent at all. Whether Nova answered, and soon."""
        server = verdict.server
        try:
            if verdict.action == EVACUATE:
                return self._evacuate(verdict, look, permit)
            if verdict.action == decide.UNLOCK:
                self.release(server.id)
                self._finish(verdict)
            else:
                {decide.STOP: self.nova.stop, decide.START: self.nova.start, decide.PAUSE: self.nova.pause,
                 decide.RESET: self.nova.reset_running}[verdict.action](server.id)
        except CloudRefused as error:
            self._refused(server, str(error), short=False)
        except CloudError as error:
            LOG.warning("%s (%s): %s", server.name, server.id, error)
            if verdict.action == EVACUATE and not isinstance(error, CloudBusy):
                self._missed(server, str(error))         # the next ones are not to wait for it
            return False
        return True

    def unclaimed(self, server: Server) -> bool:
        """Whether our claim is missing on a server that can have one."""
        case = self.cases.get(server.id)
        claim = case.claim if case and case.server.locked_reason == server.locked_reason else claim_of(server)
        return not claim.is_by(self.token) if claim else not server.locked

    def is_unsent(self, verdict: Verdict) -> bool:
        """Whether nothing of ours is under way for it, and no earlier try needs its mark."""
        case = self.cases.get(verdict.server.id)
        if verdict.person or case is None or any(one.is_open or one.stage is Stage.SUSPECT for one in case.attempts or ()):
            return False
        return verdict.action in (decide.LEFT, decide.QUEUED) or (verdict.action == EVACUATE and self.memory[verdict.server.id].sent is None)

    def _servers(self, there: Sequence[Server], migrations: Sequence[Migration], terms: Terms) -> list[Server]:
        """The servers on the host, and those that have left it in this incident and have come to no end yet. A list of Nova leaves
        servers out, without a word, when their cell's database fails it: what was listed once is asked for by its id."""
        found = {server.id: server for server in there}
        known = self._listed | {key for key, memory in self.memory.items() if memory.was or memory.sent is not None}
        here = {row.server for row in migrations if row.id > terms.baseline}
        known |= self._unlisted.sweep(here - {*found, *self.done}, not terms.starts)
        found |= {server.id: server for server in self._unlisted.ask(known - {*found, *self.done}, self.cases)}
        found = {key: server for key, server in found.items() if self.by_hand.only in (None, key) and key not in self.done}
        self._listed = {*found}
        return [self.ordered(server) for server in found.values()]

    def ordered(self, server: Server) -> Server:
        """Return a server with the place in the order that operator and owner give it."""
        return replace(server, order=order_of(server, self.policy.priorities, aggregate_metadata(self.host, self.aggregates)))

    def _scene(self, services: Sequence[Service], terms: Terms, migrations: Sequence[Migration], servers: Sequence[Server]) -> HostScene:
        computes = [s for s in services if s.binary == "nova-compute"]
        control = [s for s in services if s.binary in ("nova-conductor", "nova-scheduler")]
        nova_now = max((s.updated for s in services), default="")
        self._began = min([self._began or nova_now, *(row.created for row in migrations if row.id > terms.baseline and row.created)])
        down, now = self._fallen.look(computes, self.host), time.monotonic()
        return HostScene(
            self.host, self.incident, self.token, terms.baseline, servers,
            {server.id: ruling for server in servers if (ruling := self.ruled(server))}, migrations,
            up_hosts=frozenset(s.host for s in computes if s.up),
            down_hosts=frozenset(s.host for s in computes if s.known and not s.up), dead_hosts=terms.dead,
            control_up={s.binary for s in control if s.up} == {"nova-conductor", "nova-scheduler"},
            control_whole=self._pulse.beats([s for s in control if s.host not in terms.dead], now, self._began), fallen=down,
            now=now, starts=terms.starts, last_row=migrations[-1].id if migrations else 0, kept=terms.kept,
            moving=self._broken_off(s.id for s in servers if state_of(s).was == MOVING),
            gaps=dict(self._pulse.gaps), heard=dict(self._pulse.heard), nova_now=nova_now, avoid=self.records.failing(now),
        )

    def _broken_off(self, moving: Iterable[str] = ()) -> dict[str, str]:
        """The destinations of the live migrations that were under way from the host, "" for none chosen yet: the guest may have got
        there. Read again while that of a server in `moving` is missing: a list may have left it out."""
        if self._moving is None or not self._moving.keys() >= {*moving}:
            last = {row.server: row for row in self.nova.live_migrations(self.host)}
            found = {key: row.destination or "" for key, row in last.items() if row.in_progress}
            self._moving = {**found, **(self._moving or {})}
        return self._moving

    def ruled(self, server: Server) -> Ruling | None:
        """The ruling on a server, None where only its image could say, and Glance does not."""
        try:
            return self.ruling(server)
        except CloudError as error:
            LOG.info("%s (%s): whether it is protected is not known: %s", server.name, server.id, error)
            return None

    def ruling(self, server: Server) -> Ruling:
        """Whether it is protected. The image is asked for only where its word would count; what Glance cannot tell now is not
        known, and so not a no. Raises CloudError."""
        aggregate = aggregate_metadata(self.host, self.aggregates)
        ruling = rule_for(server, None, self.policy.selection, aggregate)
        if ruling is None:
            ruling = rule_for(server, self.nova.image_properties(server.image) if server.image else {}, self.policy.selection, aggregate)
        assert ruling is not None
        stays = disk_stays(server, self.policy.image_disks, aggregate) if ruling.protected else ""
        return Ruling(False, stays, True, self.policy.image_disks == TELL) if stays else ruling

    def _remember(self, server: Server, **changes: object) -> None:
        self.memory[server.id] = replace(self.memory[server.id], **changes)  # type: ignore[arg-type]

    def _refused(self, server: Server, reason: str, short: bool) -> None:
        memory = self.memory[server.id]
        if memory.refusal != reason:
            LOG.warning("%s (%s): %s", server.name, server.id, reason)
        self._remember(server, refusal=reason, refused_at=time.monotonic(), refusals=memory.refusals + 1, short=short)

    def _unsent(self, server: Server, reason: str) -> None:
        """It was chosen, and just before the request something spoke against it."""
        LOG.info("%s (%s): not evacuated: %s", server.name, server.id, reason)
        self.records.forget(server.id)
        self._missed(server, reason)

    def _missed(self, server: Server, reason: str) -> None:
        self._why_not_sent[server.id] = reason
        self._remember(server, unsent=self.memory[server.id].unsent + 1)

    def _named_if_never_sent(self, verdict: Verdict) -> Verdict:
        """A server that is chosen again and again and never sent takes no place of others', and is told."""
        memory = self.memory[verdict.server.id]
        if verdict.action != EVACUATE or memory.unsent < GIVEN_UP or memory.unsent % GIVEN_UP:
            return verdict
        why = self._why_not_sent.get(verdict.server.id, "what is seen of it changes")
        self._remember(verdict.server, unsent=memory.unsent + 1, refused_at=time.monotonic(), refusals=memory.refusals + 1, short=True,
                       refusal=f"chosen {memory.unsent} times, and not sent: {why}")
        return replace(verdict, action=decide.LEFT, reason=f"chosen, and not sent: {why}", retry=True)

    def _finish(self, verdict: Verdict) -> None:
        if verdict.server.id not in self.done and verdict.protected:
            LOG.info("%s (%s): %s", verdict.server.name, verdict.server.id, verdict.reason)
        self.done[verdict.server.id] = verdict.reason
        self._remember(verdict.server, was="", sent=None)

    def _evacuate(self, verdict: Verdict, look: Look, permit: Callable[[], bool]) -> bool:
        """Claim it, decide again on its own record, and send. Whether Nova answered, and soon."""
        server, case = verdict.server, self.cases[verdict.server.id]
        claim = Claim(self.host, verdict.was, self.incident, self.token)
        owned = bool(server.locked) and case.claim is None
        if owned and self.by_hand.gives_way and self.by_hand.recorded:
            self._refused(server, OWNED, short=True)
            return True
        if not owned and case.claim != claim and not self._claim(server, claim):
            return True
        read, again = time.monotonic(), self._decide_again(verdict, look, None if owned else claim)
        if again is not None and state_of(again.server).way in (RESET, CONFIRM):
            if not permit():
                self._unsent(server, "the right to it was lost")
                return True
            if not self._made_evacuable(again.server, look.scene):
                return True
            read, again = time.monotonic(), self._decide_again(verdict, look, None if owned else claim)
        if again is None:
            return True
        place = Place(again.target) if again.target else self._place(again, look)
        if place.hindrance:
            self._refused(server, place.hindrance, short=True)
            return True
        if time.monotonic() - read > FRESH:    # choosing its place took long, as for a large group
            read, again = time.monotonic(), self._decide_again(verdict, look, None if owned else claim)
            if again is None or again.target not in (None, place.host):
                return True
        self.nova.pace.take()              # before the last questions, whose answers have to be as new as the request
        if time.monotonic() - read > STALE:
            self._unsent(server, "what was read of it was too old: OpenStack is slow, or limits requests")
            return False
        began = time.monotonic()
        if not permit() or time.monotonic() - began > SEND_DEADLINE:
            self._unsent(server, "the right to it was lost, or Pacemaker takes too long to show it")
            return True
        self._remember(server, was=verdict.was if owned else "", sent=time.monotonic(), sent_after=look.scene.last_row, lost=False)
        with sent_by(began + SEND_DEADLINE):
            return self._send(again, place)

    def _place(self, verdict: Verdict, look: Look) -> Place:
        """Where it goes: where its group may be, or anywhere but where it has failed before."""
        case = self.cases[verdict.server.id]
        failed = {one.destination for one in case.attempts or () if one.destination and one.stage is Stage.CLEAN}
        failed |= {row.destination for row in case.rows if row.id > look.scene.baseline and row.status in ("failed", "error") and row.destination}
        return self.placer.place(verdict.server, look.scene, look.services, frozenset(failed))

    def _claim(self, server: Server, claim: Claim) -> bool:
        """Put our claim on it. Whether the request may follow at once: not for a person, nor after somebody else's claim, nor when
        it took long. Who looked at the server before it was there may send still, and that has to be seen first."""
        began = self._read
        if time.monotonic() - began > FRESH:
            began, now = time.monotonic(), self.nova.server(server.id)
            if now is None or (now.locked, now.locked_reason) != (server.locked, server.locked_reason):
                self._unsent(server, "somebody has locked or unlocked it")
                return False
        before = self.cases[server.id].claim
        self._remember(server, until=time.monotonic() + TAKEOVER)
        if server.locked:
            self.nova.unlock(server.id)  # Nova would keep the other claim's words
        self.lock(server.id, claim)
        alone = before is None or before.id == self.incident or before.is_by(self.token)
        at_once = not self.by_hand.gives_way and alone and time.monotonic() - began < SEND_DEADLINE
        self._remember(server, until=0.0 if at_once else time.monotonic() + TAKEOVER)
        return at_once

    def lock(self, server: str, claim: Claim) -> None:
        """Put a claim on a server."""
        self.nova.lock(server, claim.text())
        self.records.claimed[server] = claim.text()

    def _decide_again(self, before: Verdict, look: Look, claim: Claim | None) -> Verdict | None:
        """Decide once more, on the server's own reads of this moment: None when that is no evacuation."""
        server = before.server
        with ThreadPoolExecutor(2) as pool:
            shown, asked = pool.submit(self.nova.server, server.id), pool.submit(self.records.read, self.cases[server.id])
        now, known = shown.result(), asked.result()
        if now is None:
            self._unsent(server, "it is gone, or Nova shows it in lists only")
            return None
        if claim is not None and claim_of(now) != claim:
            self._unsent(server, "somebody else has claimed it")
            return None
        if now.task_state != server.task_state and places.is_rebuilding(now):
            self._unsent(server, "somebody else evacuates it")
            return None
        case = replace(self.cases[server.id], server=now, memory=self.memory[server.id])
        if known is None:
            self._unsent(server, "what was asked of it cannot be read")
            return None
        case = self.records.told(case, look.scene, known)
        if claim is not None:
            case = replace(case, claim=claim, was=claim.was)
        self.cases[server.id] = case
        again = decide.decide(case, look.scene, self.policy, frozenset(self.broken)).verdict
        if again.action != EVACUATE:
            self._unsent(server, f"it is on {now.host} now" if now.host != self.host else again.reason)
            return None
        return again

    def _made_evacuable(self, server: Server, scene: HostScene) -> bool:
        """Bring it into a state in which Nova evacuates it; False when that takes until a later turn."""
        if state_of(server).way == CONFIRM and self.memory[server.id].confirming is None:
            resize = self.nova.resize_of(server.id)
            if resize and resize.status == "finished" and resize.source in scene.up_hosts:
                self._remember(server, confirming=time.monotonic())
                self.nova.confirm_resize(server.id)
                LOG.info("%s (%s): its resize is confirmed, so that Nova evacuates it", server.name, server.id)
                return False
        self.nova.reset(server.id)
        LOG.info("%s (%s): reset from %s, so that Nova evacuates it", server.name, server.id, server.vm_state)
        return True

    def _send(self, verdict: Verdict, place: Place) -> bool:
        server = verdict.server
        password = self.by_hand.password() if self.by_hand.password else None
        began = time.monotonic()
        try:
            request = self.nova.evacuate(server.id, place.host, place.force, password)
            self._remember(server, request=request, refusal="", refusals=0, short=False)
            LOG.info("%s (%s): evacuation from %s%s asked, %s (%s)", server.name, server.id, self.host,
                     f" to {place.host}" if place.host else "", request, verdict.reason)
        except CloudBusy as error:
            self._remember(server, sent=None)
            if isinstance(error, TooLate):
                self._unsent(server, str(error))
            return False
        except CloudRefused:
            self._remember(server, sent=None)
            raise
        except CloudUnreachable as error:
            self._remember(server, lost=True, request="", sent=time.monotonic())
            LOG.warning("%s (%s): the answer was lost, looking before anything is sent again: %s", server.name, server.id, error)
        finally:
            self.records.forget(server.id)
        if password:
            self.passwords[server.id] = password
        return not self.memory[server.id].lost and time.monotonic() - began < SLOW


def arrived(migrations: Iterable[Migration], baseline: int, verdicts: Iterable[Verdict]) -> set[str]:
    """The servers that have left the host in this incident and need nothing more."""
    busy = {v.server.id for v in verdicts if v.action not in (decide.UNLOCK, decide.DONE)}
    return {m.server for m in migrations if m.id > baseline and m.status in ARRIVED} - busy
