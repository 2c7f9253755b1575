"""Pure: whether Pacemaker has confirmed that a node was fenced, and whether its fencing levels are worth anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import takewhile

from .. import fence_agents
from ..model import ClusterNode, FenceEvent, Record, Service
from ..rows import nova_time

OFF_ACTIONS = frozenset(("off", "reboot"))
GOES_ON = "Pacemaker is still fencing it"
SAME = 1.0            # seconds; two ends of fencings of one node that are no further apart are one, as two controllers saw it
LATER = 120.0         # seconds; clocks and what Nova was told of a fencing differ by less
MARKED_AT = re.compile(r" at (?P<when>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) \((?P<id>[^()]*)\)$")   # the end of a reason of ours
_ZONE = re.compile(r" ([+-]\d\d:\d\d)$")


def proof_of_fencing(record: Record, node: ClusterNode | None, events: Iterable[FenceEvent]) -> tuple[str, str]:
    """`events` are newest first. (proof, "") when Pacemaker has confirmed that the node was fenced since it was last up, else ("", reason).

    A fencing that runs or that failed last is no proof, whatever came before.
    """
    fencings = [event for event in events if event.action in OFF_ACTIONS]
    if any(event.status == "pending" for event in fencings):
        return "", GOES_ON
    if node is None:
        return "", "the cluster knows no such node"
    if node.mark and node.online is False:
        done = fencings[0].completed if fencings and fencings[0].status == "success" else ""
        return node.mark if _time_of(node.mark) is not None or not done else f"{node.mark}@{done}", ""
    fresh = _since(record, fencings)
    if fresh and fresh[0].status == "success":
        return f"history:{fresh[0].action}@{fresh[0].completed}", ""
    if fresh and fresh[0].status == "failed":
        return "", "its last fencing failed; Pacemaker tries again, or a person confirms with: pcs stonith confirm " + record.node
    if node.online:
        return "", "Pacemaker says it is online and knows of no fencing since the record was written"
    return "", "Pacemaker has not confirmed its fencing yet"


def _since(record: Record, fencings: Sequence[FenceEvent]) -> list[FenceEvent]:
    """Return the fencings that are newer than the record, newest first.

    Each controller has the end of a fencing from its own clock: other controllers' times of the same one differ by some milliseconds
    (seen with 3.0.0), or by whatever their clocks do. So a fencing has to be one more than there were, and later than those. A
    record that does not tell, an older agent's or a person's, may be later than all of them, so that none counts.
    """
    if record.seen is None:
        return []
    done = [event for event in fencings if event.completed]
    more = done if record.fencings is None else done[:max(0, len(done) - record.fencings)]
    last = [_seconds(text) for text in record.seen]
    if None in last:
        return []
    newest = max((when for when in last if when is not None), default=float("-inf"))
    return list(takewhile(lambda event: (_seconds(event.completed) or float("-inf")) > newest + SAME, more))


def ended_at(event: FenceEvent) -> float | None:
    """Return when a fencing ended, in seconds since the epoch; None where that is not known."""
    return _seconds(event.completed)


def _seconds(text: str) -> float | None:
    """Return Pacemaker's text of a time, as a record holds it, as seconds since the epoch; None where it cannot be read."""
    try:
        when = datetime.fromisoformat(_ZONE.sub(r"\1", text.replace("_", " ")).replace("Z", "+00:00"))
    except ValueError:
        return None
    return when.timestamp() if when.tzinfo else None


def marks(node: ClusterNode | None) -> tuple[str, ...]:
    """Return the proofs that a node's state alone gives. They hold only while the node is offline."""
    return (node.mark,) if node is not None and node.mark else ()


def is_current(record: Record, node: ClusterNode | None, service: Service) -> bool:
    """Whether a record with a proof speaks of now, and not of a fencing that its host has long come back from, as one does that was
    restored with an older CIB: Pacemaker still says so itself, or Nova's mark is this record's, and
    the host was not heard since."""
    marked = _is_marked(node) or (service.forced_down and f"({record.id})" in service.reason)
    return marked and _is_heard_after(_fenced_at(record, node), service) is False


def is_silence_enough(record: Record, node: ClusterNode | None, service: Service) -> bool:
    """Whether a host that makes no report may be taken for the one that a record with a proof speaks of.

    Silence is no fencing: a nova-compute that lives and cannot reach its conductor is silent, too.
    So Nova has to have heard nothing of it since it was fenced, or since this record marked it down
    there. What changes its service moves the same time, and a mark stays after its host's return.
    """
    times = (_fenced_at(record, node), _marked_at(record, service))
    return any(_is_heard_after(when, service) is False for when in times)


def is_heard_since(record: Record, node: ClusterNode | None, service: Service) -> bool:
    """Whether it is known that Nova has heard of a host since its fencing."""
    return _is_heard_after(_fenced_at(record, node), service) is True


def is_silent_since(node: ClusterNode, service: Service) -> bool:
    """Whether it is known that Nova has heard nothing of a host since Pacemaker marked its node as fenced."""
    return _is_heard_after(_time_of(node.mark), service) is False


def _is_marked(node: ClusterNode | None) -> bool:
    """A mark stays until Pacemaker connects to the node again, whoever has switched that on."""
    return node is not None and node.online is False and bool(node.mark)


def _marked_at(record: Record, service: Service) -> float | None:
    """Return when a record has marked its host down in Nova; None where it has not, or does not tell."""
    found = MARKED_AT.search(service.reason)
    if not service.forced_down or not found or found["id"] != record.id:
        return None
    return nova_time(found["when"])


def _fenced_at(record: Record, node: ClusterNode | None) -> float | None:
    """Return when, as far as is told, the fencing of a record was complete; None where nothing tells.

    fence_nova writes a record when its node is fenced, and tells what had been before. One that
    tells nothing was written later: the mark of a full member may be of long before.
    """
    of_mark = _time_of(node.mark) if node is not None and _is_marked(node) else None
    written = record.since if record.seen is not None and record.fencings is not None else 0
    times = (of_mark, _time_of(record.proof), written or None)
    return next((when for when in times if when is not None), None)


def _time_of(mark: str) -> float | None:
    """Return the time of a mark or of a proof. The mark of a full member has none."""
    when = mark.partition(":")[2]
    if "@" in when:
        return _seconds(when.partition("@")[2])
    return float(when) if when.isascii() and when.isdigit() else None


def _is_heard_after(when: float | None, service: Service) -> bool | None:
    """Return whether Nova has heard of a host after that, by its nova-compute or by who changed its service; None where nobody knows."""
    heard = nova_time(service.updated)
    return None if when is None or heard is None else heard > when + LATER


def level_fault(levels: Sequence[Sequence[str]]) -> str:
    """What is wrong with a node's fencing levels, "" for nothing: fence_nova cuts no power, so that Pacemaker's word of a
    fencing is worth nothing where no power device comes before it."""
    if not levels:
        return "it has no fencing level; give it one: pcs stonith level add 1 NODE POWER_DEVICE fence-nova"
    for number, agents in enumerate(levels, 1):
        fault = fence_agents.level_fault(agents)
        if fault:
            return f"its fencing level {number} {fault}; instance-ha doctor prints the commands"
    return ""
