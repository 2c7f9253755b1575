"""A cluster that is well, as a real Pacemaker 2.1.5 told of it in the laboratory (shortened), and each way in which it can be ill."""

from __future__ import annotations

from dataclasses import dataclass

from instance_ha.process import Outcome

from tests.unit.cibs import PROTECTED, changed

Changes = tuple[tuple[str, str], ...]
CTL_2 = '<node_state id="2" uname="ctl-2" in_ccm="true" crmd="online" crm-debug-origin="do_update_resource" join="member" expected="member"'
PROBE = ('<lrm id="2"><lrm_resources><lrm_resource id="nova-evacuate" type="NovaEvacuate" class="ocf" provider="openstack">'
         '<lrm_rsc_op id="nova-evacuate_last_0" operation_key="nova-evacuate_monitor_0" operation="monitor" exit-reason="" on_node="ctl-2" '
         'rc-code="7" op-status="0" interval="0"/></lrm_resource></lrm_resources></lrm></node_state>')
WELL = changed(PROTECTED, (f"{CTL_2}/>", f"{CTL_2}>{PROBE}"))


def runs(name: str, node: str) -> str:
    return f'<resource id="{name}" role="Started" active="true" managed="true" failed="false"><node name="{node}"/></resource>'


_RUNS = "".join(runs(*pair) for pair in (
    ("fence-cmp-1", "ctl-1"), ("fence-cmp-2", "ctl-2"), ("fence-nova", "ctl-1"), ("cmp-1", "ctl-1"), ("cmp-2", "ctl-2")))
_CLONE = "".join(runs("nova-compute", node) for node in ("cmp-1", "cmp-2"))
WORKER_RUNS = runs("nova-evacuate", "ctl-2")
MONITOR = (f'<pacemaker-result api-version="2.25"><resources>{_RUNS}<clone id="nova-compute-clone">{_CLONE}<resource id="nova-compute" '
           f'role="Stopped" active="false" managed="true" failed="false"/></clone>{WORKER_RUNS}</resources><failures></failures></pacemaker-result>')
EVENT = ('<pacemaker-result><list name="fencing history" count="1"><fence_event action="reboot" target="{node}" origin="ctl-1" status="{status}" '
         'delegate="ctl-1" completed="2026-11-25 05:04:38Z"/></list></pacemaker-result>')
LISTED = '<pacemaker-result><list name="registered fence devices" count="0">{items}</list><status code="0" message="OK"/></pacemaker-result>'


class Tools:
    """Pacemaker's tools on ctl-1. `failed` are the nodes whose last fencing failed, `capable` the devices that the fencer names for any
    node, `broken` the tools that fail."""

    def __init__(self, cib: str = WELL, monitor: str = MONITOR, failed: tuple[str, ...] = (), capable: tuple[str, ...] = (),
                 broken: tuple[str, ...] = (), here: str = "ctl-1") -> None:
        self.cib, self.monitor, self.failed, self.capable, self.broken, self.here = cib, monitor, failed, capable, broken, here
        self.asked: list[str] = []

    def __call__(self, argv: list[str], timeout: float) -> Outcome:
        line = " ".join(argv)
        self.asked.append(line)
        if argv[0] in self.broken:
            return Outcome(102, "", f"{argv[0]}: Could not connect to the cluster: Connection refused")
        if line.startswith("cibadmin --query"):
            scope = self.cib[self.cib.index("<resources>"):self.cib.index("</resources>") + 12]
            return Outcome(0, scope if "--scope" in argv else self.cib, "")
        if line.startswith("stonith_admin --list"):
            return Outcome(0, LISTED.format(items="".join(f'<item name="device">{name}</item>' for name in self.capable)), "")
        node = argv[2] if line.startswith("stonith_admin --history") else ""
        answers = {"crm_mon": self.monitor, "crm_node": f"{self.here}\n",
                   "stonith_admin": EVENT.format(node=node, status="failed" if node in self.failed else "success")}
        return Outcome(0, answers[argv[0]], "")


