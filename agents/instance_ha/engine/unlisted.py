"""The servers of a dead host that its list does not show, since they have left it or the list leaves them out: asked for by their ids."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import replace

from ..errors import CloudError
from ..model import Server
from .evidence import LATE, ask_each
from .scene import Case

MANY = 50             # servers that have left under another worker are asked for by so many a look
AGAIN = 30.0          # seconds for which one on which Nova hangs is not asked for again
LOG = logging.getLogger(__name__)


class Unlisted:
    """Asks for them. `read` is Nova's GET of one server, None for one that is gone; `clock` is monotonic seconds."""

    def __init__(self, read: Callable[[str], Server | None], clock: Callable[[], float]) -> None:
        self._read, self._clock = read, clock
        self._swept: set[str] = set()              # those that have left, and were asked for
        self.more = False                          # some that have left have not been asked for yet
        self._said: dict[str, str] = {}            # why Nova does not show one, as it was logged
        self._rests: dict[str, float] = {}         # until when one is not asked for again

    def sweep(self, away: Set[str], all_at_once: bool) -> set[str]:
        """Return those of the servers that have left which are to be asked for now: each once. `away` are all of which lists say so.

        They may need something still, of another worker's work; but the first request of a turn does not wait for hundreds of answers.
        """
        left = sorted(away - self._swept)
        now = {*(left if all_at_once else left[:MANY])}
        self._swept |= now
        self.more = len(now) < len(left)
        return now

    def ask(self, keys: Iterable[str], cases: Mapping[str, Case]) -> list[Server]:
        """Return the servers as Nova shows each alone, without those that are gone. One that Nova cannot show, which `cases` may have as it
        was, is waited for, and holds up no other."""
        found = ask_each(self._shown, keys)
        return [server if server is not None else _in_part(key, cases) for key, (there, server) in found.items() if there]

    def _shown(self, key: str) -> tuple[bool, Server | None]:
        """Whether a server is there, and how Nova shows it, None where it does not."""
        began = self._clock()
        if began < self._rests.get(key, began):
            return True, None
        try:
            server = self._read(key)
        except CloudError as error:
            # Of two answers to one question the request ids differ.
            said = str(error).partition(" (req-")[0]
            if self._said.get(key) != said:
                LOG.warning("%s: Nova does not show it: %s", key, error)
            self._said[key] = said
            if self._clock() - began > LATE:
                self._rests[key] = self._clock() + AGAIN      # each look would take as long, and all hosts wait for that
            return True, None
        self._said.pop(key, None)
        self._rests.pop(key, None)
        return server is not None, server


def _in_part(key: str, cases: Mapping[str, Case]) -> Server:
    if key in cases:
        return replace(cases[key].server, vm_state=None)
    return Server(key, key, None, None, None, None, None)
