"""The fence agent's protocol on fence-agents' fencing.py: actions, exit codes."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from . import credentials, metadata, params
from .cluster import Cluster
from .engine import entry, proof
from .engine.naming import begin_of_mark, crossed_with, doubles_of, host_of, is_listed, is_ours
from .errors import CellAway, CloudError, ConfigurationError, InstanceHaError
from .logs import clean_handlers
from .model import CONFIRMED, FENCED, PARTLY, ClusterView, Record, Service
from .process import KILL_GRACE, within
from .text import printable

OK, FAILED, OFF = 0, 1, 2
MOST_SEEN = 8          # fencing times that a record remembers
NOVA_NOTICES = "3"     # quick_evacuate_level
WHOLE = 50.0           # seconds of `off` after which Nova is left to the worker; Pacemaker ends it after 60 s by default
RECORDS = 10.0         # seconds that Pacemaker usually needs at most for the record
AT_ONCE = "at_once"    # let_in
LEFT = "%s is recorded; marking it down in Nova is left to NovaEvacuate: %s"
DOCS = {"shortdesc": metadata.FENCE_SHORT, "longdesc": metadata.FENCE_LONG, "vendorurl": "https://www.openstack.org"}


def main() -> int:
    """Run one action as a fence agent. Returns the exit code."""
    import fencing

    own = metadata.fence_options()
    fencing.all_opt.update(own)
    for name in ("login", "passwd", "port"):
        fencing.all_opt[name]["required"] = "0"
    device = ["login", "passwd", "port", "ssl_insecure", "no_password", "no_login", "fabric_fencing", *own]
    given = _clean(fencing.process_input(device), [fencing.all_opt[name] for name in device if name in fencing.all_opt])
    if given.get("--action") == "validate-all":
        given.setdefault("--plug", "any")  # fencing.py wants one, and nothing is looked up
    elif given.get("--nodename"):
        given.setdefault("--plug", given["--nodename"])  # Pacemaker sends no port with pcmk_host_argument=none
    options = fencing.check_input(device, given, other_conditions=True)
    fencing.show_docs(options, dict(DOCS))
    logging.getLogger("keystoneauth").setLevel(logging.ERROR)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    clean_handlers()
    try:
        return run(options, fencing)
    except InstanceHaError as error:
        logging.error("fence_nova %s: %s", options["--action"], error)
        return FAILED


def run(options: Mapping[str, Any], fencing: Any) -> int:
    """Run the action that fencing.py's options name."""
    values = params.resolve(params.of(params.FENCE), {key.lstrip("-"): _text(value) for key, value in options.items() if key.startswith("--")})
    agent = Agent(values, options.get("--plug", ""), options.get("--nodename", ""), options.get("--separator", ","))
    actions: dict[str, Callable[[], int]] = {
        "off": agent.off, "on": agent.on, "status": agent.status, "monitor": agent.monitor, "list": agent.print_list,
        "list-status": agent.print_list_status, "validate-all": agent.validate,
    }
    action = options["--action"]
    if values["record_only"].lower() in params.SILENT and action in ("off", "on", "monitor"):
        logging.info("record_only=%s: %s does nothing", values["record_only"], action)
        return OK
    if action == "off" and int(float(options.get("--delay") or 0)):
        fencing.run_delay(options)
    if action not in actions:
        raise ConfigurationError(f"the action {action} is unknown")
    return actions[action]()


def _clean(given: Mapping[str, Any], options: list[dict[str, Any]]) -> dict[str, Any]:
    """What was given without empty values, which are none, and with seconds as fencing.py takes them: without an s."""
    kinds = {f"--{one['longopt'].rstrip(':')}": one.get("type", "string") for one in options if one["getopt"].endswith(":")}
    there = {key: value for key, value in given.items() if key not in kinds or value != ""}
    return {key: re.sub("[sS]$", "", value) if kinds.get(key) == "second" else value for key, value in there.items()}


def _text(value: Any) -> str:
    # fencing.py holds a flag of the command line as "", and one on standard input as "1" or "0".
    return "1" if value in ("", None) else str(value)


def _status(service: Service) -> str:
    return "UNKNOWN" if not service.known else "ON" if service.up and not service.forced_down else "OFF"


