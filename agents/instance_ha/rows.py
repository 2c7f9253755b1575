"""Pure: rows of Nova's answers as values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from .model import Action, Aggregate, Group, Migration, Server, Service, Step


def service_of(row: Mapping[str, Any]) -> Service:
    return Service(
        str(row.get("id") or ""), row["binary"], row["host"], row.get("status") == "enabled", row.get("state") == "up",
        bool(row.get("forced_down")), row.get("disabled_reason") or "", row.get("updated_at") or "", row.get("zone") or "", "id" in row)


# Without one of these a row is a part of one: what Nova, or whatever stands before it, left out is not known.
_WHOLE = ("OS-EXT-SRV-ATTR:host", "OS-EXT-STS:vm_state", "OS-EXT-STS:task_state", "locked")


def server_of(row: Mapping[str, Any]) -> Server:
    flavor = row.get("flavor") or {}
    image = row.get("image") or {}
    return Server(
        id=row["id"], name=row.get("name") or row["id"], host=row.get("OS-EXT-SRV-ATTR:host"),
        vm_state=row.get("OS-EXT-STS:vm_state") if all(key in row for key in _WHOLE) else None, task_state=row.get("OS-EXT-STS:task_state"),
        power_state=row.get("OS-EXT-STS:power_state"), locked=row.get("locked"),
        locked_reason=row.get("locked_reason") or "", metadata=row.get("metadata") or {},
        extra_specs=flavor.get("extra_specs") or {}, image=image.get("id", "") if isinstance(image, Mapping) else "",
        fault=(row.get("fault") or {}).get("message", ""), fault_at=(row.get("fault") or {}).get("created", ""),
        project=row.get("tenant_id") or "", status=row.get("status") or "UNKNOWN",
        groups=tuple(row["server_groups"]) if "server_groups" in row else None,
        size=(int(flavor.get("vcpus") or 0), int(flavor.get("ram") or 0), int(flavor.get("disk") or 0) + int(flavor.get("ephemeral") or 0)),
    )


def migration_of(row: Mapping[str, Any]) -> Migration:
    return Migration(
        int(row["id"]), row["instance_uuid"], row["status"], row.get("source_compute") or "", row.get("dest_compute") or None,
        row.get("created_at") or "", row.get("updated_at") or "",
    )


def action_of(row: Mapping[str, Any]) -> Action:
    return Action(row.get("action") or "", row.get("request_id") or "", row.get("start_time") or "", row.get("updated_at") or "",
                  row.get("user_id") or "", row.get("project_id") or "")


def step_of(row: Mapping[str, Any]) -> Step:
    lines = [line.strip() for line in (row.get("traceback") or "").splitlines() if line.strip()]
    why = row.get("details") or (lines[-1] if lines else "")
    return Step(row.get("event") or "", row.get("host") or "", row.get("start_time") or "", row.get("finish_time") or "", row.get("result") or "",
                why if row.get("result") == "Error" else "", row.get("traceback") or "")


def nova_time(text: str) -> float | None:
    """Nova's text of a time as seconds since the epoch, by Nova's clock; None for none."""
    try:
        return datetime.fromisoformat(text.rstrip("Z")).replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None


def aggregate_of(row: Mapping[str, Any]) -> Aggregate:
    return Aggregate(row["name"], frozenset(row.get("hosts") or ()), row.get("metadata") or {})


def group_of_row(row: Mapping[str, Any]) -> Group:
    most = (row.get("rules") or {}).get("max_server_per_host")
    return Group(row["id"], row.get("name") or row["id"], row.get("policy") or "", tuple(row.get("members") or ()), int(most or 1))
