"""Work that must hold nobody up: done one after the other in a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

LOG = logging.getLogger(__name__)


class Lane:
    """A bounded queue with one thread. What does not fit is dropped, counted in `dropped`, and told in the log once until it fits again."""

    def __init__(self, name: str, room: int) -> None:
        self.name, self.dropped = name, 0
        self._jobs: queue.Queue[Callable[[], None]] = queue.Queue(room)
        self._thread: threading.Thread | None = None
        self._full = False

    def put(self, job: Callable[[], None]) -> bool:
        """Leave a job, and return at once. False when there is no room for it."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            self.dropped += 1
            if not self._full:
                LOG.warning("%s: %d are waiting already; more are dropped", self.name, self._jobs.maxsize)
            self._full = True
            return False
        self._full = False
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self.name, daemon=True)
            self._thread.start()
        return True

    def close(self, limit: float) -> None:
        """Let what is waiting be done, for `limit` seconds at most; what is not done by then is lost."""
        end = time.monotonic() + limit
        while self._jobs.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.01)

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            except Exception:  # the edge of this thread: one bad job must not end the others
                LOG.exception("%s: a job failed", self.name)
            finally:
                self._jobs.task_done()
