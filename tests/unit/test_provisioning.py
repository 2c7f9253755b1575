"""What a cluster lacks, and what a person has to do first."""

from __future__ import annotations

import dataclasses
import re

import pytest
from instance_ha.configuration import PATTERN, Configuration, Level
from instance_ha.configuring import powering
from instance_ha.configuring.changes import Ban, Create, Delete, SetAttribute, SetDefaults, SetLevels, SetProperties, Update
from instance_ha.configuring.provisioning import Proposal, Wish, is_nova_compute, propose, to_protect
from instance_ha.engine.proof import level_fault

from tests.unit.cibs import BARE, FENCE_COMPUTE, FOLDER, PROTECTED, read

WISH = Wish(("cmp-1", "cmp-2"), "lab")
ANY = Wish(("cmp-1", "cmp-2"))
SAID = dataclasses.replace(WISH, image_disks="evacuate")
LIST = 'name="pcmk_host_list" value="cmp-1"'
SECRET = "s3cret"
MONITOR = '<op name="monitor" interval="60s" timeout="30s" on-fail="ignore"'
LIMIT = 'name="pcmk_action_limit" value="-1"/>'


def changes(proposal: Proposal, kind: type) -> list[object]:
    return [step.change for step in proposal.steps if isinstance(step.change, kind)]


def levels(has: Configuration, node: str, wish: Wish = WISH) -> tuple[tuple[str, ...], ...]:
    """The devices of a node's levels once the steps are taken."""
    change = next(iter(changes(propose(has, wish), SetLevels)), None)
    after = [level for level in change.after if level.target == node] if isinstance(change, SetLevels) else []
    return tuple(level.devices for level in (after or has.levels_of(node)))


def test_a_bare_cluster_lacks_all_that_the_quick_start_has() -> None:
    proposal = propose(read(BARE), WISH)
    assert not proposal.faults
    creates = {change.id: change for change in changes(proposal, Create)}
    assert list(creates) == ["fence-nova", "nova-compute", "nova-evacuate"]
    assert creates["fence-nova"].params == {"cloud": "lab", "pcmk_host_list": "cmp-1 cmp-2", "pcmk_action_limit": "-1", "let_in": "at_once"}
    assert creates["fence-nova"].meta == {"provides": "unfencing", "failure-timeout": "60s"}
    assert creates["nova-compute"].meta == {
        "requires": "unfencing", "failure-timeout": "60s"}
    assert creates["nova-compute"].clone == {"interleave": "true"}
    assert changes(proposal, SetAttribute) == [SetAttribute("cmp-1", "osprole", "compute"), SetAttribute("cmp-2", "osprole", "compute")]
    assert [(change.resource, tuple(change.rule)) for change in changes(proposal, Ban)] == [
        ("nova-compute-clone", ("not_defined", "osprole")),
        ("nova-compute-clone", ("evacuate-held", "eq", "true")), ("nova-compute-clone", ("evacuate-held", "eq", "stop")),
        ("nova-evacuate", ("osprole", "eq", "compute"))]
    assert changes(proposal, SetProperties) == [SetProperties({"stonith-enabled": "true", "concurrent-fencing": "true", "load-threshold": "1000%"})]
    assert changes(proposal, SetDefaults) == [SetDefaults({"resource-stickiness": "100"})]
    assert levels(read(BARE), "cmp-1") == (("fence-cmp-1", "fence-nova"),)


def test_a_protected_cluster_lacks_nothing() -> None:
    assert propose(read(PROTECTED), ANY) == Proposal()
    assert propose(read(PROTECTED), dataclasses.replace(WISH, migrate=True)) == Proposal()


def test_ones_own_names_and_ids_are_kept() -> None:
    has = read(PROTECTED, ("fence-nova", "recorder"), ("nova-evacuate", "evacuator"), ("nova-compute-clone", "cl-n"),
               ('id="nova-compute"', 'id="nova-compute-unfenced"'), ('type="nova-compute"', 'type="openstack-nova-compute"'))
    assert propose(has, ANY) == Proposal()


