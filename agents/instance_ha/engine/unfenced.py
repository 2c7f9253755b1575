"""Hosts that are offline and that nobody will fence: nothing else would ever say that they are not evacuated."""

from __future__ import annotations

from ..model import ClusterView
from .context import Context
from .naming import host_of

GRACE = 5.0      # seconds for which a host has to be offline


class Unfenced:
    """Tells of compute hosts that are offline while Pacemaker fences nobody."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._since: dict[str, float] = {}
        self._told: set[str] = set()

    def look(self, view: ClusterView) -> None:
        """Tell of each such host, and take back what is no more."""
        now = self.context.clock()
        lost = self._lost(view) if view.fences_nobody else set()
        self._since = {node: self._since.get(node, now) for node in lost}
        told = {node for node, since in self._since.items() if now - since >= GRACE}
        for node in told:
            self.context.problem(f"unfenced {node}", f"{node} is offline and will not be evacuated: {view.fences_nobody}")
        for node in self._told - told:
            self.context.solved(f"unfenced {node}")
        self._told = told

    def _lost(self, view: ClusterView) -> set[str]:
        """The compute hosts that are offline and on no record."""
        aside = {*view.records, *view.broken, *view.dismissed}
        services = [service for service in self.context.services_known if service.binary == "nova-compute"]
        return {node.name for node in view.nodes.values() if node.online is False and node.name not in aside
                and host_of(view.named(node.name), self.context.domain, services)}
