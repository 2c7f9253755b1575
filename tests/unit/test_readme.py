"""The README's quick start by hand, instance-ha configure and the laboratory protect a cluster with the same commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

import pytest
from instance_ha.configuring.provisioning import Wish, propose

from tests.lab import protect
from tests.lab.common import REPOSITORY, Size
from tests.unit.cibs import BARE, read

HEADS = {"pcs": "pcs, on one controller:\n\n```\n", "crm": "crmsh:\n\n```\n"}
# What a cluster has before: power devices and the connections to the remotes; configure gives it the rest.
THERE = re.compile(r"fence_ipmilan|ocf:pacemaker:remote|stonith-enabled=false$")
# By hand something is created stopped, until its constraints stand; configure brings all into the cluster in one moment.
LATER = re.compile(r"^pcs resource enable |^crm( -w)? resource start ")


def readme(tool: str) -> list[str]:
    """The lines of the quick start by hand."""
    return (REPOSITORY / "README.md").read_text().split(HEADS[tool])[1].split("```")[0].strip().splitlines()


def words(lines: Iterable[str]) -> set[tuple[str, ...]]:
    """The commands among them that are not THERE; `-F` is for an agent that is not installed, or for a configuration with warnings."""
    return {tuple(word for word in shlex.split(line) if word not in ("-F", "--disabled", "target-role=Stopped"))
            for line in lines if not THERE.search(line) and not LATER.search(line)}


@pytest.mark.parametrize("tool", HEADS)
def test_configure_has_the_lines_of_the_readme(tool: str) -> None:
    steps = propose(read(BARE), Wish(("cmp-1", "cmp-2"), "mycloud")).steps
    assert words(shlex.join(line) for step in steps for line in getattr(step.change, tool)()) == words(readme(tool))


def test_the_laboratory_has_the_lines_of_the_readme() -> None:
    """But for the agent that starts nova-compute there, and how long it may take."""
    def alike(lines: Iterable[str]) -> set[tuple[str, ...]]:
        found = words(line.replace("cloud=lab", "cloud=mycloud").replace("ocf:lab:nova-compute", "systemd:nova-compute") for line in lines)
        return {tuple(word for word in line if "nova-compute" not in line or not word.startswith(("timeout=", "op", "start", "stop", "monitor",
                                                                                                  "interval="))) for line in found}

    assert alike(protect.commands(Size(controllers=1, computes=2))) == alike(readme("pcs"))
