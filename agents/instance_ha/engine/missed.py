"""What the records do not tell: hosts that Pacemaker fenced and that have none, and hosts that are back and still marked down by us.

A record can be missing because fence_nova could not write it, because a person confirmed a fencing and no device ran, because
fence_compute writes another kind, or because an older CIB was restored.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Sequence

from ..errors import ConflictError
from ..model import FENCED, RECORDERS, RETURNING, ClusterNode, ClusterView, FenceEvent, Record, Service
from .context import Context
from .naming import host_of, is_ours
from .proof import OFF_ACTIONS

# How long a record must have been missing. Pacemaker's mark and the record are seen in one moment; Nova is looked at in another one.
GRACE = {"fenced": 0.0, "back": 3.0, "marked": 3.0}
YES_PAUSE = 2.0          # between two looks at fence_compute's attribute while every node is online
LOG = logging.getLogger(__name__)


class Missing:
    """Finds what has no record, and writes one."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._since: dict[tuple[str, str], float] = {}
        self._yes: frozenset[str] = frozenset()
        self._yes_looked = float("-inf")

    def look(self, view: ClusterView, services: Callable[[], Sequence[Service] | None]) -> None:
        """Write the records that are missing. `services` gets Nova's, None while Nova cannot be asked; it is only called when there
        is a reason to. Raises ClusterError, HostError."""
        context, now = self.context, self.context.clock()
        yes = self._older_agents_say(view, now)
        unknown = [node for name, node in view.nodes.items() if name not in view.records and name not in view.broken and name not in view.dismissed]
        fenced = [node.name for node in unknown if is_missed(view, node, node.name in yes)]
        found = context.services_known
        if fenced or _marked(found):
            found = services() or found  # what was known may be half a minute old
        marked = _marked(found)
        seen: dict[tuple[str, str], Callable[[], Record]] = {}
        for node in unknown if fenced or marked else ():
            host = host_of(view.named(node.name), context.domain, found)
            if host is None or not context.protects(node.name, host):
                continue
            if node.name in fenced:
                seen[node.name, "fenced"] = lambda name=node.name: self._record(name, FENCED)  # type: ignore[misc]
            elif host in marked and node.online:
                seen[node.name, "back"] = lambda name=node.name: self._record(name, RETURNING)  # type: ignore[misc]
            elif host in marked and node.online is False and not node.remote and newest_succeeded(context.cluster.history(node.name)):
                seen[node.name, "marked"] = lambda name=node.name: self._record(name, FENCED, seen=())  # type: ignore[misc]
        self._since = {key: self._since.get(key, now) for key in seen}
        for key, record in seen.items():
            if now - self._since[key] >= GRACE[key[1]]:
                self._add(key, record())
        self._end_dismissals(view)

    def _record(self, node: str, state: str, **more: object) -> Record:
        by = self.context.cluster.local_node()
        return Record(node, state, uuid.uuid4().hex[:8], int(time.time()), by).to(state, **more)

    def _add(self, key: tuple[str, str], record: Record) -> None:
        words = {"fenced": "Pacemaker has fenced it, and there is no record of that", "back": "it is back, and still marked down by instance-ha",
                 "marked": "it was fenced and marked down by instance-ha, and its record is gone"}
        try:
            self.context.cluster.add(record)
        except ConflictError as error:
            LOG.info("%s", error)
            return
        LOG.warning("%s: %s; recorded now as %s", key[0], words[key[1]], record.id)

    def _older_agents_say(self, view: ClusterView, now: float) -> frozenset[str]:
        # Pacemaker purges it when a remote node connects again, so that it can be gone within seconds.
        if now - self._yes_looked >= YES_PAUSE or any(node.online is False for node in view.nodes.values()):
            self._yes, self._yes_looked = frozenset(self.context.cluster.transient_yes()), now
        return self._yes

    def _end_dismissals(self, view: ClusterView) -> None:
        for name in view.dismissed:
            node = view.nodes.get(name)
            if node is not None and node.online:
                try:
                    self.context.cluster.end_dismissal(name)
                except ConflictError as error:      # looked at again in the next turn
                    LOG.info("%s", error)
                    continue
                LOG.info("%s: back, and no longer dismissed", name)


def _marked(services: Iterable[Service]) -> set[str]:
    """The hosts that are marked down by us."""
    return {s.host for s in services if s.binary == "nova-compute" and s.forced_down and is_ours(s)}


def is_missed(view: ClusterView, node: ClusterNode, older_yes: bool) -> bool:
    """Whether a node without a record should have one: fenced, or said to be by fence_compute, and meant to be recorded."""
    recorded = any(agent in RECORDERS for level in view.levels.get(node.name, ()) for agent in level)
    return (older_yes and not node.online) or (node.online is False and bool(node.mark) and recorded)


def newest_succeeded(events: Iterable[FenceEvent]) -> bool:
    """Whether the last of a node's fencings, newest first, succeeded."""
    newest = next((event for event in events if event.action in OFF_ACTIONS), None)
    return newest is not None and newest.status == "success"
