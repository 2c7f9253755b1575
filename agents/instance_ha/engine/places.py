"""Pure: where a server is in its recovery, and what has to be known before anything dangerous is done to it.

A list of Nova leaves out rows without a word. So what a list lacks says nothing here: where something was done to a server, its
own record of requests decides (attempts.py), and where that was not read, nothing dangerous follows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from functools import cached_property

from ..model import ARRIVED, FAILED, Migration, Server, claim_of, mark_of_request
from .attempts import NO_HOST, Attempt, Stage, since_the_last_arrival
from .pulse import before_a_restart, long_before
from .scene import Case, HostScene, Memory
from .selection import Policy
from .states import ELSEWHERE, LEAVE, MOVING, State, state_of

STILL = 30.0             # after so long without a sign of the scheduler a request is no measure any more of what Nova has to do
SETTLE = 15.0            # after a lost answer: how long before its absence in Nova's records counts
SCHEDULING_LIMIT = timedelta(seconds=1800 + 300)   # Nova's long_rpc_timeout, and then some: no conductor waits longer for a scheduler


class Place(Enum):
    """Where a server is in its recovery."""

    HIDDEN = "Nova does not show its host"
    PARTIAL = "Nova shows only part of it"
    DELETED = "its user is deleting it"
    LEFT_HOST = "on another host, by an evacuation from this one"
    STRANGER = "on another host, and Nova knows of no evacuation from this one"
    DOUBTFUL = "it may run elsewhere"
    UNRULED = "nobody can say whether it is protected"
    UNPROTECTED = "not protected"
    UNEXPLAINED = "something was done to it, and its own record was not read, or does not explain it"
    IN_PROGRESS = "a request may still be carried out"
    NOT_MOVED = "Nova says done, and it has not changed its host"
    UNANSWERED = "the answer to a request was lost, and Nova shows nothing of it yet"
    FAILED = "each request has come to an end, and it is still on the dead host"
    UNTOUCHED = "nothing was asked of it"


# Of what has begun, what its row may be of. The start of the dead host's nova-compute completes what is done or under way.
STAGES_OF: dict[str, tuple[Stage, ...]] = {
    "accepted": (), "done": (Stage.DONE,), "completed": (Stage.DONE, Stage.BUILDING),
    "failed": (Stage.CLEAN, Stage.SUSPECT), "error": (Stage.CLEAN, Stage.SUSPECT),
}


@dataclass(frozen=True)
class Seen:
    """One server, its host and the policy: what a rule looks at."""

    case: Case
    scene: HostScene
    policy: Policy
    broken: frozenset[str] = frozenset()   # requests whose destination was seen to die after it began, by their marks

    @property
    def server(self) -> Server:
        return self.case.server

    @property
    def memory(self) -> Memory:
        return self.case.memory

    @cached_property
    def state(self) -> State:
        return state_of(self.server)

    @cached_property
    def attempts(self) -> tuple[Attempt, ...]:
        """Those since it last arrived anywhere, oldest first."""
        return since_the_last_arrival(self.case.attempts or ())

    @cached_property
    def begin(self) -> str | None:
        """Nova's text of the time after which all belongs to this incident, "" for all, None where no list shows it."""
        if not self.scene.baseline:
            return ""
        return next((row.created for row in self.scene.migrations if row.id == self.scene.baseline), None)

    @cached_property
    def asked(self) -> tuple[Attempt, ...]:
        """All that was asked in this incident. Where its beginning is not known, all counts."""
        return tuple(one for one in self.case.attempts or () if one.started > (self.begin or ""))

    @cached_property
    def tries(self) -> tuple[Attempt, ...]:
        """What was asked in this incident since it last arrived anywhere."""
        return tuple(one for one in self.asked if one in self.attempts)

    @cached_property
    def open(self) -> tuple[Attempt, ...]:
        """Those that Nova may still carry out."""
        return tuple(one for one in self.attempts if one.is_open and not self.lost(one))

    @cached_property
    def suspects(self) -> frozenset[str]:
        """The live hosts on which its guest may be: an attempt may have left it there, or its live migration got so far."""
        there = {one.destination for one in self.attempts if one.stage is Stage.SUSPECT and mark_of_request(one.request) not in self.broken}
        if self.case.was == MOVING:
            there |= {self.scene.moving.get(self.server.id) or ""} - {""}
        return frozenset(there - self.scene.dead_hosts)

    @property
    def was_moved(self) -> bool:
        """Whether, by its own record, it has left this host, and nothing has brought it back since."""
        last = self.case.attempts[-1] if self.case.attempts else None
        return last is not None and last.stage is Stage.DONE and last.destination != self.scene.host and not self.case.came_back

    @property
    def rows_too_many(self) -> bool:
        """Whether lists show more evacuations than its own record, which is read back to its newest arrival, or to the last
        time that a person has looked: what had failed before that is no secret."""
        known, unlocked = self.case.attempts or (), self.case.unlocked
        since = known[0].started if known else ""
        rows = [row for row in self.rows if row.created >= since]
        return sum(1 for row in rows if not (row.status in FAILED and row.created < unlocked)) > len(known)

    @cached_property
    def begun(self) -> tuple[Migration, ...]:
        """The rows that a list shows as under way: an open row of an earlier incident counts while the server is being rebuilt."""
        rebuilding = is_rebuilding(self.server)
        return tuple(row for row in self.case.rows if row.in_progress and (row.id > self.scene.baseline or rebuilding))

    @cached_property
    def rows(self) -> tuple[Migration, ...]:
        """Its rows of this incident, oldest first."""
        return tuple(row for row in self.case.rows if row.id > self.scene.baseline)

    @cached_property
    def unbegun(self) -> bool:
        """Whether lists show a row that is as the API made it for each request that, by the server's record, no destination has begun,
        superseded ones too, and of each other row the record shows which request it is of. Which is whose nothing else says: a
        conductor takes any that is as the API made it, also a much older one."""
        known = self.tries
        if any(_may_leave_a_row(one) for one in self.case.attempts or () if one not in known):
            return False
        since = min((one.started for one in known), default="")
        rows = [row for row in self.case.rows if row.created >= since]
        if len(rows) < len(known) or any(_is_unused(row) or row.updated >= since for row in self.case.rows if row.created < since):
            return False                       # the list has lost some; or an old one may have been taken
        rest = [*known]
        for row in rows:
            own = next((one for one in rest if _is_of(row, one)), None)
            if own is not None:
                rest.remove(own)
            elif not _is_unused(row):
                return False
        return sum(map(_is_unused, rows)) >= sum(1 for one in known if one.is_open and one.stage is not Stage.BUILDING)

    def never_closed(self, attempt: Attempt) -> bool:
        """Return True if all that may hold an open request has been at work for long enough, and the rows do not fit to say that it
        is lost: no time will tell."""
        quiet = self.memory.quiet is not None and self.scene.now - self.memory.quiet > self.policy.stuck_timeout
        begun = attempt.stage is Stage.SCHEDULING and not _is_old(attempt.started, self.scene.nova_now)
        return quiet and not attempt.destination and not begun and not self.unbegun

    def lost(self, attempt: Attempt) -> str:
        """Return why an open attempt will not be carried out any more, "" where it may be.

        Silence alone closes nothing: a row has to show that nobody has begun, and a queue is known to be empty when everything that
        reads it has been at work for stuck_timeout. A conductor that has
        begun waits for a scheduler no longer than SCHEDULING_LIMIT, and holds nothing from before a gap in its reports.
        """
        patience, now = self.policy.stuck_timeout, self.scene.now
        if not attempt.is_open:
            return ""
        if mark_of_request(attempt.request) in self.broken or (attempt.destination and attempt.destination in self.scene.dead_hosts):
            return f"its destination {attempt.destination} died in the middle"
        if not self.unbegun:
            return ""
        quiet = self.memory.quiet is not None and now - self.memory.quiet > patience
        if attempt.stage is Stage.QUEUED:
            return "Nova lost it: no conductor took it" if quiet else ""
        if attempt.stage is Stage.SENT:
            return "Nova lost it: no destination took it" if quiet else ""
        if attempt.stage is Stage.SCHEDULING:
            heard = self.scene.gaps.get(attempt.conductor)
            restarted = heard is not None and now - heard > patience and before_a_restart(attempt.taken, self.scene.heard.get(attempt.conductor, ""))
            over = restarted or attempt.conductor in self.scene.dead_hosts or _is_old(attempt.started, self.scene.nova_now)
            return f"Nova lost it: the conductor on {attempt.conductor} died with it" if over and quiet else ""
        return ""


