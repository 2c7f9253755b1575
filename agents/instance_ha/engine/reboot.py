"""Pure: what says that the reboot of a host has left a server off, and when it may be started.

nova-compute compares what runs with what Nova has as running when it starts, and every ten
minutes. Of a server that does not run it calls stop: in Nova's record of the server that is an
action `stop` without a user and without a project. What anybody asks through the API has both.
A guest that its owner shuts down from within is stopped by Nova in the same way, but at once, and
so before its host goes away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..model import Action, Migration, Server, Service
from ..rows import nova_time
from .states import SHUT_DOWN

STOP = "stop"
# Seconds before the last report of nova-compute: what went off then the shutdown may have stopped.
SOON = 300.0
LEAD = 10.0  # seconds that nova-compute may work before its first report
FIRST_COMPARED = 90.0  # seconds after that in which it has compared once (periodic_fuzzy_delay, 60 s)
# Nova's names of what may have taken a guest to another host, but for evacuations, whose own record is read
MOVES = frozenset(("live-migration", "migrate", "resize", "revertResize"))
# Nova's names of what leaves a server running, and of what leaves it as it was.
RUNS = frozenset(("create", "start", "reboot", "resume", "unpause", "unrescue", "unshelve"))
SAME = frozenset(
    (
        "lock",
        "unlock",
        "changePassword",
        "createImage",
        "createBackup",
        "resetState",
        "extend_volume",
        "swap_volume",
        "attach_interface",
        "detach_interface",
        "attach_volume",
        "detach_volume",
        "attach_share",
        "detach_share",
        "refresh_volume_attachment",
        "rebuild",
        "evacuate",
        "live-migration",
        "live_migration_cancel",
        "live_migration_force_complete",
        "migrate",
        "resize",
        "confirmResize",
        "revertResize",
    )
)


class Silence:
    """The longest pause between two reports of a nova-compute, by Nova's own times.

    `before` and `after` are its ends, in seconds since the epoch, None while there is none.
    `usual` is the shortest pause.
    """

    def __init__(self) -> None:
        self.before: float | None = None
        self.after: float | None = None
        self.usual: float | None = None
        self._silent = 0.0                     # seconds for which it was seen to last
        self._first = 0.0                      # the earliest time of the first report after it
        self._last: float | None = None
        self._since = self._until = 0.0        # the first and the last look that showed the same report

    def look(self, stamp: str, now: float) -> None:
        """Take one more look at Nova's text of the last report. `now` is the worker's clock.

        Only what was seen counts: reports between two looks far apart show as one.
        """
        when = nova_time(stamp)
        if when is None:
            return
        if when == self._last:
            self._until = now
            return
        if self._last is not None:
            pause, silent = when - self._last, self._until - self._since
            self.usual = pause if self.usual is None else min(self.usual, pause)
            if silent > self._silent:
                self.before, self.after, self._silent = self._last, when, silent
                self._first = when - (now - self._until)
        self._last, self._since, self._until = when, now, now

    @property
    def is_clear(self) -> bool:
        """Return True if it is long enough to tell what was before it from what came after it."""
        if self.before is None or self.after is None or self.usual is None:
            return False
        return self.usual > 0 and self._silent > self.usual + 2 * LEAD

    def is_after(self, started: str) -> bool:
        """Return True if something was begun after it, for certain."""
        when = nova_time(started)
        return (
            when is not None
            and self.after is not None
            and self.is_clear
            and when > self.after - LEAD
        )

    def is_before(self, started: str) -> bool:
        """Return True if something was begun before its end, for certain."""
        when = nova_time(started)
        return (
            when is not None
            and self.after is not None
            and self.is_clear
            and when <= self._first - LEAD
        )

    def is_soon_after(self, started: str) -> bool:
        """Return True if something was begun when nova-compute compared for the first time after it, or earlier."""
        when = nova_time(started)
        return when is not None and self.after is not None and when <= self.after + FIRST_COMPARED


def was_stopped_by_nova(actions: Sequence[Action], silence: Silence) -> bool:
    """Return True if what was done to a server last is Nova's own stop, at about the reboot.

    `actions` are the server's, newest first. Whatever anybody has asked since takes it off the
    list: a person has looked.
    """
    if not actions or actions[0].name != STOP or not actions[0].by_nova:
        return False
    when = nova_time(actions[0].started)
    return when is not None and silence.is_clear and when > (silence.before or 0.0) - SOON


def ran(actions: Sequence[Action]) -> bool:
    """Return True if what was asked of a server left it running before Nova stopped it.

    `actions` are newest first, and begin with Nova's stop.
    """
    last = next((one.name for one in actions[1:] if one.name not in SAME), "")
    return last in RUNS


@dataclass(frozen=True)
class LeftOff:
    """All that is known of one server that is off.

    `server`, `actions` (newest first) and `moves` are its own reads of this moment; `server` is
    None where Nova has it no more. `doubt` says why it may run elsewhere, "" for nothing.
    `protected` is None where nobody can say. `vague`: its hypervisor did not tell whether its guest
    ran when the host was back.
    """

    host: str
    server: Server | None
    actions: Sequence[Action]
    moves: Sequence[Migration]
    silence: Silence
    doubt: str = ""
    protected: bool | None = None
    vague: bool = False


def to_start(one: LeftOff) -> tuple[tuple[bool, str], ...]:
    """Return what has to be known before a server is started, and what is said where it is not.

    It is on its host and stopped by its own read, Nova stopped it by itself after the host's
    return, it ran before, and nobody has asked anything of it since.
    """
    server, actions = one.server, one.actions
    return (
        (server is not None, "it is not read"),
        (server is not None and server.host == one.host, "it is not on the host"),
        (server is not None and server.locked is False, "it is locked"),
        (
            server is not None and server.vm_state == "stopped" and server.power_state == SHUT_DOWN,
            "Nova has not stopped it",
        ),
        (
            server is not None and not server.task_state and not server.being_deleted,
            "it has a task",
        ),
        (
            bool(actions) and actions[0].name == STOP and actions[0].by_nova,
            "Nova itself did not stop it",
        ),
        (
            bool(actions) and one.silence.is_after(actions[0].started),
            "it may have been stopped before its host went away",
        ),
        (
            all(one.silence.is_before(action.started) for action in actions[1:]),
            "something was asked of it since",
        ),
        (ran(actions), "it was not running before"),
        (not one.vague, "its hypervisor does not tell whether it ran when its host was back"),
        (not any(move.in_progress for move in one.moves), "a move of it is under way"),
        (_last_move_has_ended(one), "how its last move ended no list shows"),
        (not one.doubt, one.doubt or "it may run elsewhere"),
        (one.protected is True, "it is not protected"),
    )


def _last_move_has_ended(one: LeftOff) -> bool:
    """Whether a row shows the end of its last move: a list of Nova leaves out rows without a word."""
    last = next((action for action in one.actions if action.name in MOVES), None)
    return last is None or any(not move.in_progress and move.created >= last.started for move in one.moves)


def why_not_start(one: LeftOff) -> str:
    """Return what is missing for its start, "" when all of it is known."""
    return next((words for holds, words in to_start(one) if not holds), "")


def why_not_there(service: Service) -> str:
    """Return why nothing may be started on a host, by Nova's word of it, "" for nothing."""
    if not service.known or not service.up or service.forced_down:
        return "nova-compute is not up"
    return "" if service.enabled else "its host is disabled in Nova"
