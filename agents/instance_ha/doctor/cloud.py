"""Pure: what was read of the cloud, judged: its services, its hosts' names, its clocks, what it refuses."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator, Sequence

from ..configuration import Resource
from ..configuring.identity import listed_hosts
from ..engine.naming import doubles_of, host_of, is_listed, is_ours, unmatched
from ..model import ClusterView, Service
from . import rights
from .asking import AGGREGATES, GLANCE, NOVA, PLACEMENT, Cloud
from .finding import Finding, Mend, param, shell, to_do

CLOCK_LIMIT = 5.0         # seconds between two clocks
NEEDED = ("nova-scheduler", "nova-conductor")
POLICIES = "docs/operations.md, \"What the OpenStack user needs\""


def check(cloud: Cloud, view: ClusterView | None, meant: Sequence[str], domain: str, agents: Sequence[Resource]) -> Iterator[Finding]:
    """All of them. `view` is the cluster, None where it could not be read; `meant` are the nodes that are fenced as compute hosts;
    `domain` is the parameter; `agents` are the resources that have it."""
    yield from _answers(cloud)
    yield from _services(cloud)
    if view is not None:
        wanted = listed_hosts(agents)
        hosts = [one.host for one in computes(cloud.services)]
        for pattern in unmatched(wanted, [*view.nodes, *view.mapped.values(), *hosts]):
            what = f"protect_hosts names {pattern}, which is no host"
            yield Finding("protect-hosts", pattern, what,
                          to_do("correct it, of both agents: docs/parameters.md"))
        meant = [node for node in meant if is_listed(wanted, node, view.named(node))]
        yield from _names(cloud, view, meant, domain, agents)
        yield from _hosts(cloud, view, domain)
    yield from _zones(cloud)
    yield from _clocks(cloud)


def computes(services: Sequence[Service]) -> list[Service]:
    return sorted((s for s in services if s.binary == "nova-compute"), key=lambda s: s.host)


def takes(service: Service) -> bool:
    """Whether the scheduler may send servers there."""
    return service.up and service.enabled and not service.forced_down


def hosts_of(view: ClusterView, services: Sequence[Service], domain: str) -> dict[str, str]:
    """Nova's name of each node that is a compute host."""
    return {name: host for name in view.nodes if (host := host_of(view.named(name), domain, services))}


def _answers(cloud: Cloud) -> Iterator[Finding]:
    for asked, words in cloud.refused.items():
        policy = rights.named(words, asked)
        if policy == AGGREGATES:
            yield Finding("aggregates-hidden", "Nova", words, to_do(f"give the agents' user {policy}: {POLICIES}"))
        elif policy.startswith("placement"):
            yield Finding("placement", "Placement", words, to_do(f"give the agents' user {policy}: {POLICIES}"))
        else:
            yield Finding("policy", policy or "Nova", words, to_do(f"give the agents' user {policy or 'what is refused'}: {POLICIES}"))
    kinds = {NOVA: "cloud-away", GLANCE: "glance", PLACEMENT: "placement"}
    for service, words in cloud.away.items():
        yield Finding(kinds[service], service, words, to_do(f"see to {service}; the request is in its log"))
    if cloud.rights is not None:
        refused = {rights.named(words, asked) for asked, words in cloud.refused.items()}
        found = rights.check(cloud.rights, sorted(cloud.roles or ()), POLICIES)
        yield from (one for one in found if one.subject not in refused)


def _services(cloud: Cloud) -> Iterator[Finding]:
    for binary in NEEDED:
        if not any(s.binary == binary and s.up for s in cloud.services):
            hosts = sorted(s.host for s in cloud.services if s.binary == binary)
            yield Finding("no-scheduler", binary, f"no {binary} is up", to_do(f"start it on {', '.join(hosts) or 'a controller'}"))
    living = [s.host for s in computes(cloud.services) if takes(s)]
    if len(living) < 2:
        yield Finding("no-destination", "Nova", f"the compute hosts that are up and enabled: {', '.join(living) or 'none'}",
                      to_do("bring hosts up, and enable them: openstack compute service set --enable HOST nova-compute"))


