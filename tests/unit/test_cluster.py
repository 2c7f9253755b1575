"""The CIB as a real Pacemaker 2.1.5 has it, shortened, while a host was being evacuated; and the history of its fencings."""

from __future__ import annotations

import pytest
from instance_ha import cluster as door
from instance_ha.cib import read_cib
from instance_ha.cluster import Cluster
from instance_ha.errors import ClusterError, ConflictError
from instance_ha.model import ClusterNode, FenceEvent, Record, clean, parse_record
from instance_ha.process import Outcome
from instance_ha.standing import Failure, not_installed
from lxml import etree

VALUE = "confirmed;id=f30367e0;since=1795559436;by=ctl-1;host=cmp-1;proof=node_fenced:1795559437;baseline=0;worker=ctl-2.54.745534"
CIB = f"""
<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" admin_epoch="0" epoch="53" num_updates="1" have-quorum="1" dc-uuid="1">
  <configuration>
    <nodes>
      <node id="1" uname="ctl-1"/>
      <node id="2" uname="ctl-2"><instance_attributes id="nodes-2"/></node>
      <node type="remote" id="cmp-1" uname="cmp-1">
        <instance_attributes id="nodes-cmp-1">
          <nvpair id="nodes-cmp-1-osprole" name="osprole" value="compute"/>
          <nvpair id="nodes-cmp-1-evacuate" name="evacuate" value="{VALUE}"/>
        </instance_attributes>
      </node>
      <node type="remote" id="cmp-2" uname="cmp-2">
        <instance_attributes id="nodes-cmp-2"><nvpair id="nodes-cmp-2-evacuate" name="evacuate" value="junk"/></instance_attributes>
      </node>
    </nodes>
    <resources>
      <primitive id="fence-cmp-1" class="stonith" type="fence_ipmilan"/>
      <primitive id="fence-nova" class="stonith" type="fence_nova"/>
      <primitive id="cmp-1" class="ocf" type="remote" provider="pacemaker"/>
      <primitive id="cmp-3" class="ocf" type="remote" provider="pacemaker"/>
    </resources>
    <fencing-topology>
      <fencing-level index="1" devices="fence-cmp-1,fence-nova" target="cmp-1" id="fl-cmp-1-1"/>
      <fencing-level index="2" devices="fence-nova" target-pattern="cmp-.*" id="fl-pattern"/>
      <fencing-level index="3" devices="fence-cmp-1" target-attribute="osprole" target-value="compute" id="fl-attribute"/>
    </fencing-topology>
  </configuration>
  <status>
    <node_state id="2" uname="ctl-2" in_ccm="true" crmd="online" join="member" expected="member">
      <transient_attributes id="2">
        <instance_attributes id="status-2">
          <nvpair id="status-2-.feature-set" name="#feature-set" value="3.16.1"/>
          <nvpair id="status-2-evacuation-cmp-1" name="evacuation-cmp-1" value="evacuating, 4/5 done"/>
        </instance_attributes>
      </transient_attributes>
    </node_state>
    <node_state id="1" uname="ctl-1" in_ccm="false" crmd="offline" join="down" expected="down"/>
    <node_state remote_node="true" id="cmp-1" uname="cmp-1" in_ccm="false" node_fenced="1795559437"/>
    <node_state remote_node="true" id="cmp-2" uname="cmp-2" in_ccm="true" node_fenced="0"/>
  </status>
</cib>"""
HISTORY = """<pacemaker-result api-version="2.25" request="stonith_admin --history cmp-1 --verbose --output-as=xml">
  <list name="fencing history" count="3">
    <fence_event action="reboot" target="cmp-1" client="pacemaker-controld.18" origin="ctl-1" status="pending"/>
    <fence_event action="on" target="cmp-1" origin="ctl-1" status="failed" delegate="ctl-1" completed="2026-11-24 22:30:03Z"/>
    <fence_event action="reboot" target="cmp-1" origin="ctl-1" status="success" delegate="ctl-1" completed="2026-11-24 22:29:43Z"/>
  </list>
  <status code="0" message="OK"/>
</pacemaker-result>"""


def test_nodes_records_and_levels() -> None:
    view = read_cib(etree.fromstring(CIB), "evacuate")
    assert view.quorate
    assert view.nodes["cmp-1"] == ClusterNode("cmp-1", True, False, "node_fenced:1795559437")
    assert view.nodes["cmp-2"].online is True and view.nodes["cmp-3"].online is None
    assert view.nodes["ctl-1"].online is False and not view.nodes["ctl-2"].remote
    assert view.records == {"cmp-1": parse_record("cmp-1", VALUE)} and view.broken == {"cmp-2": "junk"}
    assert view.levels == {"cmp-1": (("fence_ipmilan", "fence_nova"),), "ctl-1": ()}, "by name, and by nothing else then"
    root = etree.fromstring(CIB.replace('target="cmp-1" id="fl-cmp-1-1"', 'target="cmp-9" id="fl-cmp-1-1"'))
    assert read_cib(root, "evacuate").levels["cmp-1"] == (("fence_nova",), ("fence_ipmilan",)), "which of them counts Pacemaker does not say"


