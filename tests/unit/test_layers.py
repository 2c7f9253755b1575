"""Imports run one way, between packages and within them, and subprocess has one door."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "agents" / "instance_ha"
# What a package may import besides itself; "" is what stands beside the packages.
PACKAGES = {"engine": {""}, "planning": {"", "engine"}, "reporting": {"", "engine"}, "configuring": {"", "engine"},
            "doctor": {"", "engine", "configuring"}, "cli": {"", "engine", "planning", "reporting", "configuring", "doctor"}}
RANKS = {
    "incident": 1, "events": 1, "metrics": 1, "trail": 0, "lane": 0, "tale": 2, "hook": 2, "telling": 9,
    "text": -1, "logs": 1, "files": 1, "answers": 1, "http_limits": 1, "chronicle": 8, "drawing": 2, "page": 9,
    "booleans": 0, "fence_agents": 1, "errors": 0, "process": 1,
    "membership": 0, "model": 0, "params": 1, "__init__": 0, "metadata": 2, "selection": 2, "states": 2, "proof": 2.4, "limits": 2,
    "rows": 2, "questions": 2, "pulse": 2, "naming": 2.5, "attempts": 2,
    "places": 4, "decide": 5, "evidence": 5, "looked": 6, "window": 3, "nova": 3, "cib": 4, "cluster": 5,
    "credentials": 6, "openrc": 2,
    "placing": 5, "evacuation": 7, "reserve": 7,
    "demand": 2, "placement": 4,
    "entry": 6, "context": 6, "rounds": 8, "doubt": 7, "scene": 3, "quarantine": 8, "again": 8, "missed": 9, "unfenced": 9, "stayed": 8,
    "reboot": 3, "rebooted": 9,
    "unlisted": 6, "claiming": 9, "marking": 7, "homecoming": 9, "host": 10, "worker": 11,
    "fit": 2, "certain": 3,
    "loss": 3, "worst": 4,
    "survey": 5,
    "values": 0, "rules": 1, "nvpairs": 2, "properties": 1, "configuration": 3,
    "banned": 4, "parameters": 5, "holdback": 5, "changes": 4, "powering": 4, "identity": 4,
    "provisioning": 6, "transaction": 6,
    "standing": 0, "cib_file": 1, "group_pages": 2.5, "shared": 2, "pace": 1.5, "lists": 4,
    "service": 12, "board": 11.5, "server_status": 11.6, "heart": 11.5, "ocf": 13, "doctor": 13, "cli": 14, "manual": 15, "fence": 13,
}
PURE = {"model": {"text"}, "properties": {"values"}, "booleans": set(), "selection": {"booleans", "model"}, "states": {"model"},
        "proof": {"fence_agents", "model", "rows"}, "fence_agents": {"model"},
        "limits": {"booleans", "model"}, "rows": {"model"}, "pulse": {"model"},
        "naming": {"model", "proof", "rows"}, "window": {"model", "selection"}, "attempts": {"model"},
        "places": {"attempts", "model", "pulse", "scene", "selection", "states"},
        "decide": {"attempts", "model", "places", "pulse", "scene", "selection", "states"},
        "reboot": {"model", "rows", "states"},
        "looked": {"decide", "model", "scene"}, "scene": {"attempts", "model", "selection"},
        "params": {"booleans", "errors", "model"}, "membership": set(),
        "cib": {"configuration", "errors", "membership", "model", "properties", "values"},
        "openrc": {"answers", "errors", "files"},
        "answers": {"errors", "text"}, "text": set(), "incident": {"text"}, "events": {"text"}, "metrics": {"text"},
        "tale": {"model", "events", "incident"},
        "demand": {"model"},
        "fit": {"model"}, "certain": {"fit"},
        "loss": {"demand", "fit", "limits", "model", "selection"}, "worst": {"demand", "fit", "loss"},
        "values": set(), "rules": {"values"}, "nvpairs": {"incident", "rules", "values"},
        "configuration": {"fence_agents", "nvpairs", "properties", "rules", "values"},
        "banned": {"configuration", "rules", "values"},
        "holdback": {"banned", "configuration", "model", "values"}, "changes": {"configuration"},
        "powering": {"configuration", "fence_agents", "model"},
        "identity": {"configuration", "params"},
        "parameters": {"booleans", "configuration", "selection"},
        "provisioning": {"parameters", "changes", "identity", "configuration", "params", "properties", "banned", "powering", "holdback",
                                                                         "model"}}
# What looks, and what judges what was seen: the doctor's.
DOCTOR_LOOKS = {"asking", "examine", "inspection", "rights", "visit"}
DOCTOR_JUDGES_BY = {"booleans", "fence_agents",
                    "banned", "changes", "decide", "errors", "holdback", "identity", "configuration",
                    "model", "naming", "params", "powering", "proof",
                    "properties",
                    "provisioning", "rules", "values", "selection", "service", "standing", "states"}
FILES = sorted(ROOT.rglob("*.py"))
WHOLE = ("doctor", "cli")     # packages that have one rank
MODULES = {path.relative_to(ROOT).with_suffix("").parts for path in FILES}
RANKED = [path for path in FILES if path.parent.name not in WHOLE and (path.parent == ROOT or path.stem != "__init__")]


def imports(path: Path) -> set[tuple[str, str]]:
    """Package and module of what a file imports of the project, but for its version and the names of a whole package."""
    tree = ast.parse(path.read_text())
    tree.body = [n for n in tree.body if not (isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")]
    found: set[tuple[str, str]] = set()
    for node in ast.walk(tree):
        if not (isinstance(node, ast.ImportFrom) and node.level):
            continue
        base = path.relative_to(ROOT).parent.parts
        base = base[:len(base) - node.level + 1] + (tuple(node.module.split(".")) if node.module else ())
        for name in [base, *((*base, alias.name) for alias in node.names)]:
            if name in MODULES:
                found.add((name[0] if len(name) > 1 else "", name[-1]))
            elif name and name[0] in WHOLE and (*name, "__init__") in MODULES:
                found.add((name[0], "__init__"))
    return found


def rank(package: str, module: str) -> int:
    return RANKS[package if package in WHOLE else module]


@pytest.mark.parametrize("path", RANKED, ids=lambda p: p.stem)
def test_imports_run_one_way(path: Path) -> None:
    for package, module in imports(path):
        assert rank(package, module) < RANKS[path.stem], f"{path.stem} imports {module}"


@pytest.mark.parametrize("path", [p for p in FILES if p.parent != ROOT], ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_packages_import_only_lower_ones(path: Path) -> None:
    """What stands beside the packages and is above them, the worker's process for one, has a rank that says so."""
    package = path.parent.name
    assert {other for other, _ in imports(path)} <= PACKAGES[package] | {package}


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_import_only_values(name: str) -> None:
    (path,) = [p for p in RANKED if p.stem == name]
    assert {module for _, module in imports(path)} <= PURE[name]


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name == "doctor"], ids=lambda p: p.stem)
def test_the_doctor_looks_in_few_places_and_judges_in_pure_ones(path: Path) -> None:
    outside = {one for one in imports(path) if one[0] != "doctor"}
    assert all(rank(*one) < RANKS["doctor"] for one in outside)
    assert path.stem == "visit" or ("doctor", "visit") not in imports(path)
    assert path.stem in DOCTOR_LOOKS or {module for _, module in outside} <= DOCTOR_JUDGES_BY


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_processes_are_started_in_one_place(path: Path) -> None:
    if path.name != "process.py":
        assert "subprocess" not in path.read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_files_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