def _names(cloud: Cloud, view: ClusterView, meant: Sequence[str], domain: str, agents: Sequence[Resource]) -> Iterator[Finding]:
    hosts = hosts_of(view, cloud.services, domain)
    for node in meant:
        if node not in hosts:
            yield Finding("host-unknown", node, f"Nova knows no compute host for the node {node}; it knows "
                          + (", ".join(s.host for s in computes(cloud.services)) or "none"),
                          _domain_for(node, cloud, view, domain, agents))
    doubles: dict[str, str] = {}
    for node, host in hosts.items():
        others = [one.host for one in doubles_of(host, view, cloud.services)]
        doubles |= {other: node for other in others if other not in hosts.values()}
    for service in computes(cloud.services):
        if service.host in doubles:
            node = doubles[service.host]
            what = f"Nova has {service.host} besides {hosts[node]} for the node {node}"
            yield Finding("host-twice", node, f"{what}; {hosts[node]} counts",
                          to_do(f"if {service.host} is its name of before a renaming: "
                                f"openstack compute service delete {service.id}"))
        elif service.host not in hosts.values() and is_listed(listed_hosts(agents), service.host):
            yield Finding("host-unprotected", service.host, f"Nova's compute host {service.host} is no node of this cluster",
                          to_do("make it one, with a power device and a level, as docs/install.md says; or, if that is meant: "
                                f"instance-ha doctor --ignore host-unprotected={service.host}"))


def _domain_for(
        node: str, cloud: Cloud, view: ClusterView, given: str, agents: Sequence[Resource]) -> Mend:
    """Return how Nova's host of that short name becomes this node's.

    By its domain, where every node keeps its host with that; else by the node's name alone.
    `given` is the domain that the agents have now.
    """
    now = hosts_of(view, cloud.services, given)
    for service in computes(cloud.services):
        short, _, domain = service.host.partition(".")
        if not domain or short.lower() != node.split(".")[0].lower():
            continue
        then = hosts_of(view, cloud.services, domain)
        if then != {**then, **now, node: service.host}:
            return to_do(f"the domain {domain} would take other nodes their hosts; for this one: "
                         f"pcmk_host_map='{node}:{service.host};...' of fence_nova, of all its hosts")
        mend = Mend()
        for agent in agents:
            mend += param(agent, domain=domain)
        return mend
    return to_do(f"start nova-compute on {node} once, so that Nova knows it (on record it is held: instance-ha dismiss {node});"
                 f" or take {node} out of fence_nova's pcmk_host_list and its levels")


def _hosts(cloud: Cloud, view: ClusterView, domain: str) -> Iterator[Finding]:
    hosts = hosts_of(view, cloud.services, domain)
    nodes = {host: view.nodes[name] for name, host in hosts.items()}
    for service in computes(cloud.services):
        node = nodes.get(service.host)
        if node is None or node.name in view.records or node.name in view.broken or node.name in view.dismissed:
            continue
        if service.forced_down:
            reason = f": {service.reason}" if service.reason else ""
            yield Finding("forced-down", service.host, f"{service.host} is forced down and not on record{reason}",
                          shell(f"openstack --os-compute-api-version 2.53 compute service set --up {service.host} nova-compute"))
        elif not service.up and node.online:
            yield Finding("nova-compute-down", service.host, f"nova-compute is down on {service.host}, which is online",
                          to_do(f"see why: crm_mon -1rf, and nova-compute's log on {service.host}"))
        elif is_ours(service):
            yield Finding("left-disabled", service.host, f"{service.host} is disabled: {service.reason}",
                          shell(f"openstack compute service set --enable {service.host} nova-compute"))


def _zones(cloud: Cloud) -> Iterator[Finding]:
    everywhere = [s for s in computes(cloud.services) if takes(s)]
    for zone in sorted({s.zone for s in computes(cloud.services)}):
        living = [s.host for s in everywhere if s.zone == zone]
        if len(living) == 1 and len(everywhere) > 1:
            yield Finding("zone-alone", zone, f"{living[0]} is the only compute host of the zone {zone} that is up and enabled",
                          to_do(f"bring up, or add, another host of the zone {zone}"))


def _clocks(cloud: Cloud) -> Iterator[Finding]:
    if cloud.ahead is not None and abs(cloud.ahead) > CLOCK_LIMIT:
        where = "ahead of" if cloud.ahead > 0 else "behind"
        yield Finding("clock", "Nova", f"the clock of Nova's API is {abs(cloud.ahead):.0f} s {where} this node's",
                      to_do("see to the time service of both: chronyc tracking"))
    for service in cloud.services:
        reported = moment(service.updated)
        if service.up and cloud.now is not None and reported is not None and reported - cloud.now > CLOCK_LIMIT:
            writer = "a conductor" if service.binary == "nova-compute" else service.host
            yield Finding("clock", service.host,
                          f"{service.binary} on {service.host} has reported {reported - cloud.now:.0f} s from now, by the clock of Nova's API",
                          to_do(f"see to the time service of {writer}: chronyc tracking"))


def moment(text: str) -> float | None:
    """A time stamp of Nova, as seconds since the epoch."""
    try:
        return float(calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return None