def test_devices_and_remotes_may_be_made_from_templates() -> None:
    text = CIB.replace('<primitive id="fence-cmp-1" class="stonith" type="fence_ipmilan"/>',
                       '<template id="t" class="stonith" type="fence_ipmilan"/><primitive id="fence-cmp-1" template="t"/>')
    text = text.replace('<primitive id="cmp-3" class="ocf" type="remote" provider="pacemaker"/>',
                        '<template id="r" class="ocf" type="remote" provider="pacemaker"/><primitive id="cmp-3" template="r"/>')
    view = read_cib(etree.fromstring(text), "evacuate")
    assert view.levels["cmp-1"] == (("fence_ipmilan", "fence_nova"),) and view.nodes["cmp-3"].remote


@pytest.mark.parametrize(("value", "agent"), [("10s", "fence_watchdog"), ("0", ""), ("0s", "")])
def test_the_watchdog_that_pacemaker_has_of_its_own(value: str, agent: str) -> None:
    text = CIB.replace('devices="fence-cmp-1,fence-nova"', 'devices="watchdog,fence-nova"').replace(
        "<nodes>", f'<crm_config><cluster_property_set id="c"><nvpair id="w" name="stonith-watchdog-timeout" value="{value}"/>'
        "</cluster_property_set></crm_config><nodes>")
    assert read_cib(etree.fromstring(text), "evacuate").levels["cmp-1"] == ((agent, "fence_nova"),)


class Tools:
    """Pacemaker's tools, answering as they were seen to."""

    def __init__(self, *answers: Outcome) -> None:
        self.answers, self.asked = list(answers), []  # type: ignore[var-annotated]

    def __call__(self, argv: list[str], timeout: float) -> Outcome:
        self.asked.append(argv)
        return self.answers.pop(0)


@pytest.mark.parametrize(("state", "online", "mark"), [
    ('in_ccm="false" crmd="offline" crm-debug-origin="send_stonith_update" join="down" expected="down"', False, "node_state:send_stonith_update"),
    ('in_ccm="false" crmd="offline" crm-debug-origin="post_cache_update" join="down" expected="down"', False, ""),     # a clean stop
    ('in_ccm="false" crmd="offline" crm-debug-origin="do_state_transition" join="down" expected="member"', False, ""),  # lost, not fenced yet
    ('in_ccm="true" crmd="online" crm-debug-origin="do_update_resource" join="member" expected="member"', True, ""),
])
def test_a_full_member_that_was_fenced_and_one_that_was_stopped_differ_in_what_wrote_its_state(state: str, online: bool, mark: str) -> None:
    root = etree.fromstring(CIB.replace('in_ccm="false" crmd="offline" join="down" expected="down"', state))
    assert read_cib(root, "evacuate").nodes["ctl-1"] == ClusterNode("ctl-1", False, online, mark)


def test_what_the_worker_says_in_crm_mon_is_read() -> None:
    assert read_cib(etree.fromstring(CIB), "evacuate").told == {"cmp-1": "evacuating, 4/5 done"}


def test_a_state_without_a_configuration_is_no_node() -> None:
    """Pacemaker keeps the state of a remote node for a while after its resource was deleted."""
    root = etree.fromstring(CIB.replace('<primitive id="cmp-1" class="ocf" type="remote" provider="pacemaker"/>', ""))
    assert "cmp-1" not in read_cib(root, "evacuate").nodes


def test_a_no_is_a_persons_dismissal() -> None:
    view = read_cib(etree.fromstring(CIB.replace('value="junk"', 'value="no"')), "evacuate")
    assert view.dismissed == {"cmp-2"} and not view.broken


NODES = """<nodes>
  <node id="1" uname="ctl-1"/>
  <node type="remote" id="cmp-1" uname="cmp-1">
    <instance_attributes id="nodes-cmp-1"><nvpair id="nodes-cmp-1-osprole" name="osprole" value="compute"/></instance_attributes>
  </node>
</nodes>"""


