"""Pure: what became of each request to evacuate a server, from Nova's instance actions and their events.

docs/nova-evidence.md says what Nova writes there. A conductor begins with the event `rebuild_server`, the destination with
`compute_rebuild_instance`; each has its host, its begin, and at its end a result. What neither says is not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from ..model import Action, Migration, Step

EVACUATE = "evacuate"
AT_CONDUCTOR = "rebuild_server"
AT_DESTINATION = "compute_rebuild_instance"
SUCCESS = "Success"
EXISTS = "already exists"      # Nova's words, of a guest that is where it is to be made

# Nova's words, and frames of its traceback, that say where a try ended before its destination could start the guest.
_BEFORE_THE_GUEST = re.compile(
    r"Build of instance \S+ aborted"
    r"|Conflict updating instance.*Expected: \{'task_state': \[(<.*?>|')?'?(rebuilding|rebuild_block_device_mapping)'?\]")
_FRAMES_BEFORE = re.compile(
    r"\b(rebuild_claim|detach_block_devices|_prep_block_device|setup_networks_on_host|setup_instance_network_on_host)\b")
_FRAMES_OF_SCHEDULING = re.compile(r"\b(_schedule_instances|select_destinations)\b")
NO_HOST = "No valid host"
# A driver that cannot start a guest removes what it made of it (read, libvirt), unless what it needs for that was away.
_IN_THE_DRIVER = re.compile(r"self\.driver\.(spawn|rebuild)\(")
_AFTER_THE_GUEST = re.compile(
    r"_update_instance_after_spawn|task_states\.REBUILD_SPAWNING|stop_instance|finish_evacuation|delete_allocation_for_evacuated_instance")
_AWAY = re.compile(
    r"Messag|Remote|RPC|\bDB|OperationalError|InterfaceError|Timed out|[Tt]imeout|Conflict updating|[Hh]ypervisor|socket|[Cc]onnection|Cannot recv"
    r"|End of file|[Ff]ailed to (terminate|destroy|power|connect)|could not be destroyed|Device or resource busy")


class Stage(Enum):
    """How far one request is. OPEN ones may still be carried out."""

    QUEUED = "no conductor has begun"
    SCHEDULING = "at a conductor"
    SENT = "sent to its destination"
    BUILDING = "being rebuilt"
    DONE = "done"
    CLEAN = "failed, and no guest was started"
    SUSPECT = "failed, and may have left a guest"


OPEN = frozenset((Stage.QUEUED, Stage.SCHEDULING, Stage.SENT, Stage.BUILDING))


@dataclass(frozen=True)
class Attempt:
    """One request. `started` is Nova's text of its time. `conductor` and `destination` are the hosts that began, "" before
    that. `why` is what Nova says of a failure."""

    request: str
    started: str
    stage: Stage
    conductor: str = ""
    destination: str = ""
    why: str = ""
    taken: str = ""        # Nova's text of when its conductor began

    @property
    def is_open(self) -> bool:
        """Return True if Nova may still carry it out."""
        return self.stage in OPEN


def attempts_of(actions: Iterable[Action], steps: Mapping[str, Sequence[Step]]) -> tuple[Attempt, ...]:
    """Return the requests to evacuate, oldest first. A request whose events were not read is open: nobody knows."""
    asked = sorted((one for one in actions if one.name == EVACUATE), key=lambda one: one.started)
    return tuple(_attempt(one, steps.get(one.request, ())) for one in asked)


def _attempt(action: Action, steps: Sequence[Step]) -> Attempt:
    conductor, destination = _last(steps, AT_CONDUCTOR), _last(steps, AT_DESTINATION)
    host, taken = (conductor.host, conductor.started) if conductor else ("", "")
    if destination is not None:
        stage, why = _of_destination(destination), destination.why
        return Attempt(action.request, action.started, stage, host, destination.host, why, taken)
    if conductor is None:
        return Attempt(action.request, action.started, Stage.QUEUED)
    if not conductor.finished:
        return Attempt(action.request, action.started, Stage.SCHEDULING, host, taken=taken)
    if conductor.result == SUCCESS:
        return Attempt(action.request, action.started, Stage.SENT, host, taken=taken)
    # An error that is not the scheduling's may be that of the sending: then the message may be on its way.
    clean = NO_HOST in conductor.why or bool(_FRAMES_OF_SCHEDULING.search(conductor.trace))
    return Attempt(action.request, action.started, Stage.CLEAN if clean else Stage.SENT, host, why=conductor.why, taken=taken)


def _last(steps: Sequence[Step], name: str) -> Step | None:
    return next((step for step in reversed(steps) if step.name == name), None)


def _of_destination(step: Step) -> Stage:
    if not step.finished:
        return Stage.BUILDING
    if step.result == SUCCESS:
        return Stage.DONE
    return Stage.CLEAN if left_no_guest(step) else Stage.SUSPECT


def left_no_guest(step: Step) -> bool:
    """Return True if Nova's record of a failed try proves that its destination started no guest, or removed it.

    A frame that is missing proves nothing. What the driver says of a guest that it could not start counts, but for words that
    mean that a service was away which it needs to clean up: Nova's conductor, message bus or database, or libvirt itself. Where
    Nova hides its words, as from a role that may not read them, only its frames are there, and the driver has said nothing.
    """
    if _AFTER_THE_GUEST.search(step.trace):
        return False
    if _BEFORE_THE_GUEST.search(step.why) or _FRAMES_BEFORE.search(step.trace):
        return True
    last = step.trace.strip().rpartition("\n")[2]
    said = step.why.strip() not in ("", last.strip())
    away = _AWAY.search(step.why) or _AWAY.search(last)
    return said and bool(_IN_THE_DRIVER.search(step.trace)) and EXISTS not in step.why and not away


def since_the_last_arrival(attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
    """Return the attempts after the newest that is done: what was before it has ended with it."""
    done = [number for number, one in enumerate(attempts) if one.stage is Stage.DONE]
    return tuple(attempts[done[-1] + 1:] if done else attempts)


def stand_of(attempt: Attempt | None, row: Migration | None) -> str:
    """Return how an open request stands, for people. `row` is what a list shows of it."""
    if attempt is None or (row is not None and attempt.stage is Stage.QUEUED):
        return f"{row.status}, to {row.destination or 'a host not chosen yet'}" if row else "under way"
    where = {Stage.SCHEDULING: f" {attempt.conductor}", Stage.BUILDING: f" on {attempt.destination}"}.get(attempt.stage, "")
    return f"{attempt.stage.value}{where}"


def lock_is_ours(actions: Sequence[Action], user: str, project: str) -> bool:
    """Return True if a server's lock is instance-ha's, by Nova's own record of who asked for it.

    `actions` are the server's, newest first; `user` is the agents' own id; `project` is the server's. It has to be the only
    lock since the last unlock: an administrator's lock over another one keeps the words of that. A person who evacuates manually may
    be another user: then the lock comes from another project than the server's, where only an administrator can lock.
    """
    locks = []
    for action in actions:
        if action.name == "unlock":
            break
        if action.name == "lock":
            locks.append(action)
    if len(locks) != 1:
        return False
    lock = locks[0]
    return (bool(user) and lock.user == user) or bool(lock.project and project and lock.project != project)
