"""Records as text and back."""

from __future__ import annotations

import pytest
from instance_ha import model
from instance_ha.model import Claim, Record, Server, claim_of, clean, parse_record

RECORD = Record("cmp-1", model.CONFIRMED, "3f9c", 1764000000, "ctl-2", "cmp-1.example.com",
                (clean("2026-11-24 21:36:59.123456Z"), "1764000002"), 3,
                "node_fenced:1764000003", 41, "ctl-2.77.12345", 2, broken=frozenset(("a08c696c", "88e36efd")))


def test_a_record_comes_back_as_it_was() -> None:
    assert parse_record("cmp-1", RECORD.text()) == RECORD


@pytest.mark.parametrize("name", ["a'b\"<c> d;e=f", "b\u00fcro-1.example.com", "\u65e5\u672c", "100%25", "a~b"])
def test_a_record_holds_nothing_that_breaks_xml_or_xpath_and_gives_names_back(name: str) -> None:
    record = Record("n", model.FENCED, "x", by=name, host=name)
    text = record.text()
    assert text.isascii() and not set(text) & set("'\"<>& ") and text.count(";") == 4
    assert parse_record("n", text) == record


def test_a_record_takes_half_a_character() -> None:
    """As Python has what is no UTF-8 on standard input."""
    assert parse_record("n", Record("n", model.FENCED, "x", host="a\udcff").text()) == Record("n", model.FENCED, "x", host="a?")


@pytest.mark.parametrize("raw", ["", "no", "fenced", "fenced;since=1", "burnt;id=1", ";;", "="])
def test_half_a_record_is_none(raw: str) -> None:
    assert parse_record("cmp-1", raw) is None


@pytest.mark.parametrize("raw", ["yes", "cmp-1@1764000000"])
def test_what_fence_compute_writes_is_a_fencing_without_proof(raw: str) -> None:
    record = parse_record("cmp-1", raw)
    assert record is not None and record.state == model.FENCED and not record.proof


def server(**fields: object) -> Server:
    base: dict[str, object] = {"id": "u1", "name": "web", "host": "cmp-1", "vm_state": "active", "task_state": None,
                               "power_state": 1, "locked": False}
    return Server(**{**base, **fields})  # type: ignore[arg-type]


def test_a_claim_is_read_back_from_the_lock() -> None:
    claim = Claim("cmp-1", "stopped", "3f9c", "ctl-1.5.6")
    assert claim_of(server(locked=True, locked_reason=claim.text())) == claim
    assert len(claim.text()) < 255


@pytest.mark.parametrize("fields", [{"locked": True, "locked_reason": "mine"}, {"locked": True}, {"locked": False}])
def test_an_owners_lock_is_no_claim(fields: dict[str, object]) -> None:
    assert claim_of(server(**fields)) is None