@pytest.mark.parametrize(("node", "path"), [("cmp-1", "//nodes/node[@uname='cmp-1']["), ("cmp-9", "//nodes[not(node[@uname='cmp-9'])]")])
def test_a_record_is_added_only_where_there_is_none(monkeypatch: pytest.MonkeyPatch, node: str, path: str) -> None:
    record = Record(node, "fenced", "3f9c")
    tools = Tools(Outcome(0, NODES, ""), Outcome(0, "", ""), Outcome(0, NODES, ""), Outcome(105, "", "Call failed: No such device or address"))
    monkeypatch.setattr(door, "run", tools)
    assert Cluster().add(record).raw == record.text()
    assert any(word.startswith(path) and "not(" in word for word in tools.asked[1])
    with pytest.raises(ConflictError):
        Cluster().add(record)


def test_what_fence_compute_set_is_read_from_its_transient_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    said = 'name="evacuate" host="cmp-1" value="yes"\nname="evacuate" host="cmp-2" value="no"\nname="evacuate" host="ctl-1" value=""\n'
    monkeypatch.setattr(door, "run", Tools(Outcome(0, said, ""), Outcome(78, "", "attribute does not exist")))
    assert Cluster().transient_yes() == ["cmp-1"]
    assert Cluster().transient_yes() == []


def test_history(monkeypatch: pytest.MonkeyPatch) -> None:
    tools = Tools(Outcome(0, HISTORY, ""))
    monkeypatch.setattr(door, "run", tools)
    assert Cluster().history("cmp-1") == [
        FenceEvent("cmp-1", "reboot", "pending", ""), FenceEvent("cmp-1", "on", "failed", clean("2026-11-24 22:30:03Z")),
        FenceEvent("cmp-1", "reboot", "success", clean("2026-11-24 22:29:43Z"))]
    assert "--verbose" in tools.asked[0]


class Nodes:
    """cibadmin on the nodes of a CIB, as 2.1.5 does it: --delete succeeds when nothing matches, --modify answers 105 then."""

    def __init__(self, text: str, between: str = "", code: int = 105) -> None:
        self.root, self.between, self.code = etree.fromstring(text), between, code

    def __call__(self, argv: list[str], timeout: float) -> Outcome:
        if argv[1] == "--query":
            return Outcome(0, etree.tostring(self.root, encoding="unicode"), "")
        if self.between:
            self.root.xpath("//nvpair[@name='evacuate']")[0].set("value", self.between)
        found = self.root.xpath(argv[argv.index("--xpath") + 1].replace("//nodes/", "//"))
        if argv[1] == "--delete":
            for pair in found:
                pair.getparent().remove(pair)
            return Outcome(0, "", "")
        assert argv[1] == "--modify"
        if not found:
            return Outcome(self.code, "", "Call failed: No such device or address")
        found[0].set("value", etree.fromstring(argv[argv.index("--xml-text") + 1]).get("value"))
        return Outcome(0, "", "")

    @property
    def records(self) -> list[str]:
        return self.root.xpath("//nvpair[@name='evacuate']/@value")


def holding(value: str) -> str:
    root = etree.fromstring(NODES)
    etree.SubElement(root.find("node/instance_attributes"), "nvpair", id="r", name="evacuate", value=value)
    return etree.tostring(root, encoding="unicode")