@pytest.mark.parametrize(("missing", "kind"), [
    ('<nvpair id="fence-nova-meta_attributes-provides" name="provides" value="unfencing"/>', Update),
    ('<nvpair id="fence-nova-instance_attributes-pcmk_action_limit" name="pcmk_action_limit" value="-1"/>', Update),
    (' on-fail="ignore"', Update),
    ('<nvpair id="nova-compute-meta_attributes-requires" name="requires" value="unfencing"/>', Update),
    ('<nvpair id="nova-evacuate-meta_attributes-failure-timeout" name="failure-timeout" value="60s"/>', Update),
    ('<nvpair id="nodes-cmp-1-osprole" name="osprole" value="compute"/>', SetAttribute),
    ('<nvpair id="rsc_defaults-meta_attributes-resource-stickiness" name="resource-stickiness" value="100"/>', SetDefaults),
    ('<nvpair id="cib-bootstrap-options-concurrent-fencing" name="concurrent-fencing" value="true"/>', SetProperties),
    ('<fencing-level index="1" devices="fence-cmp-1,fence-nova" target="cmp-1" id="fl-cmp-1-1"/>', SetLevels),
    ('<expression id="location-nova-evacuate-rule-expr" operation="eq" attribute="osprole" value="compute"/>', Ban),
])
def test_one_thing_that_is_missing_is_one_step(missing: str, kind: type) -> None:
    proposal = propose(read(PROTECTED, (missing, "")), ANY)
    assert [type(step.change) for step in proposal.steps] == [kind], proposal


@pytest.mark.parametrize(("timeout", "steps"), [("60s", 1), ("1min", 1), ("20", 0), ("20000ms", 0)])
def test_the_start_of_a_remotes_connection_may_not_take_long(timeout: str, steps: int) -> None:
    start = '<op name="start" timeout="15" interval="0s" id="cmp-1-start-interval-0s"/>'
    changed = changes(propose(read(PROTECTED, (start, start.replace("15", timeout))), ANY), Update)
    assert [change.operations for change in changed] == [{"start": {"timeout": "15", "interval": "0s"}}] * steps


def test_settings_of_ones_own_that_do_no_harm_are_kept() -> None:
    has = read(PROTECTED, ('name="load-threshold" value="1000%"', 'name="load-threshold" value="300%"'),
               ('name="resource-stickiness" value="100"', 'name="resource-stickiness" value="INFINITY"'),
               (MONITOR, '<op name="monitor" interval="90s" timeout="45s" on-fail="ignore"'),
               ('name="failure-timeout" value="60s"', 'name="failure-timeout" value="5min"'))
    assert not propose(has, ANY).steps


def test_a_monitor_keeps_its_other_options() -> None:
    has = read(PROTECTED, (MONITOR, '<op name="monitor" interval="90s" timeout="45s"'))
    change = changes(propose(has, ANY), Update)[0]
    assert isinstance(change, Update) and change.operations == {"monitor": {"interval": "90s", "timeout": "45s", "on-fail": "ignore"}}


def test_only_what_restarts_nova_compute_says_so() -> None:
    assert [type(step.change).__name__ for step in propose(read(BARE), WISH).steps if step.restarts] == ["Create", "Create"]
    assert not any(step.restarts for step in propose(read(PROTECTED, (' on-fail="ignore"', "")), ANY).steps)
    assert all(step.restarts for step in propose(read(PROTECTED, ('value="cmp-1 cmp-2"', 'value="cmp-1"')), ANY).steps)


# Power

TWO = (LIST, 'name="pcmk_host_list" value="cmp-1"'), ("<resources>", """<resources><primitive id="pdu-b" class="stonith" type="fence_apc">
    <instance_attributes id="pb"><nvpair id="pbl" name="pcmk_host_map" value="cmp-1:3;cmp-7:4,5"/></instance_attributes></primitive>""")


def topology(*found: str) -> tuple[str, str]:
    text = "".join(f'<fencing-level id="l{n}" {one}/>' for n, one in enumerate(found))
    return "</constraints>" if "</constraints>" in BARE else "<constraints/>", f"<constraints/><fencing-topology>{text}</fencing-topology>"


def test_a_host_without_a_power_device_is_named_with_what_to_create() -> None:
    faults = propose(read(BARE, (LIST, 'name="pcmk_host_list" value="other"')), WISH).faults
    assert len(faults) == 1 and faults[0].startswith("cmp-1: no power device") and "pcs stonith create fence-cmp-1" in faults[0]


