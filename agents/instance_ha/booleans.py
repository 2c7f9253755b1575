"""Pure: what a word means as yes or no, of a parameter or of metadata. Pacemaker's: values.py."""

from __future__ import annotations

# The words of oslo.utils, which Nova and Masakari use; Pacemaker's are among them.
TRUE = frozenset(("1", "t", "true", "on", "y", "yes"))
FALSE = frozenset(("0", "f", "false", "off", "n", "no"))


def boolean(word: object) -> bool | None:
    """Return what a word means, in any case, with or without spaces; None for neither."""
    text = str(word).strip().lower()
    return True if text in TRUE else False if text in FALSE else None
