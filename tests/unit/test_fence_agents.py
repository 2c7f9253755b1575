"""One list of what fence agents do: worker, doctor and configure say the same of a level."""

from __future__ import annotations

import pytest
from instance_ha import configuration
from instance_ha.cib import parse_cib, read_cib
from instance_ha.configuring.powering import fault_of, is_right, wanted_levels
from instance_ha.engine.proof import level_fault
from instance_ha.fence_agents import EFFECTS, Effect, effect_of, proves
from instance_ha.model import RECORDERS

from tests.unit.ailing import LEVEL, STONITH, WELL, Tools, pair
from tests.unit.cibs import changed
from tests.unit.test_doctor_cluster import Said, examined

OF_CMP_2 = '<primitive id="fence-cmp-2" class="stonith" type="{}"'
WATCHDOG = (
    '<primitive id="wd" class="stonith" type="fence_watchdog"><instance_attributes id="wd-a">'
    f'<nvpair id="wd-l" {pair("pcmk_host_list", "cmp-1 cmp-2")}/></instance_attributes>'
    '<operations><op id="wd-m" name="monitor" interval="60s"/></operations></primitive>'
)
# An agent before fence_nova in the only level, and whether that is enough.
SOLE = (
    ("null", False),
    ("fence_dummy", False),
    ("fence_heuristics_ping", False),
    ("fence_ack_manual", False),
    ("fence_scsi", False),
    ("fence_mpath", False),
    ("fence_ifmib", False),
    ("fence_compute", False),
    ("fence_ipmilan", True),
    ("fence_redfish", True),
    ("external/ipmi", True),
    ("fence_kdump", True),
    ("fence_sbd", True),
    ("external/sbd", True),
    ("meatware", True),
    ("fence_of_the_site", True),
)


def of_type(agent: str) -> str:
    """The cluster that is well, with this agent as the power device of cmp-2."""
    return changed(WELL, (OF_CMP_2.format("fence_ipmilan"), OF_CMP_2.format(agent)))


def worker_says(cib: str, node: str) -> str:
    offline = changed(cib, (f'uname="{node}" in_ccm="true"', f'uname="{node}" in_ccm="false"'))
    return level_fault(read_cib(parse_cib(offline), "evacuate").levels[node])


@pytest.mark.parametrize(("agent", "enough"), SOLE)
def test_worker_doctor_and_configure_agree(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, agent: str, enough: bool
) -> None:
    cib = of_type(agent)
    said = worker_says(cib, "cmp-2")
    assert bool(said) is not enough
    _, rows = examined(monkeypatch, capsys, Tools(cib))
    found = {str(row["Finding"]): row for row in rows if row["On"] in ("cmp-2", "fence-cmp-2")}
    assert ("level-no-power" in found) is not enough
    assert ("agent-unknown" in found) is (agent == "fence_of_the_site")
    has = configuration.read(parse_cib(cib))
    level = has.levels_of("cmp-2")[0]
    assert is_right(has, level) is enough
    assert bool(fault_of(has, "cmp-2", {}, True)) is not enough
    if not enough and agent not in RECORDERS:
        reason = f"has only {agent} before fence_nova, which {effect_of(agent).value}"
        assert reason in said and reason in str(found["level-no-power"]["What"])


@pytest.mark.parametrize("agent", ["null", "fence_dummy", "fence_scsi"])
def test_the_cure_is_a_power_device(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, agent: str
) -> None:
    _, rows = examined(monkeypatch, capsys, Tools(of_type(agent)))
    (row,) = (row for row in rows if row["Finding"] == "level-no-power")
    assert str(row["Mend"]).startswith("['# create a power device for cmp-2")


@pytest.mark.parametrize("resource", [True, False])
def test_a_watchdog_as_second_level_is_legitimate(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, resource: bool
) -> None:
    """With a resource, and as the device that Pacemaker has of itself."""
    name = "wd" if resource else "watchdog"
    second = f'<fencing-level index="2" devices="{name},fence-nova" target="cmp-2" id="l2"/>'
    timeout = f'{STONITH}/><nvpair id="wt" {pair("stonith-watchdog-timeout", "10s")}'
    begin = '<primitive id="fence-cmp-2"'
    more = ((begin, WATCHDOG + begin),) if resource else ()
    cib = changed(WELL, (LEVEL, LEVEL + second), (STONITH, timeout), *more)
    _, rows = examined(monkeypatch, capsys, Tools(cib))
    assert not [row for row in rows if str(row["Finding"]).startswith("level")], rows
    has = configuration.read(parse_cib(cib))
    assert fault_of(has, "cmp-2", {}, False) == ""
    assert wanted_levels(has, "cmp-2", {}, "fence-nova") == has.levels_of("cmp-2")
    if resource:
        assert worker_says(cib, "cmp-2") == ""


def test_a_level_that_proves_nothing_beside_one_that_does() -> None:
    """The first to succeed is what fences: each level has to be a proof."""
    second = '<fencing-level index="2" devices="fence-cmp-1,fence-nova" target="cmp-2" id="l2"/>'
    dummy = OF_CMP_2.replace("cmp-2", "cmp-1")
    cib = changed(
        WELL, (LEVEL, LEVEL + second), (dummy.format("fence_ipmilan"), dummy.format("null"))
    )
    assert worker_says(cib, "cmp-2").startswith("its fencing level 2 has only null before")
    assert "level 2 has only null" in fault_of(configuration.read(parse_cib(cib)), "cmp-2", {}, False)


def test_two_power_devices_are_never_made_one(
    monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    """A host with two power supplies is not off when one of them is."""
    both = (pair("pcmk_host_list", "cmp-1"), pair("pcmk_host_list", "cmp-1 cmp-2"))
    _, rows = examined(monkeypatch, capsys, Tools(changed(WELL, (LEVEL, ""), both)))
    (row,) = (row for row in rows if row["Finding"] == "level-missing")
    lines = row["Mend"]
    assert (
        isinstance(lines, list)
        and len(lines) == 1
        and lines[0].startswith("# fence-cmp-1, fence-cmp-2")
    )
    assert "pcs stonith level add 1 cmp-2 fence-cmp-1 fence-cmp-2 fence-nova" in lines[0]


def test_the_list() -> None:
    assert {effect for effect in Effect} == {*EFFECTS.values(), Effect.UNKNOWN}
    assert not proves("") and not any(map(proves, RECORDERS))