def test_the_fencer_is_asked_for_devices_that_name_no_host() -> None:
    has = read(BARE, ('<nvpair id="fence-cmp-1-instance_attributes-pcmk_host_list" name="pcmk_host_list" value="cmp-1"/>', ""))
    assert "cmp-1" in powering.unnamed(has)
    known = dataclasses.replace(WISH, capable={"cmp-1": ["fence-cmp-1", "fence-cmp-2"]})   # the second says itself that it fences others
    assert levels(has, "cmp-1", known) == (("fence-cmp-1", "fence-nova"),)


def test_two_power_devices_without_levels_are_for_a_person_to_order() -> None:
    faults = propose(read(BARE, *TWO), WISH).faults
    assert len(faults) == 1 and "2 power devices fence it (pdu-b, fence-cmp-1)" in faults[0]


@pytest.mark.parametrize(("found", "wanted"), [
    (['index="1" target="cmp-1" devices="fence-cmp-1,pdu-b"'], (("fence-cmp-1", "pdu-b", "fence-nova"),)),
    (['index="1" target="cmp-1" devices="pdu-b"', 'index="2" target="cmp-1" devices="fence-cmp-1"'],
     (("pdu-b", "fence-nova"), ("fence-cmp-1", "fence-nova"))),
])
def test_several_devices_keep_their_order_and_levels(found: list[str], wanted: object) -> None:
    has = read(BARE, *TWO, topology(*found))
    assert levels(has, "cmp-1") == wanted
    agents = {**{device: has.resources[device].type for device in has.resources}, "fence-nova": "fence_nova"}
    assert not level_fault([[agents[device] for device in devices] for devices in levels(has, "cmp-1")])


def test_a_level_by_a_pattern_keeps_its_device() -> None:
    by_pattern = topology('index="1" target-pattern="cmp-." devices="pdu-b"')
    has = read(BARE, *TWO, ("cmp-7:4,5", "cmp-2:4,5"), by_pattern)
    assert levels(has, "cmp-1") == levels(has, "cmp-2") == (("pdu-b", "fence-nova"),)


def test_a_pattern_that_others_match_too_is_left_alone() -> None:
    both = (LIST, LIST.replace("cmp-1", "cmp-1 cmp-2"))
    has = read(BARE, both, topology('index="1" target-pattern="c.*" devices="fence-cmp-1"'))
    change = changes(propose(has, WISH), SetLevels)[0]
    assert isinstance(change, SetLevels) and change.before == [] and change.others == [Level(1, ("fence-cmp-1",), "c.*", PATTERN)]


@pytest.mark.parametrize(("devices", "wanted"), [
    ("fence-nova,fence-cmp-1", ("fence-cmp-1", "fence-nova")),   # fence_nova first: it would be evacuated while it runs
    ("fence-nova", ("fence-cmp-1", "fence-nova")),
    ("fence-cmp-1", ("fence-cmp-1", "fence-nova")),
    ("fence-cmp-1,fence-cmp-2,fence-nova", ("fence-cmp-1", "fence-cmp-2", "fence-nova")),
])
def test_fence_nova_comes_after_the_power(devices: str, wanted: tuple[str, ...]) -> None:
    has = read(PROTECTED, ('devices="fence-cmp-1,fence-nova"', f'devices="{devices}"'))
    assert levels(has, "cmp-1", ANY) == (wanted,)


def test_a_level_without_a_power_device_goes_when_there_is_another() -> None:
    has = read(PROTECTED, ("<fencing-topology>", '<fencing-topology><fencing-level index="2" devices="fence-nova" target="cmp-1" id="fl-2"/>'))
    assert levels(has, "cmp-1", ANY) == (("fence-cmp-1", "fence-nova"),)


@pytest.mark.parametrize(("change", "fault"), [
    (('devices="fence-cmp-1,fence-nova"', 'devices="nothing,fence-nova"'), "cmp-1: its fencing level 1 names nothing, which is not there"),
    (('<primitive id="fence-cmp-1" class="stonith" type="fence_ipmilan">', '<primitive id="fence-cmp-1" class="stonith" type="fence_ipmilan">'
      '<meta_attributes id="m"><nvpair id="n" name="target-role" value="Stopped"/></meta_attributes>'),
     "fence-cmp-1 in its fencing level 1 is disabled"),
    (('name="osprole" value="compute"/>', 'name="osprole" value="controller"/>'), "its node attribute osprole is controller"),
])
def test_what_a_person_has_to_see_to_first(change: tuple[str, str], fault: str) -> None:
    proposal = propose(read(PROTECTED, change), ANY)
    assert any(fault in one for one in proposal.faults) and not proposal.steps