@pytest.mark.parametrize("value", [VALUE, "yes"])
def test_a_record_is_cleared_by_its_exact_value(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    record, nodes = parse_record("cmp-1", value), Nodes(holding(value))
    assert record is not None
    monkeypatch.setattr(door, "run", nodes)
    Cluster().clear(record)
    assert nodes.records == []
    assert nodes.root.xpath("//nvpair/@name") == ["osprole"]


@pytest.mark.parametrize("code", [105, 6])
@pytest.mark.parametrize("now", ["", "fenced;id=new"])
def test_a_record_that_was_changed_meanwhile_is_left_alone(monkeypatch: pytest.MonkeyPatch, code: int, now: str) -> None:
    record = parse_record("cmp-1", VALUE)
    assert record is not None
    nodes = Nodes(holding(VALUE), now, code) if now else Nodes(holding("returning;id=f30367e0"))
    monkeypatch.setattr(door, "run", nodes)
    with pytest.raises(ConflictError):
        Cluster().clear(record)
    assert nodes.records == [now or "returning;id=f30367e0"]


def test_a_cleared_record_that_was_not_deleted_is_none_and_makes_room_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = Nodes(holding(""))
    monkeypatch.setattr(door, "run", nodes)
    record = Record("cmp-1", "fenced", "3f9c")
    assert Cluster().add(record).raw == record.text()
    assert nodes.records == [record.text()]
    view = read_cib(etree.fromstring(CIB.replace('value="junk"', 'value=""')), "evacuate")
    assert "cmp-2" not in {*view.records, *view.broken, *view.dismissed}


def test_what_people_are_told_reaches_pacemaker_in_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    """crm_attribute refuses anything else with 64, "Invalid byte sequence in conversion input"."""
    tools = Tools(Outcome(0, "ctl-1\n", ""), Outcome(0, "", ""))
    monkeypatch.setattr(door, "run", tools)
    Cluster().show("evacuation-cmp-1", "partly, 1 left: Büro-Straße\n\u65e5 \u20ac")
    assert tools.asked[1][-1] == "partly, 1 left: Buro-Strasse ? EUR"


@pytest.mark.parametrize("outcome", [Outcome(102, "", "Init failed, could not perform requested operations"), Outcome(0, "not xml", "")])
def test_no_cluster_is_an_error_and_not_an_empty_one(monkeypatch: pytest.MonkeyPatch, outcome: Outcome) -> None:
    monkeypatch.setattr(door, "run", Tools(outcome))
    with pytest.raises(ClusterError):
        Cluster().view()


MONITOR = """<pacemaker-result api-version="2.25" request="crm_mon --one-shot --output-as=xml"><resources>
  <resource id="fence-cmp-1" resource_agent="stonith:fence_ipmilan" role="Started" active="true" failed="true" nodes_running_on="1">
    <node name="ctl-2" id="2" cached="true"/></resource>
  <clone id="nova-compute-clone"><resource id="nova-compute" role="Started" active="true" failed="false"><node name="cmp-1"/></resource>
    <resource id="nova-compute:1" role="Started" active="true" failed="false"><node name="cmp-2"/></resource>
    <resource id="nova-compute" role="Stopped" active="false" failed="false" nodes_running_on="0"/></clone></resources>
  <failures><failure op_key="fence-cmp-1_start_0" node="ctl-2" exitstatus="error" exitreason="Fence agent did not complete within 20s" exitcode="1"
    call="102" status="Timed Out" interval="0" task="start"/>
    <failure op_key="nova-evacuate_monitor_10000" node="ctl-1" exitstatus="degraded" exitreason="" exitcode="190" call="3"/>
    <failure op_key="nova-evacuate_start_0" node="cmp-2" exitstatus="error"
     exitreason="the cloud &amp;apos;lab&amp;apos; cannot be used" exitcode="1"/></failures>
</pacemaker-result>"""


def test_what_runs_and_what_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "run", Tools(Outcome(0, MONITOR, "")))
    now = Cluster().standing()
    assert now.running == {"fence-cmp-1": {"ctl-2"}, "nova-compute": {"cmp-1", "cmp-2"}} and now.failed == {"fence-cmp-1"}
    assert now.failures == (Failure("fence-cmp-1", "start", "ctl-2", 1, "Fence agent did not complete within 20s"),
                            Failure("nova-evacuate", "monitor", "ctl-1", 190, "degraded"),
                            Failure("nova-evacuate", "start", "cmp-2", 1, "the cloud 'lab' cannot be used"))


def test_an_agent_that_a_node_could_not_run() -> None:
    """crm_mon shows nothing of such a probe."""
    operation = ('<lrm><lrm_resources><lrm_resource id="nova-evacuate"><lrm_rsc_op id="nova-evacuate_last_0" operation="monitor" rc-code="{}" '
                 'exit-reason="NovaEvacuate: No such file or directory"/></lrm_resource></lrm_resources></lrm>')
    root = etree.fromstring(f'<cib><status><node_state uname="ctl-1">{operation.format(5)}</node_state><node_state uname="ctl-2">'
                            f"{operation.format(7)}</node_state></status></cib>")
    assert not_installed(root, "nova-evacuate") == {"ctl-1": "NovaEvacuate: No such file or directory"}


@pytest.mark.parametrize(("properties", "words"), [
    ({"stonith-enabled": "false"}, "switched off"), ({"stonith-enabled": "true"}, ""), ({}, ""), ({"fencing-enabled": "0"}, "switched off"),
    ({"fencing-enabled": "true", "stonith-enabled": "false", "dc-version": "3.0.2-1"}, ""),
    ({"fencing-enabled": "true", "stonith-enabled": "false", "dc-version": "2.1.5-1"}, "switched off"),
    ({"maintenance-mode": "true"}, "maintenance mode")])
def test_a_cluster_that_fences_nobody(properties: dict[str, str], words: str) -> None:
    pairs = "".join(f'<nvpair id="{name}" name="{name}" value="{value}"/>' for name, value in properties.items())
    text = CIB.replace("<nodes>", f'<crm_config><cluster_property_set id="c">{pairs}</cluster_property_set></crm_config><nodes>', 1)
    told = read_cib(etree.fromstring(text), "evacuate").fences_nobody
    assert words in told and bool(words) == bool(told)
