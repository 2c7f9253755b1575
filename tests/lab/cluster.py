"""The cluster of the laboratory: its configuration, and all of its machines up or down."""

from __future__ import annotations

import json
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.lab import bmc, hypervisor, network
from tests.lab import node as machine
from tests.lab.common import (
    CLOUD,
    CLOUD_ADDRESS,
    LIBVIRT,
    NODES,
    RUN,
    SIZE,
    VENV,
    LabError,
    Node,
    Size,
    say,
)

AGENT = Path(__file__).with_name("ocf") / "nova-compute"
AGENT_IN_NODE = "/usr/lib/ocf/resource.d/lab/nova-compute"
PIDFILE = "/run/nova-compute.pid"
ONLINE_LIMIT = 60.0  # seconds from the boot to all members online

COROSYNC = """\
totem {{
    version: 2
    cluster_name: ihalab
    transport: knet
    crypto_cipher: none
    crypto_hash: none
    token: 1000
    token_coefficient: 100
}}
nodelist {{
{nodes}}}
quorum {{
    provider: corosync_votequorum
{two_node}}}
logging {{
    to_stderr: no
    to_syslog: no
    to_logfile: yes
    logfile: /var/log/corosync/corosync.log
    timestamp: hires
}}
"""
COROSYNC_NODE = "    node {{\n        name: {name}\n        nodeid: {id}\n        ring0_addr: {address}\n    }}\n"

# No signature beside it, and a feature set older than any Pacemaker's: it is taken as it is and brought up to date.
CIB = """\
<cib crm_feature_set="3.0.0" validate-with="pacemaker-3.9" admin_epoch="0" epoch="1" num_updates="0">
  <configuration>
    <crm_config>
      <cluster_property_set id="cib-bootstrap-options">
        <nvpair id="cib-bootstrap-options-stonith-enabled" name="stonith-enabled" value="false"/>
        <nvpair id="cib-bootstrap-options-dc-deadtime" name="dc-deadtime" value="{dc_deadtime}"/>
        <nvpair id="cib-bootstrap-options-cluster-name" name="cluster-name" value="ihalab"/>
      </cluster_property_set>
    </crm_config>
    <nodes/><resources/><constraints/>
  </configuration>
  <status/>
</cib>
"""
DC_DEADTIME = "5s"  # how long a starting cluster waits for a DC before it elects one; it dominates the start


def size() -> Size:
    """The size of the laboratory that is or was up. Raises LabError when none was."""
    try:
        return Size(**json.loads(SIZE.read_text()))
    except FileNotFoundError:
        raise LabError("there is no laboratory; bring it up with: python3 -m tests.lab up") from None


def keep_size(wanted: Size) -> None:
    """Write down the size of the laboratory that is about to be brought up."""
    SIZE.parent.mkdir(parents=True, exist_ok=True)
    SIZE.write_text(json.dumps(asdict(wanted)))


def find(name: str) -> Node:
    """A node of the laboratory by its name. Raises LabError."""
    nodes = {node.name: node for node in size().nodes}
    if name not in nodes:
        raise LabError(f"there is no node {name}; there are {', '.join(nodes)}")
    return nodes[name]


def up(wanted: Size, stopped: threading.Event | None = None) -> None:
    """New machines, all on, their BMCs, and the cluster online with a DC. Raises LabError.

    `stopped` ends it early from another thread. After an error or an interruption, `down` cleans up.
    """
    stopped = stopped or threading.Event()
    if is_up():
        raise LabError("the laboratory is up; take it down with: python3 -m tests.lab down")
    nodes_off()  # leftovers of one that was never taken down, as after a reboot of the host
    if not wanted.member_computes and wanted.computes and not machine.REMOTED.exists():
        raise LabError(f"{machine.REMOTED} is missing; install it with: python3 -m tests.lab install")
    began = time.monotonic()
    network.up()
    keep_size(wanted)
    configure(wanted)
    each(machine.boot, wanted.nodes)
    if wanted.virt == LIBVIRT:
        hypervisor.await_storage(wanted.nodes)
    each(bmc.start, wanted.nodes)
    say(f"{time.monotonic() - began:5.1f} s  {len(wanted.nodes)} nodes and their BMCs are on")
    wait_online(wanted, ONLINE_LIMIT, stopped)
    say(f"{time.monotonic() - began:5.1f} s  the cluster is online")


def down() -> None:
    """Everything of up() off and away, however far it came; works from a fresh process."""
    nodes_off()
    network.down()


def is_up() -> bool:
    """Whether any node is on."""
    return any(machine.is_on(node) for node in _booted())


def nodes_off() -> None:
    """All nodes and BMCs off; the network stays."""
    nodes = _booted()
    each(bmc.stop_named, sorted(path.stem.removeprefix("bmc-") for path in RUN.glob("bmc-*.pid")))
    each(machine.power_off, nodes)
    for path in RUN.glob("node-*.lock"):
        path.unlink()