def test_somebody_has_to_run_the_worker() -> None:
    alone = ('      <node id="2" uname="ctl-2"/>\n', "")
    assert "the only member is a compute host" in " ".join(propose(read(BARE, alone), Wish(("cmp-1", "cmp-2", "ctl-1"), "lab")).faults)


def rules(proposal: Proposal) -> list[tuple[str, str, str]]:
    """Of each constraint the resource, the score and the rule."""
    return [(one.resource, one.score, " ".join(one.rule)) for one in changes(proposal, Ban)]  # type: ignore[attr-defined]


HELD_BACK = [("nova-compute-clone", "-10000", "evacuate-held eq true"), ("nova-compute-clone", "-INFINITY", "evacuate-held eq stop")]


def test_three_nodes_that_are_controllers_and_compute_hosts_at_once() -> None:
    """The worker runs beside servers, and rather not on a host that is on record."""
    proposal = propose(read(FOLDER["three-converged-nodes"]), Wish(("node-1", "node-2", "node-3"), "lab"))
    assert rules(proposal) == [*HELD_BACK, ("nova-evacuate", "1000", "not_defined evacuate-held")]
    assert not proposal.faults and not changes(proposal, SetAttribute) and "credentials on each" in " ".join(proposal.notes)


def test_remote_hosts_beside_converged_members_have_no_credentials() -> None:
    proposal = propose(read(BARE), Wish(("cmp-1", "cmp-2", "ctl-1", "ctl-2"), "lab"))
    assert ("nova-evacuate", "-INFINITY", "#kind eq remote") in rules(proposal)


@pytest.mark.parametrize(("told", "changed", "hosts"), [
    (("cmp-1", "ctl-1"), (), {"cmp-1"}),                                                    # Ironic's, on a controller
    (("ctl-1", "ctl-2"), (), set()),
    (("cmp-1", "ctl-1"), (('<node id="1" uname="ctl-1"/>', '<node id="1" uname="ctl-1"><instance_attributes id="o">'
                           '<nvpair id="p" name="osprole" value="compute"/></instance_attributes></node>'),), {"cmp-1", "ctl-1"}),
    (("cmp-1", "ctl-1"), (('target="cmp-2"', 'target="ctl-1"'),), {"cmp-1", "ctl-1"}),      # it is fenced as one
])
def test_which_hosts_of_nova_are_to_be_protected(told: tuple[str, ...], changed: tuple[tuple[str, str], ...], hosts: set[str]) -> None:
    assert to_protect(read(PROTECTED, *changed), told) == hosts
    assert to_protect(read(FOLDER["three-converged-nodes"]), ("node-1", "node-9")) == {"node-1"}


def test_controllers_without_a_fence_device_are_worth_a_word() -> None:
    assert not propose(read(BARE), SAID).notes
    assert [note[:5] for note in propose(read(BARE, ('value="ctl-2"', 'value="x"')), SAID).notes] == ["ctl-2"]


# Placement

def test_full_members_keep_the_credentials_off_the_compute_hosts() -> None:
    has = read(BARE, ('<node id="1" uname="ctl-1"/>', '<node id="1" uname="ctl-1"/><node id="7" uname="cmp-7"/>'), (LIST, LIST[:-1] + ' cmp-7"'))
    proposal = propose(has, Wish(("cmp-1", "cmp-7"), "lab"))
    assert [change.resource for change in changes(proposal, Ban)] == [
        "fence-nova", *["nova-compute-clone"] * 3, "nova-evacuate"]


def test_anothers_attribute_that_does_the_same_is_enough() -> None:
    has = read(PROTECTED, ('name="osprole"', 'name="compute-instanceha-role"'), ('attribute="osprole"', 'attribute="compute-instanceha-role"'))
    assert propose(has, ANY) == Proposal()


def test_where_controllers_have_a_role_too_not_defined_is_no_rule() -> None:
    role = '<instance_attributes id="z"><nvpair id="zz" name="osprole" value="controller"/></instance_attributes>'
    proposal = propose(read(BARE, ('<node id="1" uname="ctl-1"/>', f'<node id="1" uname="ctl-1">{role}</node>')), WISH)
    assert next(tuple(change.rule) for change in changes(proposal, Ban)) == ("osprole", "ne", "compute")


