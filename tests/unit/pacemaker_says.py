"""What Pacemaker's own tools say of a CIB in a file. They need no cluster."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lxml import etree

TOOLS = ("crm_attribute", "crm_resource", "crm_simulate", "crm_verify")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
MISSING = [tool for tool in TOOLS if not shutil.which(tool, path=PATH)]
# Of a clone's instances each is given what those before it have left: the clone's own score counts.
_SCORE = re.compile(r"pcmk__(?:primitive|clone)_assign: ([^\s:]+) allocation score on (\S+): (-?\w+)")
_META = "CRM_meta_"


@dataclass(frozen=True)
class Said:
    """What crm_simulate decides: by resource and node the score; by resource the parameters of what it
    starts; by resource and action the timeout and the interval in milliseconds."""

    scores: Mapping[tuple[str, str], float] = field(default_factory=dict)
    params: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    times: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)


class Pacemaker:
    """Pacemaker's tools on one file."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        path.write_text(text)

    def _run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": PATH, "CIB_file": str(self.path), "LC_ALL": "C"}
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=30)

    def is_valid(self) -> bool:
        """Return whether its schema and its references are right."""
        done = self._run("crm_verify", "--xml-file", str(self.path))
        return done.returncode == 0 or "not be valid" in done.stderr

    def agents(self) -> dict[str, str]:
        """Return the agent of each primitive by its id."""
        done = self._run("crm_resource", "--list", "--output-as=xml")
        found = etree.fromstring(done.stdout.encode()).iter("resource")
        return {one.get("id").partition(":")[0]: one.get("resource_agent") for one in found}

    def parameter(self, resource: str, name: str, *more: str) -> str:
        """Return a parameter, or with --meta a meta attribute; "" where it is not set."""
        return self._run("crm_resource", "--resource", resource, "--get-parameter", name, *more).stdout.rstrip("\n")

    def meta(self, resource: str, name: str) -> str:
        return self.parameter(resource, name, "--meta")

    def has_property(self, name: str, value: str) -> bool:
        done = self._run("crm_attribute", "--type", "crm_config", "--name", name, "--query", "--quiet")
        return done.returncode == 0 and value in done.stdout.split("\n")

    def fences(self, node: str) -> bool:
        """Return whether the scheduler has a node fenced (and not only unfenced) as things stand."""
        done = self._run("crm_simulate", "--xml-file", str(self.path), "--run")
        assert done.returncode == 0, done.stderr
        return re.search(rf"^  \* Fence \((?:reboot|off)\) {re.escape(node)} ", done.stdout, re.MULTILINE) is not None

    def stops(self, node: str) -> set[str]:
        """Return the resources that the scheduler stops on a node as things stand, instances of clones by their number."""
        done = self._run("crm_simulate", "--xml-file", str(self.path), "--run")
        assert done.returncode == 0, done.stderr
        return set(re.findall(rf"^  \* Stop +(\S+) +\( *{re.escape(node)} ", done.stdout, re.MULTILINE))

    def simulate(self) -> Said:
        """Return what the scheduler makes of it."""
        graph = self.path.with_suffix(".graph")
        done = self._run("crm_simulate", "--xml-file", str(self.path), "--run", "--show-scores", "--save-graph", str(graph))
        assert done.returncode == 0, done.stderr
        scores = {(one[0], one[1]): _number(one[2]) for one in _SCORE.findall(done.stdout)}
        params: dict[str, dict[str, str]] = {}
        times: dict[tuple[str, str], tuple[int, int]] = {}
        for action in etree.parse(str(graph)).iter("rsc_op"):
            attributes, primitive = action.find("attributes"), action.find("primitive")
            interval = action.get("operation_key").rpartition("_")[2]
            if attributes is None or primitive is None or (action.get("operation"), interval) == ("monitor", "0"):
                continue
            name = primitive.get("id").partition(":")[0]
            if action.get("operation") == "start":
                params[name] = {key: value for key, value in attributes.items() if not key.startswith((_META, "crm_"))}
            times[name, action.get("operation")] = int(attributes.get(f"{_META}timeout")), int(interval)
        return Said(scores, params, times)


def _number(text: str) -> float:
    found: Any = {"INFINITY": math.inf, "-INFINITY": -math.inf}.get(text)
    return float(text) if found is None else float(found)