@dataclass(frozen=True)
class Ill:
    """One way to be ill: the finding, what it is about, the changes of the CIB and of what crm_mon says. `pcs` and `crm`: whether the
    commands that are printed can be tried on a file that holds the CIB, and mend it."""

    kind: str
    on: str
    cib: Changes = ()
    monitor: Changes = ()
    failed: tuple[str, ...] = ()
    capable: tuple[str, ...] = ()
    pcs: bool = True
    crm: bool = True
    nova: bool = True      # Nova can be asked; else what is a compute host is guessed

    def __str__(self) -> str:
        return f"{self.kind}-{self.on}"

    def tools(self, **more: str) -> Tools:
        return Tools(changed(WELL, *self.cib), changed(MONITOR, *self.monitor), self.failed, self.capable, **more)  # type: ignore[arg-type]


def pair(name: str, value: str) -> str:
    """A parameter, as it is written in the CIB that is well."""
    return f'name="{name}" value="{value}"'


def failure(key: str, node: str, code: int, reason: str) -> tuple[str, str]:
    told = f'<failure op_key="{key}" node="{node}" exitstatus="error" exitreason="{reason}" exitcode="{code}" call="1" status="complete"/>'
    return "<failures></failures>", f"<failures>{told}</failures>"


LEVEL_2 = 'devices="fence-cmp-2,fence-nova" target="cmp-2"'
LEVEL = f'<fencing-level index="1" {LEVEL_2} id="fl-cmp-2-1"/>'
STONITH = pair("stonith-enabled", "true")
V3_0_3 = ('name="dc-version" value="2.1.5-a3f44794f94"', pair("dc-version", "3.0.3-2"))
HOSTS = pair("pcmk_host_list", "cmp-1 cmp-2")
LIMIT = '<nvpair id="fence-nova-instance_attributes-pcmk_action_limit" name="pcmk_action_limit" value="-1"/>'
UNFENCING = '<nvpair id="fence-nova-meta_attributes-provides" name="provides" value="unfencing"/>'
LIST_2 = '<nvpair id="fence-cmp-2-instance_attributes-pcmk_host_list" name="pcmk_host_list" value="cmp-2"/>'
CLOUD_WORKER = '<nvpair id="nova-evacuate-instance_attributes-cloud" name="cloud" value="lab"/>'
CLOUD_DEVICE = '<nvpair id="fence-nova-instance_attributes-cloud" name="cloud" value="lab"/>'
RECORD = '<nvpair id="nodes-cmp-2-osprole" name="osprole" value="compute"/>'
OFFLINE = ('id="cmp-2" uname="cmp-2" in_ccm="true"', 'id="cmp-2" uname="cmp-2" in_ccm="false"')
DOWN = ('id="fence-cmp-2" role="Started" active="true" managed="true" failed="false"><node name="ctl-2"/></resource>',
        'id="fence-cmp-2" role="Stopped" active="false" managed="true" failed="false"></resource>')
START_WORKER = '<op name="start" interval="0s" timeout="30s" id="nova-evacuate-start-interval-0s"/>'
WORKER_OP = '<op name="monitor" interval="10s" timeout="20s" id="nova-evacuate-monitor-interval-10s"/>'
HOLD_BACK = WELL[WELL.index('      <rsc_location id="location-nova-compute-clone-1"'):WELL.index("    </constraints>")]
BAN_WORKER = WELL[WELL.index('      <rsc_location resource-discovery="never" id="location-nova-evacuate"'):WELL.index(HOLD_BACK)]
AT_ONCE = '<nvpair id="fence-nova-instance_attributes-let_in" name="let_in" value="at_once"/>'
CLONE = WELL[WELL.index('      <clone id="nova-compute-clone">'):WELL.index("      </clone>\n") + 15]
FENCE_NOVA = WELL[WELL.index('      <primitive id="fence-nova"'):WELL.index(CLONE)]
WORKER = WELL[WELL.index('      <primitive id="nova-evacuate"'):WELL.index("    </resources>")]
BAN_COMPUTE = WELL[WELL.index('      <rsc_location resource-discovery="never" id="location-nova-compute-clone"'):WELL.index(BAN_WORKER)]


def worker_param(name: str, value: str) -> tuple[str, str]:
    return CLOUD_WORKER, f'{CLOUD_WORKER}<nvpair id="x-{name}" {pair(name, value)}/>'


