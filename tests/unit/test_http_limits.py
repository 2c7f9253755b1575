"""Every request to OpenStack has an end, in time and in bytes, and its token goes nowhere else."""

from __future__ import annotations

import contextlib
import gzip
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from instance_ha import credentials
from instance_ha.errors import CloudError, CloudRefused, CloudUnreachable
from instance_ha.http_limits import MOST_BYTES, PENDING
from instance_ha.nova import Nova

from tests.unit.ill_cloud import MOST_DRIPS, PASSWORD, TOKEN, IllCloud, reply, values

SERVICES = {"services": [{"id": "1", "binary": "nova-compute", "host": "c", "status": "enabled", "state": "up"}]}
# One byte for each thousand that it unpacks to.
BOMB = gzip.compress(b" " * (MOST_BYTES + (1 << 20)), 9)


@pytest.fixture
def ill() -> Iterator[IllCloud]:
    one = IllCloud()
    yield one
    one.close()


def nova(ill: IllCloud, handle: Callable[[Any], None], **more: str) -> Nova:
    return credentials.connect(values(auth_url=ill.keystone(ill.serve(handle)), **{"api_timeout": "1", **more}))


def by_clouds_yaml(ill: IllCloud, handle: Callable[[Any], None], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Nova:
    auth = (f"{{auth_url: '{ill.keystone(ill.serve(handle))}', username: u, password: p, project_name: p, "
            "user_domain_name: Default, project_domain_name: Default}")
    (folder / "clouds.yaml").write_text(f"clouds: {{lab: {{auth: {auth}}}}}\n")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(folder / "clouds.yaml"))
    return credentials.connect(values(auth_url="", cloud="lab", api_timeout="1"))


def body_drips(ill: IllCloud, one: Any) -> None:
    one.send_response(200)
    one.send_header("Content-Length", "100000")
    one.end_headers()
    ill.drip(one)


def header_drips(ill: IllCloud, one: Any) -> None:
    ill.drip(one, b"X")


def continues(ill: IllCloud, one: Any) -> None:
    ill.drip(one, b"HTTP/1.1 100 Continue\r\n\r\n")


def body_without_length_drips(ill: IllCloud, one: Any) -> None:
    one.send_response(200)
    one.send_header("Connection", "close")
    one.end_headers()
    one.wfile.write(b'{"services": []}')       # a whole answer, as far as one can see where it is cut
    ill.drip(one)


@pytest.mark.parametrize("how", [body_drips, header_drips, continues, body_without_length_drips])
def test_an_answer_that_drips_ends_within_the_limit(ill: IllCloud, how: Callable[[IllCloud, Any], None]) -> None:
    door, began = nova(ill, lambda one: how(ill, one)), time.monotonic()
    with pytest.raises(CloudUnreachable, match=r"os-services was not answered in full within 1 s$"):
        door.services()
    assert time.monotonic() - began < 3.0


def test_a_kept_connection_is_cut_too(ill: IllCloud) -> None:
    """The second request goes over the connection of the first, which nobody opens anew."""
    asked: list[str] = []

    def handle(one: Any) -> None:
        asked.append(one.path)
        if len(asked) == 1:
            reply(one, 200, SERVICES)
        else:
            body_drips(ill, one)

    door = nova(ill, handle)
    assert len(door.services()) == 1
    began = time.monotonic()
    with pytest.raises(CloudUnreachable, match="not answered in full"):
        door.services()
    assert time.monotonic() - began < 3.0


