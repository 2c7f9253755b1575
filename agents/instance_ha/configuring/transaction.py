"""Changes of a cluster's configuration that are made in a file and brought into the cluster as one: all of them, or none.

So there is no moment in which a host has no power device or a level half of its devices. What is brought in is the difference of two
files, not a file: a fencing record that is written meanwhile stays, where a whole configuration would put the older one in its place.
"""

from __future__ import annotations

import copy
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from lxml import etree

from .. import configuration
from ..cib import parse_cib
from ..cluster import Cluster
from ..errors import ClusterError, ConfigurationError, HostError
from ..files import write_whole
from ..process import Outcome
from .changes import Change

PCS, CRMSH = "pcs", "crmsh"
TOOLS = {PCS: "pcs", CRMSH: "crm"}     # their programs


class Transaction:
    """One such change, kept in a folder that only root may read, since a CIB holds the passwords of power devices."""

    def __init__(self, cluster: Cluster, folder: Path, tool: str) -> None:
        self.cluster, self.folder, self.tool = cluster, folder, tool
        self.before, self.after = folder / "before.xml", folder / "after.xml"

    def commands(self, change: Change) -> list[list[str]]:
        """The commands that make a change in the file."""
        if self.tool == PCS:
            return [["pcs", "-f", str(self.after), *words[1:]] for words in change.pcs()]
        return [["env", f"CIB_file={self.after}", *words] for words in change.crm()]

    def push(self) -> list[str]:
        """The command that brings what differs between the files into the cluster."""
        if self.tool == PCS:
            return ["pcs", "cluster", "cib-push", str(self.after), f"diff-against={self.before}"]
        difference = shlex.join(["crm_diff", "--original", str(self.before), "--new", str(self.after), "--no-version"])
        return ["sh", "-c", f"{difference} | cibadmin --patch --xml-pipe"]

    def way_back(self) -> str:
        """The command that takes it all back."""
        return shlex.join(["instance-ha", "configure", "--undo", str(self.folder)])

    def begin_script(self) -> list[str]:
        """Lines for a shell: begin() by hand."""
        folder, before, after = (shlex.quote(str(path)) for path in (self.folder, self.before, self.after))
        return ["set -eu", "umask 077", f"mkdir -p {folder}", f"cibadmin --query > {before}", f"cp {before} {after}"]

    def begin(self, cib: str) -> None:
        """Save the CIB. Raises HostError."""
        try:
            self.folder.mkdir(mode=0o700, parents=True)
            for path in (self.before, self.after):
                _write(path, cib)
        except OSError as error:
            raise HostError(f"the configuration cannot be saved in {self.folder}: {error.strerror}; name another folder with --save-in") from None

    def run(self, command: Sequence[str]) -> Outcome:
        """Run one of the commands."""
        return self.cluster.run_tool(command)

    def result(self) -> str:
        """What the file is after the changes. Raises HostError."""
        return _read(self.after)


def undo(cluster: Cluster, folder: Path) -> None:
    """Take a transaction back. Whatever it did to nodes stays, since the nodes' part of a CIB holds the fencing records too, and a
    node attribute more does no harm. It is tried in a file first. Raises ConfigurationError, HostError, ClusterError."""
    after, before = (_without_nodes(folder / name) for name in ("after.xml", "before.xml"))
    old, new, change, trial = (folder / f"undo-{name}.xml" for name in ("from", "to", "change", "result"))
    for path, root in ((old, after), (new, before)):
        _write(path, etree.tostring(root, encoding="unicode"))
    difference = cluster.difference(str(old), str(new))
    if not difference:
        raise ConfigurationError(f"{folder} changed nothing that can be taken back")
    _write(change, difference)
    _write(trial, cluster.cib())
    try:
        cluster.patch(str(change), str(trial))
        has = configuration.read(parse_cib(_read(trial)))
        gone = sorted({device for level in has.levels for device in level.devices} - {*has.resources})
        if gone:
            raise ClusterError(f"fencing levels would name {', '.join(gone)}, which would be gone")
    except ClusterError as error:
        raise ClusterError(f"the cluster has changed since {folder}, and is left as it is: {error}; take the change back by hand") from None
    cluster.patch(str(change))


def _without_nodes(path: Path) -> etree._Element:
    root = copy.deepcopy(parse_cib(_read(path)))
    for nodes in root.iterfind("configuration/nodes"):
        del nodes[:]
    return root


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(f"there is no {path}: give the folder that configure --apply has named") from None
    except (OSError, UnicodeDecodeError) as error:
        raise HostError(f"{path} cannot be read: {error}") from None


def _write(path: Path, text: str) -> None:
    write_whole(path, text, 0o600)     # through no link, and readable by root alone where another file was there


def script(transaction: Transaction, steps: Iterable[tuple[str, Change]]) -> list[str]:
    """All of it as lines for a shell."""
    lines = transaction.begin_script()
    for why, change in steps:
        lines += ["", f"# {why}", *(shlex.join(command) for command in transaction.commands(change))]
    return [*lines, "", "# everything at once, and nothing when one of the lines before has failed", shlex.join(transaction.push()),
            f"# the way back: {transaction.way_back()}"]
