"""A laboratory of its own, in which nothing is protected: power devices, connections to the remotes, a cloud, the agents."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from tests.lab import cluster, protect, up, watch
from tests.lab import node as machine
from tests.lab.common import REPOSITORY, LabError, Size, wait_until

SIZE = Size(2, 2)
ONLINE_LIMIT = 60.0
# Of protect's commands, those that this laboratory begins with.
BARE = ("pcs stonith create fence-c", "pcs resource create cmp-", "pcs resource enable cmp-")
FENCE_COMPUTE = REPOSITORY / "tests" / "configure" / "fence_compute"


@pytest.fixture(scope="module", autouse=True)
def lab() -> Iterator[None]:
    if up.is_up():
        raise LabError("these tests bring up a laboratory of their own; take down the one that is up: python3 -m tests.lab down")
    try:
        up.start(SIZE)
        protect.install_agents(SIZE)
        for node in SIZE.nodes:
            if node.kind == "controller":
                machine.put(node, "/usr/sbin/fence_compute", FENCE_COMPUTE.read_text(), 0o755)
        for command in protect.commands(SIZE):
            if command.startswith(BARE):
                watch.on_controller(*shlex.split(command))
        names = {node.name for node in SIZE.nodes}
        if not wait_until(lambda: names <= cluster.online()[0], ONLINE_LIMIT, 0.5):
            raise LabError(f"the remotes are not online after {ONLINE_LIMIT:g} s")
        yield
    finally:
        up.take_down()
