"""What a user of the cloud can write does nothing on a terminal, in a spreadsheet, a log, a page or a metric."""

from __future__ import annotations

import io
import logging
import sys

import pytest
from instance_ha import params, service
from instance_ha.cli.common import CLEAR, Screen, print_rows
from instance_ha.errors import ConfigurationError, HostError
from instance_ha.events import Event, environment
from instance_ha.incident import Incident, parse_incident
from instance_ha.logs import CLEAN, Lines
from instance_ha.reporting.chronicle import Chronicle, Moved, Try
from instance_ha.reporting.hook import Hook
from instance_ha.reporting.metrics import Metrics
from instance_ha.reporting.page import page
from instance_ha.text import printable, without_password

EVIL = "\x1b]0;owned\x07\x1b[2J\u202ehost\u2066\x9b31m\ud800a\0b\u200b"
HARMLESS = "Zürich 東京 naïve-01"
FORMULA = "=cmd|'/C calc'!A0"


def harmless(text: str) -> bool:
    return all(char.isprintable() or char in "\r\n" for char in text)


def test_what_prints_is_left_as_it_is() -> None:
    assert printable(HARMLESS) == HARMLESS
    assert printable("a\nb\tc\r\nd\u00a0e") == "a b c  d e"
    assert printable(EVIL).isprintable() and printable(EVIL).encode("latin-1")


@pytest.mark.parametrize("how", ["table", "json", "yaml", "csv"])
def test_every_form_of_a_table(how: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(("Name", "Reason", "Count"), [(HARMLESS, EVIL.replace("\ud800", ""), 3), ("a\nb", None, -1)], how)
    out = capsys.readouterr().out
    assert harmless(out) and "owned" in out
    if how != "json":
        assert HARMLESS in out or "Z\\xFC" in out


@pytest.mark.parametrize("cell", [FORMULA, "+1+1", "-2+3", "@SUM(1)", "\uff1d1+1"])
def test_a_cell_of_csv_is_no_formula(cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(("Name", "Seconds"), [(cell, -1.5), ("-", "-7")], "csv")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].lstrip('"').startswith("'") and lines[1].endswith(",-1.5") and lines[2] == "-,-7"


def test_a_terminal_gets_no_commands_but_ours() -> None:
    inner = io.StringIO()
    screen = Screen(inner)
    print("a\x1b[2Jb", "x\ny\rz", file=screen)
    print(CLEAR, end="", file=screen)
    print(CLEAR + "x", file=screen)
    assert inner.getvalue() == "a?[2Jb x\ny\rz\n" + CLEAR + "?[H?[2Jx\n"


def test_lines_of_the_log_cannot_be_forged(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    handler.addFilter(CLEAN)
    handler.setFormatter(Lines("x[1]: %(levelname)s: %(message)s"))
    log = logging.getLogger("test-of-lines")
    log.addHandler(handler)
    log.propagate = False
    log.warning("server %s at %s", "a\nx[1]: INFO: all is well" + EVIL.replace("\ud800", ""), "http://u:SECRET@host:1/v3")
    try:
        raise ValueError("b\nx[1]: INFO: forged\x1b[2J http://u:SECRET@host")
    except ValueError:
        log.exception("it failed")
    text = said.getvalue()
    assert harmless(text) and "SECRET" not in text
    assert [line for line in text.splitlines() if line.startswith("x[1]: ")] == [
        line for line in text.splitlines() if line.startswith(("x[1]: WARNING: server", "x[1]: ERROR: it failed"))]


def test_the_workers_log_is_made_so(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()

    class Handler(logging.StreamHandler):  # type: ignore[type-arg]  # Python 3.9 takes none
        LOG_DAEMON = 3

        def __init__(self, *_: object) -> None:
            super().__init__(said)

    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    monkeypatch.setattr(logging.handlers, "SysLogHandler", Handler)
    try:
        service.log_to_syslog("x", "debug")
        logging.getLogger("a").info("b%sc", "\x1b\n")
        assert said.getvalue().endswith("INFO: b? c\n")
    finally:
        root.handlers[:] = kept
        root.setLevel(level)


def test_pages_metrics_and_hooks() -> None:
    name = EVIL + "<script>alert(1)</script>\ufffe"
    moved = Moved(name, name, name, "ACTIVE", name, (Try(1, "done", name, name, 1e9, 1e9 + 5, name),))
    text = page(Chronicle(Incident(name, name, host=name, recorded=1e9, worker=name, proof=name, reason=name), (moved,), wrong=(name,)), 1e9)
    assert harmless(text) and "<script>" not in text
    metrics = Metrics()
    metrics.set("host_record", 1, node='a"} 1\nevil{x="\\' + EVIL, state="s")
    assert harmless(metrics.text()) and not [line for line in metrics.text().splitlines() if line.startswith("evil")]
    variables = environment(Event("server-failed", "i", "n", "h", 0.0, EVIL, {"name": "$(x)\nINSTANCE_HA_NODE=evil"}).payload("c"))
    assert all(value.isprintable() for value in variables.values())
    assert harmless(Event("server-failed", "i", "n", "h", 0.0, EVIL, {"name": EVIL}).line())


def test_lines_of_the_history_are_read_as_harmless() -> None:
    one = parse_incident("id=x;node=a%00b;reason=%1b%5b2J;recorded=1;settings=a:%1b")
    assert one and (one.node, one.reason, one.settings) == ("a?b", "?[2J", {"a": "?"})
    assert page(Chronicle(one), 1e9)
    far = parse_incident("id=x;node=a;recorded=1e300;proven=nan;requested=inf;over=-1;done=" + "9" * 5000)
    assert far and (far.recorded, far.proven, far.requested, far.over, far.done) == (0.0, 0.0, 0.0, 0.0, None)


@pytest.mark.parametrize("target", [
    "http://127.0.0.1:1/services/SECRETKEY with space", "http://127.0.0.1:1/SECRETKEY\u00e9", "http://127.0.0.1:1/SECRETKEY\x7f"])
def test_a_hooks_key_is_in_no_sentence(target: str) -> None:
    hook = next(one for one in params.of(params.OCF) if one.name == "hook")
    with pytest.raises(ConfigurationError) as refused:
        params.check(hook, target)
    with pytest.raises(HostError) as failed:
        Hook(target, 3).call({"event": "x"})
    assert "SECRETKEY" not in str(refused.value) + str(failed.value)


@pytest.mark.parametrize("url", ["http://u:SECRET@host:5000/v3", "https://u@host", "http://SECRET:@[::1]/v3"])
def test_a_password_in_the_address_is_refused_and_not_shown(url: str) -> None:
    auth_url = next(one for one in params.of(params.OCF) if one.name == "auth_url")
    with pytest.raises(ConfigurationError, match="auth_url holds a user or a password") as refused:
        params.check(auth_url, url)
    assert "SECRET" not in str(refused.value)
    assert "SECRET" not in without_password(f"Unable to connect to {url}: no ({url})")
    assert "SECRET" not in without_password(f"no.{url} -{url} _{url}")
    assert params.check(auth_url, "http://[::1]:5000/v3?x=a@b") == "http://[::1]:5000/v3?x=a@b"


def test_streams_are_put_back() -> None:
    from instance_ha import cli

    before = sys.stdout, sys.stderr
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert (sys.stdout, sys.stderr) == before
