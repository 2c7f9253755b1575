"""instance-ha doctor names each right that the agents' role lacks, and changes nothing for that."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from instance_ha import cluster as door
from instance_ha.cli import common, main
from instance_ha.doctor import rights

from tests.unit.ailing import CLOUD_DEVICE, CLOUD_WORKER, WELL, Tools
from tests.unit.cibs import changed
from tests.unit.little_cloud import LittleCloud, forbidden
from tests.unit.test_doctor_cloud import Said, credentials

NOVA, PLACEMENT = "os_compute_api:", "placement:"
SERVER = "11111111-0000-4000-8000-000000000001"
# What the doctor's reading of any cloud is refused without, whatever role is used.
READ = (
    *(
        NOVA + name
        for name in (
            "os-services:list",
            "os-aggregates:index",
            "servers:detail",
            "servers:detail:get_all_tenants",
            "servers:show",
            "os-instance-actions:list",
            "os-instance-actions:show",
            "os-migrations:index",
            "os-hypervisors:list-detail",
            "os-server-groups:index",
        )
    ),
    PLACEMENT + "allocation_candidates:list",
)
TRIED = tuple(
    NOVA + name
    for name in (
        "os-services:update",
        "os-evacuate",
        "servers:allow_all_filters",
        "os-extended-server-attributes",
        "servers:show:flavor-extra-specs",
        "os-server-diagnostics",
        "os-instance-actions:events",
        "os-instance-actions:events:details",
        "os-migrations:index:all_projects",
        "os-migrations:index:host",
        "os-server-groups:index:all_projects",
        "os-server-groups:show",
    )
) + tuple(
    PLACEMENT + name
    for name in (
        "resource_providers:list",
        "allocations:list",
        "resource_providers:inventories:list",
    )
)


def denied(right: str) -> tuple[int, Any]:
    said = f"Policy does not allow {right} to be performed."
    words = f"Access was denied to this resource.\n\n {said}  "
    return 403, {"errors": [{"status": 403, "title": "Forbidden", "detail": words}]}


def gone(what: str) -> tuple[int, Any]:
    return 404, {"itemNotFound": {"code": 404, "message": what}}


class RoleCloud(LittleCloud):
    """A cloud whose agents have the role evacuator, without the rights in `lacks`.

    It answers as Nova 34 and Placement 16 do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.roles = ["evacuator"]
        self.lacks: set[str] = set()
        self.groups = [{"id": "g-1", "name": "g", "policy": "affinity", "members": [], "rules": {}}]
        self.boot(
            SERVER,
            "db",
            "cmp-1",
            tenant_id="another",
            status="ACTIVE",
            image={"id": "i-1"},
            flavor={"extra_specs": {}},
        )
        self.images["i-1"] = {"id": "i-1", "tags": []}
        self.ask(SERVER, "failed")
        self.servers[SERVER].update({"OS-EXT-STS:vm_state": "active"})

    def answer(self, method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        url = urlsplit(path)
        query, words = parse_qs(url.query), url.path.strip("/").split("/")
        if url.path.startswith(("/resource_providers", "/allocations")):
            return self._placement(words)
        right = self._right(method, words, query, body)
        if right in self.lacks:
            self.asked.append(f"{method} {url.path}")
            return 403, forbidden(right)
        if words[0] == "os-services" and len(words) == 2:
            self.asked.append(f"{method} {url.path}")
            return gone(f"Service {words[1]} could not be found.")
        if words[0] == "os-server-groups":
            return (
                (200, {"server_groups": self.groups})
                if len(words) == 1
                else (200, {"server_group": self.groups[0]})
            )
        if words[-1] == "action":
            self.asked.append(f"{method} {url.path}")
            assert body == {"evacuate": {"host": rights.NOWHERE}}
            return gone(f"Compute host {rights.NOWHERE} not found.")
        if words[-1] == "diagnostics":
            return 200, {"state": "running"}
        if words[0] == "servers" and words[1:] != ["detail"] and "context_is_admin" in self.lacks:
            return gone(f"Instance {words[1]} could not be found.")
        code, answer = super().answer(method, path, body, request)
        return code, self._shown(words, query, json.loads(json.dumps(answer)))

    def _right(self, method: str, words: list[str], query: dict[str, list[str]], body: Any) -> str:
        """The right that Nova refuses a request for."""
        if words[0] == "os-migrations" and NOVA + "os-migrations:index:all_projects" in self.lacks:
            return NOVA + "os-migrations:index:all_projects"
        if words[0] == "os-server-groups":
            return NOVA + (
                "os-server-groups:index:all_projects"
                if len(words) == 1
                else "os-server-groups:show"
            )
        if words[0] == "os-services" and len(words) == 2:
            return NOVA + "os-services:update"
        return NOVA + {"action": "os-evacuate", "diagnostics": "os-server-diagnostics"}.get(
            words[-1], ""
        )

    def _shown(self, words: list[str], query: dict[str, list[str]], answer: Any) -> Any:
        """An answer without what its reader may not see."""
        for row in answer.get("servers", []) if isinstance(answer, dict) else []:
            if NOVA + "os-extended-server-attributes" in self.lacks:
                row.pop("OS-EXT-SRV-ATTR:host")
            if NOVA + "servers:show:flavor-extra-specs" in self.lacks:
                row["flavor"] = {"original_name": "m1.tiny"}
        if words == ["servers", "detail"] and NOVA + "servers:allow_all_filters" in self.lacks:
            return {"servers": [*self.servers.values()]}
        if words[0] == "os-migrations" and NOVA + "os-migrations:index:host" in self.lacks:
            return {
                "migrations": [
                    {**row, "source_compute": None, "dest_compute": None}
                    for row in answer["migrations"]
                ]
            }
        hidden = {"traceback": "events", "details": "events:details"}
        for event in (
            (answer.get("instanceAction") or {}).get("events", [])
            if isinstance(answer, dict)
            else []
        ):
            for key, name in hidden.items():
                if NOVA + "os-instance-actions:" + name in self.lacks:
                    event.pop(key)
        return answer

    def _placement(self, words: list[str]) -> tuple[int, Any]:
        right = PLACEMENT + (
            "allocations:list"
            if words[0] == "allocations"
            else "resource_providers:inventories:list"
            if len(words) > 1
            else "resource_providers:list"
        )
        if right in self.lacks:
            return denied(right)
        if right.endswith("inventories:list"):
            return 404, {
                "errors": [
                    {
                        "status": 404,
                        "title": "Not Found",
                        "detail": "The resource could not be found.\n\n None ",
                    }
                ]
            }
        return 200, {"allocations": {}, "resource_providers": []}


@pytest.fixture
def cloud() -> Iterator[RoleCloud]:
    one = RoleCloud()
    yield one
    one.server.shutdown()
    one.server.server_close()


def found_in(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, cloud: RoleCloud
) -> dict[str, dict[str, str]]:
    """The findings on rights, by what they are on."""
    cib = changed(
        WELL, (CLOUD_WORKER, credentials("w", cloud)), (CLOUD_DEVICE, credentials("d", cloud))
    )
    monkeypatch.setattr(door, "run", Tools(cib))
    monkeypatch.setattr(common, "run", Tools(cib))
    assert main(["doctor", "-f", "json", "--only", "cloud"]) == 1
    rows = [
        row
        for row in json.loads(capsys.readouterr().out)
        if row["Finding"] in ("policy", "policies-unseen", "placement")
    ]
    assert len(rows) == len({row["On"] for row in rows}), rows
    return {row["On"]: row for row in rows}


def test_a_role_with_every_right(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, cloud: RoleCloud
) -> None:
    rows = found_in(monkeypatch, capsys, cloud)
    assert [*rows] == ["Nova"]
    said = rows["Nova"]["What"]
    assert "the roles evacuator, and not admin" in said and all(
        right in said for right in rights.ONLY_BY_USE
    )
    assert not [right for right in TRIED if right in said.replace(",", "").split()]
    changes = {line for line in cloud.asked if not line.startswith("GET")}
    assert changes == {f"PUT /os-services/{rights.NOBODY}", f"POST /servers/{SERVER}/action"}
    assert all(row["action"] != "evacuate" for row in cloud.actions[SERVER][1:]), (
        "the trial is no request to evacuate"
    )


@pytest.mark.parametrize("right", [*TRIED, rights.IS_ADMIN])
def test_each_missing_right_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, cloud: RoleCloud, right: str
) -> None:
    cloud.lacks.add(right)
    rows = found_in(monkeypatch, capsys, cloud)
    assert right in rows and rows[right]["Level"] == "error" and right in str(rows[right]["Mend"])
    assert {*rows} == {right, "Nova"}


