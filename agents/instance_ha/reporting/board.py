"""What the worker has decided about each server, left in the cluster for `instance-ha status`, which decides nothing itself."""

from __future__ import annotations

import base64
import json
import logging
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial

from ..cluster import Cluster
from ..engine import decide
from ..engine.host import Host
from ..engine.scene import Verdict
from ..engine.worker import Worker
from ..errors import ClusterError, HostError
from .lane import Lane

NAME = "instance-ha-servers"   # of the attribute, which is no part of the CIB
PAUSE = 1.0              # seconds between two writings
ROOM = 48 << 10          # bytes of it; a tool of Pacemaker takes no argument of more than 128 KiB
CLOSE_LIMIT = 0.5        # seconds that the worker's end waits for what is under way, and again for it to be taken away
LOG = logging.getLogger(__name__)
Hosts = dict[str, tuple[str, dict[str, "Told"]]]     # by node: the incident, and the servers by id


@dataclass(frozen=True)
class Told:
    """The worker's last word on one server; see engine.scene.Verdict. `doubt` is why it is not restored on its old host."""

    action: str
    reason: str
    protected: bool = True
    final: bool = False
    person: bool = False
    target: str = ""
    doubt: str = ""


class Board:
    """Leaves it, in a thread of its own: nothing waits for it."""

    def __init__(self, cluster: Cluster) -> None:
        self._leave: Callable[[str | None], None] = partial(cluster.leave_note, NAME)
        self._hosts: Hosts = {}
        self._lane = Lane("board", 1)
        self._left, self._failed = "", False
        self._next = float("-inf")

    def show(self, worker: Worker) -> None:
        """After a turn."""
        for node, host in worker.hosts.items():
            servers = _servers(host)
            if servers is not None:
                self._hosts[node] = (host.incident, servers)
        self._hosts = {node: known for node, known in self._hosts.items() if node in worker.hosts}
        now = worker.context.clock()
        if now < self._next:
            return
        text = _packed(self._hosts) if self._hosts else ""
        if text != self._left and self._lane.put(partial(self._write, text)):
            self._next = now + PAUSE

    def close(self) -> None:
        """Before the worker ends: another controller's may go on."""
        self._lane.close(CLOSE_LIMIT)        # there is room for one job only
        self._lane.put(partial(self._write, ""))
        self._lane.close(CLOSE_LIMIT)

    def _write(self, text: str) -> None:
        """In the lane."""
        if text == self._left:
            return
        try:
            self._leave(text or None)
        except (ClusterError, HostError) as error:
            if not self._failed:
                LOG.warning("what was decided on each server is not shown to instance-ha status: %s", error)
            self._failed = True
        else:
            self._left, self._failed = text, False


def read(cluster: Cluster) -> dict[str, dict[str, Told]]:
    """Return the workers' words on servers, by incident. What cannot be read is left out."""
    found: dict[str, dict[str, Told]] = {}
    for text in cluster.notes(NAME).values():
        try:
            for known in json.loads(zlib.decompress(base64.b64decode(text))).values():
                found[known["incident"]] = {key: Told(**one) for key, one in known["servers"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
            LOG.info("what a worker has left cannot be read: %s", error)
    return found


def _packed(hosts: Hosts) -> str:
    """As text of ROOM bytes at most. Where there are too many servers, those that have arrived go first, then any."""
    for wanted in (lambda one: True, lambda one: one.action not in (decide.DONE, decide.UNLOCK), lambda one: one.person or one.doubt):
        words = {node: {"incident": incident, "servers": {key: asdict(one) for key, one in servers.items() if wanted(one)}}
                 for node, (incident, servers) in hosts.items()}
        text = base64.b64encode(zlib.compress(json.dumps(words).encode())).decode()
        if len(text) <= ROOM:
            return text
    return ""


def _servers(host: Host) -> dict[str, Told] | None:
    """What this turn has decided on the servers of a host, None where it did not look at them."""
    if host.look is not None:
        return {one.server.id: told(one) for one in host.look.verdicts}
    back = host.homecoming
    return {one.server.id: told(one, back.doubts) for one in back.look.verdicts} if back.look is not None else None


def told(verdict: Verdict, doubts: Mapping[str, str] | None = None) -> Told:
    """Return a verdict as it is told. `doubts` are why servers are not restored on their old host, by their ids."""
    return Told(verdict.action, verdict.reason, verdict.protected, verdict.final, verdict.person, verdict.target or "",
                (doubts or {}).get(verdict.server.id, ""))
