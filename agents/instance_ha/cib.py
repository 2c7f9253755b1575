"""Pure: Pacemaker's CIB, from its XML to what the worker and the agents know of a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from lxml import etree

from .configuration import Configuration, Node, read
from .errors import ClusterError
from .membership import Membership
from .model import DISMISSED, HELD, RECORDERS, TOLD, ClusterNode, ClusterView, Record, parse_record
from .properties import FENCING_ENABLED
from .values import boolean


def parse_cib(text: str) -> Any:
    """XML as Pacemaker writes it. Raises ClusterError."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
    if "<!DOCTYPE" in text:    # an entity in an attribute grows in spite of resolve_entities, and Pacemaker writes none
        raise ClusterError("Pacemaker answered XML with a document type, which it never writes")
    try:
        return etree.fromstring(text.encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ClusterError(f"Pacemaker answered what is no XML: {error}") from None


def version_of(root: Any) -> str:
    """Return all that a CIB element says of itself: its version, when and by whom it was last changed, the quorum, the DC.

    A CIB that was restored may have a version that another one had, and not also its time.
    """
    return " ".join(f"{name}={value}" for name, value in sorted(root.attrib.items()))


def read_cib(root: Any, attribute: str, resource: str = "") -> ClusterView:
    """Return a CIB element as a ClusterView. `attribute` holds the records, `resource` the parameters."""
    has = read(root)
    nodes = {node.name: node for node in _nodes(root, has)}
    mapped = _mapped(has)
    records: dict[str, Record] = {}
    broken, dismissed, held = {}, set(), {}
    for name, given in _written(root).items():
        raw, hold = given.get(attribute), given.get(HELD.format(attribute))
        record = parse_record(name, raw) if raw else None
        if record:
            records[name] = record if record.host else replace(record, host=mapped.get(name, ""))
        elif raw == DISMISSED:
            dismissed.add(name)
        elif raw:
            broken[name] = raw
        if hold is not None:
            held[name] = hold
    off = {node.name for node in nodes.values() if node.online is False}
    levels = {name: _levels(has, name) for name in {*records, *off}}
    parameters = has.resources[resource].params if resource in has.resources else {}
    return ClusterView(nodes, records, broken, root.get("have-quorum") == "1", levels, parameters,
                       frozenset(dismissed), held, _told(root), mapped, _fences_nobody(has),
                       version_of(root), _unfenced(has), _stopped(has))


def _written(root: Any) -> dict[str, dict[str, str]]:
    """Return the permanent attributes of each node as they are written, of several the last, whatever
    is configured besides: a record counts also where its node is gone.

    Of two entries of one node, as of a full member that was made a remote node, the first counts:
    crm_attribute writes there.
    """
    found: dict[str, dict[str, str]] = {}
    for element in root.iterfind("configuration/nodes/node"):
        pairs = element.iterfind("instance_attributes/nvpair")
        given = {pair.get("name") or "": pair.get("value") or "" for pair in pairs}
        name = element.get("uname") or element.get("id") or ""
        found[name] = {**given, **found.get(name, {})}
    return found


def _told(root: Any) -> dict[str, str]:
    """Return what a worker tells of each node in crm_mon."""
    pairs = root.iterfind("status/node_state/transient_attributes/instance_attributes/nvpair")
    given = [(pair.get("name") or "", pair.get("value") or "") for pair in pairs]
    return {name[len(TOLD):]: value for name, value in given if name.startswith(TOLD)}


def _mapped(has: Configuration) -> dict[str, str]:
    """Return by node its name in Nova, where those differ."""
    devices = [one for one in has.resources.values() if one.device and one.type in RECORDERS]
    return {node: host for one in devices for node, host in one.host_map.items() if host != node}


def _levels(has: Configuration, node: str) -> tuple[tuple[str, ...], ...]:
    """Return the fencing levels of a node, each as the fence agents of its devices, in order.

    Where Pacemaker does not say which of several lists counts all are there, so that none may be wrong.
    """
    return tuple(tuple(map(has.agent_of, level.devices)) for levels in has.topologies_of(node) for level in levels)


def _fences_nobody(has: Configuration) -> str:
    """Return why Pacemaker fences no node at all, "" where it does."""
    if not has.properties.is_true(FENCING_ENABLED):
        return f"fencing is switched off ({has.properties.name(FENCING_ENABLED)}=false)"
    return "the cluster is in maintenance mode" if has.properties.is_true("maintenance-mode") else ""


def _stopped(has: Configuration) -> frozenset[str]:
    """Return the remote nodes whose connection is told to stop.

    One that was lost is fenced all the same.
    """
    every = has.properties.is_true("stop-all-resources")
    return frozenset(name for name, node in has.nodes.items() if node.remote
                     and (every or (name in has.resources and has.resources[name].disabled)))


def _unfenced(has: Configuration) -> dict[str, str]:
    """Return by node why Pacemaker does not fence it when it is lost.

    It fences no remote node whose connection is unmanaged (crm_simulate says so); a node attribute
    maintenance changes nothing about that.
    """
    found = {}
    remotes = [name for name, node in has.nodes.items() if node.remote]
    for name in (name for name in remotes if name in has.resources):
        meta = has.resources[name].meta
        if boolean(meta.get("maintenance")):
            found[name] = "its connection is in maintenance (meta maintenance=true)"
        elif not boolean(meta.get("is-managed", "true")):    # what is no word is a no here
            found[name] = "its connection is unmanaged (meta is-managed=false)"
    return found


def _nodes(root: Any, has: Configuration) -> Iterable[ClusterNode]:
    status = Membership(root)
    known: Mapping[str, Node] = has.nodes
    # What was removed from the configuration may have a state for a while, and is no node any more.
    there = {name for name in status.states if status.is_online(name, status.is_remote(name))}
    for name in sorted(filter(None, there | {*known})):
        remote = known[name].remote if name in known else status.is_remote(name)
        remote = remote or status.is_remote(name)
        yield ClusterNode(name, remote, status.is_online(name, remote), status.fenced_mark(name, remote), remote and status.is_connecting(name))
