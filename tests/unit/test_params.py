"""What a user may write for a parameter, and what it then is."""

from __future__ import annotations

import pytest
from instance_ha import params
from instance_ha.errors import ConfigurationError


def resolve(**given: str) -> dict[str, str]:
    return params.resolve(params.of(params.OCF), given)


def test_an_alias_a_dash_and_the_name_mean_the_same() -> None:
    for name in ("tenant_name", "project_name", "tenant-name", "project"):
        assert params.resolve(params.ALL, {name: "ops"})["tenant_name"] == "ops"


def test_the_name_wins_over_its_alias_and_empty_counts_as_not_given() -> None:
    assert resolve(username="a", login="b")["username"] == "a"
    assert resolve(username="", login="b")["username"] == "b"
    assert resolve(max_parallel="")["max_parallel"] == "256"


@pytest.mark.parametrize(("name", "value", "word"), [
    ("insecure", "perhaps", "neither true nor false"), ("max_parallel", "many", "not a number"),
    ("max_parallel", "0", "outside"), ("api_timeout", "nan", "outside"), ("protect", "some", "none of"),
    ("auth_url", "http://a\nb", "control character")])
def test_a_wrong_value_is_named_with_its_parameter(name: str, value: str, word: str) -> None:
    with pytest.raises(ConfigurationError, match=word) as caught:
        resolve(**{name: value})
    assert name in str(caught.value)


def test_the_fewest_at_once_are_no_more_than_the_most() -> None:
    assert resolve(max_parallel="1")["max_parallel"] == "1", "the default of the other one is no contradiction"
    with pytest.raises(ConfigurationError, match="min_parallel=8 is above max_parallel=4"):
        resolve(min_parallel="8", max_parallel="4")


@pytest.mark.parametrize(("name", "value"), [("record_only", "maybe"), ("evacuate_attribute", "a b"), ("evacuate_attribute", "a'b")])
def test_what_fence_nova_and_the_cib_cannot_take_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        params.resolve(params.ALL, {name: value})


def test_every_default_is_a_value_its_own_check_takes() -> None:
    for param in params.ALL:
        assert params.check(param, "") == params.check(param, param.default)


def test_no_name_is_declared_twice() -> None:
    names = [name for param in params.ALL for name in (param.name, *param.aliases)]
    assert len(names) == len(set(names))