def configure(wanted: Size) -> None:
    """Fresh disks with the cluster's configuration, keys and the laboratory's agent. The nodes have to be off."""
    members = [node for node in wanted.nodes if node.member]
    corosync_key, pacemaker_key = secrets.token_bytes(256), secrets.token_bytes(256)
    hosts = "127.0.0.1 localhost\n" + "".join(f"{node.address} {node.name}\n" for node in wanted.nodes) + f"{CLOUD_ADDRESS} cloud\n"
    agent = AGENT.read_text().replace("@CLOUD@", str(CLOUD))
    for node in wanted.nodes:
        machine.create(node)
        machine.put(node, "/etc/hosts", hosts)
        machine.put(node, "/etc/hostname", f"{node.name}\n")
        machine.put(node, "/etc/pacemaker/authkey", pacemaker_key, 0o640, "root", "haclient")
        machine.put(node, AGENT_IN_NODE, agent, 0o755)
        if wanted.virt == LIBVIRT and node.kind == "compute":
            hypervisor.configure(node)
        if node.member:
            machine.put(node, "/etc/corosync/corosync.conf", corosync_conf(members))
            machine.put(node, "/etc/corosync/authkey", corosync_key, 0o400)
            machine.put(node, "/var/lib/pacemaker/cib/cib.xml", CIB.format(dc_deadtime=DC_DEADTIME), 0o600, "hacluster", "haclient")


def corosync_conf(members: list[Node]) -> str:
    """corosync.conf of a cluster of these members."""
    nodes = "".join(COROSYNC_NODE.format(name=node.name, id=number, address=node.address) for number, node in enumerate(members, 1))
    return COROSYNC.format(nodes=nodes, two_node="    two_node: 1\n" if len(members) == 2 else "")


def online() -> tuple[set[str], str | None]:
    """The names of the nodes that are online, and of the DC, as the first controller that answers sees them."""
    try:
        from lxml import etree  # not at the top: a BMC that switches a node does not wait for it
    except ImportError:
        python = VENV / "bin" / "python"
        raise LabError(f"{sys.executable} has no lxml: use {python}, or install lxml") from None

    for node in size().nodes:
        if not node.member or not machine.is_on(node) or machine.is_frozen(node):
            continue
        done = machine.exec_in(node, ["crm_mon", "--one-shot", "--output-as=xml"], 20)
        if done.returncode == 0:
            status = etree.fromstring(done.stdout.encode())
            names = set(status.xpath("/pacemaker-result/nodes/node[@online='true'][@unclean='false'][@pending='false']/@name"))
            return names, status.xpath("string(//current_dc[@present='true']/@name)") or None
    return set(), None


def wait_online(wanted: Size, seconds: float, stopped: threading.Event) -> None:
    """Come back when every member is online with a DC and every remote listens. Raises LabError after `seconds`."""
    limit = time.monotonic() + seconds
    members = {node.name for node in wanted.nodes if node.member}
    remotes = [node for node in wanted.nodes if not node.member]
    while not stopped.wait(0.25):
        names, dc = online()
        deaf = [node.name for node in remotes if not _listens(node, 3121)]
        if dc and members <= names and not deaf:
            return
        if time.monotonic() > limit:
            missing = ", ".join([*sorted(members - names), *deaf]) or "a DC"
            raise LabError(f"after {seconds:.0f} s the cluster still lacks {missing}; their logs are in {NODES}/*/log")
    raise LabError("interrupted")


def compute(host: str, how: str) -> None:
    """"start", "kill", "freeze" or "thaw" a host's nova-compute."""
    if how == "start":
        machine.exec_in(find(host), [AGENT_IN_NODE, "start"], check=True)
        return
    number = {"kill": 9, "freeze": 19, "thaw": 18}[how]
    command = f"kill -{number} -$(cut -d' ' -f1 {PIDFILE})"
    machine.exec_in(find(host), ["/bin/sh", "-c", command], check=True)


def each(work: Callable[[Any], object], things: Iterable[Any]) -> None:
    """Do something for all at once; the first error is raised after all are done."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        results = [pool.submit(work, thing) for thing in things]
    for result in results:
        result.result()


def _listens(node: Node, number: int) -> bool:
    """Whether somebody on a node listens on a TCP port."""
    pid = machine.pid_of(node)
    try:
        tables = [Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6")]
    except OSError:
        return False
    return any(f":{number:04X} " in line and " 0A " in line for table in tables for line in table.splitlines())


def _booted() -> list[Node]:
    """The nodes that are on, or died without being switched off: by their pid files alone, since a size may never have been written."""
    names = [path.stem.removeprefix("node-") for path in RUN.glob("node-*.pid")]
    return [Node(name, "controller" if name.startswith("ctl-") else "compute", int(name.rpartition("-")[2])) for name in names]
