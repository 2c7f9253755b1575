"""Pure: answers of Nova that look right and are not, as its lists when a cell's database fails it.

Only lists lose rows, and only lists are old: a read that names one server fails loudly in Nova.
Both kinds of answer may leave fields out, and both may be slow.
"""

from __future__ import annotations

import json
import random
import re
import threading
import zlib
from collections import deque
from typing import Any

ROWS = "rows"        # a list without some of its rows
CELL = "cell"        # a list without the rows of some hosts
EMPTY = "empty"      # a list of nothing
OLD = "old"          # the answer that the same request had some seconds ago
HIDE = "hide"        # servers without their fault, some of them as those of a cell that is away
DELAY = "delay"      # a right answer, late
SHORTENED = (ROWS, CELL, EMPTY, OLD)
KINDS = (*SHORTENED, HIDE, DELAY)
LISTS = {"servers/detail": "servers", "servers": "servers", "os-migrations": "migrations",
         "os-services": "services"}
HOST_OF = {"servers": "OS-EXT-SRV-ATTR:host", "migrations": "source_compute", "services": "host"}
SLOW = ("server", "actions", "servers/detail", "os-migrations", "os-services")
SHORTEST_DELAY, LONGEST_DELAY = 5.0, 12.0
OLDEST = 30.0        # seconds
KEPT = 40            # answers that are remembered of each request
HIDDEN = 0.2         # share of the servers of a list that are shown as those of a cell that is away
SHOWN_ALWAYS = ("id", "tenant_id", "created", "links")
Row = dict[str, Any]
_OWN = re.compile(r"servers/[0-9a-f-]{36}(/os-instance-actions)?")


def what_is(method: str, path: str) -> str:
    """Return the kind of answer a request has: a key of LISTS, "server", "actions", or ""."""
    if method != "GET":
        return ""
    name = path.partition("?")[0].strip("/").partition("/")[2]
    if name in LISTS:
        return name
    own = _OWN.match(name)
    if own is None:
        return ""
    return "actions" if own.group(1) else "server" if own.end() == len(name) else ""


class Past:
    """What requests were answered before."""

    def __init__(self) -> None:
        self._answers: dict[str, deque[tuple[float, bytes]]] = {}
        self._lock = threading.Lock()     # several connections ask and note at once

    def note(self, path: str, content: bytes, now: float) -> None:
        """Remember an answer."""
        with self._lock:
            self._answers.setdefault(path, deque(maxlen=KEPT)).append((now, content))

    def old(self, path: str, now: float, chance: random.Random) -> bytes | None:
        """Return an answer of at most OLDEST seconds ago, None when there is none."""
        with self._lock:
            kept = [*self._answers.get(path, ())]
        found = [content for when, content in kept if now - when < OLDEST]
        return chance.choice(found) if found else None


def spoiled(lie: str, what: str, content: bytes, chance: random.Random) -> bytes:
    """Return an answer with rows or fields left out; the links to further pages stay."""
    answer = json.loads(content)
    if what == "server":
        if lie == HIDE:
            answer["server"].pop("fault", None)
    elif what in LISTS:
        key = LISTS[what]
        if lie == HIDE:
            answer[key] = [_with_hidden(row, chance) for row in answer[key]]
        else:
            answer[key] = _shortened(lie, answer[key], HOST_OF[key], chance)
        if lie == EMPTY:
            answer.pop(f"{key}_links", None)
    return json.dumps(answer).encode()


def _shortened(lie: str, rows: list[Row], host: str, chance: random.Random) -> list[Row]:
    if lie == EMPTY:
        return []
    if lie == ROWS:
        return [row for row in rows if chance.random() < 0.5]
    if lie == CELL:
        salt = chance.random()
        return [row for row in rows if zlib.crc32(f"{salt} {row.get(host)}".encode()) % 2]
    return rows


def _with_hidden(row: Row, chance: random.Random) -> Row:
    if chance.random() < HIDDEN:
        return {**{key: row[key] for key in SHOWN_ALWAYS if key in row}, "status": "UNKNOWN"}
    return {key: value for key, value in row.items() if key != "fault"}
