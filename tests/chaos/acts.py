"""How each act upon the cluster, the records and the cloud is done and undone. player.py has those that kill nodes."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Sequence

from tests.chaos import chosen
from tests.cluster.scenario import agents_use, switch_worker
from tests.lab import bmc, clock, cloud, cluster, guests, network, servers, stub_glance, tls, unit, watch
from tests.lab import node as machine
from tests.lab.cloud_config import AGENTS_YAML
from tests.lab.common import RUN, LabError, wait_until
from tests.lab.tenant import Tenant

RECORD_LIMIT = 60.0
FENCED_LIMIT = 90.0
CHECK_LIMIT = 5.0       # seconds for a monitor of nova-evacuate whatever Nova does
STOP_LIMIT = 10.0       # seconds for its stop; Pacemaker gives it 20
CIB = RUN / "saved-cib.xml"
TENANTS: list[Tenant] = []   # users who forge claims, from the act on until `end_tenants`
NOBODY = "cmp-99"
NOBODYS_NODE = (f'<node id="{NOBODY}" type="remote" uname="{NOBODY}"><instance_attributes id="nodes-{NOBODY}">'
                f'<nvpair id="nodes-{NOBODY}-evacuate" name="evacuate" value="confirmed;id=gone;proof=node_fenced:1"/></instance_attributes></node>')


def _kill_worker(_: str) -> None:
    name = watch.where_runs("nova-evacuate")
    if not name:
        raise LabError("there is no worker now")
    kill = "kill -9 $(cut -d' ' -f1 /run/resource-agents/NovaEvacuate-nova-evacuate.pid)"
    machine.exec_in(cluster.find(name), ["/bin/sh", "-c", kill], check=True)


def kill_nova_compute(host: str) -> None:
    machine.exec_in(cluster.find(host), ["/bin/sh", "-c", "kill -9 $(cut -d' ' -f1 /run/nova-compute.pid)"], check=True)


def _hang_nova_compute(what: str) -> None:
    """Have the second host's nova-compute hang as soon as the first host is on record: it takes no request, and Nova still has it up."""
    dead, _, host = what.partition(" ")
    if not wait_until(lambda: watch.records().get(dead), RECORD_LIMIT, 0.05):
        raise LabError(f"no record of {dead} was written")
    machine.exec_in(cluster.find(host), ["/bin/sh", "-c", "kill -STOP $(cut -d' ' -f1 /run/nova-compute.pid)"], check=True)


def _pcs(*words: str) -> str:
    return watch.on_controller("pcs", *words)


def _attribute(host: str, *words: str) -> None:
    watch.on_controller("crm_attribute", "--type", "nodes", "--node", host, "--name", "evacuate", *words)


def _write(what: str) -> None:
    host, _, value = what.partition(" ")
    _attribute(host, "--update", value)


def _delete_record(host: str) -> None:
    if not wait_until(lambda: watch.records().get(host), RECORD_LIMIT, 0.05):
        raise LabError(f"no record of {host} was written")
    _attribute(host, "--delete")


def _record_of_nobody(_: str) -> None:
    watch.on_controller("cibadmin", "--create", "--scope", "nodes", "--xml-text", NOBODYS_NODE)


def _nobody_is_cleared(_: str) -> None:
    left = NOBODY in watch.records()
    watch.on_controller("cibadmin", "--delete", "--scope", "nodes", "--xml-text", f'<node id="{NOBODY}"/>')
    if left:
        raise LabError(f"the record of {NOBODY}, which is no node any more, was not cleared")


def _say_yes(host: str) -> None:
    """What fence_compute writes once the host is fenced, and where it writes it."""
    since = time.time()  # nobody has noticed yet that it is dead
    if not wait_until(lambda: any(fencing.node == host for fencing in watch.fencings(since)), FENCED_LIMIT, 0.3):
        raise LabError(f"{host} was not fenced")
    watch.on_controller("attrd_updater", "--update", "yes", "--name", "evacuate", "--node", host, "--private")


