"""Pure: from what is seen of one dead host's servers to what is done about each. The promises live here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from ..model import ARRIVED, Migration, Server, claim_of
from .remains import EXISTS, note_harmless, suspect
from .scene import HostScene, Memory, Verdict
from .selection import Policy, Ruling
from .states import ELSEWHERE, HALTED, LEAVE, MOVING, STARTED, STOPPED, state_of
from .states import PAUSED as PAUSED_BEFORE

EVACUATE = "evacuate"    # lock it with our claim, look again, send
STOP = "stop"            # it is to be shut off, and came back running
START = "start"          # it is to run, and came back shut off
PAUSE = "pause"          # it is to be paused, and came back running
RESET = "reset"          # its guest may run where it is, and Nova has it in ERROR
UNLOCK = "unlock"        # it arrived, or its move is given up: take our claim away
WAIT = "wait"            # under way
QUEUED = "queued"        # to be evacuated when its turn comes
DONE = "done"            # it arrived, and there is no claim to take away
LEFT = "left"            # it is not moved, and the reason says why

MAX_PAUSE = 60.0         # longest pause between two tries
AFFINITY_VIOLATED = "Affinity instance group policy was violated"  # Nova's words
STILL = 30.0             # after so long without a sign of the scheduler a request is no measure any more of what Nova has to do
SEND_DEADLINE = 5.0      # the last look at the server and at the record is no older than this when a request is sent
SETTLE = 15.0            # after a lost answer: how long before its absence in Nova's migrations counts
TAKEOVER = SEND_DEADLINE + SETTLE   # so long after a look, what was sent upon it may not be seen in Nova yet
CLAIM_AGE = 60.0         # how long somebody else's claim is left alone
GONE = timedelta(minutes=5)   # Nova's last word of a host may be so much older than its death


def server_verdict(server: Server, scene: HostScene, policy: Policy, memory: Memory) -> Verdict:
    """What to do about one server that is on the dead host, or that is claimed for it."""
    claim = claim_of(server)
    mine = claim is not None and claim.host == scene.host
    rows = [row for row in scene.migrations if row.server == server.id]
    was = claim.was if claim and mine else memory.was or scene.kept.get(server.id) or state_of(server).was
    if memory.sent is not None and rows and rows[-1].id > memory.sent_after:
        memory.sent = None
    if server.host not in (scene.host, None):
        return _moved(server, scene, policy, memory, rows, was, mine)
    if server.being_deleted:
        return _given_up(server, "its user is deleting it", was, mine)
    open_rows = [row for row in rows if row.in_progress and (row.id > scene.baseline or (server.task_state or "").startswith("rebuild"))]
    # Only forced down is dead: a report that is late, as with the message bus away, says nothing of the rebuild.
    alive = [row for row in open_rows if row.destination not in scene.dead_hosts]
    if alive:
        # Of several, Nova carries out the one with a destination, which need not be the newest: a lost request's record stays open.
        current = max(alive, key=lambda row: (row.destination is not None, row.id))
        return _under_way(server, scene, policy, memory, current, rows, was, mine)
    if open_rows:
        return _to_start(server, scene, policy, memory, rows, was, mine, dead=open_rows[-1])
    if memory.sent is not None and scene.now - memory.sent < SETTLE:
        return Verdict(server, WAIT, "the answer to the request was lost; looking whether Nova has it", was)
    memory.sent = None
    return _to_start(server, scene, policy, memory, rows, was, mine)


def _given_up(server: Server, reason: str, was: str, mine: bool) -> Verdict:
    return Verdict(server, UNLOCK if mine else LEFT, reason, was, final=True, protected=False)


def _moved(server: Server, scene: HostScene, policy: Policy, memory: Memory, rows: Sequence[Migration], was: str, mine: bool) -> Verdict:
    # A request that Nova lost keeps its record at accepted for ever; and Nova may carry out a later one under that older record.
    here = [row for row in rows if row.destination == server.host]
    if here and here[-1].in_progress:
        seen = f"{here[-1].id} {here[-1].status} {server.task_state} {here[-1].updated}"
        return _awaited(server, scene, policy, memory, f"being rebuilt on {server.host}", seen, was)
    if server.being_deleted:
        return _given_up(server, "its user is deleting it", was, mine)
    if server.task_state:
        return _awaited(server, scene, policy, memory, f"on {server.host}, {server.task_state}", f"{server.host} {server.task_state}", was)
    tries = [row for row in rows if row.id > scene.baseline]
    # What was shut off comes back shut off from the first try, and running from a later one. Running after the first, a person started it.
    if server.vm_state == "active" and (was == HALTED or (was == STOPPED and len(tries) > 1)):
        return _asked(server, scene, policy, memory, STOP, f"on {server.host}; it is to be shut off", was)
    if server.vm_state == "stopped" and was == STARTED:
        return _asked(server, scene, policy, memory, START, f"on {server.host}; its user was starting it", was)
    if server.vm_state == "active" and was == PAUSED_BEFORE:
        return _asked(server, scene, policy, memory, PAUSE, f"on {server.host}; it was paused before", was)
    if server.vm_state == "error" and mine and memory.chore is None and sum(1 for row in tries if row.destination) == 1:
        memory.chore = (scene.now, scene.now)   # once: what Nova could not write down to the end, its conductor having died
        return Verdict(server, RESET, f"on {server.host} in ERROR: {server.fault or 'no reason given'}", was)
    if server.vm_state == "error":
        return Verdict(server, LEFT, f"on {server.host} in ERROR: {server.fault or 'no reason given'}", was, final=True)
    if server.host not in scene.up_hosts:
        return _awaited(server, scene, policy, memory, f"arrived on {server.host}, which is down", f"{server.host} is down", was)
    return Verdict(server, UNLOCK if mine else DONE, f"arrived on {server.host}", was, final=True)


def _awaited(server: Server, scene: HostScene, policy: Policy, memory: Memory, reason: str, seen: str, was: str) -> Verdict:
    """It has left the host, and something is still to happen. Where that shows no progress any more, nothing waits for it."""
    if memory.progress[0] != seen or not scene.control_up:
        memory.progress = (seen, scene.now)
    if scene.now - memory.progress[1] > policy.stuck_timeout:
        return Verdict(server, LEFT, f"stuck: {reason}, for {policy.stuck_timeout:g} s", was, retry=True)
    return Verdict(server, WAIT, reason, was)


def _asked(server: Server, scene: HostScene, policy: Policy, memory: Memory, action: str, reason: str, was: str) -> Verdict:
    """It has left the host, and Nova is asked to bring it into the state it had: again after a pause, and not for ever."""
    first, last = memory.chore or (scene.now, float("-inf"))
    if scene.now - first > policy.stuck_timeout:
        return Verdict(server, LEFT, f"{reason}, and Nova does not bring that about", was, final=True)
    if scene.now - last < policy.retry_pause:
        return Verdict(server, WAIT, reason, was)
    memory.chore = (first, scene.now)
    return Verdict(server, action, reason, was)


def _under_way(server: Server, scene: HostScene, policy: Policy, memory: Memory, last: Migration, rows: Sequence[Migration], was: str,
               mine: bool) -> Verdict:
    seen = f"{last.id} {last.status} {last.destination} {server.task_state} {last.updated}"
    if memory.progress[0] != seen:
        memory.progress, memory.quiet = (seen, scene.now), scene.now
    if not scene.control_up:
        memory.progress = (seen, scene.now)
    # A host that died since the request was made may have it in its message queue.
    fallen = {host for host, since in scene.fallen.items() if not _before(since, last.created)}
    # A conductor that is not up may hang with the request in its hands, and carry it out when it wakes.
    if not scene.control_whole or fallen or memory.quiet is None:
        memory.quiet = scene.now
    untaken = last.status == "accepted" and not last.destination
    if untaken and not fallen and scene.now - memory.quiet > policy.stuck_timeout:
        return _to_start(server, scene, policy, memory, rows, was, mine)
    # One that may turn out to be lost is not given up before that is known: while all is quiet, it will be.
    limit = policy.stuck_timeout * (2 if untaken else 1)
    if scene.now - memory.progress[1] > limit and (not untaken or memory.quiet == scene.now):
        reason = f"stuck: migration {last.id} is {last.status} and has not moved for {limit:g} s"
        if untaken and fallen:
            reason += f"; {' or '.join(sorted(fallen))}, which died, may have it in its queue, and then carries it out when it is back"
        return Verdict(server, LEFT, reason, was, retry=True)
    return Verdict(server, WAIT, f"{last.status}, to {last.destination or 'a host not chosen yet'}", was,
                   still=untaken and scene.now - memory.progress[1] > STILL)


def _before(since: str, made: str) -> bool:
    """Whether a host was down for certain when a request was made; both are Nova's texts, and what cannot be read is not certain."""
    try:
        return datetime.fromisoformat(since) + GONE < datetime.fromisoformat(made)
    except (ValueError, TypeError):
        return False


