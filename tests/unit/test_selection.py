"""Which servers, by which rule, in which order."""

from __future__ import annotations

import pytest
from instance_ha import params
from instance_ha.booleans import FALSE, TRUE, boolean
from instance_ha.engine.limits import aggregate_metadata
from instance_ha.engine.selection import Selection, group_of, order_key, rank_of, rule_for
from instance_ha.model import Aggregate

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


@pytest.mark.parametrize(("word", "protected"), [
    *((word, True) for word in ("1", "t", "true", "on", "y", "yes", "Y", " True ")),
    *((word, False) for word in ("0", "f", "false", "off", "n", "no", "N")),
    *((word, None) for word in ("", "2", "ja", "enabled"))])
@pytest.mark.parametrize("name", ["HA_Enabled", "evacuable"])
def test_the_words_of_oslo(name: str, word: str, protected: bool | None) -> None:
    for selection, default in ((Selection(), True), (TAGGED, False)):
        ruling = rule_for(server(metadata={name: word}), {}, selection)
        assert ruling is not None
        assert ruling.protected is (default if protected is None else protected)


def test_there_is_one_reader_of_yes_and_no() -> None:
    assert {boolean(word) for word in (*TRUE, *FALSE)} == {True, False}
    assert all(params.boolean(word) is boolean(word) for word in (*TRUE, *FALSE, "ja"))
    assert params.boolean(" ") is False and boolean("") is None


@pytest.mark.parametrize(("metadata", "rank", "group"), [
    ({"instanceha:restart_priority": "900", "instanceha:restart_group": "db"}, -900, "db"),
    ({"restart_priority": "3", "instanceha:restart_priority": "900"}, -3, ""),
    ({"restart_group": " ", "instanceha:restart_group": "db"}, -500, "db"),
    ({"instanceha:restart_priority": "junk"}, -500, "")])
def test_the_names_of_infra_operator(metadata: dict[str, str], rank: int, group: str) -> None:
    one = server(metadata=metadata)
    assert (rank_of(one)[1], group_of(one)) == (rank, group)


@pytest.mark.parametrize("names", [("a", "z"), ("z", "a")])
@pytest.mark.parametrize(("words", "counts"), [
    (("true", "false"), "true"), (("no", "yes"), "yes"),
    (("junk", "no"), "no"), (("no", "junk"), "no")])
def test_no_name_of_an_aggregate_decides(
        names: tuple[str, str], words: tuple[str, str], counts: str) -> None:
    both = [Aggregate(name, frozenset(("h",)), {"evacuable": word})
            for name, word in zip(names, words)]
    for given in (both, both[::-1]):
        assert aggregate_metadata("h", given) == {"evacuable": counts}
    assert aggregate_metadata("other", both) == {}


def test_order() -> None:
    names = [s.name for s in sorted([
        server(id="2", name="a"), server(id="1", name="b"), server(name="marked", metadata={"HA_Enabled": "true"}),
        server(name="first", metadata={"restart_priority": "900"}), server(name="last", metadata={"restart_priority": "-1"})], key=order_key)]
    assert names == ["first", "marked", "b", "a", "last"]


@pytest.mark.parametrize("text", ["--5", "²", "①", "5.0", "", "9" * 200, "a"])
def test_a_users_text_that_is_no_number_is_the_middle(text: str) -> None:
    assert rank_of(server(metadata={"restart_priority": text})) == rank_of(server())
    assert rank_of(server(metadata={"restart_priority": " -7 "})) == (-500, 7, 1)
