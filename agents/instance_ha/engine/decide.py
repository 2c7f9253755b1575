"""Pure: from what is known of one server of a dead host to what is done about it. The promises live here.

A server is at one of a few places of its recovery (`Place`), and `RULES` say for each place what is done, by the first rule that
holds. A place or a case that no rule covers means WAIT. EVACUATE is in one rule only, behind `why_not`, which lists what has
to be known. docs/decisions.md is made from the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from .attempts import EXISTS, NO_HOST, Attempt, Stage, stand_of
from .places import SETTLE, STILL, Place, Seen, has_moved, is_rebuilding, noted, place_of, why_not
from .pulse import long_before
from .scene import Case, HostScene, Memory, Verdict
from .selection import Policy, why_not_moved
from .states import HALTED, LEAVE, STARTED, STOPPED
from .states import PAUSED as PAUSED_BEFORE

EVACUATE = "evacuate"    # lock it with our claim, decide again on its own reads, send
STOP = "stop"            # it is to be shut off, and came back running
START = "start"          # it is to run, and came back shut off
PAUSE = "pause"          # it is to be paused, and came back running
RESET = "reset"          # its guest may run where it is, and Nova has it in ERROR
UNLOCK = "unlock"        # it arrived, or its move is given up: take our claim away
WAIT = "wait"            # under way, or not known well enough
QUEUED = "queued"        # to be evacuated when its turn comes
DONE = "done"            # it arrived, and there is no claim to take away
LEFT = "left"            # it is not moved, and the reason says why

MAX_PAUSE = 60.0         # longest pause between two tries
LONGEST_PAUSE = 300.0    # the same, where only room is missing
AFFINITY_VIOLATED = "Affinity instance group policy was violated"  # Nova's words
SEND_DEADLINE = 5.0      # the last look at the record is no older than this when a request is sent
TAKEOVER = SEND_DEADLINE + SETTLE   # so long after a look, what was sent upon it may not be seen in Nova yet
TASKS_OF_CHORES = frozenset(("powering-off", "powering-on", "pausing"))   # Nova's, of a stop, a start and a pause
ENDLESS = 12             # times stuck_timeout; what is not over by then a person has to end, and its host stays out until then
CLAIM_AGE = 60.0         # how long somebody else's claim is left alone


@dataclass(frozen=True)
class Decision:
    """What is done about a server, and what is remembered of it from now on."""

    verdict: Verdict
    memory: Memory


@dataclass(frozen=True)
class Rule:
    """`when` is what `holds` asks, for people; `then` decides; `action` is what that may be."""

    when: str
    action: str
    holds: Callable[[Seen], bool]
    then: Callable[[Seen], Decision]


def decide(case: Case, scene: HostScene, policy: Policy, broken: frozenset[str] = frozenset()) -> Decision:
    """Return what to do about one server that is on the dead host, or that has left it, and what to remember of it."""
    memory = case.memory
    if memory.sent is not None and case.rows and case.rows[-1].id > memory.sent_after:
        memory = replace(memory, sent=None, unsent=0)
    seen = Seen(replace(case, memory=noted(case, scene, memory)), scene, policy, broken)
    place = place_of(seen)
    if place not in (Place.IN_PROGRESS, Place.UNANSWERED, Place.UNEXPLAINED) and seen.memory.sent is not None:
        # Nova has nothing of it: whatever answered the request was not Nova.
        unsent = seen.memory.unsent + (1 if place is Place.UNTOUCHED else 0)
        seen = replace(seen, case=replace(seen.case, memory=replace(seen.memory, sent=None, unsent=unsent)))
    if place not in (Place.UNEXPLAINED, Place.UNTOUCHED, Place.FAILED, Place.IN_PROGRESS) and seen.memory.unexplained is not None:
        seen = replace(seen, case=replace(seen.case, memory=replace(seen.memory, unexplained=None)))
    if place is not Place.UNEXPLAINED and seen.memory.unread is not None:
        seen = replace(seen, case=replace(seen.case, memory=replace(seen.memory, unread=None)))
    if place not in (Place.PARTIAL, Place.HIDDEN) and seen.memory.unshown is not None:
        seen = replace(seen, case=replace(seen.case, memory=replace(seen.memory, unshown=None)))
    for rule in RULES[place]:
        if rule.holds(seen):
            return rule.then(seen)
    return _wait(seen, place.value)


def _wait(seen: Seen, reason: str, **more: object) -> Decision:
    return Decision(Verdict(seen.server, WAIT, reason, seen.case.was, **more), seen.memory)  # type: ignore[arg-type]


def _left(seen: Seen, reason: str, **more: object) -> Decision:
    return Decision(Verdict(seen.server, LEFT, reason, seen.case.was, **more), seen.memory)  # type: ignore[arg-type]


def _given_up(seen: Seen, reason: str, protected: bool = False) -> Decision:
    return _unlocked(seen, reason, LEFT, protected)


def _awaited(seen: Seen, reason: str) -> Decision:
    """It has left the host, and something is still to happen. Where that shows no progress any more, nothing waits for it."""
    if _is_stuck(seen):
        return _left(seen, f"stuck: {reason}, for {seen.policy.stuck_timeout:g} s", retry=True, person=True)
    return _wait(seen, reason)


def _is_stuck(seen: Seen, times: float = 1.0) -> bool:
    return seen.scene.now - seen.memory.progress[1] > times * seen.policy.stuck_timeout


def _asked(seen: Seen, action: str, reason: str) -> Decision:
    """It has left the host, and Nova is asked to bring it into the state it had: again after a pause, and not for ever."""
    now = seen.scene.now
    first, last = seen.memory.chore or (now, float("-inf"))
    if now - first > seen.policy.stuck_timeout:
        return _left(seen, f"{reason}, and Nova does not bring that about", final=True, person=True)
    if now - last < seen.policy.retry_pause:
        return _wait(seen, reason)
    return Decision(Verdict(seen.server, action, reason, seen.case.was), replace(seen.memory, chore=(first, now)))


def _in_error(seen: Seen) -> str:
    return f"on {seen.server.host} in ERROR: {seen.server.fault or 'no reason given'}"


def _reset_once(seen: Seen) -> Decision:
    now = seen.scene.now
    return Decision(Verdict(seen.server, RESET, _in_error(seen), seen.case.was), replace(seen.memory, chore=(now, now)))


def _arrived(seen: Seen) -> Decision:
    return _unlocked(seen, f"arrived on {seen.server.host}", DONE)


def _unlocked(seen: Seen, reason: str, otherwise: str, protected: bool = True) -> Decision:
    """Our claim is taken away where there is one; that Nova refuses it keeps no host out for ever."""
    now = seen.scene.now
    since, last = seen.memory.unlocking or (now, float("-inf"))
    if seen.case.is_ours and now - since > seen.policy.stuck_timeout:
        return _left(seen, f"{reason}, and Nova does not take our lock away", final=True, person=True)
    if seen.case.is_ours and now - last < seen.policy.retry_pause:
        return _wait(seen, f"{reason}; Nova has not taken our lock away yet", idle=True, protected=protected)
    action = UNLOCK if seen.case.is_ours else otherwise
    memory = replace(seen.memory, unlocking=(since, now) if seen.case.is_ours else None)
    return Decision(Verdict(seen.server, action, reason, seen.case.was, final=True, protected=protected), memory)


def _rebuilt_there(seen: Seen) -> bool:
    here = [row for row in seen.case.rows if row.destination == seen.server.host]
    return bool(here) and here[-1].in_progress


def _followed(seen: Seen) -> Decision:
    """A request may still be carried out: it is never sent again, and named when it shows nothing any more."""
    attempt = max(seen.open, key=lambda one: (one.stage is Stage.BUILDING, one.started), default=None)
    alive = [row for row in seen.begun if row.destination not in seen.scene.dead_hosts]
    row = max(alive, key=lambda row: (row.destination is not None, row.id), default=None)
    # An accepted row has the host that the POST named, which need not have begun.
    destination = (attempt.destination if attempt else "") or (row.destination if row and row.status != "accepted" else "") or ""
    reason = stand_of(attempt, row)
    if attempt is not None and not destination and seen.never_closed(attempt):
        return _not_known(seen, f"{reason}, and no list shows what became of it")
    seen = replace(seen, case=replace(seen.case, memory=replace(seen.memory, unexplained=None)))
    endless = f"stuck: {reason}, for {seen.policy.stuck_timeout * ENDLESS:g} s; {_cure(destination)}" if _is_stuck(seen, ENDLESS) else ""
    if destination and destination in seen.scene.up_hosts:
        if endless:
            return _left(seen, endless, person=True)
        if _is_stuck(seen):
            reason = f"slow: {reason}, for more than {seen.policy.stuck_timeout:g} s; {_cure(destination)}"
        return _wait(seen, reason, slow=_is_stuck(seen))
    untaken = not destination
    told = destination in seen.scene.down_hosts if destination else seen.memory.quiet == seen.scene.now
    if _is_stuck(seen, 2 if untaken else 1) and told:
        text = f"stuck: {reason}, for {seen.policy.stuck_timeout * (2 if untaken else 1):g} s"
        asked = row.created if row else attempt.started if attempt else ""
        fallen = sorted(host for host, since in seen.scene.fallen.items() if not long_before(since, asked))
        if destination:
            text += f"; nova-compute of {destination} does not report: restart it there, or have {destination} fenced"
        elif fallen:
            text += f"; {' or '.join(fallen)}, which died, may have it in its queue, and then carries it out when it is back"
        return _left(seen, text, retry=True, person=True)
    if endless:
        return _left(seen, endless, person=True)
    still = untaken and seen.scene.now - seen.memory.progress[1] > STILL
    return _wait(seen, reason, still=still, slow=_is_stuck(seen, 2 if untaken else 1))


def _cure(destination: str) -> str:
    """What helps where nothing is seen of a request, for people. A nova-compute that was restarted in the middle leaves no sign of it."""
    there = f"nova-compute's log on {destination} says whether it goes on; if it was restarted, have {destination} fenced"
    return there if destination else "look into the logs of Nova's conductors"


def _unexplained(seen: Seen) -> Decision:
    """Its record that cannot be read is awaited. One that was read and does not say enough, since its owner has filled it, for one,
    is not waited for without a limit."""
    if seen.case.attempts is None:
        since = seen.memory.unread if seen.memory.unread is not None else seen.scene.now
        seen = replace(seen, case=replace(seen.case, memory=replace(seen.memory, unread=since)))
        waited, reason = seen.scene.now - since, "looking into Nova's own record of what was asked of it"
        if waited > ENDLESS * seen.policy.stuck_timeout:
            return _left(seen, f"stuck: {reason}, and Nova does not tell", person=True)
        return _wait(seen, reason, slow=waited > seen.policy.stuck_timeout)
    return _not_known(seen, "Nova's own record of it does not show what became of its evacuation")


def _not_known(seen: Seen, missing: str) -> Decision:
    """All that Nova tells was read, and something is missing in it: after a time its server is left alone, and named."""
    since = seen.memory.unexplained if seen.memory.unexplained is not None else seen.scene.now
    seen = replace(seen, case=replace(seen.case, memory=replace(seen.memory, unexplained=since)))
    if seen.scene.now - since > seen.policy.stuck_timeout:
        return _left(seen, f"{missing}: look where it runs", retry=True, person=True)
    return _wait(seen, missing, still=True)


def _unshown(seen: Seen, reason: str) -> Decision:
    """Nova does not show enough of it to decide anything: after a time its server is left, and named. A host that is returning
    is not over without it: what it is to be there nobody knows."""
    since = seen.memory.unshown if seen.memory.unshown is not None else seen.scene.now
    seen = replace(seen, case=replace(seen.case, memory=replace(seen.memory, unshown=since)))
    over = seen.scene.now - since > seen.policy.stuck_timeout
    if over and seen.scene.starts:
        return _left(seen, reason, retry=True, person=True)
    return _wait(seen, reason, idle=True, slow=over)


def _unruled(seen: Seen) -> Decision:
    """Its image alone could say whether it is protected, and Glance is away: its host waits for it, and not for ever."""
    since = seen.memory.unruled if seen.memory.unruled is not None else seen.scene.now
    memory = replace(seen.memory, unruled=since)
    reason = "whether it is protected only its image says, and Glance does not tell"
    over = seen.scene.now - since > seen.policy.stuck_timeout
    return Decision(Verdict(seen.server, LEFT if over else WAIT, reason, seen.case.was, retry=over, idle=not over), memory)


def _try(seen: Seen) -> Decision:
    """The one way to EVACUATE."""
    case, policy, memory, now = seen.case, seen.policy, seen.memory, seen.scene.now
    ends = [one for one in seen.tries if not one.is_open or seen.lost(one)]
    failed = {one.request: memory.failed.get(one.request, now) for one in ends}
    missing_since = memory.unexplained
    memory = replace(memory, failed=failed, unruled=None, unexplained=None)
    seen = replace(seen, case=replace(case, memory=memory))
    last = ends[-1] if ends else None
    died = last is not None and seen.lost(last).startswith("its destination")
    no_room = memory.short or (last is not None and last.stage is Stage.CLEAN and not last.destination)
    why = _why_again(seen, ends)
    if seen.suspects and last is not None and EXISTS in last.why:
        return _left(seen, f"its guest is on {' or '.join(sorted(seen.suspects))}, left by a failed try", final=True, person=True)
    if len(seen.suspects) > 1:
        return _left(seen, f"{why}; its guest may be on {' or '.join(sorted(seen.suspects))}: look there", final=True, person=True)
    if seen.suspects:
        why += f"{'; ' if why else ''}its guest may be on {min(seen.suspects)}, so that it may only go there"
    began = sum(1 for one in ends if one.destination)     # one for which there was no room uses up none of the few
    if ends and not no_room and not died and began >= policy.max_attempts:
        return _left(seen, f"failed {began} times: {why}", final=True)
    if memory.refusals >= policy.max_attempts and not memory.short:
        return _left(seen, why, final=True)
    if not seen.scene.starts:
        return _left(seen, why or "its host is returning", final=True)
    if _pause(seen, ends, died) > 0:
        # Only room may come with the host's return; what failed for another reason has its few tries before that.
        return _left(seen, f"{why}; it is tried again", retry=no_room and (memory.short or not memory.refusals))
    claimed, memory = _claimed(seen)
    if claimed:
        return Decision(Verdict(seen.server, QUEUED, claimed, case.was), memory)
    missing = why_not(seen)
    if missing:
        return _not_known(replace(seen, case=replace(seen.case, memory=replace(memory, unexplained=missing_since))), missing)
    rule = case.ruling.rule if case.ruling else ""
    return Decision(Verdict(seen.server, EVACUATE, why or rule, case.was, target=min(seen.suspects, default=None)), memory)


def _claimed(seen: Seen) -> tuple[str, Memory]:
    """Why a claim keeps a server waiting, "" when none does. A worker's is another worker's too: the record says which of them acts."""
    claim, memory, now = seen.case.claim, seen.memory, seen.scene.now
    if claim is None or claim.id == seen.scene.incident or claim.is_by(seen.scene.token):
        waits = claim is not None and now < memory.until
        return "claimed; who looked at it before may be about to evacuate it" if waits else "", replace(memory, foreign=None)
    since = memory.foreign if memory.foreign is not None else now
    text = f"claimed by {claim.signed}, who may be about to evacuate it" if now - since < CLAIM_AGE else ""
    return text, replace(memory, foreign=since)


def _pause(seen: Seen, ends: Sequence[Attempt], died: bool) -> float:
    """Seconds that are left of the pause after the last failure; 0 after none."""
    memory, policy, now = seen.memory, seen.policy, seen.scene.now
    if memory.refusals:
        return memory.refused_at + _growing(policy, memory.refusals, memory.short) - now
    if not ends or died:
        return 0.0
    return memory.failed[ends[-1].request] + _growing(policy, len(ends), NO_HOST in ends[-1].why) - now


def _growing(policy: Policy, tries: int, no_room: bool) -> float:
    return float(min(policy.retry_pause * 2 ** min(tries - 1, 10), LONGEST_PAUSE if no_room else MAX_PAUSE))


def _why_again(seen: Seen, ends: Sequence[Attempt]) -> str:
    memory = seen.memory
    if memory.refusal:
        return memory.refusal if memory.short else f"Nova refused: {memory.refusal}"
    if not ends:
        return ""
    last = ends[-1]
    lost = seen.lost(last) if last.is_open else ""
    if lost:
        return lost if lost.startswith("its destination") else f"Nova lost try {len(ends)}: {lost.partition(': ')[2]}"
    where = f" on {last.destination}" if last.destination else ""
    hint = "; see docs/operations.md, server groups" if AFFINITY_VIOLATED in (last.why + seen.server.fault) else ""
    return f"try {len(ends)} failed{where}: {seen.server.fault or last.why or 'no reason given'} ({last.request}){hint}"


def _confirming(seen: Seen) -> bool:
    since = seen.memory.confirming
    return since is not None and seen.server.vm_state == "resized" and seen.scene.now - since < SETTLE


def _not_asked_for(seen: Seen) -> bool:
    """Whether its state is one that recover_states does not name; what came of our own tries is no such state. Which tries are of this
    incident has to be known for that."""
    tried = bool(seen.tries) and seen.begin is not None
    return bool(seen.state.word) and seen.state.word not in seen.policy.recover and not seen.case.is_ours and not tried


def _always(_: Seen) -> bool:
    return True


def _now_running(seen: Seen) -> bool:
    """Whether it runs and is to be shut off: what was shut off comes back so from the first try, and running from a later one."""
    tries = max(len(seen.rows), len(seen.asked))
    return seen.server.vm_state == "active" and (seen.case.was == HALTED or (seen.case.was == STOPPED and tries > 1))


def _has_task_of_ours(seen: Seen) -> bool:
    """Whether Nova is at work on it for its evacuation. What its owner asks of a server that has moved is not waited for: he could
    go on for ever, and an image can be made of a locked server too."""
    task = seen.server.task_state
    if not task or not has_moved(seen.case) or is_rebuilding(seen.server):
        return bool(task)
    return task in TASKS_OF_CHORES and (seen.case.is_ours or seen.memory.chore is not None)


def _one_begun(seen: Seen) -> bool:
    """Whether one attempt alone of this incident may have reached a destination, by its own record, and that is where the server is.
    Where the incident's beginning is not known, neither is that."""
    begun = [one.destination for one in seen.asked if one.destination or one.stage is not Stage.CLEAN]
    return seen.begin is not None and begun == [seen.server.host]


