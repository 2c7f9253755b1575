"""What lets a returned host's nova-compute start, and what makes it wait."""

from __future__ import annotations

import pytest
from instance_ha import cluster as door
from instance_ha.cli import common, main
from instance_ha.process import Outcome

CIB = """<cib have-quorum="{quorum}"><configuration><resources><primitive id="e" class="ocf" provider="openstack" type="NovaEvacuate"/>
<primitive id="cmp-1" class="ocf" type="remote" provider="pacemaker"/></resources>
<nodes><node type="remote" id="cmp-1" uname="cmp-1"><instance_attributes id="nodes-cmp-1">{pair}</instance_attributes></node></nodes>
</configuration><status><node_state remote_node="true" id="cmp-1" uname="cmp-1" in_ccm="{online}" node_fenced="0"/></status></cib>"""


def pair(value: str) -> str:
    return f'<nvpair id="r" name="evacuate" value="{value}"/>'


def gate(monkeypatch: pytest.MonkeyPatch, cib: str, code: int = 0) -> tuple[int, list[str]]:
    changes = []

    def run(argv: list[str], timeout: float) -> Outcome:
        if argv[:2] == ["cibadmin", "--query"]:
            start = cib.index("<resources>" if "resources" in argv else "<nodes>") if "--scope" in argv else 0
            end = cib.index("</resources>") + 12 if "resources" in argv else cib.index("</nodes>") + 8 if "--scope" in argv else len(cib)
            return Outcome(code, cib[start:end], "cibadmin: Init failed" if code else "")
        if argv[0] == "crm_node":
            return Outcome(0, "cmp-1\n", "")
        changes.append(" ".join(argv))
        return Outcome(0, "", "")

    monkeypatch.setattr("shutil.which", lambda name, path: f"/usr/sbin/{name}")
    monkeypatch.setattr(door, "run", run)
    monkeypatch.setattr(common, "run", run)
    return main(["wait-until-evacuated", "--timeout", "0.01"]), changes


def cib(value: str = "", quorum: str = "1", online: str = "true") -> str:
    return CIB.format(quorum=quorum, online=online, pair=pair(value) if value else "")


@pytest.mark.parametrize("value", ["", "returning;id=3f9c", "no"])
def test_a_host_without_an_evacuation_starts_at_once(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    assert gate(monkeypatch, cib(value)) == (0, [])


@pytest.mark.parametrize("value", ["evacuated;id=3f9c", "partly;id=3f9c;left=2"])
def test_what_is_over_ends_so_that_nothing_is_begun_any_more(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    code, changes = gate(monkeypatch, cib(value))
    assert code == 0 and "returning;id=3f9c" in changes[0]


@pytest.mark.parametrize("text", [
    cib("fenced;id=3f9c"), cib("confirmed;id=3f9c"), cib("junk"), cib("yes"), cib(quorum="0"), cib(online="false")])
def test_everything_else_waits(monkeypatch: pytest.MonkeyPatch, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert gate(monkeypatch, text) == (1, [])
    assert "waiting: " in capsys.readouterr().err


def test_a_machine_without_pacemaker_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path: None)
    assert main(["wait-until-evacuated"]) == 2
    assert "not installed" in capsys.readouterr().err


def test_a_cluster_that_cannot_be_asked_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert gate(monkeypatch, cib(), 102) == (1, [])
