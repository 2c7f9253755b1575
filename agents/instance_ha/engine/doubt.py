"""Whether a record speaks of now: it can be older than its host's return."""

from __future__ import annotations

from collections.abc import Sequence

from ..model import CONFIRMED, ClusterView, Record, Service
from . import proof
from .context import Context
from .naming import namesakes_of, same_name
from .pulse import SURE, Reports

OLD = 10.0               # how long what makes a record an old one must have been seen before its host, which is online, is let in
DOUBT = 25.0             # how long a host that may be back is watched for reports of nova-compute, which makes one every 10 s by default


class Doubt:
    """What speaks against the down state of one recorded host. A record is older than its host's return when it was restored with an
    older CIB, or when the host was back before anybody could mark it down."""

    def __init__(self, context: Context, node: str) -> None:
        self.context, self.node = context, node
        self._sure = False
        self._since: float | None = None
        self._heard: float | None = None       # since when it is known that Nova has heard of the host since its fencing
        self._reports = Reports()

    def look(self, view: ClusterView, record: Record, service: Service,
             doubtful: bool = False) -> str:
        """What speaks against it now, "" for nothing. `doubtful`: Nova has more hosts of its name."""
        now, node = self.context.clock(), view.nodes.get(self.node)
        heard, self._heard = self._heard, None
        if self._reports.look(service) >= SURE:
            if self._sure and node is not None and node.online:
                return ""                      # it is back, which is another matter
            self._sure = False
            self.context.problem(self.node, f"{self.node} is not evacuated: it was fenced, and its nova-compute reports: is its power really off?"
                                f" If this is an old record: instance-ha dismiss {self.node}")
            return "nova-compute reports"
        if self._sure and self._reports.count and not (node is not None and node.online):
            # One report, and no more since: it may have been switched on, and be cut off now.
            self._sure = proof.is_silence_enough(record, node, service)
        # A node and a host of different names may belong to two machines: what is proven of one says nothing of the other then.
        same = same_name(self.node, service.host) and not doubtful
        if self._sure or (same and proof.is_current(record, node, service)):
            self._sure = True
            return ""
        if self._since is None:
            self._since = now
        if now - self._since < DOUBT or (service.up and not service.forced_down):
            return "looking whether nova-compute runs on it"
        if not proof.is_silence_enough(record, node, service):
            known = proof.is_heard_since(record, node, service)
            # Neither a time that is missing nor a mark in Nova lets a host in.
            if known and not service.forced_down:
                self._heard = now if heard is None else heard
            has = "has" if known else "may have"
            self.context.problem(self.node, f"{self.node} is not evacuated: Nova {has} heard of {service.host} since it was fenced."
                                f" If it is off: instance-ha dismiss {self.node}, then instance-ha host-evacuate {self.node};"
                                " if this is an old record, the former alone")
            return f"Nova {has} heard of it since it was fenced"
        self.context.solved(self.node)
        self._sure = True
        return ""

    def is_old(self, view: ClusterView) -> bool:
        """Whether the record is an old one, by all that can be seen: its host is in the cluster, and Nova has heard of it since."""
        node = view.nodes.get(self.node)
        return bool(node and node.online) and self._heard is not None and self.context.clock() - self._heard >= OLD


def why_elsewhere(context: Context, view: ClusterView, record: Record, service: Service,
                  services: Sequence[Service]) -> str:
    """Return why a record's servers may be those of another row of Nova's, "" for nothing.

    A row of before a renaming has none, and would count as evacuated. Raises CloudError.
    """
    if record.baseline is not None or record.state != CONFIRMED:
        return ""
    others = namesakes_of(service.host, view, services)
    if not others or context.nova.servers_on(service.host):
        return ""
    having = [one.host for one in others if context.nova.servers_on(one.host)]
    if not having:
        return ""
    return (f"{record.node} is not evacuated: Nova has {service.host}, without servers, and "
            f"{', '.join(having)}; which is it? If the latter: openstack compute service "
            f"delete {service.id}; else: instance-ha dismiss {record.node}")
