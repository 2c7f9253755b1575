"""How a node stands, by the CIB's state and by its connection's history; the states are as Pacemaker 2.1.5 and 3.0.0 write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from instance_ha.cib import read_cib
from instance_ha.membership import Membership
from instance_ha.standing import read_standing
from lxml import etree

CTL_1 = 'id="1" uname="ctl-1" in_ccm="1795813402" crmd="1795813402" join="member" expected="member"'
CTL_2 = 'id="2" uname="ctl-2" in_ccm="1795813402" crmd="1795813402" join="member" expected="member"'
GONE = 'id="1" uname="ctl-1" in_ccm="0" crmd="0" join="down" expected="down"'
PROBED = '<lrm_rsc_op id="cmp-1_last_0" operation="monitor" interval="0" call-id="9" rc-code="7" op-status="0" last-rc-change="1795813410"/>'
STARTED = ('<lrm_rsc_op id="cmp-1_last_0" operation="start" interval="0" call-id="1" rc-code="0" op-status="0" last-rc-change="1795813411"/>'
           '<lrm_rsc_op id="cmp-1_monitor_5000" operation="monitor" interval="5000" call-id="2" rc-code="0" op-status="0" '
           'last-rc-change="1795813412"/>')
LOST = STARTED + ('<lrm_rsc_op id="cmp-1_last_failure_0" operation="monitor" interval="5000" call-id="2" rc-code="1" op-status="4" '
                  'last-rc-change="1795813500"/>')
STOPPED = '<lrm_rsc_op id="cmp-1_last_0" operation="stop" interval="0" call-id="4" rc-code="0" op-status="0" last-rc-change="1795813501"/>'
MOVED_AWAY = '<lrm_rsc_op id="cmp-1_last_0" operation="migrate_to" interval="0" call-id="5" rc-code="0" op-status="0" last-rc-change="1795813600"/>'
MOVED_HERE = '<lrm_rsc_op id="cmp-1_last_0" operation="migrate_from" interval="0" call-id="1" rc-code="0" op-status="0" last-rc-change="1795813601"/>'
STARTING = '<lrm_rsc_op id="cmp-1_last_0" operation="start" interval="0" call-id="-1" rc-code="193" op-status="-1" last-rc-change="1795813602"/>'
AGAIN = STARTED.replace('operation="start" interval="0" call-id="1" rc-code="0" op-status="0" last-rc-change="1795813411"',
                        'operation="start" interval="0" call-id="-1" rc-code="193" op-status="-1" last-rc-change="1795813510"')


def controller(state: str, history: str = "") -> str:
    resource = f'<lrm_resource id="cmp-1" type="remote" class="ocf" provider="pacemaker">{history}</lrm_resource>'
    lrm = f"<lrm><lrm_resources>{resource}</lrm_resources></lrm>"
    return f"<node_state {state}>{lrm if history else ''}</node_state>"


def stands(in_ccm: str | None, *controllers: str) -> bool | None:
    own = "" if in_ccm is None else f'<node_state remote_node="true" id="cmp-1" uname="cmp-1" in_ccm="{in_ccm}" node_fenced="0"/>'
    return Membership(etree.fromstring(f"<cib><status>{own}{''.join(controllers)}</status></cib>")).is_online("cmp-1", True)


@pytest.mark.parametrize(("in_ccm", "controllers", "online"), [
    ("0", (controller(CTL_1, STARTED), controller(CTL_2, PROBED)), True),        # Pacemaker 3.0, after the election of a DC
    ("1795813411", (controller(CTL_1, STARTED),), True),
    ("true", (controller(CTL_1),), True),                                        # Pacemaker 2.1
    ("false", (controller(CTL_1, LOST), controller(CTL_2, PROBED)), False),
    ("0", (controller(CTL_1, LOST),), False),
    ("0", (controller(CTL_1, STOPPED), controller(CTL_2, PROBED)), False),
    ("0", (controller(CTL_1, MOVED_AWAY), controller(CTL_2, MOVED_HERE)), True),
    ("0", (controller(CTL_1, MOVED_AWAY), controller(CTL_2, STARTING)), False),
    ("0", (controller(GONE, STARTED), controller(CTL_2, PROBED)), False),        # the controller that held the connection has died too
    ("false", (controller(CTL_1, AGAIN), controller(CTL_2, PROBED)), False),      # a fenced host, seen with Pacemaker 2.1.5
    ("0", (controller(CTL_1), controller(CTL_2)), None),                         # the history was cleaned up: nobody knows
    ("false", (controller(CTL_1),), False),
    (None, (controller(CTL_1, STARTED),), True),
    (None, (controller(CTL_1, STOPPED),), None),
    (None, (), None),
])
def test_a_remote_node(in_ccm: str | None, controllers: tuple[str, ...], online: bool | None) -> None:
    assert stands(in_ccm, *controllers) is online


def test_a_start_under_way_is_no_connection_and_is_told() -> None:
    """crm_mon of Pacemaker 2.1.5 calls such a node online."""
    for history, connecting in ((STARTING, True), (AGAIN, True), (STARTED, False), (LOST, False)):
        root = etree.fromstring(f"<cib><status>{controller(CTL_1, history)}</status></cib>")
        assert Membership(root).is_connecting("cmp-1") is connecting


@pytest.mark.parametrize(("state", "online"), [(CTL_1, True), (GONE, False), ('id="1" uname="ctl-1" in_ccm="true" crmd="offline"', False),
                                               ('id="1" uname="ctl-1"', None)])
def test_a_full_member(state: str, online: bool | None) -> None:
    assert Membership(etree.fromstring(f"<cib><status><node_state {state}/></status></cib>")).is_online("ctl-1", False) is online


CIBS = Path(__file__).with_name("cibs")


def test_a_real_cluster_of_pacemaker_3() -> None:
    """Taken on 2026-11-27 from Debian 13's Pacemaker 3.0.0: three hosts online, in_ccm="0" on each, after one was fenced and came back."""
    view = read_cib(etree.parse(str(CIBS / "pacemaker-3.0.xml")).getroot(), "evacuate")
    hosts = ("cmp-1", "cmp-2", "cmp-3")
    assert {name: (node.online, node.mark) for name, node in view.nodes.items() if node.remote} == dict.fromkeys(hosts, (True, ""))
    assert read_standing(etree.parse(str(CIBS / "crm_mon-3.0.xml")).getroot()).online == frozenset(view.nodes)
