"""Whether a user who is no admin has each right that the agents use, tried now, before a host dies.

Most rights are tried by reading. Two that change something are tried on a thing that cannot exist:
where the right is missing Nova answers 403, else 404. The rest is known only by using it, and that
is said.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..answers import items, json_of, member
from ..errors import FORBIDDEN, CloudError, CloudRefused, CloudUnreachable
from .finding import Finding, Mend, some, to_do
from .inspection import Inspected

NOBODY = "00000000-0000-0000-0000-000000000000"  # the id of nothing
NOWHERE = "instance-ha-doctor.invalid"  # RFC 2606: the name of no host, ever
DETAILS = "2.84"  # the microversion whose events have details
NOT_FOUND = 404
MOST_SERVERS, MOST_IMAGES = 20, 5  # that are looked at
NOVA, PLACEMENT, GLANCE = "os_compute_api:", "placement:", "get_image"
IS_ADMIN = "context_is_admin"
# What no trial tells: each changes a server of somebody.
ONLY_BY_USE = tuple(
    NOVA + name
    for name in (
        "os-lock-server:lock",
        "os-lock-server:unlock",
        "os-lock-server:unlock:unlock_override",
        "servers:stop",
        "servers:start",
        "servers:reboot",
        "servers:confirm_resize",
        "os-pause-server:pause",
        "os-admin-actions:reset_state",
    )
)
# Nova's words, and Placement's.
_POLICY = re.compile(r"Policy (?:doesn't|does not) allow (\S+) to be performed")


@dataclass(frozen=True)
class Rights:
    """What the trials told, by the right: how a missing one was noticed, and why one is unseen."""

    missing: Mapping[str, str] = field(default_factory=dict)
    unseen: Mapping[str, str] = field(default_factory=dict)


def named(words: str, right: str) -> str:
    """Return the right that Nova's refusal names; `right` where it names none."""
    found = _POLICY.search(words)
    return found.group(1) if found else right


def check(rights: Rights, roles: Sequence[str], policies: str) -> Iterator[Finding]:
    """Return a finding for each right that is missing, and one for all that nobody knows of.

    `policies` is the place in the docs.
    """
    for right, words in rights.missing.items():
        yield Finding("policy", right, words, _mend(right, policies))
    untried = [*rights.unseen, *ONLY_BY_USE]
    why = sorted(set(rights.unseen.values()))
    yield Finding(
        "policies-unseen",
        "Nova",
        f"the agents' user has the roles {', '.join(roles) or 'none'}, and not admin. "
        f"Not known before they are used: {', '.join(untried)}"
        + (f" ({some(why)})" if why else ""),
        to_do(f"compare the policy files with {policies}; then evacuate a server for trial"),
    )


def _mend(right: str, policies: str) -> Mend:
    service = (
        "Placement" if right.startswith(PLACEMENT) else "Glance" if right == GLANCE else "Nova"
    )
    return to_do(f"give the agents' role {right} in {service}'s policy file: {policies}")


def tried(nova: Inspected) -> Rights:
    """Try them all. Changes nothing. A service that does not answer leaves its rights unseen."""
    return _Trials(nova).all()


class _Unseen(Exception):
    """There is nothing to try a right on."""


