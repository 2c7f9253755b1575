"""Hosts that fail again and again are kept out of service, until a person enables them."""

from __future__ import annotations

import time
from collections.abc import Iterable

from ..incident import IN_SERVICE, Incident
from ..model import DISABLED_BY_US, KEPT_OUT, Record, Service
from .context import Context

DAY = 86400.0


def returns(history: Iterable[Incident], node: str, now: float) -> int:
    """Return how often a host has failed and returned within a day. `now` is seconds since the epoch."""
    return sum(1 for one in history if one.node == node and one.end == IN_SERVICE and now - one.recorded < DAY)


def reason_to_keep_out(context: Context, record: Record) -> str:
    """Return why a host that is back stays disabled, as Nova keeps it; "" where it does not.

    Raises ClusterError, HostError: a history that cannot be read lets no host into service.
    """
    most = context.policy.quarantine
    if not most:
        return ""
    count = 1 + returns(context.cluster.incidents().values(), record.node, time.time())
    return f"{KEPT_OUT}: it failed {count} times within a day ({record.id})" if count >= most else ""


class KeptOut:
    """Tells of the hosts that are kept out, for as long as they are."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._told: set[str] = set()

    def look(self, services: Iterable[Service]) -> None:
        """Tell of each, and take back what is no more. `services` are Nova's, as far as they are known."""
        out = {one.host: one.reason for one in services
               if one.binary == "nova-compute" and not one.enabled and not one.forced_down and one.reason.startswith(KEPT_OUT)}
        for host, reason in out.items():
            self.context.problem(f"kept out {host}", f"{host} is {reason[len(DISABLED_BY_US):].strip()}; when it is mended: "
                                 f"openstack compute service set --enable {host} nova-compute")
        for host in self._told - {*out}:
            self.context.solved(f"kept out {host}")
        self._told = {*out}
