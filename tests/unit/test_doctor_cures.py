"""The doctor's cures never spread what is true of one host alone: its state, site or domain."""

from __future__ import annotations

import pytest
from instance_ha.configuration import Resource
from instance_ha.doctor.asking import Cloud
from instance_ha.doctor.cloud import check
from instance_ha.model import ClusterNode, ClusterView, Service

from tests.unit.ailing import BAN_WORKER, DOWN, MONITOR, PACEMAKER, RECORD, WELL, Tools, pair
from tests.unit.cibs import changed
from tests.unit.test_doctor_cluster import Row, Said, examined

RECORD_1 = '<nvpair id="nodes-cmp-1-osprole" name="osprole" value="compute"/>'
NO_ROLES = ((RECORD, ""), (RECORD_1, ""), (BAN_WORKER, ""))
BAN = "pcs constraint location nova-evacuate rule resource-discovery=never score=-INFINITY"
MARKED = [
    "pcs node attribute cmp-1 osprole=compute",
    "pcs node attribute cmp-2 osprole=compute",
    f"{BAN} osprole eq compute",
]
BAN_BY = BAN_WORKER.replace('attribute="osprole" value="compute"', 'attribute="{}" value="{}"')
FENCED = "confirmed;id=3f9c0a12;at=1790000000;host=cmp-1"


def having(node: str, **attributes: str) -> tuple[str, str]:
    """The change by which a node has these attributes in place of osprole."""
    pairs = "".join(
        f'<nvpair id="{node}-{name}" {pair(name.replace("_", "-"), value)}/>'
        for name, value in attributes.items()
    )
    return (RECORD if node == "cmp-2" else RECORD_1), pairs


def cure(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, kind: str, *changes: tuple[str, str]
) -> list[str]:
    _, rows = examined(monkeypatch, capsys, Tools(changed(WELL, *changes)))
    found: list[Row] = [row for row in rows if row["Finding"] == kind]
    assert len(found) == 1, rows
    lines = found[0]["Mend"]
    assert isinstance(lines, list)
    return lines


STATES = ({"standby": "on"}, {"maintenance": "true"}, {"evacuate": FENCED, "evacuate_held": "true"})


@pytest.mark.parametrize(
    ("one", "other"),
    [*((state, {}) for state in (*STATES, {"rack": "7"})), *((state, state) for state in STATES)],
    ids=str,
)
def test_a_hosts_state_is_no_mark_of_compute_hosts(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, one: dict[str, str], other: dict[str, str]
) -> None:
    changes = [having("cmp-1", **one), having("cmp-2", **other), (BAN_WORKER, "")]
    assert cure(monkeypatch, capsys, "worker-on-compute", *changes) == MARKED


