"""The lines of docs/install.md, instance-ha configure and the laboratory protect a cluster with the same commands."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterable

import pytest
from instance_ha.configuring.provisioning import Wish, propose

from tests.lab import protect, typed
from tests.lab.common import Size
from tests.unit.cibs import BARE, read

# What a cluster has before: power devices and the connections to the remotes; configure gives it the rest.
THERE = re.compile(r"fence_ipmilan|ocf:pacemaker:remote|stonith-enabled=false$")
# By hand something is created stopped, until its constraints stand; configure brings all into the cluster in one moment.
LATER = re.compile(r"^pcs (resource|stonith) enable |^crm( -w)? resource start ")


def words(lines: Iterable[str]) -> set[tuple[str, ...]]:
    """The commands among them that are not THERE; `-F` is for an agent that is not installed, or for a configuration with warnings."""
    return {tuple(word for word in shlex.split(line, comments=True) if word not in ("-F", "--disabled", "target-role=Stopped"))
            for line in lines if not THERE.search(line) and not LATER.search(line)}


@pytest.mark.parametrize("tool", typed.HEADS)
def test_configure_has_the_lines_of_the_page(tool: str) -> None:
    steps = propose(read(BARE), Wish(("cmp-1", "cmp-2"), "mycloud", image_disks="evacuate")).steps
    assert words(shlex.join(line) for step in steps for line in getattr(step.change, tool)()) == words(typed.lines(tool, members=False))


@pytest.mark.parametrize("members", [False, True])
def test_the_laboratory_has_the_lines_of_the_page_in_their_order(members: bool) -> None:
    """But for how long nova-compute may take to start and to stop, and the line that disables fencing, which is disabled there."""
    def alike(lines: Iterable[list[str]]) -> list[list[str]]:
        return [[word for word in line if "ocf:lab:nova-compute" not in line or not re.match(r"op$|start$|stop$|monitor$|timeout=|interval=", word)]
                for line in lines if line[-1] != "stonith-enabled=false"]

    size = Size(2, 2, members)
    assert alike(map(shlex.split, protect.commands(size))) == alike(typed.commands("pcs", size))


@pytest.mark.parametrize("tool", typed.HEADS)
def test_the_loops_for_many_hosts_make_the_lines_by_hand(tool: str) -> None:
    """The loops connect the hosts at once; everything else is alike."""
    page = typed.PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^With (?:pcs|crmsh):\n\n```\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    block = next(block for block in blocks if f" {tool} " in block)
    shell = f"{tool}() {{ printf '%s\\n' {tool} \"$@\" ---; }}\n{block}"
    said = subprocess.run(["/bin/sh"], input=shell, capture_output=True, text=True, check=True).stdout
    made = [line.split("\n") for line in said.split("\n---\n") if line]
    assert len(made) == 3 + 2 * 10
    stopped = ("--disabled", "meta", "target-role=Stopped")
    for line in typed.lines(tool, members=False):
        if re.search(r"fence_ipmilan|ocf:pacemaker:remote", line):
            assert [word for word in shlex.split(line, comments=True) if word not in stopped] in made
