"""Puts the incident, the server and Nova's request id into every line of the log that speaks of a server, as key=value."""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Iterable

ROOM = 20000       # servers that are remembered
_SERVER = re.compile(r"\(([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\)")
_REQUEST = re.compile(r"\breq-[0-9a-f-]+")


class Trail(logging.Filter):
    """What is known of each server: its incident, and the id of the last request to evacuate it."""

    def __init__(self) -> None:
        super().__init__()
        self._known: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def note(self, server: str, incident: str, request: str = "") -> None:
        """Remember it; an empty request leaves the one that is known."""
        known = self._known.get(server)
        self._known[server] = (incident, request or (known[1] if known and known[0] == incident else ""))
        while len(self._known) > ROOM:
            self._known.popitem(last=False)

    def note_all(self, servers: Iterable[str], incident: str) -> None:
        """The same for many, whose requests are not known."""
        for server in servers:
            self.note(server, incident)

    def filter(self, record: logging.LogRecord) -> bool:
        """Complete the line. A request id that the line tells itself is the one that is meant."""
        message = record.getMessage()
        if str(record.msg).startswith("%s (%s)") and isinstance(record.args, tuple):
            message = f"({record.args[1]})" + str(record.msg)[len("%s (%s)"):] % record.args[2:]     # without its name, which is its owner's
        found = _SERVER.search(message)
        if found is None or " server=" in message:
            return True
        incident, request = self._known.get(found.group(1), ("", ""))
        told = _REQUEST.search(message)
        request = told.group(0) if told else request
        words = [("incident", incident), ("server", found.group(1)), ("request", request)]
        record.msg, record.args = record.getMessage() + "".join(f" {name}={word}" for name, word in words if word), ()
        return True


TRAIL = Trail()    # logging is one for the whole process, and so is this
