"""What Nova writes of an evacuation in each failure: migration row, action, server, guests.

Run by `make evidence`, in a laboratory without protection. Each case has a server of its own on
cmp-1, which dies once for all of them. It prints, and judges nothing: docs/nova-evidence.md does.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from keystoneauth1 import adapter, session
from keystoneauth1.identity import v3

from tests.lab import cloud, cluster, guests, servers
from tests.lab import node as machine
from tests.lab.cloud_config import CATALOG
from tests.lab.common import LabError, wait_until
from tests.lab.netns import inside

SOURCE, DEST, OTHER = "cmp-1", "cmp-2", "cmp-3"
COMPUTES = (SOURCE, DEST, OTHER)
RPC_TIMEOUT = 60.0    # Nova's rpc_response_timeout
POST_LIMIT = 25.0     # seconds that a request may hang while the message bus is away
ROW = (
    "id", "uuid", "status", "source_compute", "dest_compute", "created_at", "updated_at", "user_id",
)
ACTION = ("message", "start_time", "updated_at", "user_id", "project_id")
EVENT = ("event", "host", "start_time", "finish_time", "result", "details")
PASSWORD = "member-of-the-laboratory"

CASES: dict[str, Callable[[Case], None]] = {}


def case(function: Callable[[Case], None]) -> Callable[[Case], None]:
    """Enter a case into CASES by its name."""
    CASES[function.__name__.replace("_", "-")] = function
    return function


class Case:
    """One server, what was asked for it, and what Nova wrote of that."""

    def __init__(self, name: str, uid: str) -> None:
        self.name, self.uid = name, uid
        self.began = time.monotonic()
        self.requests: list[str] = []
        self.seen: dict[str, object] = {}

    def say(self, text: str) -> None:
        """Print a line with the seconds since the case began."""
        print(f"{self.name:24} {time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    def post(self, host: str | None = None) -> None:
        """Ask for the evacuation and print Nova's answer."""
        body = {"evacuate": {"host": host} if host else {}}
        try:
            answer = servers.answer(
                "compute", "POST", f"/servers/{self.uid}/action", body,
                servers.EVACUATE_MICROVERSION, raise_exc=False, timeout=POST_LIMIT,
                connect_retries=0,
            )
        except servers.Unanswered as error:
            self.say(f"POST unanswered: {type(error).__name__}")
        else:
            self.requests.append(answer.headers["x-openstack-request-id"])
            self.say(f"POST {answer.status_code} {self.requests[-1]} {answer.text[:200]}")

    def look(self) -> None:
        """Print whatever of the server's evidence is not as it was at the last look."""
        for key, value in self._evidence():
            if self.seen.get(key) != value:
                self.seen[key] = value
                self.say(f"{key}: {json.dumps(value)}")

    def watch(self, seconds: float, until: Callable[[], object] = lambda: False) -> None:
        """Look until the time is over, or `until` is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            with contextlib.suppress(servers.Unanswered):
                self.look()
            time.sleep(0.4)
        self.look()

    def closed(self) -> bool:
        """Whether its last migration row is at an end."""
        rows = self.rows()
        if not rows or rows[0]["status"] in ("accepted", "pre-migrating"):
            return False
        return not self.task()

    def task(self) -> str | None:
        """The task its server is in."""
        found: str | None = servers.show(self.uid)["OS-EXT-STS:task_state"]
        return found

    def spawning(self) -> bool:
        """Whether its destination has come to the spawn."""
        return self.task() == "rebuild_spawning"

    def on_other(self) -> bool:
        """Whether it has arrived on OTHER."""
        server = servers.show(self.uid)
        return servers.host_of(server) == OTHER and not server["OS-EXT-STS:task_state"]

    def rows(self) -> list[dict[str, Any]]:
        """Its migration rows, as Nova orders them."""
        answer = servers.nova("GET", f"/os-migrations?instance_uuid={self.uid}")
        return list(answer["migrations"])

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of that name, of its last request."""
        action = self._action(self.requests[-1]) if self.requests else None
        return [event for event in (action or {}).get("events", []) if event["event"] == name]

    def _evidence(self) -> Iterator[tuple[str, object]]:
        for row in self.rows():
            yield f"row {row['id']}", {key: row.get(key) for key in ROW}
        listed = servers.nova("GET", f"/servers/{self.uid}/os-instance-actions")["instanceActions"]
        mine = [action for action in listed if action["action"] != "create"]
        yield "actions", [(action["action"], action["request_id"][-4:]) for action in mine]
        for action in listed:
            if action["action"] == "evacuate":
                yield from self._one_action(action["request_id"])
        server = servers.show(self.uid)
        yield "server", {
            "vm_state": server["OS-EXT-STS:vm_state"],
            "task_state": server["OS-EXT-STS:task_state"],
            "status": server["status"], "host": servers.host_of(server),
            "power": server["OS-EXT-STS:power_state"],
            "fault": {key: server.get("fault", {}).get(key) for key in ("message", "created")},
        }
        there = {host: guests.guest(host, self.uid) for host in COMPUTES}
        yield "guests", {host: found["state"] for host, found in there.items() if found}

    def _one_action(self, request: str) -> Iterator[tuple[str, object]]:
        action = self._action(request)
        short = request[-4:]
        yield f"action {short}", {key: action[key] for key in ACTION}
        for number, event in enumerate(action["events"]):
            trace = (event.get("traceback") or "").splitlines()
            ours = [line for line in trace if "nova/" in line and ", in " in line]
            frames = [line.rpartition(", in ")[2] for line in ours]
            told = {key: event.get(key) for key in EVENT}
            yield f"event {short}.{number}", {**told, "frames": frames[-7:]}

    def _action(self, request: str) -> dict[str, Any]:
        answer = servers.nova("GET", f"/servers/{self.uid}/os-instance-actions/{request}")
        return dict(answer["instanceAction"])


