"""Whether a host whose incident seemed over has one again: it died, or lists left servers out."""

from __future__ import annotations

import logging
import time
import uuid

from ..model import FENCED, PARTLY, ClusterView, Record, Service
from . import proof
from .context import Context
from .evacuation import Evacuation
from .pulse import Reports

AGAIN = 600          # seconds after a record; a mark of later is of another fencing
LOOK = 30.0          # seconds between two looks at its servers; nova-compute reports more often
NOVA_NOTICES = 3     # quick_evacuate_level
LOG = logging.getLogger(__name__)


class Again:
    """What a worker remembers of one host for that."""

    def __init__(self, context: Context, node: str) -> None:
        self.context, self.node = context, node
        self._seen_back = False  # whether it was online while it returned
        self._reports, self._heard = Reports(), 0
        self._marked: float | None = None  # since when it returns, and is offline, marked and silent
        self._next_look: float | None = None

    def died(self, view: ClusterView, record: Record, service: Service) -> bool:
        """Return whether a host that was let in has been fenced since.

        When a person confirms a fencing, no device runs that could write a record. A host is let in
        before it is online, and is still marked then. So it has to have been seen online since, or
        the mark of a remote node, which has its time, to be of much later than the record, or the
        host has to stay away for as long, and Nova to have heard nothing of it since the mark: a
        worker may have come after its second death. Silence alone is no fencing.
        """
        node, now = view.nodes.get(self.node), self.context.clock()
        self._seen_back = self._seen_back or bool(node and node.online)
        reports = self._reports.look(service)
        if node is None or node.online is not False or not node.mark:
            self._marked = None
            return False
        if self._marked is None or service.up or reports > self._heard:
            self._marked, self._heard = now, reports
        when = node.mark.rpartition(":")[2]
        later = when.isdigit() and int(when) > record.since + AGAIN
        silent = now - self._marked >= AGAIN and proof.is_silent_since(node, service)
        return self._seen_back or later or silent

    def begin(self, record: Record) -> None:
        """Put a new incident in place of a returning one. Raises ConflictError, ClusterError."""
        again = record.to(
            FENCED,
            id=uuid.uuid4().hex[:8],
            since=int(time.time()),
            seen=None,
            proof="",
            baseline=None,
            worker="",
            left=0,
            kept={},
            released=False,
        )
        LOG.warning(
            "%s: Pacemaker has fenced it again while it was returning; recorded as %s",
            self.node,
            again.id,
        )
        self.context.cluster.replace(again)

    def has_left_out(self, record: Record, service: Service, engine: Evacuation) -> bool:
        """Return whether an evacuated host has protected servers, and have them evacuated then.

        A list of Nova leaves servers out without a word, and so may each that the evacuation went
        by. A host that shows any sign of life may have been brought back by a person. Raises
        CloudError, ConflictError, ClusterError.
        """
        now = self.context.clock()
        noticed = self.context.policy.quick_evacuate_level == NOVA_NOTICES
        down = not service.up and (service.forced_down or noticed)
        self._next_look = now + LOOK if self._next_look is None else self._next_look
        if self._reports.look(service) or not down or now < self._next_look:
            return False
        self._next_look = now + LOOK
        found = self._left_out(service.host, engine)
        if found:
            LOG.warning(
                "%s: Nova's lists had left %d servers out, as %s; its evacuation goes on",
                self.node,
                len(found),
                found[0],
            )
            self.context.cluster.replace(record.to(PARTLY, left=len(found)))
        return bool(found)

    def _left_out(self, host: str, engine: Evacuation) -> list[str]:
        """Return the ids of the protected servers on it that have not come to an end."""
        found = []
        for server in self.context.nova.servers_on(host):
            known = server.host == host and server.vm_state is not None
            if known and server.id not in engine.done and not server.being_deleted:
                ruling = engine.ruled(server)
                found += [server.id] if ruling is not None and ruling.protected else []
        return found
