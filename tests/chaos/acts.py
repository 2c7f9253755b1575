"""How each act of a plan is done and undone in the laboratory."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence

from tests.chaos.plan import Act
from tests.lab import bmc, cloud, cluster, guests, servers, watch
from tests.lab import node as machine
from tests.lab.common import RUN, LabError, Node, say, wait_until

HAND_LIMIT = 240.0
RECORD_LIMIT = 60.0
CIB = RUN / "saved-cib.xml"


class Player:
    """Plays acts. `may_die` are nodes that it kills; `touched` are servers that a user acts upon meanwhile."""

    def __init__(self, acts: Sequence[Act], chance: random.Random, ids: list[str]) -> None:
        self.acts, self.chance, self.ids = acts, chance, ids
        self.may_die: set[str] = set()
        self.killed_worker = False
        self.touched: set[str] = set()
        self._threads: list[threading.Thread] = []
        self._begun: dict[Act, list[Node]] = {}

    def play(self) -> None:
        """Do everything at its time, and undo what has an end; return when that is over."""
        began = time.monotonic()
        steps = [(act.at, 1, act) for act in self.acts] + [(act.at + act.lasts, 0, act) for act in self.acts if act.lasts]
        for at, doing, act in sorted(steps, key=lambda step: (step[0], step[1])):
            time.sleep(max(0.0, began + at - time.monotonic()))
            say(f"  {time.monotonic() - began:5.1f} s  {act.name} {act.what}{'' if doing else ' is over'}")
            try:
                (self.do if doing else self.undo)(act)
            except (LabError, OSError, ValueError) as error:
                say(f"         {error}")  # what is off already cannot be switched off; a controller in trouble refuses a command
        for thread in self._threads:
            thread.join(HAND_LIMIT)

    def do(self, act: Act) -> None:
        """Do one act. Raises LabError, KeyError for an act that is none."""
        name, what = act.name, act.what
        if name in ("power", "cable", "freeze", "remoted"):
            self.may_die.add(what)
            _kill_host(name, cluster.find(what))
        elif name in _CONTROLLERS:
            self._begun[act] = _CONTROLLERS[name]()
            self.may_die |= {node.name for node in self._begun[act]}
            for node in self._begun[act]:
                machine.cable(node, False) if name == "cut_off" else machine.power_off(node)
        elif name == "kill_worker":
            self.killed_worker = True
            _kill_worker()
        elif name == "by_hand":
            command = ["instance-ha", "host-evacuate", what]
            self._aside(lambda: machine.exec_in(cluster.find(watch.controller()), command, HAND_LIMIT))
        elif name == "users":
            self._users()
        elif name == "destination":
            self._destination()
        else:
            _DO[name](what)

    def undo(self, act: Act) -> None:
        """Undo one act."""
        for node in self._begun.get(act, []):
            machine.boot(node)
        if act.name in _UNDO:
            _UNDO[act.name](act.what)

    def _users(self) -> None:
        """Users act on three servers while nobody knows yet what is going on: one stops, one reboots, one deletes."""
        for uid, name in zip(self.chance.sample(self.ids, 3), ("os-stop", "reboot", "delete")):
            self.touched.add(uid)
            with contextlib.suppress(LabError):
                if name == "delete":
                    servers.request("compute", "DELETE", f"/servers/{uid}")
                else:
                    servers.action(uid, name, {"type": "HARD"} if name == "reboot" else None)

    def _destination(self) -> None:
        """Cut the power of a host on which a server is being rebuilt."""
        rows = [row for row in servers.evacuations() if row["status"] in ("accepted", "pre-migrating") and row["dest_compute"]]
        if not rows:
            raise LabError("nothing is being rebuilt now")
        self.may_die.add(rows[-1]["dest_compute"])
        machine.power_off(cluster.find(rows[-1]["dest_compute"]))

    def _aside(self, work: Callable[[], object]) -> None:
        def quietly() -> None:
            with contextlib.suppress(LabError, OSError):
                work()

        self._threads.append(threading.Thread(target=quietly, daemon=True))
        self._threads[-1].start()


def _kill_host(how: str, host: Node) -> None:
    if how == "power":
        machine.power_off(host)
    elif how == "cable":
        machine.cable(host, False)
    elif how == "freeze":
        machine.freeze(host)
    else:
        machine.stop_service(host, "pacemaker-remote" if not host.member else "pacemaker", signal.SIGKILL)


def _kill_worker() -> None:
    name = watch.where_runs("nova-evacuate")
    if name:
        machine.exec_in(cluster.find(name), ["/bin/sh", "-c", "kill -9 $(cut -d' ' -f1 /run/resource-agents/NovaEvacuate-nova-evacuate.pid)"])


def _controllers() -> list[Node]:
    return [node for node in cluster.size().nodes if node.kind == "controller"]


def _the_workers() -> list[Node]:
    name = watch.where_runs("nova-evacuate")
    return [cluster.find(name)] if name else []


def _the_dc() -> list[Node]:
    return [cluster.find(watch.on_controller("crmadmin", "--dc_lookup", "--quiet").split()[-1])]


_CONTROLLERS: dict[str, Callable[[], list[Node]]] = {
    "controller": _the_workers, "cut_off": _the_workers, "dc": _the_dc, "controllers": _controllers, "two_controllers": lambda: _controllers()[1:]}


def _pcs(*words: str) -> str:
    return watch.on_controller("pcs", *words, check=False)


def _attribute(host: str, *words: str) -> None:
    watch.on_controller("crm_attribute", "--type", "nodes", "--node", host, "--name", "evacuate", *words)


def _delete_record(host: str) -> None:
    wait_until(lambda: watch.records().get(host), RECORD_LIMIT, 0.05)
    _attribute(host, "--delete")


def _confirm(host: str) -> None:
    watch.on_controller("stonith_admin", "--confirm", host)


def _restore_cib(_: str) -> None:
    first = cluster.find(watch.controller())
    machine.put(first, "/tmp/cib.xml", CIB.read_text())
    watch.on_controller("cibadmin", "--replace", "--scope", "configuration", "--xml-file", "/tmp/cib.xml")


def _stay_off(host: str) -> None:
    bmc.stay_off(cluster.find(host), True)


def _boot(host: str) -> None:
    bmc.stay_off(cluster.find(host), False)
    machine.boot(cluster.find(host))


def _level(words: Sequence[str]) -> Callable[[str], None]:
    def change(host: str) -> None:
        _pcs("stonith", "level", "remove", "1", host)
        _pcs("stonith", "level", "add", "1", host, *(word.format(host=host) for word in words))

    return change


def _write(what: str) -> None:
    host, _, value = what.partition(" ")
    _attribute(host, "--update", value)


def _kill_nova_compute(host: str) -> None:
    machine.exec_in(cluster.find(host), ["/bin/sh", "-c", "kill -9 $(cut -d' ' -f1 /run/nova-compute.pid)"], check=True)


def _disable(what: str) -> None:
    host, _, reason = what.partition(" ")
    servers.set_service(host, status="disabled", disabled_reason=reason)


_DO: dict[str, Callable[[str], object]] = {
    "service": cloud.stop, "freeze_service": lambda what: cloud.stop(what, "freeze"),
    "bmc": lambda what: bmc.stop(cluster.find(what)), "stays_off": _stay_off,
    "fail_spawn": lambda what: guests.set_knob("fail_spawn", "1"), "spawn_delay": lambda what: guests.set_knob("spawn_delay", what),
    "cleanup": lambda _: _pcs("resource", "cleanup", "nova-evacuate"), "move": lambda _: _pcs("resource", "move-with-constraint", "nova-evacuate"),
    "maintenance_mode": lambda _: _pcs("property", "set", "maintenance-mode=true"),
    "unmanage": lambda _: _pcs("resource", "unmanage", "nova-evacuate"),
    "disable": lambda _: _pcs("resource", "disable", "nova-evacuate"), "delete_record": _delete_record, "confirm": _confirm,
    "save_cib": lambda _: CIB.write_text(watch.on_controller("cibadmin", "--query", "--scope", "configuration")), "restore_cib": _restore_cib,
    "write": _write, "nova_compute": _kill_nova_compute, "person_disables": _disable,
    "parameter": lambda what: _pcs("resource", "update", "nova-evacuate", what),
    "level_alone": _level(["fence-nova"]), "level_order": _level(["fence-nova", "fence-{host}"]), "level_power": _level(["fence-{host}"]),
}
_UNDO: dict[str, Callable[[str], object]] = {
    "service": cloud.start, "freeze_service": lambda what: cloud.stop(what, "thaw"), "bmc": lambda what: bmc.start(cluster.find(what)),
    "stays_off": _boot, "fail_spawn": lambda _: guests.set_knob("fail_spawn", None), "spawn_delay": lambda _: guests.set_knob("spawn_delay", None),
    "move": lambda _: _pcs("resource", "clear", "nova-evacuate"), "maintenance_mode": lambda _: _pcs("property", "set", "maintenance-mode="),
    "unmanage": lambda _: _pcs("resource", "manage", "nova-evacuate"), "disable": lambda _: _pcs("resource", "enable", "nova-evacuate"),
    "write": lambda what: _attribute(what.split()[0], "--delete"),
    "parameter": lambda what: _pcs("resource", "update", "nova-evacuate", what.split("=")[0] + "="),
    "person_disables": lambda what: servers.set_service(what.split()[0], status="enabled"),
    **dict.fromkeys(("level_alone", "level_order", "level_power"), _level(["fence-{host}", "fence-nova"])),  # README's level
}
NAMES = frozenset((*_DO, *_CONTROLLERS, "power", "cable", "freeze", "remoted", "kill_worker", "by_hand", "users", "destination"))


def restore() -> None:
    """Everything as it was before, whatever was undone already; compute hosts that are off are not switched on here."""
    for name in ("fail_spawn", "spawn_delay"):
        guests.set_knob(name, None)
    for name, alive in cloud.status().items():
        with contextlib.suppress(LabError):
            cloud.stop(name, "thaw")
            if not alive:
                cloud.start(name)
    for node in cluster.size().nodes:
        bmc.start(node)
        bmc.stay_off(node, False)
        if node.kind == "controller":
            machine.boot(node)
