"""The servers of a host that is back: those that stayed are given back, those that left are mended."""

from __future__ import annotations

import logging

from .model import ARRIVED, Migration, Server, claim_of
from .nova import Nova
from .states import ACTIVE, HALTED, PAUSED, SHUT_DOWN, STARTED, STOPPED

LOG = logging.getLogger(__name__)


def release(nova: Nova, host: str) -> list[Server]:
    """Give back the servers that we claimed and that are still on the host, which is up again: each is brought into the state it
    had, and our claim is taken away. Returns the servers that are not given back yet. Raises CloudError."""
    waiting = []
    for server in nova.servers_on(host):
        claim = claim_of(server)
        if claim is None or claim.host != host:
            continue
        lost = (server.task_state or "").startswith("rebuild")
        if server.task_state and not lost:
            waiting.append(server)
            continue
        if lost:
            LOG.warning("%s (%s): Nova lost its evacuation; it stayed on %s and needs a person", server.name, server.id, host)
        else:
            _restore(nova, host, server, claim.was)
        nova.unlock(server.id)
    return waiting


def _restore(nova: Nova, host: str, server: Server, was: str) -> None:
    """Its guest died with the host's power, whatever Nova says, and nova-compute does not start it."""
    if was in (ACTIVE, STARTED):
        LOG.info("%s (%s): stayed on %s, starting it again", server.name, server.id, host)
    if server.vm_state == "error" and was != PAUSED:
        nova.reset(server.id)
    if was in (ACTIVE, STARTED) and server.vm_state == "stopped":
        nova.start(server.id)
    elif was in (ACTIVE, STARTED) and server.vm_state in ("active", "error"):
        nova.reboot(server.id)
    elif was in (STOPPED, HALTED) and server.vm_state in ("active", "error"):
        nova.stop(server.id)


def mend(nova: Nova, host: str, baseline: int) -> None:
    """Set right the servers that left the host and that its return has broken.

    What users asked of them when it died has waited in the host's message queue. Its nova-compute carries that out when it
    starts, on servers that are not its own any more, fails, and leaves them in ERROR or with a task. Raises CloudError.
    """
    gone = {row.server: row for row in nova.evacuations(host) if row.id > baseline and row.status in ARRIVED}
    for destination in {row.destination for row in gone.values() if row.destination}:
        for server in nova.servers_on(destination):
            row = gone.get(server.id)
            if row and row.destination == destination and (server.vm_state == "error" or server.task_state):
                _mend(nova, host, server, row)


def _mend(nova: Nova, host: str, server: Server, row: Migration) -> None:
    actions = nova.actions(server.id)
    asked = next((action.started for action in actions if action.name == "evacuate"), "")
    late = [action for action in actions if action.name != "evacuate" and action.started < asked < action.updated]
    if not late:
        return
    LOG.warning("%s (%s): %s did an old %s (%s) to it although it is on %s; reset from %s", server.name, server.id, host,
                late[0].name, late[0].request, row.destination, server.task_state or server.vm_state)
    nova.reset(server.id)
    if server.power_state == SHUT_DOWN:
        nova.stop(server.id)