def _to_start(server: Server, scene: HostScene, policy: Policy, memory: Memory, rows: Sequence[Migration], was: str,
              mine: bool, dead: Migration | None = None) -> Verdict:
    if was == ELSEWHERE:
        return Verdict(server, LEFT, "it may run where an earlier evacuation came to no end: look there, then unlock it", was, final=True)
    ruling = scene.rulings.get(server.id, Ruling(True, "protect=all"))
    if not ruling.protected:
        return _given_up(server, f"not protected: {ruling.rule}", was, mine)
    failures = [row for row in rows if row.id > scene.baseline]
    if server.vm_state is None or server.locked is None:
        return Verdict(server, WAIT, "Nova shows only part of it (a cell is down?)", was)
    state = state_of(server)
    if state.way == LEAVE:
        return Verdict(server, LEFT, f"Nova does not evacuate a server that is {server.vm_state}", was, final=True)
    if state.word and state.word not in policy.recover and not mine and not failures:
        return Verdict(server, LEFT, f"it is {state.name}, and recover_states does not name {state.word}", was, final=True)
    if memory.confirming is not None and server.vm_state == "resized" and scene.now - memory.confirming < SETTLE:
        return Verdict(server, WAIT, "its resize is being confirmed", was)
    if scene.starts and any(row.status in ARRIVED for row in failures):
        return _awaited(server, scene, policy, memory, "Nova says done, and the server has not changed its host", "not moved", was)
    no_room = memory.short or (bool(failures) and failures[-1].status == "error")
    fault = memory.fault_of(server)
    note_harmless(fault, failures, memory.harmless)
    remains = suspect(fault, failures, memory.harmless)
    why = _why_again(server, failures, memory, dead)
    if remains and remains.destination in scene.dead_hosts:
        remains = None      # what was there died with its host
    if remains and EXISTS in fault:
        return Verdict(server, LEFT, f"its guest is on {remains.destination}, left by a failed try", was, final=True)
    if remains:
        why += f"; its guest may be on {remains.destination}, so that it may only go there"
    if failures and not no_room and not dead and len(failures) >= policy.max_attempts:
        return Verdict(server, LEFT, f"failed {len(failures)} times: {why}", was, final=True)
    if memory.refusals >= policy.max_attempts and not memory.short:
        return Verdict(server, LEFT, why, was, final=True)
    if not scene.starts:
        return Verdict(server, LEFT, why or "its host is returning", was, final=True)
    if _pause(scene.now, policy, memory, failures, dead) > 0:
        # Only room may come with the host's return; what failed for another reason has its few tries before that.
        return Verdict(server, LEFT, f"{why}; it is tried again", was, retry=no_room and (memory.short or not memory.refusals))
    if claimed := _claimed(server, scene, memory):
        return Verdict(server, QUEUED, claimed, was)
    target = scene.moving.get(server.id) if was == MOVING else None   # records of older migrations may be open for ever
    target = remains.destination if remains else target
    return Verdict(server, EVACUATE, why or ruling.rule, was, target=None if target in scene.dead_hosts else target)


