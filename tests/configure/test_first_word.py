"""From doctor's first word to a protected cluster by its cures alone, on a cluster as deployment tools
make them: fencing off, opt-in, devices from a template, levels by pattern."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tests.cluster.scenario import Story, healthy
from tests.lab import bmc, cluster, protect, servers, up, watch
from tests.lab import node as machine
from tests.lab.common import CLOUD_ADDRESS, ROLE, LabError, Size, say, wait_until

SIZE = Size(2, 2)
HOSTS = ["cmp-1", "cmp-2"]
LINE_LIMIT = 300.0
SETTLED_LIMIT = 120.0
ONLINE_LIMIT = 60.0
MOST_CURES = 20
BEGUN = time.time()
# What doctor leaves to whoever types: the cloud's name, and whether to look at the lines first.
CONFIGURE = re.compile(r"# (instance-ha configure --cloud )NAME shows .* with (--apply) it does that")
IGNORED = ("--ignore", "policies-unseen") if ROLE else ()
TEMPLATE = f"""<template id="power" class="stonith" type="fence_ipmilan"><instance_attributes id="power-params">
<nvpair id="power-ip" name="ip" value="{CLOUD_ADDRESS}"/><nvpair id="power-lanplus" name="lanplus" value="1"/>
<nvpair id="power-cipher" name="cipher" value="3"/><nvpair id="power-wait" name="power_wait" value="0"/>
<nvpair id="power-username" name="username" value="{bmc.USER}"/><nvpair id="power-password" name="password" value="{bmc.PASSWORD}"/>
</instance_attributes><operations><op id="power-monitor" name="monitor" interval="60s"/></operations></template>"""
DEVICE = """<primitive id="fence-{name}" template="power"><instance_attributes id="fence-{name}-params">
<nvpair id="fence-{name}-port" name="ipport" value="{port}"/>
<nvpair id="fence-{name}-list" name="pcmk_host_list" value="{name}"/></instance_attributes></primitive>"""


def on_first(*argv: str) -> str:
    """What a command on the first controller said, which ends with 0."""
    done = machine.exec_in(cluster.find("ctl-1"), argv, LINE_LIMIT)
    assert done.returncode == 0, f"{argv} ended with {done.returncode}: {done.stdout[-1500:]} {done.stderr[-1500:]}"
    return done.stdout


def made() -> Iterator[tuple[str, ...]]:
    """The commands of a deployment tool, which knows nothing of instance-ha."""
    yield ("pcs", "property", "set", "stonith-enabled=false", "symmetric-cluster=false")
    for xml in (TEMPLATE, *(DEVICE.format(name=node.name, port=node.bmc_port) for node in SIZE.nodes)):
        yield ("cibadmin", "--create", "--scope", "resources", "--xml-text", xml)
    connections = [command for command in protect.commands(SIZE) if command.startswith("pcs resource create cmp-")]
    yield from (tuple(shlex.split(command)) for command in connections)
    for name in (*(f"fence-{node.name}" for node in SIZE.nodes), *HOSTS):
        yield ("pcs", "constraint", "location", name, "prefers", "ctl-1=0", "ctl-2=0")
    levels = "".join(f'<fencing-level id="{host}-1" target-pattern="^{host}$" index="1" devices="fence-{host}"/>' for host in HOSTS)
    yield ("cibadmin", "--create", "--scope", "configuration", "--xml-text", f"<fencing-topology>{levels}</fencing-topology>")
    for host in HOSTS:
        yield ("pcs", "node", "attribute", host, "osprole=compute")
    yield ("pcs", "resource", "create", "nova-compute", "ocf:lab:nova-compute", "op", "start", "timeout=60s", "op", "stop",
           "timeout=20s", "clone", "interleave=true", "--disabled")
    yield ("pcs", "constraint", "location", "nova-compute-clone", "rule", "score=0", "osprole", "eq", "compute")
    yield ("pcs", "resource", "enable", *HOSTS, "nova-compute-clone")


@pytest.fixture(scope="module", autouse=True)
def lab() -> Iterator[None]:
    if up.is_up():
        raise LabError("these tests bring up a laboratory of their own; take down the one that is up: python3 -m tests.lab down")
    try:
        up.start(SIZE)
        protect.install_agents(SIZE)
        for command in made():
            on_first(*command)
        names = {node.name for node in SIZE.nodes}
        if not wait_until(lambda: names <= cluster.online()[0], ONLINE_LIMIT, 0.5):
            raise LabError(f"the remotes are not online after {ONLINE_LIMIT:g} s")
        servers.wait_computes(HOSTS, SETTLED_LIMIT)
        servers.boot(["there-before"], HOSTS[0])
        yield
    finally:
        up.take_down()


def errors() -> list[dict[str, Any]]:
    """What doctor calls an error, in its order."""
    done = machine.exec_in(cluster.find("ctl-1"), ["instance-ha", "--os-cloud", "lab", "doctor", "-f", "json", *IGNORED], LINE_LIMIT)
    assert done.returncode in (0, 1), done.stderr
    return [row for row in json.loads(done.stdout) if row["Level"] == "error"]


def commands(mend: Iterable[str]) -> Iterator[str]:
    """What of a cure can be typed."""
    for line in mend:
        if found := CONFIGURE.fullmatch(line):
            yield f"{found[1]}lab {found[2]}"
        elif not line.startswith("#"):
            yield line


def curable() -> list[dict[str, Any]]:
    """Doctor's errors, once there are none or one of them has a command: a cluster takes its time to
    do what was typed last."""
    bad: list[dict[str, Any]] = []

    def is_clear() -> bool:
        bad[:] = errors()
        return not bad or any([*commands(row["Mend"])] for row in bad)

    assert wait_until(is_clear, SETTLED_LIMIT, 2), f"no command mends {[(row['Finding'], row['On'], row['Mend']) for row in bad]}"
    return bad


def test_its_cures_protect_it() -> None:
    """One after the other, the first that has a command."""
    typed: list[str] = []
    for _ in range(MOST_CURES):
        bad = curable()
        if not bad:
            break
        row, lines = next((row, lines) for row in bad if (lines := [*commands(row["Mend"])]))
        say(f"  {row['Finding']} {row['On']}")
        for line in lines:
            say(f"    {line}")
            typed.append(line)
            on_first("sh", "-c", line)
        on_first("crm_resource", "--wait", f"--timeout={SETTLED_LIMIT:g}")
    assert not curable(), f"still ill after {typed}"
    on_first("crm_resource", "--wait", f"--timeout={SETTLED_LIMIT:g}")
    servers.wait_computes(HOSTS, SETTLED_LIMIT)
    assert not watch.fencings(BEGUN), "a host was fenced on the way"
    assert not errors()


def test_a_host_dies() -> None:
    story = Story()
    story.boot(running=2, stopped=1)
    story.cut_power()
    story.recovered()
    healthy()
    story.audit()
