"""The pages that are made from tables are up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from instance_ha import params
from instance_ha.doctor.kinds import KINDS

from tests import docs


def test_the_parameter_page_is_up_to_date() -> None:
    assert docs.PAGE.read_text(encoding="utf-8") == docs.page(), "docs/parameters.md is out of date: python3 -m tests.docs"


def test_the_page_of_states_is_up_to_date() -> None:
    assert docs.STATES_PAGE.read_text(encoding="utf-8") == docs.states_page(), "docs/states.md is out of date: python3 -m tests.docs"


def test_the_page_of_decisions_is_up_to_date() -> None:
    assert docs.DECISIONS_PAGE.read_text(encoding="utf-8") == docs.decisions_page(), "docs/decisions.md is out of date: python3 -m tests.docs"


def test_the_tables_of_findings_are_up_to_date() -> None:
    text = docs.OPERATIONS_PAGE.read_text(encoding="utf-8")
    assert text == docs.operations_page(), "docs/operations.md is out of date: python3 -m tests.docs"
    assert all(text.count(f"| `{kind}` | {KINDS[kind].level} |") == 1 for kind in KINDS)


def test_the_table_of_modules_is_up_to_date() -> None:
    text = docs.ARCHITECTURE_PAGE.read_text(encoding="utf-8")
    assert text == docs.architecture_page(), "docs/architecture.md is out of date: python3 -m tests.docs"


PAGES = [*sorted((docs.ROOT / "docs").rglob("*.md")), *(docs.ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if "://" not in link and not (page.parent / link).exists()]


def test_what_the_pages_for_engineers_name_is_there() -> None:
    """Files, functions and tests."""
    for page in (docs.ARCHITECTURE_PAGE, docs.ROOT / "CONTRIBUTING.md"):
        text = page.read_text(encoding="utf-8")
        for name in set(re.findall(r"`((?:\w+/)*\w+\.py)`", text)):
            places = (f"agents/instance_ha/{name}", f"agents/instance_ha/engine/{name}", f"tests/unit/{name}", name)
            assert any((docs.ROOT / place).exists() for place in places), f"{page.name} names {name}"
    promises = docs.ARCHITECTURE_PAGE.read_text(encoding="utf-8").partition("## Where each promise")[2].partition("## The modules")[0]
    folders = (docs.ROOT / "agents", docs.ROOT / "tests" / "cluster")
    code = "\n".join(path.read_text(encoding="utf-8") for folder in folders for path in folder.rglob("*.py"))
    for name in re.findall(r"`([a-z_]+|[A-Z]\w+)`", promises):
        assert re.search(rf"\b{name}\b|_{name}\b|{name}_", code), name


def test_every_parameter_is_on_the_page_once() -> None:
    lines = docs.page().splitlines()
    for param in params.ALL:
        assert sum(line.startswith(f"| `{param.name}` |") for line in lines) == 1


def test_each_test_that_the_page_on_security_names_is_there() -> None:
    page = (docs.ROOT / "docs" / "security.md").read_text()
    named = set(re.findall(r"`((?:tests/\w+/)?test_\w+\.py)`", page))
    assert len(named) > 15
    where = {name: docs.ROOT / (name if "/" in name else f"tests/unit/{name}") for name in named}
    assert not [name for name, path in where.items() if not path.exists()]


def test_each_chapter_that_the_index_names_is_there() -> None:
    index = (docs.ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for line in index.splitlines():
        for page, named in re.findall(r'\]\(([^)]+\.md)\), ((?:"[^"]+"(?: and )?)+)', line):
            text = (docs.ROOT / "docs" / page).resolve().read_text(encoding="utf-8")
            for title in re.findall('"([^"]+)"', named):
                assert re.search(rf"^#+ .*{re.escape(title)}", text, re.MULTILINE), f"{page} has no chapter {title!r}"