def device_param(name: str, value: str) -> tuple[str, str]:
    return CLOUD_DEVICE, f'{CLOUD_DEVICE}<nvpair id="y-{name}" {pair(name, value)}/>'


def disabled(resource: str, meta: str) -> tuple[str, str]:
    """An attribute `meta` holds, and the same with target-role."""
    return meta, f'{meta}<nvpair id="z-{resource}" name="target-role" value="Stopped"/>'


CTL_USER = '<nvpair id="fence-ctl-2-instance_attributes-username" name="username" value="admin"/>'
OFF = ('<meta_attributes id="off"><nvpair id="off-role" name="target-role" value="Stopped"/>'
       '</meta_attributes><instance_attributes id="more">')
OPT_IN = (STONITH, STONITH + f'/><nvpair id="oi" {pair("symmetric-cluster", "false")}')


def allowed(resource: str, *nodes: str) -> str:
    """Constraints that let a resource run on nodes, and nowhere else in an opt-in cluster."""
    return "".join(f'<rsc_location id="allow-{resource}-{node}" rsc="{resource}" node="{node}" '
                   'score="0"/>' for node in nodes)


def opt_in(*constraints: str) -> Changes:
    return OPT_IN, ("</constraints>", "".join(constraints) + "</constraints>")


PACEMAKER = (
    Ill("no-quorum", "cluster", (('have-quorum="1"', 'have-quorum="0"'),), pcs=False, crm=False),
    Ill("stonith-disabled", "cluster", ((STONITH, pair("stonith-enabled", "false")),)),
    Ill("stonith-disabled", "cluster", ((STONITH, STONITH + f'/><nvpair id="f" {pair("fencing-enabled", "false")}'), V3_0_3),
        pcs=False),    # pcs knows only the properties of the Pacemaker beside it
    Ill("maintenance-mode", "cluster", ((STONITH, STONITH + f'/><nvpair id="m" {pair("maintenance-mode", "true")}'),)),
    Ill("maintenance-mode", "nova-evacuate", (
        ('<nvpair id="nova-evacuate-meta_attributes-failure-timeout"',
         f'<nvpair id="u" {pair("is-managed", "false")}/><nvpair id="nova-evacuate-meta_attributes-failure-timeout"'),)),
    Ill("maintenance-mode", "cmp-2", ((RECORD, f'{RECORD}<nvpair id="m" {pair("maintenance", "true")}/>'),)),
    Ill("no-fence-nova", "cluster", ((FENCE_NOVA, ""), (",fence-nova", "")), pcs=False, crm=False),
    Ill("no-host-list", "fence-nova", ((f'<nvpair id="fence-nova-instance_attributes-pcmk_host_list" {HOSTS}/>', ""),)),
    Ill("not-a-compute", "ctl-2", ((HOSTS, pair("pcmk_host_list", "cmp-1 cmp-2 ctl-2")),)),
    Ill("controller-no-power", "ctl-2", ((pair("pcmk_host_list", "ctl-2"), pair("pcmk_host_list", "ctl-1")),), pcs=False, crm=False),
    Ill("controller-no-power", "ctl-2", ((CTL_USER, f"{CTL_USER}</instance_attributes>{OFF}"),)),
    Ill("controller-no-power", "ctl-2", opt_in(allowed("fence-ctl-1", "ctl-2"))),
    Ill("remote-nowhere", "cmp-2", opt_in(allowed("cmp-1", "ctl-1"))),
    Ill("one-controller", "nova-evacuate", opt_in(allowed("nova-evacuate", "ctl-1"))),
    Ill("one-controller", "fence-nova", opt_in(allowed("fence-nova", "ctl-1"))),
    Ill("one-controller", "fence-cmp-2", (
        ("</constraints>", '<rsc_location id="no" rsc="fence-cmp-2" node="ctl-2" '
                           'score="-INFINITY"/></constraints>'),), pcs=False, crm=False),
    Ill("nova-compute-kept-off", "nova-compute", opt_in(allowed("nova-compute-clone", "cmp-1"))),
    Ill("level-missing", "cmp-2", ((LEVEL, ""),)),
    Ill("level-no-power", "cmp-2", ((LEVEL_2, 'devices="fence-nova" target="cmp-2"'),)),
    Ill("level-no-power", "cmp-2", ((LEVEL_2, 'devices="fence-nova,fence-cmp-2" target="cmp-2"'),)),
    Ill("level-no-power", "cmp-2", ((LEVEL_2, 'devices="fence-nova" target-attribute="rack" target-value="2"'),
                                    (RECORD, f'{RECORD}<nvpair id="k" {pair("rack", "2")}/>'))),
    Ill("level-no-power", "cmp-2", ((LEVEL_2, 'devices="fence-nova" target-pattern="cmp-[2-9]"'),)),
    Ill("level-no-power", "cmp-2", (('<primitive id="fence-cmp-2" class="stonith" type="fence_ipmilan"',
                                     '<primitive id="fence-cmp-2" class="stonith" type="fence_dummy"'),),
        pcs=False, crm=False),
    Ill("agent-unknown", "fence-cmp-2", (
        ('<primitive id="fence-cmp-2" class="stonith" type="fence_ipmilan"',
         '<primitive id="fence-cmp-2" class="stonith" type="fence_of_the_site"'),), pcs=False, crm=False),
    Ill("level-no-record", "cmp-2", ((LEVEL_2, 'devices="fence-cmp-2" target="cmp-2"'),)),
    Ill("level-device", "fence-gone", ((LEVEL_2, 'devices="fence-cmp-2,fence-gone,fence-nova" target="cmp-2"'),), pcs=False, crm=False),
    Ill("level-device", "fence-nova", (disabled("fence-nova", UNFENCING),)),
    Ill("device-not-for-node", "fence-nova", ((HOSTS, pair("pcmk_host_list", "cmp-1")),)),
    Ill("device-not-for-node", "fence-nova", ((HOSTS, pair("pcmk_host_map", "cmp-1:cmp-1")),)),
    Ill("device-not-for-node", "fence-cmp-1", ((LEVEL_2, 'devices="fence-cmp-1,fence-nova" target="cmp-2"'),)),
    Ill("controller-no-power", "ctl-2", (
        (LEVEL_2, LEVEL_2.replace('target="cmp-2"', 'target-pattern=".*"')),)),
    Ill("worker-limits", "nova-evacuate", (
        ("</rsc_defaults>", '</rsc_defaults><op_defaults><meta_attributes id="od"><nvpair id="odt" '
                            f'{pair("timeout", "5s")}/></meta_attributes></op_defaults>'),)),
    Ill("device-not-for-node", "fence-cmp-2", ((LIST_2, ""),),
        capable=("fence-cmp-1",), pcs=False, crm=False),
    Ill("unseen", "fence-cmp-2", ((LIST_2, ""),), pcs=False, crm=False),
    Ill("device-down", "fence-cmp-2", (), (DOWN, failure("fence-cmp-2_start_0", "ctl-2", 1, "Fence agent did not complete within 20s")),
        pcs=False, crm=False),
    Ill("device-down", "fence-nova", (), (('id="fence-nova" role="Started" active="true" managed="true" failed="false"',
                                           'id="fence-nova" role="Started" active="true" managed="true" failed="true"'),), pcs=False, crm=False),
    Ill("map-crossed", "cmp-1", ((HOSTS, pair("pcmk_host_map", "cmp-1:cmp-2;cmp-2:cmp-1")),), pcs=False, crm=False),
    Ill("map-crossed", "cmp-2", ((HOSTS, pair("pcmk_host_map", "cmp-1:cmp-1;cmp-2:ctl-2.example.org")),), pcs=False, crm=False),
    Ill("fencing-failed", "cmp-2", failed=("cmp-2",), pcs=False, crm=False),
    Ill("fencing-time", "fence-nova", (device_param("nova_timeout", "55"),)),
    Ill("fencing-time", "fence-nova", (device_param("pcmk_off_timeout", "15s"),)),
    Ill("no-unfencing", "fence-nova", ((UNFENCING, ""),)),
    Ill("nova-compute-not-held", "nova-compute", ((pair("requires", "unfencing"), pair("requires", "fencing")),)),
    Ill("no-worker", "cluster", ((WORKER, ""), (BAN_WORKER, "")), pcs=False, crm=False),
    Ill("several-workers", "nova-evacuate-2", ((WORKER, WORKER + WORKER.replace("nova-evacuate", "nova-evacuate-2")),)),
    Ill("several-workers", "nova-evacuate", (), ((WORKER_RUNS, WORKER_RUNS.replace("</resource>", '<node name="ctl-1"/></resource>')),),
        pcs=False, crm=False),
    Ill("worker-stopped", "nova-evacuate", (
        disabled("nova-evacuate", '<nvpair id="nova-evacuate-meta_attributes-failure-timeout" name="failure-timeout" value="60s"/>'),)),
    Ill("worker-stopped", "nova-evacuate", (), ((WORKER_RUNS, ""),), pcs=False, crm=False),
    Ill("switched-off", "nova-evacuate", (worker_param("enabled", "false"),)),
    Ill("worker-unwatched", "nova-evacuate", ((WORKER_OP, ""),)),
    Ill("worker-on-compute", "nova-evacuate", ((BAN_WORKER, ""),)),
    Ill("worker-on-compute", "nova-evacuate", ((BAN_WORKER, ""), (RECORD, ""))),
    Ill("worker-on-compute", "nova-evacuate", ((RECORD, ""),)),
    Ill("agent-missing", "ctl-2", (('exit-reason="" on_node="ctl-2" rc-code="7" op-status="0"',
                                    'exit-reason="NovaEvacuate: No such file or directory" on_node="ctl-2" rc-code="5" op-status="7"'),),
        pcs=False, crm=False),
    Ill("parameter-wrong", "nova-evacuate", (worker_param("max_parallel", "many"),), pcs=False, crm=False),
    Ill("parameters-differ", "nova-evacuate", (device_param("evacuate_attribute", "other"),)),
    Ill("parameters-differ", "nova-evacuate", (worker_param("compute_domain", "example.com"),)),
    Ill("remote-unwatched", "cmp-2", (('<op name="monitor" interval="5" timeout="5" id="cmp-2-monitor-interval-5"/>', ""),)),
    Ill("record-unreadable", "cmp-2", ((RECORD, f'{RECORD}<nvpair id="r" {pair("evacuate", "junk")}/>'),), pcs=False, crm=False),
    Ill("level-unrecorded", "cmp-2", ((LEVEL, f'{LEVEL}<fencing-level index="2" devices="fence-cmp-2" target="cmp-2" id="l2"/>'),)),
    Ill("list-unknown", "cmp-9", ((HOSTS, pair("pcmk_host_list", "cmp-1 cmp-2 cmp-9")),)),
    Ill("list-unknown", "cmp-9", ((HOSTS, pair("pcmk_host_map", "cmp-1:cmp-1;cmp-2:cmp-2;cmp-9:cmp-9")),)),
    Ill("off-timeout", "fence-cmp-2", (
        (pair("pcmk_host_list", "cmp-2"), f'{pair("pcmk_host_list", "cmp-2")}/><nvpair id="t" {pair("pcmk_reboot_timeout", "300s")}'),)),
    Ill("device-unwatched", "fence-cmp-2", (('<op name="monitor" interval="60s" id="fence-cmp-2-monitor-interval-60s"/>', ""),)),
    Ill("failed-action", "cmp-2", (), (failure("cmp-2_monitor_5000", "ctl-2", 1, "lost"),), pcs=False, crm=False),
    Ill("worker-complains", "nova-evacuate", (), (failure("nova-evacuate_monitor_10000", "ctl-2", 190, "Nova cannot be asked"),),
        pcs=False, crm=False),
    Ill("worker-limits", "nova-evacuate", ((START_WORKER, START_WORKER.replace("30s", "10s")),)),
    Ill("failure-timeout", "nova-evacuate", (      # 0 is for ever, as none
        ('<nvpair id="nova-evacuate-meta_attributes-failure-timeout" name="failure-timeout" value="60s"/>',
         '<nvpair id="nova-evacuate-meta_attributes-failure-timeout" name="failure-timeout" value="0s"/>'),)),
    Ill("failure-timeout", "nova-evacuate", (
        ('<nvpair id="nova-evacuate-meta_attributes-failure-timeout" name="failure-timeout" value="60s"/>', ""),)),
    Ill("failure-timeout", "nova-compute", (
        ('<nvpair id="nova-compute-meta_attributes-failure-timeout" name="failure-timeout" value="60s"/>', ""),)),
    Ill("monitor-on-fail", "fence-nova", ((' on-fail="ignore"', ""),)),
    Ill("fencing-one-by-one", "cluster", ((pair("concurrent-fencing", "true"), pair("concurrent-fencing", "false")),)),
    Ill("fencing-one-by-one", "cluster", ((pair("concurrent-fencing", "true"), pair("concurrent-fencing", "false")), V3_0_3)),
    Ill("fencing-one-by-one", "fence-nova", ((LIMIT, ""),)),
    Ill("load-threshold", "cluster", ((f'<nvpair id="cib-bootstrap-options-load-threshold" {pair("load-threshold", "1000%")}/>', ""),)),
    Ill("stickiness", "cluster", ((pair("resource-stickiness", "100"), pair("resource-stickiness", "0")),)),
    Ill("remote-slow", "cmp-2", (('<op name="monitor" interval="5" timeout="5" id="cmp-2-monitor-interval-5"/>',
                                  '<op name="monitor" interval="60s" timeout="30s" id="cmp-2-monitor-interval-5"/>'),)),
    Ill("remote-start", "cmp-2", (('<op name="start" timeout="15" interval="0s" id="cmp-2-start-interval-0s"/>',
                                   '<op name="start" timeout="60s" interval="0s" id="cmp-2-start-interval-0s"/>'),)),
    Ill("remote-reconnect", "cmp-2", (('<nvpair id="cmp-2-instance_attributes-reconnect_interval" name="reconnect_interval" value="5"/>', ""),)),
    Ill("standby", "ctl-2", (('<node id="2" uname="ctl-2"/>', f'<node id="2" uname="ctl-2"><instance_attributes id="nodes-2"><nvpair id="s" '
                              f'{pair("standby", "on")}/></instance_attributes></node>'),)),
    Ill("node-offline", "cmp-2", (OFFLINE,), pcs=False, crm=False),
    Ill("nova-compute-kept-off", "nova-compute", ((RECORD, ""),)),
    Ill("nova-compute-elsewhere", "cluster", ((CLONE, ""), (BAN_COMPUTE, ""), (HOLD_BACK, ""), (AT_ONCE, "")), pcs=False, crm=False),
    Ill("nova-compute-not-held-back", "nova-compute", ((HOLD_BACK, ""),)),
    Ill("nova-compute-not-restarted", "nova-compute", ((HOLD_BACK[HOLD_BACK.index("      <rsc_location", 10):], ""),)),
    Ill("unfencing-refused", "fence-nova", ((AT_ONCE, ""),)),
    Ill("unfencing-refused", "fence-nova", ((AT_ONCE, ""), (HOLD_BACK, ""))),
    Ill("fence-nova-on-compute", "fence-nova", (
        ('<node type="remote" id="cmp-2" uname="cmp-2">', '<node id="3" uname="cmp-2">'), ('<primitive id="cmp-2" class="ocf" type="remote"',
                                                                                            '<primitive id="not-cmp-2" class="ocf" type="Dummy"'),
        ('<node_state remote_node="true" id="cmp-2" uname="cmp-2" in_ccm="true" crm-debug-origin="peer_update_callback" node_fenced="0"/>',
         '<node_state id="3" uname="cmp-2" in_ccm="true" crmd="online" join="member" expected="member"/>'))),
    Ill("power-not-required", "fence-nova", (worker_param("quick_evacuate_level", "1"), device_param("quick_evacuate_level", "1"))),
    Ill("password-in-cib", "nova-evacuate", (worker_param("password", "s3cret"),), pcs=False, crm=False),
    Ill("on-record", "cmp-2", ((RECORD, f'{RECORD}<nvpair id="r" {pair("evacuate", "partly;id=3f9c;left=2")}/>'),), pcs=False, crm=False),
    Ill("dismissed", "cmp-2", ((RECORD, f'{RECORD}<nvpair id="r" {pair("evacuate", "no")}/>'),), pcs=False, crm=False),
)
