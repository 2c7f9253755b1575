"""A Nova over HTTP with a few hosts and servers in it, whose answers have the shape of Nova 34.0.0's."""

from __future__ import annotations

import http.server
import json
import re
import threading
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from instance_ha.model import Claim
from instance_ha.nova import MICROVERSION, Nova
from keystoneauth1 import adapter, noauth, session

from tests.unit.fake import ROW

USER, PROJECT = "agent", "service"      # who asks, by Nova's record of it
WHEN = "2026-11-25T04:00:%02d.000000"
# As Nova 34 gives them (the last lines of a traceback).
NO_HOST = {"details": "No valid host was found. There are not enough hosts available.",
           "traceback": "  File \"nova/conductor/manager.py\", line 1, in _schedule_instances\n"}
SPAWN_FAILED = {"details": "Failed to deploy instance", "traceback": "  File \"nova/compute/manager.py\", line 1, in _rebuild_default_impl\n"
                "    self.driver.spawn(context, instance, image_meta, injected_files,\n"}


# Its conductor died when the guest was there.
LEFT_A_GUEST = {"details": "MessagingTimeout", "traceback": "  File \"nova/compute/manager.py\", line 1, in _do_rebuild_instance\n"
                "    instance.save(expected_task_state=[task_states.REBUILD_SPAWNING])\n"}


class Auth(noauth.NoAuth):
    """No Keystone, and a user all the same."""

    def get_user_id(self, session: session.Session) -> str:
        return USER


TOO_NEW = {"computeFault": {"code": 406, "message": "Version 2.84 is not supported by the API. Minimum is 2.1 and maximum is 2.79."}}


