"""Pure: Nova's compute hosts: what they are called, and how they are marked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..model import CONFIRMED, DISABLED_BY_US, EVACUATED, FENCED, PARTLY, RETURNING, ClusterNode, ClusterView, Record, Service


def forced_down(services: Iterable[Service]) -> frozenset[str]:
    """The compute hosts that are marked down in Nova."""
    return frozenset(s.host for s in services if s.binary == "nova-compute" and s.forced_down)


def off_hosts(services: Iterable[Service], records: Iterable[Record], nodes: Mapping[str, ClusterNode], domain: str) -> frozenset[str]:
    """Hosts that are off for certain: forced down, or confirmed as fenced (with quick_evacuate_level=3 Nova has no mark of that) and
    not up. Not those whose fencing is not confirmed, nor those that are let in, or about to be: they may carry out what they were asked,
    forced down or not."""
    services = list(services)
    up = {s.host for s in services if s.binary == "nova-compute" and s.up}
    confirmed, back = set(), set()
    for record in records:
        name, node = host_of(record.host or record.node, domain, services), nodes.get(record.node)
        if record.state in (FENCED, RETURNING) or (record.state in (EVACUATED, PARTLY) and node is not None and node.online):
            back.add(name)
        elif record.state in (CONFIRMED, EVACUATED, PARTLY) and record.proof and name not in up:
            confirmed.add(name)
    return frozenset(name for name in (forced_down(services) | confirmed) - back if name)


def is_ours(service: Service) -> bool:
    """Whether a disabled service was disabled by instance-ha, and not by a person."""
    return not service.enabled and service.reason.startswith(DISABLED_BY_US)


def host_of(node: str, domain: str, services: Iterable[Service]) -> str | None:
    """Nova's name of a Pacemaker node's compute host: the same, with `domain`, or the only one with the same short name.
    None when Nova knows no such compute service."""
    hosts = sorted({service.host for service in services if service.binary == "nova-compute"})
    wanted = [node] + ([f"{node.split('.')[0]}.{domain}"] if domain else [])
    for name in wanted:
        for host in hosts:
            if host.lower() == name.lower():
                return host
    short = [host for host in hosts if host.split(".")[0].lower() == node.split(".")[0].lower()]
    return short[0] if len(short) == 1 and ("." not in node or "." not in short[0]) else None


def same_name(one: str, other: str) -> bool:
    """Return True if two names of a host differ in case or in their DNS domain at most."""
    return one.split(".")[0].lower() == other.split(".")[0].lower()


def crossed_with(view: ClusterView, node: str, host: str) -> str:
    """Return the other node that `host`, which is to be the compute host of `node`, belongs to; "" for none.

    A wrong pcmk_host_map gives a node the host of another one: what is proven of the node then says nothing of the host.
    """
    for other in sorted(view.nodes):
        if other == node:
            continue
        taken = view.mapped.get(other, "").lower() == host.lower()
        named = other.lower() == host.lower() or (same_name(other, host) and not same_name(node, host))
        if taken or named:
            return other
    return ""
