"""The one reader of the CIB against Pacemaker's own tools, on a folder of CIBs and on generated ones.

INSTANCE_HA_CIB_CASES sets how many are generated.
"""

from __future__ import annotations

import itertools
import math
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from instance_ha import configuration
from instance_ha.configuration import REMOTE, Configuration, Resource
from instance_ha.configuring.banned import added, is_banned, placed, weights
from instance_ha.values import matches, seconds

from tests.unit.cibs import FOLDER, PROTECTED, changed, tree
from tests.unit.pacemaker_says import MISSING, Pacemaker

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"this machine has no {', '.join(MISSING)}")
CASES = int(os.environ.get("INSTANCE_HA_CIB_CASES", "10"))
TRIED = settings(max_examples=CASES, deadline=None, database=None, derandomize=CASES < 100,
                 suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
                 phases=[Phase.explicit, Phase.generate])
DEFAULT_TIMEOUT = 20.0
KEPT = tempfile.TemporaryDirectory(prefix="cib-")     # gone at the end


def asked(text: str) -> tuple[Configuration, Pacemaker]:
    """A CIB as we read it, and Pacemaker's tools on a file that holds it."""
    return configuration.read(tree(text)), Pacemaker(Path(KEPT.name) / "cib.xml", text)


def agree_on_resources(has: Configuration, pacemaker: Pacemaker, meta: tuple[str, ...]) -> None:
    """Agents, meta attributes (those that we read, when none are named), and the parameters and times of what is started."""
    guests = {name for name, node in has.nodes.items() if node.guest}
    assert {name: agent for name, agent in pacemaker.agents().items() if name not in guests} == {
        one.id: one.agent for one in has.resources.values() if not one.agent.startswith("bundle")}
    for resource in has.resources.values():
        for name in meta or resource.own:
            if name not in resource.unsure:
                usual = "1" if name == "resource-stickiness" and is_cloned(has, resource) else ""
                assert resource.meta.get(name, usual) == pacemaker.meta(resource.id, name), (resource.id, name)
    said = pacemaker.simulate()
    for identifier, params in said.params.items():
        resource = has.resources.get(identifier)
        if resource is None or resource.agent == REMOTE:
            continue
        ours = {name: value for name, value in resource.params.items() if name not in resource.unsure}
        assert ours == {name: value for name, value in params.items() if name not in resource.unsure}, identifier
    for (identifier, action), (timeout, interval) in said.times.items():
        resource = has.resources.get(identifier)
        if resource is None or resource.device or f"op {action} timeout" in resource.unsure:
            continue
        given = resource.time(action, "timeout")
        assert (DEFAULT_TIMEOUT if given is None else given) * 1000 == timeout, (identifier, action)
        assert (resource.time(action, "interval") or 0) * 1000 == interval, (identifier, action)


def is_cloned(has: Configuration, resource: Resource) -> bool:
    """A clone has a stickiness of its own where none is given."""
    return any(one.startswith("c") or one.endswith("clone") for one in resource.within)


def agree_on_places(has: Configuration, pacemaker: Pacemaker) -> None:
    """Where location constraints keep a resource away."""
    for (identifier, name), score in pacemaker.simulate().scores.items():
        resource, node = has.resources.get(identifier), has.nodes.get(name)
        if resource is None or node is None:
            continue
        if is_banned(has, resource, node):
            assert score == -math.inf, (identifier, name)


@pytest.mark.parametrize("name", sorted(FOLDER))
def test_the_folder(name: str) -> None:
    has, pacemaker = asked(FOLDER[name])
    assert pacemaker.is_valid()
    for prop, value in has.properties.given.items():
        assert pacemaker.has_property(prop, value)
    agree_on_resources(has, pacemaker, ())
    agree_on_places(has, pacemaker)


STARTED = ('<lrm_rsc_op id="{0}_last_0" operation_key="{0}_start_0" operation="start" crm_feature_set="3.16.1" transition-key="1:1:0:{1}" '
           'transition-magic="0:0;1:1:0:{1}" call-id="9" rc-code="0" op-status="0" interval="0" last-rc-change="1795883411"/>')
RUNS = '<lrm_resource id="{0}" type="{1}" class="ocf" provider="{2}">{3}</lrm_resource>'


def running(text: str, node: str, resource: str, agent: str) -> str:
    """A CIB by which a resource runs on a node. `agent` is provider:type."""
    provider, kind = agent.split(":")
    history = RUNS.format(resource, kind, provider, STARTED.format(resource, "a7ffea95-9638-419e-a98a-304f905fdae5"))
    lrm = f'<lrm id="{node}"><lrm_resources>{history}</lrm_resources></lrm>'
    return re.sub(rf'(<node_state [^>]*uname="{node}"[^>]*)/>', rf"\g<1>>{lrm}</node_state>", text)


