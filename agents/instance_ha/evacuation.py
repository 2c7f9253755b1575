"""Acting on the servers of one dead host: observe, decide, act, once a turn. The worker and the command line share it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from . import decide
from .decide import EVACUATE, HostScene, Memory, Verdict
from .errors import CloudError, CloudRefused, CloudUnreachable
from .model import Claim, Migration, Server, Service, claim_of
from .nova import Nova
from .selection import Policy, Ruling, order_key, rule_for

SEND_DEADLINE = 5.0   # the last look at the server and at the record is no older than this when a request is sent
FIRST_WINDOW = 2      # evacuations begun before Nova has shown how it copes
SLOW = 5.0            # seconds; an answer that takes longer narrows the window
LOG = logging.getLogger(__name__)


class Window:
    """How many evacuations may be under way at once: a few at first, four times as many after each turn that went well, half
    after trouble (a lost answer, or one slower than SLOW seconds). Nova itself limits nothing."""

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self.size = min(FIRST_WINDOW, ceiling)

    def widen(self) -> None:
        self.size = min(self.ceiling, self.size * 4)

    def narrow(self) -> None:
        self.size = max(1, self.size // 2)


@dataclass
class Turn:
    """What one turn saw and did: verdicts in the order of importance, how many were acted upon, Nova's records of the host."""

    verdicts: list[Verdict]
    acted: int = 0
    migrations: list[Migration] = field(default_factory=list)

    @property
    def under_way(self) -> int:
        """Servers that Nova is at work on, as far as this turn knows."""
        return sum(1 for verdict in self.verdicts if verdict.action in (decide.WAIT, EVACUATE))

    @property
    def queued(self) -> bool:
        """Whether a server is waiting to be sent."""
        return any(verdict.action == decide.QUEUED for verdict in self.verdicts)