EVACUABLE = (
    Rule("it is being built, or offloaded, or its state is not known", LEFT, lambda s: s.state.way == LEAVE,
         lambda s: _left(s, f"Nova does not evacuate a server that is {s.server.vm_state}", final=True)),
    Rule("recover_states does not name its state", LEFT, _not_asked_for,
         lambda s: _left(s, f"it is {s.state.name}, and recover_states does not name {s.state.word}", final=True)),
    Rule("its resize is being confirmed", WAIT, _confirming, lambda s: _wait(s, "its resize is being confirmed")),
    Rule("tries are left, no pause runs, nobody else's claim is on it, and nothing that has to be known is missing", EVACUATE, _always, _try),
)
RULES: dict[Place, tuple[Rule, ...]] = {
    Place.HIDDEN: (Rule("it is shelved and offloaded", UNLOCK, lambda s: s.server.vm_state == "shelved_offloaded",
                        lambda s: _given_up(s, "it is shelved and offloaded, on no host")),
                   Rule("always", WAIT, _always, lambda s: _unshown(s, Place.HIDDEN.value))),
    Place.PARTIAL: (Rule("always", WAIT, _always, lambda s: _unshown(s, "Nova shows only part of it (a cell is down?)")),),
    Place.DELETED: (Rule("always", UNLOCK, _always, lambda s: _given_up(s, "its user is deleting it")),),
    Place.STRANGER: (Rule("always", LEFT, _always, lambda s: _left(s, "it is on another host, and nothing says that it was evacuated there",
                                                                   final=True, protected=False)),),
    Place.DOUBTFUL: (Rule("always", LEFT, _always, lambda s: _left(
        s, "it may run where an earlier evacuation came to no end: look there, then unlock it", final=True, person=True)),),
    Place.UNRULED: (Rule("always", WAIT, _always, _unruled),),
    Place.UNPROTECTED: (Rule("always", UNLOCK, _always, lambda s: _given_up(s, *why_not_moved(s.case.ruling))),),
    Place.UNEXPLAINED: (Rule("always", WAIT, _always, _unexplained),),
    Place.IN_PROGRESS: (Rule("always", WAIT, _always, _followed),),
    Place.UNANSWERED: (Rule("always", WAIT, _always, lambda s: _wait(s, "the answer to the request was lost; looking whether Nova has it")),),
    Place.NOT_MOVED: (Rule("always", WAIT, _always, lambda s: _awaited(s, "Nova says done, and the server has not changed its host")),),
    Place.LEFT_HOST: (
        Rule("a list shows that it is still being rebuilt there", WAIT, _rebuilt_there, lambda s: _awaited(s, f"being rebuilt on {s.server.host}")),
        Rule("its user is deleting it", UNLOCK, lambda s: s.server.being_deleted, lambda s: _given_up(s, "its user is deleting it")),
        Rule("it has a task that comes of its evacuation", WAIT, _has_task_of_ours,
             lambda s: _awaited(s, f"on {s.server.host}, {s.server.task_state}")),
        Rule("it runs, was shut off, and how often it was tried in this incident no list shows", WAIT,
             lambda s: s.server.vm_state == "active" and s.case.was == STOPPED and s.begin is None and len(s.case.attempts or ()) > 1,
             lambda s: _awaited(s, f"on {s.server.host}; whether it was shut off is being looked into")),
        Rule("it runs, and is to be shut off", STOP, _now_running, lambda s: _asked(s, STOP, f"on {s.server.host}; it is to be shut off")),
        Rule("it is shut off, and its user was starting it", START, lambda s: s.server.vm_state == "stopped" and s.case.was == STARTED,
             lambda s: _asked(s, START, f"on {s.server.host}; its user was starting it")),
        Rule("it runs, and was paused before", PAUSE, lambda s: s.server.vm_state == "active" and s.case.was == PAUSED_BEFORE,
             lambda s: _asked(s, PAUSE, f"on {s.server.host}; it was paused before")),
        Rule("it is in ERROR, carries our claim, and one request alone of this incident may have reached a destination: this one", RESET,
             lambda s: s.server.vm_state == "error" and s.case.is_ours and s.memory.chore is None and _one_begun(s), _reset_once),
        Rule("it is in ERROR", LEFT, lambda s: s.server.vm_state == "error", lambda s: _left(s, _in_error(s), final=True, person=True)),
        Rule("its new host is down", WAIT, lambda s: s.server.host not in s.scene.up_hosts,
             lambda s: _awaited(s, f"arrived on {s.server.host}, which is down")),
        Rule("it is in a state that is known", UNLOCK, lambda s: s.server.vm_state in ("active", "stopped", "paused", "suspended", "shelved",
                                                                                      "shelved_offloaded", "rescued", "resized"), _arrived),
    ),
    Place.UNTOUCHED: EVACUABLE,
    Place.FAILED: EVACUABLE,
}


def host_over(verdicts: Iterable[Verdict]) -> bool:
    """Whether nothing is under way or about to be: the host may be unfenced."""
    return all(verdict.action == DONE or (verdict.action == LEFT and (verdict.final or verdict.retry)) for verdict in verdicts)
