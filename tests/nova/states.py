"""How a server of the laboratory gets into each state of the table, before its host dies or just after."""

from __future__ import annotations

import configparser
import time
from collections.abc import Callable

from tests.lab import cloud, guests, servers
from tests.lab.cloud_config import ETC

HOST, OTHER = "cmp-1", "cmp-2"
SLOW = 90  # seconds that what was begun before the death would take: longer than the host lives

# The steps that bring a server of this kind into its state while the host lives.
BEFORE: dict[str, tuple[str, ...]] = {
    "powering on": ("os-stop",), "resizing, shut off": ("os-stop",), "shut off": ("os-stop",), "error, shut off": ("os-stop", "error"),
    "error": ("error",), "unpausing": ("pause",), "paused": ("pause",), "resuming": ("suspend",), "suspended": ("suspend",),
    "rescued": ("rescue",), "unshelving": ("shelve",), "shelved": ("shelve",), "shelved and offloaded": ("shelve", "shelveOffload"),
}
AFTER_STEP = {"os-stop": "SHUTOFF", "error": "ERROR", "pause": "PAUSED", "suspend": "SUSPENDED", "rescue": "RESCUE", "shelve": "SHELVED",
              "shelveOffload": "SHELVED_OFFLOADED"}
# What its user asks in the seconds after the host has died, when Nova still believes in it.
AFTER: dict[str, tuple[str, object]] = {
    "powering off": ("os-stop", None), "pausing": ("pause", None), "suspending": ("suspend", None), "shelving": ("shelve", None),
    "rebooting": ("reboot", {"type": "SOFT"}), "image being made": ("createImage", {"name": "snapshot"}), "rescuing": ("rescue", None),
    "powering on": ("os-start", None), "unpausing": ("unpause", None), "resuming": ("resume", None), "unshelving": ("unshelve", None),
}
TASK = {"powering off": "powering-off", "pausing": "pausing", "suspending": "suspending", "shelving": "shelving",
        "rebooting": "rebooting", "rescuing": "rescuing", "powering on": "powering-on", "unpausing": "unpausing", "resuming": "resuming",
        "being deleted": "deleting", "live migration": "migrating"}


def prepare(names: list[str]) -> dict[str, str]:
    """A server for each name, by the state it is to be in; those in the making when the host dies are begun by `begin`."""
    elsewhere = [name for name in names if name.startswith("resized")]
    here = [name for name in names if name not in (*elsewhere, "being built")]
    ids = dict(zip(here, servers.boot([_name(name) for name in here], HOST, wait=120)))
    ids |= dict(zip(elsewhere, servers.boot([_name(name) for name in elsewhere], OTHER)))
    for round_ in range(2):
        steps = {name: BEFORE[name][round_] for name in names if len(BEFORE.get(name, ())) > round_}
        for name, step in steps.items():
            if step == "error":
                servers.action(ids[name], "os-resetState", {"state": "error"})
            else:
                servers.action(ids[name], step)
        for name, step in steps.items():
            servers.wait_status([ids[name]], AFTER_STEP[step])
    for name in elsewhere:
        if "shut off" in name:
            servers.action(ids[name], "os-stop")
            servers.wait_status([ids[name]], "SHUTOFF")
        servers.action(ids[name], "migrate", {"host": HOST})
    for name in elsewhere:
        servers.wait_status([ids[name]], "VERIFY_RESIZE")
    return ids


def _name(state: str) -> str:
    return "s-" + state.replace(" ", "-").replace(",", "")


def begin(ids: dict[str, str]) -> None:
    """What takes long is begun, and does not come to its end."""
    guests.set_knob(f"live_migration_delay.{HOST}", SLOW)
    guests.set_knob(f"spawn_delay.{HOST}", SLOW)
    servers.action(ids["live migration"], "os-migrateLive", {"host": OTHER, "block_migration": "auto"})
    ids["being built"] = servers.boot(["s-being-built"], HOST, wait=None)[0]
    servers.wait_for(lambda: servers.show(ids["being built"])["OS-EXT-STS:task_state"] == "spawning", "the build", 30)
    servers.wait_for(lambda: any(m["status"] == "running" for m in live_migrations()), "the live migration", 30)


def live_migrations() -> list[dict[str, object]]:
    """Nova's records of live migrations."""
    found: list[dict[str, object]] = servers.nova("GET", "/os-migrations?migration_type=live-migration")["migrations"]
    return found


def ask_the_dead(ids: dict[str, str], flavor: str) -> None:
    """What users ask after the host has died."""
    for name, (action, value) in AFTER.items():
        servers.action(ids[name], action, value)
    for name in ("resizing", "resizing, shut off"):
        servers.action(ids[name], "resize", {"flavorRef": flavor})
    servers.action(ids["rebuilding"], "rebuild", {"imageRef": servers.IMAGE})
    servers.nova("DELETE", f"/servers/{ids['being deleted']}")


def soft_delete(uid: str) -> None:
    """Delete a server in the way of clouds that keep deleted servers for a while."""
    _restart_api("3600")
    servers.nova("DELETE", f"/servers/{uid}")
    servers.wait_for(lambda: servers.show(uid)["OS-EXT-STS:vm_state"] == "soft-delete", "the soft delete", 30)
    _restart_api(None)


def _restart_api(interval: str | None) -> None:
    path = ETC / "nova.conf"
    config = configparser.RawConfigParser()
    config.read(path)
    if interval is None:
        config.remove_option("DEFAULT", "reclaim_instance_interval")
    else:
        config.set("DEFAULT", "reclaim_instance_interval", interval)
    with path.open("w") as file:
        config.write(file)
    cloud.stop("nova-api", "term")
    cloud.start("nova-api")
    time.sleep(0.5)


def each(ids: dict[str, str], what: Callable[[dict[str, object]], object]) -> dict[str, object]:
    """A fact of each server, by state; "gone" for one that is no more."""
    found = servers.listed()
    return {name: what(found[uid]) if uid in found else "gone" for name, uid in ids.items()}
