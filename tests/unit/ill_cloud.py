"""A Keystone and a service over HTTP that answer as a broken, a slow or a hostile one does."""

from __future__ import annotations

import http.server
import json
import socketserver
import sys
import threading
from collections.abc import Callable
from typing import Any

from instance_ha import params

TOKEN, PASSWORD = "SECRET-TOKEN-123", "SECRET-PASS-456"
MOST_DRIPS = 160       # of 0.05 s each: a test of a limit that is broken ends too
Handle = Callable[[Any], None]


class _Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], (ConnectionError, OSError)):   # the caller has hung up
            socketserver.BaseServer.handle_error(self, request, client_address)


class IllCloud:
    """HTTP servers of one test. `close` ends them, and the answers that have no end."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self._servers: list[_Quiet] = []

    def serve(self, handle: Handle) -> str:
        """Start a server on 127.0.0.1 whose every request `handle` answers. Returns its URL."""

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                handle(self)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, *_: object) -> None:
                pass

        server = _Quiet(("127.0.0.1", 0), Handler)
        self._servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    def keystone(self, service: str, alter: Callable[[Any], Any] = lambda token: token) -> str:
        """Start a Keystone whose catalog has `service` for every service. Returns its auth_url."""
        box: dict[str, str] = {}

        def handle(one: Any) -> None:
            if one.command == "POST":
                reply(one, 201, alter({"token": token_of(service)}), X_Subject_Token=TOKEN)
            else:
                link = [{"rel": "self", "href": box["url"] + "/v3/"}]
                reply(one, 200, {"version": {"id": "v3.14", "status": "stable", "links": link}})

        box["url"] = self.serve(handle)
        return box["url"] + "/v3"

    def drip(self, one: Any, byte: bytes = b" ") -> None:
        """Send a byte now and then until the other side hangs up or the test is over."""
        for _ in range(MOST_DRIPS):
            if self.over.wait(0.05):
                break
            one.wfile.write(byte)
            one.wfile.flush()

    def close(self) -> None:
        """End every server."""
        self.over.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()


def token_of(service: str) -> dict[str, Any]:
    """Return Keystone's description of a token."""
    domain = {"id": "default", "name": "Default"}
    catalog = [{"type": kind, "name": kind, "id": kind, "endpoints": [
        {"id": kind + face, "interface": face, "region": "R", "region_id": "R", "url": service}
        for face in ("public", "internal", "admin")]} for kind in ("compute", "image", "placement")]
    return {"catalog": catalog, "expires_at": "2099-01-01T00:00:00.000000Z", "issued_at": "2026-01-01T00:00:00.000000Z",
            "methods": ["password"], "roles": [{"id": "r", "name": "admin"}], "is_domain": False,
            "user": {"id": "u", "name": "u", "domain": domain}, "project": {"id": "p", "name": "p", "domain": domain}}


def reply(one: Any, code: int, body: object = b"", **headers: str) -> None:
    """Answer a request; `body` is bytes, or what becomes JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    one.send_response(code)
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in {"Content-Length": str(len(content)), "Content-Type": "application/json", **more}.items():
        one.send_header(name, value)
    one.end_headers()
    one.wfile.write(content)


def values(**more: str) -> dict[str, str]:
    """Return the resolved parameters of NovaEvacuate."""
    given = {"auth_url": "http://127.0.0.1:1", "username": "u", "password": PASSWORD, "tenant_name": "p", **more}
    return params.resolve(params.of(params.OCF), given)
