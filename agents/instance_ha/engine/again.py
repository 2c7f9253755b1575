"""Whether a host whose incident seemed to be over has one again: it died once more, or lists had left servers out."""

from __future__ import annotations

import logging
import time
import uuid

from ..model import FENCED, PARTLY, ClusterView, Record, Service
from .context import Context
from .evacuation import Evacuation

AGAIN = 600              # seconds after a record; a mark of later is of another fencing
LOOK = 30.0              # seconds between two looks at the servers of a host that counts as evacuated
LOG = logging.getLogger(__name__)


class Again:
    """What a worker remembers of one host for that."""

    def __init__(self, context: Context, node: str) -> None:
        self.context, self.node = context, node
        self._seen_back = False                # whether it was online while it returned
        self._marked: float | None = None      # since when it is offline and marked while it returns
        self._next_look = float("-inf")

    def died(self, view: ClusterView, record: Record) -> bool:
        """Return whether a host that was let in has been fenced since.

        When a person confirms a fencing, no device runs that could write a record. A host is let in before it is online, and
        is still marked then. So it has to have been seen online since, or the mark of a remote node, which has its time, to be
        of much later than the record, or it has to stay away for as long: a worker may have come after its second death.
        """
        node, now = view.nodes.get(self.node), self.context.clock()
        self._seen_back = self._seen_back or bool(node and node.online)
        if node is None or node.online is not False or not node.mark:
            self._marked = None
            return False
        self._marked = now if self._marked is None else self._marked
        when = node.mark.rpartition(":")[2]
        later = when.isdigit() and int(when) > record.since + AGAIN
        return self._seen_back or later or now - self._marked >= AGAIN

    def begin(self, record: Record) -> None:
        """Put a new incident in place of a returning one. Raises ConflictError, ClusterError."""
        again = record.to(FENCED, id=uuid.uuid4().hex[:8], since=int(time.time()), seen=None, proof="", baseline=None, worker="", left=0,
                          kept={}, released=False)
        LOG.warning("%s: Pacemaker has fenced it again while it was returning; recorded as %s", self.node, again.id)
        self.context.cluster.replace(again)

    def has_left_out(self, record: Record, service: Service, engine: Evacuation) -> bool:
        """Return whether an evacuated host has protected servers, and have them evacuated then.

        A list of Nova leaves servers out without a word, and so may each that the evacuation went by. Raises CloudError,
        ConflictError, ClusterError.
        """
        now = self.context.clock()
        if now < self._next_look:
            return False
        self._next_look = now + LOOK
        here = [server for server in self.context.nova.servers_on(service.host) if server.id not in engine.done
                and server.host == service.host and server.vm_state is not None and not server.being_deleted]
        found = [server for server in here if (ruling := engine.ruled(server)) is not None and ruling.protected]
        if found:
            LOG.warning("%s: %d servers are on it that Nova's lists had left out, as %s; its evacuation goes on", self.node,
                        len(found), found[0].id)
            self.context.cluster.replace(record.to(PARTLY, left=len(found)))
        return bool(found)
