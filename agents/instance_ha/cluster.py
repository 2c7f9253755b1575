"""The only door to Pacemaker: its nodes, its proof of fencing, the records."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lxml import etree

from .cib import parse_cib, read_cib, version_of
from .errors import ClusterError, ConflictError, HostError
from .incident import HISTORY, HISTORY_MARK, Incident, newest_first, parse_incident
from .model import DISMISSED, HELD, LEGACY_YES, RECORD, TRUE, ClusterView, FenceEvent, Record, clean, parse_record
from .process import Outcome, run
from .standing import Standing, read_standing
from .text import ascii_line

TOOL_TIMEOUT = 10.0       # one call of a tool of Pacemaker
HISTORY_ROOM = 50         # incidents that are remembered
CONFIGURE_TIMEOUT = 120.0  # one command of pcs or crmsh
CONNECTS = 0.5            # seconds between two looks at what crm_mon says of a node
DIFFERENT = 1             # crm_diff
TOO_LARGE = ("Pacemaker answers, and not with the whole CIB, which may be too large for its buffer: set PCMK_ipc_buffer in its sysconfig file on "
             "each node (docs/tuning.md)")
NO_SUCH_OBJECT = (6, 105)  # cibadmin: nothing matched (ENXIO as exit code, CRM_EX_NOSUCH)


class Cluster:
    """Pacemaker on this node. `attribute` names the node attribute that holds the records, `resource` the resource whose
    parameters a view shows."""

    unread_history: tuple[str, ...] = ()    # names of the lines that `incidents` could not read

    def __init__(self, attribute: str = RECORD, resource: str = "") -> None:
        self.attribute, self.resource = attribute, resource

    def view(self) -> ClusterView:
        """The CIB, read once (cibadmin --query). Raises ClusterError, HostError."""
        return read_cib(parse_cib(self.cib()), self.attribute, self.resource)

    def is_at(self, version: str) -> bool:
        """Return whether the CIB has that version still (cibadmin --query --no-children). False where Pacemaker does not tell."""
        done = run(["cibadmin", "--query", "--no-children"], TOOL_TIMEOUT)
        return bool(version) and not done.code and version_of(parse_cib(done.out)) == version

    def cib(self) -> str:
        """The CIB as text. It may hold passwords. Raises ClusterError, HostError."""
        try:
            return _must(["cibadmin", "--query"]).out
        except HostError:
            # Before 3.0.1 pacemaker-based drops an answer that is larger than its buffer, and the asker waits in vain.
            if run(["cibadmin", "--query", "--no-children"], TOOL_TIMEOUT).code:
                raise
            raise ClusterError(TOO_LARGE) from None

    def capable_of(self, node: str) -> list[str]:
        """The fence devices that the fencer says can fence a node now, by id (stonith_admin --list)."""
        return self._capable_of(node) or []

    def can_be_fenced(self, node: str) -> bool | None:
        """Return whether any fence device can fence a node now, None where nobody tells."""
        devices = self._capable_of(node)
        return None if devices is None else bool(devices)

    def _capable_of(self, node: str) -> list[str] | None:
        done = run(["stonith_admin", "--list", node, "--output-as=xml"], TOOL_TIMEOUT)
        return None if done.code else [item.text or "" for item in _xml(done).iter("item")]

    def standing(self) -> Standing:
        """What runs, and the failed actions that Pacemaker remembers (crm_mon --one-shot)."""
        return read_standing(_xml(_must(["crm_mon", "--one-shot", "--output-as=xml"])))

    def calls_online(self, node: str) -> bool:
        """Return True if crm_mon calls a node online to which nobody is just trying to connect. Raises ClusterError, HostError."""
        for last in (False, True):
            if node not in self.standing().online:
                return False
            now = self.view().nodes.get(node)
            if now is not None and now.connecting:
                return False
            if not last:
                time.sleep(CONNECTS)           # the two were asked one after the other
        return True

    def has_agent(self, agent: str) -> bool:
        """Whether an agent (class:type or class:provider:type) is installed on this node."""
        return run(["crm_resource", "--show-metadata", agent], TOOL_TIMEOUT).code == 0

    def run_tool(self, argv: Sequence[str]) -> Outcome:
        """Run a command of pcs or crmsh that changes a file, or the cluster."""
        return run(argv, CONFIGURE_TIMEOUT)

    def difference(self, old: str, new: str) -> str:
        """What makes the CIB in one file that in another, without their versions (crm_diff); "" when they are the same."""
        done = run(["crm_diff", "--original", old, "--new", new, "--no-version"], TOOL_TIMEOUT)
        if done.code not in (0, DIFFERENT):
            raise ClusterError(f"crm_diff failed with {done.code}: {done.sentence}")
        return done.out if done.code else ""

    def patch(self, path: str, file: str = "") -> None:
        """Make the change that a file describes, in the cluster or in a file that is a CIB: all of it, or nothing and ClusterError."""
        done = run([*(["env", f"CIB_file={file}"] if file else []), "cibadmin", "--patch", "--xml-file", path], TOOL_TIMEOUT)
        if done.code:
            raise ClusterError(f"cibadmin --patch failed with {done.code}: {done.sentence}")

    def local_node(self) -> str:
        """The cluster's name of this node."""
        return _must(["crm_node", "--name"]).out.strip()

    def history(self, node: str) -> list[FenceEvent]:
        """What Pacemaker's fencers remember of a node, newest first (stonith_admin --history)."""
        # Without --verbose it tells of one event only, and of none that is pending (2.1.5).
        root = _xml(_must(["stonith_admin", "--history", node, "--verbose", "--output-as=xml"]))
        return [
            FenceEvent(event.get("target", ""), event.get("action", ""), event.get("status", ""), clean(event.get("completed", "")))
            for event in root.iter("fence_event")
            if event.get("target") == node
        ]

    def write(self, record: Record) -> Record:
        """Store a record, whatever was there, and read it back. Raises ClusterError when it is not there afterwards."""
        text = record.text()
        self.hold(record.node, TRUE)
        _must(["crm_attribute", "--type", "nodes", "--node", record.node, "--name", self.attribute, "--update", text])
        stored = self.view().records.get(record.node)
        if stored is None or stored.raw != text:
            raise ClusterError(f"the fencing record of {record.node} was written, but the cluster does not show it")
        return stored

    def add(self, record: Record) -> Record:
        """Store a record where there is none. Raises ConflictError when there is one by now."""
        root = _xml(_must(["cibadmin", "--query", "--scope", "nodes"]))
        entry = next((node for node in root.iterfind("node") if node.get("uname") == record.node), None)
        named = f"instance_attributes/nvpair[@name='{self.attribute}']"
        pairs = [] if entry is None else entry.iterfind(named)
        cleared = next((pair for pair in pairs if not pair.get("value")), None)
        if cleared is not None:      # what `clear` has not got to delete
            change = ["--modify", "--xml-text", _nvpair_with(cleared, record.text())]
            self._swap(replace(record, raw=""), change)
            return parse_record(record.node, record.text()) or record
        node = etree.Element("node", id=record.node, uname=record.node, type="remote") if entry is None else etree.Element("node", dict(entry.attrib))
        home = etree.SubElement(node, "instance_attributes", id=f"nodes-{node.get('id')}")
        key = f"{home.get('id')}-{self.attribute}"
        etree.SubElement(home, "nvpair", id=key, name=self.attribute, value=record.text())
        if entry is None:
            path, parent = f"//nodes[not(node[@uname='{record.node}'])]", etree.Element("nodes")
            parent.append(node)
            node = parent
        else:
            path = f"//nodes/node[@uname='{record.node}'][not(instance_attributes/nvpair[@name='{self.attribute}'])]"
        self._change(record, ["--modify", "--xml-text", etree.tostring(node, encoding="unicode"), "--xpath", path])
        return parse_record(record.node, record.text()) or record

    def dismiss(self, node: str) -> None:
        """Put a person's "no" in place of the record of a node, whatever that says."""
        _must(["crm_attribute", "--type", "nodes", "--node", node, "--name", self.attribute, "--update", DISMISSED])
        self.hold(node, "")

    def hold(self, node: str, how: str) -> None:
        """Have Pacemaker not start nova-compute on a node (TRUE), stop it (STOP), or let it run ("")."""
        name = HELD.format(self.attribute)
        if how:
            _must(["crm_attribute", "--type", "nodes", "--node", node, "--name", name, "--update", how])
            return
        done = run(["cibadmin", "--delete", "--xpath", f"//nodes/node[@uname='{node}']//nvpair[@name='{name}']"], TOOL_TIMEOUT)
        if done.code and done.code not in NO_SUCH_OBJECT:
            raise ClusterError(f"nova-compute of {node} cannot be let in: {done.sentence}")

    def end_dismissal(self, node: str) -> None:
        """Remove a person's "no". Raises ConflictError when that has changed."""
        self.clear(Record(node, "", "", raw=DISMISSED))

    def transient_yes(self) -> list[str]:
        """The nodes for which fence_compute has set its record, which is a transient attribute that the CIB need not show."""
        done = run(["attrd_updater", "--query", "--all", "--name", self.attribute], TOOL_TIMEOUT)
        return [host for host, value in _ATTRIBUTE.findall(done.out) if value == LEGACY_YES]

    def leave_note(self, name: str, text: str | None) -> None:
        """Leave a word of this node's for the other controllers' attribute managers, None: take it back. The CIB does not hold it, so
        that Pacemaker computes nothing anew. `text` is ASCII without quotes. Raises ClusterError, HostError."""
        change = ["--delete"] if text is None else ["--update", text, "--private"]
        _must(["attrd_updater", "--name", name, *change])

    def notes(self, name: str) -> dict[str, str]:
        """Return the words of that name, by the node that has left them. Raises HostError."""
        done = run(["attrd_updater", "--query", "--all", "--name", name], TOOL_TIMEOUT)
        return {host: value for host, value in _ATTRIBUTE.findall(done.out) if value}

    def replace(self, record: Record) -> Record:
        """Store a record in place of exactly the value it was read with. Raises ConflictError when that has changed."""
        text = record.text()
        if record.raw == text:
            return record
        self._swap(record, ["--modify", "--xml-text", _nvpair_with(self._find(record), text)])
        return parse_record(record.node, text) or record

    def clear(self, record: Record) -> None:
        """Remove a record with exactly the value it was read with.

        Raises ConflictError when that has changed. `cibadmin --delete` succeeds when it matches
        nothing. So the value is swapped for an empty one first, which is no record to anybody, and
        the empty attribute is deleted then. If a fault prevents that, it does no harm.
        """
        self._swap(record, ["--modify", "--xml-text", _nvpair_with(self._find(record), "")])
        with contextlib.suppress(HostError):
            run(["cibadmin", "--delete", "--xpath", self._path(record.node, "")], TOOL_TIMEOUT)

    def _path(self, node: str, value: str) -> str:
        same = f"@name='{self.attribute}' and @value={_literal(value)}"
        return f"//nodes/node[@uname='{node}']//nvpair[{same}]"

    def _swap(self, record: Record, what: list[str]) -> None:
        self._change(record, [*what, "--xpath", self._path(record.node, record.raw)])

    def _change(self, record: Record, what: list[str]) -> None:
        done = run(["cibadmin", *what], TOOL_TIMEOUT)
        if done.code in NO_SUCH_OBJECT:
            raise ConflictError(f"the record of {record.node} was changed meanwhile")
        if done.code:
            raise ClusterError(f"the record of {record.node} could not be changed: {done.sentence}")

    def _find(self, record: Record) -> Any:
        root = _xml(_must(["cibadmin", "--query", "--scope", "nodes"]))
        for pair in root.iterfind(f"node[@uname='{record.node}']//nvpair[@name='{self.attribute}']"):
            if pair.get("value") == record.raw:
                return pair
        raise ConflictError(f"the record of {record.node} was changed meanwhile")

    def incidents(self) -> dict[str, Incident]:
        """The history, by id. Raises ClusterError, HostError."""
        root = _xml(_must(["cibadmin", "--query", "--scope", "crm_config"]))
        pairs = root.iterfind(f"cluster_property_set[@id='{HISTORY}']/nvpair")
        found = [(pair.get("name") or "", parse_incident(pair.get("value") or "")) for pair in pairs]
        self.unread_history = tuple(name for name, one in found if one is None)
        return {one.id: one for _, one in found if one}

    def remember(self, incident: Incident) -> dict[str, Incident]:
        """Write an incident into the history, or over what is there of it, and drop the oldest beyond HISTORY_ROOM.
        The history as it is then. Raises ClusterError, HostError."""
        key = _history_key(incident)
        properties = etree.Element("cluster_property_set", id=HISTORY)
        etree.SubElement(properties, "nvpair", id=f"{HISTORY}-{key}", name=HISTORY_MARK + key, value=incident.text())
        text = etree.tostring(properties, encoding="unicode")
        _must(["cibadmin", "--modify", "--allow-create", "--scope", "crm_config", "--xml-text", text])
        known = self.incidents()
        for old in newest_first(known)[HISTORY_ROOM:]:
            path = f"//cluster_property_set[@id='{HISTORY}']/nvpair[@id='{HISTORY}-{_history_key(old)}']"
            if run(["cibadmin", "--delete", "--xpath", path], TOOL_TIMEOUT).code == 0:
                del known[old.id]
        return known

    def remote_connection(self, node: str, up: bool) -> None:
        """Have Pacemaker stop a remote node's resources and its connection, in this order and without fencing it; or start them again."""
        change = ["--delete-parameter", "target-role"] if up else ["--set-parameter", "target-role", "--parameter-value", "Stopped"]
        _must(["crm_resource", "--resource", node, "--meta", *change])

    def standby(self, node: str, on: bool) -> None:
        """Have Pacemaker stop what runs on a full member, and start nothing there; or end that."""
        _must(["crm_attribute", "--node", node, "--name", "standby", *(["--update", "on"] if on else ["--delete"])])

    def show(self, name: str, value: str | None) -> None:
        """Set (None: remove) a transient attribute of this node, for people who look at crm_mon.

        The value is made ASCII.
        """
        argv = ["crm_attribute", "--lifetime", "reboot", "--node", self.local_node(), "--name", name]
        _must([*argv, "--delete"] if value is None else [*argv, "--update", ascii_line(value)])


def _history_key(incident: Incident) -> str:
    """Its id as XML takes it in an id."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", incident.id)


_ATTRIBUTE = re.compile(r'name="[^"]*" host="([^"]*)" value="([^"]*)"')


def _literal(text: str) -> str:
    """Return text as a string of XPath, which has no escapes."""
    if "'" not in text:
        return f"'{text}'"
    return "concat(" + ', "\'", '.join(f"'{part}'" for part in text.split("'")) + ")"


def _nvpair_with(pair: Any, value: str) -> str:
    element = etree.Element("nvpair", id=pair.get("id"), name=pair.get("name"), value=value)
    text: str = etree.tostring(element, encoding="unicode")
    return text


def _must(argv: list[str]) -> Outcome:
    done = run(argv, TOOL_TIMEOUT)
    if done.code:
        raise ClusterError(f"{argv[0]} failed with {done.code}: {done.sentence} (is Pacemaker running on this node?)")
    return done


def _xml(outcome: Outcome) -> Any:
    return parse_cib(outcome.out)