@contextlib.contextmanager
def knob(**values: object) -> Iterator[None]:
    """With knobs of the hypervisor set."""
    for name, value in values.items():
        guests.set_knob(name, value)
    try:
        yield
    finally:
        for name in values:
            guests.set_knob(name, None)


@contextlib.contextmanager
def away(service: str, how: str = "kill") -> Iterator[None]:
    """With a service killed or frozen."""
    cloud.stop(service, how)
    try:
        yield
    finally:
        cloud.stop(service, "thaw") if how == "freeze" else cloud.start(service)


@contextlib.contextmanager
def only(*hosts: str) -> Iterator[None]:
    """With these destinations enabled and no other."""
    for host in (DEST, OTHER):
        servers.set_service(host, status="enabled" if host in hosts else "disabled")
    try:
        yield
    finally:
        for host in (DEST, OTHER):
            servers.set_service(host, status="enabled")


def restarted(host: str) -> None:
    """Start a host's nova-compute and wait until Nova has it up."""
    cluster.compute(host, "start")
    servers.wait_computes([host], 90)


@case
def success(it: Case) -> None:
    with knob(spawn_delay=3):
        it.post()
        it.watch(40, it.closed)
    newest = servers.nova("GET", "/os-migrations?migration_type=evacuation&limit=3")["migrations"]
    it.say(f"newest page, ids: {[row['id'] for row in newest]}; keys: {sorted(newest[0])}")


@case
def stopped(it: Case) -> None:
    it.post()
    it.watch(40, it.closed)


@case
def no_valid_host(it: Case) -> None:
    with only():
        it.post()
        it.watch(20, it.closed)


@case
def named_host_disabled(it: Case) -> None:
    with only(DEST):
        it.post(OTHER)
        it.watch(20, it.closed)


@case
def refused_409(it: Case) -> None:
    it.post()
    it.watch(2)


@case
def spawn_failed(it: Case) -> None:
    with knob(fail_spawn=1):
        it.post()
        it.watch(20, it.closed)


@case
def volume_gone(it: Case) -> None:
    for volume in servers.show(it.uid)["os-extended-volumes:volumes_attached"]:
        servers.request("block-storage", "DELETE", f"/volumes/{volume['id']}", microversion="3.60")
    it.post()
    it.watch(30, it.closed)


@case
def state_reset_in_the_middle(it: Case) -> None:
    with knob(spawn_delay=6):
        it.post()
        it.watch(30, lambda: it.events("compute_rebuild_instance"))
        it.watch(2)
        servers.action(it.uid, "os-resetState", {"state": "active"})
        it.say("os-resetState active")
        it.watch(12)


@case
def second_evacuation(it: Case) -> None:
    with knob(spawn_delay=6):
        it.post()
        it.watch(30, lambda: it.events("compute_rebuild_instance"))
        it.watch(2)
        it.post()
        it.watch(25)


@case
def second_while_accepted(it: Case) -> None:
    with away("nova-conductor"):
        it.post()
        time.sleep(1)
        it.post()
        it.watch(2)
    it.watch(25)


@case
def conductor_away_before(it: Case) -> None:
    with away("nova-conductor"):
        it.post()
        it.watch(4)
    it.say("conductor started")
    it.watch(30, it.closed)


@case
def conductor_killed_with_it(it: Case) -> None:
    cloud.stop("nova-conductor", "freeze")
    it.post()
    it.watch(2)
    with away("nova-conductor"):
        it.say("frozen conductor killed")
        it.watch(2)
    it.say("conductor started")
    it.watch(20, it.closed)


