"""Which nodes a fence device is for, and as what it knows them: our reading against Pacemaker's own fencer, alone in namespaces.

The fencer without a cluster knows no fencing levels; what it says of devices is what stonith_admin shows.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from instance_ha import configuration
from instance_ha.configuration import Resource
from instance_ha.configuring.powering import is_for_others, names_node

from tests.unit.cibs import tree

FENCER = Path("/usr/lib/pacemaker/pacemaker-fenced")
AGENT = Path("/usr/sbin/fence_dummy")  # a script takes its place in these namespaces
ALONE = ["unshare", "--net", "--mount", "--ipc", "--pid", "--fork", "--mount-proc"]
NODES = ("cmp-1", "CMP-1", "cmp-2", "cmp-3")
LIMIT = 180.0


def _usable() -> bool:
    there = (
        FENCER.exists() and AGENT.exists() and shutil.which("stonith_admin") and os.geteuid() == 0
    )
    return (
        bool(there)
        and subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode == 0
    )


pytestmark = pytest.mark.skipif(
    not _usable(), reason="this machine has no fencer, or no namespaces for it"
)
# pcmk_host_list and pcmk_host_map of a device, in the forms in which people write them.
DEVICES = (
    ("cmp-1 cmp-2", ""),
    ("cmp-1,cmp-2", ""),
    ("cmp-1;cmp-2;", ""),
    ("cmp-1\tcmp-2", ""),
    (" cmp-1 , cmp-2 ", ""),
    ("CMP-1", ""),
    ("cmp-1,cmp-1", ""),
    ("cmp-1.example.com", ""),
    ("", "cmp-1:7;cmp-2:8"),
    ("", "cmp-1:7 cmp-2:8"),
    ("", "cmp-1=7;cmp-2=8"),
    ("", "cmp-1:7,8;cmp-2:9"),
    ("", "cmp-1:7;"),
    ("", ";cmp-1:7"),
    ("", "cmp-1:a:b"),
    ("", "cmp-1"),
    ("", "CMP-1:7"),
    ("", r"cmp-1:a\;b;cmp-2:c"),
    ("", r"cmp-1:a\ b"),
    ("", r"cmp-1:a\:b"),
    ("", "cmp-1:"),
    ("", ":7"),
    ("", "cmp-1:7;cmp-1:8"),
    ("cmp-2", "cmp-1:7"),
    ("cmp-1 cmp-2", "cmp-1:7"),
)
SCRIPT = """
set -eu
ip link set lo up
mount -t tmpfs none /run
mkdir -p /run/crm /run/lock
chown hacluster:haclient /run/crm
mount --bind {agent} {place}
{fencer} --stand-alone -l {folder}/log >/dev/null 2>&1 &
trap "kill $!" EXIT
for turn in $(seq 100); do
    stonith_admin --list-registered >/dev/null 2>&1 && break
    sleep 0.2
done
{commands}
"""
SAYS_PORT = """#!/bin/sh
given=$(cat)
case "$given" in
    *action=metadata*) echo '<resource-agent name="fence_dummy"><parameters/><actions><action name="off"/>
        <action name="on"/><action name="monitor"/></actions></resource-agent>' ;;
    *) echo "$given" | sed -n 's/^port=//p' > {folder}/port ;;
esac
:
"""


def device_of(hosts: str, mapped: str, names: tuple[str, ...]) -> Resource:
    """Return a device of a cluster with these nodes."""
    given = {"pcmk_host_list": hosts, "pcmk_host_map": mapped}
    pairs = "".join(
        f'<nvpair id="{name}" name="{name}" value="{value}"/>'
        for name, value in given.items()
        if value
    )
    device = f'<primitive id="d" class="stonith" type="fence_dummy"><instance_attributes id="a">{pairs}</instance_attributes></primitive>'
    nodes = "".join(f'<node id="{number}" uname="{name}"/>' for number, name in enumerate(names))
    return configuration.read(
        tree(
            f"<cib><configuration><nodes>{nodes}</nodes><resources>{device}</resources></configuration></cib>"
        )
    ).resources["d"]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, str], str | None]:
    """By device and node what the fencer calls it to the device, None where the device is not for it."""
    folder = tmp_path_factory.mktemp("fencer")
    agent = folder / "agent"
    agent.write_text(SAYS_PORT.format(folder=folder))
    agent.chmod(0o755)
    commands = []
    for number, (hosts, mapped) in enumerate(DEVICES):
        options = " ".join(
            f"-o {shlex.quote(f'{name}={value}')}"
            for name, value in device_of(hosts, mapped, ()).params.items()
        )
        commands.append(f"stonith_admin -R d{number} -a fence_dummy {options}")
        for node in NODES:
            out = f"{folder}/{number}-{node}"
            commands.append(f"stonith_admin -l {node} > {out} 2>&1 || :")
            commands.append(
                f": > {folder}/port; stonith_admin -F {node} -t 10 >/dev/null 2>&1 || :; cp {folder}/port {out}.port"
            )
        commands.append(f"stonith_admin -D d{number}")
    script = SCRIPT.format(
        agent=agent, place=AGENT, fencer=FENCER, folder=folder, commands="\n".join(commands)
    )
    done = subprocess.run(
        [*ALONE, "bash", "-c", script], capture_output=True, text=True, check=False, timeout=LIMIT
    )
    assert done.returncode == 0, done.stderr
    found: dict[tuple[int, str], str | None] = {}
    for number in range(len(DEVICES)):
        for node in NODES:
            is_for = f"d{number}" in (folder / f"{number}-{node}").read_text().split()
            port = (folder / f"{number}-{node}.port").read_text().strip()
            found[number, node] = port if is_for else None
    return found


@pytest.mark.parametrize("number", range(len(DEVICES)), ids=[repr(one) for one in DEVICES])
def test_whom_a_device_is_for_and_as_what(
    said: dict[tuple[int, str], str | None], number: int
) -> None:
    for node in NODES:
        device = device_of(*DEVICES[number], (node,))
        ours = device.host_map.get(node, node) if names_node(device, node) else None
        assert ours == said[number, node], node
        assert is_for_others(device, node) == (ours is None)
