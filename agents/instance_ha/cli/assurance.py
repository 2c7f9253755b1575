"""Whether a host is off, as far as an evacuation by hand may rely on it: Pacemaker's proof, or a person's word that nothing contradicts."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from ..cluster import Cluster
from ..engine import proof
from ..engine.naming import crossed_with, host_of, namesakes_of, same_name
from ..engine.pulse import Reports
from ..errors import CellAway, ClusterError, ConfigurationError, HostError
from ..model import CONFIRMED, RETURNING, ClusterNode, ClusterView, Record, Service
from ..nova import Nova

WATCH = 25.0     # without a report, which nova-compute makes every 10 s by default, also where it is forced down
LOOK = 1.0


def is_off(nova: Nova, found: tuple[Cluster, ClusterView] | None, service: Service, node: ClusterNode | None, told: bool) -> bool:
    """Whether the host of a compute service is off. `found` is this machine's cluster, None off one, and `node` the host's in it.
    `told`: a person has said so on the command line; else he is asked.

    Raises ConfigurationError when something says that the host lives, whatever the person says; CloudError while Nova cannot be asked, or
    tells nothing of the host."""
    host = service.host
    if not service.known:
        raise CellAway(host)
    other = crossed_with(found[1], node.name, host) if found and node else ""
    if node and other:
        raise ConfigurationError(f"{host} is the host of {other}, and pcmk_host_map gives it to {node.name}, too; correct the map. "
                                 "Nothing was evacuated")
    proven, online = _pacemaker(found, node, service)
    if proven and found and node and _is_doubtful(found[1], node, host, nova.services()):
        proven = False      # it is of the node, and which of Nova's hosts that is nobody knows
    if found and node is None:
        print(f"instance-ha: {host} is no node of this cluster: only Nova is asked about it", file=sys.stderr)
    record = found[1].records.get(node.name) if found and node else None
    if proven and node and record and same_name(node.name, host) and proof.is_current(record, node, service):
        return True
    if online:
        raise ConfigurationError(f"Pacemaker says {online} is online; evacuating it would run its servers twice. Have it fenced: pcs stonith "
                                 f"fence {online}; if it is off for sure and Pacemaker cannot know: pcs stonith confirm {online}")
    if service.up and not service.forced_down and not told and not proven:
        raise ConfigurationError(f"Nova says {host} is up; evacuating it would run its servers twice. If it is off for sure: --host-is-off")
    if not proven and not told and not _asked(host):
        return False
    # A node and a host of different names may belong to two machines, and a host that was heard since may have been switched on: the
    # host itself is watched then, whatever is proven of the node.
    if proven or service.up or service.forced_down:
        _watch(nova, service)
    return True


class Watch:
    """Whether a host that a person has evacuated is still off, as far as can be seen: by the cluster and by its nova-compute's reports."""

    def __init__(self, cluster: Cluster | None, node: str) -> None:
        self.cluster, self.node = cluster, node
        self._reports = Reports()

    def is_back(self, view: ClusterView | None, service: Service | None) -> bool:
        """Whether it is let in, or about to be, or reports; or Nova tells nothing of it, so that it may."""
        if service is None or not service.known:
            return True
        reported = self._reports.look(service) > 0
        return reported or service.up or (view is not None and self._is_in(view))

    def permits(self) -> bool:
        """Whether a request may be sent now: the cluster, asked again, has nothing against it."""
        if self.cluster is None:
            return True
        try:
            view = self.cluster.view()
        except (ClusterError, HostError):
            return False
        return view.quorate and not self._is_in(view)

    def _is_in(self, view: ClusterView) -> bool:
        node, record = view.nodes.get(self.node), view.records.get(self.node)
        return bool(node and node.online and not _is_kept_out(record)) or (record is not None and record.state == RETURNING)


def _is_kept_out(record: Record | None) -> bool:
    """A host that is back while it is evacuated: its nova-compute is held back, and then it makes no reports."""
    return record is not None and record.state == CONFIRMED and bool(record.proof)


def node_of(view: ClusterView, domain: str, host: str, services: Sequence[Service]) -> ClusterNode | None:
    """The cluster's node that is a compute host of Nova, or may be, as far as `services` tell: of two with a node's short name
    neither is it for certain."""
    return next((node for node in view.nodes.values() if host_of(view.named(node.name), domain, services) == host), None)


def _pacemaker(found: tuple[Cluster, ClusterView] | None, node: ClusterNode | None, service: Service) -> tuple[bool, str]:
    """Whether Pacemaker has proven that the host is off, and the name of its node when that is online and not kept out of service."""
    if found is None or node is None:
        return False, ""
    cluster, view = found
    record = view.records.get(node.name)
    if node.online or cluster.calls_online(node.name):
        return False, "" if _is_kept_out(record) else node.name
    # A record goes on until its host is back in service, and may be older than that: its proof counts only while the node is known to be
    # away, and where Pacemaker's or Nova's mark still says the same.
    away = node.online is False
    if record and record.state == RETURNING:
        return False, ""     # it was let in since, so that its proof is of another time
    if record is None or not away:
        return False, ""
    proven = record.proof or proof.proof_of_fencing(record, node, cluster.history(record.node))[0]
    return bool(proven and proof.is_silence_enough(record.to(record.state, proof=proven), node, service)), ""


def _is_doubtful(view: ClusterView, node: ClusterNode, host: str, services: Sequence[Service]) -> bool:
    """Whether the host of a node may be another one of the same short name: its record does not name it in full."""
    return view.named(node.name).lower() != host.lower() and bool(namesakes_of(host, view, services))


def _asked(host: str) -> bool:
    if not sys.stdin.isatty():
        print(f"instance-ha: nothing proves that {host} is off; if it is, say so with --host-is-off", file=sys.stderr)
        return False
    print(f"Pacemaker has not confirmed that {host} is off. A server that still runs there would run twice and lose its data.")
    try:
        said = input("Type the host's name if it is off for sure: ")
    except EOFError:
        said = ""
    if said.strip() != host:
        print(f"instance-ha: nothing was tried: {host} was not typed", file=sys.stderr)
    return said.strip() == host


def _watch(nova: Nova, service: Service) -> None:
    print(f"instance-ha: looking for {WATCH:.0f} s whether nova-compute of {service.host} reports", file=sys.stderr)
    end, reports = time.monotonic() + WATCH, Reports()
    reports.look(service)
    while time.monotonic() < end:
        time.sleep(LOOK)
        if reports.look(next((s for s in nova.services() if s.id == service.id), service)):
            raise ConfigurationError(f"nova-compute of {service.host} has just reported to Nova: the host is not off. Nothing was evacuated")
