"""protect_hosts says which hosts are protected where Nova's list of compute hosts is not it."""

from __future__ import annotations

import json

import pytest
from instance_ha import cluster as door
from instance_ha import credentials, params
from instance_ha.cli import main
from instance_ha.cluster import Cluster
from instance_ha.engine.context import Context
from instance_ha.engine.naming import is_listed, unmatched
from instance_ha.engine.selection import Policy
from instance_ha.engine.worker import Worker
from instance_ha.fence import Agent

from tests.unit.ailing import WELL, WORKER, Tools, device_param, worker_param
from tests.unit.cibs import changed
from tests.unit.fake import Fake
from tests.unit.little_cloud import LittleCloud
from tests.unit.test_configure import SERVICES, Machine, install
from tests.unit.test_configure import cloud as stand_in
from tests.unit.test_doctor import cloud as little_cloud
from tests.unit.test_doctor import doctor
from tests.unit.test_doctor_cloud import Said
from tests.unit.test_missed import FENCED, MARKED, OFFLINE, ONLINE, UP, Pacemaker, cib

cloud, nova = little_cloud, stand_in


@pytest.mark.parametrize(
    ("patterns", "names", "listed"),
    [
        ("", ("ctl-1",), True),
        ("cmp-1", ("cmp-1",), True),
        ("cmp-1", ("cmp-1.example.com",), True),
        ("CMP-*", ("cmp-1", "cmp-1.example.com"), True),
        ("cmp-1.example.com", ("cmp-1", "cmp-1.example.com"), True),
        ("cmp-1.example.com", ("cmp-1", None), False),
        ("cmp-*", ("ctl-1", None), False),
        ("cmp-1", ("cmp-10",), False),
        ("db-? cmp-[12]", ("cmp-2",), True),
        ("cmp-[12]", ("cmp-3",), False),
    ],
)
def test_by_which_names_a_host_is_meant(
    patterns: str, names: tuple[str | None, ...], listed: bool
) -> None:
    assert is_listed(patterns.split(), *names) == listed


def test_what_names_no_host() -> None:
    assert unmatched(["cmp-*", "cpm-2"], ["ctl-1", "cmp-1"]) == ["cpm-2"] and not unmatched([], [])


def worker(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, tools: Pacemaker, patterns: str, **service: object
) -> Worker:
    """One that has looked for longer than any host may be silent."""
    monkeypatch.setattr(door, "run", tools)
    now = [100.0]
    one = Worker(
        Context(
            Cluster(), fake.nova, Policy(hosts=tuple(patterns.split())), "me", clock=lambda: now[0]
        )
    )
    for _ in range(8):
        fake.answers.clear()
        fake.says(200, {"services": [{**UP, **service}]})
        one.turn()
        now[0] += 10
    fake.answers.clear()
    return one


@pytest.mark.parametrize(
    ("patterns", "told"), [("", True), ("cmp-*", True), ("cmp-1 cmp-2", True), ("cmp-2*", False)]
)
def test_the_worker_tells_of_those_alone(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, patterns: str, told: bool
) -> None:
    one = worker(fake, monkeypatch, Pacemaker(cib(OFFLINE)), patterns)
    assert ("unfenced cmp-1" in one.context.health.problems) == told


