"""The pages that are made from tables are up to date."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
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


def pieces(node: ast.AST) -> Iterator[str]:
    """Yield the constant parts of an expression that makes a text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value.strip(" :;,.")
    for child in ast.iter_child_nodes(node):
        yield from pieces(child)


def test_each_problem_that_the_worker_reports_has_a_row() -> None:
    """Long constant parts of its text; what is an error's text, or a name, is not looked for."""
    page = " ".join(docs.OPERATIONS_PAGE.read_text(encoding="utf-8").split())
    texts = [call.args[1] for path in sorted((docs.ROOT / "agents").rglob("*.py"))
             for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
             if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "problem"]
    assert len(texts) > 15
    missing = [piece for text in texts for piece in pieces(text) if len(piece) >= 12 and piece not in page]
    assert not missing, "docs/operations.md, \"Why the monitor is degraded\", has no row for these"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_link_leads_to_a_chapter_that_is_not_there(page: Path) -> None:
    """Of the form [page](page.md), "Chapter"."""
    if page.name == "CHANGELOG.md":
        return
    text = " ".join(page.read_text(encoding="utf-8").split())
    for name, titles in re.findall(r'\]\(([^)\s]+\.md)\), ((?:"[^"]+"(?:,? and )?)+)', text):
        chapters = (page.parent / name).read_text(encoding="utf-8")
        for title in re.findall('"([^"]+)"', titles):
            assert re.search(rf"^#+ .*{re.escape(title)}", chapters, re.MULTILINE), f"{name} has no chapter {title!r}"


def test_the_readme_is_short() -> None:
    lines = (docs.ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert not [line for line in lines if len(line) > 100 and not line.startswith("|")]


OTHERS = ("faults.md", "platforms.md")     # results, as they were found


def test_each_page_says_for_whom_it_is() -> None:
    for page in sorted((docs.ROOT / "docs").glob("*.md")):
        if page.name not in OTHERS:
            assert page.read_text(encoding="utf-8").split("\n\n", 2)[1].startswith("For "), page.name


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the laboratory's own modules want its Python")
def test_each_command_of_the_operators_pages_is_run_somewhere() -> None:
    """The same test of tests/cluster, which runs most of them, an hour sooner."""
    from tests.cluster import test_documents

    test_documents.test_each_command_is_run_somewhere()
