"""Pure: Pacemaker's CIB, from its XML to what the project knows of a cluster."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from lxml import etree

from .booleans import boolean
from .errors import ClusterError
from .fence_agents import IMPLICIT_WATCHDOG
from .membership import Membership
from .model import DISMISSED, HELD, RECORDERS, TOLD, ClusterNode, ClusterView, parse_record


def parse_cib(text: str) -> Any:
    """XML as Pacemaker writes it. Raises ClusterError."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
    if "<!DOCTYPE" in text:    # an entity in an attribute grows in spite of resolve_entities, and Pacemaker writes none
        raise ClusterError("Pacemaker answered XML with a document type, which it never writes")
    try:
        return etree.fromstring(text.encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ClusterError(f"Pacemaker answered what is no XML: {error}") from None


def read_cib(root: Any, attribute: str, resource: str = "") -> ClusterView:
    """A CIB element as a ClusterView."""
    nodes = {node.name: node for node in _nodes(root)}
    records, broken, dismissed, held = {}, {}, set(), {}
    mapped = _mapped(root)
    attributes: dict[str, set[tuple[str, str]]] = {}
    for element in root.iterfind("configuration/nodes/node"):
        name = element.get("uname") or element.get("id") or ""
        attributes[name] = {(pair.get("name"), pair.get("value")) for pair in element.iterfind("instance_attributes/nvpair")}
        for pair in element.iterfind(f"instance_attributes/nvpair[@name='{attribute}']"):
            raw = pair.get("value") or ""
            record = parse_record(name, raw)
            if record:
                records[name] = record if record.host else replace(record, host=mapped.get(name, ""))
            elif raw == DISMISSED:
                dismissed.add(name)
            elif raw:
                broken[name] = raw
        for pair in element.iterfind(f"instance_attributes/nvpair[@name='{HELD.format(attribute)}']"):
            held[name] = pair.get("value") or ""
    off = {node.name for node in nodes.values() if node.online is False}
    levels = {name: _levels(root, name, attributes.get(name, set())) for name in {*records, *off}}
    owners = [one for one in root.iterfind(".//resources//primitive") if resource and one.get("id") == resource]
    pairs = [pair for one in owners for pair in one.iterfind("instance_attributes/nvpair")]
    parameters = {pair.get("name") or "": pair.get("value") or "" for pair in pairs}
    lines = root.iterfind("status/node_state/transient_attributes/instance_attributes/nvpair")
    told = {pair.get("name")[len(TOLD):]: pair.get("value") or "" for pair in lines if (pair.get("name") or "").startswith(TOLD)}
    return ClusterView(nodes, records, broken, root.get("have-quorum") == "1", levels, parameters, frozenset(dismissed), held, told, mapped,
                       _fences_nobody(root))


def host_map(text: str) -> dict[str, str]:
    """What a pcmk_host_map says: by node, what it is to the device."""
    entries = [re.split("[:=]", entry, maxsplit=1) for entry in re.split(r"[\s;]+", text)]
    return {entry[0]: entry[1] for entry in entries if len(entry) == 2}


def _mapped(root: Any) -> dict[str, str]:
    """By node, its name in Nova, where those differ."""
    devices = [p for p in root.iterfind(".//resources//primitive") if _kind(root, p)[0] == "stonith" and _kind(root, p)[2] in RECORDERS]
    maps = [pair.get("value") or "" for device in devices for pair in device.iterfind("instance_attributes/nvpair[@name='pcmk_host_map']")]
    return {node: host for text in maps for node, host in host_map(text).items() if host != node}


def _levels(root: Any, node: str, attributes: set[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """The fencing levels of a node, each as the fence agents of its devices, in order.

    Levels by the node's name take the place of all others, as in Pacemaker. Which of several patterns or attributes
    counts Pacemaker does not say: then all are returned, so that none may be wrong.
    """
    agents = {p.get("id"): kind for p in root.iter("primitive") if (kind := _kind(root, p))[0] == "stonith"}
    every = root.findall("configuration/fencing-topology/fencing-level")
    named = [level for level in every if (level.get("target") or "").lower() == node.lower()]
    found = named or [level for level in every if _matches(level.get("target-pattern"), node)
                      or (level.get("target-attribute"), level.get("target-value")) in attributes]
    found.sort(key=lambda level: _index(level.get("index") or ""))
    devices = [[one.strip() for one in (level.get("devices") or "").split(",")] for level in found]
    own = {IMPLICIT_WATCHDOG: ("stonith", "", "fence_watchdog")} if _has_watchdog(root) else {}
    return tuple(tuple({**own, **agents}.get(one, ("", "", ""))[2] for one in level) for level in devices)


def _kind(root: Any, primitive: Any) -> tuple[str, str, str]:
    """Class, provider and type of a resource, which may be its template's."""
    own = primitive
    if primitive.get("template"):
        own = next((one for one in root.iter("template") if one.get("id") == primitive.get("template")), primitive)
    return own.get("class") or "", own.get("provider") or "", own.get("type") or ""


def _fences_nobody(root: Any) -> str:
    """Why Pacemaker fences no node at all, "" where it does."""
    pairs = root.iterfind("configuration/crm_config/cluster_property_set/nvpair")
    values = {pair.get("name"): boolean(pair.get("value") or "") for pair in pairs}
    if values.get("fencing-enabled", values.get("stonith-enabled")) is False:
        return "fencing is switched off (stonith-enabled=false)"
    return "the cluster is in maintenance mode" if values.get("maintenance-mode") is True else ""


def _has_watchdog(root: Any) -> bool:
    """Whether Pacemaker has a watchdog device of its own, which no resource stands for."""
    names = ("fencing-watchdog-timeout", "stonith-watchdog-timeout")
    pairs = root.iterfind("configuration/crm_config/cluster_property_set/nvpair")
    return any(pair.get("name") in names and (pair.get("value") or "").strip("0smin ") for pair in pairs)


def _index(text: str) -> int:
    """A level's place. Pacemaker's schema has 1 to 9 only, and takes no other."""
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else 0


def _matches(pattern: str | None, node: str) -> bool:
    try:
        return pattern is not None and re.search(pattern, node) is not None
    except re.error:
        return False


def _nodes(root: Any) -> Iterable[ClusterNode]:
    status = Membership(root)
    remotes = {p.get("id") for p in root.iterfind(".//resources//primitive") if _kind(root, p)[1:] == ("pacemaker", "remote")}
    members = {e.get("uname") for e in root.iterfind("configuration/nodes/node") if e.get("type") != "remote"}
    # What was removed from the configuration may have a state for a while, and is no node any more.
    there = {name for name in status.states if status.is_online(name, status.is_remote(name))}
    for name in sorted(filter(None, remotes | members | there)):
        remote = name in remotes or status.is_remote(name)
        yield ClusterNode(name, remote, status.is_online(name, remote), status.fenced_mark(name, remote), remote and status.is_connecting(name))
