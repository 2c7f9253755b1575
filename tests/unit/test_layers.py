"""Imports run one way, and subprocess has one door."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "agents" / "instance_ha"
RANKS = {
    "incident": 0, "events": 0, "metrics": 0, "trail": 0, "lane": 0, "tale": 2, "hook": 2, "telling": 8,
    "answers": 1, "progress": 7, "chronicle": 7, "drawing": 2, "page": 8,
    "errors": 0, "process": 1, "model": 0, "params": 1, "__init__": 0, "metadata": 2, "selection": 2, "states": 2, "proof": 2, "limits": 2,
    "rows": 2, "pulse": 2, "decide": 3, "window": 3, "nova": 3, "cib": 1, "cluster": 2, "credentials": 4, "placing": 5, "evacuation": 6, "reserve": 6,
    "demand": 2, "placement": 4,
    "entry": 3, "missed": 8, "homecoming": 7, "host": 8, "worker": 9,
    "fit": 2, "certain": 3,
    "loss": 3, "worst": 4,
    "survey": 5,
    "inventory": 2, "banned": 3, "holdback": 4, "changes": 3, "powering": 3, "identity": 3, "provisioning": 5, "transaction": 4,
    "standing": 0, "inspection": 4,
    "service": 10, "ocf": 11, "doctor": 11, "cli": 12, "manual": 13, "fence": 11,
}
PURE = {"model": set(), "selection": {"model"}, "states": {"model"}, "proof": {"model"}, "limits": {"model"}, "rows": {"model"}, "pulse": {"model"},
        "window": {"model", "selection"}, "decide": {"model", "selection", "states"}, "params": {"errors", "model"}, "cib": {"errors", "model"},
        "answers": {"errors"}, "incident": set(), "events": set(), "metrics": set(), "tale": {"model", "events", "incident"},
        "demand": {"model"},
        "fit": {"model"}, "certain": {"fit"},
        "loss": {"demand", "fit", "limits", "model", "selection"}, "worst": {"demand", "fit", "loss"},
        "inventory": {"incident"}, "banned": {"inventory"}, "holdback": {"banned", "inventory", "model"}, "changes": {"inventory"},
        "powering": {"inventory", "proof"},
        "identity": {"inventory", "params"}, "provisioning": {"changes", "identity", "inventory", "params", "banned", "powering", "holdback",
                                                                         "model"}}
# What looks, and what judges what was seen: the doctor's.
DOCTOR_LOOKS = {"asking", "examine", "visit"}
DOCTOR_JUDGES_BY = {"banned", "changes", "decide", "errors", "holdback", "identity", "inventory", "model", "params", "powering", "proof",
                    "provisioning", "selection", "service", "standing", "states"}
FILES = sorted(ROOT.rglob("*.py"))


def imports(path: Path, level: int = 0) -> set[str]:
    """The modules of the project that a file imports; those so many folders up, 0 for any."""
    found = set()
    tree = ast.parse(path.read_text())
    tree.body = [n for n in tree.body if not (isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and level in (0, node.level):
            found |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", [p for p in FILES if p.parent == ROOT], ids=lambda p: p.stem)
def test_imports_run_one_way(path: Path) -> None:
    for other in imports(path) - {"__version__"}:
        assert RANKS[other] < RANKS[path.stem], f"{path.stem} imports {other}"


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_import_only_values(name: str) -> None:
    assert imports(ROOT / f"{name}.py") <= PURE[name]


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name == "doctor"], ids=lambda p: p.stem)
def test_the_doctor_looks_in_few_places_and_judges_in_pure_ones(path: Path) -> None:
    outside, inside = imports(path, 2) - {"__version__"}, imports(path, 1)
    assert all(RANKS[name] < RANKS["doctor"] for name in outside)
    assert path.stem == "visit" or "visit" not in inside
    assert path.stem in DOCTOR_LOOKS or outside <= DOCTOR_JUDGES_BY


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_processes_are_started_in_one_place(path: Path) -> None:
    if path.name != "process.py":
        assert "subprocess" not in path.read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_files_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300
