"""The limits of every request to OpenStack: its whole time, the size of its answer, no redirects, and nothing of the environment.

The timeout of requests counts from one packet to the next, so a server that sends a byte a second holds a
caller for ever. Here one timer a request cuts the connection when the time of the whole answer is over.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

from .errors import CloudRefused, CloudUnreachable, OverLimit, TooLate, TooMuch

MOST_BYTES = 64 << 20                      # of one answer, decoded
CONNECTIONS = 32                           # to one service, kept for the threads that ask at once
CHUNK = 64 << 10
UNAUTHORIZED = 401
REDIRECTS = frozenset((301, 302, 303, 305, 307, 308))


class Pending:
    """The requests that wait for their answers, and when the last one ended. A watchdog may ask at any time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[object, tuple[float, str]] = {}
        self.ended = 0.0                   # by the monotonic clock; 0.0 for never

    def begin(self, what: str) -> object:
        """Note a request. Returns the key for `end`."""
        key = object()
        with self._lock:
            self._open[key] = (time.monotonic(), what)
        return key

    def end(self, key: object) -> None:
        """Note that it has ended, however it did."""
        with self._lock:
            self._open.pop(key, None)
            self.ended = time.monotonic()

    def oldest(self) -> str:
        """Return what the oldest open request is, for people; "" for none."""
        with self._lock:
            return min(self._open.values(), default=(0.0, ""))[1]


PENDING = Pending()                        # one for the process, as its watchdog is


class _Cut:
    """Ends one request's connections when its time is over: a TLS handshake and the header too.

    It holds duplicates of the descriptors, since TLS takes a socket's own away.
    """

    def __init__(self, seconds: float) -> None:
        self.late = False
        self._held: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._timer.start()

    def hold(self, connection: socket.socket) -> None:
        """Cut this one as well."""
        with self._lock:
            self._held.append(socket.socket(fileno=os.dup(connection.fileno())))
            if self.late:
                self._end_all()

    def close(self) -> None:
        """Forget them: the request is over."""
        self._timer.cancel()
        with self._lock:
            for one in self._held:
                one.close()
            self._held.clear()

    def _cut(self) -> None:
        with self._lock:
            self.late = True
            self._end_all()

    def _end_all(self) -> None:
        for one in self._held:
            with contextlib.suppress(OSError):     # it is closed already
                one.shutdown(socket.SHUT_RDWR)


class _Current(threading.local):
    """The request that this thread is in."""

    cut: _Cut | None = None
    until = float("inf")       # no request leaves later


_CURRENT = _Current()


@contextlib.contextmanager
def sent_by(limit: float) -> Iterator[None]:
    """Let no request of this thread leave after `limit`, monotonic seconds. Raises TooLate then.

    A token that has to be renewed first, twice where Nova does not take it, a slow connection, or a handshake
    may hold a request up for long.
    """
    _CURRENT.until = limit
    try:
        yield
    finally:
        _CURRENT.until = float("inf")


def _look_at_the_clock() -> None:
    late = time.monotonic() - _CURRENT.until
    if late > 0:
        raise TooLate(f"not sent: Keystone, or the connection, has held it up {late:.1f} s too long")


def limit(session: Any, seconds: float, auth_url: str = "") -> None:
    """Put the limits on a keystoneauth1 session: `seconds` for the whole of each answer.

    `auth_url` is Keystone's address, whose version discovery must not be answered with 401.
    """
    session.timeout = seconds
    session.redirect = False
    session.session.trust_env = False      # no proxy, netrc or CA bundle of whoever calls: the worker has none of them
    adapter = _adapter_class()(seconds, auth_url)
    for scheme in ("http://", "https://"):
        session.session.mount(scheme, adapter)
    session.session.headers["Accept-Encoding"] = "gzip"