class LittleNova:
    """`servers`, `migrations` and `actions` (by server) are rows of Nova's answers, to be changed by a test as Nova would change them.
    `away` makes it answer 503 to everything, `every` 429 to what comes sooner than so many seconds after the last that was let in, as a
    proxy before it does, and counts them in `turned_away`; `oldest` know no newer version than ours, `own` keep the reason of a lock that is there,
    as for a server of the caller's own project."""

    def __init__(self, hosts: tuple[str, ...] = ("cmp-1", "cmp-2", "cmp-3")) -> None:
        self.services: list[dict[str, Any]] = [
            {"id": f"s-{binary}-{host}", "binary": binary, "host": host, "status": "enabled", "state": "up", "forced_down": False,
             "disabled_reason": None, "updated_at": "2026-11-25T04:00:01.000000", "zone": "nova"}
            for binary, host in [*(("nova-compute", host) for host in hosts), ("nova-conductor", "c"), ("nova-scheduler", "c")]]
        self.aggregates: list[dict[str, Any]] = []
        self.servers: dict[str, dict[str, Any]] = {}
        self.migrations: list[dict[str, Any]] = []
        self.actions: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[str] = []
        self.away = self.oldest = self.own = False
        self.every, self.turned_away = 0.0, 0
        self._let_in, self._gate = float("-inf"), threading.Lock()
        self.headers: dict[str, str] = {}   # of every answer, besides the usual ones
        self.page = 1000                    # actions on a page (api.max_limit)
        self._requests = 0
        little = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1          # an answer in one packet: the other side's acknowledgement of a first one would be awaited

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                little._requests += 1
                request = f"req-{little._requests:08x}"
                old = little.oldest and self.headers.get("X-OpenStack-Nova-API-Version", "") > MICROVERSION
                code, answer = (406, TOO_NEW) if old else little.answer(self.command, self.path, json.loads(body) if body else None, request)
                content = json.dumps(answer).encode() if answer is not None else b""
                self.send_response_only(code)
                for key, value in (("Content-Length", str(len(content))), ("x-openstack-request-id", request), *little.headers.items()):
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = handle_any

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        client = adapter.Adapter(session.Session(Auth(f"http://127.0.0.1:{self.server.server_port}"), timeout=2), service_type="compute",
                                 default_microversion=MICROVERSION, connect_retries=0)
        self.nova = Nova(client, client, client)

    def turns_away(self) -> bool:
        """Whether this request is one too many."""
        with self._gate:
            if time.monotonic() - self._let_in < self.every:
                self.turned_away += 1
                return True
            self._let_in = time.monotonic()
            return False

    def boot(self, uid: str, name: str, host: str = "cmp-1", **more: Any) -> None:
        self.servers[uid] = {**ROW, "id": uid, "name": name, "OS-EXT-SRV-ATTR:host": host, **more}

    def claim(self, uid: str, was: str = "active", incident: str = "3f9c", user: str = USER, project: str = PROJECT) -> None:
        """Lock a server as a worker does that evacuates cmp-1, or as `user` who says the same words."""
        self.servers[uid].update(locked=True, locked_reason=Claim("cmp-1", was, incident, "me").text())
        self.note(uid, "lock", user, project)

    def note(self, uid: str, name: str, user: str = USER, project: str = PROJECT) -> str:
        """Have Nova remember that something was asked of a server. The id of the request."""
        self._requests += 1
        request, number = f"req-{self._requests:08x}", len(self.actions.setdefault(uid, []))
        self.actions[uid].append({"action": name, "request_id": request, "start_time": WHEN % (10 + number), "updated_at": WHEN % (10 + number),
                                  "message": None, "events": [], "user_id": user, "project_id": project})
        return request

    def ask(self, uid: str, status: str, destination: str | None = "cmp-3", **failure: str) -> None:
        """An evacuation from cmp-1 that somebody has asked for, and how far it is."""
        self.note(uid, "evacuate")
        self.migrations.append({"id": len(self.migrations) + 1, "instance_uuid": uid, "status": "accepted", "migration_type": "evacuation",
                                "source_compute": "cmp-1", "dest_compute": None, "created_at": self.actions[uid][-1]["start_time"],
                                "updated_at": None})
        state = dict(self.servers[uid])
        self.move(uid, status, destination, **failure)
        self.servers[uid].update(state)          # what the server shows then is the test's matter

    def service(self, host: str) -> dict[str, Any]:
        return next(s for s in self.services if s["host"] == host)

    def move(self, uid: str, status: str, destination: str | None = None, **failure: str) -> None:
        """Let the last evacuation of a server get on as Nova does, its record of what was done for the request too."""
        row = [m for m in self.migrations if m["instance_uuid"] == uid][-1]
        row.update(status=status, dest_compute=destination or row["dest_compute"], updated_at="2026-11-25T04:00:20.000000")
        asked = [action for action in self.actions.get(uid, []) if action["action"] == "evacuate"]
        if asked and status != "accepted":
            asked[-1]["events"] = self._events(status, row["dest_compute"], failure)
        if status == "done":
            self.servers[uid].update({"OS-EXT-SRV-ATTR:host": row["dest_compute"], "OS-EXT-STS:task_state": None, "OS-EXT-STS:vm_state": "active"})
        if status in ("error", "failed"):
            self.servers[uid].update({"OS-EXT-STS:vm_state": "error", "OS-EXT-STS:task_state": None,
                                      "fault": {"message": "No valid host was found. "}})

    def _events(self, status: str, host: str | None, failure: dict[str, str]) -> list[dict[str, Any]]:
        def event(name: str, where: str, result: str | None, **more: str) -> dict[str, Any]:
            return {"event": name, "host": where, "start_time": WHEN % 11, "finish_time": WHEN % 12 if result else None, "result": result,
                    "traceback": None, "details": None, **more}

        if status == "error":
            return [event("rebuild_server", "c", "Error", **(failure or NO_HOST))]
        result = {"done": "Success", "failed": "Error"}.get(status)
        more = (failure or SPAWN_FAILED) if status == "failed" else {}
        return [event("rebuild_server", "c", "Success"), event("compute_rebuild_instance", host or "", result, **more)]

    def answer(self, method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        """The code and the body of the answer to a request."""
        url = urlsplit(path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        self.asked.append(f"{method} {url.path}")
        if self.turns_away():
            return 429, None
        if self.away:
            return 503, {"error": {"message": "Service Unavailable", "code": 503}}
        if url.path == "/os-services":
            return 200, {"services": self.services}
        if url.path.startswith("/os-services/"):
            service = next((s for s in self.services if url.path.endswith(s["id"])), None)
            if service is None:
                said = f"Service {url.path.rpartition('/')[2]} could not be found."
                return 404, {"itemNotFound": {"message": said, "code": 404}}
            service.update({key: value for key, value in body.items() if key in ("forced_down", "status", "disabled_reason")})
            service["state"] = "down" if service["forced_down"] else "up"
            return 200, {"service": service}
        if url.path == "/servers/detail":
            found = [s for s in self.servers.values() if query.get("host") in (None, s["OS-EXT-SRV-ATTR:host"])
                     and (query.get("locked") is None or s["locked"])]
            return 200, {"servers": found}
        if url.path == "/os-migrations":
            return 200, {"migrations": [m for m in self.migrations if query.get("migration_type") in (None, m["migration_type"])
                                        and query.get("source_compute") in (None, m["source_compute"])
                                        and query.get("instance_uuid") in (None, m["instance_uuid"])]}
        if url.path == "/os-aggregates":
            return 200, {"aggregates": self.aggregates}
        return self._of_server(method, url.path, body, request, query.get("marker"))

    def _of_server(self, method: str, path: str, body: Any, request: str, marker: str | None) -> tuple[int, Any]:
        match = re.fullmatch(r"/servers/([^/]+)(/action|/os-instance-actions(?:/([^/]+))?)?", path)
        if match is None or match.group(1) not in {*self.servers, *self.actions}:
            return 404, {"itemNotFound": {"message": "not found", "code": 404}}
        uid, what, wanted = match.groups()
        if what == "/action":
            return self._act(uid, body, request)
        if what:
            rows = self.actions.get(uid, [])
            if wanted is None:
                return 200, self._page_of_actions(uid, rows[::-1], marker)
            action = next(row for row in rows if row["request_id"] == wanted)
            hidden = {"details"} if self.oldest else set()
            return 200, {"instanceAction": {**action, "events": [{k: v for k, v in e.items() if k not in hidden} for e in action["events"]]}}
        return (200, {"server": self.servers[uid]}) if uid in self.servers else (404, {"itemNotFound": {"message": "not found", "code": 404}})

    def _page_of_actions(self, uid: str, rows: list[dict[str, Any]], marker: str | None) -> dict[str, Any]:
        """Rows, newest first, from behind the marker; with a link where there are as many as a page holds."""
        rows = rows[next((number for number, row in enumerate(rows, 1) if row["request_id"] == marker), 0):][:self.page]
        answer: dict[str, Any] = {"instanceActions": [{k: v for k, v in row.items() if k != "events"} for row in rows]}
        if len(rows) == self.page:
            href = f"http://nova/servers/{uid}/os-instance-actions?marker={rows[-1]['request_id']}"
            answer["links"] = [{"rel": "next", "href": href}]
        return answer

    def _act(self, uid: str, body: Any, request: str) -> tuple[int, Any]:
        name, server = next(iter(body)), self.servers[uid]
        self.note(uid, name)
        self.actions[uid][-1]["request_id"] = request
        if name == "lock" and server["locked"] and self.own:
            pass
        elif name == "lock":
            server.update(locked=True, locked_reason=body["lock"]["locked_reason"])
        elif name == "unlock":
            server.update(locked=False, locked_reason=None)
        elif name == "evacuate":
            server.update({"OS-EXT-STS:task_state": "rebuilding", "status": "REBUILD"})
            self.migrations.append({"id": len(self.migrations) + 1, "instance_uuid": uid, "status": "accepted", "migration_type": "evacuation",
                                    "source_compute": server["OS-EXT-SRV-ATTR:host"], "dest_compute": body["evacuate"].get("host"),
                                    "created_at": "2026-11-25T04:00:10.000000", "updated_at": None})
        return (200 if name == "evacuate" else 202), None