@pytest.mark.parametrize(("held", "stickiness"), [("", "100000"), ("true", "100000"), ("true", "INFINITY"), ("stop", "100000")])
def test_what_keeps_nova_compute_from_starting_stops_one_that_runs(held: str, stickiness: str) -> None:
    """Where others of the clone run. A living host with an old record loses its nova-compute so, and must not pass for dead."""
    name = '<nvpair id="nodes-cmp-1-osprole" name="osprole" value="compute"/>'
    text = changed(PROTECTED, (name, f'{name}<nvpair id="held" name="evacuate-held" value="{held}"/>' if held else name),
                   ('name="resource-stickiness" value="100000"', f'name="resource-stickiness" value="{stickiness}"'))
    for controller, host in (("ctl-1", "cmp-1"), ("ctl-2", "cmp-2")):
        text = running(running(text, controller, host, "pacemaker:remote"), host, "nova-compute", "lab:nova-compute")
    assert asked(text)[1].stops("cmp-1") == ({"nova-compute:0"} if held else set())


# Generated: what is said in more than one way

NAMES = ("a", "b", "c")
META = ("failure-timeout", "priority")
SCORES = st.sampled_from(["", "", "0", "5", "-3", "INFINITY", "-INFINITY", "+7", "junk"])
TIMES = st.sampled_from(["10s", "1.5s", "2H", "90", "10 min", "250ms", "-5", "abc", "0", "3 Sec", "1m30", "7x"])
AGENT = ('class="ocf" provider="pacemaker" type="Dummy"', 'class="ocf" provider="pacemaker" type="Stateful"',
         'class="ocf" provider="heartbeat" type="Dummy"')
SET_RULES = ("", "", "", '<rsc_expression id="{}x" class="ocf" provider="pacemaker" type="Dummy"/>',
             '<rsc_expression id="{}x" class="ocf" provider="heartbeat"/>', '<rsc_expression id="{}x" type="Dummy"/>',
             '<date_expression id="{}x" operation="gt" start="2001-01-01"/>')
OP_RULES = (*SET_RULES, '<op_expression id="{}x" name="monitor"/>', '<op_expression id="{}x" name="monitor" interval="10s"/>',
            '<op_expression id="{}x" name="start"/>')
IN_SERVICE = ('<node_state id="{0}" uname="n{0}" in_ccm="true" crmd="online" join="member" expected="member">'
              '<lrm id="{0}"><lrm_resources/></lrm></node_state>')


class Ids:
    def __init__(self) -> None:
        self.count = itertools.count()

    def __call__(self) -> str:
        return f"i{next(self.count)}"


def pairs(draw: Any, ids: Ids, names: tuple[str, ...], values: Any) -> str:
    chosen = draw(st.lists(st.sampled_from(names), max_size=3, unique=True))
    return "".join(f'<nvpair id="{ids()}" name="{name}" value="{draw(values)}"/>' for name in chosen)


def sets(draw: Any, ids: Ids, tag: str, names: tuple[str, ...], rules: tuple[str, ...] = ("",)) -> str:
    """Up to three sets, with scores, rules and values that take others away."""
    found, known = "", []
    for _ in range(draw(st.integers(0, 3))):
        identifier, score, rule = ids(), draw(SCORES), draw(st.sampled_from(rules))
        if known and draw(st.integers(0, 5)) == 0:
            found += f'<{tag} id-ref="{draw(st.sampled_from(known))}"/>'
            continue
        known.append(identifier)
        rule = f'<rule id="{identifier}r" score="0" boolean-op="and">{rule.format(identifier)}</rule>' if rule else ""
        inner = pairs(draw, ids, names, st.sampled_from(["1", "2", "3", "#default", ""] if tag[0] == "i" else ["1", "2", "3"]))
        weight = f' score="{score}"' if score else ""
        found += f'<{tag} id="{identifier}"{weight}>{rule}{inner}</{tag}>'
    return found


def operations(draw: Any, ids: Ids) -> str:
    found = ""
    for name in draw(st.lists(st.sampled_from(["monitor", "start"]), max_size=2, unique=True)):
        interval = "10s" if name == "monitor" else "0"
        meta = ""
        if draw(st.booleans()):
            meta = f'<meta_attributes id="{ids()}"><nvpair id="{ids()}" name="timeout" value="{draw(TIMES)}"/></meta_attributes>'
        timeout = f' timeout="{draw(TIMES)}"' if draw(st.booleans()) else ""
        found += f'<op id="{ids()}" name="{name}" interval="{interval}"{timeout}>{meta}</op>'
    return f'<operations id="{ids()}">{found}</operations>' if found else ""


