"""The pages that are made from tables are up to date."""

from __future__ import annotations

import re

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
