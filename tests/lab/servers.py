"""Servers, hosts and evacuations of the laboratory's Nova, for tests and the demonstration.

Works inside and outside the laboratory's network namespace. Failed requests raise keystoneauth1's exceptions; waits that end
in vain raise LabError.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from keystoneauth1 import adapter, exceptions, session
from keystoneauth1.identity import v3

from tests.lab.cloud_config import CLOUDS_YAML
from tests.lab.common import LIBVIRT, LabError, virt, wait_until
from tests.lab.netns import inside
from tests.lab.releases import CHOSEN
from tests.lab.stub_glance import IMAGE
from tests.lab.stub_neutron import NETWORK

Server = dict[str, Any]
Unanswered = exceptions.ClientException  # what every failed request raises
MICROVERSION = CHOSEN.microversion
EVACUATE_MICROVERSION = "2.73"
REAL_BOOT = 3                           # times the limits, where a guest's boot takes a processor's time
# Nova finds no host while the first reports of one that has returned are on their way; and where its nova-compute
# reports to Placement while it is enabled, Placement has it as disabled until the next report, a minute later.
PLACING_LIMIT, PLACING_PAUSE = 150.0, 2.0


@functools.cache
def _session(access: str) -> session.Session:
    cloud = json.loads(access)["clouds"]["lab"]
    return session.Session(v3.Password(**cloud["auth"]), timeout=120)


def request(service: str, method: str, path: str, body: Any = None, microversion: str | None = None, **options: Any) -> Any:
    """A request to an API ("compute", "network", "image", "block-storage", "placement", "identity"); the decoded answer or None."""
    found = answer(service, method, path, body, microversion, **options)
    return found.json() if found.content else None


def answer(service: str, method: str, path: str, body: Any = None, microversion: str | None = None, **options: Any) -> Any:
    """The same, but the whole answer: its status and its headers too."""
    client = adapter.Adapter(_session(CLOUDS_YAML.read_text()), service_type=service, region_name="RegionOne", interface="public")
    if service == "compute":
        microversion = microversion or MICROVERSION
    if body is not None:
        options["json"] = body
    return inside(lambda: client.request(path, method, microversion=microversion, **options))


def nova(method: str, path: str, body: Any = None, microversion: str = MICROVERSION) -> Any:
    """A request to Nova."""
    return request("compute", method, path, body, microversion)


def boot(
    names: Iterable[str], host: str | None = None, *, stopped: bool = False, volume: bool = False, network: bool = False,
    metadata: Mapping[str, str] | None = None, flavor: str = "m1.tiny", image: str = IMAGE, group: str | None = None,
    wait: float | None = 60, microversion: str = MICROVERSION,
) -> list[str]:
    """Boot servers, on `host` if given, and wait until they are ACTIVE (or SHUTOFF with `stopped`); their ids in the names' order.

    `volume`: from a volume of the image. `network`: with a port. `group`: a server group's id. `wait`: seconds, None: do not.
    """
    spec: dict[str, Any] = {"flavorRef": flavor_id(flavor), "networks": [{"uuid": NETWORK}] if network else "none"}
    if host:
        spec["host"] = host
    if metadata:
        spec["metadata"] = dict(metadata)
    hints = {"os:scheduler_hints": {"group": group}} if group else {}

    def create(name: str) -> str:
        disk = {"block_device_mapping_v2": [_root_volume(name, image)]} if volume else {"imageRef": image}
        return str(nova("POST", "/servers", {"server": {**spec, **disk, "name": name}, **hints}, microversion)["server"]["id"])

    named = list(names)
    ids = [create(name) for name in named]
    if wait is None:
        return ids
    wait *= REAL_BOOT if virt() == LIBVIRT else 1
    end = time.monotonic() + PLACING_LIMIT
    while time.monotonic() < end:
        wait_for(lambda: _are_built(ids), f"{len(ids)} servers to be built", wait)
        misplaced = [n for n, server in enumerate(_these(ids)) if "No valid host" in str(server.get("fault", {}).get("message"))]
        if not misplaced:
            break
        time.sleep(PLACING_PAUSE)
        for n in misplaced:
            nova("DELETE", f"/servers/{ids[n]}")
            ids[n] = create(named[n])
    wait_status(ids, "ACTIVE", wait)
    if stopped:
        for uid in ids:
            action(uid, "os-stop")
        wait_status(ids, "SHUTOFF", wait)
    return ids


def _are_built(ids: Sequence[str]) -> bool:
    found = listed()
    return all(uid in found and found[uid]["status"] != "BUILD" for uid in ids)


def _these(ids: Sequence[str]) -> list[Server]:
    found = listed()
    return [found[uid] for uid in ids]


def _root_volume(name: str, image: str) -> dict[str, object]:
    volume = request("block-storage", "POST", "/volumes", {"volume": {"name": name, "size": 1, "imageRef": image}}, "3.60")["volume"]
    return {"uuid": volume["id"], "source_type": "volume", "destination_type": "volume", "boot_index": 0, "delete_on_termination": False}


def action(uid: str, name: str, value: Any = None, microversion: str = MICROVERSION) -> Any:
    """Send a server action, such as os-stop, pause, lock or evacuate."""
    return nova("POST", f"/servers/{uid}/action", {name: value}, microversion)


def evacuate(uid: str, host: str | None = None) -> None:
    """Ask for an evacuation, as the agent does."""
    action(uid, "evacuate", {"host": host} if host else {}, EVACUATE_MICROVERSION)


def show(uid: str) -> Server:
    """The server as Nova tells it."""
    found: Server = nova("GET", f"/servers/{uid}")["server"]
    return found


def listed(host: str | None = None) -> dict[str, Server]:
    """All servers, or those Nova believes on a host, by id."""
    found = nova("GET", f"/servers/detail?all_tenants=1{f'&host={host}' if host else ''}")["servers"]
    return {server["id"]: server for server in found}


def host_of(server: Server) -> str | None:
    """The host a server is on."""
    found: str | None = server["OS-EXT-SRV-ATTR:host"]
    return found


def delete_all(seconds: float = 60) -> None:
    """Delete every server and wait until they are gone; those of dead hosts go only when no service is there to wait for."""
    for uid in [*listed()]:
        nova("DELETE", f"/servers/{uid}")
    if not wait_until(lambda: not listed(), seconds, 0.3):
        raise LabError(f"servers are left after {seconds} s: {sorted(s['name'] for s in listed().values())}")


def evacuations(source: str | None = None) -> Sequence[dict[str, Any]]:
    """Nova's evacuation records (os-migrations), of one source host or all."""
    more = f"&source_compute={source}" if source else ""
    found: Sequence[dict[str, Any]] = nova("GET", f"/os-migrations?migration_type=evacuation{more}")["migrations"]
    return found


