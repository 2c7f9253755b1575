"""Acts upon what Nova or Pacemaker is just doing, which no plan can name beforehand: a server that
is being rebuilt, one that has arrived, one that people are told of; and acts upon the control
plane of Nova."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from keystoneauth1 import adapter, session
from keystoneauth1.identity import v3

from tests.cluster.scenario import switch_worker
from tests.lab import cloud, cluster, guests, servers, stub_glance, watch
from tests.lab import node as machine
from tests.lab.cloud_config import CATALOG, ETC, PORTS, secret
from tests.lab.common import LabError, Node, in_netns, run, wait_until
from tests.lab.netns import inside

BUILD_LIMIT = 20.0       # seconds until a server is being rebuilt
ARRIVAL_LIMIT = 40.0     # until one has arrived
BACK_LIMIT = 150.0       # until a host is let in
UNCLEAN_LIMIT = 60.0     # until Pacemaker notices that a host is dead
DEVICE_LIMIT = 25.0      # until it has tried its power device in vain
TOLD_LIMIT = 120.0       # until people are told
LOOKING_LIMIT = 200.0    # until they are told of servers that may run elsewhere, or the host is let in
SURE = 20.0              # for how long that is said before somebody acts on it
CLEARED_LIMIT = 30.0     # until deleted servers are gone
CONTROL_LIMIT = 40.0     # until Nova sees its conductor and scheduler
RECORD_LIMIT = 60.0      # until a host is on record
BIG, BIG_DISK = "lab.big", 1024      # a flavor with all of a compute host's disk, in GiB
BALLAST = "ballast-"     # how the names of servers begin that only take room
CONTROL = ("nova-scheduler", "nova-conductor")
CLOUD = "cloud"          # Nova's name of the host of the two
REMOVED = "ctl-9"        # a controller that was removed long ago
REMOVED_STATE = (f'<node_state id="99" uname="{REMOVED}" in_ccm="false" crmd="offline" join="down"'
                 ' expected="down" crm-debug-origin="do_update_resource"/>')
REMOVED_ROW = """
INSERT INTO services (created_at, updated_at, last_seen_up, host, `binary`, topic, report_count,
                      disabled, deleted, forced_down, version, uuid)
SELECT '2025-01-01', '2025-02-01', '2025-02-01', '{host}', `binary`, topic, 9,
       0, 0, 0, version, '99999999-0000-4000-8000-00000000000{number}'
FROM services WHERE `binary` = '{name}' AND deleted = 0 LIMIT 1"""
LEFT_BY_A_TRY = re.compile(r"its guest is on (\S+), left by a failed try")
Row = dict[str, Any]


def rebuilt() -> Row:
    """Return Nova's row of an evacuation whose destination is at the spawn, of a server that ran
    rather than of one that was shut off. Raises LabError."""
    found: list[Row] = []

    def at_the_spawn(row: Row) -> bool:
        if row["status"] != "pre-migrating" or not row["dest_compute"]:
            return False
        task = servers.show(row["instance_uuid"])["OS-EXT-STS:task_state"]
        return bool(task == "rebuild_spawning")

    def spawns() -> bool:
        found[:] = [row for row in servers.evacuations() if at_the_spawn(row)]
        return bool(found)

    def ran(row: Row) -> bool:
        return bool(servers.show(row["instance_uuid"])["OS-EXT-STS:vm_state"] == "active")

    if not wait_until(spawns, BUILD_LIMIT, 0.2):
        raise LabError("nothing is being rebuilt now")
    return max(found, key=ran)


def arrived_and_claimed(dead: str) -> Node:
    """Return the host on which a server has arrived that still carries our claim and is shut off.
    Raises LabError."""
    found: list[str] = []

    def is_there(server: servers.Server) -> bool:
        settled = server["status"] == "SHUTOFF" and not server["OS-EXT-STS:task_state"]
        return bool(settled and server["locked"] and servers.host_of(server) != dead)

    def one_is() -> bool:
        found[:] = [str(servers.host_of(one)) for one in servers.listed().values() if is_there(one)]
        return bool(found)

    if not wait_until(one_is, ARRIVAL_LIMIT, 0.3):
        raise LabError(f"no server of {dead} that is shut off has arrived with its claim")
    return cluster.find(found[0])


def await_return(host: str) -> None:
    """Wait until a host has been let in, with its record still there. Raises LabError."""
    def returns() -> bool:
        record = watch.records().get(host, "")
        return record.startswith("returning") and machine.is_on(cluster.find(host))

    if not wait_until(returns, BACK_LIMIT, 0.2):
        raise LabError(f"{host} is not returning; its record: {watch.records().get(host)}")


def signal_nova_compute(host: str, name: str) -> None:
    """Send a signal to a host's nova-compute."""
    command = f"kill -{name} $(cut -d' ' -f1 /run/nova-compute.pid)"
    machine.exec_in(cluster.find(host), ["/bin/sh", "-c", command], check=True)