def _is_unused(row: Migration) -> bool:
    """Whether a row is as the API made it, which writes a destination only where the request names one."""
    return row.status == "accepted"


def _may_leave_a_row(attempt: Attempt) -> bool:
    """Whether the row of a request may still be as the API made it."""
    return attempt.is_open or not (attempt.destination or NO_HOST in attempt.why)


def _is_of(row: Migration, attempt: Attempt) -> bool:
    """Whether a row that a conductor or a destination has changed may be of a request, by what the server's own record says of it."""
    if row.status == "error" and attempt.stage is Stage.CLEAN and not attempt.destination:
        return True                            # no host was found for it
    return attempt.stage in STAGES_OF.get(row.status, (Stage.BUILDING,)) and attempt.destination == (row.destination or "")


def is_rebuilding(server: Server) -> bool:
    """Return True if Nova, or a request that came to no end, has it as being rebuilt."""
    return (server.task_state or "").startswith("rebuild")


def needs_evidence(case: Case, scene: HostScene) -> bool:
    """Return True if what a list shows of a server is not enough, and its own record of requests has to be read."""
    server, memory = case.server, case.memory
    if _unproven(case):
        return True                            # whose lock that is, Nova's record says
    if len(case.rows) < memory.rows:
        return True                            # the list has lost what it had
    if any(row.in_progress and row.id <= scene.baseline for row in case.rows):
        return True                            # of an earlier incident, and nobody has closed it
    rows = [row for row in case.rows if row.id > scene.baseline]
    if server.host != scene.host:
        return server.vm_state == "error" or not rows
    alive = [row for row in rows if row.in_progress and row.destination not in scene.dead_hosts]
    fresh = scene.now - memory.progress[1] < STILL if memory.progress[0] else bool(memory.request)
    if alive and fresh:
        # It gets on, and a list is enough to follow that, unless a host has died: one that had begun shows only in the server's own record
        # until it has claimed the room, and only while it is away does that say that it has died in the middle.
        return bool(scene.dead_hosts - {scene.host}) and any(not row.destination for row in alive)
    return bool(rows) or is_rebuilding(server) or memory.sent is not None or server.vm_state == "error"


