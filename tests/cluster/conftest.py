"""The laboratory for the tests of this folder: brought up and protected once, healthy again before each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.scenario import healthy
from tests.lab import bmc, cluster, guests, servers, watch
from tests.lab.up import laboratory


@pytest.fixture(scope="session")
def lab() -> Iterator[None]:
    with laboratory():
        yield


@pytest.fixture(autouse=True)
def calm(lab: None) -> Iterator[None]:
    """Everything up and nothing on record, before and after."""
    healthy()
    yield
    for knob in ("spawn_delay", "spawn_linger", "fail_spawn"):
        guests.set_knob(knob, None)
    healthy()
    servers.delete_all()


@pytest.fixture
def stays_off() -> Iterator[None]:
    """Fencing leaves compute nodes off, and so does Pacemaker's unfencing, which asks their power devices too."""
    nodes = [node for node in cluster.size().nodes if node.kind == "compute"]
    watch.on_controller("pcs", "property", "set", "stonith-action=off")
    for node in nodes:
        bmc.stay_off(node, True)
    yield
    for node in nodes:
        bmc.stay_off(node, False)
    watch.on_controller("pcs", "property", "set", "stonith-action=")
