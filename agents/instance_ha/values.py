"""Pure: single values of the CIB, read as Pacemaker reads them: times, words, scores, patterns, hosts."""

from __future__ import annotations

import ctypes
import math
import re
from functools import lru_cache
from typing import Any

_TRUE = ("true", "on", "yes", "y", "1")
_FALSE = ("false", "off", "no", "n", "0")
SCORE_LIMIT = 1000000          # what Pacemaker takes for INFINITY
_COLOURS = {"red": "-INFINITY", "yellow": "0", "green": "0"}
# The units that Pacemaker knows, by how they begin; the longer ones first.
_UNITS = (("ms", 0.001), ("us", 0.000001), ("s", 1.0), ("m", 60.0), ("h", 3600.0))
_PERIOD = re.compile(r"P(?:(\d+)W|(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?)")
_PERIOD_UNITS = (604800.0, 86400.0, 3600.0, 60.0, 1.0)
_EXTENDED, _NO_MATCHES = 1, 8  # REG_EXTENDED, REG_NOSUB of glibc and of musl
_REGEX_ROOM = 512              # bytes for a regex_t, which has 64 on 64-bit Linux


def seconds(text: str | None) -> float | None:
    """Return a time in seconds, None for what is none. As in Pacemaker, 1.5s is one second.

    A negative time, such as the -1 of stonith-watchdog-timeout, is none.
    """
    found = re.match(r"[ \t\n\r]*([0-9]+)[0-9.]*[ \t\n\r]*", text or "")
    if not found:
        return _period(text or "")
    unit = (text or "")[found.end():].lower()
    factor = next((factor for name, factor in _UNITS if unit.startswith(name)), None)
    if unit and factor is None:
        return None
    return int(found[1]) * (1.0 if factor is None else factor)


def _period(text: str) -> float | None:
    """Return the seconds of an ISO 8601 duration, which Pacemaker takes for an interval."""
    found = _PERIOD.fullmatch(text)
    if not found or not any(found.groups()):
        return None
    return sum(int(number or 0) * unit for number, unit in zip(found.groups(), _PERIOD_UNITS))


def boolean(text: str | None) -> bool | None:
    """Return what a word of the CIB means as yes or no, in any letters; None for neither.

    Pacemaker knows fewer words than the agents' parameters do, and none with a space.
    """
    word = (text or "").lower()
    return True if word in _TRUE else False if word in _FALSE else None


def score(text: str | None) -> float:
    """Return a score as a number; 0 for what is none."""
    word = _COLOURS.get((text or "").strip().lower(), text or "").strip().upper().removeprefix("+")
    if word in ("INFINITY", "-INFINITY"):
        return -math.inf if word.startswith("-") else math.inf
    found = re.match("-?[0-9]+", word)
    number = float(found[0]) if found else 0.0
    return number if abs(number) < SCORE_LIMIT else math.copysign(math.inf, number)


def matches(pattern: str, text: str) -> bool | None:
    """Return whether a POSIX extended regular expression is found in a text, None for a bad one.

    The C library's own functions answer, since Pacemaker asks those: Python's `re` differs.
    """
    compiled = _compiled(pattern)
    if compiled is None:
        return None
    code: int = _libc().regexec(compiled, text.encode(), 0, None, 0)
    return code == 0


@lru_cache(maxsize=1)
def _libc() -> Any:
    return ctypes.CDLL(None)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    room = ctypes.create_string_buffer(_REGEX_ROOM)
    code = _libc().regcomp(room, pattern.encode(), _EXTENDED | _NO_MATCHES)
    return None if code else room


def host_list(text: str) -> list[str]:
    """Return the names in a pcmk_host_list."""
    return [name for name in re.split(r"[\s,;]+", text) if name]


def host_map(text: str) -> dict[str, str]:
    """Return what a pcmk_host_map says: by node, what it is to the device.

    A backslash takes its meaning from the character after it. Of two `:` or `=` in one entry the
    last one counts, as in Pacemaker.
    """
    found: dict[str, str] = {}
    for entry in re.split(r"(?<!\\)[;\s]", text):
        words = re.split(r"(?<!\\)[:=]", entry)
        if len(words) > 1 and any(words[:-1]):
            name = next(word for word in reversed(words[:-1]) if word)
            found[name] = words[-1].replace("\\", "")
    return found