class _Trials:
    def __init__(self, nova: Inspected) -> None:
        self.nova = nova
        self.missing: dict[str, str] = {}
        self.unseen: dict[str, str] = {}
        self.foreign: list[dict[str, Any]] = []  # servers of other projects

    def all(self) -> Rights:
        self._try(
            self._servers,
            NOVA + "os-extended-server-attributes",
            NOVA + "servers:show:flavor-extra-specs",
            IS_ADMIN,
        )
        self._try(self._filter, NOVA + "servers:allow_all_filters")
        self._try(self._show, IS_ADMIN)
        self._try(self._service, NOVA + "os-services:update")
        self._try(self._evacuate, NOVA + "os-evacuate")
        self._try(self._diagnostics, NOVA + "os-server-diagnostics")
        self._try(
            self._events,
            NOVA + "os-instance-actions:events",
            NOVA + "os-instance-actions:events:details",
        )
        self._try(
            self._migrations,
            NOVA + "os-migrations:index:all_projects",
            NOVA + "os-migrations:index:host",
        )
        self._try(
            self._groups,
            NOVA + "os-server-groups:index:all_projects",
            NOVA + "os-server-groups:show",
        )
        for right, path in (
            ("resource_providers:list", f"/resource_providers?name={NOWHERE}"),
            ("allocations:list", f"/allocations/{NOBODY}"),
            ("resource_providers:inventories:list", f"/resource_providers/{NOBODY}/inventories"),
        ):
            trial = functools.partial(self._allowed, PLACEMENT + right, path, "placement")
            self._try(trial, PLACEMENT + right)
        self._try(self._images, GLANCE)
        return Rights(
            self.missing,
            {right: why for right, why in self.unseen.items() if right not in self.missing},
        )

    def _try(self, trial: Callable[[], object], *rights: str) -> None:
        """Run a trial of these rights. Refused for another reason, it tells nothing of them."""
        try:
            trial()
        except (_Unseen, CloudError) as error:
            if isinstance(error, CloudRefused) and error.status == FORBIDDEN:
                self.missing[named(str(error), rights[0])] = str(error)
            else:
                self.unseen.update(dict.fromkeys(rights, str(error)))

    def _allowed(self, right: str, path: str, service: str = "compute") -> None:
        """Note a right as missing where this GET is answered 403; another code has other reasons."""
        try:
            self.nova.look(path, service)
        except CloudRefused as error:
            if error.status == FORBIDDEN:
                self.missing[right] = str(error)

    def _harmless(self, right: str, method: str, path: str, body: Mapping[str, Any]) -> None:
        """Note a right as missing where a change of what does not exist is answered 403."""
        try:
            self.nova.attempt(method, path, body)
        except CloudRefused as error:
            if error.status == FORBIDDEN:
                self.missing[right] = str(error)

    def _rows(self, path: str, key: str, microversion: str | None = None) -> list[dict[str, Any]]:
        return [row for row in items(self._json(path, microversion), key) if isinstance(row, dict)]

    def _json(self, path: str, microversion: str | None = None) -> Any:
        try:
            return json_of(self.nova.look(path, microversion=microversion).content)
        except (ValueError, RecursionError):
            raise CloudUnreachable(f"GET {path} was answered with what is no JSON") from None

    def _servers(self) -> None:
        """See what servers there are, and whether Nova shows of them what an administrator sees."""
        rows = self._rows(f"/servers/detail?all_tenants=1&limit={MOST_SERVERS}", "servers")
        whole = [
            row for row in rows if row.get("status") != "UNKNOWN"
        ]  # a cell that is away shows little to anybody
        if not whole:
            raise _Unseen("there is no server to look at")
        if not any("OS-EXT-SRV-ATTR:host" in row for row in whole):
            self.missing[NOVA + "os-extended-server-attributes"] = (
                "Nova shows of no server on which host it is"
            )
        flavors = [row["flavor"] for row in whole if isinstance(row.get("flavor"), dict)]
        if flavors and not any("extra_specs" in flavor for flavor in flavors):
            self.missing[NOVA + "servers:show:flavor-extra-specs"] = (
                "Nova shows of no server what its flavor says "
                f"(before Nova 25: {NOVA}os-flavor-extra-specs:index)"
            )
        own = self.nova.own_project()
        known = [row for row in whole if isinstance(row.get("id"), str)]
        self.foreign = [row for row in known if row.get("tenant_id") != own]

    def _filter(self) -> None:
        """Ask for the servers of no host: whoever lacks the right is told of all there are."""
        if self._rows(f"/servers/detail?all_tenants=1&host={NOWHERE}&limit=1", "servers"):
            self.missing[NOVA + "servers:allow_all_filters"] = (
                "Nova shows servers of every host whichever host is asked for"
            )
        elif not self.foreign:
            raise _Unseen("there is no server to look at")

    def _a_server(self) -> dict[str, Any]:
        if not self.foreign:
            raise _Unseen("there is no server of another project to look at")
        return next((row for row in self.foreign if row.get("status") == "ACTIVE"), self.foreign[0])

    def _show(self) -> None:
        """Ask for one that the list had. Without `context_is_admin` Nova knows the user's own only."""
        uid = self._a_server()["id"]
        try:
            self.nova.look(f"/servers/{uid}")
        except CloudRefused as error:
            if error.status == FORBIDDEN:
                self.missing[NOVA + "servers:show"] = str(error)
            elif error.status == NOT_FOUND and any(
                row.get("id") == uid
                for row in self._rows(
                    f"/servers/detail?all_tenants=1&limit={MOST_SERVERS}", "servers"
                )
            ):
                self.missing[IS_ADMIN] = (
                    f"Nova lists the server {uid}, which is another project's, and does not know it "
                    f"when it is asked for: nothing would be evacuated. {error}"
                )
                self.foreign.clear()  # of no other server would it tell more

    def _service(self) -> None:
        self._harmless(
            NOVA + "os-services:update", "PUT", f"/os-services/{NOBODY}", {"status": "enabled"}
        )

    def _evacuate(self) -> None:
        """Ask for an evacuation to a host that cannot exist. Nova looks for that first."""
        path = f"/servers/{self._a_server()['id']}/action"
        self._harmless(NOVA + "os-evacuate", "POST", path, {"evacuate": {"host": NOWHERE}})

    def _diagnostics(self) -> None:
        self._allowed(
            NOVA + "os-server-diagnostics", f"/servers/{self._a_server()['id']}/diagnostics"
        )

    def _events(self) -> None:
        """See what is shown of the newest request that has events."""
        uid = self._a_server()["id"]
        for action in self._rows(f"/servers/{uid}/os-instance-actions", "instanceActions"):
            path = f"/servers/{uid}/os-instance-actions/{action.get('request_id')}"
            try:
                answer = self._json(path, DETAILS)
            except CloudRefused as error:
                if error.status == FORBIDDEN:
                    raise
                answer = self._json(path)  # a Nova before Wallaby
            found = member(answer, "instanceAction")
            events = found.get("events") if isinstance(found, dict) else None
            if isinstance(events, list) and events and isinstance(events[0], dict):
                if "traceback" not in events[0]:
                    self.missing[NOVA + "os-instance-actions:events"] = (
                        "Nova shows of no request where it failed"
                    )
                elif "details" not in events[0]:
                    self.missing[NOVA + "os-instance-actions:events:details"] = (
                        "Nova shows of no request in words why it failed (before Nova 23 to nobody)"
                    )
                return
        raise _Unseen("no request to a server has events to look at")

    def _migrations(self) -> None:
        rows = self._rows("/os-migrations?limit=1", "migrations")
        if not rows:
            raise _Unseen("there is no migration to look at")
        if rows[0].get("source_compute") is None:
            self.missing[NOVA + "os-migrations:index:host"] = (
                "Nova shows of no migration from which host it is"
            )
        # Nova before 32 has one right for all of it.

    def _groups(self) -> None:
        rows = self._rows("/os-server-groups?all_projects=true&limit=1", "server_groups")
        if not rows:
            raise _Unseen("there is no server group to look at")
        self._allowed(NOVA + "os-server-groups:show", f"/os-server-groups/{rows[0].get('id')}")

    def _images(self) -> None:
        """Ask Glance for images of others' servers. One that is gone looks like a hidden one."""
        found = dict.fromkeys(
            image["id"]
            for row in self.foreign
            if isinstance(image := row.get("image"), dict) and isinstance(image.get("id"), str)
        )
        for image in list(found)[:MOST_IMAGES]:
            try:
                self.nova.look(f"/v2/images/{image}", "image")
                return
            except CloudRefused as error:
                if error.status == FORBIDDEN:
                    self.missing[GLANCE] = str(error)
                    return
        raise _Unseen("no server of another project has an image that Glance shows")