def test_one_host_more_is_added_and_the_others_stay() -> None:
    has = read(PROTECTED, ('value="cmp-1 cmp-2"', 'value="cmp-1"'), ('<nvpair id="nodes-cmp-2-osprole" name="osprole" value="compute"/>', ""),
               ('<fencing-level index="1" devices="fence-cmp-2,fence-nova" target="cmp-2" id="fl-cmp-2-1"/>', ""))
    proposal = propose(has, Wish(("cmp-2",)))
    update = changes(proposal, Update)[0]
    assert isinstance(update, Update) and update.params == {"pcmk_host_list": "cmp-1 cmp-2"}
    assert not changes(proposal, Ban) and [type(step.change) for step in proposal.steps] == [Update, SetAttribute, SetLevels]


@pytest.mark.parametrize(("agent", "yes"), [
    ("systemd:nova-compute", True), ("systemd:openstack-nova-compute", True), ("systemd:tripleo_nova_compute", True),
    ("ocf:openstack:NovaCompute", True),
    ("ocf:openstack:nova-compute-wait", False), ("systemd:nova-conductor", False), ("stonith:fence_nova_compute", False)])
def test_what_starts_nova_compute(agent: str, yes: bool) -> None:
    assert is_nova_compute(dataclasses.replace(read(PROTECTED).resources["cmp-1"], agent=agent)) is yes


def test_a_nova_compute_that_pacemaker_does_not_start() -> None:
    proposal = propose(read(BARE), dataclasses.replace(WISH, nova_compute=""))
    creates = {change.id: change for change in changes(proposal, Create)}
    assert list(creates) == ["fence-nova", "nova-evacuate"] and creates["fence-nova"].params["let_in"] == "at_once" and proposal.elsewhere
    assert "leave --no-nova-compute out" in propose(read(PROTECTED), dataclasses.replace(ANY, nova_compute="")).faults[0]


def test_unfencing_that_is_refused_gives_way_to_the_rule() -> None:
    has = read(PROTECTED, ('name="let_in" value="at_once"', 'name="let_in" value="evacuated"'), ('attribute="evacuate-held"', 'attribute="other"'))
    proposal = propose(has, ANY)
    assert [change.params for change in changes(proposal, Update)] == [{"let_in": "at_once"}]
    assert [(change.rule, change.score) for change in changes(proposal, Ban)] == [
        (["evacuate-held", "eq", "true"], "-10000"), (["evacuate-held", "eq", "stop"], "-INFINITY")]
    renamed = read(PROTECTED, ('name="let_in" value="at_once"/>',
                               'name="let_in" value="at_once"/><nvpair id="q" name="evacuate_attribute" value="other"/>'))
    assert [change.rule for change in changes(propose(renamed, ANY), Ban)] == [["other-held", "eq", "true"], ["other-held", "eq", "stop"]]


@pytest.mark.parametrize(("old", "new", "lacking"), [
    ('value="true"/>\n        </rule>', 'value="yes"/>\n        </rule>', 1), ('score="-10000"', 'score="-INFINITY"', 0),
    ('score="-10000"', 'score="10"', 1),
    ('value="stop"', 'value="true"', 1),
    ("</constraints>", '<rsc_location id="p" rsc="nova-compute-clone" node="cmp-2" score="500"/></constraints>', 0),
    ("</constraints>", '<rsc_location id="p" rsc="nova-compute-clone" node="cmp-2" score="20000"/></constraints>', 1)])
def test_a_rule_that_does_not_hold_back_is_written_again(old: str, new: str, lacking: int) -> None:
    assert len(changes(propose(read(PROTECTED, (old, new)), ANY), Ban)) == lacking


# Credentials

def test_a_cloud_has_to_be_named_once() -> None:
    assert propose(read(BARE), ANY).faults == ("which cloud? Give --cloud NAME, an entry of /etc/openstack/clouds.yaml",)
    assert "has cloud=lab, not other" in propose(read(PROTECTED), Wish(WISH.hosts, "other")).faults[0]


def test_one_agent_takes_what_points_at_the_credentials_from_the_other() -> None:
    start = PROTECTED.index('<primitive id="nova-evacuate"')
    evacuate = PROTECTED[start:PROTECTED.index("</primitive>", start) + 12]
    has = read(PROTECTED, (evacuate, ""),
               ('name="cloud" value="lab"/>', 'name="openrc" value="/root/rc"/><nvpair id="q" name="domain" value="example.com"/>'))
    assert [change.params for change in changes(propose(has, ANY), Create)] == [{"openrc": "/root/rc", "domain": "example.com"}]