def _older_agent(_: str) -> None:
    _pcs("stonith", "create", "older", "fence_compute", "auth_url=http://127.0.0.1:1", "username=nobody", "password=none",
         "pcmk_host_list=cmp-1", "--disabled", "--force")


def _confirm(host: str) -> None:
    watch.on_controller("stonith_admin", "--confirm", host)


def _save_cib(_: str) -> None:
    CIB.write_text(watch.on_controller("cibadmin", "--query", "--scope", "configuration"))


def _restore_cib(_: str) -> None:
    first = cluster.find(watch.controller())
    machine.put(first, "/tmp/cib.xml", CIB.read_text())
    watch.on_controller("cibadmin", "--replace", "--scope", "configuration", "--xml-file", "/tmp/cib.xml")


def _stay_off(host: str) -> None:
    bmc.stay_off(cluster.find(host), True)


def _boot(host: str) -> None:
    bmc.stay_off(cluster.find(host), False)
    machine.boot(cluster.find(host))


def _level(words: Sequence[str]) -> Callable[[str], None]:
    def change(host: str) -> None:
        _pcs("stonith", "level", "remove", "1", "target", host)
        _pcs("stonith", "level", "add", "1", host, *(word.format(host=host) for word in words))

    return change


def _disable_service(what: str) -> None:
    host, _, reason = what.partition(" ")
    servers.set_service(host, status="disabled", disabled_reason=reason)


def _budgets(_: str) -> None:
    """See that a monitor and a stop of the worker are quick. Raises LabError when they are not."""
    began = time.monotonic()
    name = watch.where_runs("nova-evacuate") or watch.controller()
    machine.exec_in(cluster.find(name), ["crm_resource", "--resource", "nova-evacuate", "--force-check"])
    if time.monotonic() - began > CHECK_LIMIT:
        raise LabError(f"a monitor took {time.monotonic() - began:.1f} s")
    switch_worker("disable")
    took = watch.operation_seconds("nova-evacuate", "stop")
    switch_worker("enable")
    if took is None or took > STOP_LIMIT:
        raise LabError(f"the stop took {took} s")


def _https(_: str) -> None:
    tls.serve(tls.GOOD)
    access = json.loads(AGENTS_YAML.read_text())["clouds"]["lab"]["auth"]
    agents_use({"auth_type": "v3password", "auth": {**access, "auth_url": tls.KEYSTONE}, "compute_endpoint_override": tls.NOVA,
                "cacert": str(tls.CA)})


def _http(_: str) -> None:
    agents_use({})
    tls.stop()


def _of_host(knob: str, host: str) -> str:
    """The knob of one host, or of all where none is named."""
    return f"{knob}.{host}" if host else knob


def _forge(host: str) -> None:
    """Have a user without rights lock servers of his own as if they were claimed for the host, once."""
    TENANTS.append(Tenant(host))
    TENANTS[-1].boot()
    TENANTS[-1].forge()


def _forge_again(host: str) -> None:
    """The same, again and again."""
    TENANTS.append(Tenant(host))
    TENANTS[-1].boot()
    TENANTS[-1].keep_forging()


def _stop_tenants(_: str) -> None:
    for tenant in TENANTS:
        tenant.stop()


def forget_tenants() -> None:
    """Stop what an earlier round that failed has left; its servers are deleted with all others."""
    _stop_tenants("")
    TENANTS.clear()


def end_tenants(told: Iterable[str]) -> list[str]:
    """Take away the users' servers. Those that stayed on the dead host and that nobody was told of."""
    _stop_tenants("")
    heard, silent = [*told], []
    for tenant in TENANTS:
        silent += tenant.silent(heard)
        tenant.delete()
    TENANTS.clear()
    return silent


