"""The laboratory's cluster protected as docs/install.md says: agents by `make install`, the rest by pcs.

The commands are those of that page. Where it has systemd:nova-compute, the laboratory, which has
no systemd, has ocf:lab:nova-compute.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from tests.lab import bmc, cluster, recordings, servers
from tests.lab import node as machine
from tests.lab.cloud_config import AGENTS_YAML
from tests.lab.common import CLOUD_ADDRESS, REPOSITORY, Node, Size, say, wait_until

PCS_LIMIT = 90.0
READY_LIMIT = 90.0


def install_agents(size: Size) -> None:
    """`make install` inside every node, and the cloud's credentials on the controllers, readable by root only."""
    def work(node: Node) -> None:
        machine.exec_in(node, ["make", "-s", "-C", str(REPOSITORY), "install"], check=True)
        if node.kind == "controller":
            machine.put(node, "/etc/openstack/clouds.yaml", AGENTS_YAML.read_text(), 0o600)
        recordings.put(node)

    cluster.each(work, size.nodes)


def commands(size: Size) -> Iterator[str]:
    """The pcs commands, in order."""
    computes = [node for node in size.nodes if node.kind == "compute"]
    names = " ".join(node.name for node in computes)
    yield "pcs resource defaults update resource-stickiness=100"
    for node in size.nodes:
        yield (f"pcs stonith create fence-{node.name} fence_ipmilan ip={CLOUD_ADDRESS} ipport={node.bmc_port} lanplus=1 cipher=3 power_wait=0 "
               f"username={bmc.USER} password={bmc.PASSWORD} pcmk_on_timeout=10s pcmk_host_list={node.name} op monitor interval=60s")
    for node in computes:
        if not node.member:
            yield (f"pcs resource create {node.name} ocf:pacemaker:remote server={node.address} reconnect_interval=5 "
                   "op monitor interval=5 timeout=5 op start timeout=15 --disabled --force")
    for node in computes:
        yield f"pcs node attribute {node.name} osprole=compute"
    yield (f"pcs stonith create fence-nova fence_nova cloud=lab pcmk_host_list='{names}' pcmk_action_limit=-1 let_in=at_once "
           "op monitor interval=60s timeout=30s on-fail=ignore meta provides=unfencing failure-timeout=60s --disabled")
    if any(node.member for node in computes):
        yield "pcs constraint location fence-nova rule score=-INFINITY osprole eq compute"
    yield "pcs stonith enable fence-nova"
    for node in computes:
        yield f"pcs stonith level add 1 {node.name} fence-{node.name} fence-nova"
    if not all(node.member for node in computes):
        yield f"pcs resource enable {names} --wait=60"
    yield "pcs property set stonith-enabled=true concurrent-fencing=true load-threshold=1000%"
    yield ("pcs resource create nova-evacuate ocf:openstack:NovaEvacuate cloud=lab image_disks=evacuate op monitor interval=10s timeout=20s "
           "meta failure-timeout=60s --disabled")
    yield "pcs constraint location nova-evacuate rule resource-discovery=never score=-INFINITY osprole eq compute"
    yield "pcs resource enable nova-evacuate"
    yield ("pcs resource create nova-compute ocf:lab:nova-compute op start timeout=60s op stop timeout=20s "
           "meta requires=unfencing failure-timeout=60s clone interleave=true --disabled")
    yield "pcs constraint location nova-compute-clone rule resource-discovery=never score=-INFINITY not_defined osprole"
    yield "pcs constraint location nova-compute-clone rule score=-10000 evacuate-held eq true"
    yield "pcs constraint location nova-compute-clone rule score=-INFINITY evacuate-held eq stop"
    yield "pcs resource enable nova-compute-clone"


def configure(size: Size, show: bool = False) -> None:
    """Run the commands on the first controller and wait until every compute host serves. Raises LabError."""
    first = cluster.find("ctl-1")
    for command in commands(size):
        if show:
            say("  " + command)
        machine.exec_in(first, shlex.split(command), PCS_LIMIT, check=True)
    hosts = [node.name for node in size.nodes if node.kind == "compute"]
    wait_until(lambda: set(hosts) <= cluster.online()[0], READY_LIMIT, 0.5)
    servers.wait_computes(hosts, READY_LIMIT)
