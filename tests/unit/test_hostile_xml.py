"""XML that Pacemaker's tools never write is one sentence, and reads or fills nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from instance_ha.cib import parse_cib
from instance_ha.errors import ClusterError


def bomb(levels: int, where: str) -> str:
    """Ten to the power of `levels` characters and more, in an element's text or in an attribute."""
    entities = '<!ENTITY e0 "AAAAAAAAAA">' + "".join(
        f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, levels + 1))
    body = f'<cib a="&e{levels};"/>' if where == "attribute" else f"<cib>&e{levels};</cib>"
    return f"<!DOCTYPE cib [{entities}]>{body}"


def test_no_file_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("XXE-CONTENT")
    for text in (f'<!DOCTYPE c [<!ENTITY x SYSTEM "file://{secret}">]><cib>&x;</cib>',
                 f'<!DOCTYPE c SYSTEM "file://{secret}"><cib/>'):
        with pytest.raises(ClusterError, match="a document type, which it never writes") as raised:
            parse_cib(text)
        assert "XXE-CONTENT" not in str(raised.value)


@pytest.mark.parametrize("where", ["text", "attribute"])
def test_no_entity_grows(where: str) -> None:
    with pytest.raises(ClusterError, match="a document type"):
        parse_cib(bomb(7, where))


@pytest.mark.parametrize("text", [
    "", "<cib>\ud800</cib>", '<?xml version="1.0" encoding="UTF-16"?><cib/>', "<cib>"])
def test_what_is_no_xml_is_a_sentence(text: str) -> None:
    with pytest.raises(ClusterError, match="what is no XML"):
        parse_cib(text)
