"""Where the members of an affinity group go, of which all are on the dead host."""

from __future__ import annotations

from dataclasses import replace

import pytest
from instance_ha.demand import demand_of_group
from instance_ha.engine.placing import Placer
from instance_ha.engine.selection import Ruling
from instance_ha.model import Aggregate

from tests.unit.fake import Fake
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


@pytest.mark.parametrize(("hosts", "metadata", "home"), [
    ({"cmp-2"}, {"filter_tenant_id": "bank"}, "cmp-3"), ({"cmp-2"}, {"ssd": "true"}, "cmp-3"), ({"cmp-2"}, {"availability_zone": "nova"}, "cmp-2"),
    ({"cmp-1", "cmp-2"}, {"filter_tenant_id": "bank"}, "cmp-2"), ({"cmp-2", "cmp-3"}, {"filter_tenant_id": "bank"}, None)])
def test_a_group_is_not_sent_past_the_scheduler_to_hosts_that_are_set_apart(
        placer: Placer, hosts: set[str], metadata: dict[str, str], home: str | None) -> None:
    placer.aggregates = (Aggregate("apart", frozenset(hosts), metadata),)
    assert homes(placer) == [home, home]
