"""instance-ha configure, with a cluster and a Nova that answer as real ones do."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from instance_ha import cluster as door
from instance_ha.cli import common, main
from instance_ha.configuring import transaction
from instance_ha.process import Outcome

from tests.unit.cibs import BARE, FENCE_COMPUTE, PROTECTED, changed
from tests.unit.fake import Fake

HOSTS = ["--hosts", "cmp-1,cmp-2"]
LAB = [*HOSTS, "--cloud", "lab"]
RECORD = ('<nvpair id="nodes-cmp-1-osprole" name="osprole" value="compute"/>',
          '<nvpair id="nodes-cmp-1-osprole" name="osprole" value="compute"/><nvpair id="r" name="evacuate" value="confirmed;id=3f9c"/>')
NO_QUORUM = Outcome(1, "", "Error: unable to push cib\nCall failed: Operation not permitted: no quorum")


READS = ("cibadmin --query", "stonith_admin", "attrd_updater", "crm_resource", "crm_diff")
LINES = ("#", "pcs -f ", "pcs cluster cib-push", "set -eu", "umask 077", "mkdir -p", "cibadmin --query >", "cp ")


class Machine:
    """A controller: `cib` is what its cluster has, `result` what the commands make of a file, `fails` what a command that begins so
    answers instead. A push puts `pushed` in place of the CIB."""

    def __init__(self, cib: str, result: str = PROTECTED) -> None:
        self.cib, self.result, self.pushed = cib, result, result
        self.asked: list[str] = []
        self.fails: dict[str, Outcome] = {}
        self.capable = '<pacemaker-result><list name="Registered Devices" count="0"/><status code="0" message="OK"/></pacemaker-result>'
        self.transient = ""

    def __call__(self, argv: list[str], timeout: float) -> Outcome:
        line = " ".join(argv)
        self.asked.append(line)
        failing = next((outcome for begin, outcome in self.fails.items() if line.startswith(begin)), None)
        if failing:
            return failing
        if "cib-push" in line or line.startswith(("sh -c", "cibadmin --patch")):
            self.cib = self.pushed
        elif argv[0] in ("pcs", "env"):
            file = re.search(r"\S+/(after|undo-result)\.xml", line)
            assert file
            Path(file[0].partition("=")[2] or file[0]).write_text(self.result)
        answers = {"cibadmin --query": self.cib, "stonith_admin": self.capable, "attrd_updater": self.transient, "crm_diff": "<diff/>"}
        code = 1 if argv[0] == "crm_diff" else 0
        return Outcome(code, next((text for begin, text in answers.items() if line.startswith(begin)), ""), "")

    @property
    def changes(self) -> list[str]:
        return [line for line in self.asked if not line.startswith(READS)]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return install(monkeypatch, Machine(BARE))


def install(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> Machine:
    monkeypatch.setattr("shutil.which", lambda name, path: f"/usr/sbin/{name}")
    monkeypatch.setattr(door, "run", machine)
    monkeypatch.setattr(common, "run", machine)
    return machine


Said = pytest.CaptureFixture[str]


def test_the_steps_are_printed_for_a_shell_and_nothing_is_changed(machine: Machine, capsys: Said, tmp_path: Path) -> None:
    assert main(["configure", *LAB, "--save-in", str(tmp_path)]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert all(line.startswith(LINES) for line in lines)
    assert sum("stonith level add 1 cmp-" in line for line in lines) == 2
    assert lines[-1].startswith("# the way back: instance-ha configure --undo ")
    assert not machine.changes and not list(tmp_path.iterdir())


def test_the_file_is_pushed_as_a_difference(machine: Machine, capsys: Said) -> None:
    """Else a record that is written meanwhile would be lost."""
    for tool, push in (("pcs", r"pcs cluster cib-push (\S+)/after.xml diff-against=(\S+)/before.xml"),
                       ("crmsh", r"crm_diff --original (\S+)/before.xml --new (\S+)/after.xml --no-version \| cibadmin --patch --xml-pipe")):
        main(["configure", *LAB, "--tool", tool])
        found = re.search(push, capsys.readouterr().out)
        assert found and found[1] == found[2]


def test_what_is_applied_is_saved_first_and_looked_at_before_and_after(machine: Machine, capsys: Said, tmp_path: Path) -> None:
    assert main(["configure", *LAB, "--apply", "--save-in", str(tmp_path / "a" / "b")]) == 0
    folder = next((tmp_path / "a" / "b").iterdir())
    assert (folder / "before.xml").read_text() == BARE
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and stat.S_IMODE((folder / "after.xml").stat().st_mode) == 0o600
    assert machine.changes[-1] == f"pcs cluster cib-push {folder}/after.xml diff-against={folder}/before.xml"
    assert machine.asked[-1] == "cibadmin --query"
    assert f"instance-ha configure --undo {folder}" in capsys.readouterr().out.splitlines()[-1]
    assert main(["configure", *HOSTS]) == 0
    assert capsys.readouterr().out == "# nothing to do\n"


def test_the_first_step_that_fails_ends_it_and_the_cluster_is_as_it_was(machine: Machine, capsys: Said, tmp_path: Path) -> None:
    machine.fails["pcs -f"] = Outcome(1, "", "Error: Agent 'stonith:fence_nova' is not installed")
    assert main(["configure", *LAB, "--apply", "--save-in", str(tmp_path)]) == 1
    assert "step 1 of 13 failed: Error: Agent 'stonith:fence_nova' is not installed; the cluster is as it was" in capsys.readouterr().err
    assert len(machine.changes) == 1


def test_a_file_that_is_not_what_it_should_be_is_not_pushed(machine: Machine, capsys: Said, tmp_path: Path) -> None:
    machine.result = changed(PROTECTED, ('devices="fence-cmp-1,fence-nova"', 'devices="fence-nova,fence-cmp-1"'))
    assert main(["configure", *LAB, "--apply", "--save-in", str(tmp_path)]) == 1
    assert "is not what it should be after all steps (cmp-1: the power device first" in capsys.readouterr().err
    assert not any("cib-push" in line for line in machine.asked)


def test_a_push_counts_when_the_cluster_shows_it_and_only_then(machine: Machine, capsys: Said, tmp_path: Path) -> None:
    machine.pushed = BARE
    assert main(["configure", *LAB, "--apply", "--save-in", str(tmp_path / "1")]) == 1
    assert "the cluster does not take the change (" in capsys.readouterr().err
    machine.fails["pcs cluster cib-push"] = NO_QUORUM
    assert main(["configure", *LAB, "--apply", "--save-in", str(tmp_path / "2")]) == 1
    assert "no quorum" in capsys.readouterr().err
    machine.fails, machine.pushed = {}, "<cib"
    assert main(["configure", *LAB, "--apply", "--save-in", str(tmp_path / "4")]) == 1
    assert "whether the cluster has taken the change is not known" in capsys.readouterr().err
    machine.cib, machine.pushed = BARE, PROTECTED
    assert main(["configure", *LAB, "--apply", "--save-in", str(tmp_path / "3")]) == 0


@pytest.mark.parametrize(("cib", "argv", "said"), [
    (BARE, HOSTS, "which cloud? Give --cloud NAME"),
    (BARE, ["--hosts", "cmp-1,cmp-7", "--cloud", "lab"], "cmp-7: no node of this cluster, which has cmp-1, cmp-2, ctl-1, ctl-2"),
    (changed(BARE, ('name="pcmk_host_list" value="cmp-1"', 'name="pcmk_host_list" value="x"')), LAB, "cmp-1: no power device fences it: create one"),
    (FENCE_COMPUTE, LAB, "--migrate puts fence_nova in its place"),
    (BARE, [*LAB, "--nova-compute", "nova-compute"], "is no agent: write it as class:type"),
    (BARE, ["--undo", "/nowhere"], "there is no /nowhere/after.xml"),
    (BARE, [*LAB, "--image-disks", "shared", "--apply", "--save-in", "/proc/x"], "cannot be saved in /proc/x/configure-"),
])
def test_nothing_is_tried_and_one_sentence_says_why(monkeypatch: pytest.MonkeyPatch, capsys: Said, cib: str, argv: list[str],
                                                     said: str) -> None:
    machine = install(monkeypatch, Machine(cib))
    assert main(["configure", *argv]) == 2
    told = capsys.readouterr()
    assert said in told.err and not told.out and not machine.changes


def test_without_a_cluster_nothing_is_tried(machine: Machine, capsys: Said) -> None:
    machine.fails["cibadmin"] = Outcome(102, "", "cibadmin: Init failed, could not perform requested operations")
    assert main(["configure", *LAB]) == 2
    assert "is Pacemaker running on this node?" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--apply"], []])
def test_what_restarts_nova_compute_waits_for_an_evacuation(monkeypatch: pytest.MonkeyPatch, capsys: Said, argv: list[str]) -> None:
    machine = install(monkeypatch, Machine(changed(PROTECTED, RECORD, ('value="cmp-1 cmp-2"', 'value="cmp-1"'))))
    assert main(["configure", *HOSTS, *argv]) == 2
    assert "cmp-1 is on record (confirmed)" in capsys.readouterr().err and not machine.changes


def test_what_restarts_nothing_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Machine(changed(PROTECTED, RECORD, ('name="load-threshold"', 'name="other"'))))
    assert main(["configure", *HOSTS]) == 1


def test_a_migration_waits_for_a_quiet_moment(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    machine = install(monkeypatch, Machine(FENCE_COMPUTE))
    machine.transient = 'name="evacuate" host="cmp-2" value="yes"\n'
    assert main(["configure", *LAB, "--migrate"]) == 2
    assert "cmp-2 has been fenced by fence_compute" in capsys.readouterr().err
    machine.transient, machine.cib = "", changed(FENCE_COMPUTE, ('uname="cmp-1" in_ccm="true"', 'uname="cmp-1" in_ccm="false"'))
    assert main(["configure", *LAB, "--migrate"]) == 2
    assert "cmp-1 is not online" in capsys.readouterr().err


def test_a_migration_says_where_the_credentials_go_and_never_what_they_are(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    install(monkeypatch, Machine(FENCE_COMPUTE))
    assert main(["configure", *LAB, "--migrate"]) == 1
    said = capsys.readouterr().out
    assert "/etc/openstack/clouds.yaml" in said and "fence-nova: auth_url, password" in said
    assert "s3cret" in FENCE_COMPUTE and "s3cret" not in said and "lab-bmc" in FENCE_COMPUTE and "lab-bmc" not in said


def test_the_gate_is_told_where_nova_compute_is_not_pacemakers(machine: Machine, capsys: Said) -> None:
    assert main(["configure", *LAB, "--no-nova-compute"]) == 1
    said = capsys.readouterr().out
    assert "#     ExecStartPre=+/usr/bin/instance-ha wait-until-evacuated" in said and "let_in=at_once" in said
    assert "resource create nova-compute" not in said


# Which hosts

SERVICES = [{"id": n, "binary": binary, "host": host, "status": "enabled", "state": "up"} for n, (binary, host) in enumerate(
    (("nova-compute", "cmp-1.example.com"), ("nova-compute", "cmp-2.example.com"), ("nova-conductor", "ctl-1")))]


@pytest.fixture
def cloud(fake: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fake:
    """Cloud `lab` in clouds.yaml is the stand-in."""
    file = tmp_path / "clouds.yaml"
    file.write_text(f"clouds: {{lab: {{auth_type: none, compute_endpoint_override: 'http://127.0.0.1:{fake.server.server_port}'}}}}\n")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    return fake


def test_nova_says_which_hosts(machine: Machine, cloud: Fake, capsys: Said) -> None:
    cloud.says(200, {"services": SERVICES})
    assert main(["configure", "--cloud", "lab"]) == 1
    assert "'pcmk_host_list=cmp-1 cmp-2'" in capsys.readouterr().out


def test_a_compute_host_that_is_no_node_is_named_with_what_to_create(machine: Machine, cloud: Fake, capsys: Said) -> None:
    cloud.says(200, {"services": [*SERVICES, {**SERVICES[0], "host": "cmp-9.example.com"}]})
    assert main(["configure", "--cloud", "lab"]) == 2
    assert "cmp-9.example.com: compute hosts of Nova, and no nodes of this cluster" in capsys.readouterr().err


def test_a_nova_that_cannot_be_asked_is_no_cloud_without_hosts(machine: Machine, cloud: Fake, capsys: Said) -> None:
    cloud.says(403, {"forbidden": {"message": "Policy does not allow it"}})
    assert main(["configure", "--cloud", "lab"]) == 2
    assert "or name them: --hosts" in capsys.readouterr().err
    assert main(["configure", "--cloud", "unheard-of"]) == 2
    assert "the cloud 'unheard-of' cannot be used" in capsys.readouterr().err


# The way back

def folder(tmp_path: Path, before: str = BARE, after: str = PROTECTED) -> Path:
    (tmp_path / "before.xml").write_text(before)
    (tmp_path / "after.xml").write_text(after)
    return tmp_path


def test_the_way_back_leaves_records_and_attributes_of_nodes_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine = install(monkeypatch, Machine(PROTECTED, BARE))
    assert main(["configure", "--undo", str(folder(tmp_path))]) == 0
    assert machine.changes[-1] == f"cibadmin --patch --xml-file {tmp_path}/undo-change.xml"
    difference = next(line for line in machine.asked if line.startswith("crm_diff"))
    for name in re.findall(r"\S+\.xml", difference):
        assert "osprole" not in Path(name).read_text().partition("<resources>")[0]


def test_there_is_no_way_back_while_a_host_is_on_record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Said) -> None:
    machine = install(monkeypatch, Machine(changed(PROTECTED, RECORD)))
    assert main(["configure", "--undo", str(folder(tmp_path))]) == 2
    assert "on record are cmp-1 (confirmed)" in capsys.readouterr().err and not machine.changes


def test_a_way_back_that_would_leave_levels_without_devices_is_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                                         capsys: Said) -> None:
    levels = '<fencing-topology><fencing-level index="1" devices="fence-cmp-1,fence-nova" target="cmp-1" id="mine"/></fencing-topology>'
    machine = install(monkeypatch, Machine(PROTECTED, changed(BARE, ("<constraints/>", f"<constraints/>{levels}"))))
    assert main(["configure", "--undo", str(folder(tmp_path))]) == 2
    assert "fencing levels would name fence-nova, which would be gone" in capsys.readouterr().err
    assert not any(line.startswith("cibadmin --patch") for line in machine.asked)


def test_what_cannot_be_taken_back_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Said) -> None:
    machine = install(monkeypatch, Machine(PROTECTED, BARE))
    machine.fails["env CIB_file"] = Outcome(78, "", "Call failed: Update does not conform to the configured schema")
    assert main(["configure", "--undo", str(folder(tmp_path))]) == 2
    assert "is left as it is: cibadmin --patch failed with 78" in capsys.readouterr().err
    machine.fails = {"crm_diff": Outcome(0, "", "")}
    assert main(["configure", "--undo", str(tmp_path)]) == 2
    assert "changed nothing that can be taken back" in capsys.readouterr().err
    assert transaction.TOOLS == {"pcs": "pcs", "crmsh": "crm"}
