"""instance-ha doctor as a command: what it prints, its exit codes, what could not be looked at."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from instance_ha import cluster as door
from instance_ha.cli import common, main
from instance_ha.doctor.kinds import AREAS, KINDS, LEVELS

from tests.unit.ailing import CLOUD_DEVICE, CLOUD_WORKER, PACEMAKER, STONITH, WELL, Tools, pair
from tests.unit.cibs import changed
from tests.unit.little_cloud import PASSWORD, LittleCloud
from tests.unit.test_doctor_cloud import CLOUD, VOLUME_FIELDS, credentials
from tests.unit.test_doctor_node import NODE

Said = pytest.CaptureFixture[str]
OFF = (STONITH, pair("stonith-enabled", "false"))
SLOW = (pair("resource-stickiness", "100"), pair("resource-stickiness", "0"))


def doctor(monkeypatch: pytest.MonkeyPatch, tools: Tools, *argv: str) -> int:
    monkeypatch.setattr(door, "run", tools)
    monkeypatch.setattr(common, "run", tools)
    return main(["doctor", *argv])


def test_every_kind_of_finding_is_among_the_tests() -> None:
    assert {ill.kind for ill in (*PACEMAKER, *CLOUD, *NODE)} == set(KINDS)
    assert {kind.level for kind in KINDS.values()} == set(LEVELS) and {kind.area for kind in KINDS.values()} == set(AREAS)


def test_the_worst_comes_first_with_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    assert doctor(monkeypatch, Tools(changed(WELL, OFF, SLOW)), "--only", "pacemaker") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ERROR  stonith-disabled  (cluster)" and lines[3] == "    pcs property set stonith-enabled=true"
    assert "WARNING  stickiness  (cluster)" in lines and lines[-1] == "ctl-1: 1 error, 0 unknown, 1 warning"


def test_warnings_alone_are_no_reason_to_be_woken_up(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    assert doctor(monkeypatch, Tools(changed(WELL, SLOW)), "--only", "pacemaker") == 0
    assert "1 warning" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "left"), [
    (["stonith-disabled"], 0), (["stonith-disabled=cluster"], 0), (["stonith-disabled=other"], 1), (["no-quorum", "stonith-disabled"], 0)])
def test_what_is_known_and_meant_is_left_out(monkeypatch: pytest.MonkeyPatch, words: list[str], left: int) -> None:
    ignored = [part for word in words for part in ("--ignore", word)]
    assert doctor(monkeypatch, Tools(changed(WELL, OFF)), "--only", "pacemaker", *ignored) == left


def test_what_cannot_be_ignored_is_an_error_of_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    assert doctor(monkeypatch, Tools(), "--ignore", "stonith") == 2
    assert "no finding 'stonith'" in capsys.readouterr().err


def test_formats(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    said = {}
    for how in ("json", "csv", "table", "yaml"):
        assert doctor(monkeypatch, Tools(changed(WELL, OFF)), "--only", "pacemaker", "-f", how) == 1
        out, err = capsys.readouterr()
        assert err == "ctl-1: 1 error, 0 unknown, 0 warnings\n"
        said[how] = out
    (row,) = json.loads(said["json"])
    (flat,) = csv.DictReader(io.StringIO(said["csv"]))
    assert list(row) == list(flat) == ["Level", "Finding", "On", "What", "Why", "Mend", "Crmsh"]
    assert row["Mend"] == ["pcs property set stonith-enabled=true"] == [flat["Mend"]]
    assert "Finding: stonith-disabled" in said["yaml"] and "| error | stonith-disabled | cluster |" in said["table"]


def test_where_pacemaker_cannot_be_asked_nothing_is_said_to_be_well(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    assert doctor(monkeypatch, Tools(broken=("cibadmin",))) == 2
    said = capsys.readouterr()
    assert not said.out and said.err.startswith("instance-ha: cibadmin failed") and said.err.count("\n") == 1


@pytest.mark.parametrize("tool", ["crm_mon", "stonith_admin"])
def test_a_tool_that_fails_makes_something_unknown(monkeypatch: pytest.MonkeyPatch, capsys: Said, tool: str) -> None:
    assert doctor(monkeypatch, Tools(broken=(tool,)), "--only", "pacemaker", "-f", "json") == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["Level"], row["Finding"]) == ("unknown", "unseen") and "Connection refused" in row["What"]


def test_a_compute_host_has_no_credentials_and_is_not_blamed_for_it(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    assert doctor(monkeypatch, Tools(here="cmp-1"), "--only", "cloud", "--only", "pacemaker") == 0
    assert "not seen from cmp-1: the cloud" in capsys.readouterr().out


def test_no_cloud_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    monkeypatch.delenv("OS_CLOUD", raising=False)
    monkeypatch.delenv("OS_AUTH_URL", raising=False)
    assert doctor(monkeypatch, Tools(broken=("cibadmin",)), "--only", "cloud") == 2
    assert "which cloud?" in capsys.readouterr().err


def test_a_cloud_that_does_not_exist(monkeypatch: pytest.MonkeyPatch, capsys: Said, tmp_path: Path) -> None:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    assert doctor(monkeypatch, Tools(), "--only", "cloud", "-f", "json") == 1
    rows = json.loads(capsys.readouterr().out)
    assert [row["Finding"] for row in rows] == ["credentials", "unseen"] and "'lab'" in rows[0]["What"] and "entry lab" in rows[0]["Mend"][0]


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LittleCloud]:
    """A cloud that is `lab` in clouds.yaml."""
    one = LittleCloud()
    one.boot("s1", "db", "cmp-1", **VOLUME_FIELDS)
    auth = {"auth_url": f"{one.url}/v3", "username": "instance-ha", "password": PASSWORD, "project_name": "service",
            "user_domain_name": "Default", "project_domain_name": "Default"}
    path = tmp_path / "clouds.yaml"
    path.write_text(json.dumps({"clouds": {"lab": {"auth": auth, "region_name": "RegionOne"}}}))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.mark.parametrize(("wrong", "line"), [
    (CLOUD_WORKER, "pcs resource update nova-evacuate auth_url= username= password= tenant_name= cloud=lab"),
    (CLOUD_DEVICE, "pcs stonith update fence-nova auth_url= username= password= tenant_name= cloud=lab")])
def test_an_agent_with_a_wrong_password_gets_what_works_for_the_other(monkeypatch: pytest.MonkeyPatch, capsys: Said, cloud: LittleCloud, wrong: str,
                                                                      line: str) -> None:
    tools = Tools(changed(WELL, (wrong, credentials("x", cloud, "wrong"))))
    assert doctor(monkeypatch, tools, "--only", "cloud", "-f", "json") == 1
    (row,) = json.loads(capsys.readouterr().out)   # the cloud was looked at all the same, and is well
    assert row["Finding"] == "credentials" and row["Mend"][-1] == line and PASSWORD not in str(row)


def test_a_cloud_that_a_person_names_is_looked_at_without_a_cluster(monkeypatch: pytest.MonkeyPatch, capsys: Said, cloud: LittleCloud) -> None:
    assert main(["--os-cloud", "lab", "doctor", "--only", "cloud"]) == 0
    said = capsys.readouterr().out
    assert "not seen from this node: the cluster" in said
    assert f"this node: credentials of instance-ha: {os.environ['OS_CLIENT_CONFIG_FILE']}\n" in said


def test_what_nova_says_is_a_compute_host_is_held_to_it(monkeypatch: pytest.MonkeyPatch, capsys: Said, cloud: LittleCloud) -> None:
    """A remote node that is none, and that nobody fences as one, needs no level."""
    spare = ('<node id="1" uname="ctl-1"/>', '<node id="1" uname="ctl-1"/><node type="remote" id="db-1" uname="db-1"/>')
    remote = ("<resources>", '<resources><primitive id="db-1" class="ocf" type="remote" provider="pacemaker"/>')
    online = ("  <status>\n", '  <status><node_state remote_node="true" id="db-1" uname="db-1" in_ccm="true" node_fenced="0"/>\n')
    tools = Tools(changed(WELL, spare, remote, online))
    assert doctor(monkeypatch, tools, "--only", "cloud", "--only", "pacemaker") == 0
    assert doctor(monkeypatch, tools, "--only", "pacemaker") == 1
    assert "level-missing  (db-1)" in capsys.readouterr().out


def test_a_controller_with_a_compute_service_of_ironic(monkeypatch: pytest.MonkeyPatch, capsys: Said, cloud: LittleCloud) -> None:
    """It is no host to protect, and nothing is kept off the controllers for it."""
    cloud.services.append({**cloud.service("cmp-1"), "id": "ironic", "host": "ctl-1"})
    assert doctor(monkeypatch, Tools(), "--only", "cloud", "--only", "pacemaker", "-f", "json") == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["Finding"], row["On"]) == ("host-unprotected", "ctl-1") and "--ignore host-unprotected=ctl-1" in row["Mend"][0]


def test_a_guest_node_is_not_fenced_and_gets_no_level(monkeypatch: pytest.MonkeyPatch, capsys: Said, cloud: LittleCloud) -> None:
    cloud.services.append({**cloud.service("cmp-1"), "id": "guest", "host": "vm-1"})
    guest = ("<resources>", '<resources><primitive id="vm" class="ocf" provider="heartbeat" type="VirtualDomain"><meta_attributes id="vmm">'
             '<nvpair id="vmn" name="remote-node" value="vm-1"/></meta_attributes></primitive>')
    for areas in (("cloud", "pacemaker"), ("pacemaker",)):
        doctor(monkeypatch, Tools(changed(WELL, guest)), *(word for area in areas for word in ("--only", area)), "-f", "json")
        found = [(row["Finding"], row["On"]) for row in json.loads(capsys.readouterr().out) if row["Level"] == "error"]
        assert found == ([("host-unprotected", "vm-1")] if "cloud" in areas else [])