@pytest.mark.parametrize("host", ["cmp-1", "cmp-1.example.com"])
def test_novas_name_of_it_will_do(fake: Fake, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    one = worker(fake, monkeypatch, Pacemaker(cib(OFFLINE)), host, host=host)
    assert "unfenced cmp-1" in one.context.health.problems


@pytest.mark.parametrize(("state", "service"), [(FENCED, {}), (ONLINE, MARKED)])
@pytest.mark.parametrize("listed", [True, False])
def test_no_record_is_made_of_others(
    fake: Fake,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    service: dict[str, object],
    listed: bool,
) -> None:
    tools = Pacemaker(cib(state))
    worker(fake, monkeypatch, tools, "cmp-1" if listed else "cmp-2", **service)
    assert any('value="' in change and ";id=" in change for change in tools.changes) == listed


def test_a_name_that_is_no_hosts_is_told(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    one = worker(fake, monkeypatch, Pacemaker(cib(ONLINE)), "cmp-1 cpm-2")
    assert one.context.health.problems == {
        "protect_hosts": "protect_hosts names what is no host: cpm-2"
    }
    one.context.policy = Policy()
    one.turn()
    assert not one.context.health.problems


class Writes(Pacemaker):
    """Its CIB has what was written to it."""

    def __call__(self, argv: list[str], timeout: float) -> door.Outcome:
        done = super().__call__(argv, timeout)
        if argv[0] == "crm_attribute" and "evacuate" in argv:
            self.cib = cib(OFFLINE, argv[argv.index("--update") + 1])
        return done


@pytest.mark.parametrize(
    ("patterns", "plug", "recorded"),
    [
        ("", "cmp-1", True),
        ("cmp-1", "cmp-1", True),
        ("cmp-2, cmp-3", "cmp-1", False),
        ("nova-1", "nova-1", True),
    ],
)
def test_fence_nova_records_those_alone(
    monkeypatch: pytest.MonkeyPatch, patterns: str, plug: str, recorded: bool
) -> None:
    """It succeeds all the same: the level's power device has switched the host off."""
    tools = Writes(cib(OFFLINE))
    monkeypatch.setattr(door, "run", tools)
    values = params.resolve(
        params.of(params.FENCE), {"cloud": "x", "record_only": "1", "protect_hosts": patterns}
    )
    assert Agent(values, plug, "cmp-1", ",").off() == 0
    assert any("fenced;id=" in change for change in tools.changes) == recorded


def test_fence_nova_lists_those_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, cloud: LittleCloud
) -> None:
    monkeypatch.setattr(credentials, "connect", lambda values: cloud.nova)
    for patterns, listed in (("", "cmp-1,\ncmp-2,\n"), ("cmp-2", "cmp-2,\n")):
        values = params.resolve(params.of(params.FENCE), {"cloud": "x", "protect_hosts": patterns})
        assert Agent(values, "", "", ",").print_list() == 0 and capsys.readouterr().out == listed


BOTH = "cmp-1 cmp-2"


def examined(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, of_worker: str, of_device: str
) -> list[tuple[str, str]]:
    tools = Tools(
        changed(
            WELL, worker_param("protect_hosts", of_worker), device_param("protect_hosts", of_device)
        )
    )
    doctor(monkeypatch, tools, "--only", "cloud", "--only", "pacemaker", "-f", "json")
    return [(row["Finding"], row["On"]) for row in json.loads(capsys.readouterr().out)]


@pytest.fixture
def known(cloud: LittleCloud) -> LittleCloud:
    """A controller has a service of Ironic's, and a host is no node."""
    cloud.services += [
        {**cloud.service("cmp-1"), "id": host, "host": host} for host in ("ctl-1", "elsewhere")
    ]
    return cloud


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ("", [("host-unprotected", "ctl-1"), ("host-unprotected", "elsewhere")]),
        (BOTH, []),
        ("cmp-*", []),
        ("cmp-* elsewhere", [("host-unprotected", "elsewhere")]),
        ("cmp-* cpm-3", [("protect-hosts", "cpm-3")]),
    ],
)
def test_the_doctor_looks_for_those_alone(
    monkeypatch: pytest.MonkeyPatch,
    capsys: Said,
    known: LittleCloud,
    patterns: str,
    found: list[tuple[str, str]],
) -> None:
    assert sorted(examined(monkeypatch, capsys, patterns, patterns)) == sorted(found)


def test_both_agents_have_to_be_told_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, known: LittleCloud
) -> None:
    assert ("parameters-differ", "nova-evacuate") in examined(monkeypatch, capsys, "cmp-1", BOTH)


def configured(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, nova: Fake, patterns: str
) -> tuple[int, str]:
    """What configure says of a cluster that lacks its worker, and of a Nova with hosts that are no compute hosts of it."""
    more = [{**SERVICES[0], "host": host} for host in ("cmp-9.example.com", "ctl-1")]
    nova.says(200, {"services": [*SERVICES, *more]})
    install(
        monkeypatch, Machine(changed(WELL, device_param("protect_hosts", patterns), (WORKER, "")))
    )
    code = main(["configure", "--cloud", "lab"])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_configure_protects_those_alone_and_tells_both_agents(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, nova: Fake
) -> None:
    code, said = configured(monkeypatch, capsys, nova, "cmp-1 cmp-2")
    assert code == 1 and "cmp-9" not in said and "Ironic" not in said
    assert "'protect_hosts=cmp-1 cmp-2'" in said, "the worker that is created has it too"
    code, said = configured(monkeypatch, capsys, nova, "cmp-*")
    assert (
        code == 2
        and "cmp-9.example.com: compute hosts of Nova, and no nodes of this cluster" in said
    )
    code, said = configured(monkeypatch, capsys, nova, "nothing")
    assert code == 2 and "protect_hosts=nothing names no node of this cluster" in said


def test_a_row_of_before_a_renaming_is_no_host_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, nova: Fake
) -> None:
    old = {
        **SERVICES[0],
        "host": "cmp-1",
        "state": "down",
        "updated_at": "2026-01-01T04:00:00.000000",
    }
    rows = [{**row, "updated_at": "2026-11-25T04:00:00.000000"} for row in SERVICES]
    install(monkeypatch, Machine(WELL))
    nova.says(200, {"services": [*rows, old]})
    assert main(["configure", "--cloud", "lab"]) == 0 and "nothing to do" in capsys.readouterr().out
    nova.says(200, {"services": [*rows, {**old, "host": "cmp-1.b.org", "state": "up"}]})
    assert main(["configure", "--cloud", "lab"]) == 2 and "cmp-1.b.org" in capsys.readouterr().err
