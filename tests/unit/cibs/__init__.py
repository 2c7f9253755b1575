"""CIBs for the tests of what a cluster lacks: as a real Pacemaker 2.1.5 had them in the laboratory, shortened; the one with
fence_compute is what pcs made of the bare one's like with the commands of the predecessors' guides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from instance_ha import configuration
from instance_ha.configuration import Configuration
from lxml import etree

HERE = Path(__file__).parent
BARE = (HERE / "bare.xml").read_text()                    # power devices and remotes
PROTECTED = (HERE / "protected.xml").read_text()          # the same, as the README protects it
FENCE_COMPUTE = (HERE / "fence_compute.xml").read_text()  # with the predecessors
# All that are whole CIBs, by name; those that others found sites to have are in the folder `sites`.
FOLDER = {path.stem: path.read_text() for path in sorted(HERE.glob("**/*.xml")) if "<cib " in path.read_text()[:200]}


def tree(text: str) -> Any:
    return etree.fromstring(text.encode())


def read(text: str, *changes: tuple[str, str]) -> Configuration:
    """A CIB with pieces of its text replaced, each of which has to be there."""
    return configuration.read(tree(changed(text, *changes)))


def changed(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text
