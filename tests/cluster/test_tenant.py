"""A plain member of another project forges claims: no other server comes back later for it.

`TENANT_VICTIMS` and `TENANT_SECONDS` scale it: how many servers of others there are, and how long
each takes to be rebuilt.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests.chaos.witness import Witness
from tests.cluster.scenario import healthy
from tests.lab import cluster, guests, servers, watch
from tests.lab import node as machine
from tests.lab.common import say, wait_until
from tests.lab.tenant import HERE, OFF, PAUSED, Tenant

VICTIM = "cmp-1"
VICTIMS = int(os.environ.get("TENANT_VICTIMS", "60"))
SECONDS = int(os.environ.get("TENANT_SECONDS", "40"))
BOOT_LIMIT, RETURN_LIMIT = 300.0, 180.0
LIMIT = SECONDS * VICTIMS + 120.0
AS_FAST = 1.1


@pytest.fixture
def slow_guests() -> Iterator[None]:
    yield
    guests.set_knob("spawn_delay", None)


def recovered_after(names: str) -> float:
    """Boot servers, let their host die, and wait until they are back and it has returned.

    The seconds are those from the end of the fencing to the last server.
    """
    guests.set_knob("spawn_delay", None)
    ids = servers.boot([f"{names}-{n}" for n in range(VICTIMS)], VICTIM, wait=BOOT_LIMIT)
    guests.set_knob("spawn_delay", SECONDS)
    begun = time.time()
    machine.power_off(cluster.find(VICTIM))

    def left() -> list[str]:
        found = servers.listed()
        return [uid for uid in ids
                if servers.host_of(found[uid]) == VICTIM or found[uid]["status"] != "ACTIVE"]

    assert wait_until(lambda: not left(), LIMIT, 2), f"not back after {LIMIT:.0f} s: {left()}"
    ended = min(fencing.end for fencing in watch.fencings(begun) if fencing.node == VICTIM)
    arrived = [event["time"] for event in guests.journal()
               if event["time"] > begun and event["uuid"] in ids and event["host"] != VICTIM]
    guests.set_knob("spawn_delay", None)
    healthy(RETURN_LIMIT)
    assert not guests.twice() and not watch.records()
    for uid in ids:
        servers.nova("DELETE", f"/servers/{uid}")
    return max(arrived) - ended


@pytest.mark.slow
@pytest.mark.parametrize("again", [False, True], ids=["once", "again and again"])
def test_nobody_else_is_kept_waiting(slow_guests: None, again: bool) -> None:
    without = recovered_after("alone")
    tenant = Tenant(VICTIM)
    tenant.boot(nowhere=20)
    own = [uid for uid, place in tenant.ids.items() if place in (HERE, OFF, PAUSED)]
    if again:
        tenant.keep_forging()
    else:
        tenant.forge()
    with Witness() as witness:
        try:
            beside = recovered_after("beside")
        finally:
            tenant.stop()
    say(f"  {VICTIMS} servers of {SECONDS} s: {without:.1f} s alone, {beside:.1f} s beside him")
    stayed = {*tenant.stayed()} & {*own}
    silent = tenant.silent(witness.heard)
    assert not silent, f"his own stayed, and nobody was told: {silent}; {witness.heard}"
    if not again:
        found = servers.listed()
        assert not stayed and all(found[uid]["locked"] for uid in own), "his locks stay"
    tenant.delete()
    assert beside <= without * AS_FAST, f"{beside:.1f} s instead of {without:.1f} s"
