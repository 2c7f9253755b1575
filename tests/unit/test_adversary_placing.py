"""What an adversarial reader has found of where servers go; each fails while its fault is there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from instance_ha.demand import demand_of_group
from instance_ha.engine.placing import Placer

from tests.unit.fake import Fake
from tests.unit.test_decide import scene
from tests.unit.test_limits import service
from tests.unit.test_model import server
from tests.unit.test_placing import GROUP, MEMBERS, RULINGS, SERVICES
from tests.unit.test_survey import World, answer, path


@pytest.fixture
def placer(fake: Fake) -> Placer:
    World(fake)
    fake.says_always("/os-server-groups/g", {"server_group": GROUP})
    fake.says_always("/os-aggregates", {"aggregates": []})
    for members in (MEMBERS, MEMBERS[:1]):
        wanted = demand_of_group(members)
        fake.says_always(path(wanted), answer(wanted, cmp_2=90, cmp_3=90))
    return Placer(fake.nova, "cmp-1", None)


def test_a_member_whose_image_glance_does_not_tell_keeps_no_other_member_from_its_place(placer: Placer) -> None:
    """Whether `b` is protected nobody can say: a scene has no ruling on it."""
    seen = scene(*MEMBERS, rulings={"a": RULINGS["a"]})
    assert placer.place(MEMBERS[0], seen, SERVICES).host == "cmp-2"


def test_servers_of_one_owner_that_fail_send_no_others_where_there_is_no_room(fake: Fake) -> None:
    """Three whose volumes are gone have failed on cmp-2; cmp-3 is full. The scheduler alone would choose cmp-2."""
    World(fake)
    one = server(id="a", name="a", groups=(), size=(1, 40, 0))
    wanted = demand_of_group([one])
    fake.says_always(path(wanted), answer(wanted, cmp_2=90))
    seen = replace(scene(one), avoid=frozenset(("cmp-2",)))
    assert Placer(fake.nova, "cmp-1", None).place(one, seen, [service(host) for host in ("cmp-1", "cmp-2", "cmp-3")]).host in (None, "cmp-2")
