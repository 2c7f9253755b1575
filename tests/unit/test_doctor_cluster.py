"""A cluster that is well gives no finding, and each way to be ill gives its own: instance-ha doctor --only pacemaker."""

from __future__ import annotations

import json

import pytest
from instance_ha import cluster as door
from instance_ha.cli import common, main
from instance_ha.doctor.kinds import KINDS

from tests.unit.ailing import CLOUD_DEVICE, PACEMAKER, STONITH, V3_0_3, WELL, Ill, Tools, changed, pair

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


@pytest.mark.parametrize("changes", [
    (V3_0_3,), (V3_0_3, (pair("concurrent-fencing", "true"), pair("node-action-limit", "8"))),
    (V3_0_3, (STONITH, pair("fencing-enabled", "true")))])
def test_pacemaker_3_has_other_names_and_defaults(monkeypatch: pytest.MonkeyPatch, capsys: Said, changes: tuple[tuple[str, str], ...]) -> None:
    assert examined(monkeypatch, capsys, Tools(changed(WELL, *changes))) == (0, [])


def test_a_timeout_is_set_under_the_name_that_is_in_force(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    for version, name in ((V3_0_3, "fencing-timeout"), (V3_0_3[:1] * 2, "stonith-timeout")):
        tools = Tools(changed(WELL, version, (CLOUD_DEVICE, f'{CLOUD_DEVICE}<nvpair id="n" {pair("nova_timeout", "80")}/>')))
        _, rows = examined(monkeypatch, capsys, tools)
        assert [row["Mend"] for row in rows if row["Finding"] == "fencing-time"] == [[f"pcs property set {name}=90s"]]


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


NIGHT = ('<rule id="night-rule" score="0"><date_expression id="d" operation="gt" '
         'start="2001-01-01"/></rule>')


@pytest.mark.parametrize("name", ["stonith-enabled", "maintenance-mode"])
def test_a_property_by_the_time_of_day_is_told(
        monkeypatch: pytest.MonkeyPatch, capsys: Said, name: str) -> None:
    """Pacemaker takes it from then to then; here nobody knows whether it is so when a host dies."""
    night = (f'<cluster_property_set id="night">{NIGHT}<nvpair id="n" {pair(name, "true")}/>'
             "</cluster_property_set></crm_config>")
    usual = f'<nvpair id="cib-bootstrap-options-stonith-enabled" {STONITH}/>'
    text = changed(WELL, (usual, ""), ("</crm_config>", night))
    _, rows = examined(monkeypatch, capsys, Tools(text))
    assert [(row["Finding"], row["On"], row["Mend"]) for row in rows] == [
        ("unseen", "cluster", [f"crm_attribute --type crm_config --name {name} --query"])]


def test_a_stickiness_by_the_time_of_day_is_not_missing(
        monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    name = "resource-stickiness"
    night = (f'<meta_attributes id="night" score="2">{NIGHT}<nvpair id="n" {pair(name, "1")}/>'
             "</meta_attributes></rsc_defaults>")
    text = changed(WELL, ("</rsc_defaults>", night), (pair(name, "100"), pair(name, "0")))
    _, rows = examined(monkeypatch, capsys, Tools(text))
    assert {row["Finding"] for row in rows} == {"unseen"}


def test_words_in_capitals_and_options_by_default_are_well(
        monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    ignore = ('</rsc_defaults><op_defaults><meta_attributes id="od"><nvpair id="o" '
              f'{pair("on-fail", "ignore")}/></meta_attributes></op_defaults>')
    text = changed(WELL, ('value="unfencing"', 'value="Unfencing"'), (' on-fail="ignore"', ""),
                   ("</rsc_defaults>", ignore))
    assert examined(monkeypatch, capsys, Tools(text)) == (0, [])


def test_no_cure_tells_a_power_device_that_it_fences_another_host(
        monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    """Its success would pass for the death of a host that lives."""
    wrong = 'devices="fence-cmp-1,fence-nova" target="cmp-2"'
    level = 'devices="fence-cmp-2,fence-nova" target="cmp-2"'
    text = changed(WELL, (level, wrong))
    listed = pair("pcmk_host_list", "cmp-2")
    for cib in (text, changed(text, (listed, listed.replace("cmp-2", "cmp-9")))):
        _, rows = examined(monkeypatch, capsys, Tools(cib))
        (mend,) = (row["Mend"] for row in rows if row["Finding"] == "device-not-for-node")
        assert isinstance(mend, list) and not [one for one in mend if "stonith update" in one]