@functools.lru_cache
def _adapter_class() -> Any:
    """Return the class, whose bases are imported only where OpenStack is asked."""
    from keystoneauth1.session import TCPKeepAliveAdapter

    class Limited(TCPKeepAliveAdapter):  # type: ignore[misc]
        def __init__(self, seconds: float, auth_url: str) -> None:
            super().__init__(pool_maxsize=CONNECTIONS)
            self.seconds, self.auth_url = seconds, _as_sent(auth_url).rstrip("/")

        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            _watch_connections(self.poolmanager)

        def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
            manager = super().proxy_manager_for(*args, **kwargs)
            _watch_connections(manager)
            return manager

        def send(self, request: Any, **options: Any) -> Any:
            _look_at_the_clock()
            where = f"{request.method} {address(request.url)}"
            key, cut = PENDING.begin(where), _Cut(self.seconds)
            _CURRENT.cut = cut
            try:
                answer = super().send(request, **options)
                self._look_at(request, answer, where)
                body = _read(answer, where)
            except Exception:
                if cut.late:
                    raise TooMuch(self._too_late(where)) from None
                raise
            finally:
                _CURRENT.cut = None
                cut.close()
                PENDING.end(key)
            if cut.late:                   # what was cut off may look like a whole answer
                raise TooMuch(self._too_late(where))
            answer.raw = io.BytesIO(body)
            return answer

        def _look_at(self, request: Any, answer: Any, where: str) -> None:
            """Raise for an answer that keystoneauth must not see."""
            if answer.status_code in REDIRECTS:
                to = address(urljoin(request.url, answer.headers.get("Location", "")))
                answer.raw.close()
                raise OverLimit(
                    f"{where} was redirected to {to} ({answer.status_code}), and redirects are not followed: "
                    "correct the address, in the parameters or in Keystone's catalog")
            unknown = "X-Auth-Token" not in request.headers
            if answer.status_code == UNAUTHORIZED and unknown and request.url.rstrip("/") == self.auth_url:
                # keystoneauth would ask for a token while it holds the lock of tokens, and wait for ever.
                answer.raw.close()
                raise CloudRefused(
                    f"{where} was answered 401, and needs no credentials in Keystone: is that Keystone's address, "
                    "and does a proxy or a firewall before it ask for a password?", UNAUTHORIZED)

        def _too_late(self, where: str) -> str:
            return f"{where} was not answered in full within {self.seconds:g} s"

    return Limited


def _as_sent(url: str) -> str:
    """Return a URL as requests asks for it: it writes names in small letters, for one. A URL that is none is returned as it is."""
    import requests

    try:
        return str(requests.Request("GET", url).prepare().url)
    except (OSError, ValueError):
        return url


def _watch_connections(manager: Any) -> None:
    """Have a pool manager of urllib3 make connections that their request's limit can cut."""
    pools = {}
    for scheme, pool in manager.pool_classes_by_scheme.items():
        made = pool.ConnectionCls
        if not issubclass(made, _Watched):
            made = _like(made, (_Watched, made))
        pools[scheme] = _like(pool, (pool,), ConnectionCls=made)
    manager.pool_classes_by_scheme = pools


def _like(one: type, bases: tuple[type, ...], **more: Any) -> Any:
    """Return a class with the same name, which stands in the messages of urllib3."""
    return type(one.__name__, bases, {"__module__": one.__module__, **more})


class _Watched:
    """What a connection of urllib3 does besides."""

    sock: Any

    def _new_conn(self) -> Any:
        made = super()._new_conn()         # type: ignore[misc]
        _look_at_the_clock()
        _hold(made)
        return made

    def putrequest(self, *args: Any, **kwargs: Any) -> Any:
        _look_at_the_clock()
        _hold(self.sock)                   # a connection that was kept from an earlier request
        return super().putrequest(*args, **kwargs)  # type: ignore[misc]


def _hold(connection: Any) -> None:
    if connection is not None and _CURRENT.cut is not None:
        _CURRENT.cut.hold(connection)


def _read(answer: Any, where: str) -> bytes:
    """Return the decoded body. Raises CloudUnreachable for one that is too big or cannot be decoded."""
    raw, encoding = answer.raw, answer.headers.get("Content-Encoding", "identity").strip().lower()
    try:
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise OverLimit(f"{where} was answered in an encoding that was not asked for: {encoding[:40]}")
        body, size = [], 0
        for part in _parts(raw, encoding.endswith("gzip")):
            size += len(part)
            if size > MOST_BYTES:
                raise TooMuch(f"{where} was answered with more than {MOST_BYTES >> 20} MiB")
            body.append(part)
    except CloudUnreachable:
        raw.close()
        raise
    except Exception as error:             # urllib3's errors have no common base but this one
        raw.close()
        raise CloudUnreachable(f"the answer to {where} broke off: {error}") from None
    raw.release_conn()
    return b"".join(body)


def _parts(raw: Any, packed: bool) -> Iterator[bytes]:
    """Yield the body piece by piece, none much longer than CHUNK: a piece of gzip may unpack to a thousand times its size."""
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS)
    while True:
        part = raw.read(CHUNK, decode_content=False)
        if not part:
            break
        if not packed:
            yield part
            continue
        while part:
            yield unpack.decompress(part, CHUNK)
            part = unpack.unconsumed_tail
    if packed:
        yield unpack.flush()


def address(url: str) -> str:
    """Return a URL as people may see it: without its query, and without a user and a password."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname or '?'}{f':{parts.port}' if parts.port else ''}{parts.path}"
    except ValueError:
        return "an address that is none"
