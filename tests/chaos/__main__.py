"""make chaos: faults at random that overlap, and the audits after each round; a seed repeats a run as far as the machine allows."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time

from tests.chaos.acts import end_tenants, forget_tenants, restore
from tests.chaos.judge import audit, await_fencing, keep, settle
from tests.chaos.plan import plan
from tests.chaos.player import Player
from tests.chaos.witness import Witness
from tests.cluster.scenario import healthy
from tests.lab import cluster, guests, servers, up, watch
from tests.lab.common import LabError, Size, say

SIZE = Size(controllers=3, computes=5)
PREPARED = (
    ("property", "set", "concurrent-fencing=true", "load-threshold=1000%"),
    ("resource", "update", "nova-evacuate", "threshold=100"),
)
HEALTHY_LIMIT = 300.0


def main() -> int:
    """0 when no round broke an audit."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1, help="the number of the first round")
    parser.add_argument("--keep", action="store_true", help="leave the laboratory up")
    args = parser.parse_args()
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.default_int_handler)
    began, code, lines = time.monotonic(), 1, []
    try:
        if not up.is_up():
            up.bring_up(SIZE)
        for words in PREPARED:
            watch.on_controller("pcs", *words)
        for number in range(args.first, args.first + args.rounds):
            lines.append(one(args.seed, number))
            say(f"  {lines[-1]}")
        code = 0
    except (AssertionError, LabError, OSError, KeyError, servers.Unanswered) as error:
        say(f"chaos: {type(error).__name__}: {error}")
        if up.is_up():
            say(f"everything is kept in {keep(f'chaos-{args.seed}-{len(lines) + args.first}')}")
    except KeyboardInterrupt:
        say("interrupted")
        code, args.keep = 130, False
    finally:
        print("\n" + "\n".join(lines), flush=True)
        if not args.keep:
            up.take_down()
    print(f"chaos, seed {args.seed}: {len(lines)} of {args.rounds} rounds without a broken audit, {time.monotonic() - began:.0f} s")
    return code


def one(seed: int, number: int) -> str:
    """A round, and its line. Raises AssertionError, LabError."""
    forget_tenants()
    computes = [node.name for node in cluster.size().nodes if node.kind == "compute"]
    drawn = plan(seed, number, computes)
    say(f"\n=== chaos, seed {seed}, round {number}: {drawn.servers} servers on {', '.join(drawn.victims)}")
    for act in drawn.acts:
        say(f"  {act}")
    wanted: dict[str, str] = {}
    homes: dict[str, str] = {}
    for n in range(drawn.servers):
        host = drawn.victims[n % len(drawn.victims)]
        uid = servers.boot([f"{host}-{n}"], host, wait=None)[0]
        wanted[uid], homes[uid] = "SHUTOFF" if n // len(drawn.victims) % 4 == 3 else "ACTIVE", host
    servers.wait_status([*wanted], "ACTIVE")
    halted = [uid for uid, status in wanted.items() if status == "SHUTOFF"]
    for uid in halted:
        servers.action(uid, "os-stop")
    servers.wait_status(halted, "SHUTOFF")
    player = Player(drawn.acts, random.Random(f"users-{seed}-{number}"), [*wanted])
    begun, split = time.time(), len(guests.twice())
    with Witness() as witness:
        player.play()
        restore()
        await_fencing(player, begun)
        wrong = settle(wanted, player.touched)
        back = time.time() - begun
        healthy(HEALTHY_LIMIT)
    audit(begun, split, homes, player, witness)
    silent = end_tenants(witness.heard)
    assert not silent, f"the user's own servers stayed, and nobody was told: {silent}"
    assert not settle(wanted, player.touched), "no longer as they should be"
    fenced = len({f.node for f in watch.fencings(begun)})
    servers.delete_all()
    watch.on_controller("pcs", "resource", "cleanup")
    said = f"; reported: {wrong}" if wrong else ""
    return (f"round {number:3}: {len(wanted)} servers, {len(drawn.acts)} acts, {fenced} fenced, all back after {back:.0f} s, "
            f"healthy after {time.time() - begun:.0f} s{said}")


if __name__ == "__main__":
    sys.exit(main())
