"""Pure: Pacemaker's CIB, from its XML to what the project knows of a cluster."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from lxml import etree

from .errors import ClusterError
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
    return ClusterView(nodes, records, broken, root.get("have-quorum") == "1", levels, parameters, frozenset(dismissed), held, told, mapped)


def host_map(text: str) -> dict[str, str]:
    """What a pcmk_host_map says: by node, what it is to the device."""
    entries = [re.split("[:=]", entry, maxsplit=1) for entry in re.split(r"[\s;]+", text)]
    return {entry[0]: entry[1] for entry in entries if len(entry) == 2}


def _mapped(root: Any) -> dict[str, str]:
    """By node, its name in Nova, where those differ."""
    devices = [p for p in root.iterfind(".//resources//primitive") if p.get("class") == "stonith" and p.get("type") in RECORDERS]
    maps = [pair.get("value") or "" for device in devices for pair in device.iterfind("instance_attributes/nvpair[@name='pcmk_host_map']")]
    return {node: host for text in maps for node, host in host_map(text).items() if host != node}


def _levels(root: Any, node: str, attributes: set[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """The fencing levels of a node, each as the fence agents of its devices, in order."""
    agents = {p.get("id"): p.get("type") or "" for p in root.iter("primitive") if p.get("class") == "stonith"}
    found = [
        level for level in root.iterfind("configuration/fencing-topology/fencing-level")
        if level.get("target") == node or _matches(level.get("target-pattern"), node)
        or (level.get("target-attribute"), level.get("target-value")) in attributes
    ]
    found.sort(key=lambda level: _index(level.get("index") or ""))
    return tuple(tuple(agents.get(device.strip(), "") for device in (level.get("devices") or "").split(",")) for level in found)


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
    remotes = {
        p.get("id") for p in root.iterfind(".//resources//primitive")
        if p.get("type") == "remote" and p.get("provider") == "pacemaker"
    }
    members = {e.get("uname") for e in root.iterfind("configuration/nodes/node") if e.get("type") != "remote"}
    # What was removed from the configuration may have a state for a while, and is no node any more.
    there = {name for name in status.states if status.is_online(name, status.is_remote(name))}
    for name in sorted(filter(None, remotes | members | there)):
        remote = name in remotes or status.is_remote(name)
        yield ClusterNode(name, remote, status.is_online(name, remote), status.fenced_mark(name, remote), remote and status.is_connecting(name))
