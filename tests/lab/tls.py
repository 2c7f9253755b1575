"""A TLS terminator before Keystone and Nova, with a certificate that is good or one that has expired.

It runs in the cloud's network as a process of its own; serve and stop are the tests' side of it.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
from pathlib import Path

from tests.lab.cloud_config import ENV, PORTS
from tests.lab.common import CLOUD, CLOUD_ADDRESS, REPOSITORY, VENV, Daemon, LabError, in_netns, run, wait_until
from tests.lab.netns import answers

GOOD, EXPIRED = "good", "expired"
DAYS = {GOOD: "2", EXPIRED: "-1"}
FRONTS = {15000: PORTS["keystone"], 18774: PORTS["nova-api"]}  # its port -> whose it is behind
KEYSTONE, NOVA = f"https://{CLOUD_ADDRESS}:15000/v3", f"https://{CLOUD_ADDRESS}:18774/v2.1"
FOLDER = CLOUD / "tls"
CA = FOLDER / "ca.pem"
NAME = "tls"       # cloud_services ends it with the cloud
CHUNK = 65536
LISTEN_LIMIT = 20.0
HANDSHAKE_LIMIT = 10.0


def serve(which: str) -> None:
    """Serve with the GOOD or the EXPIRED certificate from now on; connections that are open are broken. Raises LabError."""
    if not CA.exists():
        _make_certificates()
    stop()
    Daemon(NAME).start(in_netns([str(VENV / "bin/python"), "-m", "tests.lab.tls", which]), ENV, str(REPOSITORY))
    if not wait_until(lambda: all(answers(port) for port in FRONTS), LISTEN_LIMIT, 0.1):
        raise LabError(f"the TLS terminator does not listen; its log is {Daemon(NAME).log}")


def stop() -> None:
    """End it."""
    Daemon(NAME).stop()


def _make_certificates() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    subject = ["-addext", "basicConstraints=critical,CA:TRUE", "-subj", "/CN=laboratory CA", "-days", "2"]
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(FOLDER / "ca.key"), "-out", str(CA), *subject])
    extensions = FOLDER / "extensions"
    extensions.write_text(f"subjectAltName=IP:{CLOUD_ADDRESS}\n")
    for name, days in DAYS.items():
        key, request = FOLDER / f"{name}.key", FOLDER / f"{name}.csr"
        run(["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(request), "-subj", "/CN=cloud"])
        run(["openssl", "x509", "-req", "-in", str(request), "-CA", str(CA), "-CAkey", str(FOLDER / "ca.key"), "-CAcreateserial",
             "-out", str(FOLDER / f"{name}.pem"), "-days", days, "-extfile", str(extensions)])
    CA.chmod(0o644)


def _carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def _one(client: socket.socket, context: ssl.SSLContext, port: int) -> None:
    client.settimeout(HANDSHAKE_LIMIT)
    with contextlib.suppress(OSError), context.wrap_socket(client, server_side=True) as outer:
        outer.settimeout(None)
        with socket.create_connection((CLOUD_ADDRESS, port)) as inner:
            threading.Thread(target=_carry, args=(inner, outer), daemon=True).start()
            _carry(outer, inner)


def _front(port: int, behind: int, context: ssl.SSLContext) -> None:
    with socket.create_server((CLOUD_ADDRESS, port), backlog=128) as listener:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_one, args=(client, context, behind), daemon=True).start()


def main(which: str) -> None:
    """Serve until it is ended."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(FOLDER, f"{which}.pem"), Path(FOLDER, f"{which}.key"))
    threads = [threading.Thread(target=_front, args=(port, behind, context)) for port, behind in FRONTS.items()]
    for thread in threads:
        thread.start()


if __name__ == "__main__":
    main(sys.argv[1])