@case
def conductor_killed_in_scheduling(it: Case) -> None:
    with away("nova-scheduler", "freeze"):
        it.post()
        it.watch(10, lambda: it.events("rebuild_server"))
        it.watch(1.5)
        cloud.stop("nova-conductor")
        it.say("conductor killed, scheduler thawed next")
    cloud.start("nova-conductor")
    it.say("conductor started")
    it.watch(12, it.closed)


@case
def scheduler_away_before(it: Case) -> None:
    with away("nova-scheduler"):
        it.post()
        it.watch(5)
    it.say("scheduler started")
    it.watch(30, it.closed)


@case
def destination_killed_before(it: Case) -> None:
    with only(DEST):
        cluster.compute(DEST, "kill")
        it.post()
        it.watch(8)
        it.say("its nova-compute is started")
        restarted(DEST)
        it.watch(20, it.closed)


@case
def destination_gets_it_late(it: Case) -> None:
    """The cast waits for a dead destination, the server goes to another, the first one returns."""
    with only(DEST):
        cluster.compute(DEST, "kill")
        it.post()
        it.watch(15, lambda: any(event["finish_time"] for event in it.events("rebuild_server")))
        servers.set_service(DEST, forced_down=True)
    with only(OTHER):
        it.post(OTHER)
        it.watch(40, it.on_other)
        it.say("the first destination's nova-compute is started")
        servers.set_service(DEST, forced_down=False)
        restarted(DEST)
        it.watch(25)


@case
def destination_killed_in_spawn(it: Case) -> None:
    with only(DEST), knob(spawn_delay=10):
        it.post()
        it.watch(30, it.spawning)
        it.watch(1)
        cluster.compute(DEST, "kill")
        it.say("killed")
        it.watch(5)
        restarted(DEST)
        it.say("its nova-compute is up again")
        it.watch(6)


@case
def destination_killed_after_spawn(it: Case) -> None:
    with only(DEST), knob(spawn_linger=20):
        it.post()
        it.watch(30, lambda: guests.guest(DEST, it.uid))
        cluster.compute(DEST, "kill")
        it.say("killed")
        it.watch(5)
        restarted(DEST)
        it.say("its nova-compute is up again")
        it.watch(6)


@case
def destination_frozen_before(it: Case) -> None:
    with only(DEST):
        cluster.compute(DEST, "freeze")
        it.post()
        it.watch(6)
        cloud.stop("nova-conductor")
        cloud.start("nova-conductor")
        it.say("conductor killed after the cast, and started; thawed next")
        cluster.compute(DEST, "thaw")
        it.watch(30, it.closed)


@case
def destination_frozen_in_spawn(it: Case) -> None:
    with only(DEST), knob(spawn_delay=3):
        it.post()
        it.watch(30, it.spawning)
        cluster.compute(DEST, "freeze")
        it.watch(13)
        it.say(f"service: {servers.services()[DEST]['state']}; thawed next")
        cluster.compute(DEST, "thaw")
        it.watch(30, it.closed)


@case
def conductor_away_at_the_save(it: Case) -> None:
    with only(DEST), knob(spawn_delay=3):
        it.post()
        it.watch(30, it.spawning)
        with away("nova-conductor"):
            it.say("conductor killed")
            it.watch(RPC_TIMEOUT + 12)
        it.say("conductor started")
        it.watch(80, it.closed)


@case
def bus_away_at_the_post(it: Case) -> None:
    with away("rabbitmq"):
        it.post()
        it.watch(3)
    it.say("rabbitmq started")
    it.watch(25, it.closed)


@case
def bus_restarted_in_spawn(it: Case) -> None:
    with only(DEST), knob(spawn_delay=5):
        it.post()
        it.watch(30, it.spawning)
        with away("rabbitmq"):
            it.say("rabbitmq killed")
            it.watch(7)
        it.say("rabbitmq started")
        it.watch(90, it.closed)


@case
def scheduler_frozen_long(it: Case) -> None:
    with away("nova-scheduler", "freeze"):
        it.post()
        it.watch(RPC_TIMEOUT + 8)
    it.say("scheduler thawed")
    it.watch(10, it.closed)


