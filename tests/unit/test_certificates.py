"""Certificates that do not do, over real TLS: refused in one sentence that says what is wrong."""

from __future__ import annotations

import http.server
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from instance_ha import credentials
from instance_ha.answers import one_line
from instance_ha.errors import InstanceHaError

from tests.unit.ill_cloud import values

Started = list[http.server.HTTPServer]
NOTHING = b'{"version": {"id": "v3.14", "status": "stable", "links": []}}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys and certificates: `own` is localhost's, `other` another host's, `old` has expired."""
    where = tmp_path_factory.mktemp("certificates")
    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=where, check=True, capture_output=True)

    for name, host in (("own", "localhost"), ("other", "other.example")):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out",
                f"{name}.pem", "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}")
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "old.key", "-out", "old.csr",
            "-subj", "/CN=localhost")
    (where / "names").write_text("subjectAltName=DNS:localhost\n")
    openssl("x509", "-req", "-in", "old.csr", "-signkey", "old.key", "-days", "-1",
            "-extfile", "names", "-out", "old.pem")
    return where


@pytest.fixture
def serve(folder: Path) -> Iterator[Started]:
    started: Started = []
    yield started
    for one in started:
        one.shutdown()
        one.server_close()


def keystone(folder: Path, name: str, started: Started) -> str:
    """Start a Keystone with one of the certificates; its address."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(NOTHING)))
            self.end_headers()
            self.wfile.write(NOTHING)

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:    # whoever refuses the certificate hangs up
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    started.append(server)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return f"https://localhost:{server.server_port}/v3"


def said(url: str, **more: str) -> str:
    with pytest.raises(InstanceHaError) as raised:
        credentials.connect(values(auth_url=url, **more)).services()
    assert len(str(raised.value).splitlines()) == 1
    return str(raised.value)


@pytest.mark.parametrize(("name", "trusted", "why"), [
    ("own", False, "self"), ("other", True, "Hostname mismatch"),
    ("old", True, "certificate has expired")])
def test_what_is_wrong_is_said(
        folder: Path, serve: Started, name: str, trusted: bool, why: str) -> None:
    more = {"cacert": str(folder / f"{name}.pem")} if trusted else {}
    words = said(keystone(folder, name, serve), **more)
    assert "certificate verify failed" in words[:128] and why in words


@pytest.mark.parametrize("names", ["'other.example'", "either of 'a.example', 'b.example'"])
def test_so_does_an_older_urllib3(names: str) -> None:
    """As 1.26 says it, which Debian 12 and enterprise Linux 9 have."""
    words = one_line(
        "SSL exception connecting to https://keystone:5000/v3/auth/tokens: HTTPSConnectionPool("
        "host='keystone', port=5000): Max retries exceeded with url: /v3/auth/tokens (Caused by "
        f'SSLError(CertificateError("hostname \'keystone\' doesn\'t match {names}")))')
    assert words == f"certificate verify failed: hostname 'keystone' doesn't match {names}"


@pytest.mark.parametrize("trust", ["cacert", "insecure"])
def test_what_is_trusted_is_asked(folder: Path, serve: Started, trust: str) -> None:
    more = {"cacert": str(folder / "own.pem")} if trust == "cacert" else {"insecure": "true"}
    assert "certificate" not in said(keystone(folder, "own", serve), **more)     # it is no Keystone


def test_an_authority_that_is_not_there_is_named(folder: Path, serve: Started) -> None:
    url = keystone(folder, "own", serve)
    with pytest.raises(InstanceHaError, match=r"/no/such\.pem"):
        credentials.connect(values(auth_url=url, cacert="/no/such.pem")).services()
