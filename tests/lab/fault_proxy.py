"""A reverse proxy between the agents and Nova that spoils a share of the answers, at random, from a
seed, and lies in a share of the others (lies.py).

It runs in the cloud's network as a process of its own; start, stop, set_faults and counts are the tests' side of it.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import struct
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.lab import lies
from tests.lab.cloud_config import ENV, PORTS
from tests.lab.common import CLOUD_ADDRESS, REPOSITORY, RUN, VENV, Daemon, LabError, in_netns, wait_until
from tests.lab.netns import answers

PORT = 8775
URL = f"http://{CLOUD_ADDRESS}:{PORT}/v2.1"
NAME = "fault-proxy"  # cloud_services ends it with the cloud
CONTROL = RUN / "fault-proxy.json"
LONGEST = 8.0         # seconds that an answer or a request is late
UPSTREAM_LIMIT = 120.0

DROP = "drop"         # carried out; the connection is reset
SLOW = "slow"         # carried out; the answer is late
LATE = "late"         # the request itself is late
ERROR = "error"       # carried out, and answered 500, 502, 503 or 504
REFUSE = "refuse"     # not carried out, and answered 502 or 503
RESET = "reset"       # not carried out; the connection is reset
SHORT = "short"       # carried out; half of the body, with a length that says so
CUT = "cut"           # carried out; half of the body, with the length of the whole, and the end of the connection
EXPIRED = "expired"   # not carried out, and answered 401, as for a token that is over
KINDS = (DROP, SLOW, LATE, ERROR, REFUSE, RESET, SHORT, CUT, EXPIRED)
FINE = "-"
HOP_BY_HOP = frozenset(("connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"))


def start() -> None:
    """Start it, passing everything on, and wait until it listens. Raises LabError."""
    set_faults(0.0, 0)
    Daemon(NAME).start(in_netns([str(VENV / "bin/python"), "-m", "tests.lab.fault_proxy"]), ENV, str(REPOSITORY))
    if not wait_until(lambda: answers(PORT), 20, 0.1):
        raise LabError(f"the proxy does not listen; its log is {Daemon(NAME).log}")


def stop() -> None:
    """End it."""
    Daemon(NAME).stop()


def set_faults(share: float, seed: int, lying: float = 0.0, slow: str = "") -> None:
    """From now on spoil this share of the answers (0 to 1), as this seed has it; and lie in the
    share `lying` of the others, but that those of the kind `slow` (see lies.SLOW) are late."""
    CONTROL.parent.mkdir(parents=True, exist_ok=True)
    part = CONTROL.with_suffix(".part")
    part.write_text(json.dumps({"share": share, "seed": seed, "lying": lying, "slow": slow}))
    os.replace(part, CONTROL)


def counts(since: float, until: float = float("inf")) -> Counter[str]:
    """How many requests came between two moments (seconds since the epoch), by what was done to them; FINE for nothing."""
    found: Counter[str] = Counter()
    for line in Daemon(NAME).log.read_text(errors="replace").splitlines():
        words = line.split()
        known = len(words) == 5 and words[1] in (*KINDS, *lies.KINDS, FINE)
        if known and since <= float(words[0]) <= until:
            found[words[1]] += 1
    return found


class Dice:
    """What happens to the next request. The control file is looked at for each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text = ""
        self._share = self._lying = 0.0
        self._slow = ""
        self._random = random.Random(0)

    def draw(self, what: str) -> tuple[str, random.Random]:
        """The fault, or the lie in an answer of this kind (lies.what_is); and chance for the rest."""
        with self._lock:
            text = CONTROL.read_text()
            if text != self._text:
                self._text, words = text, json.loads(text)
                self._share, self._random = words["share"], random.Random(words["seed"])
                self._lying, self._slow = words["lying"], words["slow"]
            kind = self._random.choice(KINDS) if self._random.random() < self._share else FINE
            if kind == FINE and self._random.random() < self._lying:
                kind = self._lie(what)
            return kind, random.Random(self._random.random())

    def _lie(self, what: str) -> str:
        if what and what == self._slow:
            return lies.DELAY
        if what in lies.LISTS:
            more = (lies.HIDE,) if lies.LISTS[what] == "servers" else ()
            return self._random.choice((*lies.SHORTENED, *more))
        return lies.HIDE if what == "server" else FINE


class Handler(BaseHTTPRequestHandler):
    """One connection of an agent."""

    protocol_version = "HTTP/1.1"
    dice: Dice
    past: lies.Past

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        what = lies.what_is(self.command, self.path)
        kind, chance = self.dice.draw(what)
        print(f"{time.time():.3f} {kind} {self.command} {self.path.partition('?')[0]} {chance.random():.3f}", flush=True)
        if kind == LATE:
            time.sleep(chance.uniform(1, LONGEST))
        if kind in (REFUSE, RESET, EXPIRED):
            self._refuse(kind, chance)
            return
        answer, content = self._pass_on(body)
        if kind == SLOW:
            time.sleep(chance.uniform(1, LONGEST))
        if what and answer.status == http.HTTPStatus.OK:
            content = self._maybe_lie(kind, what, content, chance)
        if kind == DROP:
            self._hang_up()
        elif kind == ERROR:
            self._tell(chance.choice((500, 502, 503, 504)))
        else:
            self._answer(answer, content, kind)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _serve

    def _maybe_lie(self, kind: str, what: str, content: bytes, chance: random.Random) -> bytes:
        now, key = time.monotonic(), f"{self.path} {self.headers.get('OpenStack-API-Version')}"
        old = self.past.old(key, now, chance)
        self.past.note(key, content, now)
        if kind == lies.DELAY:
            time.sleep(chance.uniform(lies.SHORTEST_DELAY, lies.LONGEST_DELAY))
        elif kind == lies.OLD:
            return old or content
        elif kind in lies.KINDS:
            return lies.spoiled(kind, what, content, chance)
        return content

    def _pass_on(self, body: bytes) -> tuple[Any, bytes]:
        nova = http.client.HTTPConnection(CLOUD_ADDRESS, PORTS["nova-api"], timeout=UPSTREAM_LIMIT)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            nova.request(self.command, self.path, body or None, headers)
            answer = nova.getresponse()
            return answer, answer.read()
        finally:
            nova.close()

    def _refuse(self, kind: str, chance: random.Random) -> None:
        if kind == RESET:
            self._hang_up()
        else:
            self._tell(401 if kind == EXPIRED else chance.choice((502, 503)))

    def _tell(self, status: int) -> None:
        """A proxy's own answer: no JSON."""
        text = f"<html><body>{status}, by the proxy</body></html>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self._finish(text, len(text))

    def _answer(self, answer: Any, content: bytes, kind: str) -> None:
        half = content[: len(content) // 2] if kind in (SHORT, CUT) else content
        self.send_response(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        # Nothing has no half: what is cut then promises a byte that never comes.
        self._finish(half, max(len(content), 1) if kind == CUT else len(half))
        if kind == CUT:
            self.close_connection = True

    def _finish(self, content: bytes, length: int) -> None:
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _hang_up(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset and no goodbye
        os.close(self.connection.detach())
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """_serve tells all there is to tell."""


class Server(ThreadingHTTPServer):
    """A thread a connection; agents that hang up are nobody's error."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        print(f"{client_address}: {sys.exc_info()[1]!r}", flush=True)


def main() -> None:
    Handler.dice, Handler.past = Dice(), lies.Past()
    Server((CLOUD_ADDRESS, PORT), Handler).serve_forever()


if __name__ == "__main__":
    main()
