"""A controller with the agents installed: one of the laboratory that is up, or of a tiny one without a cloud made for these tests."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Callable, Iterator
from subprocess import CompletedProcess

import pytest

from tests.lab import cluster, up
from tests.lab import node as machine
from tests.lab.common import REPOSITORY, Size

Run = Callable[..., "CompletedProcess[str]"]
STAND_IN = REPOSITORY / "tests" / "conformance" / "stand_in.py"  # a node sees the repository at the same place


def describes(said: str, name: str) -> bool:
    """Return whether the description of an agent has a parameter: `name ...: text` of pcs 0.11 and crmsh, or the line
    `name` of pcs 0.12, whose text follows below it."""
    return re.search(rf"^ *{name}\b.*:|^  {name}(?: \(\w+\))?$", said, re.MULTILINE) is not None


@contextlib.contextmanager
def _cluster() -> Iterator[None]:
    if up.is_up():
        yield
        return
    try:
        cluster.up(Size(1, 0))
        yield
    finally:
        up.take_down()


@pytest.fixture(scope="session")
def run() -> Iterator[Run]:
    """A function that runs a command on the first controller; `env` and `stdin` as in tests.lab.node.exec_in."""
    with _cluster():
        node = cluster.find("ctl-1")
        machine.exec_in(node, ["make", "-s", "-C", str(REPOSITORY), "install"], check=True)

        def on_node(*argv: str, timeout: float = 60, stdin: str | None = None, **env: str) -> CompletedProcess[str]:
            return machine.exec_in(node, argv, timeout, stdin=stdin, env=env)

        yield on_node


@pytest.fixture(scope="session")
def has_cloud(run: Run) -> bool:
    """Whether the laboratory's OpenStack is there, as cloud `lab`."""
    return run("test", "-e", "/etc/openstack/clouds.yaml").returncode == 0


@pytest.fixture
def cloud(has_cloud: bool) -> None:
    """For tests that a Nova has to answer: they run in `make test`."""
    if not has_cloud:
        pytest.skip("this laboratory has no cloud")


@contextlib.contextmanager
def _stand_in(which: str) -> Iterator[str]:
    argv = machine.enter(cluster.find("ctl-1"), ["/usr/bin/python3", str(STAND_IN), which])
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:  # ends with its stdin
        assert server.stdout
        yield f"http://127.0.0.1:{int(server.stdout.readline())}/v3"


@pytest.fixture
def silent(run: Run) -> Iterator[str]:
    """The URL of a Keystone that takes connections and never says a word."""
    with _stand_in("silent") as url:
        yield url


@pytest.fixture
def empty(run: Run) -> Iterator[str]:
    """The URL of a Keystone with a Nova that answers and has no hosts."""
    with _stand_in("empty") as url:
        yield url


@pytest.fixture
def attribute(run: Run) -> Iterator[str]:
    """A name for records that the laboratory's own NovaEvacuate does not look at; ctl-1's is gone afterwards."""
    yield "conformance"
    run("crm_attribute", "--type", "nodes", "--node", "ctl-1", "--name", "conformance", "--delete")
