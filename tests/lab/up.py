"""The whole laboratory, protected, for as long as somebody needs it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

from tests.lab import bmc, cloud, cluster, network, protect
from tests.lab import node as machine
from tests.lab.__main__ import _all_down, _both
from tests.lab.common import Size


def bring_up(size: Size, show: bool = False) -> None:
    """From nothing to a protected cluster whose compute hosts serve. Raises LabError."""
    start(size)
    protect.install_agents(size)
    protect.configure(size, show)


def start(size: Size) -> None:
    """The nodes and OpenStack, side by side. What a killed run left behind goes first. Raises LabError."""
    take_down()
    bmc.repair_all()
    network.up()
    cluster.keep_size(size)  # before both sides: what they start asks it what runs the guests
    _both(lambda stopped: cluster.up(size, stopped), lambda: cloud.up(size))


def take_down() -> None:
    """Everything off and away; not to be interrupted."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _all_down()
    finally:
        signal.signal(signal.SIGINT, before)


def is_up() -> bool:
    """Whether a protected laboratory runs already."""
    try:
        return machine.is_on(cluster.find("ctl-1"))
    except Exception:  # no laboratory was ever up
        return False


@contextlib.contextmanager
def laboratory(size: Size | None = None) -> Iterator[None]:
    """The one that runs already, or one for the time of the block."""
    if is_up():
        yield
        return
    try:
        bring_up(size or Size())
        yield
    finally:
        take_down()
