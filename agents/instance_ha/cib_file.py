"""When to look at the CIB: the file in which Pacemaker keeps its configuration changes with it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

CIB_FILE = Path("/var/lib/pacemaker/cib/cib.xml")   # Pacemaker's own, on every controller
GLANCE = 0.2      # seconds between two glances at the file, which cost a system call each


class CibFile:
    """Tells when the configuration of the cluster has changed, without asking Pacemaker.

    pacemaker-based writes the file anew for each change of the configuration, in which the records
    are; the status section is not in it. So it says when to look, and never what there is to see.
    """

    def __init__(self, path: Path = CIB_FILE) -> None:
        self._path = path
        self._seen = self._stamp()

    def is_there(self) -> bool:
        """Return whether the file can be watched; it cannot where Pacemaker keeps it elsewhere."""
        return self._stamp() is not None

    def wait(self, stop: threading.Event, seconds: float) -> None:
        """Return when the file has changed since the last wait ended, at `stop`, or after `seconds`.

        Not at once: a configuration that somebody changes without end must not keep us busy.
        """
        limit = time.monotonic() + seconds
        while (left := limit - time.monotonic()) > 0:
            if stop.wait(min(GLANCE, left)) or self._has_changed():
                return

    def _has_changed(self) -> bool:
        now = self._stamp()
        changed, self._seen = now != self._seen, now
        return changed

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
