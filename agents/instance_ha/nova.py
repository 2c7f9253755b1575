"""The only door to OpenStack: a dozen verbs, one pinned microversion, errors translated."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from .answers import items, member
from .errors import NOT_ACCEPTABLE, CellAway, CloudRefused, CloudUnreachable, TooMuch
from .events import pairs
from .group_pages import all_groups
from .model import UNREADABLE, Action, Aggregate, Group, Migration, Server, Service, Step
from .pace import Pace
from .questions import Question, Untold, ask, ask_json, guarded
from .rows import (
    OddRow,
    Rows,
    action_of,
    aggregate_of,
    compute_node_of,
    group_of_row,
    image_of,
    marker_of,
    migration_in_part,
    migration_of,
    read_all,
    server_in_part,
    server_of,
    service_in_part,
    service_of,
    step_of,
    table,
    text,
)
from .trail import TRAIL

# 2.73: the reason of a lock. Below 2.95, so that servers that ran run again.
MICROVERSION = "2.73"
FORCE_MICROVERSION = "2.67"       # the last that takes a host past the scheduler
PLACEMENT_MICROVERSION = "1.29"   # allocation candidates with their summaries, forbidden traits
ZONE_MICROVERSION = "2.96"        # the first that tells whether a server is pinned to its zone
DETAILS_MICROVERSION = "2.84"     # the first that says in words why an action failed; where it is not there, the trace has to do
PAGE = 500                        # rows that are asked for at once, a quarter of it after each list that was too slow or too big
SMALLEST = 5
MOST_ROWS = 1_000_000             # of one list, however many pages
MOST_PAGES = 10                   # of the list of what was asked of one server, which has 1000 on a page
MOST_NAMED = 3                    # rows that a sentence names
NAMELESS = "one without a name"
LOG = logging.getLogger(__name__)
Value = TypeVar("Value")


class Nova:
    """Nova through a keystoneauth1 adapter. Every verb raises CloudUnreachable or CloudRefused."""

    def __init__(self, compute: Any, image: Any, placement: Any) -> None:
        self._compute = compute
        self._image = image
        self._placement = placement
        self.pace, self._page = Pace(), [PAGE]     # a copy for one incident shares them
        self._images: dict[str, Mapping[str, Any]] = {}
        self._glance = Untold()
        self._incident = ""
        self._user: str | None = None
        self.unreadable: dict[str, str] = {}   # what could not be read in the newest answer to each question, as sentences

    def about(self, incident: str) -> Nova:
        """The same door for the work of one incident, which the log then names."""
        same = copy.copy(self)
        same._incident = incident
        return same

    def services(self) -> list[Service]:
        """Every Nova service (GET /os-services)."""
        rows = items(self._get("/os-services"), "services")
        return self._named("services", read_all(rows, service_of, service_in_part))

    def force_down(self, service: Service, down: bool) -> None:
        """Set or clear forced_down (PUT /os-services/{uuid}); may be repeated."""
        self._change(service, {"forced_down": down})

    def disable(self, service: Service, reason: str) -> None:
        """Disable a service that is already down: disabling one that Nova believes in waits for its dead host."""
        self._change(service, {"status": "disabled", "disabled_reason": reason[:255]})

    def enable(self, service: Service) -> None:
        """Enable a service."""
        self._change(service, {"status": "enabled"})

    def _change(self, service: Service, what: Mapping[str, object]) -> None:
        if not service.known:
            raise CellAway(service.host)
        ask_json(Question("PUT", f"/os-services/{service.id}", what), self._compute, self.pace)

    def servers_on(self, host: str) -> list[Server]:
        """Every server that Nova has on a host."""
        found = self._servers(f"servers on {host}", {"host": host}, lambda server: server.host in (host, None))
        if self._incident:
            TRAIL.note_all((server.id for server in found), self._incident)
        return found

    def server(self, server_id: str) -> Server | None:
        """One server by id; None when there is none."""
        try:
            return _one(server_of, member(self._get(f"/servers/{server_id}"), "server"), f"server {server_id}")
        except CloudRefused as error:
            if error.status == 404:
                return None
            raise

    def find_server(self, name: str) -> list[Server]:
        """Servers with exactly this name, of all projects."""
        # Nova takes it for a regular expression.
        return self._servers("servers of that name", {"name": re.escape(name)}, lambda server: server.name == name)

    def _servers(self, what: str, query: Mapping[str, str], wanted: Callable[[Server], bool]) -> Rows[Server]:
        rows = self._pages("servers", "/servers/detail", {"all_tenants": "1", **query})
        every = self._named(what, read_all(rows, server_of, server_in_part))
        found = Rows[Server](filter(wanted, every))
        found.unreadable = every.unreadable
        return found

    def evacuations(self, host: str, after: int = 0) -> list[Migration]:
        """Return the evacuations from a host that Nova remembers, oldest first: those with an id above `after`, and the one before."""
        return self._migrations("evacuation", host, after)

    def live_migrations(self, host: str) -> list[Migration]:
        """Every live migration from a host that Nova remembers, oldest first."""
        return self._migrations("live-migration", host)

    def _migrations(self, kind: str, host: str, after: int = 0) -> list[Migration]:
        query = {"migration_type": kind, "source_compute": host}
        rows = self._migration_rows(f"migrations from {host}", query, after=after)
        return [row for row in rows if row.source == host or row.status == UNREADABLE]

    def _migration_rows(self, what: str, query: Mapping[str, str], *kinds: str, after: int = 0) -> list[Migration]:
        """Migrations, oldest first, of these kinds if any are given. One that tells not even whose it is leaves open what is in
        progress: CloudUnreachable."""
        raw = []
        for row in self._pages("migrations", "/os-migrations", query):   # Nova gives the newest first
            if not kinds or not isinstance(row, dict) or row.get("migration_type") in kinds:
                raw.append(row)
            if after and isinstance(row, dict) and isinstance(row.get("id"), int) and row["id"] <= after:
                break
        found = read_all(raw, migration_of, migration_in_part)
        if len(found) < len(raw):
            why = "; ".join(one.why for one in found.unreadable[:MOST_NAMED])
            raise CloudUnreachable(f"{len(raw) - len(found)} of the {what} in Nova cannot be read ({why}), so that nobody knows what is in progress")
        if any(not row.source and row.status != UNREADABLE for row in found):
            raise CloudUnreachable(
                "Nova does not show from which host its migrations are, so that nobody knows what is in "
                "progress: give the agents' user os_compute_api:os-migrations:index:host")
        # One that is there twice would count for two requests: of two with one id the one that is further, and not over.
        order = sorted(self._named(what, found), key=lambda row: (row.id, row.in_progress, row.status != "accepted"))
        return [*{row.id: row for row in order}.values()]

    def resize_of(self, server_id: str) -> Migration | None:
        """The newest resize or cold migration of a server."""
        rows = self._migration_rows(f"migrations of {server_id}", {"instance_uuid": server_id}, "resize", "migration")
        return max(rows, key=lambda row: row.id, default=None)

    def migrations_of(self, server_id: str) -> list[Migration]:
        """Every move of a server that Nova remembers, of whatever kind, oldest first."""
        return self._migration_rows(f"migrations of {server_id}", {"instance_uuid": server_id})

    def own_user(self) -> str:
        """Return the id of the user that asks, by Keystone's own word; "" where the credentials have none."""
        if self._user is None:
            self._user = guarded("GET", "/auth/tokens", lambda: self._compute.get_user_id()) or ""
        return self._user

    def actions(self, server_id: str) -> Rows[Action]:
        """Return what was ever asked of a server, newest first, from Nova's own record: of more than MOST_PAGES pages the newest.

        Its owner makes such a list as long as he likes, also of a server that is locked: an image can be made of it."""
        path, rows, marker = f"/servers/{server_id}/os-instance-actions", Rows[Action](), dict[str, str]()
        for _ in range(MOST_PAGES):
            answer = self._get(path, marker)
            page = items(answer, "instanceActions")
            known = frozenset(rows)
            found = [one for one in _whole(read_all(page, action_of), f"actions of {server_id}")
                     if one not in known]      # Nova repeats some where two have the marker's id
            rows += found
            if not found or not answer.get("links"):
                break
            marker = {"marker": found[-1].request}
        else:
            rows.cut = True
        return rows

    def steps(self, server_id: str, request: str) -> list[Step]:
        """What Nova did for one of these requests, in the order of its beginning."""
        path = f"/servers/{server_id}/os-instance-actions/{request}"
        try:
            answer = self._get(path, microversion=DETAILS_MICROVERSION)
        except CloudRefused as error:
            if error.status != NOT_ACCEPTABLE:
                raise
            answer = self._get(path)
        action = _one(table, member(answer, "instanceAction"), f"action {request}")
        rows = read_all(items(action, "events") if action.get("events") else (), step_of)
        return sorted(_whole(rows, f"events of {request}"), key=lambda step: step.started)

    def evacuations_of(self, server_id: str) -> list[Migration]:
        """Every evacuation of a server that Nova remembers, from whatever host, oldest first."""
        return self._migration_rows(f"evacuations of {server_id}", {"instance_uuid": server_id, "migration_type": "evacuation"})

    def aggregates(self) -> list[Aggregate]:
        """Every host aggregate."""
        return self._named("aggregates", read_all(items(self._get("/os-aggregates"), "aggregates"), aggregate_of))

    def group(self, group_id: str) -> Group | None:
        """One server group; None when there is none."""
        try:
            return _one(group_of_row, member(self._get(f"/os-server-groups/{group_id}"), "server_group"), f"server group {group_id}")
        except CloudRefused as error:
            if error.status == 404:
                return None
            raise

    def groups(self) -> list[Group]:
        """Every server group, of all projects."""
        found, whole = all_groups(self._group_page)
        if not whole:
            LOG.warning("the list of server groups changed while it was read, again and again: some may be missing")
        return self._named("server groups", read_all(found, group_of_row))

    def _group_page(self, offset: int) -> list[Any]:
        query = {"all_projects": "true", "limit": str(PAGE), "offset": str(offset)}
        return list(items(self._get("/os-server-groups", query), "server_groups"))

    def pinned_zones(self, host: str) -> Mapping[str, str] | None:
        """The zone that each server of a host is pinned to, "" for none, by its id; None where Nova is too old to tell."""
        query = {"all_tenants": "1", "host": host}
        try:
            rows = list(self._pages("servers", "/servers/detail", query, ZONE_MICROVERSION))
        except CloudRefused as error:
            if error.status != NOT_ACCEPTABLE:
                raise
            return None
        pairs_of = read_all(rows, lambda row: (text(table(row), "id"), text(row, "pinned_availability_zone", "")))
        return dict(self._named(f"zones of servers on {host}", pairs_of))

    def compute_nodes(self) -> dict[str, str]:
        """The compute host of each of Nova's compute nodes, by the id that it has in Placement too."""
        return dict(self._named("hypervisors", read_all(self._pages("hypervisors", "/os-hypervisors/detail", {}), compute_node_of)))

    def ask_placement(self, path: str, query: Mapping[str, str], *keys: str) -> list[Any]:
        """What Placement's answer to a GET has under each of `keys`. Its verbs are in placement.py."""
        answer = ask_json(Question("GET", path, query=query), self._placement)
        return [member(answer, key) for key in keys]

    def image_properties(self, image: str) -> Mapping[str, Any]:
        """An image's properties and tags (Glance), remembered; empty for one that is gone."""
        if image not in self._images:
            try:
                with self._glance.asked(image):
                    # Too many requests, to Glance, are no reason to keep the hosts waiting.
                    answer = ask_json(Question("GET", f"/v2/images/{image}"), self._image, busy=1)
                self._images[image] = _one(image_of, answer, f"image {image}")
            except CloudRefused as error:
                if error.status not in (403, 404):
                    raise
                self._images[image] = {}
        return self._images[image]

    def evacuate(self, server_id: str, host: str | None = None, force: bool = False, password: str | None = None) -> str:
        """Ask Nova to evacuate. Returns Nova's request id. After CloudUnreachable it may or may not be under way.

        `force`, with `host`, goes past the scheduler; Placement is still asked for room."""
        body: dict[str, Any] = {**({"host": host} if host else {}), **({"adminPass": password} if password else {})}
        if host and force:
            return self._action(server_id, {"evacuate": {**body, "force": True}}, FORCE_MICROVERSION)
        return self._action(server_id, {"evacuate": body})

    def reset(self, server_id: str) -> None:
        """Set a server's state to active and its task to none, whatever they were (os-resetState)."""
        self._action(server_id, {"os-resetState": {"state": "active"}})

    def reset_running(self, server_id: str) -> None:
        """The same, if its guest runs; else nothing."""
        if self.guest_runs(server_id):
            self.reset(server_id)

    def confirm_resize(self, server_id: str) -> None:
        self._action(server_id, {"confirmResize": None})

    def reboot(self, server_id: str) -> None:
        """Start a server anew whose guest is dead although Nova has it as active (a hard reboot)."""
        self._action(server_id, {"reboot": {"type": "HARD"}})

    def guest_runs(self, server_id: str) -> bool | None:
        """Whether a server's guest runs, asked of its hypervisor now (GET diagnostics); None when that cannot tell."""
        try:
            state = _one(table, self._get(f"/servers/{server_id}/diagnostics"), f"diagnostics of {server_id}").get("state")
        except CloudRefused as error:
            return False if error.status == 409 else None
        return None if state is None else bool(state == "running")

    def pause(self, server_id: str) -> None:
        self._action(server_id, {"pause": None})

    def lock(self, server_id: str, reason: str) -> None:
        """Lock a server for all but administrators. A lock that is there keeps its reason when the server is of our own project."""
        self._action(server_id, {"lock": {"locked_reason": reason}})

    def unlock(self, server_id: str) -> None:
        self._action(server_id, {"unlock": None})

    def stop(self, server_id: str) -> None:
        self._action(server_id, {"os-stop": None})

    def start(self, server_id: str) -> None:
        self._action(server_id, {"os-start": None})

    def _action(self, server_id: str, body: Mapping[str, Any], microversion: str | None = None) -> str:
        answer = ask(Question("POST", f"/servers/{server_id}/action", body, microversion=microversion), self._compute, self.pace)
        request, name = str(answer.headers.get("x-openstack-request-id", "")), next(iter(body))
        TRAIL.note(server_id, self._incident, request if name == "evacuate" else "")
        LOG.info("%s", pairs({"action": name, "incident": self._incident, "server": server_id, "request": request}))
        return request

    def _get(self, path: str, query: Mapping[str, str] | None = None, microversion: str | None = None) -> Any:
        return ask_json(Question("GET", path, query=query, microversion=microversion), self._compute, self.pace)

    def _pages(self, key: str, path: str, query: Mapping[str, str], microversion: str | None = None) -> Iterator[Any]:
        marker: dict[str, str] = {}
        seen: set[str] = set()
        count = 0
        while True:
            try:
                page = self._get(path, {**query, "limit": str(self._page[0]), **marker}, microversion)
            except TooMuch as error:
                if self._page[0] <= SMALLEST:
                    raise
                self._page[0] = max(SMALLEST, self._page[0] // 4)
                LOG.warning("%s; from now on lists are read by %d rows", error, self._page[0])
                continue
            rows = items(page, key)
            yield from rows
            count += len(rows)
            if not rows or not page.get(f"{key}_links"):
                return
            last = marker_of(rows[-1])
            if not last or last in seen or count > MOST_ROWS:
                raise CloudUnreachable(f"GET {path} has no end: its pages do not lead on")
            seen.add(last)
            marker = {"marker": last}

    def _named(self, what: str, rows: Rows[Value]) -> Rows[Value]:
        """The rows themselves, after those that cannot be read were reported, in the log and in `unreadable`."""
        odd = rows.unreadable
        said = "" if not odd else (
            f"{len(odd)} of the {what} in Nova cannot be read: {', '.join(f'{one.id or NAMELESS}: {one.why}' for one in odd[:MOST_NAMED])}"
            + (", ..." if len(odd) > MOST_NAMED else ""))
        if said and self.unreadable.get(what) != said:
            LOG.error("%s", said)
        if said:
            self.unreadable[what] = said
        else:
            self.unreadable.pop(what, None)
        return rows


def _one(read: Callable[[Any], Value], row: Any, what: str) -> Value:
    """Read the only row of an answer. Raises CloudUnreachable when it cannot be read: it is not known, which is no "none"."""
    try:
        return read(row)
    except OddRow as error:
        raise CloudUnreachable(f"the {what} cannot be read in Nova's answer: {error}") from None


def _whole(rows: Rows[Value], what: str) -> list[Value]:
    """Return the rows if all could be read: any other might be the one that forbids something. Raises CloudUnreachable."""
    if rows.unreadable:
        raise CloudUnreachable(f"the {what} cannot be read in Nova's answer: {rows.unreadable[0].why}")
    return rows
