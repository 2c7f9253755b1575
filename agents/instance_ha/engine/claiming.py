"""Claiming the servers of a dead host that wait, to be given back in the state they had if their host returns first."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ..errors import CloudError
from ..model import Claim
from .context import Context
from .decide import QUEUED
from .evacuation import Evacuation
from .evidence import READS, ask_each
from .scene import Verdict
from .stayed import NAMED

SHARE = 3.0           # seconds of one turn for the servers of one host: other hosts are not to wait for them
AGAIN = 30.0          # seconds after which one that Nova did not lock is asked for again
LOG = logging.getLogger(__name__)


class Claiming:
    """What a worker remembers of it, of one incident."""

    def __init__(self, context: Context, node: str) -> None:
        self.context, self.node = context, node
        self._refused: dict[str, tuple[float, float, str]] = {}   # since when, when asked last, and why, by server

    def claim(self, engine: Evacuation, verdicts: Iterable[Verdict]) -> bool:
        """Claim those that wait, for a part of a turn. Return True if none is left to be asked for now.

        One that Nova does not lock stays as it is, and is named after stuck_timeout.
        """
        context = self.context
        waiting = {one.server.id: one for one in verdicts if one.action == QUEUED and not one.server.locked}
        self._refused = {key: told for key, told in self._refused.items() if key in waiting}
        begun = context.clock()
        rest = [key for key in sorted(waiting) if key not in self._refused or begun - self._refused[key][1] >= AGAIN]
        while rest and context.clock() - begun < SHARE:
            context.alive()
            for key, why in ask_each(lambda key: _claimed(engine, waiting[key]), rest[:READS]).items():
                self._note(key, waiting[key].server.name, why)
            del rest[:READS]
        late = [key for key, (since, _, _) in sorted(self._refused.items()) if begun - since > context.policy.stuck_timeout]
        if late:
            words = "; ".join(f"{waiting[key].server.name}: {self._refused[key][2]}" for key in late[:NAMED])
            context.problem(f"unlocked {self.node}", f"{len(late)} of {self.node}'s servers are not locked while they wait: {words}")
        else:
            context.solved(f"unlocked {self.node}")
        return not rest

    def _note(self, key: str, name: str, why: str) -> None:
        if not why:
            self._refused.pop(key, None)
            return
        now = self.context.clock()
        if key not in self._refused:
            LOG.warning("%s (%s): not locked: %s", name, key, why)
        self._refused[key] = (self._refused[key][0] if key in self._refused else now, now, why)


def _claimed(engine: Evacuation, verdict: Verdict) -> str:
    """Put our claim on a server. Return why Nova did not, "" where it did."""
    try:
        engine.lock(verdict.server.id, Claim(engine.host, verdict.was, engine.incident, engine.token))
    except CloudError as error:
        return str(error)
    return ""