def body(draw: Any, ids: Ids) -> str:
    return sets(draw, ids, "instance_attributes", NAMES) + sets(draw, ids, "meta_attributes", META) + operations(draw, ids)


@st.composite
def cibs(draw: Any) -> str:
    ids = Ids()
    templates = "".join(f'<template id="t{number}" {draw(st.sampled_from(AGENT))}>{body(draw, ids)}</template>' for number in range(2))
    resources = ""
    for number in range(draw(st.integers(2, 5))):
        what = draw(st.sampled_from([*AGENT, 'template="t0"', 'template="t1"']))
        primitive = f'<primitive id="p{number}" {what}>{body(draw, ids)}</primitive>'
        meta = sets(draw, ids, "meta_attributes", META)
        params = sets(draw, ids, "instance_attributes", NAMES)
        around = draw(st.sampled_from(["{}", "{}", "<group id='g{n}'>{meta}{params}{}</group>", "<clone id='c{n}'>{meta}{params}{}</clone>",
                                       "<clone id='c{n}'>{meta}<group id='g{n}'>{}</group></clone>"]))
        resources += around.format(primitive, n=number, meta=meta, params=params)
    rsc = sets(draw, ids, "meta_attributes", META, SET_RULES)
    ops = sets(draw, ids, "meta_attributes", ("timeout",), OP_RULES)
    return (f'<cib crm_feature_set="3.16.2" validate-with="none" epoch="9" num_updates="1" admin_epoch="0" have-quorum="1" dc-uuid="1">'
            f'<configuration><crm_config><cluster_property_set id="o"><nvpair id="o1" name="stonith-enabled" value="false"/>'
            f'</cluster_property_set></crm_config><nodes><node id="1" uname="n1"/></nodes><resources>{templates}{resources}</resources>'
            f'<constraints/><rsc_defaults>{rsc}</rsc_defaults><op_defaults>{ops}</op_defaults></configuration>'
            f'<status>{IN_SERVICE.format(1)}</status></cib>')


@TRIED
@given(cibs())
def test_values_that_are_said_in_several_ways(text: str) -> None:
    has, pacemaker = asked(text)
    agree_on_resources(has, pacemaker, META)


# Generated: constraints

ATTRIBUTES = ("role", "rack", "rank")
NODE_VALUES = st.sampled_from(["compute", "COMPUTE", "1", "2", "10", "1.5", ""])


def expression(draw: Any, ids: Ids) -> str:
    operation = draw(st.sampled_from(["eq", "ne", "lt", "lte", "gt", "gte", "defined", "not_defined"]))
    attribute = draw(st.sampled_from([*ATTRIBUTES, "#uname", "#kind"]))
    kind = draw(st.sampled_from(["", "", "", ' type="string"', ' type="number"', ' type="integer"']))
    value = draw(st.sampled_from(["n1", "N2", "remote", "cluster"]) if attribute[0] == "#" else NODE_VALUES)
    given = "" if operation.endswith("defined") else f' value="{value}"'
    return f'<expression id="{ids()}" attribute="{attribute}" operation="{operation}"{kind}{given}/>'


def rule(draw: Any, ids: Ids, depth: int = 0) -> str:
    both = draw(st.sampled_from(["and", "or"]))
    parts = [rule(draw, ids, depth + 1) if depth < 1 and draw(st.integers(0, 4)) == 0 else expression(draw, ids)
             for _ in range(draw(st.integers(1, 3)))]
    score = "" if depth else f' score="{draw(st.sampled_from(["INFINITY", "-INFINITY", "100", "-20", "0"]))}"'
    return f'<rule id="{ids()}"{score} boolean-op="{both}">{"".join(parts)}</rule>'


