"""An odd row of Nova's answers spoils no other, is named, and never makes anybody dare more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from instance_ha.cluster import Cluster
from instance_ha.engine.context import Context
from instance_ha.engine.selection import Policy
from instance_ha.engine.worker import Worker
from instance_ha.errors import CloudError, CloudUnreachable
from instance_ha.model import CONFIRMED, ClusterNode, ClusterView, Record, parse_record
from instance_ha.nova import Nova
from instance_ha.service import tell_unreadable

from tests.unit.fake import ROW, Fake
from tests.unit.little_nova import LittleNova

SERVICE = {"id": "5f2c", "binary": "nova-compute", "host": "cmp-1", "status": "enabled", "state": "up", "forced_down": False}
MIGRATION = {"id": 7, "instance_uuid": "a1", "status": "done", "source_compute": "cmp-1", "dest_compute": "cmp-2",
             "migration_type": "evacuation", "created_at": "", "updated_at": ""}
ODD: list[object] = [None, 7, "abc", [], {}, {"host": None}, {"binary": "nova-compute", "host": 7}]


@pytest.mark.parametrize("row", ODD, ids=repr)
def test_a_service_that_cannot_be_read_is_left_out_and_named(fake: Fake, row: object) -> None:
    fake.says(200, {"services": [row, SERVICE]})
    found = fake.nova.services()
    assert [one.host for one in found] == ["cmp-1"] and len(found.unreadable) == 1  # type: ignore[attr-defined]
    assert fake.nova.unreadable["services"].startswith("1 of the services in Nova cannot be read: ")
    fake.says(200, {"services": [SERVICE]})
    fake.nova.services()
    assert fake.nova.unreadable == {}


def test_a_service_of_which_the_name_is_all_that_can_be_read_is_changed_by_nobody(fake: Fake) -> None:
    fake.says(200, {"services": [{**SERVICE, "forced_down": "no"}]})
    [one] = fake.nova.services()
    assert (one.known, one.up, one.enabled, one.forced_down) == (False, False, False, False)
    with pytest.raises(CloudError):
        fake.nova.force_down(one, True)


@pytest.mark.parametrize("more", [
    {"flavor": {"vcpus": "x"}}, {"flavor": 7}, {"flavor": {"vcpus": float("inf")}}, {"metadata": []}, {"metadata": {"a": 1}}, {"locked": "yes"},
    {"OS-EXT-SRV-ATTR:host": 7}, {"OS-EXT-STS:power_state": "x"}, {"server_groups": 7}, {"tenant_id": {}},
    {"flavor": {"vcpus": 10 ** 30}}], ids=repr)
def test_a_server_of_which_the_id_is_all_that_can_be_read_is_no_missing_one(fake: Fake, more: dict[str, Any]) -> None:
    fake.says(200, {"servers": [{**ROW, **more}, {**ROW, "id": "a2"}]})
    found = fake.nova.servers_on("cmp-1")
    assert [one.id for one in found] == ["a1", "a2"] and [one.id for one in found.unreadable] == ["a1"]  # type: ignore[attr-defined]
    assert (found[0].vm_state, found[0].locked, found[0].status) == (None, None, "UNKNOWN")
    fake.says(200, {"server": {**ROW, **more}})
    with pytest.raises(CloudUnreachable, match="the server a1 cannot be read in Nova's answer: "):
        fake.nova.server("a1")


@pytest.mark.parametrize("more", [{"status": None}, {"status": 7}, {"status": 10 ** 40}, {"source_compute": []}, {"dest_compute": 7}], ids=repr)
def test_a_migration_that_cannot_be_read_counts_as_in_progress(fake: Fake, more: dict[str, Any]) -> None:
    fake.says(200, {"migrations": [{**MIGRATION, **more}, {**MIGRATION, "id": 6, "instance_uuid": "a2"}]})
    found = fake.nova.evacuations("cmp-1")
    assert [(row.id, row.server, row.in_progress) for row in found] == [(6, "a2", False), (7, "a1", True)]
    assert "a1: " in fake.nova.unreadable["migrations from cmp-1"]


def test_a_word_of_a_migration_that_nobody_knows_is_no_end_of_it(fake: Fake) -> None:
    fake.says(200, {"migrations": [{**MIGRATION, "status": "of-a-newer-nova"}]})
    assert [row.in_progress for row in fake.nova.evacuations("cmp-1")] == [True]
    fake.says(200, {"migrations": [{**MIGRATION, "id": number, "status": word} for number, word in enumerate(
        ("done", "completed", "finished", "confirmed", "failed", "error", "cancelled", "reverted"), 1)]})
    assert not [row for row in fake.nova.evacuations("cmp-1") if row.in_progress]


@pytest.mark.parametrize("row", [None, 7, {}, {**MIGRATION, "instance_uuid": None}, {**MIGRATION, "id": "x"}, {**MIGRATION, "id": -1}], ids=repr)
def test_a_migration_of_nobody_knows_whom_leaves_open_what_is_in_progress(fake: Fake, row: object) -> None:
    fake.says(200, {"migrations": [row, MIGRATION]})
    with pytest.raises(CloudUnreachable, match="nobody knows what is in progress"):
        fake.nova.evacuations("cmp-1")


def test_migrations_whose_hosts_nova_hides_leave_open_what_is_in_progress(fake: Fake) -> None:
    """As Nova 34 answers who lacks os-migrations:index:host."""
    fake.says(200, {"migrations": [{**MIGRATION, "source_compute": None, "dest_compute": None}]})
    with pytest.raises(CloudUnreachable, match="os-migrations:index:host"):
        fake.nova.evacuations("cmp-1")


def test_odd_aggregates_groups_and_hypervisors(fake: Fake) -> None:
    good = {"name": "rack", "hosts": ["cmp-1"], "metadata": {"a": "b"}}
    fake.says(200, {"aggregates": [None, {**good, "hosts": "cmp-1"}, {**good, "metadata": {"a": 1}}, good]})
    assert [one.name for one in fake.nova.aggregates()] == ["rack"]
    fake.says(200, {"server_groups": [7, {"id": "g", "members": "abc"}, {"id": "g1", "policy": "affinity"}]})
    fake.says(200, {"server_groups": [{"id": "g1", "policy": "affinity"}]})
    fake.says(200, {"server_groups": []})
    assert [one.id for one in fake.nova.groups()] == ["g1"]
    fake.says(200, {"hypervisors": [None, {"id": "r"}, {"id": "r", "service": None}, {"id": "r1", "service": {"host": "cmp-1"}}]})
    assert fake.nova.compute_nodes() == {"r1": "cmp-1"}
    assert sorted(fake.nova.unreadable) == ["aggregates", "hypervisors", "server groups"]
    assert "3 of the hypervisors" in fake.nova.unreadable["hypervisors"]


@pytest.mark.parametrize("raw", [
    b"null", b'{"services": null}', b'{"services": "abc"}', b'{"services": {}}', b"[" * 200000, b'{"services": "\xff"}',
    b'{"services": ' + b"9" * 5000 + b"}", b"NaN", b'"x"', b"\xff\xfe", b'{"services": [' + b'{"a":' * 100000], ids=lambda raw: repr(raw[:20]))
def test_a_body_of_another_kind_is_no_answer(fake: Fake, raw: bytes) -> None:
    fake.always["/os-services"] = (200, {}, raw)
    with pytest.raises(CloudUnreachable):
        fake.nova.services()


@pytest.mark.parametrize("raw", [b"[1]", b"[" * 200000, b'{"x": {"message": 7}}', b'{"errors": [{"detail": ""}]}', b"\xff", b"null"],
                         ids=lambda raw: repr(raw[:20]))
@pytest.mark.parametrize("code", [400, 404, 409])
def test_a_refusal_in_odd_words_is_a_refusal(fake: Fake, raw: bytes, code: int) -> None:
    fake.says(code, raw=raw)
    with pytest.raises(CloudError, match=str(code)):
        fake.nova.services()


def test_pages_that_lead_nowhere_end(fake: Fake) -> None:
    for offset in (0, 1):
        fake.says_always(f"/os-server-groups?all_projects=true&limit=500&offset={offset}", {"server_groups": [{"id": "g"}]})
    with pytest.raises(CloudUnreachable, match="has no end"):
        fake.nova.groups()
    fake.always["/servers/detail?all_tenants=1&host=cmp-1&limit=500"] = fake.always[
        "/servers/detail?all_tenants=1&host=cmp-1&limit=500&marker=a1"] = (
        200, {}, b'{"servers": [{"id": "a1"}], "servers_links": [1]}')
    with pytest.raises(CloudUnreachable, match="has no end"):
        fake.nova.servers_on("cmp-1")


@pytest.mark.parametrize("raw", [
    "evacuated;id=a;baseline=" + "9" * 5000, "fenced;id=a;since=" + "9" * 30, "fenced;id=a;since=253402300800", "fenced;id=a;left=" + "1" * 19,
    "fenced;id=it's", 'fenced;id="a"', "fenced;id=a;by=\x1b[2J", "it's@1"])
def test_a_record_that_cannot_be_ours_is_broken(raw: str) -> None:
    assert parse_record("cmp-1", raw) is None


RECORD = Record("cmp-1", CONFIRMED, "i1", proof="node_fenced:1", baseline=0, worker="me", host="cmp-1")


class Written(Cluster):
    """A cluster in memory with one recorded host."""

    record: Record | None = RECORD
    node = ClusterNode("cmp-1", True, False, "node_fenced:1795579201")

    def view(self) -> ClusterView:
        records = {"cmp-1": self.record} if self.record else {}
        return ClusterView({"cmp-1": self.node}, records, {}, True, held={"cmp-1": "true"},
                           levels={"cmp-1": (("fence_ipmilan", "fence_nova"),)})

    def replace(self, record: Record) -> Record:
        self.record = record
        return record

    def show(self, name: str, value: str | None) -> None:
        pass

    def hold(self, node: str, how: str) -> None:
        pass

    def history(self, node: str) -> list[Any]:
        return []

    def transient_yes(self) -> list[str]:
        return []


@pytest.fixture
def little() -> Iterator[LittleNova]:
    one = LittleNova()
    one.service("cmp-1").update(state="down", forced_down=True, status="disabled", disabled_reason="instance-ha: fenced (i1)")
    one.boot("victim", "victim")
    yield one
    one.server.shutdown()
    one.server.server_close()


def spoil_services(little: LittleNova) -> None:
    little.services.append({"id": "z", "binary": "nova-compute", "status": "enabled", "state": "up"})


def spoil_a_server(little: LittleNova) -> None:
    little.boot("odd", "odd", flavor={"vcpus": "x", "extra_specs": {}})


@pytest.mark.parametrize(("spoil", "said"), [
    (spoil_services, "1 of the services in Nova cannot be read: z: host is missing"),
    (spoil_a_server, "1 of the servers on cmp-1 in Nova cannot be read: odd: vcpus is no number")])
def test_the_others_are_evacuated_and_monitor_tells(little: LittleNova, spoil: Any, said: str) -> None:
    spoil(little)
    cluster = Written()
    worker = Worker(Context(cluster, little.nova, Policy(), "me"))
    for _ in range(5):
        worker.turn()
        tell_unreadable(worker)
    assert [row["instance_uuid"] for row in little.migrations] == ["victim"]
    assert said in worker.context.health.problems.values()
    little.move("victim", "done", "cmp-2")
    for _ in range(5):
        worker.turn()
    if spoil is spoil_a_server:
        assert cluster.record and cluster.record.state == CONFIRMED, "a server that cannot be read is no server that has left"
    little.services[:] = [one for one in little.services if "host" in one]
    little.servers.pop("odd", None)
    for _ in range(3):
        worker.turn()
        tell_unreadable(worker)
    assert said not in worker.context.health.problems.values()


def test_a_copy_of_the_door_names_the_same(fake: Fake) -> None:
    door: Nova = fake.nova.about("i1")
    fake.says(200, {"services": [None]})
    door.services()
    assert fake.nova.unreadable == door.unreadable != {}
