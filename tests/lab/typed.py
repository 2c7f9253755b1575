"""The lines of docs/install.md, as an operator of the laboratory types them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from tests.lab import bmc
from tests.lab.common import CLOUD_ADDRESS, REPOSITORY, Node, Size

PAGE = REPOSITORY / "docs" / "install.md"
HEADS = {"pcs": "pcs, on one controller:\n\n```\n", "crm": "crmsh, on one controller:\n\n```\n"}
ONLY = {False: "   # full members only", True: "   # remote nodes only"}    # by whether the compute hosts are members: what is left out
EACH_CONTROLLER = "   # and so for each controller"


def lines(tool: str, members: bool) -> list[str]:
    """Return the lines for compute hosts of one kind, those that go on after a backslash as one."""
    block = PAGE.read_text(encoding="utf-8").split(HEADS[tool])[1].split("```")[0].strip()
    whole = re.sub(r" \\\n +", " ", block)
    return [line for line in whole.splitlines() if not line.endswith(ONLY[members])]


def commands(tool: str, size: Size) -> Iterator[list[str]]:
    """The same with the laboratory's addresses, passwords and names, and its agent for nova-compute."""
    nodes = {node.name: node for node in size.nodes}
    for line in lines(tool, size.member_computes):
        line = line.replace("cloud=mycloud", "cloud=lab").replace("systemd:nova-compute", "ocf:lab:nova-compute")
        controllers = [name for name in nodes if name.startswith("ctl-")] if line.endswith(EACH_CONTROLLER) else ["ctl-1"]
        for controller in controllers:
            yield [_ours(word, nodes) for word in _device(shlex.split(line.replace("ctl-1", controller), comments=True), nodes)]


def _ours(word: str, nodes: dict[str, Node]) -> str:
    remote = re.fullmatch(r"server=192\.0\.2\.1(\d)", word)
    return f"server={nodes[f'cmp-{remote[1]}'].address}" if remote else word


def _device(words: list[str], nodes: dict[str, Node]) -> list[str]:
    """A power device's line with the BMC that the laboratory has for the node."""
    if not any(word.endswith("fence_ipmilan") for word in words):
        return words
    name = next(word for word in words if word.startswith("pcmk_host_list=")).partition("=")[2]
    theirs = {"ip": [f"ip={CLOUD_ADDRESS}", f"ipport={nodes[name].bmc_port}"], "lanplus": ["lanplus=1", "cipher=3", "power_wait=0"],
              "username": [f"username={bmc.USER}"], "password": [f"password={bmc.PASSWORD}"]}
    return [ours for word in words for ours in theirs.get(word.partition("=")[0], [word])]