def control_dies() -> None:
    """Kill the conductor and the scheduler, as their controller's death does; there are others."""
    _set_control(CLOUD)


def _set_control(host: str) -> None:
    """Have others run instead of the conductor and the scheduler, under this name of a host."""
    for name in CONTROL:
        cloud.stop(name)
    config = ETC / "nova.conf"
    config.write_text(re.sub(r"(?m)^host = .*$", f"host = {host}", config.read_text()))
    since = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    for name in CONTROL:
        cloud.start(name)

    def report() -> bool:
        rows = [servers.services(name).get(host) for name in CONTROL]
        return all(row and row["state"] == "up" and (row["updated_at"] or "") > since
                   for row in rows)

    if not wait_until(report, CONTROL_LIMIT, 0.5):
        raise LabError(f"Nova does not see its conductor and scheduler on {host}")


def _hang_scheduler(dead: str) -> None:
    """Have the scheduler hang once a host is on record; for ten seconds Nova still has it up."""
    if not wait_until(lambda: watch.records().get(dead), RECORD_LIMIT, 0.05):
        raise LabError(f"no record of {dead} was written")
    cloud.stop("nova-scheduler", "freeze")


def _occupy(hosts: str) -> None:
    """Put some servers on each of these hosts, so that another one is the emptiest."""
    for host in hosts.split():
        servers.boot([f"{BALLAST}{host}-{n}" for n in range(2)], host, flavor="m1.medium")


def _fill(hosts: str) -> None:
    """Leave no room for another server on each of these hosts."""
    with contextlib.suppress(servers.Unanswered):       # the flavor is there from an earlier row
        servers.make_flavor(BIG, 64, BIG_DISK)
    for host in hosts.split():
        servers.boot([f"{BALLAST}{host}"], host, flavor=BIG)


def _clear(_: str) -> None:
    """Take away what _occupy and _fill have put there."""
    ids = [uid for uid, server in servers.listed().items() if server["name"].startswith(BALLAST)]
    for uid in ids:
        servers.nova("DELETE", f"/servers/{uid}")
    if not wait_until(lambda: not {*ids} & {*servers.listed()}, CLEARED_LIMIT, 0.5):
        raise LabError("the servers that take the room away are not gone")


def _set_services(status: str) -> Callable[[str], None]:
    def change(hosts: str) -> None:
        for host in hosts.split():
            servers.set_service(host, status=status)

    return change


def _confirm_unclean(host: str) -> None:
    """Confirm a host's death, as a person does once its power device has not answered."""
    def unclean() -> bool:
        found = watch.on_controller("crm_mon", "--one-shot", "--output-as=xml")
        return bool(re.search(f'<node name="{host}"[^>]*online="false"[^>]*unclean="true"', found))

    if not wait_until(unclean, UNCLEAN_LIMIT, 0.5):
        raise LabError(f"Pacemaker does not have {host} as unclean")
    time.sleep(DEVICE_LIMIT)
    watch.on_controller("stonith_admin", "--confirm", host)


def _sql(statement: str) -> None:
    where = ["--host=127.0.0.1", f"--port={PORTS['mariadb']}", "--user=lab", "nova"]
    environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "MYSQL_PWD": secret()}
    run(in_netns(["mariadb", *where, "--execute", statement]), env=environment)


def _forget_control(host: str) -> None:
    _sql(f"DELETE FROM services WHERE host = '{host}' AND `binary` <> 'nova-compute'")


def _control_at_worker(_: str) -> None:
    """Have the conductor and the scheduler run on the worker's controller, by their host's name."""
    _set_control(watch.where_runs("nova-evacuate") or watch.controller())


def _control_elsewhere(_: str) -> None:
    _set_control(CLOUD)
    for node in cluster.size().nodes:
        if node.kind == "controller":
            _forget_control(node.name)


def _removed_controller(_: str) -> None:
    """Make what a controller leaves that was removed long ago: rows in Nova, a state in the CIB."""
    for number, name in enumerate(CONTROL):
        _sql(REMOVED_ROW.format(host=REMOVED, number=number, name=name))
    watch.on_controller("cibadmin", "--create", "--scope", "status", "--xml-text", REMOVED_STATE)


