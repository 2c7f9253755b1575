"""fence_nova's off and on: what is on record afterwards, with Nova away."""

from __future__ import annotations

from subprocess import CompletedProcess

import pytest

from tests.conformance.conftest import Run
from tests.conformance.test_fence_nova import CREDENTIALS, PASSWORD


def fence(run: Run, attribute: str, *lines: str) -> CompletedProcess[str]:
    return run("fence_nova", stdin="\n".join((*lines, f"evacuate_attribute={attribute}", CREDENTIALS)))


def record(run: Run, attribute: str) -> str:
    query = ("crm_attribute", "--type", "nodes", "--node", "ctl-1", "--name", attribute, "--query", "--quiet")
    return run(*query).stdout.strip()


@pytest.mark.parametrize("names", [["nodename=nobody-9"], ["port=nobody-9", "nodename=nobody-8"]])
@pytest.mark.parametrize("action", ["off", "on"])
def test_a_host_that_is_no_node(run: Run, attribute: str, action: str, names: list[str]) -> None:
    before = run("cibadmin", "--query", "--scope", "nodes").stdout
    done = fence(run, attribute, f"action={action}", *names)
    lines = [line for line in done.stderr.splitlines() if line]
    assert done.returncode == 1 and len(lines) == 1 and "is no node of this cluster; it has " in lines[0]
    assert run("cibadmin", "--query", "--scope", "nodes").stdout == before


@pytest.mark.parametrize("names", [
    ["port=ctl-1"], ["plug=ctl-1"], ["nodename=ctl-1"], ["port=ctl-1", "nodename=ctl-1"], ["plug=CTL-1.example.com"]])
def test_off_records_its_node(run: Run, attribute: str, names: list[str]) -> None:
    """Nova is away: that is left to NovaEvacuate, and off has succeeded."""
    done = fence(run, attribute, "action=off", *names)
    assert done.returncode == 0 and "left to NovaEvacuate" in done.stderr and PASSWORD not in done.stderr
    fields = record(run, attribute).split(";")
    assert fields[0] == "fenced" and fields[1].startswith("id=") and "by=ctl-1" in fields
    assert ("host=CTL-1.example.com" in fields) == (names == ["plug=CTL-1.example.com"])


@pytest.mark.parametrize("only", ["1", "True"])
def test_record_only_asks_nobody(run: Run, attribute: str, only: str) -> None:
    done = fence(run, attribute, "action=off", "port=ctl-1", f"record_only={only}")
    assert done.returncode == 0 and "NovaEvacuate" not in done.stderr
    assert record(run, attribute).startswith("fenced;id=")


@pytest.mark.parametrize("word", ["2", "Disabled"])
def test_disabled_does_nothing(run: Run, attribute: str, word: str) -> None:
    for action in ("off", "on", "monitor"):
        assert fence(run, attribute, f"action={action}", "port=ctl-1", f"record_only={word}").returncode == 0
    assert record(run, attribute) == ""


def test_off_as_pacemaker_sends_it(run: Run, attribute: str) -> None:
    """What Pacemaker adds of its own, unknown to the agent, changes nothing."""
    done = fence(run, attribute, "nodename=ctl-1", "action=off", "port=ctl-1", "crm_meta_timeout=60000", "# a comment", "")
    assert done.returncode == 0 and record(run, attribute).startswith("fenced;id=")


def test_on_lets_in_when_it_is_over(run: Run, attribute: str) -> None:
    assert fence(run, attribute, "action=on", "port=ctl-1").returncode == 0
    assert fence(run, attribute, "action=off", "port=ctl-1", "record_only=1").returncode == 0
    early = fence(run, attribute, "action=on", "port=ctl-1")
    assert early.returncode == 1 and "has not begun" in early.stderr and "timed out" not in early.stderr
    text = record(run, attribute)
    set_record(run, attribute, text.replace("fenced;", "evacuated;", 1))
    assert fence(run, attribute, "action=on", "port=ctl-1").returncode == 0
    assert record(run, attribute).startswith("returning;" + text.split(";")[1])
    assert fence(run, attribute, "action=on", "port=ctl-1").returncode == 0


def test_on_with_a_record_that_cannot_be_read(run: Run, attribute: str) -> None:
    set_record(run, attribute, "what;is=this")
    done = fence(run, attribute, "action=on", "port=ctl-1")
    assert done.returncode == 1 and "cannot be read" in done.stderr and "'what;is=this'" in done.stderr
    assert record(run, attribute) == "what;is=this"


def test_off_again_is_a_new_incident(run: Run, attribute: str) -> None:
    ids = []
    for _ in range(2):
        assert fence(run, attribute, "action=off", "port=ctl-1", "record_only=1").returncode == 0
        ids.append(record(run, attribute).split(";")[1])
    assert ids[0] != ids[1]


CLEAR = """
import sys
sys.path.insert(0, "/usr/lib/instance-ha")
from instance_ha.cluster import Cluster
from instance_ha.errors import ConflictError
from instance_ha.model import parse_record
try:
    Cluster(sys.argv[1]).clear(parse_record("ctl-1", sys.argv[2]))
except ConflictError:
    sys.exit(3)
"""


def test_a_record_is_cleared_by_its_exact_value_only(run: Run, attribute: str) -> None:
    """cibadmin --delete succeeds when nothing matches."""
    for there in ("fenced;id=new", ""):
        set_record(run, attribute, there)
        assert run("/usr/bin/python3", "-c", CLEAR, attribute, "fenced;id=old").returncode == 3
        assert record(run, attribute) == there
    run("crm_attribute", "--type", "nodes", "--node", "ctl-1", "--name", attribute, "--delete")
    assert run("/usr/bin/python3", "-c", CLEAR, attribute, "fenced;id=old").returncode == 3
    set_record(run, attribute, "fenced;id=its")
    assert run("/usr/bin/python3", "-c", CLEAR, attribute, "fenced;id=its").returncode == 0
    assert f'name="{attribute}"' not in run("cibadmin", "--query", "--scope", "nodes").stdout


def test_a_host_with_a_name_beyond_ascii_is_recorded_and_read_back(run: Run, attribute: str) -> None:
    """crm_attribute takes no other arguments than ASCII."""
    assert fence(run, attribute, "action=off", "nodename=ctl-1", "port=bü-日", "record_only=1").returncode == 0
    assert "host=b%C3%BC-%E6%97%A5" in record(run, attribute).split(";")


def test_text_beyond_ascii_reaches_crm_mon(run: Run) -> None:
    show = ("import sys; sys.path.insert(0, '/usr/lib/instance-ha'); from instance_ha.cluster import Cluster; "
            "Cluster().show('conformance-text', sys.argv[1] if sys.argv[1:] else None)")
    try:
        shown = run("/usr/bin/python3", "-c", show, "Büro-日 is left")
        assert shown.returncode == 0, shown.stderr
        assert "Buro-? is left" in run("crm_attribute", "--lifetime", "reboot", "--node", "ctl-1", "--name", "conformance-text", "--query").stdout
    finally:
        assert run("/usr/bin/python3", "-c", show).returncode == 0


def set_record(run: Run, attribute: str, text: str) -> None:
    run("crm_attribute", "--type", "nodes", "--node", "ctl-1", "--name", attribute, "--update", text)
