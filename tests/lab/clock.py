"""A controller whose clock is wrong: libfaketime, preloaded into every process of that node and of no other."""

from __future__ import annotations

from tests.lab import cluster, install, watch
from tests.lab import node as machine
from tests.lab.common import STATE, LabError, Node, run, wait_until

LIBRARY = STATE / "libfaketime"   # unpacked, not installed: only that node is to have it
PRELOAD, SETTING = "/etc/ld.so.preload", "/etc/faketimerc"
BACK = "-600"                     # seconds; behind, so that what such a node logs lies before the test and is not counted twice
BOOT_LIMIT = 90.0
MOVE_LIMIT = 60.0


def put_back(name: str) -> None:
    """Boot a controller with a clock that is ten minutes slow, and have the worker run on it. Raises LabError."""
    found = [*LIBRARY.glob("usr/lib/*/faketime/libfaketime.so.1")]
    if not found:
        install.unpack("libfaketime", LIBRARY)
        found = [*LIBRARY.glob("usr/lib/*/faketime/libfaketime.so.1")]
    node = cluster.find(name)
    _reboot(node, {PRELOAD: f"{found[0]}\n", SETTING: f"{BACK}\n"})
    told, real = (int(text) for text in (machine.exec_in(node, ["date", "+%s"], check=True).stdout, run(["date", "+%s"]).stdout))
    if abs(told - real - int(BACK)) > 5:
        raise LabError(f"the clock of {name} is {told - real} s off, and was to be {BACK} s")
    watch.on_controller("pcs", "resource", "move-with-constraint", "nova-evacuate", name)
    if not wait_until(lambda: watch.where_runs("nova-evacuate") == name, MOVE_LIMIT, 0.5):
        raise LabError(f"the worker does not move to {name}")


def set_right(name: str) -> None:
    """The controller with a right clock again, and the worker free to run anywhere. Raises LabError."""
    watch.on_controller("pcs", "resource", "clear", "nova-evacuate")
    _reboot(cluster.find(name), {})


def _reboot(node: Node, files: dict[str, str]) -> None:
    machine.power_off(node)
    for path in (PRELOAD, SETTING):
        (machine.folder(node) / "root" / path.lstrip("/")).unlink(missing_ok=True)
    for path, text in files.items():
        machine.put(node, path, text)
    machine.boot(node)
    if not wait_until(lambda: node.name in cluster.online()[0], BOOT_LIMIT, 0.5):
        raise LabError(f"{node.name} does not come online")
