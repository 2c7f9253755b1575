"""Pure: what became of each request to evacuate a server, from Nova's instance actions and their events.

docs/nova-evidence.md says what Nova writes there. A conductor begins with the event `rebuild_server`, the destination with
`compute_rebuild_instance`; each has its host, its begin, and at its end a result. What neither says is not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from ..model import Action, Step

EVACUATE = "evacuate"
AT_CONDUCTOR = "rebuild_server"
AT_DESTINATION = "compute_rebuild_instance"
SUCCESS = "Success"
EXISTS = "already exists"      # Nova's words, of a guest that is where it is to be made

# Where in nova/compute/manager.py a try ended before its destination could start the guest: words of the traceback.
_BEFORE_THE_GUEST = re.compile(
    r"InstanceFaultRollback|rebuild_claim\(|_validate_instance_group_policy|_check_instance_exists|_check_trusted_certs"
    r"|setup_networks_on_host|setup_instance_network_on_host|get_instance_nw_info|attach_block_devices\(|detach_block_devices\("
    r"|expected_task_state=\[task_states\.REBUILDING\]|expected_task_state=\[task_states\.REBUILD_BLOCK_DEVICE_MAPPING\]")
# A hypervisor driver that cannot start a guest removes what it made of it.
_IN_THE_DRIVER = re.compile(r"self\.driver\.(spawn|rebuild)\(")
_AFTER_THE_GUEST = re.compile(
    r"_update_instance_after_spawn|expected_task_state=\[task_states\.REBUILD_SPAWNING\]|stop_instance|finish_evacuation")
# Nova's words for a service that was away: the driver may have started the guest by then.
_BROKEN_OFF = re.compile(r"Messag|Remote|RPC|\bDB|OperationalError|InterfaceError|Timed out waiting for a reply|Conflict updating")
# Where Nova shows no traceback: its words for what happens before there can be a guest.
_NO_GUEST = re.compile(
    r"[Ii]nsufficient compute resources|No valid host|policy was violated|Binding failed for port|Virtual Interface creation failed"
    r"|Failed to allocate the network|Failed to deploy instance")


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
    host = conductor.host if conductor else ""
    if destination is not None:
        stage, why = _of_destination(destination), destination.why
        return Attempt(action.request, action.started, stage, host, destination.host, why)
    if conductor is None:
        return Attempt(action.request, action.started, Stage.QUEUED)
    if not conductor.finished:
        return Attempt(action.request, action.started, Stage.SCHEDULING, host)
    if conductor.result == SUCCESS:
        return Attempt(action.request, action.started, Stage.SENT, host)
    return Attempt(action.request, action.started, Stage.CLEAN, host, why=conductor.why)


def _last(steps: Sequence[Step], name: str) -> Step | None:
    return next((step for step in reversed(steps) if step.name == name), None)


def _of_destination(step: Step) -> Stage:
    if not step.finished:
        return Stage.BUILDING
    if step.result == SUCCESS:
        return Stage.DONE
    return Stage.CLEAN if left_no_guest(step) else Stage.SUSPECT


def left_no_guest(step: Step) -> bool:
    """Return True if Nova's record of a failed try says that its destination started no guest, or removed it."""
    if not step.trace:
        return bool(_NO_GUEST.search(step.why)) and not _BROKEN_OFF.search(step.why)
    if _AFTER_THE_GUEST.search(step.trace):
        return False
    if _IN_THE_DRIVER.search(step.trace):
        return not (_BROKEN_OFF.search(step.why) or _BROKEN_OFF.search(step.trace.strip().rpartition("\n")[2]))
    return bool(_BEFORE_THE_GUEST.search(step.trace))


def since_the_last_arrival(attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
    """Return the attempts after the newest that is done: what was before it has ended with it."""
    done = [number for number, one in enumerate(attempts) if one.stage is Stage.DONE]
    return tuple(attempts[done[-1] + 1:] if done else attempts)


def lock_is_ours(actions: Sequence[Action], user: str, project: str) -> bool:
    """Return True if a server's lock is instance-ha's, by Nova's own record of who asked for it.

    `actions` are the server's, newest first; `user` is the agents' own id; `project` is the server's. Every lock since the
    last unlock has to be ours, or that of an administrator from another project: an administrator's lock over a user's keeps
    the user's words.
    """
    locks = []
    for action in actions:
        if action.name == "unlock":
            break
        if action.name == "lock":
            locks.append(action)
    return bool(locks) and all(_is_trusted(one, user, project) for one in locks)


def _is_trusted(lock: Action, user: str, project: str) -> bool:
    if user and lock.user == user:
        return True
    return bool(lock.project and project and lock.project != project)
