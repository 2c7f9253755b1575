"""Pure: every state a server can be in when its host dies, what is done about it, and what it ends as. docs/states.md is made from this table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..model import Server

DIRECT = "evacuate"                # Nova evacuates it as it is
RESET = "reset, evacuate"          # Nova refuses it in this state: set to active first
CONFIRM = "confirm, evacuate"      # the resize is confirmed, so that Nova evacuates it
LEAVE = "leave"                    # never touched

# What it is to be at the end.
ACTIVE = "active"      # Nova's evacuation makes it so
STOPPED = "stopped"    # Nova's evacuation makes it so; after a failed try it comes back running and is stopped
HALTED = "halted"      # it comes back running and is stopped
STARTED = "started"    # it comes back stopped and is started
PAUSED = "paused"      # it comes back running and is paused
ELSEWHERE = "elsewhere"   # its guest may run where an earlier evacuation came to no end: nobody starts it before a person has looked
MOVING = "moving"      # as active; but its guest may run at its live migration's destination, so nobody starts it on its old host

SHUT_DOWN = 4          # Nova's power_state
DELETING = frozenset(("deleting", "soft-deleting"))
ENDS = {ACTIVE: "ACTIVE", STOPPED: "SHUTOFF", HALTED: "SHUTOFF", STARTED: "ACTIVE", PAUSED: "PAUSED", MOVING: "ACTIVE"}


@dataclass(frozen=True)
class State:
    """One row. `vm_state` "" stands for any. `tasks` are the task_states it covers, each also as the beginning of a longer one
    where it ends in "*"; empty for any. `power` is the power_state, None for any. `word` is what recover_states calls it,
    "" where no parameter is asked. `cost` is what the recovery cannot bring back."""

    name: str
    vm_state: str
    tasks: tuple[str, ...]
    power: int | None
    way: str
    was: str
    word: str = ""
    cost: str = ""

    def covers(self, server: Server) -> bool:
        """Whether the server is in this state."""
        if self.vm_state not in ("", server.vm_state) or self.power not in (None, server.power_state):
            return False
        task = server.task_state or ""
        return not self.tasks or any(task.startswith(t[:-1]) if t.endswith("*") else task == t for t in self.tasks)


_IMAGE = "the image that was being made stays unfinished in Glance"
_RESIZE = "the flavor is what Nova says at that moment; the resize is asked again by its owner"

# The first row that covers a server counts.
STATES = (
    State("being deleted", "", ("deleting", "soft-deleting"), None, LEAVE, ACTIVE,
          cost="never brought back: Nova completes the deletion when the host is back, or at a second delete"),
    State("soft-deleted", "soft-delete", (), None, LEAVE, STOPPED, cost="as above"),
    State("powering off", "active", ("powering-off",), None, DIRECT, HALTED),
    State("pausing", "active", ("pausing",), None, DIRECT, PAUSED, cost="memory: it is booted anew, then paused"),
    State("suspending", "active", ("suspending",), None, DIRECT, HALTED, cost="memory: it ends shut off, to be started and not resumed"),
    State("shelving", "active", ("shelving*",), None, DIRECT, HALTED, cost="it ends shut off, not shelved; " + _IMAGE),
    State("rebooting", "active", ("reboot*",), None, DIRECT, ACTIVE),
    State("image being made", "active", ("image_*",), None, DIRECT, ACTIVE, cost=_IMAGE),
    State("live migration", "active", ("migrating",), None, DIRECT, MOVING,
          cost="it goes to the migration's destination while that lives, where Nova refuses to start it if it runs there already"),
    State("resizing", "active", ("resize_*",), None, DIRECT, ACTIVE, cost=_RESIZE),
    State("rescuing", "active", ("rescuing",), None, DIRECT, ACTIVE, cost="it is booted from its own disk"),
    State("rebuilding", "active", ("rebuild*",), None, DIRECT, ACTIVE),
    State("running", "active", (), None, DIRECT, ACTIVE),
    State("powering on", "stopped", ("powering-on",), None, DIRECT, STARTED),
    State("resizing, shut off", "stopped", ("resize_*",), None, DIRECT, STOPPED, cost=_RESIZE),
    State("shut off", "stopped", (), None, DIRECT, STOPPED),
    State("error, shut off", "error", (), SHUT_DOWN, DIRECT, HALTED, "error"),
    State("error", "error", (), None, DIRECT, ACTIVE, "error"),
    State("unpausing", "paused", ("unpausing",), None, RESET, ACTIVE, "paused", "memory"),
    State("paused", "paused", (), None, RESET, PAUSED, "paused", "memory: it is booted anew, runs for some seconds, and is paused"),
    State("resuming", "suspended", ("resuming",), None, RESET, ACTIVE, "suspended", "memory, of which the host's disk may hold the image"),
    State("suspended", "suspended", (), None, RESET, HALTED, "suspended",
          "memory, of which the host's disk may hold the image; it runs for some seconds and ends shut off"),
    State("rescued", "rescued", (), None, RESET, ACTIVE, "rescued", "the rescue: it is booted from its own disk, repaired or not"),
    State("unshelving", "shelved", ("unshelving", "powering-on"), None, RESET, ACTIVE, "shelved",
          "without shared storage, what the shelved image held"),
    State("shelved", "shelved", (), None, RESET, HALTED, "shelved",
          "without shared storage, what the shelved image held; it runs for some seconds and ends shut off, not shelved"),
    State("resized, shut off", "resized", (), SHUT_DOWN, CONFIRM, HALTED, "resized", "the way back to the old flavor"),
    State("resized", "resized", (), None, CONFIRM, ACTIVE, "resized", "the way back to the old flavor"),
    State("being built", "building", (), None, LEAVE, ACTIVE,
          cost="nothing: it had never run, and Nova evacuates no server that never ran; nova-compute sets it to ERROR when it starts again"),
    State("shelved and offloaded", "shelved_offloaded", (), None, LEAVE, STOPPED, cost="nothing: it is on no host"),
)
WORDS = tuple(dict.fromkeys(state.word for state in STATES if state.word))
DEFAULT_WORDS = ("error", "paused", "resized")
_UNKNOWN = State("unknown", "", (), None, LEAVE, ACTIVE)


def state_of(server: Server) -> State:
    """The row of a server that is still on its dead host."""
    return next((state for state in STATES if state.covers(server)), _UNKNOWN)


def kept_of(servers: Iterable[Server]) -> dict[str, str]:
    """What servers that their owners locked are to be, by id, where it is not simply ACTIVE: such a server carries no claim."""
    found = {server.id: state_of(server) for server in servers if server.locked and not server.locked_reason.startswith("instance-ha:")}
    return {key: state.was for key, state in found.items() if state.was != ACTIVE and state.way != LEAVE}
