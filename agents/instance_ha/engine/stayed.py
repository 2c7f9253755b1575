"""The servers that stayed on a host that was fenced and is up again: restored to the state they had, unless they may run elsewhere."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable

from ..errors import CloudRefused, CloudUnreachable
from ..model import Server
from ..nova import Nova
from . import places
from .context import Context
from .evacuation import Evacuation
from .looked import Look
from .scene import Case
from .states import ACTIVE, HALTED, PAUSED, STARTED, STOPPED

NAMED = 3                # servers that one sentence names
SHARE = 3.0              # seconds of one turn for the servers of one host: other hosts are not to wait for them
REFUSED_PAUSE = 60.0     # seconds between two tries for a server of which Nova has refused ours for stuck_timeout
LOG = logging.getLogger(__name__)


class Stayed:
    """What a worker remembers of them during one return."""

    def __init__(self, context: Context, node: str) -> None:
        self.context, self.node = context, node
        self._reboots: dict[str, int] = {}     # servers that were to be rebooted, and how often each had been before
        self._tasks: dict[str, float] = {}     # since when a server that is to be restored was seen with a task, whichever
        self._unseen: set[str] | None = None   # those that were there when the host was up again, and have not been looked at
        self.stuck = False                     # whether nothing is to be done any more, but for servers that need a person
        self._refused: dict[str, float] = {}   # since when Nova refuses what is asked of a server
        self._again: dict[str, float] = {}     # when a claimed server, which it refuses for too long, is tried once more
        self._refusals: dict[str, str] = {}    # what Nova last said to that
        self._failed: CloudUnreachable | None = None   # of a server of which Nova gave no answer in this turn
        self.cut = False                       # whether the last turn's share was too short
        self.doubts: dict[str, str] = {}       # why servers that we have claimed are not restored, by their ids

    def restore(self, engine: Evacuation, look: Look) -> str:
        """Go on with it, for a part of a turn. What is still to come, "" for nothing. Raises CloudError.

        A server is started, reset or stopped here only if places.why_not_restore says that nothing speaks against it: its own
        record was read, and shows that no request may still be carried out and that none has left a guest.
        """
        context, nova = self.context, engine.nova
        end, self.cut, self.stuck = context.clock() + SHARE, False, False
        self._failed = None

        def go_on() -> bool:
            context.alive()
            self.cut = self.cut or context.clock() >= end
            return not self.cut

        here = [case for case in engine.cases.values() if case.server.host == look.scene.host]
        doubts = {case.server.id: engine.why_not_restore(case, look) for case in here}
        self.doubts = {case.server.id: doubts[case.server.id] for case in here if case.is_ours and doubts[case.server.id]}
        if self._unseen is None:
            self._unseen = {case.server.id for case in here}
        ours = [case for case in here if case.is_ours and not doubts[case.server.id]]
        waiting = [case.server for case in ours
                   if not self._given_back(case.server, functools.partial(self._released, engine, case, go_on))]
        self._revive(nova, [case for case in here if not case.is_ours], doubts, go_on)
        if self._failed is not None:
            raise self._failed
        if waiting:
            tasks = ", ".join(f"{s.name} {s.task_state or 'not looked at yet'}" for s in waiting[:NAMED])
            return f"{len(waiting)} servers that stayed have a task: {tasks}"
        unread = [case.server.name for case in here if case.attempts is None]
        if unread:
            return f"{len(unread)} servers that stayed, of which Nova does not tell what was asked: {', '.join(unread[:NAMED])}"
        if self._unseen:
            return f"{len(self._unseen)} servers that stayed are still to be looked at"
        return self._left([case for case in here if case.is_ours and doubts[case.server.id]],
                          [case for case in ours if case.server.id in self._again])

    def _left(self, doubtful: list[Case], refused: list[Case]) -> str:
        """Name those that need a person, whose claims and whose host's record stay. What they are, "" for none."""
        context, node = self.context, self.node
        self.stuck = bool(doubtful or refused)
        if doubtful:
            words = ", ".join(f"{case.server.name} on {_where(case)} ({case.server.id})" for case in doubtful[:NAMED])
            context.problem(f"doubtful {node}", f"{node}: may run elsewhere; look there, then unlock: {words}")
        else:
            context.solved(f"doubtful {node}")
        if refused:
            self.doubts |= {case.server.id: f"Nova refuses that: {self._refusals[case.server.id]}" for case in refused}
            words = "; ".join(f"{case.server.name} ({case.server.id}): {self._refusals[case.server.id]}" for case in refused[:NAMED])
            context.problem(f"refused {node}", f"{node}: {len(refused)} servers stayed, are locked and not restored: {words}")
        else:
            context.solved(f"refused {node}")
        return ", ".join(filter(None, (
            f"{len(doubtful)} servers that stayed may run elsewhere" if doubtful else "",
            f"{len(refused)} servers that stayed need a person" if refused else "")))

    def _given_back(self, server: Server, do: Callable[[], bool]) -> bool:
        """Do it for a server that we claimed. Whether none waits for it: it is given back, or Nova has refused that for so long that
        it is a person's; then it keeps its claim, and is tried now and then, since the person may act on Nova alone."""
        now = self.context.clock()
        if now < self._again.get(server.id, 0.0):
            return True
        if not self._tried(server, do):
            return False
        self._again.pop(server.id, None)
        if server.id in self._refused:
            self._again[server.id] = now + REFUSED_PAUSE
        return True

    def _released(self, engine: Evacuation, case: Case, go_on: Callable[[], bool]) -> bool:
        """Bring a server that we claimed into the state it had, and take our claim away. Whether that is done."""
        server, nova = case.server, engine.nova
        if not go_on():
            return False
        task = server.task_state
        if task and not places.is_rebuilding(server):
            if not self._is_stuck(server):
                return False
            LOG.warning("%s (%s): stayed on %s, and does not end %s; reset", server.name, server.id, server.host, task)
        if task:
            nova.reset(server.id)
        _restore(nova, server, "active" if task else server.vm_state or "", case.was, self._reboots)
        engine.release(server.id)
        return True

    def _tried(self, server: Server, do: Callable[[], bool]) -> bool:
        """Do something for one server. Return whether that is over: done, or refused for stuck_timeout. What its owner asks of it
        in the same moment has Nova refuse ours, and the others do not wait for that."""
        try:
            done = do()
        except CloudUnreachable as error:      # raised when the others have been seen to
            self._failed = error
            return False
        except CloudRefused as error:
            now = self.context.clock()
            since = self._refused.setdefault(server.id, now)
            self._refusals[server.id] = str(error)
            LOG.warning("%s (%s): stayed on %s, and is not restored: %s", server.name, server.id, server.host, error)
            return now - since > self.context.policy.stuck_timeout
        self._refused.pop(server.id, None)
        return done

    def _is_stuck(self, server: Server) -> bool:
        """Whether a server has had a task for stuck_timeout: Nova does not end each that the host's death broke off, and an owner may
        ask for one image after the other, also of a locked server."""
        now = self.context.clock()
        return now - self._tasks.setdefault(server.id, now) > self.context.policy.stuck_timeout

    def _revive(self, nova: Nova, cases: list[Case], doubts: dict[str, str], go_on: Callable[[], bool]) -> None:
        """Start again the protected servers that stayed and carry no claim: Nova has them as active for some minutes, and starts none.
        Each is looked at once: what a user shuts down later stays so."""
        there = {case.server.id: case for case in cases}
        assert self._unseen is not None
        self._unseen &= {*there}
        for case in [there[key] for key in sorted(self._unseen)]:
            server = case.server
            if not go_on():
                return
            if case.attempts is None or case.ruling is None:
                continue                       # it is looked at when its record, or its image, can be read
            if self._tried(server, functools.partial(self._started, nova, case, doubts[server.id])):
                self._unseen.discard(server.id)

    def _started(self, nova: Nova, case: Case, doubt: str) -> bool:
        """Start one that is protected, and that does not run. Returns True: it was looked at."""
        server = case.server
        idle = server.vm_state == "active" and not server.task_state and not doubt
        protected = case.ruling is not None and (case.ruling.protected or case.ruling.stays)
        if idle and protected and nova.guest_runs(server.id) is False:
            LOG.info("%s (%s): stayed on %s and does not run, starting it again", server.name, server.id, server.host)
            _reboot(nova, server, self._reboots)
        return True


