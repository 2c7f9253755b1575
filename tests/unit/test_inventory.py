"""What a cluster is configured to be, and where its constraints keep a resource away from."""

from __future__ import annotations

import pytest
from instance_ha import configuration
from instance_ha.configuration import ATTRIBUTE, PATTERN, Level, Node, Resource
from instance_ha.configuring import banned as bans

from tests.unit.cibs import PROTECTED, read, tree

LEVELS = """<fencing-topology>
  <fencing-level index="2" devices="pdu" target="cmp-1" id="a"/><fencing-level index="1" devices="ipmi, nova" target="cmp-1" id="b"/>
  <fencing-level index="1" devices="all" target-pattern="cmp-.*" id="c"/><fencing-level index="1" devices="bad" target-pattern="(" id="d"/>
  <fencing-level index="1" devices="role" target-attribute="osprole" target-value="compute" id="e"/>
</fencing-topology>"""
SMALL = """<cib><configuration><crm_config/>
<nodes>
  <node id="1" uname="ctl-1"/><node id="9" uname="gone" type="remote"/>
  <node id="2" uname="n-2"><instance_attributes id="i"><nvpair id="j" name="osprole" value="compute"/></instance_attributes></node>
</nodes>
<resources>
  <template id="t" class="stonith" type="fence_ipmilan">
    <instance_attributes id="ti"><nvpair id="tn" name="lanplus" value="1"/></instance_attributes></template>
  <primitive id="p" template="t"><instance_attributes id="pi"><nvpair id="pn" name="ip" value="192.0.2.1"/></instance_attributes></primitive>
  <clone id="c"><meta_attributes id="cm"><nvpair id="cn" name="requires" value="unfencing"/>
    <nvpair id="co" name="target-role" value="Stopped"/></meta_attributes>
    <group id="g"><primitive id="nova" class="systemd" type="nova-compute">
      <meta_attributes id="nm"><nvpair id="nn" name="target-role" value="Started"/></meta_attributes></primitive></group></clone>
  <primitive id="cmp-1" class="ocf" provider="pacemaker" type="remote"/>
</resources><constraints>%s</constraints>""" + LEVELS + "</configuration></cib>"


def test_a_protected_cluster() -> None:
    has = read(PROTECTED)
    assert has.nodes["cmp-1"] == Node("cmp-1", True, {"osprole": "compute"}) and not has.nodes["ctl-1"].remote
    nova = has.resources["fence-nova"]
    assert (nova.agent, nova.type, nova.device) == ("stonith:fence_nova", "fence_nova", True)
    assert nova.params == {"cloud": "lab", "let_in": "at_once", "pcmk_action_limit": "-1", "pcmk_host_list": "cmp-1 cmp-2"}
    assert nova.meta["provides"] == "unfencing" and nova.operations["monitor"]["on-fail"] == "ignore"
    assert has.resources["nova-compute"].outermost == "nova-compute-clone"
    assert has.levels_of("cmp-2") == (Level(1, ("fence-cmp-2", "fence-nova"), "cmp-2"),) and not has.levels_of("ctl-1")
    assert has.properties.given["stonith-enabled"] == "true" and has.defaults == {"resource-stickiness": "100"}
    assert {"fence-nova", "nova-compute-clone"} <= has.ids


def test_templates_groups_clones_and_what_is_inherited() -> None:
    has = read(SMALL)
    assert has.resources["p"] == Resource("p", "stonith:fence_ipmilan", {"lanplus": "1", "ip": "192.0.2.1"})
    nova = has.resources["nova"]
    assert nova.within == ("g", "c") and nova.outermost == "c" and nova.meta["requires"] == "unfencing" and not nova.disabled
    assert set(has.nodes) == {"ctl-1", "n-2", "cmp-1"}   # a remote that was removed is no node


def test_levels_by_name_come_before_all_others_and_of_those_pacemaker_takes_any() -> None:
    has = read(SMALL)
    both = read(SMALL, ('target-pattern="cmp-.*"', 'target-pattern="^N-[0-9]|^n"'))
    assert both.topologies_of("n-2") == [(Level(1, ("all",), "^N-[0-9]|^n", PATTERN),), (Level(1, ("role",), "osprole=compute", ATTRIBUTE),)]
    assert has.levels_of("cmp-1") == (Level(1, ("ipmi", "nova"), "cmp-1"), Level(2, ("pdu",), "cmp-1"))
    assert len(has.topologies_of("cmp-1")) == 1 and not has.is_doubtful("cmp-1")
    assert has.levels_of("n-2") == (Level(1, ("role",), "osprole=compute", ATTRIBUTE),)
    without = read(SMALL, ('target="cmp-1"', 'target="cmp-9"'))
    assert without.levels_of("cmp-1") == (Level(1, ("all",), "cmp-.*", PATTERN),)


def test_levels_as_the_fencer_puts_them_together() -> None:
    """Two of one index for one target are one; a name in other letters comes behind an exact one."""
    more = ('id="e"/>', 'id="e"/><fencing-level index="1" devices="more" target="cmp-1" id="f"/><fencing-level index="10" devices="x" '
            'target="cmp-1" id="g"/><fencing-level index="1" devices="y" target="CMP-1" id="h"/><fencing-level index="1" devices="z" id="i"/>')
    has = read(SMALL, more)
    assert has.levels_of("cmp-1") == (Level(1, ("ipmi", "nova", "more"), "cmp-1"), Level(2, ("pdu",), "cmp-1"))
    assert [levels[0].devices for levels in read(SMALL, more, ('target="cmp-1"', 'target="other"')).topologies_of("cmp-1")] == [("all",), ("y",)]


