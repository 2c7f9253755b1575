"""The lines of docs/install.md, typed on a bare cluster: each is taken, and the result protects."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.scenario import Story, healthy
from tests.lab import cluster, protect, servers, typed, up, watch
from tests.lab import node as machine
from tests.lab.common import ROLE, LabError, Size

HOSTS = ["cmp-1", "cmp-2"]
LINE_LIMIT = 90.0
SETTLED_LIMIT = 120.0


@pytest.fixture(scope="module", autouse=True, params=[(tool, members) for members in (False, True) for tool in typed.HEADS],
                ids=lambda way: f"{way[0]}-{'members' if way[1] else 'remotes'}")
def lab(request: pytest.FixtureRequest) -> Iterator[tuple[str, Size]]:
    """A cluster with nothing but its nodes, and the agents installed."""
    if up.is_up():
        raise LabError("these tests bring up laboratories of their own; take down the one that is up: python3 -m tests.lab down")
    tool, members = request.param
    size = Size(3, 2, members)
    try:
        up.start(size)
        protect.install_agents(size)
        yield tool, size
    finally:
        up.take_down()


def on_first(*argv: str) -> str:
    """What a command on the first controller said, which ends with 0."""
    done = machine.exec_in(cluster.find("ctl-1"), argv, LINE_LIMIT)
    assert done.returncode == 0, f"{argv} ended with {done.returncode}: {done.stdout[-1500:]} {done.stderr[-1500:]}"
    return done.stdout


def test_the_lines_protect_a_bare_cluster(lab: tuple[str, Size]) -> None:
    for command in typed.commands(*lab):
        on_first(*command)
    on_first("crm_resource", "--wait", f"--timeout={SETTLED_LIMIT:g}")
    servers.wait_computes(HOSTS, SETTLED_LIMIT)
    assert not watch.failures(), "something was tried where it cannot run"
    assert not watch.fencings(0), "a host was fenced on the way"
    on_first("instance-ha", "doctor", *(["--ignore", "policies-unseen"] if ROLE else []))
    assert on_first("instance-ha", "configure") == "# nothing to do\n"


def test_a_host_dies(lab: tuple[str, Size]) -> None:
    story = Story()
    story.boot(running=2, stopped=1)
    story.cut_power()
    story.recovered()
    healthy()
    story.audit()