def test_one_slow_answer_cuts_no_other_threads_request(ill: IllCloud) -> None:
    def handle(one: Any) -> None:
        if one.path.startswith("/servers"):
            body_drips(ill, one)
        else:
            reply(one, 200, SERVICES)

    door = nova(ill, handle)
    door.services()
    said: list[str] = []

    def slow() -> None:
        with pytest.raises(CloudUnreachable):
            door.server("a")
        said.append("cut")

    thread = threading.Thread(target=slow)
    thread.start()
    while thread.is_alive():
        assert len(door.services()) == 1
    assert said == ["cut"]


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_that_is_too_big_is_not_kept(ill: IllCloud, packed: bool) -> None:
    asked: list[str] = []

    def handle(one: Any) -> None:
        asked.append(one.path)
        if packed:
            reply(one, 200, BOMB, Content_Encoding="gzip")
            return
        one.send_response(200)
        one.send_header("Content-Length", str(MOST_BYTES + (1 << 20)))
        one.end_headers()
        for _ in range((MOST_BYTES >> 20) + 1):
            one.wfile.write(b" " * (1 << 20))

    with pytest.raises(CloudUnreachable, match=r"os-services was answered with more than 64 MiB$"):
        nova(ill, handle, api_timeout="20").services()
    assert len(asked) == 1


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "deflate"])
def test_an_encoding_that_was_not_asked_for_is_not_unpacked(ill: IllCloud, encoding: str) -> None:
    with pytest.raises(CloudUnreachable, match="encoding that was not asked for"):
        nova(ill, lambda one: reply(one, 200, gzip.compress(gzip.compress(b"{}")), Content_Encoding=encoding)).services()


def test_gzip_of_a_proxy_is_read(ill: IllCloud) -> None:
    door = nova(ill, lambda one: reply(one, 200, gzip.compress(b'{"services": []}'), Content_Encoding="gzip"))
    assert door.services() == []


@pytest.mark.parametrize("body", [b"\x1f\x8b", b"no gzip", gzip.compress(b"{}")[:-9]])
def test_broken_gzip_is_no_answer(ill: IllCloud, body: bytes) -> None:
    with pytest.raises(CloudUnreachable):
        nova(ill, lambda one: reply(one, 200, body, Content_Encoding="gzip")).services()


