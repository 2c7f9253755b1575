"""Pure: text from outside as people, programs and Pacemaker may have it. This is the only place that decides what is harmless.

Pacemaker's tools refuse an argument that is not ASCII, in every locale ("Invalid byte sequence in conversion input"). What has to
be read back is percent-encoded. What only people read is replaced by its nearest ASCII letters.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote, unquote

_SECRET = re.compile(r"(?<=[A-Za-z0-9+.-])://[^/?#\s'\"]*@")    # read once, however long the text is
REPLACED = "?"     # what every terminal and every encoding has

# Letters and marks whose ASCII form Unicode's own decomposition does not give.
_LETTERS = str.maketrans({
    "ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "œ": "oe", "Œ": "OE", "đ": "d", "Đ": "D",
    "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ł": "l", "Ł": "L", "\u0131": "i", "€": "EUR", "£": "GBP",
    "\u2018": "'", "\u2019": "'", "\u201a": ",", "\u201c": '"', "\u201d": '"', "\u201e": '"',
    "\u00ab": '"', "\u00bb": '"', "\u2010": "-", "\u2011": "-", "\u2013": "-", "\u2014": "-",
})
_NOT_PRINTABLE = re.compile(r"[^ -~]+")


def printable(text: str) -> str:
    """Return `text` with a space for every kind of white space, and a mark for every other character that does not
    print: control characters, line breaks, overrides of the direction of writing, halves of characters."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " if char.isspace() else REPLACED for char in text)


def without_password(text: str) -> str:
    """Return `text` without the user and the password that a URL in it may hold."""
    return _SECRET.sub("://", text)


def ascii_line(text: str) -> str:
    """Return text as one line of printable ASCII for people.

    Accents are dropped. A letter that has no ASCII form becomes a "?".
    """
    plain = unicodedata.normalize("NFKD", " ".join(text.split()).translate(_LETTERS))
    kept = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return _NOT_PRINTABLE.sub(lambda found: "?" * len(found.group()), kept)


def encode(text: str, safe: str) -> str:
    """Return text percent-encoded but for ASCII letters, digits and `safe`; `decode` undoes it."""
    return quote(text, safe=safe, errors="replace")


def decode(text: str) -> str:
    """Return the text that `encode` was given."""
    return unquote(text)
