"""Where the members of an affinity group go, of which all are on the dead host."""

from __future__ import annotations

from dataclasses import replace

import pytest
from instance_ha.demand import demand_of_group
from instance_ha.engine.placing import Place, Placer
from instance_ha.engine.selection import Ruling

from tests.unit.fake import ROW, Fake
from tests.unit.test_decide import row, scene
from tests.unit.test_limits import service
from tests.unit.test_model import server
from tests.unit.test_survey import HOSTS, World, answer, path

MEMBERS = [server(id=name, name=name, groups=("g",), size=(1, 40, 0)) for name in "ab"]
SERVICES = [service(host) for host in HOSTS]
GROUP = {"id": "g", "name": "close", "policy": "affinity", "rules": {}, "members": ["a", "b"], "metadata": {}, "project_id": "p", "user_id": "u"}
RULINGS = {one.id: Ruling(True, "all") for one in MEMBERS}


@pytest.fixture
def placer(fake: Fake) -> Placer:
    World(fake)
    fake.says_always("/os-server-groups/g", {"server_group": GROUP})
    says(fake)
    wanted = demand_of_group(MEMBERS)
    fake.says_always(path(wanted), answer(wanted, cmp_2=90, cmp_3=90))
    return Placer(fake.nova, "cmp-1", None)


def homes(placer: Placer, *rows: tuple[int, str, str]) -> list[str | None]:
    seen = replace(scene(*MEMBERS, rulings=RULINGS, rows=tuple(replace(row(number, status, host), server="a") for number, status, host in rows)),
                   last_row=rows[-1][0] if rows else 0)
    return [placer.place(one, seen, SERVICES).host for one in MEMBERS]


def test_they_share_a_home(placer: Placer) -> None:
    assert homes(placer) == ["cmp-2", "cmp-2"]
    assert homes(placer, (1, "pre-migrating", "cmp-2")) == ["cmp-2", "cmp-2"]


def test_a_home_that_takes_none_of_them_is_left_when_nothing_is_on_its_way_there(placer: Placer) -> None:
    homes(placer)
    assert homes(placer, (1, "failed", "cmp-2"), (2, "accepted", "")) == ["cmp-2", "cmp-2"]
    assert homes(placer, (1, "failed", "cmp-2"), (2, "error", "cmp-2")) == ["cmp-3", "cmp-3"]
    assert homes(placer, (2, "error", "cmp-2"), (3, "failed", "cmp-3")) == ["cmp-2", "cmp-2"], "all have failed: from the beginning"


def says(fake: Fake, *rows: object, code: int = 200) -> None:
    """Have Nova answer so to the question for its host aggregates."""
    fake.says_always("/os-aggregates", {"aggregates": list(rows)}, code)


def aggregate(hosts: str, **metadata: str) -> dict[str, object]:
    return {"id": 1, "name": "apart", "hosts": hosts.split(), "metadata": metadata}


@pytest.mark.parametrize(("hosts", "metadata", "home"), [
    ("cmp-2", {"filter_tenant_id": "bank"}, "cmp-3"), ("cmp-2", {"ssd": "true"}, "cmp-3"), ("cmp-2", {"availability_zone": "nova"}, "cmp-2"),
    ("cmp-1 cmp-2", {"filter_tenant_id": "bank"}, "cmp-2"), ("cmp-2 cmp-3", {"filter_tenant_id": "bank"}, None)])
def test_a_group_is_not_sent_past_the_scheduler_to_hosts_that_are_set_apart(
        fake: Fake, placer: Placer, hosts: str, metadata: dict[str, str], home: str | None) -> None:
    says(fake, aggregate(hosts, **metadata))
    assert homes(placer) == [home, home]


@pytest.mark.parametrize("metadata", [{"filter_tenant_id": "other, p"}, {"filter_tenant_id7": "p"}, {"ssd": "true"}, {"gpu": "yes"}], ids=repr)
@pytest.mark.parametrize(("hosts", "home"), [("cmp-1 cmp-3", "cmp-3"), ("cmp-1", None)])
def test_nor_out_of_the_hosts_that_its_project_or_a_members_flavor_is_for(
        fake: Fake, placer: Placer, metadata: dict[str, str], hosts: str, home: str | None) -> None:
    says(fake, aggregate(hosts, **metadata))
    flavors = [{"ssd": "true"}, {"aggregate_instance_extra_specs:gpu": "yes"}]
    members = [replace(one, project="p", extra_specs=specs) for one, specs in zip(MEMBERS, flavors)]
    places = [placer.place(one, scene(*members, rulings=RULINGS), SERVICES) for one in members]
    assert [place.host for place in places] == [home, home]
    assert home or "no host with room for the 2 members of its affinity group close is known to be for them" in places[0].hindrance


@pytest.mark.parametrize(("rows", "code"), [([], 403), ([aggregate("cmp-3"), {"name": "odd", "hosts": 7}], 200)], ids=["refused", "odd"])
def test_where_the_aggregates_are_not_known_it_is_sent_nowhere_and_named(
        fake: Fake, placer: Placer, rows: list[object], code: int) -> None:
    says(fake, *rows, code=code)
    place = placer.place(MEMBERS[0], scene(*MEMBERS, rulings=RULINGS), SERVICES)
    assert place.host is None and place.hindrance.startswith("Nova does not show all host aggregates")


def test_to_its_other_members_on_a_host_that_is_set_apart_it_goes_by_the_scheduler(fake: Fake, placer: Placer) -> None:
    """A member was moved there; its own flavor may be another one."""
    fake.says_always("/servers/b", {"server": {**ROW, "id": "b", "OS-EXT-SRV-ATTR:host": "cmp-2"}})
    seen = scene(MEMBERS[0], rulings=RULINGS)
    assert placer.place(MEMBERS[0], seen, SERVICES) == Place("cmp-2", force=True)
    says(fake, aggregate("cmp-2", gpu="yes"))
    again = Placer(fake.nova, "cmp-1", None)
    assert again.place(MEMBERS[0], seen, SERVICES) == Place("cmp-2", force=False)
