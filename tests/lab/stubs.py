"""Stand-ins for Neutron, Glance and Cinder, in memory, as far as Nova's boot, evacuate, snapshot and delete touch them.

Any token is believed. An answer is (status, JSON value, bytes or None).
"""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.lab import stub_cinder, stub_glance, stub_neutron
from tests.lab.cloud_config import PORTS
from tests.lab.common import CLOUD_ADDRESS

Query = dict[str, list[str]]
Answer = tuple[int, Any]
Api = Callable[[str, list[str], Query, Any], Answer]


def handler(api: Api) -> type[BaseHTTPRequestHandler]:
    """An HTTP handler that gives each request to `api` as method, path parts, query and decoded body, one at a time."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # header and body in one packet
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            parsed = urllib.parse.urlsplit(self.path)
            path, query, body = [p for p in parsed.path.split("/") if p], urllib.parse.parse_qs(parsed.query), self._body()
            with lock:
                status, value = api(self.command, path, query, body)
            kind, text = _encoded(value)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            self.wfile.flush()

        def _body(self) -> Any:
            if self.headers.get("Transfer-Encoding") == "chunked":
                data = b""  # an image, and of this laboratory a small one
                while size := int(self.rfile.readline(), 16):
                    data += self.rfile.read(size + 2)[:size]
                self.rfile.readline()
                return data
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                return json.loads(data)
            except ValueError:
                return None

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve

    return Handler


def _encoded(value: Any) -> tuple[str, bytes]:
    """Return the content type and the body of an answer."""
    if isinstance(value, bytes):
        return "application/octet-stream", value
    if value is None:  # a client of Glance decodes whatever calls itself JSON
        return "text/plain", b""
    return "application/json", json.dumps(value).encode()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    apis: dict[str, Api] = {"neutron": stub_neutron.Neutron(), "glance": stub_glance.Glance(), "cinder": stub_cinder.Cinder()}
    threads = [
        threading.Thread(target=Server((CLOUD_ADDRESS, PORTS[name]), handler(api)).serve_forever) for name, api in apis.items()
    ]
    for thread in threads:
        thread.start()


if __name__ == "__main__":
    main()