def test_what_all_compute_hosts_have_is_used(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    changes = (
        having("cmp-1", type="hypervisor"),
        having("cmp-2", type="hypervisor"),
        (BAN_WORKER, ""),
    )
    assert cure(monkeypatch, capsys, "worker-on-compute", *changes) == [f"{BAN} type eq hypervisor"]


def test_a_record_under_another_name_is_no_mark_either(
    monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    clouds = [
        f'<nvpair id="{agent}-instance_attributes-cloud" name="cloud" value="lab"/>'
        for agent in ("fence-nova", "nova-evacuate")
    ]
    named = [
        (cloud, f'{cloud}<nvpair id="ea{number}" {pair("evacuate_attribute", "iha")}/>')
        for number, cloud in enumerate(clouds)
    ]
    both = {"iha": FENCED, "iha_held": "true"}
    changes = (*named, having("cmp-1", **both), having("cmp-2", **both), (BAN_WORKER, ""))
    assert cure(monkeypatch, capsys, "worker-on-compute", *changes) == MARKED


@pytest.mark.parametrize(
    ("attribute", "value"), [("standby", "on"), ("evacuate-held", "true"), ("site", "b")]
)
def test_a_constraint_on_something_else_is_not_spread(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, attribute: str, value: str
) -> None:
    changes = (
        having("cmp-1", **{attribute.replace("-", "_"): value}),
        having("cmp-2", site="a"),
        (BAN_WORKER, BAN_BY.format(attribute, value)),
    )
    assert cure(monkeypatch, capsys, "worker-on-compute", *changes) == MARKED


def test_a_host_in_standby_is_not_taken_for_kept_off(
    monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    """A rule on standby keeps the worker off now, and not when the host is back in service."""
    changes = (
        having("cmp-1", standby="on"),
        having("cmp-2", standby="on"),
        (BAN_WORKER, BAN_BY.format("standby", "on")),
    )
    assert cure(monkeypatch, capsys, "worker-on-compute", *changes) == MARKED


def test_a_host_keeps_the_role_that_it_has(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    lines = cure(monkeypatch, capsys, "worker-on-compute", having("cmp-2", osprole="edge"))
    assert lines[1:] == ["pcs constraint location nova-evacuate avoids cmp-2"] and lines[
        0
    ].startswith("# cmp-2 has another osprole")


def test_nova_compute_is_let_on_by_a_mark_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    clone = (
        'operation="not_defined" attribute="osprole"',
        'operation="ne" attribute="site" value="a"',
    )
    hosts = (having("cmp-1", site="a"), having("cmp-2", site="b"))
    assert cure(monkeypatch, capsys, "nova-compute-kept-off", clone, *hosts) == [
        "# see its constraints: pcs constraint location"
    ]


def test_a_rule_on_a_hosts_state_does_not_keep_nova_compute_off(
    monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    stopped = (
        RECORD,
        f'{RECORD}<nvpair id="h" {pair("evacuate-held", "stop")}/>'
        f'<nvpair id="r" {pair("evacuate", FENCED)}/>',
    )
    _, rows = examined(monkeypatch, capsys, Tools(changed(WELL, stopped)))
    assert "nova-compute-kept-off" not in {row["Finding"] for row in rows}


@pytest.mark.parametrize("levels", [{"fence-nova": "1"}, {"nova-evacuate": "1"}], ids=str)
def test_no_cure_takes_the_need_of_a_power_device_away(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, levels: dict[str, str]
) -> None:
    changes = []
    for agent, level in levels.items():
        cloud = f'<nvpair id="{agent}-instance_attributes-cloud" name="cloud" value="lab"/>'
        more = f'<nvpair id="q-{agent}" {pair("quick_evacuate_level", level)}/>'
        changes.append((cloud, cloud + more))
    _, rows = examined(monkeypatch, capsys, Tools(changed(WELL, *changes)))
    lines = [line for row in rows for line in row["Mend"]]  # type: ignore[attr-defined]
    assert [line for line in lines if "quick_evacuate_level" in line] == [
        f"pcs {'stonith' if agent == 'fence-nova' else 'resource'} update {agent}"
        " quick_evacuate_level=2"
        for agent in levels
    ]


@pytest.mark.parametrize("number", [0, 1], ids=["no device", "a disabled one"])
def test_devices_that_start_nowhere_have_their_cause(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, number: int
) -> None:
    """Pacemaker starts no device on a member that it cannot unfence."""
    ill = [one for one in PACEMAKER if one.kind == "controller-no-power"][number]
    cib = changed(WELL, *ill.cib)
    _, rows = examined(monkeypatch, capsys, Tools(cib, changed(MONITOR, DOWN)))
    kinds = [row["Finding"] for row in rows]
    assert kinds.index("controller-no-power") < kinds.index("device-down")
    lines = rows[kinds.index("device-down")]["Mend"]
    assert lines == [
        "# first controller-no-power: nothing starts on ctl-2, whose unfencing fails; then:",
        "pcs stonith cleanup fence-cmp-2",
    ]


def test_a_domain_that_takes_others_their_hosts_is_no_cure() -> None:
    view = ClusterView(
        {name: ClusterNode(name, True, True) for name in ("cmp-1", "cmp-2")}, {}, {}, True
    )
    agents = [Resource("fence-nova", "stonith:fence_nova")]
    cures = {}
    for names in (("cmp-1.a", "cmp-1.b", "cmp-2.b", "cmp-2.c"), ("cmp-1.a", "cmp-2.b", "cmp-2.c")):
        services = [Service(name, "nova-compute", name, True, True, False) for name in names]
        found = check(Cloud(services), view, ("cmp-1", "cmp-2"), "a", agents)
        (cures[names[1]],) = (one.mend.lines for one in found if one.kind == "host-unknown")
    assert cures["cmp-1.b"][0].startswith("# the domain b would take other nodes their hosts")
    assert "pcmk_host_map='cmp-2:cmp-2.b;...'" in cures["cmp-1.b"][0]
    assert cures["cmp-2.b"][-1] == "pcs stonith update fence-nova domain=b"
