"""The cluster's properties as Pacemaker 2.1.5, 3.0.0 and 3.0.3 take them: the first table is what their crm_mon said."""

from __future__ import annotations

import pytest
from instance_ha.configuring.provisioning import Wish, propose
from instance_ha.properties import (
    CONCURRENT_FENCING,
    FENCING_ENABLED,
    FENCING_TIMEOUT,
    FENCING_WATCHDOG_TIMEOUT,
    Properties,
)

from tests.unit.cibs import PROTECTED, read

VERSIONS = ("2.1.5-a3f44794f94", "3.0.0-1.1", "3.0.3-2")
OLD = '<nvpair id="cib-bootstrap-options-stonith-enabled" name="stonith-enabled" value="true"/>'
PARALLEL = '<nvpair id="cib-bootstrap-options-concurrent-fencing" name="concurrent-fencing" value="true"/>'


def properties(version: str, text: str) -> Properties:
    given = dict(pair.split("=") for pair in text.split())
    return Properties({**given, "dc-version": version} if version else given)


@pytest.mark.parametrize(("given", "enabled"), [
    ("", (True, True, True)),
    ("stonith-enabled=false", (False, False, False)),
    ("fencing-enabled=false", (True, True, False)),
    ("fencing-enabled=false stonith-enabled=true", (True, True, False)),
    ("fencing-enabled=true stonith-enabled=false", (False, False, True)),
    ("fencing-enabled=junk stonith-enabled=false", (False, False, True)),
    ("stonith-enabled=junk", (True, True, True)),
    ("stonith-enabled=OFF", (False, False, False)),
])
def test_whether_fencing_is_enabled(given: str, enabled: tuple[bool, ...]) -> None:
    assert tuple(properties(version, given).is_true(FENCING_ENABLED) for version in VERSIONS) == enabled


@pytest.mark.parametrize(("given", "enabled"), [
    ("", True), ("fencing-enabled=false", False), ("fencing-enabled=false stonith-enabled=true", False),
    ("fencing-enabled=true stonith-enabled=false", False), ("stonith-enabled=true", True)])
def test_fencing_counts_as_disabled_where_it_depends_on_a_version_that_is_not_known(given: str, enabled: bool) -> None:
    assert properties("", given).is_true(FENCING_ENABLED) is enabled


def test_times_under_their_two_names() -> None:
    both = "fencing-timeout=10s stonith-timeout=20s"
    assert [properties(version, both).value(FENCING_TIMEOUT) for version in VERSIONS] == ["20s", "20s", "10s"]
    only = "stonith-watchdog-timeout=10"
    assert [properties(version, only).value(FENCING_WATCHDOG_TIMEOUT) for version in VERSIONS] == ["10", "10", "10"]


@pytest.mark.parametrize(("given", "parallel"), [
    ("", (False, True, True)), ("concurrent-fencing=false", (False, False, False)), ("concurrent-fencing=true", (True, True, True))])
def test_concurrent_fencing_is_the_default_since_3(given: str, parallel: tuple[bool, ...]) -> None:
    assert tuple(properties(version, given).is_true(CONCURRENT_FENCING) for version in VERSIONS) == parallel
    assert not properties("", "").is_true(CONCURRENT_FENCING)


@pytest.mark.parametrize(("given", "names"), [
    ("", ("stonith-enabled", "stonith-enabled", "fencing-enabled")),
    ("stonith-enabled=false", ("stonith-enabled", "stonith-enabled", "stonith-enabled")),
    ("fencing-enabled=false", ("stonith-enabled", "stonith-enabled", "fencing-enabled")),
    ("fencing-enabled=false stonith-enabled=true", ("stonith-enabled", "stonith-enabled", "fencing-enabled"))])
def test_the_name_to_set_is_the_one_that_is_in_force(given: str, names: tuple[str, ...]) -> None:
    assert tuple(properties(version, given).name(FENCING_ENABLED) for version in VERSIONS) == names


def test_the_set_of_the_tools_counts_first_and_then_the_highest_score() -> None:
    def sets(*scores: str) -> str:
        return "".join(f'<cluster_property_set id="s{score}" score="{score}"><nvpair id="x{score}" name="batch-limit" value="{score}"/>'
                       f'<nvpair id="y{score}" name="stonith-enabled" value="false"/></cluster_property_set>' for score in scores)

    has = read(PROTECTED, ("<crm_config>", f"<crm_config>{sets('5', 'INFINITY', '-7')}"))
    assert has.properties.value("batch-limit") == "INFINITY" and has.properties.is_true(FENCING_ENABLED)


@pytest.mark.parametrize(("version", "old", "new", "wanted"), [
    ("3.0.3", OLD, OLD.replace("stonith-", "fencing-").replace("true", "false"), {"fencing-enabled": "true"}),
    ("3.0.3", OLD, OLD + OLD.replace("stonith-", "fencing-").replace("true", "false"), {"fencing-enabled": "true"}),
    ("3.0.3", OLD, OLD.replace("true", "false"), {"stonith-enabled": "true"}),
    ("3.0.3", PARALLEL, "", {}), ("3.0.0", PARALLEL, "", {}), ("2.1.5", PARALLEL, "", {"concurrent-fencing": "true"}),
    ("2.1.5", OLD, OLD + OLD.replace("stonith-", "fencing-").replace("true", "false"), {}),
    ("3.0.3", PARALLEL, PARALLEL.replace("true", "false"), {"concurrent-fencing": "true"}),
])
def test_configure_enables_fencing_under_its_name(version: str, old: str, new: str, wanted: dict[str, str]) -> None:
    has = read(PROTECTED, (old, new), ("2.1.5-a3f44794f94", version))
    steps = propose(has, Wish(("cmp-1", "cmp-2"))).steps
    assert [getattr(step.change, "values", None) for step in steps] == ([wanted] if wanted else [])