@pytest.mark.parametrize("code", [301, 302, 303, 305, 307, 308])
@pytest.mark.parametrize("yaml", [False, True])
def test_a_redirect_is_not_followed(
        ill: IllCloud, code: int, yaml: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stolen: list[Any] = []

    def thief(one: Any) -> None:
        stolen.append(one.headers.get("X-Auth-Token"))
        reply(one, 200, {"services": []})

    other = ill.serve(thief).replace("127.0.0.1", "localhost")

    def handle(one: Any) -> None:
        reply(one, code, b"", Location=other + one.path + "?key=SECRET")

    door = by_clouds_yaml(ill, handle, tmp_path, monkeypatch) if yaml else nova(ill, handle)
    for call in (door.services, lambda: door.lock("abc", "x")):
        with pytest.raises(CloudUnreachable, match=rf"was redirected to {other}/\S+ \({code}\)") as caught:
            call()
        assert "SECRET" not in str(caught.value)
    assert stolen == []


def test_a_redirect_of_keystone_takes_no_password_along(ill: IllCloud) -> None:
    stolen: list[Any] = []

    def thief(one: Any) -> None:
        stolen.append(one.body)
        reply(one, 200, {})

    other = ill.serve(thief)
    for verbs in (("GET", "POST"), ("POST",)):
        url = ill.serve(lambda one, verbs=verbs: reply(
            one, 302 if one.command in verbs else 404, b"", Location=other + one.path))
        with pytest.raises(CloudUnreachable, match="was redirected to"):
            credentials.connect(values(auth_url=url + "/v3")).services()
    assert stolen == []


@pytest.mark.parametrize("path", ["/v3", "/v3/", "", "/identity/v3"])
def test_a_keystone_that_answers_401_to_everything_is_one_sentence(ill: IllCloud, path: str) -> None:
    """keystoneauth1 4.3.0 to 5.18.1 wait for themselves here, for ever."""
    url, began = ill.serve(lambda one: reply(one, 401, {"error": {"message": "no", "code": 401}})) + path, time.monotonic()
    with pytest.raises(CloudRefused, match="was answered 401, and needs no credentials in Keystone") as caught:
        credentials.connect(values(auth_url=url)).services()
    assert caught.value.status == 401 and time.monotonic() - began < 3.0


@pytest.mark.parametrize(("scheme", "rest"), [
    ("HTTP://LocalHost", "/v3"), ("http://127.0.0.1", "/v 3"), ("http://127.0.0.1", "/v\u00e93"), ("http://127.0.0.1", "/x/../v3")])
def test_it_does_so_however_the_address_is_written(ill: IllCloud, scheme: str, rest: str) -> None:
    """requests asks for another text than the parameter's. Where that is not known for the same, the answer is awaited for ever."""
    url = ill.serve(lambda one: reply(one, 401, {"error": {"message": "no", "code": 401}})).replace("http://127.0.0.1", scheme) + rest
    said: list[str] = []

    def ask() -> None:
        try:
            credentials.connect(values(auth_url=url)).services()
        except CloudError as error:
            said.append(str(error))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(5.0)
    assert [one for one in said if "was answered 401, and needs no credentials in Keystone" in one]


def test_a_long_sentence_is_cut_and_read_once(ill: IllCloud) -> None:
    said, began = "a." * 40_000, time.monotonic()
    with pytest.raises(CloudRefused) as caught:
        nova(ill, lambda one: reply(one, 400, {"badRequest": {"message": said, "code": 400}})).services()
    assert len(str(caught.value)) < 1200 and time.monotonic() - began < 4.0


def test_what_the_environment_says_of_proxies_and_logins_does_not_count(
        ill: IllCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents, commands and doctor ask as the worker does, whose environment is empty; and no proxy gets the password."""
    seen: list[str] = []
    logins: list[Any] = []
    proxy = ill.serve(lambda one: seen.append(one.path) or reply(one, 502))  # type: ignore[func-returns-value]
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    (tmp_path / "netrc").write_text("default login x password y\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nowhere.pem"))

    def handle(one: Any) -> None:
        logins.append(one.headers.get("Authorization"))
        reply(one, 200, SERVICES)

    assert nova(ill, handle).services() and by_clouds_yaml(ill, handle, tmp_path, monkeypatch).services()
    assert seen == [] and logins == [None, None]


def test_401_for_ever_is_a_refusal(ill: IllCloud) -> None:
    with pytest.raises(CloudRefused):
        nova(ill, lambda one: reply(one, 401, {})).services()


def test_version_discovery_and_the_token_still_work(
        ill: IllCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens: list[Any] = []

    def handle(one: Any) -> None:
        tokens.append(one.headers.get("X-Auth-Token"))
        reply(one, 200, SERVICES)

    assert [one.host for one in nova(ill, handle).services()] == ["c"]
    assert [one.host for one in by_clouds_yaml(ill, handle, tmp_path, monkeypatch).services()] == ["c"]
    assert tokens == [TOKEN, TOKEN]


def test_neither_the_password_nor_the_token_is_logged(
        ill: IllCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """At debug, where keystoneauth1 and urllib3 speak as loudly as the worker lets them."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("keystoneauth").setLevel(logging.WARNING)
    nova(ill, lambda one: reply(one, 200, SERVICES)).services()
    by_clouds_yaml(ill, lambda one: reply(one, 200, SERVICES), tmp_path, monkeypatch).services()
    for code in (401, 500):
        with pytest.raises(CloudError) as caught:
            nova(ill, lambda one, code=code: reply(one, code, {"x": {"message": "no"}})).services()
        assert PASSWORD not in str(caught.value) and TOKEN not in str(caught.value)
    with pytest.raises(CloudUnreachable, match="Unable to establish connection"):
        credentials.connect(values(auth_url="http://127.0.0.1:1/v3")).services()
    assert PASSWORD not in caplog.text and TOKEN not in caplog.text and "GET /os-services" in caplog.text


def test_what_is_waited_for_can_be_told(ill: IllCloud) -> None:
    seen: list[str] = []

    def handle(one: Any) -> None:
        seen.append(PENDING.oldest())
        reply(one, 200, SERVICES)

    door = nova(ill, handle)
    door.services()
    assert seen[0].startswith("GET http://127.0.0.1:") and seen[0].endswith("/os-services")
    assert PENDING.oldest() == "" and PENDING.ended > 0


def test_a_handshake_that_drips_ends_within_the_limit() -> None:
    """TLS takes the connection over before anything of HTTP is sent."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        one = listener.accept()[0]
        with one, contextlib.suppress(OSError):
            one.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")     # a long record begins
            for _ in range(MOST_DRIPS):
                if over.wait(0.05):
                    break
                one.sendall(b"\x03")

    threading.Thread(target=drip, daemon=True).start()
    began = time.monotonic()
    with pytest.raises(CloudUnreachable):
        credentials.connect(values(auth_url=f"https://127.0.0.1:{listener.getsockname()[1]}/v3", api_timeout="1")).services()
    assert time.monotonic() - began < 3.0
    over.set()
    listener.close()
