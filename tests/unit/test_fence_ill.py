"""The fence agent: what it does not record, and what it says of what nobody knows."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from instance_ha import cluster as door
from instance_ha import credentials, params, process
from instance_ha.cib import parse_cib, read_cib
from instance_ha.fence import Agent

from tests.unit.little_nova import LittleNova
from tests.unit.pacemaker_says import MISSING, PATH
from tests.unit.test_missed import OFFLINE, cib
from tests.unit.test_protect_hosts import Writes


def agent(plug: str = "cmp-1", **given: str) -> Agent:
    values = params.resolve(params.of(params.FENCE), {"cloud": "x", **given})
    return Agent(values, plug, "cmp-1", ",")


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> Iterator[LittleNova]:
    one = LittleNova()
    monkeypatch.setattr(credentials, "connect", lambda values: one.nova)
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.mark.parametrize("domain", ["", "example.com"])
@pytest.mark.parametrize("patterns", ["cmp-1.example.com", "*.example.com", "CMP-1.example.com cmp-2.example.com"])
def test_a_host_that_is_protected_by_novas_name_is_put_on_record(
    monkeypatch: pytest.MonkeyPatch, patterns: str, domain: str
) -> None:
    """Nova knows it by its FQDN and Pacemaker by its short name: the worker and doctor take both."""
    tools = Writes(cib(OFFLINE))
    monkeypatch.setattr(door, "run", tools)
    assert agent(record_only="1", protect_hosts=patterns, domain=domain).off() == 0
    assert any("fenced;id=" in change for change in tools.changes)


def hidden(little: LittleNova) -> None:
    """As Nova 34 does from 2.69 on where the database of a cell is away."""
    service = little.service("cmp-1")
    service.clear()
    service.update(binary="nova-compute", host="cmp-1", status="UNKNOWN")


def test_of_a_host_whose_cell_is_away_status_says_not_that_it_is_off(
    little: LittleNova, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden(little)
    try:
        code = agent().status()
    except Exception as error:
        assert "cell" in str(error)
        code = 1
    assert code == 1 and "OFF" not in capsys.readouterr().out


def test_of_a_host_whose_cell_is_away_list_status_says_not_that_it_is_off(
    little: LittleNova, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden(little)
    agent("").print_list_status()
    assert "cmp-1,,OFF" not in capsys.readouterr().out


def test_off_succeeds_where_no_process_can_be_started_for_nova(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record is written by then: nothing may make this fencing fail any more."""
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    tools = Writes(cib(OFFLINE))
    monkeypatch.setattr(door, "run", tools)
    monkeypatch.setattr(os, "fork", fork)
    assert agent().off() == 0
    assert any("fenced;id=" in change for change in tools.changes)


@pytest.mark.parametrize("odd", ["fenced;id=a;since=" + "9" * 5000, "evacuated;id=a;baseline=" + "9" * 30, "&quot;&lt;", "fenced"])
@pytest.mark.parametrize("node", ["cmp-1", "cmp-2"])
def test_a_record_that_cannot_be_read_stops_no_off(monkeypatch: pytest.MonkeyPatch, node: str, odd: str) -> None:
    """Its own or another node's."""
    tools = Writes(cib(OFFLINE, odd).replace("<nodes>", "<nodes>" + OTHER.format(odd)) if node == "cmp-2" else cib(OFFLINE, odd))
    monkeypatch.setattr(door, "run", tools)
    assert node in read_cib(parse_cib(tools.cib), "evacuate").broken
    assert agent(record_only="1").off() == 0
    assert any("fenced;id=" in change for change in tools.changes)


OTHER = """<node id="9" uname="cmp-2"><instance_attributes id="nodes-9"><nvpair id="nodes-9-evacuate" name="evacuate" value="{}"/>
</instance_attributes></node>"""
TWO = """<cib have-quorum="1"><configuration><nodes>{}</nodes>
<resources><primitive id="cmp-1" class="ocf" provider="pacemaker" type="remote"/></resources></configuration><status/></cib>"""
OLD = '<node id="3" uname="cmp-1"/>'
NEW = """<node type="remote" id="cmp-1" uname="cmp-1"><instance_attributes id="nodes-cmp-1">
<nvpair id="nodes-cmp-1-evacuate" name="evacuate" value="fenced;id=3f9c"/></instance_attributes></node>"""


@pytest.mark.parametrize("order", [(OLD, NEW), (NEW, OLD)], ids=["old first", "new first"])
def test_a_record_is_seen_where_the_node_has_an_entry_of_its_former_kind_too(order: tuple[str, str]) -> None:
    """A full member that was made a remote node, and whose old entry nobody has removed."""
    assert set(read_cib(parse_cib(TWO.format("".join(order))), "evacuate").records) == {"cmp-1"}


WHOLE = (
    '<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="9" num_updates="1" admin_epoch="0" have-quorum="1" '
    'dc-uuid="1"><configuration><crm_config/><nodes>{}</nodes><resources>'
    '<primitive id="cmp-1" class="ocf" provider="pacemaker" type="remote"/></resources><constraints/></configuration><status/></cib>'
)


@pytest.mark.skipif(bool(MISSING), reason=f"this machine has no {', '.join(MISSING)}")
@pytest.mark.parametrize("entries", [f"{OLD}{{0}}", f"{{0}}{OLD}"], ids=["old first", "new first"])
def test_what_crm_attribute_itself_writes_there_is_seen(tmp_path: Path, entries: str) -> None:
    """It writes into the first of two entries. What `off` does not see written it calls failed, again and again."""
    path = tmp_path / "cib.xml"
    path.write_text(WHOLE.format(entries.format('<node type="remote" id="cmp-1" uname="cmp-1"/>')))
    argv = ["crm_attribute", "--type", "nodes", "--node", "cmp-1", "--name", "evacuate", "--update", "fenced;id=3f9c"]
    subprocess.run(argv, env={"PATH": PATH, "CIB_file": str(path)}, check=True, timeout=30)
    assert "fenced;id=3f9c" in path.read_text()
    assert set(read_cib(parse_cib(path.read_text()), "evacuate").records) == {"cmp-1"}


def test_a_child_that_no_signal_ends_does_not_hold_off_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It hangs in the kernel, at the disk that its clouds.yaml is on. The fencing's timeout would end `off` then, and fail it."""
    monkeypatch.setattr(os, "kill", lambda pid, how: None)
    began = time.monotonic()
    assert not process.within(0.1, lambda: time.sleep(8))
    assert time.monotonic() - began < 4
