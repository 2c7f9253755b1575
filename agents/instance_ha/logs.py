"""Lines of the log that no text from outside can break up, forge or fill with secrets."""

from __future__ import annotations

import logging
from typing import Any

from .text import printable, without_password


class Clean(logging.Filter):
    """Makes the message of each line printable, and takes passwords out of URLs."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record in place. Always True."""
        record.msg, record.args = without_password(printable(record.getMessage())), ()
        return True


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
