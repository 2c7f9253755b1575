"""A user of the laboratory's cloud who wishes others ill: a plain member of a project of his own.

He does what Nova lets a member do to his own servers: locks with the words of our claims, restart
priorities and groups, and names.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from keystoneauth1 import adapter, exceptions, session
from keystoneauth1.identity import v3

from tests.lab import servers
from tests.lab.cloud_config import CLOUDS_YAML
from tests.lab.common import REPOSITORY, LabError, wait_until
from tests.lab.netns import inside

sys.path.insert(0, str(REPOSITORY / "agents"))

from instance_ha.model import Claim

NAME, PASSWORD = "mallory", "member-of-the-laboratory"
HUGE = "mallory-huge"                   # a flavor that no host has room for
AGAIN = 0.5                             # seconds between two rounds of locks
ODD_NAMES = ("cmp-1", "instance-ha: evacuating", "=1+1", "a;b|c `id` $(id)", "x" * 255, "é 名前",
             "'\"<&>")
PRIORITIES = ("999999999", "-999999999", "1e9", "1000", "0x10", "NaN")
WAS = ("active", "halted", "elsewhere", "error", "nonsense")
HERE, OFF, PAUSED, NOWHERE, ELSEWHERE = "here", "off", "paused", "nowhere", "elsewhere"
LIMIT = 60.0


def reasons(host: str) -> Iterator[str]:
    """What a lock can say to look like a claim for a host, in both forms, and nearly."""
    for was in WAS:
        yield Claim(host, was, "x", "me").text()
        yield f"instance-ha: evacuating from {host}; was={was} id=x by=ctl-1"
    yield Claim(host, "active", "x", "cli-me").text()
    yield f"instance-ha: evacuating from {host}; was=active"
    yield f"instance-ha: evacuating from {'cmp-' * 50}; was=active id=x by=x"
    yield "instance-ha: fenced by Pacemaker (x)"


class Tenant:
    """The user. `ids` are his servers, each with where and in what state it is: HERE and so on."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.ids: dict[str, str] = {}
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._session, self._helper = _logins()

    def nova(self, method: str, path: str, body: Any = None) -> Any:
        """A request to Nova in his name. Raises servers.Unanswered."""
        return self._ask(self._session, method, path, body)

    @staticmethod
    def _ask(who: session.Session, method: str, path: str, body: Any) -> Any:
        client = adapter.Adapter(
            who, service_type="compute", region_name="RegionOne", interface="public",
            default_microversion=servers.MICROVERSION)
        options = {"json": body} if body is not None else {}
        found = inside(lambda: client.request(path, method, **options))
        return found.json() if found.content else None

    def boot(self, count: int = 6, nowhere: int = 6) -> None:
        """His servers: `count` on the host, half as many elsewhere, `nowhere` never scheduled."""
        places = [(HERE, OFF, PAUSED)[n % 3] for n in range(count)]
        places += [ELSEWHERE] * (count // 2) + [NOWHERE] * nowhere
        for number, place in enumerate(places):
            self.ids[self._create(number, place)] = place
        there = [uid for uid, place in self.ids.items() if place != NOWHERE]
        servers.wait_status(there, "ACTIVE", LIMIT)
        lost = [uid for uid, place in self.ids.items() if place == NOWHERE]
        servers.wait_for(lambda: all(servers.show(uid)["status"] == "ERROR" for uid in lost),
                         "servers that no host has room for", LIMIT)
        for place, action, status in ((OFF, "os-stop", "SHUTOFF"), (PAUSED, "pause", "PAUSED")):
            those = [uid for uid, one in self.ids.items() if one == place]
            for uid in those:
                self._act(uid, action)
            servers.wait_status(those, status, LIMIT)

    def _create(self, number: int, place: str) -> str:
        metadata = {"restart_priority": PRIORITIES[number % len(PRIORITIES)],
                    "restart_group": f"group-{number % 4}", "instanceha:restart_priority": "999999999"}
        spec: dict[str, Any] = {
            "name": ODD_NAMES[number % len(ODD_NAMES)], "imageRef": servers.IMAGE,
            "networks": "none", "metadata": metadata,
            "flavorRef": servers.flavor_id(HUGE if place == NOWHERE else "m1.tiny"),
        }
        if place == NOWHERE:
            return str(self.nova("POST", "/servers", {"server": spec})["server"]["id"])
        # A member cannot choose a host. An administrator does, in his project, for the scheduler.
        others = [host for host in sorted(servers.services()) if host != self.host]
        spec["host"] = others[number % len(others)] if place == ELSEWHERE else self.host
        return str(self._ask(self._helper, "POST", "/servers", {"server": spec})["server"]["id"])

    def forge(self) -> None:
        """Lock all of them, each with another reason."""
        for uid, reason in zip(self.ids, itertools.cycle(reasons(self.host))):
            self._act(uid, "lock", {"locked_reason": reason})

    def keep_forging(self) -> None:
        """Unlock and lock all of them until `stop`, also with the text of a true claim once he sees one."""
        self.forge()

        def again() -> None:
            while not self._end.wait(AGAIN):
                with contextlib.suppress(exceptions.ClientException, LabError, OSError):
                    self._round()

        self._thread = threading.Thread(target=again, daemon=True)
        self._thread.start()

    def _round(self) -> None:
        shown = [self.nova("GET", f"/servers/{uid}")["server"] for uid in self.ids]
        said = {str(server.get("locked_reason")) for server in shown}
        true = sorted(said - {*reasons(self.host)} - {"None"})
        for uid, reason in zip(self.ids, itertools.cycle([*true, *reasons(self.host)])):
            for name, value in (("unlock", None), ("lock", {"locked_reason": reason})):
                # An administrator's lock is not his to take away.
                with contextlib.suppress(exceptions.ClientException):
                    self._act(uid, name, value)

    def _act(self, uid: str, name: str, value: Any = None) -> None:
        self.nova("POST", f"/servers/{uid}/action", {name: value})

    def stop(self) -> None:
        """End what runs. His locks stay."""
        self._end.set()
        if self._thread:
            self._thread.join(LIMIT)

    def delete(self) -> None:
        """Take his servers away, as an administrator."""
        for uid in self.ids:
            with contextlib.suppress(exceptions.NotFound):
                servers.nova("DELETE", f"/servers/{uid}")
        if not wait_until(lambda: not {*self.ids} & {*servers.listed()}, LIMIT, 0.5):
            raise LabError("servers of the tenant are left")
        self.ids.clear()

    def stayed(self) -> Sequence[str]:
        """Those of his servers that are on the host still."""
        there = {*servers.listed(self.host)}
        return [uid for uid in self.ids if uid in there]

    def silent(self, told: Iterable[str]) -> Sequence[str]:
        """Those that stayed, if nobody was told that servers of the host did; crm_mon has room for few names."""
        said = any(f"of {self.host}'s servers not evacuated" in words for words in told)
        return [] if said else self.stayed()


def _logins() -> tuple[session.Session, session.Session]:
    """The user, who is made if he is not there, and the administrator in his project."""
    def ask(method: str, path: str, body: Any = None) -> Any:
        return servers.request("identity", method, path, body)

    if not ask("GET", f"/users?name={NAME}")["users"]:
        fields = {"name": NAME, "domain_id": "default"}
        project = ask("POST", "/projects", {"project": fields})["project"]["id"]
        user = ask("POST", "/users", {"user": {**fields, "password": PASSWORD}})["user"]["id"]
        roles = {role["name"]: role["id"] for role in ask("GET", "/roles")["roles"]}
        admin = ask("GET", "/users?name=admin")["users"][0]["id"]
        for who, role in ((user, "member"), (admin, "admin")):
            ask("PUT", f"/projects/{project}/users/{who}/roles/{roles[role]}")
        servers.make_flavor(HUGE, ram=99999999)
    auth = json.loads(CLOUDS_YAML.read_text())["clouds"]["lab"]["auth"]
    helper = {**auth, "project_name": NAME}
    own = {**helper, "username": NAME, "password": PASSWORD}
    user, admin = (session.Session(v3.Password(**who), timeout=60) for who in (own, helper))
    return user, admin
