"""What real sites have: worker and doctor on the CIBs that public reports show, and the cures that they must not give."""

from __future__ import annotations

import re

import pytest
from instance_ha import configuration
from instance_ha.cib import read_cib
from instance_ha.configuration import Level
from instance_ha.configuring.banned import is_banned
from instance_ha.configuring.changes import SetLevels
from instance_ha.configuring.provisioning import Wish, propose
from instance_ha.engine.proof import level_fault
from lxml import etree

from tests.unit.ailing import LEVEL, OFFLINE, WELL, Tools
from tests.unit.cibs import FOLDER, changed, tree
from tests.unit.test_doctor_cluster import Said, examined

# By file: what the worker says of the levels of its first compute host ("" for nothing), and what the doctor finds besides hints.
SITES = {
    "compute-start-failed": ("", {"failure-timeout"}),
    "level-by-pattern": ("no power device", {"level-no-power", "failure-timeout"}),
    "level-by-pattern-and-name": ("", {"failure-timeout", "on-record"}),
    "opt-in-cluster": ("", {"no-fence-nova", "level-no-record", "no-worker"}),
    "power-dummy": ("only fence_dummy", {"level-no-power", "failure-timeout"}),
    "power-from-template": ("", {"failure-timeout", "on-record"}),
    "power-null": ("only null", {"level-no-power", "failure-timeout"}),
    "remote-from-template": ("", {"failure-timeout", "node-offline"}),
    "watchdog-level2": ("", {"failure-timeout", "device-down"}),      # crm_mon of another cluster knows no such device
}
RECORD = "fenced;id=3f9c0a12;at=1790000000;host=cmp-1"
STATES = ({"evacuate": RECORD, "evacuate-held": "true"}, {"standby": "on"}, {"maintenance": "true"})
SPREAD = re.compile(r"node attribute \S+ (set )?(evacuate|standby[= ]on|maintenance[= ]true)"
                    r"|(constraint|configure) location .* (evacuate|standby|maintenance) (eq|ne)|(not_)?defined (standby|maintenance|evacuate$)")


@pytest.mark.parametrize("name", sorted(SITES))
def test_worker_and_doctor_on_what_sites_have(monkeypatch: pytest.MonkeyPatch, capsys: Said, name: str) -> None:
    fault, kinds = SITES[name]
    has = configuration.read(tree(FOLDER[name]))
    said = level_fault([tuple(map(has.agent_of, level.devices)) for level in has.levels_of("cmp-1")])
    assert fault in said and bool(fault) == bool(said)
    _, rows = examined(monkeypatch, capsys, Tools(FOLDER[name]))
    assert {str(row["Finding"]) for row in rows} == kinds
    assert has.nodes["cmp-1"].remote


@pytest.mark.parametrize("state", STATES, ids=lambda state: next(iter(state)))
@pytest.mark.parametrize("name", sorted(FOLDER))
def test_no_cure_is_made_from_a_record_a_standby_or_a_maintenance(
        monkeypatch: pytest.MonkeyPatch, capsys: Said, name: str, state: dict[str, str]) -> None:
    """Without the constraints and the roles, so that there is something to cure."""
    host, root = "node-1" if name.startswith("three") else "cmp-1", tree(FOLDER[name])
    unwanted = ("rsc_location", "nvpair[@name='osprole']", *(f"node/instance_attributes/nvpair[@name='{key}']" for key in state))
    for path in unwanted:
        for element in root.findall(f".//{path}"):
            element.getparent().remove(element)
    node = root.find(f".//nodes/node[@uname='{host}']")
    if node is None:
        node = etree.SubElement(root.find(".//nodes"), "node", id=host, uname=host, type="remote")
    pairs = etree.SubElement(node, "instance_attributes", id="state")
    for key, value in state.items():
        etree.SubElement(pairs, "nvpair", id=f"state-{key}", name=key, value=value)
    text = etree.tostring(root, encoding="unicode")
    assert configuration.read(root).nodes[host].attributes.items() >= state.items()
    _, rows = examined(monkeypatch, capsys, Tools(text))
    lines = [line for row in rows for key in ("Mend", "Crmsh") for line in row[key]]  # type: ignore[attr-defined]
    assert lines and not [line for line in lines if SPREAD.search(line)]


def test_a_level_without_fence_nova_has_to_prove_as_much() -> None:
    """The first level to succeed is what fences."""
    assert "level 2 has only fence_dummy, which is a test" in level_fault([("fence_ipmilan", "fence_nova"), ("fence_dummy",)])
    assert not level_fault([("fence_ipmilan", "fence_nova"), ("fence_ipmilan",)])