class Agent:
    """The actions of fence_nova on one plug. `values` are resolved parameters."""

    def __init__(self, values: Mapping[str, str], plug: str, nodename: str, separator: str) -> None:
        self.values, self.plug, self.nodename, self.separator = values, plug, nodename, separator
        self.cluster = Cluster(values["evacuate_attribute"])
        self._view: ClusterView | None = None  # as `off` saw it

    def off(self) -> int:
        """Store the record and read it back; then mark the service down, as far as Nova can be had in time."""
        began = time.monotonic()
        view = self.cluster.view()
        node = self._node(set(view.nodes))
        self._view = view
        other = crossed_with(view, node, self.plug or node)
        if other:
            raise ConfigurationError(f"{node} is not recorded: {self.plug} is the host of {other}, which is another node; correct pcmk_host_map")
        if not self._is_protected(node):
            logging.warning("%s is not recorded: protect_hosts does not name it", node)
            return OK
        seen = [e.completed for e in self.cluster.history(node) if e.action in proof.OFF_ACTIONS and e.completed]
        # Dying again while it is evacuated, or a controller's start that fences what it cannot reach: the same evacuation goes on.
        before = view.records.get(node)
        going_on = before is not None and before.state in (FENCED, CONFIRMED, PARTLY)
        begun = before.host if before and going_on and before.baseline is not None else ""
        record = self.cluster.write(Record(
            node, FENCED, uuid.uuid4().hex[:8], int(time.time()), self.cluster.local_node(),
            host=begun or (self.plug if self.plug != node else ""), seen=tuple(seen[:MOST_SEEN]), fencings=len(seen),
            baseline=before.baseline if before and going_on else None, kept=before.kept if before and going_on else {},
            broken=before.broken if before else frozenset(),
            reserve=before.reserve if before else "", released=bool(before and going_on and before.released)))
        logging.info("fencing of %s recorded as %s", node, record.id)
        if params.boolean(self.values["record_only"]) or self.values["quick_evacuate_level"] == NOVA_NOTICES:
            return OK
        asked = float(self.values["nova_timeout"])
        # A fencing that Pacemaker ends in the middle has failed, although the record is there: what the CIB took Nova does not get.
        limit = min(asked, max(WHOLE, RECORDS + asked) - KILL_GRACE - (time.monotonic() - began))
        if limit < min(1.0, asked):
            logging.warning(LEFT, node, f"Pacemaker took {time.monotonic() - began:.0f} s for the record")
            return OK
        try:
            late = not within(limit, lambda: self._mark_down(record))
        except OSError as error:      # no room for another process
            logging.warning(LEFT, node, error.strerror)
            return OK
        if late:
            logging.warning(LEFT, node, f"Nova took longer than {limit:.3g} s (nova_timeout={asked:g})")
        return OK

    def _is_protected(self, node: str) -> bool:
        """Whether protect_hosts may name it. Nova's domain is known for certain to the worker only, which has the last word:
        of a short name the domain of a pattern does not count here."""
        wanted = self.values["protect_hosts"].replace(",", " ").split()
        if "." not in node and "." not in self.plug:
            wanted += [pattern.partition(".")[0] for pattern in wanted]
        return is_listed(wanted, node, self.plug)

    def _mark_down(self, record: Record) -> None:
        try:
            nova = credentials.connect(self.values)
            services = nova.services()
            service = self._service(services, record.host or record.node)
            if self._view and (other := crossed_with(self._view, record.node, service.host)):
                raise ConfigurationError(f"Nova's {service.host} is the host of {other}, which is another node")
            if self._view and (others := doubles_of(service.host, self._view, services)):
                # Which is meant the worker looks at: one that reports is not down.
                raise ConfigurationError(f"Nova has {others[0].host} besides {service.host}")
            nova.force_down(service, True)
            # Fenced again before it was back: the reason names the record that counts now.
            if service.enabled or (is_ours(service) and f"({record.id})" not in service.reason):
                when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                nova.disable(service, f"{begin_of_mark(service)} fenced by Pacemaker, recorded by {record.by} at {when} ({record.id})")
            logging.info("%s is marked down in Nova", service.host)
        except Exception as error:  # the record stands: nothing may make this fencing fail any more
            logging.warning(LEFT, record.node, error)

    def on(self) -> int:
        """Let the node in when its evacuation is over; fail at once, saying how far it is, otherwise."""
        view = self.cluster.view()
        done, sentence = entry.let_in(self.cluster, view, self._node(set(view.nodes)))
        waits = not done and self.values["let_in"] != AT_ONCE
        logging.log(logging.ERROR if waits else logging.INFO, "%s", sentence)
        return FAILED if waits else OK

    def status(self) -> int:
        """0 when Nova has the service up and enabled, 2 when it is down, 1 when Nova cannot be asked."""
        service = self._service(self._services(), self.plug or self.nodename)
        if not service.known:
            raise CellAway(service.host)
        off = service.forced_down or not service.up
        print(f"Status: {'OFF' if off else 'ON'}")
        return OFF if off else OK

    def monitor(self) -> int:
        """0 when Nova can be asked."""
        self._services()
        return OK

    def print_list(self) -> int:
        """Print the compute hosts, one a line."""
        return self._print(lambda service: f"{service.host}{self.separator}")

    def print_list_status(self) -> int:
        """Print the compute hosts and whether they are on."""
        return self._print(lambda s: f"{s.host}{self.separator}{self.separator}{_status(s)}")

    def validate(self) -> int:
        """Whether the parameters are complete; nothing is contacted."""
        credentials.check(self.values)
        return OK

    def _print(self, line: Callable[[Service], str]) -> int:
        wanted = self.values["protect_hosts"].replace(",", " ").split()
        listed = [service for service in self._services() if is_listed(wanted, service.host)]
        for service in sorted(listed, key=lambda s: s.host):
            print(printable(line(service)))
        return OK

    def _services(self) -> list[Service]:
        return [s for s in credentials.connect(self.values).services() if s.binary == "nova-compute"]

    def _service(self, services: list[Service], name: str) -> Service:
        host = host_of(name, self.values["domain"], services)
        for service in services:
            if service.binary == "nova-compute" and service.host == host:
                return service
        raise CloudError(f"Nova knows no compute host {name!r}; it knows " + ", ".join(s.host for s in services if s.binary == "nova-compute"))

    def _node(self, nodes: set[str]) -> str:
        """Pacemaker's name of the node that is meant: nodename, the plug, or the one with the plug's short name."""
        names = [name for name in (self.nodename, self.plug) if name]
        if not names:
            raise ConfigurationError("which node? give plug (or port)")
        node = entry.node_of(names, nodes)
        if node is None:
            raise ConfigurationError(f"{names[0]!r} is no node of this cluster; it has {', '.join(sorted(nodes))}")
        return node
