"""The alert rules and the dashboard ask for metrics that there are, by labels that they have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from instance_ha.reporting.metrics import HISTOGRAM, PREFIX, TABLE

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "monitoring"
RULES = yaml.safe_load((FOLDER / "instance-ha.rules.yml").read_text())
BOARD = json.loads((FOLDER / "instance-ha.grafana.json").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
_NAME = re.compile(PREFIX + r"(\w+)(?:\{([^}]*)\})?")
OF_PROMETHEUS = {"instance", "job", "le"}


def expressions() -> Iterator[tuple[str, str]]:
    for rule in ALERTS:
        yield rule["alert"], rule["expr"]
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for note in BOARD["annotations"]["list"]:
        yield note["name"], note["expr"]


def known(name: str) -> str:
    """The metric that a name in an expression means. KeyError when there is none."""
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    if base in TABLE and TABLE[base][0] == HISTOGRAM:
        return base
    TABLE[name]
    return name


@pytest.mark.parametrize(("where", "text"), list(expressions()))
def test_what_is_asked_for_is_there(where: str, text: str) -> None:
    names = _NAME.findall(text)
    assert names, f"{where} asks for nothing of ours"
    labels = {label for name, _ in names for label in TABLE[known(name)][2]} | OF_PROMETHEUS
    for name, matchers in names:
        asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        assert asked <= {*TABLE[known(name)][2], *OF_PROMETHEUS}, f"{name} has no such label"
    grouped = {label.strip() for group in re.findall(r"(?:by|on) \(([^)]*)\)", text) for label in group.split(",")}
    assert grouped <= labels
    assert text.count("(") == text.count(")") and text.count("{") == text.count("}")


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("critical", "warning", "info") and set(rule["annotations"]) == {"summary", "description"}
    used = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
    grouped = re.search(r"max by \(([^)]*)\)", rule["expr"])
    kept = {label.strip() for label in grouped.group(1).split(",")} if grouped else {"instance"}
    assert used <= kept, "a label that the expression does not keep"


def test_every_metric_with_a_meaning_for_people_is_shown_or_alarmed() -> None:
    asked = {known(name) for _, text in expressions() for name, _ in _NAME.findall(text)}
    assert set(TABLE) - asked == {"build_info", "servers_failed_total"}


def test_the_board_is_laid_out_without_overlap() -> None:
    assert BOARD["uid"] and len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    taken: dict[tuple[int, int], str] = {}
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies over {taken[x, y]}"
                taken[x, y] = panel["title"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
