"""The worker's heartbeat: a file that monitor reads, written whether a turn is short or waits for an answer."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from .engine.worker import Worker
from .files import write_whole
from .http_limits import PENDING

QUIET = 30.0               # seconds that a turn may take before monitor says what it waits for
HANGS = "hangs"            # the problem that says so
LOG = logging.getLogger(__name__)


class Heart:
    """Writes the heartbeat. While a turn takes long, a thread of its own writes what is waited for: an answer that
    comes, however late, is a sign of life, and an endless wait is one that monitor can tell of before it gives up."""

    def __init__(self, path: Path, worker: Worker, quiet: float = QUIET) -> None:
        self._path, self._worker, self._quiet = path, worker, quiet
        self._unwritable = False     # whether the last heartbeat could not be written
        self._lock, self._over = threading.Lock(), threading.Event()
        self._turn = self._life = _boottime()
        self._answered = PENDING.ended
        self._told = False

    def beat(self) -> None:
        """Write that the worker lives."""
        with self._lock:
            self._turn = self._life = _boottime()
            self._told = False
            self._write({}, _boottime())

    def start(self) -> None:
        """Look on from now."""
        threading.Thread(target=self._run, name="heart", daemon=True).start()

    def stop(self) -> None:
        """Look on no more."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.wait(self._quiet / 6):
            self.look()

    def look(self) -> None:
        """Write what is waited for if the turn takes long."""
        with self._lock:
            if self._answered != PENDING.ended:
                self._answered, self._life = PENDING.ended, _boottime()
            since = _boottime() - self._turn
            if since < self._quiet:
                return
            what = PENDING.oldest()
            said = f"no answer yet to {what}" if what else "it waits for no answer of OpenStack"
            said = f"this turn of the worker goes on for {since:.0f} s: {said}"
            if not self._told:
                LOG.warning("%s", said)
            self._told = True
            self._write({HANGS: said}, self._life)

    def _write(self, more: Mapping[str, str], life: float) -> None:
        health = self._worker.context.health
        words = {"beat": life, "limit": self._worker.patience, "sentence": health.sentence, "problems": {**more, **health.problems}}
        try:
            write_whole(self._path, json.dumps(words))
        except OSError as error:
            if not self._unwritable:
                LOG.warning("%s cannot be written: %s; the evacuations go on", self._path, error.strerror)
            self._unwritable = True
        else:
            self._unwritable = False


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
