"""A cluster that is well gives no finding, and each way to be ill gives its own: instance-ha doctor --only pacemaker."""

from __future__ import annotations

import json

import pytest
from instance_ha import cluster as door
from instance_ha.cli import common, main
from instance_ha.doctor.kinds import KINDS

from tests.unit.ailing import PACEMAKER, STONITH, Ill, Tools, changed, pair

Said = pytest.CaptureFixture[str]
Row = dict[str, object]


def examined(monkeypatch: pytest.MonkeyPatch, capsys: Said, tools: Tools, *argv: str) -> tuple[int, list[Row]]:
    """The exit code and the findings."""
    monkeypatch.setattr(door, "run", tools)
    monkeypatch.setattr(common, "run", tools)
    code = main(["doctor", "-f", "json", *(argv or ("--only", "pacemaker"))])
    return code, json.loads(capsys.readouterr().out)


def test_a_cluster_that_is_well(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    tools = Tools()
    assert examined(monkeypatch, capsys, tools) == (0, [])
    assert not [line for line in tools.asked if not line.startswith(("cibadmin --query", "crm_mon", "crm_node", "stonith_admin --history"))]


def test_a_controller_that_its_watchdog_fences_needs_no_device(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    ill = next(ill for ill in PACEMAKER if ill.kind == "controller-no-power")
    watchdog = STONITH + f"/><nvpair id=\"cib-bootstrap-options-watchdog\" {pair('stonith-watchdog-timeout', '10')}"
    assert examined(monkeypatch, capsys, Tools(changed(ill.tools().cib, (STONITH, watchdog)))) == (0, [])


@pytest.mark.parametrize("ill", PACEMAKER, ids=str)
def test_a_cluster_that_is_ill(monkeypatch: pytest.MonkeyPatch, capsys: Said, ill: Ill) -> None:
    code, rows = examined(monkeypatch, capsys, ill.tools())
    found = [row for row in rows if (row["Finding"], row["On"]) == (ill.kind, ill.on)]
    assert len(found) == 1, rows
    assert found[0]["Mend"] and found[0]["What"] and found[0]["Why"] == KINDS[ill.kind].why
    assert code == (0 if all(row["Level"] == "warning" for row in rows) else 1)
