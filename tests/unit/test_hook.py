"""The hook: a real command, and a real server on this machine."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from instance_ha.errors import ConfigurationError, HostError
from instance_ha.params import OCF, in_force, of, resolve
from instance_ha.reporting.hook import Hook

from tests.unit.fake import Fake

PAYLOAD = {"version": 1, "event": "confirmed", "incident": "3f9c", "node": "cmp-1", "sentence": "it's off"}


def command(folder: Path, text: str) -> str:
    path = folder / "hook.sh"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return str(path)


def test_a_command_gets_json_and_variables_and_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_PASSWORD", "s3cret")
    out = tmp_path / "out"
    Hook(command(tmp_path, f'cat > {out}; env | sort >> {out}; pwd >> {out}\n')).call(PAYLOAD)
    lines = out.read_text().splitlines()
    assert json.loads(lines[0]) == PAYLOAD
    assert "INSTANCE_HA_EVENT=confirmed" in lines and "INSTANCE_HA_SENTENCE=it's off" in lines and lines[-1] == "/"
    assert "s3cret" not in out.read_text()


@pytest.mark.parametrize(("text", "word"), [("echo no mail server >&2; exit 3\n", "failed with 3: no mail server"), ("exit 1\n", "it said nothing")])
def test_a_command_that_fails_says_why(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(HostError, match=word):
        Hook(command(tmp_path, text)).call(PAYLOAD)


def test_a_command_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    began = time.monotonic()
    with pytest.raises(HostError, match=r"did not end within 0\.3 s"):
        Hook(command(tmp_path, f"sleep 60 & echo $! > {pid}; wait\n"), 0.3).call(PAYLOAD)
    assert time.monotonic() - began < 3
    number = int(pid.read_text())
    end = time.monotonic() + 5
    while time.monotonic() < end and _lives(number):
        time.sleep(0.01)
    assert not _lives(number)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_what_a_command_leaves_behind_holds_nobody_up(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    began = time.monotonic()
    Hook(command(tmp_path, f"sleep 30 & echo $! > {pid}\n"), 10).call(PAYLOAD)
    assert time.monotonic() - began < 5
    os.kill(int(pid.read_text()), 9)


def test_a_command_that_is_not_there() -> None:
    with pytest.raises(HostError, match=r"/nowhere/hook cannot be run: No such file"):
        Hook("/nowhere/hook").call(PAYLOAD)


def test_a_url_gets_a_post(fake: Fake) -> None:
    fake.says(204)
    Hook(f"http://127.0.0.1:{fake.server.server_port}/T0/s3cret?x=1").call(PAYLOAD)
    assert fake.asked == [("POST", "/T0/s3cret?x=1", PAYLOAD, "")]


@pytest.mark.parametrize("code", [302, 404, 500])
def test_an_answer_that_is_no_yes_is_told_without_the_path(fake: Fake, code: int) -> None:
    fake.says(code)
    with pytest.raises(HostError, match=str(code)) as caught:
        Hook(f"http://127.0.0.1:{fake.server.server_port}/T0/s3cret").call(PAYLOAD)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/s3cret", "https://127.0.0.1:1/s3cret", "http://no-such-host.invalid/s3cret"])
def test_a_url_that_cannot_be_told(url: str) -> None:
    with pytest.raises(HostError) as caught:
        Hook(url, 2).call(PAYLOAD)
    assert "s3cret" not in str(caught.value)


@pytest.fixture
def dripping() -> Iterator[int]:
    """A server that answers a byte at a time, for ever: no single wait of the client is long."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        client, _ = listener.accept()
        try:
            while client.send(b"H"):
                time.sleep(0.02)
        except OSError:
            client.close()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def test_a_url_that_drips_is_given_up(dripping: int) -> None:
    began = time.monotonic()
    with pytest.raises(HostError, match=r"no answer within 0\.5 s"):
        Hook(f"http://127.0.0.1:{dripping}/", 0.5).call(PAYLOAD)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("value", ["relative/path", "ftp://x/", "http://", "http:///x", "x", "http://[::1/x", "http://a:port/x", "http://a:0/"])
def test_a_hook_is_a_path_or_a_url(value: str) -> None:
    with pytest.raises(ConfigurationError, match="hook"):
        resolve(of(OCF), {"hook": value})
    with pytest.raises(ConfigurationError, match="metrics_directory"):
        resolve(of(OCF), {"metrics_directory": value})


def test_the_settings_in_force_hold_no_secret() -> None:
    values = resolve(of(OCF), {"hook": "https://chat.example.com/T0/s3cret", "password": "s3cret", "max_parallel": "8", "threshold": "50"})
    assert in_force(values) == {"hook": "set", "max_parallel": "8"}
