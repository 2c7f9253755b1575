"""The package is upgraded on every controller while a host is being evacuated.

The older package is made of another commit (INSTANCE_HA_UPGRADE_FROM, HEAD^ by default) with this one's packaging, and
both have the same version with another number behind it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cluster.scenario import Story, healthy
from tests.cluster.test_faults import wait_under_way, worker_pid
from tests.lab import cluster, guests, watch
from tests.lab import node as machine
from tests.lab.common import REPOSITORY, Node

FROM = os.environ.get("INSTANCE_HA_UPGRADE_FROM", "HEAD^")
PACKAGE = "/root/instance-ha.deb"


def build(commit: str, number: int, where: Path) -> bytes:
    """Return the Debian package of a commit."""
    where.mkdir()
    for name, paths in ((commit, ()), ("HEAD", ("Makefile", "packaging"))):
        archive = subprocess.run(["git", "-C", str(REPOSITORY), "archive", name, *paths], capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", str(where)], input=archive, check=True)
    subprocess.run(["make", "-s", "-C", str(where), "deb", f"RELEASE={number}"], check=True, capture_output=True)
    (package,) = (where / "dist").glob(f"*-{number}_all.deb")
    return package.read_bytes()


def controllers() -> list[Node]:
    return [node for node in cluster.size().nodes if node.kind == "controller"]


def install(package: bytes) -> None:
    """On one controller after the other. What it depends on is there, whatever Debian's own database says."""
    for node in controllers():
        machine.put(node, PACKAGE, package)
        machine.exec_in(node, ["dpkg", "--install", "--force-depends", PACKAGE], check=True)


def installed() -> set[str]:
    words = ("dpkg-query", "--show", "--showformat=${Version}", "instance-ha")
    return {machine.exec_in(node, words, check=True).stdout.rpartition("-")[2] for node in controllers()}


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("dh_python3"), reason="debhelper and dh-python are not installed")
def test_the_package_is_upgraded_in_the_middle(tmp_path: Path) -> None:
    """The worker that runs goes on, the one that is started anew takes over what it finds, and no server moves twice."""
    older, newer = build(FROM, 1, tmp_path / "older"), build("HEAD", 2, tmp_path / "newer")
    install(older)
    watch.on_controller("pcs", "resource", "restart", "nova-evacuate")
    try:
        guests.set_knob("spawn_delay", 10)
        story = Story()
        story.boot(running=5, stopped=1)
        story.cut_power()
        wait_under_way(story)
        before = worker_pid()
        install(newer)
        assert installed() == {"2"} and worker_pid() == before
        assert watch.records()["cmp-1"].startswith("confirmed;"), "the evacuation was over before the upgrade was"
        watch.on_controller("pcs", "resource", "restart", "nova-evacuate")
        assert worker_pid() != before
        story.recovered()
        healthy()
        story.audit()
    finally:
        # Not purged: a worker whose agent is gone cannot be stopped, and Pacemaker fences its node.
        for node in controllers():
            machine.exec_in(node, ["make", "-s", "-C", str(REPOSITORY), "install"], check=True)
