"""Pure: Nova's compute hosts: what they are called, and how they are marked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..model import CONFIRMED, DISABLED_BY_US, EVACUATED, FENCED, PARTLY, RETURNING, ClusterNode, ClusterView, Record, Service


def off_hosts(services: Iterable[Service], records: Iterable[Record], nodes: Mapping[str, ClusterNode], domain: str) -> frozenset[str]:
    """The hosts that are known to be off: Pacemaker has proven that they were fenced, and they are not up. What a person, or the cloud,
    has marked down in Nova is no proof. Not those that are unfenced, or about to be: they may carry out what they were asked. A
    controller counts that Pacemaker itself shows as fenced."""
    services = list(services)
    up = {s.host for s in services if s.up}
    confirmed, back = set(), set()
    for record in records:
        name, node = host_of(record.host or record.node, domain, services), nodes.get(record.node)
        if record.state in (FENCED, RETURNING) or (record.state in (EVACUATED, PARTLY) and node is not None and node.online):
            back.add(name)
        elif record.state in (CONFIRMED, EVACUATED, PARTLY) and record.proof and name not in up:
            confirmed.add(name)
    fenced = [node.name for node in nodes.values() if node.online is False and node.mark]
    control = {s.host for s in services if s.binary != "nova-compute" and not s.up and any(same_name(s.host, name) for name in fenced)}
    return frozenset(name for name in (confirmed | control) - back if name)


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