def test_parameters_of_ones_own_are_kept_unless_migrated() -> None:
    has = read(PROTECTED, ('name="cloud" value="lab"/>', f'name="auth_url" value="u"/><nvpair id="q" name="password" value="{SECRET}"/>'))
    kept = propose(has, ANY)
    assert not kept.steps and "--migrate" in kept.notes[0] and SECRET not in str(kept)
    moved = propose(has, dataclasses.replace(WISH, migrate=True))
    assert [change.params for change in changes(moved, Update)] == [{"auth_url": "", "password": "", "cloud": "lab"}] * 2
    assert SECRET not in str(moved) and set(moved.dropped) == {"fence-nova: auth_url, password", "nova-evacuate: auth_url, password"}


# From fence_compute

MIGRATE = dataclasses.replace(WISH, migrate=True)


def test_fence_compute_is_replaced_only_when_that_is_asked_for() -> None:
    faults = propose(read(FENCE_COMPUTE), WISH).faults
    assert len(faults) == 2 and "fence-nova in its fencing level 1 is fence_compute: --migrate" in faults[0]


def test_fence_nova_takes_the_place_of_fence_compute_in_the_levels() -> None:
    has = read(FENCE_COMPUTE)
    proposal = propose(has, MIGRATE)
    assert not proposal.faults and levels(has, "cmp-1", MIGRATE) == (("fence-cmp-1", "fence-nova2"),)
    assert changes(proposal, Delete) == [Delete("fence-nova", True), Delete("nova-compute-checkevacuate", False)]
    create = changes(proposal, Create)[0]
    assert isinstance(create, Create)
    assert create.params == {"cloud": "lab", "domain": "localdomain", "pcmk_host_list": "cmp-1 cmp-2", "pcmk_action_limit": "-1", "let_in": "at_once"}


def test_nothing_secret_is_taken_over_or_said() -> None:
    assert f'value="{SECRET}"' in FENCE_COMPUTE
    proposal = propose(read(FENCE_COMPUTE), MIGRATE)
    assert SECRET not in str(proposal)
    update = next(c for c in changes(proposal, Update) if isinstance(c, Update) and c.id == "nova-evacuate")
    assert update.params["password"] == "" and update.params["cloud"] == "lab"
    assert update.operations == {"monitor": {"interval": "10s", "timeout": "20s"}}
    assert any(one.startswith("fence-nova: ") and "password" in one for one in proposal.dropped)


def test_other_names_that_fence_compute_had_for_nodes_are_novas_names() -> None:
    mapped = '<nvpair id="fm" name="pcmk_host_map" value="cmp-1:H1;cmp-9:H9"/>'
    has = read(FENCE_COMPUTE, ('name="record_only" value="1"/>', f'name="record_only" value="1"/>{mapped}'))
    create = changes(propose(has, MIGRATE), Create)[0]
    assert isinstance(create, Create) and (create.params["pcmk_host_list"], create.params["pcmk_host_map"]) == ("cmp-2", "cmp-1:H1")


def test_a_device_that_another_nodes_level_names_stays() -> None:
    level = '<fencing-level index="1" devices="fence-nova" target="cmp-9" id="fl-cmp-9"/>'
    proposal = propose(read(FENCE_COMPUTE, ("<fencing-topology>", f"<fencing-topology>{level}")), MIGRATE)
    assert Delete("fence-nova", True) not in changes(proposal, Delete) and "a level for cmp-9 names it" in proposal.notes[0]


@pytest.mark.parametrize(("verbose", "given", "level"), [
    ("true", "", "debug"), ("1", "", "debug"), ("false", "", None), ("yes", "warning", None)])
def test_verbose_of_the_old_agent_becomes_a_level_of_the_log(
        verbose: str, given: str, level: str | None) -> None:
    name = '<nvpair id="nova-evacuate-instance_attributes-cloud" name="cloud" value="lab"/>'
    more = f'<nvpair id="v" name="verbose" value="{verbose}"/>'
    more += f'<nvpair id="l" name="log_level" value="{given}"/>' if given else ""
    has = read(PROTECTED, (name, name + more))
    assert propose(has, WISH) == Proposal(), "without --migrate nothing is changed"
    (change,) = changes(propose(has, MIGRATE), Update)
    assert isinstance(change, Update) and change.params == {
        "verbose": "", **({"log_level": level} if level else {})}


