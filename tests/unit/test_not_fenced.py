"""Which lost hosts Pacemaker does not fence: what is told of them is held to its own scheduler."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from instance_ha.cib import parse_cib, read_cib

from tests.unit.cibs import PROTECTED, changed
from tests.unit.pacemaker_says import MISSING, Pacemaker

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"this machine has no {', '.join(MISSING)}")
MAGIC = 'transition-key="1:1:0:aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa" crm_feature_set="3.16.2" exec-time="5" queue-time="0"'
START = (
    f'<lrm_rsc_op id="cmp-1_last_0" operation_key="cmp-1_start_0" operation="start" on_node="ctl-1" call-id="1" '
    f'rc-code="0" op-status="0" interval="0" last-rc-change="1795000000" {MAGIC} '
    'transition-magic="0:0;1:1:0:aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"/>'
)
LOST = (
    f'<lrm_rsc_op id="cmp-1_last_failure_0" operation_key="cmp-1_monitor_5000" operation="monitor" on_node="ctl-1" '
    f'call-id="3" rc-code="1" op-status="4" interval="5000" last-rc-change="1795000100" {MAGIC} '
    'transition-magic="4:1;1:1:0:aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"/>'
)
HISTORY = (
    '<lrm id="1"><lrm_resources><lrm_resource id="cmp-1" class="ocf" provider="pacemaker" type="remote">'
    f"{START}{LOST}</lrm_resource></lrm_resources></lrm>"
)
CTL_1 = (
    '<node_state id="1" uname="ctl-1" in_ccm="true" crmd="online" crm-debug-origin="do_update_resource" '
    'join="member" expected="member"'
)
ON = '<node_state remote_node="true" id="cmp-1" uname="cmp-1" in_ccm="true"'
# The connection to cmp-1 was there, and its monitor has failed: the host is lost.
DEAD = changed(
    PROTECTED,
    (f"{CTL_1}/>", f"{CTL_1}>{HISTORY}</node_state>"),
    (ON, ON.replace('in_ccm="true"', 'in_ccm="false"')),
)
REMOTE = '<primitive id="cmp-1" class="ocf" type="remote" provider="pacemaker">'
SETS = re.findall(r"<cluster_property_set[^>]*>", PROTECTED)[0]
NODE = '<node type="remote" id="cmp-1" uname="cmp-1">'


def meta(name: str, value: str) -> tuple[str, str]:
    return (
        REMOTE,
        f'{REMOTE}<meta_attributes id="mm"><nvpair id="mn" name="{name}" value="{value}"/></meta_attributes>',
    )


def cluster(name: str, value: str) -> tuple[str, str]:
    return SETS, f'{SETS}<nvpair id="p-{name}" name="{name}" value="{value}"/>'


def of_node(name: str, value: str) -> tuple[str, str]:
    return (
        NODE,
        f'{NODE}<instance_attributes id="zz"><nvpair id="zn" name="{name}" value="{value}"/></instance_attributes>',
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (None, ""),
        (meta("is-managed", "false"), "unmanaged"),
        (meta("is-managed", "off"), "unmanaged"),
        (meta("is-managed", "true"), ""),
        (meta("is-managed", "nonsense"), "unmanaged"),
        (meta("is-managed", "t"), "unmanaged"),
        (meta("is-managed", "true "), "unmanaged"),
        (meta("maintenance", "true"), "in maintenance"),
        (meta("maintenance", "t"), ""),
        (meta("maintenance", "1"), "in maintenance"),
        (meta("maintenance", "false"), ""),
        (meta("maintenance", "nonsense"), ""),
        (of_node("maintenance", "true"), ""),
        (of_node("standby", "on"), ""),
        (meta("target-role", "Stopped"), ""),
        (cluster("maintenance-mode", "true"), "maintenance mode"),
        (cluster("maintenance-mode", "no"), ""),
        (cluster("maintenance-mode", "t"), ""),
        (('stonith-enabled" value="true', 'stonith-enabled" value="false'), "switched off"),
        (cluster("stop-all-resources", "true"), ""),
        (cluster("no-quorum-policy", "freeze"), ""),
        (cluster("startup-fencing", "false"), ""),
    ],
)
def test_what_is_told_of_a_lost_host_is_what_the_scheduler_does(
    tmp_path: Path, change: tuple[str, str] | None, why: str
) -> None:
    text = changed(DEAD, change) if change else DEAD
    view = read_cib(parse_cib(text), "evacuate")
    told = view.fences_nobody or view.unfenced.get("cmp-1", "")
    assert Pacemaker(tmp_path / "cib.xml", text).fences("cmp-1") == (not told)
    assert why in told and bool(why) == bool(told)
