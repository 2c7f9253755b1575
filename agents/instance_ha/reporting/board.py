"""What the worker has decided about each server, left on its controller for `instance-ha status`, which decides nothing itself."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ..engine.host import Host
from ..engine.scene import Verdict
from ..engine.worker import Worker
from ..files import write_whole

WRITE_PAUSE = 1.0        # seconds between two writings
FILES = "NovaEvacuate-*.servers"   # service.py names them
LOG = logging.getLogger(__name__)


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
    """Writes it. `path` is a file in the folder of the worker's state, which only root may read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hosts: dict[str, tuple[str, dict[str, Told]]] = {}     # by node: the incident, and the servers by id
        self._text, self._written, self._failed = "", float("-inf"), False

    def show(self, worker: Worker) -> None:
        """After a turn. What cannot be written is said in the log, and nothing waits for it."""
        for node, host in worker.hosts.items():
            servers = _servers(host)
            if servers is not None:
                self._hosts[node] = (host.incident, servers)
        self._hosts = {node: known for node, known in self._hosts.items() if node in worker.hosts}
        now = worker.context.clock()
        if now - self._written < WRITE_PAUSE:
            return
        text = json.dumps({node: {"incident": incident, "servers": {key: asdict(one) for key, one in servers.items()}}
                           for node, (incident, servers) in self._hosts.items()})
        if text == self._text:
            return
        self._written = now
        try:
            write_whole(self.path, text, 0o600)
        except OSError as error:
            if not self._failed:
                LOG.warning("%s cannot be written: %s; instance-ha status shows less", self.path, error.strerror)
            self._failed = True
        else:
            self._text, self._failed = text, False


def read(folder: Path, node: str, incident: str) -> dict[str, Told] | None:
    """Return the worker's words on the servers of a host's incident, None where no worker of this machine has left any."""
    for path in sorted(folder.glob(FILES)):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            known = json.loads(path.read_text())[node]
            if known["incident"] == incident:
                return {key: Told(**one) for key, one in known["servers"].items()}
    return None


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
