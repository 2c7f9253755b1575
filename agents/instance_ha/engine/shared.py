"""One look that serves all who ask for it at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Seen = TypeVar("Seen")


class Shared(Generic[Seen]):
    """Runs `read` for many threads: each gets what a read has seen that began after it asked.

    So nobody learns less than by a read of its own, and sixteen who ask at once cost two reads.
    """

    def __init__(self, read: Callable[[], Seen]) -> None:
        self._read = read
        self._one = threading.Lock()
        self._begun = self._done = 0    # reads: their number, and that of the newest which succeeded
        self._seen: Seen
        self._error: Exception | None = None

    def look(self) -> Seen:
        """Return what a read that began after this call has seen. Raises what `read` raises."""
        asked = self._begun
        with self._one:
            if self._done <= asked:
                self._begun += 1
                self._error = None
                try:
                    self._seen = self._read()
                except Exception as error:
                    self._error = error        # of all who had asked before: each on its own would wait as long again
                self._done = self._begun
            if self._error is not None:
                raise self._error
            return self._seen