def test_levels_of_which_pacemaker_may_take_either(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    """A pattern and an attribute both match: each has to be right, for worker, doctor and configure; the cure is by name."""
    level = 'index="1" devices="{}" target-{}" id="{}"'
    right = level.format("fence-cmp-2,fence-nova", 'pattern="^cmp-[[:digit:]]+$', "p")
    wrong = level.format("fence-nova", 'attribute="osprole" target-value="compute', "a")
    for both, cure in (((right, wrong), True), ((right, right.replace('"p"', '"q"').replace("^cmp", "cmp")), False)):
        text = changed(WELL, (LEVEL, "".join(f"<fencing-level {one}/>" for one in both)))
        has = configuration.read(tree(text))
        said = level_fault(read_cib(tree(changed(text, OFFLINE)), "evacuate").levels["cmp-2"])
        assert has.is_doubtful("cmp-2") and bool(said) is cure
        _, rows = examined(monkeypatch, capsys, Tools(text))
        found = [row["Mend"] for row in rows if row["On"] == "cmp-2" and "does not say which" in str(row["What"])]
        assert found == ([["pcs stonith level add 1 cmp-2 fence-cmp-2 fence-nova"]] if cure else [])
        steps = [step.change for step in propose(has, Wish(("cmp-1", "cmp-2"))).steps]
        assert [one.after for one in steps if isinstance(one, SetLevels)] == (
            [[Level(1, ("fence-cmp-2", "fence-nova"), "cmp-2")]] if cure else [])


def test_a_property_in_the_set_of_our_history_counts() -> None:
    """pcs writes into the first set that is there; our own words in it are no properties."""
    usual = '<nvpair id="cib-bootstrap-options-stonith-enabled" name="stonith-enabled" value="true"/>'
    history = ('<cluster_property_set id="instance-ha-history"><nvpair id="h1" name="instance-ha-1" '
               'value="x"/><nvpair id="h2" name="stonith-enabled" value="false"/>'
               "</cluster_property_set></crm_config>")
    has = configuration.read(tree(changed(WELL, (usual, ""), ("</crm_config>", history))))
    assert not has.properties.is_true("fencing-enabled")
    assert "instance-ha-1" not in has.properties.given


def test_a_node_attribute_by_the_time_of_day_is_not_known() -> None:
    """A constraint that goes by it keeps nothing off for certain."""
    role = '<nvpair id="nodes-cmp-2-osprole" name="osprole" value="compute"/>'
    night = ('<rule id="n" score="0"><date_expression id="d" operation="gt" start="2001-01-01"/>'
             "</rule>")
    has = configuration.read(tree(changed(WELL, (role, night + role))))
    worker, compute = has.resources["nova-evacuate"], has.resources["nova-compute"]
    assert is_banned(has, worker, has.nodes["cmp-1"])
    assert not is_banned(has, worker, has.nodes["cmp-2"])
    assert not is_banned(has, compute, has.nodes["cmp-2"])


def test_a_map_in_other_letters_is_the_nodes(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    """The fencer compares names of nodes in any letters, in pcmk_host_list and pcmk_host_map."""
    listed = 'name="pcmk_host_list" value="cmp-1 cmp-2"'
    mapped = 'name="pcmk_host_map" value="CMP-1:compute-1.example.com;cmp-2:cmp-2"'
    text = changed(WELL, (listed, mapped))
    assert read_cib(tree(text), "evacuate").named("cmp-1") == "compute-1.example.com"
    _, rows = examined(monkeypatch, capsys, Tools(text))
    assert not [row for row in rows if row["Level"] != "hint"], rows


@pytest.mark.parametrize(("name", "value", "told"), [
    ("maintenance", "t", False), ("maintenance", "Yes", True), ("is-managed", "t", True), ("is-managed", "1", False)])
def test_doctor_reads_words_as_the_worker_does(
        monkeypatch: pytest.MonkeyPatch, capsys: Said, name: str, value: str, told: bool) -> None:
    """Pacemaker knows fewer words than the agents' parameters do: held to its scheduler in test_not_fenced.py."""
    remote = '<primitive id="cmp-1" class="ocf" type="remote" provider="pacemaker">'
    meta = f'<meta_attributes id="mm"><nvpair id="mn" name="{name}" value="{value}"/></meta_attributes>'
    text = changed(WELL, (remote, remote + meta))
    _, rows = examined(monkeypatch, capsys, Tools(text))
    assert ("maintenance-mode" in {row["Finding"] for row in rows}) is told
    assert ("cmp-1" in read_cib(tree(text), "evacuate").unfenced) is told
