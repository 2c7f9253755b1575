"""Pure: Nova's compute hosts: what they are called, and how they are marked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from ..model import CONFIRMED, DISABLED_BY_US, EVACUATED, KEPT_OUT, PARTLY, ClusterNode, ClusterView, Record, Service
from ..rows import nova_time
from .proof import is_silence_enough

STALE = 3600.0     # seconds by which a row is heard earlier than another of its name to be stale


def off_hosts(services: Iterable[Service], records: Iterable[Record], nodes: Mapping[str, ClusterNode], domain: str) -> frozenset[str]:
    """The hosts that are known to be off: Pacemaker has proven that they were fenced, and they are not up. What a person, or the cloud,
    has marked down in Nova is no proof. Not those that are unfenced, or about to be: they may carry out what they were asked, and
    once an evacuation is over only Pacemaker's word that its node is offline says that it is not. A controller counts that Pacemaker
    itself shows as fenced."""
    services = list(services)
    up = {s.host for s in services if s.up or not s.known}
    confirmed, back = set(), set()
    for record in records:
        name, node = host_of_record(record, domain, services), nodes.get(record.node)
        over = record.state in (EVACUATED, PARTLY)
        off = node is not None and (record.state == CONFIRMED or (over and node.online is False))
        if not off:
            back.add(name)
        elif record.proof and name not in up and _is_silent(name, record, node, services):
            confirmed.add(name)
    fenced = [node.name for node in nodes.values() if node.online is False and node.mark]
    control = {s.host for s in services if s.binary != "nova-compute" and not s.up and any(same_name(s.host, name) for name in fenced)}
    return frozenset(name for name in (confirmed | control) - back if name)


def _is_silent(name: str | None, record: Record, node: ClusterNode | None, services: Iterable[Service]) -> bool:
    """Whether what is known of the host of a record with a proof does not speak against it: the record may be an old one."""
    own = next((one for one in services if one.binary == "nova-compute" and one.host == name), None)
    return own is not None and is_silence_enough(record, node, own)


def begin_of_mark(service: Service) -> str:
    """Return how the reason begins with which a dead host is disabled: one that is kept out stays so until a person enables it."""
    return f"{KEPT_OUT}:" if not service.enabled and service.reason.startswith(KEPT_OUT) else DISABLED_BY_US


def is_ours(service: Service) -> bool:
    """Whether a disabled service was disabled by instance-ha, and not by a person."""
    return not service.enabled and service.reason.startswith(DISABLED_BY_US)


def host_of(node: str, domain: str, services: Iterable[Service]) -> str | None:
    """Nova's name of a Pacemaker node's compute host: the same, with `domain`, or the only one with the same short name.
    None when Nova knows no such compute service.

    After a renaming Nova keeps the old row, dead, beside the new one: of rows that may be this
    node's, one that has been heard long after all others is the one that is meant.
    """
    name = node.partition(".")[0].lower()
    rows = {one.host: one for one in services
            if one.binary == "nova-compute" and one.host.lower().partition(".")[0] == name}
    hosts = sorted(rows)
    wanted = [node] + ([f"{node.split('.')[0]}.{domain}"] if domain else [])
    short = [host for host in hosts if "." not in node or "." not in host]
    exact = [host for one in wanted for host in hosts if host.lower() == one.lower()]
    named = [*exact[:1], *short]
    living = [host for host in dict.fromkeys(named)
              if all(_is_stale(rows[other], rows[host]) for other in named if other != host)]
    if len(living) == 1:
        return living[0]
    return exact[0] if exact else None


def _is_stale(one: Service, other: Service) -> bool:
    """Whether a row is one of before a renaming, beside another of the same short name."""
    heard, later = nova_time(one.updated), nova_time(other.updated)
    if one.up or not one.known or not other.known or heard is None or later is None:
        return False
    return later - heard > STALE


def namesakes_of(host: str, view: ClusterView, services: Iterable[Service]) -> list[Service]:
    """Return the other compute services with the same short name, but for those that other nodes
    of the cluster have by their whole name: which of them is meant may be doubtful."""
    taken = {name.lower() for name in (*view.nodes, *view.mapped.values())}
    return [one for one in services if one.binary == "nova-compute" and one.host != host
            and same_name(one.host, host)
            and ("." not in one.host or one.host.lower() not in taken)]


def doubles_of(host: str, view: ClusterView, services: Iterable[Service]) -> list[Service]:
    """Return those of `namesakes_of` that are likely to be the same machine.

    Two names of different domains may well be two, as long as the row of `host` is no stale one.
    """
    services = list(services)
    own = next((one for one in services if one.binary == "nova-compute" and one.host == host), None)
    return [one for one in namesakes_of(host, view, services)
            if "." not in host or "." not in one.host or (own is not None and _is_stale(own, one))]


def host_of_record(record: Record, domain: str, services: Iterable[Service]) -> str | None:
    """Return Nova's name of a recorded host, None while Nova does not show it.

    Once its evacuation has begun it is the same one: a list that leaves that out makes no other one
    of it.
    """
    if record.baseline is None or not record.host:
        return host_of(record.host or record.node, domain, services)
    names = {one.host for one in services if one.binary == "nova-compute"}
    same = sorted(name for name in names if name.lower() == record.host.lower())
    return record.host if record.host in names else same[0] if same else None


def is_listed(patterns: Sequence[str], *names: str | None) -> bool:
    """Return True if protect_hosts names a host, by any of its names, or names none at all."""
    whole = [name.lower() for name in names if name]
    known = {*whole, *(name.partition(".")[0] for name in whole)}
    wanted = [pattern.lower() for pattern in patterns]
    return not wanted or any(fnmatchcase(name, pattern) for name in known for pattern in wanted)


def unmatched(patterns: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return those of protect_hosts that name no host: one that was mistyped protects nothing."""
    names = list(names)
    return [one for one in patterns if not any(is_listed([one], name) for name in names)]


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