def _unproven(case: Case) -> bool:
    """Whether it is not known whose the lock is that has the words of a claim; or it is known not to be ours."""
    return claim_of(case.server) is not None and case.claim is None


def place_of(seen: Seen) -> Place:
    """Return where a server is in its recovery."""
    server, case = seen.server, seen.case
    if server.vm_state is None or server.locked is None:
        return Place.PARTIAL
    if server.host is None:
        return Place.HIDDEN
    if server.host != seen.scene.host:
        if case.attempts is None and (len(case.rows) < case.memory.rows or _unproven(case)):
            return Place.UNEXPLAINED           # if the claim is ours, it says what the server is to be
        known = seen.rows or any(one.stage is Stage.DONE for one in case.attempts or ())
        if known:
            return Place.LEFT_HOST
        strange = case.attempts is not None and case.claim is None and (case.came_back or not (case.attempts or case.rows))
        return Place.STRANGER if strange else Place.UNEXPLAINED
    if server.being_deleted:
        return Place.DELETED
    if case.was == ELSEWHERE:
        return Place.DOUBTFUL
    if case.ruling is None:
        return Place.UNRULED
    if case.attempts is None:
        return _by_lists(seen)
    if seen.open:
        return Place.IN_PROGRESS
    if seen.rows_too_many or (case.unlocked and len(case.rows) < case.memory.rows):
        return Place.UNEXPLAINED           # what was before an unlock only lists show
    if seen.was_moved:
        return Place.NOT_MOVED
    if seen.memory.sent is not None and seen.scene.now - seen.memory.sent < SETTLE:
        return Place.UNANSWERED
    if is_rebuilding(server) and not seen.attempts and not case.owner_rebuilds:
        return Place.UNEXPLAINED
    if not case.ruling.protected:
        return Place.UNPROTECTED
    return Place.FAILED if seen.tries else Place.UNTOUCHED


def _by_lists(seen: Seen) -> Place:
    """Where it is, as far as lists tell: never where anything dangerous would follow but for a look at its own record."""
    if [row for row in seen.begun if row.destination not in seen.scene.dead_hosts]:
        return Place.IN_PROGRESS
    if seen.memory.sent is not None and seen.scene.now - seen.memory.sent < SETTLE:
        return Place.UNANSWERED
    if needs_evidence(seen.case, seen.scene):
        return Place.UNEXPLAINED
    if seen.case.ruling is not None and not seen.case.ruling.protected:
        return Place.UNPROTECTED
    return Place.UNTOUCHED


