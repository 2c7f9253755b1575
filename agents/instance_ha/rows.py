"""Pure: rows of Nova's answers as values. A row that cannot be read spoils no other, and is reported."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, TypeVar

from .model import UNREADABLE, Action, Aggregate, Group, Migration, Server, Service, Step

TOO_MUCH = 10 ** 15        # of VCPUs, MiB or GiB
Value = TypeVar("Value")


class OddRow(ValueError):
    """A row that cannot be read. The message says what of it."""


@dataclass(frozen=True)
class Unreadable:
    """A row that was not read in full: whose it is ("" where not even that can be read), and why."""

    id: str
    why: str


class Rows(list[Value]):
    """What could be read of a list, and in `unreadable` what could not. A server of which only the id can be
    read is in both: as a server of which nothing is known. So is a migration, as one in progress."""

    unreadable: tuple[Unreadable, ...] = ()
    cut = False       # there are more, which were not read


def read_all(rows: Iterable[Any], read: Callable[[Any], Value], rest: Callable[[Any], Value | None] = lambda row: None) -> Rows[Value]:
    """Read every row. What `read` cannot read in full, `rest` may read in part."""
    found, odd = Rows[Value](), []
    for row in rows:
        try:
            found.append(read(row))
        except OddRow as error:
            odd.append(Unreadable(_whose(row), str(error)))
            part = rest(row)
            if part is not None:
                found.append(part)
    found.unreadable = tuple(odd)
    return found


def _whose(row: Any) -> str:
    names = ("instance_uuid", "uuid", "id", "host", "name") if isinstance(row, Mapping) else ()
    return next((str(row[name]) for name in names if isinstance(row.get(name), (str, int)) and row[name] != ""), "")


def marker_of(row: Any) -> str:
    """What the page after this row is asked by; "" where it does not tell."""
    return next((str(row[name]) for name in ("uuid", "id") if row.get(name)), "") if isinstance(row, Mapping) else ""


def table(row: Any) -> Mapping[str, Any]:
    """The row itself if it is an object. Raises OddRow."""
    if not isinstance(row, Mapping):
        raise OddRow(f"it is {_kind(row)}, not an object")
    return row


def text(row: Mapping[str, Any], key: str, default: str | None = None) -> str:
    """A string. `default` stands for null and for a missing one; without it those are odd. Raises OddRow."""
    value = row.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or (default is None and not value):
        raise OddRow(f"{key} is {'empty' if value == '' else _kind(value)}")
    return value


def _number(row: Mapping[str, Any], key: str) -> int:
    """A whole number, 0 for null and for a missing one. Raises OddRow."""
    value = row.get(key)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or abs(value) >= TOO_MUCH:
        raise OddRow(f"{key} is no number")
    return int(value)


def _inner(row: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = row.get(key)
    if value is not None and value != "" and not isinstance(value, Mapping):
        raise OddRow(f"{key} is {_kind(value)}, not an object")
    return value or {}


def _words(row: Mapping[str, Any], key: str) -> Mapping[str, str]:
    found = _inner(row, key)
    if not all(isinstance(name, str) and isinstance(value, str) for name, value in found.items()):
        raise OddRow(f"{key} holds what is no text")
    return found


def _names(row: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = row.get(key)
    if found is not None and not (isinstance(found, list) and all(isinstance(one, str) for one in found)):
        raise OddRow(f"{key} is no list of names")
    return tuple(found or ())


def _kind(value: object) -> str:
    return "missing" if value is None else f"a {type(value).__name__}"


def _or_none(row: Mapping[str, Any], key: str) -> str | None:
    return text(row, key, "") or None


def _lax(row: Mapping[str, Any], key: str) -> str:
    """A text that nothing is decided by; "" for what is none."""
    value = row.get(key)
    return value if isinstance(value, str) else ""


def service_of(row: Any) -> Service:
    """Read a service. Raises OddRow."""
    row = table(row)
    if not isinstance(row.get("forced_down"), (bool, type(None))):
        raise OddRow("forced_down is neither true nor false")
    known = row.get("id")
    if isinstance(known, bool) or not isinstance(known, (str, int, type(None))):
        raise OddRow(f"id is {_kind(known)}")
    return Service(
        str(known or ""), text(row, "binary"), text(row, "host"), text(row, "status", "") == "enabled", text(row, "state", "") == "up",
        bool(row.get("forced_down")), _lax(row, "disabled_reason"), _lax(row, "updated_at"), text(row, "zone", ""), "id" in row)


# Without one of these, or without a word on its image, which is "" of one with a volume, a row is a part of one: what Nova, or whatever
# stands before it, left out is not known.
_WHOLE = ("OS-EXT-SRV-ATTR:host", "OS-EXT-STS:vm_state", "OS-EXT-STS:task_state", "locked")


def service_in_part(row: Any) -> Service | None:
    """A service of which nothing but its name can be read, as Nova itself tells of one whose cell is away."""
    try:
        return Service("", text(table(row), "binary"), text(row, "host"), False, False, False, known=False)
    except OddRow:
        return None


def server_of(row: Any) -> Server:
    """Read a server. Raises OddRow."""
    row = table(row)
    flavor, image, fault = _inner(row, "flavor"), row.get("image"), _inner(row, "fault")
    made_from = text(image, "id", "") if isinstance(image, Mapping) else ""
    power, locked = row.get("OS-EXT-STS:power_state"), row.get("locked")
    if isinstance(power, bool) or not isinstance(power, (int, type(None))):
        raise OddRow("power_state is no number")
    if not isinstance(locked, (bool, type(None))):
        raise OddRow("locked is neither true nor false")
    return Server(
        id=text(row, "id"), name=text(row, "name", "") or text(row, "id"), host=_or_none(row, "OS-EXT-SRV-ATTR:host"),
        vm_state=_or_none(row, "OS-EXT-STS:vm_state") if all(key in row for key in _WHOLE) and (made_from or image == "") else None,
        task_state=_or_none(row, "OS-EXT-STS:task_state"),
        power_state=power, locked=locked,
        locked_reason=text(row, "locked_reason", ""), metadata=_words(row, "metadata"),
        extra_specs=_words(flavor, "extra_specs"), image=made_from,
        fault=_lax(fault, "message"), fault_at=_lax(fault, "created"),
        project=text(row, "tenant_id", ""), status=text(row, "status", "") or "UNKNOWN",
        groups=_names(row, "server_groups") if "server_groups" in row else None,
        size=(_number(flavor, "vcpus"), _number(flavor, "ram"), _number(flavor, "disk") + _number(flavor, "ephemeral")),
    )


def server_in_part(row: Any) -> Server | None:
    """A server of which nothing but its id can be relied on, as Nova itself tells of one whose cell is away."""
    try:
        return Server(text(table(row), "id"), _lax(row, "name") or row["id"], _lax(row, "OS-EXT-SRV-ATTR:host") or None,
                      None, None, None, None, status="UNKNOWN")
    except OddRow:
        return None


def migration_of(row: Any) -> Migration:
    """Read a migration. Raises OddRow."""
    row = table(row)
    number = row.get("id")
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise OddRow("id is no number of Nova's")      # one below 1 would stand for an incident of long ago
    return Migration(number, text(row, "instance_uuid"), text(row, "status"), text(row, "source_compute", ""),
                     _or_none(row, "dest_compute"), _lax(row, "created_at"), _lax(row, "updated_at"))


def migration_in_part(row: Any) -> Migration | None:
    """A migration of a server that is known and of which the rest is not: it counts as in progress, so that its server
    is not sent anywhere again."""
    number = row.get("id") if isinstance(row, Mapping) else None
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        return None
    server = _lax(row, "instance_uuid")
    return Migration(number, server, UNREADABLE, _lax(row, "source_compute"), _lax(row, "dest_compute") or None) if server else None


def action_of(row: Any) -> Action:
    """Read an action. Raises OddRow."""
    row = table(row)
    # What nova-compute does by itself has both as null. One that is missing somebody has taken out.
    by_nova = all(key in row and row[key] is None for key in ("user_id", "project_id"))
    return Action(_lax(row, "action"), _lax(row, "request_id"), _lax(row, "start_time"), _lax(row, "updated_at"),
                  _lax(row, "user_id"), _lax(row, "project_id"), by_nova)


def step_of(row: Any) -> Step:
    """Read a step of an action. Raises OddRow."""
    row = table(row)
    lines = [line.strip() for line in _lax(row, "traceback").splitlines() if line.strip()]
    why = _lax(row, "details") or (lines[-1] if lines else "")
    return Step(_lax(row, "event"), _lax(row, "host"), _lax(row, "start_time"), _lax(row, "finish_time"), _lax(row, "result"),
                why if row.get("result") == "Error" else "", _lax(row, "traceback"))


def nova_time(text: str) -> float | None:
    """Nova's text of a time as seconds since the epoch, by Nova's clock; None for none."""
    try:
        return datetime.fromisoformat(text.rstrip("Z")).replace(tzinfo=timezone.utc).timestamp()
    except (ValueError, OverflowError):
        return None


def aggregate_of(row: Any) -> Aggregate:
    """Read a host aggregate. Raises OddRow."""
    row = table(row)
    return Aggregate(text(row, "name"), frozenset(_names(row, "hosts")), _words(row, "metadata"))


def group_of_row(row: Any) -> Group:
    """Read a server group. Raises OddRow."""
    row = table(row)
    return Group(text(row, "id"), text(row, "name", "") or text(row, "id"), text(row, "policy", ""), _names(row, "members"),
                 _number(_inner(row, "rules"), "max_server_per_host") or 1)


def image_of(row: Any) -> Mapping[str, Any]:
    """Read an image (Glance): its properties that are text, and its tags. Raises OddRow."""
    row = table(row)
    return {**{key: value for key, value in row.items() if isinstance(value, str)}, "tags": list(_names(row, "tags"))}


def compute_node_of(row: Any) -> tuple[str, str]:
    """Read a hypervisor: its id, and its compute host. Raises OddRow."""
    row = table(row)
    if isinstance(row.get("id"), bool) or not isinstance(row.get("id"), (str, int)):
        raise OddRow(f"id is {_kind(row.get('id'))}")
    return str(row["id"]), text(_inner(row, "service"), "host")
