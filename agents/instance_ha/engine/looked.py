"""Pure: what one turn saw of a dead host and its servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..model import Migration, Server, Service
from . import decide
from .decide import EVACUATE
from .scene import HostScene, Verdict


@dataclass
class Look:
    """What one turn saw: the scene, and the verdicts in the order of importance. `partial`: some servers that have left the host were
    not looked at yet."""

    scene: HostScene
    services: Sequence[Service]
    verdicts: list[Verdict]
    partial: bool = False

    @property
    def waiting(self) -> list[Verdict]:
        """Those that may be evacuated now."""
        return [verdict for verdict in self.verdicts if verdict.action == EVACUATE]

    @property
    def under_way(self) -> list[Verdict]:
        """Those that Nova is at work on."""
        return [verdict for verdict in self.verdicts if verdict.action == decide.WAIT and not verdict.idle]

    @property
    def in_window(self) -> int:
        """How many of those take a place in the window. One that has moved takes none, whatever is still to happen to it, and
        one that has shown nothing for long takes none for ever."""
        rows = self._newest_rows()
        moved = {v.server.id for v in self.under_way if v.server.id in rows and rows[v.server.id].has_brought(v.server)}
        return sum(1 for v in self.under_way if not v.still and not v.slow and v.server.id not in moved)

    def _newest_rows(self) -> dict[str, Migration]:
        return {row.server: row for row in self.scene.migrations}

    def was_moving(self, server: Server) -> str:
        """Return why a server may run elsewhere, by the list of live migrations, "" for nothing.

        nova-compute takes the task of such a server away when it starts, and leaves the migration.
        """
        moving = self.scene.moving.get(server.id)
        return "it may run where its live migration was going" if moving else ""

    @property
    def still(self) -> int:
        """How many of those show nothing any more."""
        return sum(1 for verdict in self.under_way if verdict.still)

    @property
    def chores(self) -> list[Verdict]:
        """What is to be done besides evacuating."""
        return [v for v in self.verdicts if v.action in (decide.STOP, decide.START, decide.PAUSE, decide.RESET, decide.UNLOCK)]

    def undecided(self) -> int:
        """Evacuations under way without a destination."""
        last = self._newest_rows()
        return sum(1 for v in self.under_way if not (v.still or v.slow) and (v.server.id not in last or not last[v.server.id].destination))

    def queue(self, reasons: Mapping[str, str]) -> None:
        """Those that were not chosen wait, each for its reason."""
        self.verdicts = [replace(v, action=decide.QUEUED, reason=reasons[v.server.id]) if v.action == EVACUATE and v.server.id in reasons else v
                         for v in self.verdicts]