def locks() -> None:
    """What the actions `lock` say of who locked."""
    client = functools.partial(servers.request, "identity")
    tenant = {"name": "tenant", "domain_id": "default"}
    project = client("POST", "/projects", {"project": tenant})["project"]["id"]
    person = {"name": "member", "password": PASSWORD, "domain_id": "default"}
    user = client("POST", "/users", {"user": person})["user"]["id"]
    roles = {role["name"]: role["id"] for role in client("GET", "/roles")["roles"]}
    print(f"locks: project {project} member {user}")
    client("PUT", f"/projects/{project}/users/{user}/roles/{roles['member']}")
    password = v3.Password(
        CATALOG["identity"], username="member", password=PASSWORD, project_id=project,
        user_domain_id="default",
    )
    member = adapter.Adapter(
        session.Session(password), service_type="compute", interface="public",
        region_name="RegionOne",
    )

    def ask(method: str, path: str, body: Any = None) -> Any:
        options = {"json": body, "microversion": servers.MICROVERSION, "raise_exc": False}
        answer = inside(lambda: member.request(path, method, **options))
        return answer.json() if answer.content else answer.status_code

    spec = {"name": "theirs", "flavorRef": servers.flavor_id("m1.tiny"), "networks": "none"}
    uid = ask("POST", "/servers", {"server": {**spec, "imageRef": servers.IMAGE}})["server"]["id"]
    servers.wait_status([uid], "ACTIVE")

    def act(name: str, value: Any = None) -> Any:
        return ask("POST", f"/servers/{uid}/action", {name: value})

    def actions() -> list[dict[str, Any]]:
        return list(servers.nova("GET", f"/servers/{uid}/os-instance-actions")["instanceActions"])

    def shown(step: str) -> None:
        server = servers.show(uid)
        print(f"locks: {step}: locked={server['locked']} reason={server['locked_reason']!r}")
        for action in actions():
            told = ("action", "user_id", "project_id", "start_time")
            print("locks:   ", *(action[key] for key in told))

    print("locks: member", act("lock", {"locked_reason": "words of a member"}))
    shown("locked by its member")
    print("locks: member again", act("lock", {"locked_reason": "another"}))
    shown("locked by its member again")
    servers.action(uid, "lock")
    shown("locked by an admin over it, without a reason")
    print("locks: member unlocks", act("unlock"))
    shown("its member tried to unlock")
    servers.action(uid, "lock", {"locked_reason": "ours"})
    shown("locked by the admin again, with a reason")
    path = f"/servers/{uid}/os-instance-actions/{actions()[0]['request_id']}"
    print("locks: its events", json.dumps(servers.nova("GET", path)["instanceAction"]["events"]))
    print("locks: member sees", json.dumps(ask("GET", path)))
    servers.nova("DELETE", f"/servers/{uid}")


def prepare(names: list[str]) -> dict[str, Case]:
    """A server for each case on the source, which is then off, forced down and disabled.

    Where the source is off from an earlier run, the servers on it by these names are taken.
    """
    if not machine.is_on(cluster.find(SOURCE)):
        there = {server["name"]: uid for uid, server in servers.listed(SOURCE).items()}
        return {name: Case(name, there[name]) for name in names if name in there}
    for host in COMPUTES:
        cluster.compute(host, "start")
    servers.wait_computes(COMPUTES, 120)
    special = {"volume-gone": {"volume": True}, "stopped": {"stopped": True}}
    plain = [name for name in names if name not in special]
    ids = dict(zip(plain, servers.boot(plain, SOURCE, wait=120)))
    for name in names:
        if name in special:
            [ids[name]] = servers.boot([name], SOURCE, **special[name])
    if "refused-409" in ids:
        servers.action(ids["refused-409"], "pause")
        servers.wait_status([ids["refused-409"]], "PAUSED")
    if "locks" in sys.argv or len(names) == len(CASES):
        locks()
    machine.power_off(cluster.find(SOURCE))
    servers.set_service(SOURCE, forced_down=True)
    servers.set_service(SOURCE, status="disabled")
    return {name: Case(name, uid) for name, uid in ids.items()}


def let_in() -> bool:
    """Take the source into service again; False while Nova refuses to."""
    try:
        servers.set_service(SOURCE, forced_down=False)
    except servers.Unanswered:
        return False
    servers.set_service(SOURCE, status="enabled")
    return True


def returned(cases: dict[str, Case]) -> None:
    """The source comes back, and its nova-compute cleans up."""
    machine.boot(cluster.find(SOURCE))
    began = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    cluster.compute(SOURCE, "start")
    time.sleep(25)
    for it in cases.values():
        it.began, it.name = time.monotonic(), f"return: {it.name}"[:24]
        it.look()
    path = f"/os-migrations?migration_type=evacuation&changes-since={began}Z"
    since = servers.nova("GET", path)["migrations"]
    wait_until(let_in, 60, 1)
    print(f"changes-since the return: {[(row['id'], row['status']) for row in since]}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.nova.evidence", description=__doc__)
    names = ", ".join(CASES)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"all unless told: {names}")
    wanted = parser.parse_args().cases or list(CASES)
    unknown = [name for name in wanted if name not in CASES and name != "locks"]
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}")
    try:
        cases = prepare([name for name in wanted if name != "locks"])
        for name, it in cases.items():
            it.began = time.monotonic()
            print(f"\n=== {name}", flush=True)
            try:
                CASES[name](it)
            except (LabError, servers.Unanswered) as error:
                it.say(f"broken off: {error}")
        print("\n=== the source returns", flush=True)
        returned(cases)
    except LabError as error:
        print(f"evidence: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