@st.composite
def constrained(draw: Any) -> str:
    ids = Ids()
    nodes = ""
    for number in (1, 2):
        given = pairs(draw, ids, ATTRIBUTES, NODE_VALUES)
        nodes += f'<node id="{number}" uname="n{number}"><instance_attributes id="{ids()}">{given}</instance_attributes></node>'
    constraints = ""
    for _ in range(draw(st.integers(1, 4))):
        who = draw(st.sampled_from(['rsc="p0"', 'rsc="c1"', 'rsc="tagged"', 'rsc="t0"', 'rsc-pattern="^p[[:digit:]]$"', 'rsc-pattern="!^c"',
                                    'rsc-pattern="("', ""]))
        inner = "" if who else f'<resource_set id="{ids()}"><resource_ref id="p0"/><resource_ref id="tagged"/></resource_set>'
        exclusive = ' resource-discovery="exclusive"' if draw(st.integers(0, 6)) == 0 else ""
        if draw(st.booleans()):
            place = f' node="{draw(st.sampled_from(["n1", "N2", "n9"]))}" score="{draw(st.sampled_from(["-INFINITY", "INFINITY", "50", "-9"]))}"'
        else:
            place, inner = "", inner + rule(draw, ids)
        constraints += f'<rsc_location id="{ids()}" {who}{place}{exclusive}>{inner}</rsc_location>'
    symmetric = draw(st.sampled_from(["true", "true", "false"]))
    return (f'<cib crm_feature_set="3.16.2" validate-with="none" epoch="9" num_updates="1" admin_epoch="0" have-quorum="1" dc-uuid="1">'
            f'<configuration><crm_config><cluster_property_set id="o"><nvpair id="o1" name="stonith-enabled" value="false"/>'
            f'<nvpair id="o2" name="symmetric-cluster" value="{symmetric}"/></cluster_property_set></crm_config><nodes>{nodes}</nodes>'
            f'<resources><template id="t0" {AGENT[0]}/><primitive id="p0" {AGENT[0]}/><primitive id="p2" template="t0"/>'
            f'<clone id="c1"><primitive id="p1" {AGENT[0]}/></clone></resources><constraints>{constraints}</constraints>'
            f'<tags><tag id="tagged"><obj_ref id="p2"/><obj_ref id="c1"/></tag></tags></configuration>'
            f'<status>{IN_SERVICE.format(1)}{IN_SERVICE.format(2)}</status></cib>')


@TRIED
@given(constrained())
def test_where_constraints_keep_a_resource_away(text: str) -> None:
    has, pacemaker = asked(text)
    for (identifier, name), score in pacemaker.simulate().scores.items():
        resource, node = has.resources[{"c1": "p1"}.get(identifier, identifier)], has.nodes[name]
        most = added(one for location in placed(has, resource) for one in weights(location, node))
        assert is_banned(has, resource, node) == (score == -math.inf), (identifier, name, score)
        assert score in (most, -math.inf), (identifier, name, most)


def test_times_and_patterns_that_python_reads_otherwise() -> None:
    assert [seconds(text) for text in ("1.5s", "2H", "10 min", "-1", "abc", "PT5M", "250ms")] == [1, 7200, 600, None, None, 300, 0.25]
    assert matches("^cmp-[[:digit:]]+$", "cmp-12") and not matches(r"cmp-\d", "cmp-1") and matches("(", "x") is None


def test_roles_of_constraints() -> None:
    """What holds for one role alone is no ban. Started in a rule is such a role to Pacemaker 2.1."""
    always = {True: ("Unpromoted", "Slave"), False: ("Started", "Unpromoted", "Slave")}
    ban = '<rsc_location id="l" rsc="p0" {}</rsc_location>'
    by_name = ban.format('role="{}" node="n1" score="-INFINITY">')
    by_rule = ban.format('><rule id="r" role="{}" score="-INFINITY"><expression id="e" '
                         'attribute="#uname" operation="eq" value="n1"/></rule>')
    for role in ("Started", "Unpromoted", "Slave", "Stopped", "Promoted"):
        for form in (by_name, by_rule):
            has, pacemaker = asked(PLACED.format(form.format(role), ""))
            banned = is_banned(has, has.resources["p0"], has.nodes["n1"])
            assert banned is (role in always[form == by_rule]), form
            assert not banned or pacemaker.simulate().scores["p0", "n1"] == -math.inf


def test_a_tag_that_names_what_is_not_there() -> None:
    """Pacemaker takes what stands before it, and nothing after it."""
    refs = "".join(f'<obj_ref id="{name}"/>' for name in ("p0", "gone", "p1"))
    ban = '<rsc_location id="l" rsc="t" node="n1" score="-INFINITY"/>'
    has, pacemaker = asked(PLACED.format(ban, f'<tags><tag id="t">{refs}</tag></tags>'))
    said, node = pacemaker.simulate().scores, has.nodes["n1"]
    for name in ("p0", "p1"):
        assert is_banned(has, has.resources[name], node) == (said[name, "n1"] == -math.inf), name


PLACED = (
    '<cib crm_feature_set="3.16.2" validate-with="none" epoch="9" num_updates="1" admin_epoch="0" '
    'have-quorum="1" dc-uuid="1"><configuration><crm_config><cluster_property_set id="o">'
    '<nvpair id="o1" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>'
    '<nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes><resources>'
    f'<primitive id="p0" {AGENT[0]}/><primitive id="p1" {AGENT[0]}/></resources>'
    "<constraints>{}</constraints>{}</configuration>"
    f'<status>{IN_SERVICE.format(1)}{IN_SERVICE.format(2)}</status></cib>')
