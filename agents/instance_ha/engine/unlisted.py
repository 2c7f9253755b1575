"""The servers of a dead host that its list does not show, since they have left it or the list leaves them out: asked for by their ids."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import replace

from ..errors import CloudError
from ..model import Server
from .evidence import LATE, ask_each
from .scene import Case

MANY = 50             # servers that had left before this process began are asked for by so many a look
AGAIN = 30.0          # seconds after which it is
LOG = logging.getLogger(__name__)


class Unlisted:
    """Asks for them. `read` is Nova's GET of one server, None for one that is gone; `clock` is monotonic seconds."""

    def __init__(self, read: Callable[[str], Server | None], clock: Callable[[], float]) -> None:
        self._read, self._clock = read, clock
        self._unswept: set[str] | None = None      # those that had left, and have not been asked for yet
        self._said: dict[str, str] = {}            # why Nova does not show one, as it was logged
        self._rests: dict[str, float] = {}         # until when one is not asked for again

    @property
    def more(self) -> bool:
        """Return True if some that had left when this process began have not been asked for yet."""
        return bool(self._unswept)

    def sweep(self, away: Set[str], all_at_once: bool) -> set[str]:
        """Return those of the servers that had left when this process began which are to be asked for now. `away` are all that have.

        They may need something still; but the first request of a turn does not wait for hundreds of answers.
        """
        if self._unswept is None:
            self._unswept = {*away}
        now = {*sorted(self._unswept)[:None if all_at_once else MANY]}
        self._unswept -= now
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