class Evacuation:
    """One host's evacuation. `token` names who acts. `patience` is the pause in seconds between claiming a server and
    sending, for those who must give way to the worker: the command line."""

    def __init__(self, nova: Nova, host: str, incident: str, token: str, policy: Policy, patience: float = 0.0,
                 target: str | None = None, only: str | None = None, window: Window | None = None) -> None:
        self.window = window or Window(policy.max_parallel)
        self.nova, self.host, self.incident, self.token, self.policy = nova, host, incident, token, policy
        self.patience, self.target, self.only = patience, target, only
        self.memory: dict[str, Memory] = {}
        self.done: dict[str, str] = {}

    def turn(self, services: Sequence[Service], baseline: int, starts: bool, room: int, permit: Callable[[], bool]) -> Turn:
        """One turn. `room` is how many more evacuations may be begun; `permit` is asked just before each request whether
        it may be sent at all. Raises CloudError when Nova cannot be observed."""
        scene = self._observe(services, baseline, starts)
        verdicts = [
            decide.server_verdict(server, scene, self.policy, self.memory.setdefault(server.id, Memory()))
            for server in sorted(scene.servers, key=order_key)
        ]
        for verdict in verdicts:
            if verdict.action == decide.DONE:
                self._finish(verdict)
        jobs, verdicts = _within(verdicts, room)
        with ThreadPoolExecutor(max_workers=max(1, min(32, len(jobs)))) as pool:
            smooth = list(pool.map(lambda verdict: self._act(verdict, scene, permit), jobs))
        if not all(smooth):
            self.window.narrow()
        elif jobs:
            self.window.widen()
        return Turn(verdicts, len(jobs), list(scene.migrations))

    def prepare(self) -> int:
        """Read what the first turn will need again, so that images are known and connections are open by then. Returns the
        highest id of the evacuations that Nova remembers of the host, 0 for none."""
        self._rulings(self.nova.servers_on(self.host))
        rows = self.nova.evacuations(self.host)
        return rows[-1].id if rows else 0

    def release(self) -> list[Server]:
        """Give back the servers that are still on the host, which is up again: take our claims away, start those that ran.
        Returns the servers that are not given back yet."""
        waiting = []
        for server in self.nova.servers_on(self.host):
            claim = claim_of(server)
            if claim is None or claim.host != self.host:
                continue
            lost = (server.task_state or "").startswith("rebuild")
            if server.task_state and not lost:
                waiting.append(server)
                continue
            if claim.was == "active" and server.vm_state == "stopped":
                LOG.info("%s (%s): stayed on %s, starting it again", server.name, server.id, self.host)
                self.nova.start(server.id)
            if lost:
                LOG.warning("%s (%s): Nova lost its evacuation; it stayed on %s and needs a person", server.name, server.id, self.host)
            self.nova.unlock(server.id)
        return waiting

    def _observe(self, services: Sequence[Service], baseline: int, starts: bool) -> HostScene:
        migrations = self.nova.evacuations(self.host)
        found = {server.id: server for server in self.nova.servers_on(self.host)}
        for server in self.nova.locked_servers():
            claim = claim_of(server)
            if claim and claim.host == self.host:
                found[server.id] = server
        self._add_unclaimed(found)
        if self.only:
            found = {key: server for key, server in found.items() if key == self.only}
        computes = [s for s in services if s.binary == "nova-compute"]
        up, dead = frozenset(s.host for s in computes if s.up), frozenset(s.host for s in computes if s.forced_down)
        control = {s.binary for s in services if s.up}
        return HostScene(
            self.host, self.incident, self.token, baseline, list(found.values()), self._rulings(found.values()), migrations, up, dead,
            {"nova-conductor", "nova-scheduler"} <= control, time.monotonic(), starts, migrations[-1].id if migrations else 0,
        )

    def _add_unclaimed(self, found: dict[str, Server]) -> None:
        """A server locked by its owner carries no claim: it is followed by its id until it has arrived."""
        for key, memory in self.memory.items():
            if memory.was and key not in found and key not in self.done:
                server = self.nova.server(key)
                if server:
                    found[key] = server

    def _rulings(self, servers: Iterable[Server]) -> dict[str, Ruling]:
        rulings = {}
        for server in servers:
            rulings[server.id] = self._ruling(server)
        return rulings

    def _ruling(self, server: Server) -> Ruling:
        """The image is asked for only where its word would count; what Glance cannot tell now is not known, and so not a no."""
        ruling = rule_for(server, None, self.policy.selection)
        if ruling is None:
            ruling = rule_for(server, self.nova.image_properties(server.image) if server.image else {}, self.policy.selection)
        assert ruling is not None
        return ruling

    def _act(self, verdict: Verdict, scene: HostScene, permit: Callable[[], bool]) -> bool:
        """Do it. Whether Nova answered, and soon."""
        server, memory = verdict.server, self.memory[verdict.server.id]
        began = time.monotonic()
        try:
            if verdict.action == EVACUATE:
                self._evacuate(verdict, scene, permit)
            elif verdict.action == decide.STOP:
                self.nova.stop(server.id)
            elif verdict.action == decide.UNLOCK:
                self.nova.unlock(server.id)
                self._finish(verdict)
        except CloudRefused as error:
            LOG.warning("%s (%s): %s", server.name, server.id, error)
            memory.refusal, memory.refused_at, memory.refusals = str(error), time.monotonic(), memory.refusals + 1
        except CloudError as error:
            LOG.warning("%s (%s): %s", server.name, server.id, error)
            return False
        return memory.sent is None or (not memory.lost and time.monotonic() - began < SLOW)

    def _finish(self, verdict: Verdict) -> None:
        self.done[verdict.server.id] = verdict.reason
        self.memory[verdict.server.id].was = ""

    def _evacuate(self, verdict: Verdict, scene: HostScene, permit: Callable[[], bool]) -> None:
        server, memory = verdict.server, self.memory[verdict.server.id]
        claim = Claim(self.host, verdict.was, self.incident, self.token)
        owned = bool(server.locked) and claim_of(server) is None
        if not owned and claim_of(server) != claim:
            self.nova.lock(server.id, claim.text())
            time.sleep(self.patience)
        asked = time.monotonic()
        now = self.nova.server(server.id)
        hindrance = _hindrance(server, now, claim, owned)
        if hindrance or now is None:
            LOG.info("%s (%s): not evacuated: %s", server.name, server.id, hindrance)
            return
        if not permit() or time.monotonic() - asked > SEND_DEADLINE:
            LOG.warning("%s (%s): not evacuated now: the right to it was lost, or checking it took too long", server.name, server.id)
            return
        memory.was = verdict.was if owned else ""
        memory.refusal, memory.refusals = "", 0
        memory.sent, memory.sent_after, memory.lost = time.monotonic(), scene.last_row, False
        try:
            request = self.nova.evacuate(server.id, self.target)
            LOG.info("%s (%s): evacuation from %s asked, %s (%s)", server.name, server.id, self.host, request, verdict.reason)
        except CloudRefused:
            memory.sent = None
            raise
        except CloudUnreachable as error:
            memory.lost = True
            LOG.warning("%s (%s): the answer was lost, looking before anything is sent again: %s", server.name, server.id, error)


def _within(verdicts: list[Verdict], room: int) -> tuple[list[Verdict], list[Verdict]]:
    """The verdicts to act on now, evacuations no more than `room`; and all verdicts."""
    jobs, shown = [], []
    for verdict in verdicts:
        if verdict.action == EVACUATE:
            if room <= 0:
                shown.append(Verdict(verdict.server, decide.QUEUED, "waits for its turn", verdict.was))
                continue
            room -= 1
        if verdict.action in (EVACUATE, decide.STOP, decide.UNLOCK):
            jobs.append(verdict)
        shown.append(verdict)
    return jobs, shown


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
