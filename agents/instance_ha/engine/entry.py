"""Whether a node that has come back may start its nova-compute; asked by fence_nova when Pacemaker unfences, and by nova-compute's own unit."""

from __future__ import annotations

from ..cluster import Cluster
from ..model import CONFIRMED, EVACUATED, FENCED, PARTLY, RETURNING, TRUE, ClusterView

WORDS = {FENCED: "its evacuation has not begun", CONFIRMED: "its evacuation is under way"}


def let_in(cluster: Cluster, view: ClusterView, node: str) -> tuple[bool, str]:
    """(True, what was done) when nothing is under way any more, and then nothing will be begun; else (False, why not).
    Raises ClusterError, ConflictError."""
    if node in view.broken:
        return False, f"the fencing record of {node} cannot be read: {view.broken[node]!r}; correct or delete the node attribute"
    record = view.records.get(node)
    if view.held.get(node) == TRUE and node not in view.to_hold():
        cluster.hold(node, "")     # no worker has seen to it
    if record is None:
        return True, f"{node} is not on record"
    if record.state in WORDS:
        return False, f"{node} is not let in yet: {WORDS[record.state]} (record {record.id})"
    if record.state in (EVACUATED, PARTLY):
        cluster.replace(record.to(RETURNING))
    return True, f"{node} is let in, {record.left} of its servers are still on it"


def node_of(names: list[str], nodes: set[str]) -> str | None:
    """Pacemaker's name of the node that is meant by the first of `names` that means one: the same, or the only one with its short name."""
    for name in names:
        if name in nodes:
            return name
    short = [node for node in nodes if names and node.split(".")[0].lower() == names[0].split(".")[0].lower()]
    return short[0] if len(short) == 1 else None
