"""The servers that stayed on a host that was fenced and is up again: given back in the state they had, unless they may run elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..model import FAILED, Claim, Migration, Record, Server, claim_of
from ..nova import Nova
from .evacuation import Evacuation
from .remains import suspect
from .states import ACTIVE, ELSEWHERE, HALTED, MOVING, PAUSED, STARTED, STOPPED

if TYPE_CHECKING:
    from .worker import Worker

ACTIVE_IN_NOVA = "active"  # what a reset leaves
NAMED = 3                # servers that one sentence names
SHARE = 3.0              # seconds of one turn for the servers of one host: other hosts are not to wait for them
LOG = logging.getLogger(__name__)


class Stayed:
    """What a worker remembers of them during one return."""

    def __init__(self, worker: Worker, node: str) -> None:
        self.worker, self.node = worker, node
        self._reboots: dict[str, int] = {}     # servers that were to be rebooted, and how often each had been before
        self._tasks: dict[str, tuple[str, float]] = {}   # the task of a server that is to be given back, and since when it has it
        self._unseen: set[str] | None = None   # those that were there when the host was up again, and have not been looked at
        self.cut = False                       # whether the last turn's share was too short
        self._marking: set[str] = set()        # doubtful ones whose new claim may not be there yet

    def give_back(self, record: Record, host: str) -> str:
        """Go on with it, for a part of a turn. What is still to come, "" for nothing. Raises CloudError."""
        worker, nova = self.worker, self.worker.nova.about(record.id)
        end, self.cut = worker.clock() + SHARE, False

        def go_on() -> bool:
            worker.alive()
            self.cut = self.cut or worker.clock() >= end
            return not self.cut

        there = nova.servers_on(host)
        if self._unseen is None:
            self._unseen = {server.id for server in there}
        seen = worker.hosts.get(self.node)
        engine = seen.engine if seen else None
        harmless = {row for memory in engine.memory.values() for row in memory.harmless} if engine else set[int]()
        known = engine.memory if engine else {}
        there = [replace(s, fault=known[s.id].fault_of(s)) if s.id in known else s for s in there]
        begun = begun_elsewhere(nova, host, record.baseline, there, engine.broken if engine else (), harmless)
        waiting = release(nova, host, self._reboots, self._is_stuck, begun, go_on)
        if waiting:
            tasks = ", ".join(f"{s.name} {s.task_state or 'not looked at yet'}" for s in waiting[:NAMED])
            return f"{len(waiting)} servers that stayed have a task: {tasks}"
        revive(nova, host, self._unseen, self._protected, self._reboots, begun, go_on)
        if self._unseen:
            return f"{len(self._unseen)} servers that stayed are still to be looked at"
        doubtful = self._doubtful(nova, record, host, begun)
        if doubtful:
            words = ", ".join(f"{s.name} on {begun[s.id].destination if s.id in begun else 'another host'} ({s.id})" for s in doubtful[:NAMED])
            worker.problem(f"left {self.node}", f"{self.node}: may run elsewhere; look there, then unlock: {words}")
            return f"{len(doubtful)} servers that stayed may run elsewhere"
        return ""

    def _doubtful(self, nova: Nova, record: Record, host: str, begun: Mapping[str, Migration]) -> list[Server]:
        """Those that may run elsewhere and that nobody has unlocked since. Their claim says so from now on: the host may die again."""
        found = []
        for server in nova.servers_on(host):
            claim = claim_of(server)
            marked = claim is not None and claim.was == ELSEWHERE
            if not (server.locked or server.id in self._marking) or not (server.id in begun or marked):
                continue
            found.append(server)
            if server.id in self._marking or (claim is not None and not marked):
                self._marking.add(server.id)
                if server.locked:
                    nova.unlock(server.id)  # Nova would keep the old words
                nova.lock(server.id, Claim(host, ELSEWHERE, record.id, self.worker.token).text())
                self._marking.discard(server.id)
        return found

    def _is_stuck(self, server: Server) -> bool:
        """Whether a server has had the same task for stuck_timeout: Nova does not end each that the host's death broke off."""
        task, since = self._tasks.get(server.id, ("", 0.0))
        if task != server.task_state:
            since = self.worker.clock()
            self._tasks[server.id] = (server.task_state or "", since)
        return self.worker.clock() - since > self.worker.policy.stuck_timeout

    def _protected(self, server: Server) -> bool:
        worker = self.worker
        return Evacuation(worker.nova, server.host or "", "", "", worker.policy, aggregates=worker.aggregates()).ruling(server).protected


def begun_elsewhere(nova: Nova, host: str, baseline: int | None, servers: Sequence[Server], broken: Collection[int],
                    harmless: Collection[int]) -> dict[str, Migration]:
    """The evacuations of this incident that a destination had begun, by server, without the `broken`, whose destination died, and without
    those that failed and have left no guest, as the `harmless` (remains.py). A server of these that is still on the host may run there:
    its guest is started before Nova moves it, and a nova-compute that is restarted in between, or cannot write it down, leaves it. The
    host's own then calls the row completed. Raises CloudError."""
    rows = [row for row in nova.evacuations(host) if row.id > baseline] if baseline is not None else []
    found = {}
    for server in servers:
        tries = [row for row in rows if row.server == server.id]
        last = next((row for row in reversed(tries) if row.destination), None)
        if last and last.destination != host and last.id not in broken and (
                last.status not in FAILED or suspect(server.fault, tries, harmless)):
            found[server.id] = last
    return found