def noted(case: Case, scene: HostScene, memory: Memory) -> Memory:
    """Note how a server's tries get on, and since when Nova's queues are known to be read."""
    memory = replace(memory, rows=max(memory.rows, len(case.rows)))
    last = max((row for row in case.rows), key=lambda row: row.id, default=None)
    if last is None and not case.attempts:
        return replace(memory, quiet=scene.now if memory.quiet is None or not scene.control_whole else memory.quiet)
    newest = case.attempts[-1] if case.attempts else None
    # What its owner does with a server that has moved is no progress of its evacuation.
    task = "" if has_moved(case) else case.server.task_state
    sign = f"{last and (last.id, last.status, last.destination, last.updated)} {task} {case.server.host}"
    if memory.progress[0] != sign:
        memory = replace(memory, progress=(sign, scene.now), quiet=scene.now)
    if not scene.control_up:
        memory = replace(memory, progress=(sign, scene.now))
    # A host that died since the request was made may have it in its message queue.
    asked = last.created if last else newest.started if newest else ""
    fallen = [host for host, since in scene.fallen.items() if not long_before(since, asked)]
    if not scene.control_whole or fallen or memory.quiet is None:
        memory = replace(memory, quiet=scene.now)
    return memory


def has_moved(case: Case) -> bool:
    """Return True if the newest request to evacuate a server has brought it where it is: Nova is not at work on that any more."""
    last = max(case.rows, key=lambda row: row.id, default=None)
    if last is not None:
        # Its owner may have moved it on since, as by a resize.
        return last.status in ARRIVED and case.server.host not in (None, last.source)
    newest = case.attempts[-1] if case.attempts else None
    return newest is not None and newest.stage is Stage.DONE and newest.destination == case.server.host


def to_evacuate(seen: Seen) -> tuple[tuple[bool, str], ...]:
    """Return what has to be known before a server is evacuated, and what is said where it is not: it is on the dead host by its own
    record, it is protected, nobody is at work on it, every earlier request is known to be over, and a guest that one may have
    left can be on one host at most."""
    server, case, scene = seen.server, seen.case, seen.scene
    known = case.attempts if case.attempts is not None else ()
    return (
        (server.host == scene.host, "it is not on the dead host"),
        (scene.starts, "its host is returning"),
        (case.was not in ("", ELSEWHERE), "what it is to be is not known"),
        (case.ruling is not None and case.ruling.protected, "it is not known to be protected"),
        (not server.being_deleted, "its user is deleting it"),
        (seen.state.way not in ("", LEAVE), "Nova does not evacuate it"),
        (case.attempts is not None or not needs_evidence(case, scene), "its own record was not read"),
        (not seen.was_moved, "Nova says that it was moved"),
        (all(not one.is_open or seen.lost(one) for one in known), "a request may still be carried out"),
        (case.was != MOVING or server.id in scene.moving, "where its live migration was going is not known"),
        (len(seen.suspects) <= 1, "it may run on more than one host"),
        (not is_rebuilding(server) or bool(known) or case.owner_rebuilds, "it is being rebuilt, and nobody knows why"),
    )


def to_restore(seen: Seen) -> tuple[tuple[bool, str], ...]:
    """Return what has to be known before a server is started again on its old host, which is back, and what is said where it is not:
    it is there by Nova's word, its own record was read, no request may still be carried out, and none has left a guest anywhere."""
    server, case = seen.server, seen.case
    known = case.attempts if case.attempts is not None else ()
    return (
        (server.host == seen.scene.host, "it is not on the host"),
        (server.vm_state is not None and server.locked is not None, "Nova shows only part of it"),
        (not server.being_deleted, "its user is deleting it"),
        (case.attempts is not None, "its own record was not read"),
        (not seen.rows_too_many, "lists show more than its own record"),
        (case.was != ELSEWHERE, "it may run elsewhere"),
        (case.was != MOVING or seen.scene.moving.get(server.id) == "", "it may run where its live migration was going"),
        (all(not one.is_open or seen.lost(one) for one in seen.attempts), "a request may still be carried out"),
        (not seen.suspects, "a failed try may have left its guest"),
        (not seen.was_moved, "Nova says that it was moved"),
        (not is_rebuilding(server) or bool(known) or case.owner_rebuilds, "it is being rebuilt, and nobody knows why"),
    )


def why_not(seen: Seen) -> str:
    """Return what is missing for an evacuation, "" when all of it is known."""
    return next((words for holds, words in to_evacuate(seen) if not holds), "")


def why_not_restore(seen: Seen) -> str:
    """Return what is missing for starting a server again on its old host, "" when all of it is known."""
    return next((words for holds, words in to_restore(seen) if not holds), "")



def _is_old(started: str, now: str) -> bool:
    """Whether a request is older than any wait of a conductor; both are Nova's texts, and what cannot be read is not."""
    try:
        return datetime.fromisoformat(started) + SCHEDULING_LIMIT < datetime.fromisoformat(now)
    except (ValueError, TypeError):
        return False
