"""What the operator says of order, of disks, and of hosts that fail again and again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from instance_ha import cluster as door
from instance_ha import params
from instance_ha.cluster import Cluster
from instance_ha.engine import quarantine
from instance_ha.engine.context import Context
from instance_ha.engine.evacuation import Evacuation
from instance_ha.engine.scene import Task
from instance_ha.engine.selection import MIDDLE, Policy, Priorities, order_of, policy_from
from instance_ha.engine.worker import Worker
from instance_ha.errors import ConfigurationError
from instance_ha.incident import IN_SERVICE, Incident
from instance_ha.model import KEPT_OUT, Aggregate
from instance_ha.process import Outcome

from tests.unit.little_nova import LittleNova
from tests.unit.test_holdback import Pacemaker, recorded
from tests.unit.test_model import server

OWNERS = {"restart_priority": "1000", "restart_group": "db", "HA_Enabled": "true"}


@pytest.mark.parametrize(("specs", "projects", "aggregate", "operator"), [
    ({}, {}, {}, MIDDLE), ({"restart_priority": "900"}, {"p": 800}, {"restart_priority": "700"}, 900),
    ({"restart_priority": "junk"}, {"p": 800}, {"restart_priority": "700"}, 800),
    ({}, {"other": 800}, {"restart_priority": "700"}, 700), ({}, {"p": -3}, {}, -3)])
@pytest.mark.parametrize("users", [True, False])
def test_operators_order_stands_above_owners(
        specs: dict[str, str], projects: dict[str, int], aggregate: dict[str, str], operator: int, users: bool) -> None:
    one = server(project="p", metadata=OWNERS, extra_specs=specs)
    order = order_of(one, Priorities(users, projects), aggregate)
    assert (order.rank, order.group) == (((-operator, -1000, 0), "db") if users else ((-operator, -MIDDLE, 1), ""))


def test_the_parameters_mean_that() -> None:
    values = params.resolve(params.of(params.OCF), {
        "cloud": "x", "project_priorities": "a1=900, b2=-7", "user_priorities": "no", "image_disks": "shared", "quarantine": "3"})
    policy = policy_from(values)
    assert policy.priorities == Priorities(False, {"a1": 900, "b2": -7})
    assert (policy.image_disks, policy.quarantine) == ("shared", 3)


@pytest.mark.parametrize("text", ["a1", "=5", "a1=", "a1=x", "a1=1001", "a1=5=6 b"])
def test_priorities_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"project_priorities=.* is not ID=NUMBER"):
        params.resolve(params.of(params.OCF), {"cloud": "x", "project_priorities": text})


@pytest.fixture
def cloud() -> Iterator[LittleNova]:
    one = LittleNova()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.mark.parametrize(("disks", "says", "moved"), [
    ("evacuate", {}, True), ("leave", {"instance-ha:shared_disks": "true"}, False), ("shared", {}, False),
    ("shared", {"instance-ha:shared_disks": "no"}, False), ("shared", {"instance-ha:shared_disks": "yes"}, True),
    ("tell", {}, False), ("tell", {"instance-ha:shared_disks": "yes"}, True)])
def test_a_disk_that_would_be_empty_elsewhere_is_not_moved_unasked(
        cloud: LittleNova, disks: str, says: dict[str, str], moved: bool) -> None:
    cloud.boot("s1", "local", image={"id": "i1"})
    cloud.boot("s2", "volume", image="")
    racks = [Aggregate("rack", frozenset(("cmp-1",)), says)]
    engine = Evacuation(cloud.nova, Task("cmp-1", "3f9c", "me"), Policy(image_disks=disks), racks)
    local, volume = (engine.ruling(one) for one in sorted(cloud.nova.servers_on("cmp-1"), key=lambda one: one.id))
    assert volume.protected and (local.protected, local.stays) == (moved, not moved)
    assert moved or ("its disk may be on its host alone" if disks == "tell" else "its disk would be empty elsewhere") in local.rule
    assert local.unsaid == (disks == "tell" and not moved)


@pytest.mark.parametrize("image", ["missing", None, {}, {"id": None}, {"id": ""}, 7])
def test_a_server_of_whose_image_nova_does_not_tell_is_known_in_part_only(cloud: LittleNova, image: Any) -> None:
    """It may have its disk on the dead host: it would be taken for one with a volume, and moved onto an empty one."""
    cloud.boot("s1", "web", image=image)
    if image == "missing":
        del cloud.servers["s1"]["image"]
    (server,) = cloud.nova.servers_on("cmp-1")
    assert server.vm_state is None


def test_a_host_that_fails_again_and_again_is_kept_out_until_a_person_enables_it(
        cloud: LittleNova, monkeypatch: pytest.MonkeyPatch) -> None:
    tools, now = Pacemaker(recorded("returning;id=1;baseline=0")), [100.0]
    monkeypatch.setattr(door, "run", tools)
    cloud.service("cmp-1").update(status="disabled", disabled_reason="instance-ha: fenced (1)")
    worker = Worker(Context(Cluster(), cloud.nova, Policy(quarantine=1), "me", clock=lambda: now[0]))
    for _ in range(3):
        worker.turn()
        now[0] += 40
    service = cloud.service("cmp-1")
    assert service["status"] == "disabled" and service["disabled_reason"] == f"{KEPT_OUT}: it failed 1 times within a day (1)"
    assert "openstack compute service set --enable cmp-1" in worker.context.health.problems["kept out cmp-1"]
    service.update(status="enabled", disabled_reason=None)
    for _ in range(2):
        worker.turn()
        now[0] += 40
    assert "kept out cmp-1" not in worker.context.health.problems


def test_only_returns_of_a_day_count() -> None:
    history = [Incident("a", "cmp-1", end=IN_SERVICE, recorded=100.0), Incident("b", "cmp-1", end=IN_SERVICE, recorded=90000.0),
               Incident("c", "cmp-2", end=IN_SERVICE, recorded=90000.0), Incident("d", "cmp-1", end="dismissed", recorded=90000.0)]
    assert quarantine.returns(history, "cmp-1", 90100.0) == 1


def test_a_history_that_cannot_be_read_lets_no_host_into_service(cloud: LittleNova, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = Pacemaker(recorded("returning;id=1;baseline=0"))
    monkeypatch.setattr(door, "run", lambda argv, limit: Outcome(102, "", "no answer") if "crm_config" in argv else tools(argv, limit))
    cloud.service("cmp-1").update(status="disabled", disabled_reason="instance-ha: fenced (1)")
    worker = Worker(Context(Cluster(), cloud.nova, Policy(quarantine=3), "me"))
    worker.turn()
    assert cloud.service("cmp-1")["status"] == "disabled" and "no answer" in worker.context.health.problems["cluster"]
