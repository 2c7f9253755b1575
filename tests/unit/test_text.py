"""Text as Pacemaker takes it."""

from __future__ import annotations

import pytest
from instance_ha.text import ascii_line, decode, encode


@pytest.mark.parametrize(("text", "line"), [
    ("web-1 of cmp-1", "web-1 of cmp-1"), ("B\u00fcro \u0141\u00f3d\u017a", "Buro Lodz"), ("Stra\u00dfe", "Strasse"),
    ("cafe\u0301", "cafe"), ("\u65e5\u672c-1", "??-1"), ("a\n\tb\u00a0c", "a b c"), ("a\x00\x1b[1mb", "a??[1mb"),
    ("\u201cno\u201d \u2013 it\u2019s", '"no" - it\'s'), ("half \udcff", "half ?"), ("\ufb01", "fi"), ("5\u20ac", "5EUR")])
def test_one_line_of_printable_ascii(text: str, line: str) -> None:
    assert ascii_line(text) == line and line.isascii() and line.isprintable()


@pytest.mark.parametrize("text", ["", "cmp-1", "100 %", "B\u00fcro;a=b", "\u65e5\u672c"])
def test_what_is_encoded_comes_back(text: str) -> None:
    assert decode(encode(text, "-_.:@,/+")) == text and encode(text, ":").isascii()
