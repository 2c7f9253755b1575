"""Plays acts at their moments."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.chaos import chosen
from tests.chaos.acts import DO, NAMES, UNDO
from tests.chaos.plan import Act
from tests.lab import bmc, cluster, servers, watch
from tests.lab import node as machine
from tests.lab.common import LabError, Node, say, wait_until

HAND_LIMIT = 240.0
MIDDLE_LIMIT = 90.0      # from the first act to the first request
AGAIN_LIMIT = 40.0       # from a host's death to its next boot
LOOK = 0.1
TROUBLE = (LabError, OSError, ValueError, servers.Unanswered)
DEATHS = ("power", "again", "cable", "freeze", "remoted", "dies_returning")


class Player:
    """Plays acts. `may_die` are nodes that it kills; `touched` are servers that a user acts upon meanwhile; `trouble` is what could
    not be done; `times` are the moments of the acts, in seconds since the epoch."""

    def __init__(self, acts: Sequence[Act], chance: random.Random, ids: list[str]) -> None:
        self.acts, self.chance, self.ids = acts, chance, ids
        self.may_die: set[str] = set()
        self.touched: set[str] = set()
        self.trouble: list[str] = []
        self.times: dict[Act, float] = {}
        self._threads: list[threading.Thread] = []
        self._begun: dict[Act, list[Node]] = {}
        self._rows: dict[Act, dict[str, Any]] = {}     # what Nova was at when an act was done

    def play(self) -> None:
        """Do everything at its time, and undo what has an end; return when that is over."""
        began, begun, order = time.monotonic(), time.time(), itertools.count()
        steps: list[tuple[float, int, int, Act]] = []    # an undo comes before what is done at the same moment

        def plan(acts: Sequence[Act], base: float) -> None:
            for act in acts:
                heapq.heappush(steps, (base + act.at, 1, next(order), act))
                if act.lasts:
                    heapq.heappush(steps, (base + act.at + act.lasts, 0, next(order), act))

        waiting = [act for act in self.acts if act.middle or act.over]
        plan([act for act in self.acts if act not in waiting], 0.0)
        while steps or waiting:
            now = time.monotonic() - began
            if waiting and watch.evacuation_requests(begun):
                ready = [act for act in waiting if act.middle or _is_over()]
                plan(ready, now)
                waiting = [act for act in waiting if act not in ready]
            if waiting and now > MIDDLE_LIMIT:
                self.trouble.append(f"nothing was evacuated within {MIDDLE_LIMIT:g} s")
                waiting = []
            if steps and steps[0][0] <= now:
                _, doing, _, act = heapq.heappop(steps)
                self._step(act, bool(doing), now)
            else:
                time.sleep(LOOK)
        for thread in self._threads:
            thread.join(HAND_LIMIT)

    def _step(self, act: Act, doing: bool, now: float) -> None:
        say(f"  {now:5.1f} s  {act.name} {act.what}{'' if doing else ' is over'}")
        try:
            if doing:
                self.do(act)
                self.times[act] = time.time()
            else:
                self.undo(act)
        except TROUBLE as error:
            # What is off already cannot be switched off; a controller in trouble refuses a command.
            self.trouble.append(f"{act.name} {act.what}{'' if doing else ' to its end'}: {error}")
            say(f"         {error}")

    def do(self, act: Act) -> None:
        """Do one act. Raises LabError, KeyError for an act that is none."""
        name, what = act.name, act.what
        if name in DEATHS:
            self.may_die.add(what)
            _kill_host(name, cluster.find(what))
        elif name in _CONTROLLERS:
            self._begun[act] = _CONTROLLERS[name]()
            if not self._begun[act]:
                raise LabError(f"there is no {name} now")
            self.may_die |= {node.name for node in self._begun[act]}
            for node in self._begun[act]:
                if name == "with_control":
                    bmc.stay_off(node, True)
                machine.cable(node, False) if name == "cut_off" else machine.power_off(node)
            if name == "with_control":
                chosen.control_dies()
        elif name in chosen.ON_ROW:
            self._rows[act] = chosen.rebuilt()
            chosen.ON_ROW[name](self._rows[act])
        elif name == "new_host":
            host = chosen.arrived_and_claimed(what)
            self.may_die.add(host.name)
            machine.power_off(host)
        elif name == "by_hand":
            command = ["instance-ha", "host-evacuate", what]
            self._aside(lambda: machine.exec_in(cluster.find(watch.controller()), command, HAND_LIMIT))
        elif name == "users":
            self._users()
        elif name == "destination":
            self._destination()
        elif name == "clock":
            self.may_die.add(what)
            DO[name](what)
        else:
            DO[name](what)

    def undo(self, act: Act) -> None:
        """Undo one act."""
        for node in self._begun.get(act, []):
            bmc.stay_off(node, False)
            machine.boot(node)
        if act in self._rows and act.name in chosen.OFF_ROW:
            chosen.OFF_ROW[act.name](self._rows[act])
        if act.name == "dies_returning":
            bmc.start(cluster.find(act.what))
        if act.name in UNDO:
            UNDO[act.name](act.what)

    def _users(self) -> None:
        """Users act on three servers while nobody knows yet what is going on: one stops, one reboots, one deletes."""
        for uid, name in zip(self.chance.sample(self.ids, 3), ("os-stop", "reboot", "delete")):
            self.touched.add(uid)
            with contextlib.suppress(LabError, servers.Unanswered):
                if name == "delete":
                    servers.request("compute", "DELETE", f"/servers/{uid}")
                else:
                    servers.action(uid, name, {"type": "HARD"} if name == "reboot" else None)

    def _destination(self) -> None:
        """Cut the power of a host on which a server is being rebuilt."""
        found: list[str] = []

        def rebuilds() -> bool:
            found[:] = [row["dest_compute"] for row in servers.evacuations() if row["status"] == "pre-migrating" and row["dest_compute"]]
            return bool(found)

        if not wait_until(rebuilds, 20, 0.2):
            raise LabError("nothing is being rebuilt now")
        self.may_die.add(found[-1])
        machine.power_off(cluster.find(found[-1]))

    def _aside(self, work: Callable[[], object]) -> None:
        def quietly() -> None:
            with contextlib.suppress(LabError, OSError):
                work()

        self._threads.append(threading.Thread(target=quietly, daemon=True))
        self._threads[-1].start()


def _kill_host(how: str, host: Node) -> None:
    if how == "dies_returning":
        chosen.await_return(host.name)
        bmc.stop(host)
    if how == "again" and not wait_until(lambda: machine.is_on(host), AGAIN_LIMIT):
        raise LabError(f"{host.name} is not on again")
    if not machine.is_on(host):
        raise LabError(f"{host.name} is off already")
    if how in ("power", "again", "dies_returning"):
        machine.power_off(host)
    elif how == "cable":
        machine.cable(host, False)
    elif how == "freeze":
        machine.freeze(host)
    else:
        machine.stop_service(host, "pacemaker-remote" if not host.member else "pacemaker", signal.SIGKILL)


def controllers() -> list[Node]:
    """The controllers, on or off."""
    return [node for node in cluster.size().nodes if node.kind == "controller"]


def _the_workers() -> list[Node]:
    name = watch.where_runs("nova-evacuate")
    return [cluster.find(name)] if name else []


def _the_dc() -> list[Node]:
    return [cluster.find(watch.on_controller("crmadmin", "--dc_lookup", "--quiet").split()[-1])]


_CONTROLLERS: dict[str, Callable[[], list[Node]]] = {
    "with_control": _the_workers, "controller": _the_workers, "cut_off": _the_workers,
    "dc": _the_dc, "controllers": controllers, "two_controllers": lambda: controllers()[1:]}
OTHER_NAMES = ("by_hand", "users", "destination", "new_host")
KNOWN = NAMES | {*_CONTROLLERS, *DEATHS, *chosen.ON_ROW, *OTHER_NAMES}


def _is_over() -> bool:
    """Whether no record says that an evacuation is to come or under way."""
    return not any(record.startswith(("fenced", "confirmed")) for record in watch.records().values())