def test_an_image_that_may_not_be_seen(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, cloud: RoleCloud
) -> None:
    cloud.refused["/v2/images/"] = (403, "You are not authorized to complete get_image action.")
    assert found_in(monkeypatch, capsys, cloud)[rights.GLANCE]["Level"] == "error"
    cloud.refused["/v2/images/"] = (404, "Not Found")  # gone, or hidden: nobody knows
    rows = found_in(monkeypatch, capsys, cloud)
    assert [*rows] == ["Nova"] and rights.GLANCE in rows["Nova"]["What"]


@pytest.mark.parametrize(
    "more", [{"flavor": 7}, {"image": {"id": [1]}}, {"tenant_id": {}}, {"id": 7}], ids=repr
)
def test_an_odd_server_is_no_missing_right(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, cloud: RoleCloud, more: dict[str, Any]
) -> None:
    cloud.servers[SERVER].update(more)
    assert [*found_in(monkeypatch, capsys, cloud)] == ["Nova"]


@pytest.mark.parametrize("events", [[7], 7, {"a": 1}], ids=repr)
def test_nor_are_odd_events(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, cloud: RoleCloud, events: object
) -> None:
    answer = cloud.answer

    def odd(*asked: Any) -> tuple[int, Any]:
        code, found = answer(*asked)
        if isinstance(found, dict) and "instanceAction" in found:
            found["instanceAction"]["events"] = events
        return code, found

    monkeypatch.setattr(cloud, "answer", odd)
    said = found_in(monkeypatch, capsys, cloud)
    assert [*said] == ["Nova"]
    assert NOVA + "os-instance-actions:events:details" in said["Nova"]["What"]


def test_a_cloud_with_nothing_to_look_at(
    monkeypatch: pytest.MonkeyPatch, capsys: Said, cloud: RoleCloud
) -> None:
    cloud.servers.clear()
    cloud.migrations.clear()
    cloud.groups.clear()
    rows = found_in(monkeypatch, capsys, cloud)
    assert [*rows] == ["Nova"]
    assert all(
        right in rows["Nova"]["What"]
        for right in (rights.IS_ADMIN, NOVA + "os-evacuate", NOVA + "os-migrations:index:host")
    )


def test_every_right_of_the_policy_file_is_tried_or_said_not_to_be() -> None:
    make = policy_maker()
    needed = {*make.NEEDED["nova"], *make.NEEDED["placement"]}
    older = {NOVA + "os-flavor-extra-specs:index"}  # the name before Nova 25
    assert needed - older == {*READ, *TRIED, *rights.ONLY_BY_USE}


def policy_maker() -> ModuleType:
    """packaging/policy/make.py."""
    path = Path(__file__).parents[2] / "packaging" / "policy" / "make.py"
    spec = importlib.util.spec_from_file_location("policy_make", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