def revive(nova: Nova, host: str, unseen: set[str], protected: Callable[[Server], bool], reboots: dict[str, int],
           begun: Mapping[str, Migration], go_on: Callable[[], bool]) -> None:
    """Start again the protected servers that stayed on a host that was fenced and is up again before they were evacuated: Nova has
    them as active for some minutes, and starts none. Each of the `unseen` is looked at once: what a user shuts down later stays so.
    Those that were looked at are taken out of `unseen`, as long as `go_on` says so. Raises CloudError."""
    there = {server.id: server for server in nova.servers_on(host)}
    unseen &= {*there}
    for server in [there[key] for key in sorted(unseen)]:
        if not go_on():
            return
        idle = server.vm_state == "active" and not server.task_state and claim_of(server) is None
        if idle and server.id not in begun and protected(server) and nova.guest_runs(server.id) is False:
            LOG.info("%s (%s): stayed on %s and does not run, starting it again", server.name, server.id, host)
            _reboot(nova, server, reboots)
        unseen.discard(server.id)


def release(nova: Nova, host: str, reboots: dict[str, int], is_stuck: Callable[[Server], bool], begun: Mapping[str, Migration],
            go_on: Callable[[], bool]) -> list[Server]:
    """Give back the servers that we claimed and that are still on the host, which is up again: each is brought into the state it
    had, and our claim is taken away. `reboots` is the caller's memory of what was asked, by server, for when an answer gets lost;
    `is_stuck` says of a server with a task that it will not end; those in `begun`, or in doubt, stay locked, so that nobody starts
    them; `go_on` says whether there is time for one more. Returns the servers that are not given back yet. Raises CloudError."""
    waiting = []
    for server in nova.servers_on(host):
        claim = claim_of(server)
        if claim is None or claim.host != host or server.id in begun or claim.was == ELSEWHERE:
            continue
        if not go_on():
            waiting.append(server)
            continue
        lost = (server.task_state or "").startswith("rebuild")
        if server.task_state and not lost:
            if not is_stuck(server):
                waiting.append(server)
                continue
            LOG.warning("%s (%s): stayed on %s, and does not end %s; reset", server.name, server.id, host, server.task_state)
            nova.reset(server.id)
            server = replace(server, task_state=None, vm_state=ACTIVE_IN_NOVA)
        twice = overlapping(nova.evacuations_of(server.id)) if server.vm_state == "error" else []
        if twice:
            LOG.warning("%s (%s): stayed on %s, and may run on %s: Nova had evacuations %s of it at work at once; a person has to look",
                        server.name, server.id, host, " or ".join(sorted({str(row.destination) for row in twice})), [row.id for row in twice])
        elif lost:
            LOG.warning("%s (%s): Nova lost its evacuation; it stayed on %s and needs a person", server.name, server.id, host)
        else:
            _restore(nova, host, server, claim.was, reboots)
        nova.unlock(server.id)
    return waiting


def overlapping(rows: Sequence[Migration]) -> list[Migration]:
    """The evacuations of a server that had a destination and were at work while another one was: Nova takes them, and when both fail in
    the end, a guest that one of them has started may run on."""
    begun = [row for row in rows if row.destination]
    return [row for row in begun if any(other is not row and row.created < other.updated and other.created < row.updated for other in begun)]


def _restore(nova: Nova, host: str, server: Server, was: str, reboots: dict[str, int]) -> None:
    """Its guest died with the host's power, whatever Nova says, and nova-compute does not start it."""
    if was == MOVING:
        LOG.warning("%s (%s): stayed on %s, and may run where its live migration was going; a person has to look", server.name, server.id, host)
        return
    if was in (ACTIVE, STARTED):
        LOG.info("%s (%s): stayed on %s, starting it again", server.name, server.id, host)
    if server.vm_state == "error" and was != PAUSED:
        nova.reset(server.id)
    if was in (ACTIVE, STARTED) and server.vm_state == "stopped":
        nova.start(server.id)
    elif was in (ACTIVE, STARTED) and server.vm_state in ("active", "error"):
        if server.vm_state == "error" or not nova.guest_runs(server.id):
            _reboot(nova, server, reboots)
    elif was in (STOPPED, HALTED) and server.vm_state in ("active", "error"):
        nova.stop(server.id)


def _reboot(nova: Nova, server: Server, reboots: dict[str, int]) -> None:
    """A reboot leaves a server as it was, so only Nova's record of actions tells whether one whose answer was lost was carried out."""
    count = sum(1 for action in nova.actions(server.id) if action.name == "reboot")
    if count > reboots.setdefault(server.id, count):
        return
    nova.reboot(server.id)
