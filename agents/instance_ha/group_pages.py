"""The list of all server groups, which Nova counts, and which any user may make shorter while it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import CloudUnreachable
from .rows import marker_of

TRIES = 3
MOST = 1_000_000


def all_groups(page: Callable[[int], list[Any]]) -> tuple[list[Any], bool]:
    """Return the rows of all groups, and whether that is all: while users make and delete groups some may be missing.

    `page` returns the rows from an offset on. Raises CloudUnreachable where the pages do not lead on.
    """
    known: dict[Any, Any] = {}
    seen: set[frozenset[Any]] = set()
    for _ in range(TRIES):
        found, whole = _once(page)
        if whole:
            return found, True
        known.update((marker_of(row), row) for row in found)
        seen.add(frozenset(map(marker_of, found)))
    if len(seen) == 1:
        raise CloudUnreachable("GET /os-server-groups has no end: its pages do not lead on")
    return [*known.values()], False


def _once(page: Callable[[int], list[Any]]) -> tuple[list[Any], bool]:
    """Return what was read, and whether the list stood still.

    A group that its user deletes would hide another one, on the next page: so each page begins with the last row of the one before.
    """
    found: list[Any] = []
    while len(found) < MOST:
        rows = page(max(len(found) - 1, 0))
        if found:
            if not rows or marker_of(rows[0]) != marker_of(found[-1]):
                return found, False
            # Nova's own limit of a page may be below ours, even 1, and it gives no link.
            rows = rows[1:] or page(len(found))
            if rows and marker_of(rows[0]) == marker_of(found[-1]):
                return found, False
        if not rows:
            return found, True
        found += rows
    return found, False
