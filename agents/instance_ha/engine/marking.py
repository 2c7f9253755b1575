"""Marking a dead host in Nova, and what is awaited besides before its servers are looked at."""

from __future__ import annotations

import time

from ..model import Service
from .context import Context
from .decide import TAKEOVER
from .naming import begin_of_mark, is_ours

NOVA_NOTICES = 3         # quick_evacuate_level


class Marking:
    """What a worker remembers of it, of one incident."""

    def __init__(self, context: Context, node: str, incident: str) -> None:
        self.context, self.node, self.incident = context, node, incident
        self._since: float | None = None      # since when something of Nova's is done or awaited

    def hindrance(self, service: Service, proven: float, taken_over: float | None) -> str:
        """Do what has to be done before the servers are looked at. Return what is done or awaited, "" for nothing.

        `proven` is when the proof was first seen, `taken_over` when another worker's work was, None for never; both by the worker's
        clock. What Nova does not show for stuck_timeout is a problem.
        """
        context, now = self.context, self.context.clock()
        awaited = self._of_nova(service)
        self._since = None if not awaited else now if self._since is None else self._since
        if self._since is not None:
            waited = now - self._since
            if waited > context.policy.stuck_timeout:
                context.problem(self.node, f"{self.node} is not evacuated: {awaited}, for {waited // 60:.0f} minutes")
            return awaited
        if taken_over is not None and now - taken_over < TAKEOVER:
            return "taking over from another worker"
        if now - proven < context.policy.evacuate_delay:
            return f"evacuate_delay of {context.policy.evacuate_delay:g} s runs"
        return ""

    def _of_nova(self, service: Service) -> str:
        nova = self.context.nova
        if not service.forced_down and self.context.policy.quick_evacuate_level != NOVA_NOTICES:
            nova.force_down(service, True)
            return "marking it down in Nova"
        if service.up:
            return "waiting until Nova says it is down"
        if service.enabled or (is_ours(service) and f"({self.incident})" not in service.reason):
            when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())    # read again by proof.py
            nova.disable(service, f"{begin_of_mark(service)} fenced by Pacemaker, being evacuated; marked at {when} ({self.incident})")
            return "disabling it in Nova"
        return ""
