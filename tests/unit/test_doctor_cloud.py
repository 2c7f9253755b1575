"""A cloud that is well gives no finding, and each way to be ill gives its own: instance-ha doctor --only cloud."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from instance_ha import cluster as door
from instance_ha.cli import common, main
from instance_ha.doctor.kinds import KINDS
from instance_ha.doctor.rights import NOBODY

from tests.unit.ailing import CLOUD_DEVICE, CLOUD_WORKER, WELL, Changes, Tools, worker_param
from tests.unit.cibs import changed
from tests.unit.little_cloud import IMAGE_DOWN, PASSWORD, TOO_NEW, LittleCloud, forbidden, stamp

Said = pytest.CaptureFixture[str]
VOLUME_FIELDS = {"flavor": {"extra_specs": {}}, "image": ""}   # of a server that was booted from a volume
IMAGE = {"image": {"id": "i-1"}}


@pytest.fixture
def cloud() -> Iterator[LittleCloud]:
    one = LittleCloud()
    one.boot("s1", "db", "cmp-1", **VOLUME_FIELDS)
    yield one
    one.server.shutdown()
    one.server.server_close()


def credentials(resource: str, cloud: LittleCloud, password: str = PASSWORD) -> str:
    pairs = {"auth_url": f"{cloud.url}/v3", "username": "instance-ha", "password": password, "tenant_name": "service"}
    return "".join(f'<nvpair id="{resource}-{name}" name="{name}" value="{value}"/>' for name, value in pairs.items())


def examined(monkeypatch: pytest.MonkeyPatch, capsys: Said, cloud: LittleCloud, changes: Changes = (),
             passwords: tuple[str, str] = (PASSWORD, PASSWORD)) -> tuple[int, list[dict[str, object]]]:
    """The exit code and the findings, of agents whose credentials are parameters."""
    cib = changed(WELL, *changes, (CLOUD_WORKER, credentials("w", cloud, passwords[0])), (CLOUD_DEVICE, credentials("d", cloud, passwords[1])))
    tools = Tools(cib)
    monkeypatch.setattr(door, "run", tools)
    monkeypatch.setattr(common, "run", tools)
    code = main(["doctor", "-f", "json", "--only", "cloud"])
    said = capsys.readouterr()
    assert PASSWORD not in said.out + said.err
    changes = {line for line in cloud.asked if not line.startswith("GET")}
    trial = set() if "admin" in cloud.roles else {f"PUT /os-services/{NOBODY}"}
    assert changes <= trial, "only reads"
    return code, json.loads(said.out)


def test_a_cloud_that_is_well(monkeypatch: pytest.MonkeyPatch, capsys: Said, cloud: LittleCloud) -> None:
    assert examined(monkeypatch, capsys, cloud) == (0, [])


@dataclass(frozen=True)
class Ill:
    """One way to be ill."""

    kind: str
    on: str
    change: Callable[[LittleCloud], object] = lambda cloud: None
    cib: Changes = ()
    passwords: tuple[str, str] = (PASSWORD, PASSWORD)
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.kind}-{self.on}"


def refuse(path: str, policy: str) -> Callable[[LittleCloud], object]:
    return lambda cloud: cloud.refused.update({path: (403, forbidden(policy))})


def service(host: str, **changes: object) -> Callable[[LittleCloud], object]:
    return lambda cloud: cloud.service(host).update(changes)


def also(uid: str, **fields: object) -> Callable[[LittleCloud], object]:
    return lambda cloud: cloud.boot(uid, f"server-{uid}", "cmp-2", **{**VOLUME_FIELDS, **fields})


def of_binary(binary: str, **changes: object) -> Callable[[LittleCloud], object]:
    return lambda cloud: [one.update(changes) for one in cloud.services if one["binary"] == binary]


def longer_names(cloud: LittleCloud) -> None:
    for one in cloud.services:
        one["host"] = {"cmp-1": "cmp-1.example.com", "cmp-2": "cmp-2.example.com"}.get(one["host"], one["host"])
    cloud.services.append({**cloud.services[0], "id": "s-twin", "host": "cmp-2.example.org"})
    cloud.servers.clear()


HELD_DOWN = {"forced_down": True, "state": "down", "status": "disabled", "disabled_reason": "broken fan"}
OURS = {"status": "disabled", "disabled_reason": "instance-ha: fenced by Pacemaker (3f9c)"}
TAGGED = worker_param("protect", "tagged")
DISKS = '<nvpair id="nova-evacuate-instance_attributes-image_disks" name="image_disks" value="evacuate"/>'
CLOUD = (
    Ill("credentials", "nova-evacuate, fence-nova", passwords=("wrong", "wrong"), mend="clouds.yaml"),
    Ill("cloud-away", "nova-evacuate, fence-nova", lambda cloud: setattr(cloud, "away", True)),
    Ill("cloud-away", "Nova", lambda cloud: cloud.refused.update({"/os-aggregates": (503, IMAGE_DOWN)})),
    Ill("unseen", "cloud", lambda cloud: setattr(cloud, "away", True)),
    Ill("nova-old", "nova-evacuate, fence-nova", lambda cloud: cloud.refused.update({"/os-services": (406, TOO_NEW)})),
    Ill("policy", "nova-evacuate, fence-nova", refuse("/os-services", "os_compute_api:os-services:list")),
    Ill("policy", "os_compute_api:servers:detail:get_all_tenants", refuse("/servers/detail", "os_compute_api:servers:detail:get_all_tenants")),
    Ill("policy", "os_compute_api:os-migrations:index", refuse("/os-migrations", "os_compute_api:os-migrations:index")),
    Ill("policies-unseen", "Nova", lambda cloud: setattr(cloud, "roles", ["member", "instance-ha"])),
    Ill("aggregates-hidden", "Nova", refuse("/os-aggregates", "os_compute_api:os-aggregates:index")),
    Ill("aggregates-disagree", "aaa, zzz", lambda cloud: cloud.aggregates.extend(
        {"name": name, "hosts": ["cmp-2"], "metadata": {"evacuable": word}}
        for name, word in (("zzz", "no"), ("aaa", "t"))),
        mend="openstack aggregate unset --property evacuable zzz"),
    Ill("placement", "Placement", lambda cloud: cloud.refused.update({"/allocation_candidates": (503, IMAGE_DOWN)})),
    Ill("no-scheduler", "nova-scheduler", of_binary("nova-scheduler", state="down"), mend="start it on c"),
    Ill("no-scheduler", "nova-conductor", of_binary("nova-conductor", state="down")),
    Ill("no-destination", "Nova", service("cmp-2", status="disabled", disabled_reason="maintenance")),
    Ill("host-unknown", "cmp-2", lambda cloud: [cloud.services.remove(cloud.service("cmp-2"))], mend="start nova-compute on cmp-2"),
    Ill("host-unknown", "cmp-2", longer_names, mend="domain=example.com"),
    Ill("protect-hosts", "cpm-2", cib=(worker_param("protect_hosts", "cmp-* cpm-2"),), mend="correct it, of both"),
    Ill("host-twice", "cmp-2", lambda cloud: cloud.services.append({
        **cloud.service("cmp-2"), "id": "old", "host": "cmp-2.example.com", "state": "down", "updated_at": "2026-01-01T04:00:00.000000"}),
        mend="openstack compute service delete old"),
    Ill("host-unprotected", "cmp-9", lambda cloud: cloud.services.append({**cloud.service("cmp-2"), "host": "cmp-9"}),
        mend="--ignore host-unprotected=cmp-9"),
    Ill("forced-down", "cmp-2", service("cmp-2", **HELD_DOWN),
        mend="openstack --os-compute-api-version 2.53 compute service set --up cmp-2 nova-compute"),
    Ill("left-disabled", "cmp-2", service("cmp-2", **OURS), mend="openstack compute service set --enable cmp-2 nova-compute"),
    Ill("nova-compute-down", "cmp-2", service("cmp-2", state="down")),
    Ill("zone-alone", "west", service("cmp-2", zone="west")),
    Ill("nothing-protected", "Nova", cib=(TAGGED,), mend="protect=all"),
    Ill("unprotected", "server metadata evacuable=false", also("s2", metadata={"evacuable": "false"}), mend="instance-ha plan HOST"),
    Ill("not-evacuable", "is suspended, and recover_states does not name suspended", also("s2", **{"OS-EXT-STS:vm_state": "suspended"}),
        mend="recover_states=error paused resized suspended"),
    Ill("not-evacuable", "is being built", also("s2", **{"OS-EXT-STS:vm_state": "building"})),
    Ill("not-evacuable", "has an emulated TPM, which Nova does not evacuate", also("s2", flavor={"extra_specs": {"hw:tpm_version": "2.0"}})),
    Ill("not-evacuable", "has an emulated TPM, which Nova does not evacuate", lambda cloud: [
        also("s2", **IMAGE)(cloud), cloud.images.update({"i-1": {"id": "i-1", "tags": [], "hw_tpm_version": "2.0"}})]),
    Ill("image-disks", "Nova", also("s2", **IMAGE), cib=((DISKS, ""),), mend="image_disks=evacuate"),
    Ill("local-disks", "Nova", also("s2", **IMAGE)),
    Ill("unprotected", "image_disks=leave", also("s2", **IMAGE), cib=((DISKS, DISKS.replace("evacuate\"/>", "leave\"/>")),)),
    Ill("glance", "Glance", lambda cloud: [also("s2", **IMAGE)(cloud), cloud.refused.update({"/v2/images": (503, IMAGE_DOWN)})]),
    Ill("cell-down", "Nova", lambda cloud: cloud.servers.update({"s2": {
        "id": "s2", "status": "UNKNOWN", "tenant_id": "p", "created": "2026-11-25T04:00:00Z", "OS-EXT-SRV-ATTR:host": "cmp-2", "locked": None}})),
    Ill("clock", "Nova", lambda cloud: setattr(cloud, "ahead", 60)),
    Ill("clock", "Nova", lambda cloud: setattr(cloud, "ahead", -60)),
    Ill("clock", "c", lambda cloud: [one.update(updated_at=stamp(30)) for one in cloud.services if one["binary"] == "nova-scheduler"]),
)


@pytest.mark.parametrize("ill", CLOUD, ids=str)
def test_a_cloud_that_is_ill(monkeypatch: pytest.MonkeyPatch, capsys: Said, cloud: LittleCloud, ill: Ill) -> None:
    ill.change(cloud)
    code, rows = examined(monkeypatch, capsys, cloud, ill.cib, ill.passwords)
    found = [row for row in rows if (row["Finding"], row["On"]) == (ill.kind, ill.on)]
    assert len(found) == 1, rows
    assert found[0]["Why"] == KINDS[ill.kind].why and ill.mend in "\n".join(map(str, found[0]["Mend"]))  # type: ignore[call-overload]
    assert code == (0 if all(row["Level"] == "warning" for row in rows) else 1)