def _no_removed_controller(_: str) -> None:
    state = f'<node_state id="99" uname="{REMOVED}"/>'
    command = ("cibadmin", "--delete", "--scope", "status", "--xml-text", state)
    watch.on_controller(*command, check=False)
    _forget_control(REMOVED)


def _new_worker(_: str) -> None:
    """Start a worker that remembers nothing, as what Glance says of an image."""
    switch_worker("disable")
    switch_worker("enable")


def _set_active(uid: str) -> None:
    servers.action(uid, "os-resetState", {"state": "active"})


def _unlock_as_a_person(uid: str) -> None:
    """Unlock a server as an administrator who is not the agents' own user, from another project."""
    name = f"person-{uid[:8]}"
    client = functools.partial(servers.request, "identity")
    mine = {"name": name, "domain_id": "default"}
    project = client("POST", "/projects", {"project": mine})["project"]["id"]
    user = client("POST", "/users", {"user": {**mine, "password": secret()}})["user"]["id"]
    roles = {role["name"]: role["id"] for role in client("GET", "/roles")["roles"]}
    client("PUT", f"/projects/{project}/users/{user}/roles/{roles['admin']}")
    password = v3.Password(CATALOG["identity"], username=name, password=secret(),
                           project_id=project, user_domain_id="default")
    nova = adapter.Adapter(session.Session(password), service_type="compute", interface="public",
                           region_name="RegionOne")
    inside(lambda: nova.post(f"/servers/{uid}/action", json={"unlock": None}))


def _cure(_: str) -> None:
    """Do what operations.md says of a guest that a failed try has left: end it, unlock the server.
    Raises LabError when instance-ha status tells of none. (What crm_mon shows of a monitor stays as
    it first was for as long as the worker is degraded.)"""
    found: set[tuple[str, str]] = set()

    def told() -> bool:
        command = ("instance-ha", "status", "-f", "json")
        rows = json.loads(watch.on_controller(*command, check=False) or "[]")
        found.update((row["Server"], match.group(1)) for row in rows
                     if (match := LEFT_BY_A_TRY.search(row["Reason"])))
        return bool(found)

    if not wait_until(told, TOLD_LIMIT, 1):
        raise LabError("nobody is told of a guest that a failed try has left")
    for uid, host in found:
        guests.remove(host, uid, "destroy")
        _unlock_as_a_person(uid)


def _look(victim: str) -> None:
    """Do what host-does-not-return.md says of servers that may run elsewhere: end the guest that
    Nova does not show, unlock, start. Nothing where the host returns without such a word."""
    asked_since: list[float] = []

    def asked_or_over() -> bool:
        kept = watch.records().get(victim)
        if kept is None:
            return True
        if "may run elsewhere" not in kept:
            asked_since.clear()
            return False
        asked_since.append(time.monotonic())
        return time.monotonic() - asked_since[0] > SURE

    if not wait_until(asked_or_over, LOOKING_LIMIT, 1):
        raise LabError(f"{victim} does not return, and nobody is asked to look")
    for server in servers.listed().values() if asked_since else ():
        uid = str(server["id"])
        if not (server["locked"] and servers.host_of(server) == victim):
            continue
        for host in guests.running().get(uid, []):
            if host != victim:
                guests.remove(host, uid, "destroy")
        _unlock_as_a_person(uid)
        servers.action(uid, "reboot", {"type": "HARD"})


# Upon the row of a server that is being rebuilt, and what undoes that.
ON_ROW: dict[str, Callable[[Row], object]] = {
    "stop_destination": lambda row: signal_nova_compute(row["dest_compute"], "STOP"),
    "person_downs": lambda row: servers.set_service(row["dest_compute"], forced_down=True),
    "person_resets": lambda row: _set_active(row["instance_uuid"]),
}
OFF_ROW: dict[str, Callable[[Row], object]] = {
    "stop_destination": lambda row: signal_nova_compute(row["dest_compute"], "CONT"),
    "person_downs": lambda row: servers.set_service(row["dest_compute"], forced_down=False),
}
DO: dict[str, Callable[[str], object]] = {
    "occupy": _occupy, "fill": _fill, "new_worker": _new_worker, "cure": _cure, "look": _look,
    "disable_hosts": _set_services("disabled"), "enable_hosts": _set_services("enabled"),
    "confirm_unclean": _confirm_unclean, "glance": lambda _: stub_glance.set_away(True),
    "control_at_worker": _control_at_worker, "removed_controller": _removed_controller,
    "hang_scheduler": _hang_scheduler,
}
UNDO: dict[str, Callable[[str], object]] = {
    "fill": _clear, "glance": lambda _: stub_glance.set_away(False),
    "control_at_worker": _control_elsewhere, "removed_controller": _no_removed_controller,
}