def _where(case: Case) -> str:
    """The hosts on which a server may run."""
    hosts = {one.destination for one in case.attempts or () if one.destination} | {row.destination for row in case.rows if row.destination}
    return " or ".join(sorted(filter(None, hosts))) or "another host"


def _restore(nova: Nova, server: Server, state: str, was: str, reboots: dict[str, int]) -> None:
    """Its guest died with the host's power, whatever Nova says, and nova-compute does not start it. `state` is Nova's vm_state of it."""
    if was in (ACTIVE, STARTED):
        LOG.info("%s (%s): stayed on %s, starting it again", server.name, server.id, server.host)
    if state == "error" and was != PAUSED:
        nova.reset(server.id)
    if was in (ACTIVE, STARTED) and state == "stopped":
        nova.start(server.id)
    elif was in (ACTIVE, STARTED) and state in ("active", "error"):
        if state == "error" or not nova.guest_runs(server.id):
            _reboot(nova, server, reboots)
    elif was in (STOPPED, HALTED) and state in ("active", "error"):
        nova.stop(server.id)


def _reboot(nova: Nova, server: Server, reboots: dict[str, int]) -> None:
    """A reboot leaves a server as it was, so only Nova's record of actions tells whether one whose answer was lost was carried out."""
    count = sum(1 for action in nova.actions(server.id) if action.name == "reboot")
    if count > reboots.setdefault(server.id, count):
        return
    nova.reboot(server.id)