def test_guests_remotes_and_what_depends_on_a_rule() -> None:
    guest = ('<template id="t"', '<primitive id="vm" class="ocf" provider="heartbeat" type="VirtualDomain"><meta_attributes id="vmm">'
             '<nvpair id="vmn" name="remote-node" value="cmp-9"/></meta_attributes><meta_attributes id="vmr"><rule id="vms" boolean-op="or">'
             '<date_expression id="vmt" operation="gt" start="2030-01-01"/></rule><nvpair id="vmu" name="target-role" value="Stopped"/>'
             '</meta_attributes></primitive><template id="t"')
    has = read(SMALL, guest)
    assert has.nodes["cmp-9"].guest and not has.nodes["cmp-1"].guest
    assert has.resources["vm"].unsure == {"target-role"} and not has.resources["vm"].disabled


def test_the_history_of_incidents_is_no_property() -> None:
    history = '<cluster_property_set id="instance-ha-history"><nvpair id="h" name="instance-ha-3f9c" value="id=3f9c"/></cluster_property_set>'
    assert read(PROTECTED, ("</crm_config>", f"{history}</crm_config>")).properties == read(PROTECTED).properties


def rule(body: str, score: str = "-INFINITY", more: str = "") -> str:
    return f'<rsc_location id="l" rsc="c"{more}><rule id="r" score="{score}"{body}</rule></rsc_location>'


def expression(attribute: str, operation: str, value: str = "") -> str:
    return f'<expression id="x" attribute="{attribute}" operation="{operation}" value="{value}"/>'


ROLE_IS_COMPUTE = ">" + expression("osprole", "eq", "compute")
NO_ROLE = ">" + expression("osprole", "not_defined")
DATE = ' boolean-op="and">' + expression("osprole", "eq", "compute") + '<date_expression id="d" operation="gt" start="2030-01-01"/>'


@pytest.mark.parametrize(("constraints", "banned"), [
    ("", set()),
    (rule(ROLE_IS_COMPUTE), {"n-2"}),
    (rule(NO_ROLE), {"ctl-1", "cmp-1"}),
    (rule(">" + expression("osprole", "ne", "compute")), {"ctl-1", "cmp-1"}),         # ne is true where there is no attribute
    (rule(">" + expression("osprole", "defined")), {"n-2"}),
    (rule(">" + expression("#kind", "eq", "remote")), {"cmp-1"}),
    (rule(">" + expression("#uname", "eq", "CTL-1")), {"ctl-1"}),
    (rule(">" + expression("#site-name", "eq", "a")), set()),                           # cannot be told
    (rule(">" + expression("osprole", "gt", "a")), {"n-2"}),
    (rule(">" + expression("osprole", "of", "a")), set()),                              # nor this
    (rule(DATE), set()),
    (rule(ROLE_IS_COMPUTE, "0", ' resource-discovery="exclusive"'), {"ctl-1", "cmp-1"}),
    (rule(ROLE_IS_COMPUTE, "100"), set()),
    (rule(' boolean-op="or">' + expression("osprole", "eq", "compute") + expression("#kind", "eq", "remote")), {"n-2", "cmp-1"}),
    (rule('><rule id="in"' + NO_ROLE + "</rule>" + expression("#kind", "eq", "remote")), {"cmp-1"}),
    ('<rsc_location id="l" rsc="nova" node="ctl-1" score="-INFINITY"/>', {"ctl-1"}),
    ('<rsc_location id="l" rsc="c" node="ctl-1" score="INFINITY"/>', set()),
    ('<rsc_location id="l" rsc-pattern="^no" node="ctl-1" score="-INFINITY"/>', set()),     # of the outermost alone
    ('<rsc_location id="l" rsc-pattern="^[[:alpha:]]$" node="ctl-1" score="-INFINITY"/>', {"ctl-1"}),
    ('<rsc_location id="l" rsc-pattern="!^p" node="CTL-1" score="-1000000"/>', {"ctl-1"}),
    ('<rsc_location id="l" rsc="c" role="Promoted" node="ctl-1" score="-INFINITY"/>', set()),
    ('<rsc_location id="l" rsc="c" node="ctl-1" score="-INFINITY"><lifetime/></rsc_location>', set()),
    ('<rsc_location id="l" rsc-pattern="(" node="ctl-1" score="-INFINITY"/>', set()),
    ('<rsc_location id="l" node="n-2" score="-INFINITY"><resource_set id="s"><resource_ref id="g"/></resource_set></rsc_location>', {"n-2"}),
    ('<rsc_location id="l" rsc="p" node="ctl-1" score="-INFINITY"/>', set()),          # another resource's
])
def test_where_a_resource_never_runs(constraints: str, banned: set[str]) -> None:
    has = configuration.read(tree(SMALL % constraints))
    assert {name for name, node in has.nodes.items() if bans.is_banned(has, has.resources["nova"], node)} == banned


@pytest.mark.parametrize(("constraints", "banned"), [
    ("", {"ctl-1", "n-2", "cmp-1"}), ('<rsc_location id="l" rsc="c" node="ctl-1" score="100"/>', {"n-2", "cmp-1"}), (rule(DATE), {"ctl-1", "cmp-1"})])
def test_where_the_cluster_is_not_symmetric_it_runs_only_where_something_says_so(constraints: str, banned: set[str]) -> None:
    properties = '<cluster_property_set id="o"><nvpair id="s" name="symmetric-cluster" value="false"/></cluster_property_set>'
    has = configuration.read(tree(SMALL.replace("<crm_config/>", f"<crm_config>{properties}</crm_config>") % constraints))
    assert {name for name, node in has.nodes.items() if bans.is_banned(has, has.resources["nova"], node)} == banned