def services(binary: str = "nova-compute") -> dict[str, dict[str, Any]]:
    """The compute services by host, with id, state, status, forced_down, updated_at."""
    found = nova("GET", f"/os-services?binary={binary}")["services"]
    return {service["host"]: service for service in found}


def set_service(host: str, **fields: object) -> None:
    """Change a host's compute service: forced_down=True, status="disabled"."""
    nova("PUT", f"/os-services/{services()[host]['id']}", fields)


def flavor_id(name: str) -> str:
    """The id of a flavor. Raises LabError when there is none of that name."""
    for flavor in nova("GET", "/flavors")["flavors"]:
        if flavor["name"] == name:
            return str(flavor["id"])
    raise LabError(f"there is no flavor {name}")


def make_flavor(name: str, ram: int = 64, disk: int = 1, vcpus: int = 1, **specs: str) -> str:
    """Make a flavor (MiB, GiB) with extra specs; its id."""
    uid = str(nova("POST", "/flavors", {"flavor": {"name": name, "ram": ram, "disk": disk, "vcpus": vcpus}})["flavor"]["id"])
    if specs:
        nova("POST", f"/flavors/{uid}/os-extra_specs", {"extra_specs": specs})
    return uid


def set_flavor_spec(flavor: str, key: str, value: str | None) -> None:
    """Set an extra spec of a flavor, or with None take it away. Servers booted before keep what their flavor had."""
    path = f"/flavors/{flavor_id(flavor)}/os-extra_specs"
    if value is None:
        nova("DELETE", f"{path}/{key}")
    else:
        nova("POST", path, {"extra_specs": {key: value}})


def set_image(properties: Mapping[str, str | None], image: str = IMAGE) -> None:
    """Set properties of an image (None takes one away). Servers booted before keep the image's properties of then."""
    changes = [
        {"op": "remove", "path": f"/{key}"} if value is None else {"op": "add", "path": f"/{key}", "value": value}
        for key, value in properties.items()
    ]
    kind = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    request("image", "PATCH", f"/v2/images/{image}", changes, headers=kind)


def tag_image(tag: str, present: bool = True, image: str = IMAGE) -> None:
    """Put a tag on an image or take it off."""
    request("image", "PUT" if present else "DELETE", f"/v2/images/{image}/tags/{tag}")


def wait_for(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Wait until a condition is true; `what` says in the LabError what was awaited."""
    if not wait_until(condition, seconds, 0.2):
        raise LabError(f"after {seconds:.0f} s still waiting for {what}")


def wait_status(ids: Sequence[str], status: str, seconds: float = 60) -> None:
    """Wait until the servers have a status and no task. Raises LabError also as soon as one is in ERROR instead."""

    def there() -> bool:
        servers = listed()
        wanted = [servers[uid] for uid in ids if uid in servers]    # one that is being handed to its cell is in no list for a moment
        broken = [s for s in wanted if s["status"] == "ERROR" != status]
        if broken:
            raise LabError(f"server {broken[0]['name']} is in ERROR: {broken[0].get('fault', {}).get('message')}")
        return len(wanted) == len(ids) and all(s["status"] == status and not s["OS-EXT-STS:task_state"] for s in wanted)

    wait_for(there, f"{len(ids)} servers to be {status}", seconds)


def wait_computes(hosts: Iterable[str], seconds: float = 60) -> None:
    """Wait until these compute services have reported themselves after this call, are up, and their hosts can be scheduled to."""
    wanted = {*hosts}
    # Nova believes in a dead service for service_down_time, and tells times in whole seconds.
    after = (datetime.now(timezone.utc) + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S")

    def there() -> bool:
        up = {host for host, service in services().items() if service["state"] == "up" and (service["updated_at"] or "") >= after}
        return wanted <= up and wanted <= {h["hypervisor_hostname"] for h in nova("GET", "/os-hypervisors")["hypervisors"]}

    wait_for(there, f"the compute services of {', '.join(sorted(wanted))}", seconds)


def wait_evacuated(ids: Sequence[str], source: str, seconds: float = 120) -> None:
    """Wait until the last evacuation of each server from `source` is done (or completed)."""

    def there() -> bool:
        last = {record["instance_uuid"]: record["status"] for record in sorted(evacuations(source), key=lambda r: r["id"])}
        return all(last.get(uid) in ("done", "completed") for uid in ids)

    wait_for(there, f"{len(ids)} evacuations from {source}", seconds)