def _claimed(server: Server, scene: HostScene, memory: Memory) -> str:
    """Why a claim keeps a server waiting, "" when none does. A worker's is another worker's too: the record says which of them acts."""
    claim = claim_of(server)
    if claim is None or claim.id == scene.incident:
        memory.foreign = None
        return "claimed; who looked at it before may be about to evacuate it" if claim and scene.now < memory.until else ""
    if memory.foreign is None:
        memory.foreign = scene.now
    return f"claimed by {claim.token}, who may be about to evacuate it" if scene.now - memory.foreign < CLAIM_AGE else ""


def _pause(now: float, policy: Policy, memory: Memory, failures: Sequence[Migration], dead: Migration | None) -> float:
    """Seconds that are left of the pause after the last failure; 0 after none."""
    if memory.refusals:
        return memory.refused_at + _growing(policy, memory.refusals) - now
    if not failures or dead:
        return 0.0
    since = memory.failed.setdefault(failures[-1].id, now)
    return since + _growing(policy, len(failures)) - now


def _growing(policy: Policy, tries: int) -> float:
    return float(min(policy.retry_pause * 2 ** min(tries - 1, 10), MAX_PAUSE))


def _why_again(server: Server, failures: Sequence[Migration], memory: Memory, dead: Migration | None) -> str:
    if memory.refusal:
        return memory.refusal if memory.short else f"Nova refused: {memory.refusal}"
    if dead:
        return f"its destination {dead.destination} died in the middle"
    if not failures:
        return ""
    if failures[-1].in_progress:
        return f"Nova lost try {len(failures)}: no scheduler took it"
    request = f" ({memory.request})" if memory.request else ""
    if AFFINITY_VIOLATED in server.fault:
        request += "; see docs/operations.md, server groups"
    return f"try {len(failures)} failed: {server.fault or failures[-1].status}{request}"


def host_over(verdicts: Iterable[Verdict]) -> bool:
    """Whether nothing is under way or about to be: the host may be let in."""
    return all(verdict.action == DONE or (verdict.action == LEFT and (verdict.final or verdict.retry)) for verdict in verdicts)
