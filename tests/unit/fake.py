"""A Nova over HTTP that says what it is told to, and remembers what it was asked."""

from __future__ import annotations

import http.server
import json
import re
import threading
import zlib
from typing import Any

from instance_ha.nova import MICROVERSION, Nova
from keystoneauth1 import adapter, noauth, session

Answer = tuple[int, dict[str, str], bytes]
# As seen from Nova 34.0.0.
ROW = {"id": "a1", "name": "web", "status": "ACTIVE", "OS-EXT-SRV-ATTR:host": "cmp-1", "OS-EXT-STS:vm_state": "active",
       "OS-EXT-STS:task_state": None, "OS-EXT-STS:power_state": 1, "locked": False, "locked_reason": None, "metadata": {},
       "flavor": {"extra_specs": {"evacuable": "true"}}, "image": "", "tenant_id": "p"}


def versioned(cib: str) -> str:
    """A CIB with a version, which is another one for every other content."""
    return re.sub("<cib", f'<cib admin_epoch="0" epoch="{zlib.crc32(cib.encode())}" num_updates="0"', cib, count=1)


def root_of(cib: str) -> str:
    """What cibadmin --query --no-children answers for that."""
    found = re.search("<cib[^>]*>", cib)
    assert found
    return found.group().replace(">", "/>")


class Fake:
    """An HTTP server that answers from `always`, else from `answers`, in order, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer | None] = []
        self.always: dict[str, Answer] = {}  # by path with query, for what is asked in no certain order
        self.asked: list[tuple[str, str, Any, str]] = []
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fake.asked.append((self.command, self.path, json.loads(body) if body else None,
                                   self.headers.get("X-OpenStack-Nova-API-Version", "")))
                answer = fake.always.get(self.path) or fake.answers.pop(0)
                if answer is None:  # the connection breaks after the request was taken
                    self.connection.close()
                    return
                code, headers, content = answer
                self.send_response(code)
                for key, value in {"Content-Length": str(len(content)), "x-openstack-request-id": "req-1", **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = handle_any

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        client = adapter.Adapter(
            session.Session(noauth.NoAuth(f"http://127.0.0.1:{self.server.server_port}"), timeout=2), service_type="compute",
            default_microversion=MICROVERSION, connect_retries=0)
        self.nova = Nova(client, client, client)

    def says(self, code: int, body: object = None, raw: bytes | None = None, **headers: str) -> None:
        self.answers.append((code, headers, raw if raw is not None else json.dumps(body).encode() if body is not None else b""))

    def says_always(self, path: str, body: object, code: int = 200) -> None:
        self.always[path] = (code, {}, json.dumps(body).encode())
