"""Hosts that are offline, and on no record or let in already: nothing else would tell of them."""

from __future__ import annotations

import contextlib
import time
from itertools import chain

from ..errors import CloudError
from ..model import MAINTENANCE, RECORDERS, RETURNING, ClusterNode, ClusterView, FenceEvent, Service
from .context import Context
from .naming import host_of
from .proof import OFF_ACTIONS, ended_at

GRACE = 5.0      # seconds for which a host has to be offline before anything is told
LONG = 60.0      # the same where it may still be fenced: that takes long, or has not begun
SOON = 5.0       # between two looks at what the fencers remember of such a host
LOOK = 30.0      # the same after LONG
CLOCKS = 5.0     # by which the clocks of two controllers may differ
UNTOLD = "it was fenced, and Nova has not told yet which host it is, so that it is on no record"


class Unfenced:
    """Tells of compute hosts that are offline and will not be evacuated, and why."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._since: dict[str, float] = {}
        self._whys: dict[str, tuple[float, str]] = {}   # when the fencers were asked, and what follows
        self._devices: dict[str, tuple[float, bool | None]] = {}   # the same of its devices
        self._servers: dict[str, tuple[float, bool]] = {}   # of disabled hosts: when Nova was asked
        self.told: dict[str, str] = {}                  # why, by node

    def look(self, view: ClusterView) -> None:
        """Tell of each such host, and take back what is no more. Raises ClusterError, HostError."""
        now = self.context.clock()
        lost = self._lost(view)
        self._since = {node: self._since.get(node, now) for node in lost}
        self._whys = {node: why for node, why in self._whys.items() if node in lost}
        self._devices = {node: answer for node, answer in self._devices.items() if node in lost}
        told = {node: why for node, since in self._since.items() if (why := self._why(view, view.nodes[node], now - since))}
        for node, why in told.items():
            self.context.problem(f"unfenced {node}", _sentence(node, why))
        for node in {*self.told} - {*told}:
            self.context.solved(f"unfenced {node}")
        self.told = told

    def sentence(self, node: str) -> str:
        """Return what is told of a node."""
        return _sentence(node, self.told[node])

    def _lost(self, view: ClusterView) -> set[str]:
        """Return the compute hosts that are offline, and on no record or returning.

        Nobody waits for one in planned maintenance, or for one that is disabled and has no servers.
        A returning one that is marked as fenced is about to come back, or is an incident again.
        """
        returning = {name for name, record in view.records.items() if record.state == RETURNING}
        lost = {name for name in returning if name in view.nodes and not view.nodes[name].mark}
        aside = ({*view.records} - lost) | {*view.broken, *view.dismissed}
        known = self.context.services_known
        services = {one.host: one for one in known if one.binary == "nova-compute"}
        hosts = {node.name: host_of(view.named(node.name), self.context.domain, services.values())
                for node in view.nodes.values() if node.online is False and node.name not in aside}
        return {node for node, host in hosts.items() if host and self.context.protects(node, host)
                and (services[host].enabled or self._has_servers(services[host]))}

    def _has_servers(self, service: Service) -> bool:
        """Return whether a disabled host that is down has servers, asked each LOOK seconds."""
        if service.up or not service.known or service.reason.startswith(MAINTENANCE):
            return False
        asked, found = self._servers.get(service.host, (float("-inf"), False))
        if self.context.clock() - asked >= LOOK:
            with contextlib.suppress(CloudError):
                found = bool(self.context.nova.servers_on(service.host))
            self._servers[service.host] = self.context.clock(), found
        return found

    def _why(self, view: ClusterView, node: ClusterNode, seconds: float) -> str:
        """Why it will not be evacuated, "" where that is not known yet."""
        if view.fences_nobody:
            return view.fences_nobody if seconds >= GRACE else ""
        if node.name in view.unfenced:
            return view.unfenced[node.name] if seconds >= GRACE else ""
        if seconds < GRACE:
            return ""
        if node.mark and not RECORDERS.isdisjoint(chain(*view.levels.get(node.name, ()))):
            return UNTOLD if seconds >= LONG else ""
        if node.mark:
            return f"it was fenced, and no fencing level of it has fence_nova (instance-ha doctor); now: instance-ha host-evacuate {node.name}"
        asked, why = self._whys.get(node.name, (float("-inf"), ""))
        if self.context.clock() - asked >= (LOOK if seconds >= LONG and why else SOON):
            why = self._of_history(node.name, node.name in view.stopped, seconds)
            self._whys[node.name] = self.context.clock(), why
        return why

    def _of_history(self, node: str, stopped: bool, seconds: float) -> str:
        """Return why a node is not fenced that has been offline for so many seconds.

        Return "" where it still may be.
        """
        events = [one for one in self.context.cluster.history(node) if one.action in OFF_ACTIONS]
        ended = next((one for one in events if one.status != "pending"), None)
        confirm = f"if it is off for sure: pcs stonith confirm {node}"
        fails = f"its fencing fails, and Pacemaker tries again; {confirm}"
        if ended is not None and ended.status == "failed" and _is_of_now(ended, seconds):
            return _no_device(confirm) if self._has_no_device(node) else fails
        if events and events[0].status == "pending":
            return "Pacemaker is still fencing it" if seconds >= LONG else ""
        if self._has_no_device(node):
            return _no_device(confirm)
        if seconds < LONG:
            return ""
        if ended is not None and ended.status == "failed":
            return fails
        if stopped:
            return f"its connection is told to stop (target-role, stop-all-resources); {confirm}"
        return f"Pacemaker has not fenced it, as after a clean stop or where no device can; {confirm}"

    def _has_no_device(self, node: str) -> bool:
        """Return True if the fencer says that no device can fence a node.

        It is asked each LOOK seconds: devices that answer late hold it up.
        """
        asked, answer = self._devices.get(node, (float("-inf"), None))
        if self.context.clock() - asked >= LOOK:
            answer = self.context.cluster.can_be_fenced(node)
            self._devices[node] = self.context.clock(), answer
        return answer is False


def _is_of_now(event: FenceEvent, seconds: float) -> bool:
    """Return True if a fencing ended since the node went offline, so many seconds ago."""
    ended = ended_at(event)
    return ended is not None and ended >= time.time() - seconds - CLOCKS


def _no_device(confirm: str) -> str:
    return f"no fence device that runs can fence it (instance-ha doctor); {confirm}"


def _sentence(node: str, why: str) -> str:
    return f"{node} is offline and will not be evacuated: {why}"
