"""Tells a command or a URL of an event. Whoever calls this has time: see lane.py."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from .. import __version__
from ..errors import HostError
from ..events import environment
from ..process import tell
from ..text import printable

LIMIT = 20.0       # seconds that one call may take


class Hook:
    """`target` is the parameter: an absolute path, or an http or https URL. `name` is what may be logged of it: the path of a URL
    is often a key."""

    def __init__(self, target: str, limit: float = LIMIT) -> None:
        self.target, self.limit = target, limit
        self.name = target if target.startswith("/") else f"{urlsplit(target).scheme}://{urlsplit(target).hostname}"

    def call(self, payload: Mapping[str, object]) -> None:
        """Tell it. Raises HostError, in one sentence, when it cannot be told, says no, or takes longer than the limit."""
        text = json.dumps(payload)
        if not self.target.startswith("/"):
            self._post(text)
            return
        done = tell([self.target], text + "\n", environment(payload), self.limit)
        if done.code:
            raise HostError(f"{os.path.basename(self.target)} failed with {done.code}: {done.sentence}")

    def _post(self, text: str) -> None:
        url = urlsplit(self.target)
        try:
            make = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
            connection = make(url.hostname or "", url.port, timeout=self.limit)
        except (ValueError, http.client.HTTPException) as error:
            raise HostError(f"{self.name} is no address ({type(error).__name__})") from None
        # The connection's own limit counts from one packet to the next.
        late = threading.Event()
        watch = threading.Timer(self.limit, _cut, [connection, late])
        watch.daemon = True
        watch.start()
        try:
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
            connection.request("POST", path, text.encode(), {"Content-Type": "application/json", "User-Agent": f"instance-ha/{__version__}"})
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = f"no answer within {self.limit:g} s" if late.is_set() else _why(error)
            raise HostError(f"{self.name} cannot be told: {why}") from None
        finally:
            watch.cancel()
            connection.close()
        if not 200 <= status < 300:
            raise HostError(f"{self.name} answered {status}")


def _why(error: Exception) -> str:
    """What may be shown of an error: one about the URL has the whole path in it, which may be a key."""
    shown = isinstance(error, OSError) and str(error)
    return printable(str(error)) if shown else type(error).__name__


def hook_fault(target: str) -> str:
    """Return why a command cannot be called on this node, "" for nothing. A URL is not asked."""
    if not target.startswith("/"):
        return ""
    if not os.path.isfile(target):
        return f"hook={target} is not there"
    runs = os.access(target, os.X_OK)
    return "" if runs else f"hook={target} may not be executed: chmod 755 {target}"


def _cut(connection: http.client.HTTPConnection, late: threading.Event) -> None:
    late.set()
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)   # TLS's own would wait for the other side
