"""CIBs for the tests of what a cluster lacks: as a real Pacemaker 2.1.5 had them in the laboratory, shortened; the one with
fence_compute is what pcs made of the bare one's like with the commands of the predecessors' guides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from instance_ha.configuring import inventory
from instance_ha.configuring.inventory import Inventory
from lxml import etree

HERE = Path(__file__).parent
BARE = (HERE / "bare.xml").read_text()                    # power devices and remotes
PROTECTED = (HERE / "protected.xml").read_text()          # the same, as the README protects it
FENCE_COMPUTE = (HERE / "fence_compute.xml").read_text()  # with the predecessors


def tree(text: str) -> Any:
    return etree.fromstring(text.encode())


def read(text: str, *changes: tuple[str, str]) -> Inventory:
    """A CIB with pieces of its text replaced, each of which has to be there."""
    return inventory.read(tree(changed(text, *changes)))


def changed(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text
