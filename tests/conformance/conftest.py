"""A controller with the agents installed: one of the laboratory that is up, or of one made for these tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from subprocess import CompletedProcess

import pytest

from tests.lab import cluster
from tests.lab import node as machine
from tests.lab.up import laboratory

Run = Callable[..., "CompletedProcess[str]"]


@pytest.fixture(scope="session")
def run() -> Iterator[Run]:
    """A function that runs a command on the first controller; `env` and `stdin` as in tests.lab.node.exec_in."""
    with laboratory():
        node = cluster.find("ctl-1")

        def on_node(*argv: str, timeout: float = 60, stdin: str | None = None, **env: str) -> CompletedProcess[str]:
            return machine.exec_in(node, argv, timeout, stdin=stdin, env=env)

        yield on_node
