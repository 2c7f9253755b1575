"""Lines of the log that no text from outside can break up, forge or fill with secrets."""

from __future__ import annotations

import logging
import logging.handlers
import time
from typing import Any

from .text import printable, without_password

SYSLOG_LIMIT = 0.05        # seconds that a line may wait for a syslog that does not read
SYSLOG_PAUSE = 10.0        # and for which it is left alone then


class Clean(logging.Filter):
    """Makes the message of each line printable, and takes passwords out of URLs."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record in place. Always True."""
        record.msg, record.args = without_password(printable(record.getMessage())), ()
        return True


def syslog() -> logging.Handler | None:
    """Return what writes to syslog (or the journal), None where there is none. One that does not read holds nobody up."""
    class Hasty(logging.handlers.SysLogHandler):
        until = 0.0    # by the monotonic clock: nothing is said to it before

        def _connect_unixsocket(self, address: str) -> None:
            super()._connect_unixsocket(address)  # type: ignore[misc]
            self.socket.settimeout(SYSLOG_LIMIT)  # type: ignore[attr-defined]

        def emit(self, record: logging.LogRecord) -> None:
            if time.monotonic() >= self.until:
                super().emit(record)

        def handleError(self, record: logging.LogRecord) -> None:
            self.until = time.monotonic() + SYSLOG_PAUSE

    try:
        return Hasty("/dev/log", logging.handlers.SysLogHandler.LOG_DAEMON)
    except OSError:
        return None


class Lines(logging.Formatter):
    """Formats a traceback with the same care; its lines are indented, so that none looks like a line of its own."""

    def formatException(self, ei: Any) -> str:
        """Return the traceback as text."""
        return "\n".join(f"  {without_password(printable(line))}" for line in super().formatException(ei).split("\n"))


def clean_handlers() -> None:
    """Make every handler of the root logger write clean lines, whoever has set them up."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(CLEAN)


CLEAN = Clean()
