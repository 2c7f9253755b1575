"""Stand-ins for a cloud, run inside a node: `silent` never answers, `empty` is a Keystone and a Nova without hosts.

Prints its port and ends with its standard input.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = {"methods": ["password"], "user": {"id": "u", "name": "a", "domain": {"id": "default", "name": "Default"}},
         "project": {"id": "p", "name": "t", "domain": {"id": "default", "name": "Default"}}, "roles": [{"id": "r", "name": "admin"}],
         "issued_at": "2020-01-01T00:00:00.000000Z", "expires_at": "2099-01-01T00:00:00.000000Z"}


class Empty(BaseHTTPRequestHandler):
    """Just what GET /os-services takes."""

    def do_GET(self) -> None:
        version = {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": f"{self._here()}/v3"}]}
        self._say(200, {"services": []} if self.path.startswith("/v2.1/os-services") else {"version": version})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        endpoint = {"id": "e", "interface": "internal", "region": "r", "region_id": "r", "url": f"{self._here()}/v2.1"}
        catalog = [{"id": "c", "type": "compute", "name": "nova", "endpoints": [endpoint]}]
        self._say(201, {"token": {**TOKEN, "catalog": catalog}})

    def _here(self) -> str:
        return f"http://{self.headers['Host']}"

    def _say(self, code: int, answer: object) -> None:
        body = json.dumps(answer).encode()
        self.send_response(code)
        for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("X-Subject-Token", "token")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    if sys.argv[1] == "silent":
        port = (listener := socket.create_server(("127.0.0.1", 0), backlog=64)).getsockname()[1]
    else:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Empty)
        port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(port, flush=True)
    sys.stdin.read()