OPT_IN = ('name="cluster-infrastructure" value="corosync"/>',
          'name="cluster-infrastructure" value="corosync"/>'
          '<nvpair id="oi" name="symmetric-cluster" value="false"/>')
ALLOWED = "".join(
    f'<rsc_location id="a-{name}-{node}" rsc="{name}" node="{node}" score="0"/>'
    for name, nodes in (*((one, ("ctl-1", "ctl-2")) for one in (
        "fence-nova", "nova-evacuate", "cmp-1", "cmp-2", "fence-cmp-1", "fence-cmp-2",
        "fence-ctl-1", "fence-ctl-2")),
        ("nova-compute-clone", ("cmp-1", "cmp-2"))) for node in nodes)


PLACED = [("fence-nova", "0", "osprole ne compute"), ("nova-compute-clone", "0", "osprole eq compute"),
          ("nova-evacuate", "0", "osprole ne compute")]


def test_in_an_opt_in_cluster_each_is_allowed_where_it_belongs() -> None:
    assert set(PLACED) < set(rules(propose(read(PROTECTED, OPT_IN), WISH)))
    assert rules(propose(read(FOLDER["opt-in-cluster"]), WISH)) == sorted([*PLACED, *HELD_BACK], key=lambda one: one[0])
    bare = propose(read(BARE, OPT_IN), WISH)
    assert set(PLACED) <= set(rules(bare)) and SetAttribute("cmp-1", "osprole", "compute") in changes(bare, SetAttribute)


def test_an_opt_in_cluster_that_allows_each_is_configured() -> None:
    allowed = ("    </constraints>", f"{ALLOWED}    </constraints>")
    assert propose(read(PROTECTED, OPT_IN, allowed), WISH) == Proposal()


@pytest.mark.parametrize("name", ["fence-cmp-2", "fence-ctl-2", "cmp-2"])
def test_what_fences_and_what_connects_is_allowed_too_in_an_opt_in_cluster(name: str) -> None:
    """Else its level fails, or Pacemaker does not notice when it dies."""
    others = re.sub(f'<rsc_location id="a-{name}-[^>]*>', "", ALLOWED)
    has = read(PROTECTED, OPT_IN, ("    </constraints>", f"{others}    </constraints>"))
    assert rules(propose(has, WISH)) == [(name, "0", "osprole ne compute")]


def test_nova_compute_is_allowed_on_each_host_of_an_opt_in_cluster() -> None:
    """A host that came later has no constraint of its own."""
    first = re.sub(r'<rsc_location id="a-nova-compute-clone-cmp-2"[^>]*>', "", ALLOWED)
    has = read(PROTECTED, OPT_IN, ("    </constraints>", f"{first}    </constraints>"))
    assert rules(propose(has, WISH)) == [PLACED[1]]


@pytest.mark.parametrize("name", ["fence-cmp-2", "fence-nova", "nova-evacuate", "cmp-2"])
@pytest.mark.parametrize("more", [(), (OPT_IN,)])
def test_what_constraints_keep_off_every_controller_is_refused(
        name: str, more: tuple[tuple[str, str], ...]) -> None:
    ban = '<rsc_location id="ban-{0}" rsc="{1}" node="{0}" score="-INFINITY"/>'
    bans = "".join(ban.format(node, name) for node in ("ctl-1", "ctl-2"))
    has = read(PROTECTED, ("    </constraints>", f"{bans}    </constraints>"), *more)
    assert propose(has, WISH).faults == (
        f"{name} may run on none of ctl-1, ctl-2: see its constraints: pcs constraint location",)


@pytest.mark.parametrize("value", ["0", "0s", "", "nonsense"])
@pytest.mark.parametrize("resource", ["fence-nova", "nova-evacuate", "nova-compute"])
def test_a_failure_timeout_that_is_none_is_set(resource: str, value: str) -> None:
    """To Pacemaker 0 is none: a start that failed once keeps it off its host for ever."""
    key = f"{resource}-meta_attributes-failure-timeout"
    was = re.search(rf'<nvpair id="{key}" name="failure-timeout" value="[^"]*"/>', PROTECTED)
    assert was
    has = read(PROTECTED, (was.group(0), re.sub('value="[^"]*"', f'value="{value}"', was.group(0))))
    (step,) = propose(has, ANY).steps
    assert isinstance(step.change, Update) and step.change.id == resource and step.change.meta == {"failure-timeout": "60s"}