DO: dict[str, Callable[[str], object]] = {
    "service": cloud.stop, "freeze_service": lambda what: cloud.stop(what, "freeze"), "kill_worker": _kill_worker,
    "bmc": lambda what: bmc.stop(cluster.find(what)), "stays_off": _stay_off, "address": lambda _: network.cloud_address(False),
    "fail_spawn": lambda what: guests.set_knob(_of_host("fail_spawn", what), "1"),
    "spawn_delay": lambda what: guests.set_knob("spawn_delay", what),
    "cleanup": lambda _: _pcs("resource", "cleanup", "nova-evacuate"), "move": lambda _: _pcs("resource", "move-with-constraint", "nova-evacuate"),
    "maintenance_mode": lambda _: _pcs("property", "set", "maintenance-mode=true"),
    "unmanage": lambda _: _pcs("resource", "unmanage", "nova-evacuate"),
    "disable": lambda _: _pcs("resource", "disable", "nova-evacuate"), "delete_record": _delete_record, "confirm": _confirm,
    "save_cib": _save_cib, "restore_cib": _restore_cib, "nobody": _record_of_nobody, "yes": _say_yes, "older_agent": _older_agent,
    "off_only": lambda _: _pcs("property", "set", "stonith-action=off"),
    "write": _write, "nova_compute": kill_nova_compute, "hang_nova_compute": _hang_nova_compute,
    "person_disables": _disable_service, "budgets": _budgets,
    "parameter": lambda what: _pcs("resource", "update", "nova-evacuate", what),
    "https": _https, "expired": lambda _: tls.serve(tls.EXPIRED), "clock": clock.put_back,
    "unit": lambda _: unit.begin(), "forge": _forge, "forge_again": _forge_again,
    "level_alone": _level(["fence-nova"]), "level_order": _level(["fence-nova", "fence-{host}"]), "level_power": _level(["fence-{host}"]),
    **chosen.DO,
}
UNDO: dict[str, Callable[[str], object]] = {
    "service": cloud.start, "freeze_service": lambda what: cloud.stop(what, "thaw"), "bmc": lambda what: bmc.start(cluster.find(what)),
    "stays_off": _boot,
    "fail_spawn": lambda what: guests.set_knob(_of_host("fail_spawn", what), None),
    "spawn_delay": lambda _: guests.set_knob("spawn_delay", None),
    "move": lambda _: _pcs("resource", "clear", "nova-evacuate"), "maintenance_mode": lambda _: _pcs("property", "set", "maintenance-mode="),
    "unmanage": lambda _: _pcs("resource", "manage", "nova-evacuate"), "disable": lambda _: _pcs("resource", "enable", "nova-evacuate"),
    "write": lambda what: _attribute(what.split()[0], "--delete"), "nobody": _nobody_is_cleared,
    "parameter": lambda what: _pcs("resource", "update", "nova-evacuate", what.split("=")[0] + "="),
    "address": lambda _: network.cloud_address(True), "older_agent": lambda _: _pcs("stonith", "delete", "older"),
    "off_only": lambda _: _pcs("property", "set", "stonith-action="),
    "forge_again": _stop_tenants,
    "https": _http, "expired": lambda _: tls.serve(tls.GOOD), "clock": clock.set_right, "unit": lambda _: unit.end(),
    **dict.fromkeys(("level_alone", "level_order", "level_power"), _level(["fence-{host}", "fence-nova"])),  # README's level
    **chosen.UNDO,
}
NAMES = frozenset(DO)


def restore() -> None:
    """Everything as it was before, whatever was undone already; compute hosts that are off are not switched on here."""
    _stop_tenants("")
    guests.clear_knobs()
    stub_glance.set_away(False)
    network.cloud_address(True)
    for name, alive in cloud.status().items():
        with contextlib.suppress(LabError):
            cloud.stop(name, "thaw")
            if not alive:
                cloud.start(name)
    for node in cluster.size().nodes:
        bmc.start(node)
        bmc.stay_off(node, False)
        if node.kind == "controller":
            machine.boot(node)
