"""Pure: text from outside as people and programs may see it. This is the only place that decides what is harmless."""

from __future__ import annotations

import re

_SECRET = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://)[^/?#\s'\"]*@")
REPLACED = "?"     # what every terminal and every encoding has


def printable(text: str) -> str:
    """Return `text` with a space for every kind of white space, and a mark for every other character that does not
    print: control characters, line breaks, overrides of the direction of writing, halves of characters."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " if char.isspace() else REPLACED for char in text)


def without_password(text: str) -> str:
    """Return `text` without the user and the password that a URL in it may hold."""
    return _SECRET.sub(r"\1", text)