STICKINESS = ('<nvpair id="rsc_defaults-meta_attributes-resource-stickiness" '
              'name="resource-stickiness" value="100"/>')
NIGHT = ('<rule id="night" score="0"><date_expression id="n" operation="gt" start="2001-01-01"/>'
         "</rule>")
FOR_ADDRESSES = '<rule id="ip" score="0"><rsc_expression id="i" type="IPaddr2"/></rule>'
SECOND = ('<meta_attributes id="second" score="2">{}<nvpair id="s" name="{}" value="1"/>'
          "</meta_attributes></rsc_defaults>")


@pytest.mark.parametrize("more", [
    SECOND.format("", "priority"), SECOND.format(FOR_ADDRESSES, "resource-stickiness")])
def test_defaults_of_several_sets_get_one_more(more: str) -> None:
    """pcs changes none of several without its id, and the only one also where a rule is in it."""
    wanted = [SetDefaults({"resource-stickiness": "100"}, None)]
    several = read(PROTECTED, (STICKINESS, ""), ("</rsc_defaults>", more))
    ruled = read(PROTECTED, (STICKINESS, FOR_ADDRESSES))
    for has in (several, ruled):
        assert changes(propose(has, WISH), SetDefaults) == wanted


def test_a_stickiness_by_the_time_of_day_is_left_alone() -> None:
    night = SECOND.format(NIGHT, "resource-stickiness")
    has = read(PROTECTED, (STICKINESS, ""), ("</rsc_defaults>", night))
    assert propose(has, WISH) == Proposal()


RIGHT = 'devices="fence-cmp-2,fence-nova" target="cmp-2"'
WRONG = (RIGHT, RIGHT.replace("fence-cmp-2", "fence-cmp-1"))


def test_a_power_device_of_another_host_in_a_level_is_refused() -> None:
    """Its own list says that it cuts the power of another one."""
    assert propose(read(PROTECTED, WRONG), WISH).faults == (
        "cmp-2: fence-cmp-1 in its fencing level 1 fences other nodes: "
        "put fence-cmp-2 in its place",)


def test_a_pattern_that_matches_controllers_makes_no_compute_hosts_of_them() -> None:
    pattern = (RIGHT, RIGHT.replace('target="cmp-2"', 'target-pattern=".*"'))
    assert powering.fenced_as_computes(read(PROTECTED, pattern)) == ("cmp-1", "cmp-2")


@pytest.mark.parametrize("index", ["01", "+1", "001"])
def test_other_spellings_of_a_level(index: str) -> None:
    has = read(PROTECTED, ('index="1"', f'index="{index}"'))
    assert propose(has, WISH) == Proposal() and has.levels_of("cmp-2")[0].index == 1


FOR_ACTIONS = ('</rsc_defaults><op_defaults><meta_attributes id="od"><nvpair id="o" name="{}" '
               'value="{}"/></meta_attributes></op_defaults>')


def test_an_action_that_is_not_there_gets_its_time_with_crmsh_too() -> None:
    """crmsh has a command for monitors only."""
    limit = (("</rsc_defaults>", FOR_ACTIONS.format("timeout", "600s")),
             ('<op name="start" timeout="15" interval="0s" id="cmp-2-start-interval-0s"/>', ""))
    (change,) = changes(propose(read(PROTECTED, *limit), WISH), Update)
    assert isinstance(change, Update) and list(change.pcs()) == [
        ["pcs", "resource", "update", "cmp-2", "op", "start", "timeout=15"]]
    assert list(change.crm()) == [[
        "cibadmin", "--modify", "--allow-create", "--xpath", "//primitive[@id='cmp-2']",
        "--xml-text",
        '<primitive id="cmp-2"><operations><op id="cmp-2-start-interval-0s" name="start" '
        'interval="0s" timeout="15"/></operations></primitive>']]


def test_words_in_capitals_and_options_by_default_need_no_change() -> None:
    by_default = ((' on-fail="ignore"', ""),
                  ("</rsc_defaults>", FOR_ACTIONS.format("on-fail", "ignore")))
    has = read(PROTECTED, ('value="unfencing"', 'value="Unfencing"'), *by_default)
    assert propose(has, WISH) == Proposal()
