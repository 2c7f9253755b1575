"""Which servers, by which rule, in which order."""

from __future__ import annotations

import pytest
from instance_ha.engine.selection import Selection, order_key, rank_of, rule_for

from tests.unit.test_model import server

TAGGED = Selection("tagged")


@pytest.mark.parametrize(("fields", "image", "selection", "protected", "word"), [
    ({}, {}, Selection(), True, "protect=all"),
    ({}, {}, TAGGED, False, "protect=tagged"),
    ({"extra_specs": {"evacuable": "true"}}, {}, TAGGED, True, "flavor"),
    ({}, {"evacuable": "True"}, TAGGED, True, "image property"),
    ({}, {"tags": ["evacuable"]}, TAGGED, True, "image tag"),
    ({"metadata": {"HA_Enabled": "True"}}, {}, TAGGED, True, "HA_Enabled"),
    ({"metadata": {"evacuable": "false"}, "extra_specs": {"evacuable": "true"}}, {"tags": ["evacuable"]}, TAGGED, False, "metadata"),
    ({"metadata": {"evacuable": "false"}}, {}, Selection(), False, "metadata"),
    ({"name": "amphora-1"}, {}, Selection(skip=("amphora-*",)), False, "skip_servers"),
    ({"metadata": {"evacuable": "perhaps"}}, {}, Selection(), True, "protect=all"),
])
def test_rule(fields: dict[str, object], image: dict[str, object], selection: Selection, protected: bool, word: str) -> None:
    ruling = rule_for(server(**fields), image, selection)
    assert ruling is not None and ruling.protected is protected and word in ruling.rule


def test_the_image_is_asked_for_only_where_it_counts() -> None:
    assert rule_for(server(image="i1"), None, Selection()) is None
    assert rule_for(server(image="i1", extra_specs={"evacuable": "true"}), None, TAGGED) is None
    assert rule_for(server(image="i1", metadata={"evacuable": "false"}), None, Selection()) is not None
    assert rule_for(server(), None, TAGGED) is not None


def test_order() -> None:
    names = [s.name for s in sorted([
        server(name="b"), server(name="a"), server(name="marked", metadata={"HA_Enabled": "true"}),
        server(name="first", metadata={"restart_priority": "900"}), server(name="last", metadata={"restart_priority": "-1"})], key=order_key)]
    assert names == ["first", "marked", "a", "b", "last"]


@pytest.mark.parametrize("text", ["--5", "²", "①", "5.0", "", "9" * 200, "a"])
def test_a_users_text_that_is_no_number_is_the_middle(text: str) -> None:
    assert rank_of(server(metadata={"restart_priority": text})) == rank_of(server())
    assert rank_of(server(metadata={"restart_priority": " -7 "})) == (7, 1)
