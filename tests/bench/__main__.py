"""make bench: the same host with the same servers dies, once for each of those who could evacuate it; what each took, side by side."""

from __future__ import annotations

import argparse
import signal
import sys
from dataclasses import dataclass

from tests.bench import peers
from tests.cluster.scenario import healthy
from tests.lab import bmc, cluster, servers, up, watch
from tests.lab import node as machine
from tests.lab.common import LabError, Size, say, wait_until
from tests.stress.incident import Incident, clean

SIZE = Size(controllers=1, computes=4)
VICTIM = "cmp-1"
FENCED_LIMIT, RECOVERED_LIMIT, BACK_LIMIT = 60.0, 600.0, 180.0


@dataclass
class Line:
    """What one of them took, in seconds."""

    name: str
    fenced: float = 0.0
    first: float = 0.0
    recovered: float = 0.0
    requests: int = 0
    error: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--servers", type=int, default=40, help="how many die with their host")
    parser.add_argument("--rounds", type=int, default=3, help="how often each of them has its turn")
    parser.add_argument("--keep", action="store_true", help="leave the laboratory up")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    lines: list[Line] = []
    code = 1
    try:
        peers.install()
        if not up.is_up():
            up.bring_up(SIZE)
        for number in range(args.rounds):
            for peer in peers.PEERS:
                say(f"\n=== round {number + 1}: {peer.name}")
                lines.append(one(peer, args.servers))
                say(f"  {lines[-1]}")
        code = 1 if any(line.error for line in lines) else 0
    except (LabError, OSError) as error:
        say(f"bench: {error}")
    except KeyboardInterrupt:
        say("interrupted")
        code = 130
    finally:
        print("\n" + table(lines, args.servers), flush=True)
        if not args.keep:
            up.take_down()
    return code


def one(peer: peers.Peer, count: int) -> Line:
    """One death of the host."""
    line = Line(peer.name)
    incident = Incident([VICTIM])
    ours = peer.work is None
    _prepare(ours)
    try:
        incident.boot(count, opted_out=count + 1)
        incident.cut_power()
        wait_until(lambda: incident.fenced(), FENCED_LIMIT, 0.1)
        end = incident.fenced()[VICTIM]
        line.fenced = round(end - incident.begun, 1)
        if peer.work:
            servers.set_service(VICTIM, forced_down=True)
            servers.set_service(VICTIM, status="disabled")
            peer.work(VICTIM)
        incident.wait_recovered(RECOVERED_LIMIT)
        asked = watch.evacuation_requests(incident.begun)
        line.first = round(min(min(times) for times in asked.values()) - end, 1)
        line.recovered = round(incident.begun + incident.recovered_after - end, 1)
        line.requests = sum(map(len, asked.values()))
    except (LabError, AssertionError, KeyError, ValueError) as error:
        line.error = f"{type(error).__name__}: {error}"
        say(f"  FAILED: {error}")
    finally:
        _restore(ours)
    return line


def _prepare(ours: bool) -> None:
    """The host stays off once it is fenced, so that its return is no part of anything; the others are alone in the cluster."""
    watch.on_controller("pcs", "property", "set", "stonith-action=off")
    bmc.stay_off(cluster.find(VICTIM), True)
    if not ours:
        watch.on_controller("pcs", "resource", "disable", "nova-evacuate")
        watch.on_controller("pcs", "stonith", "level", "remove", "1", "target", VICTIM)
        watch.on_controller("pcs", "stonith", "level", "add", "1", VICTIM, f"fence-{VICTIM}")


def _restore(ours: bool) -> None:
    bmc.stay_off(cluster.find(VICTIM), False)
    watch.on_controller("pcs", "property", "set", "stonith-action=")
    machine.boot(cluster.find(VICTIM))
    if not ours:
        wait_until(_forced_up, BACK_LIMIT, 1.0)
        servers.set_service(VICTIM, status="enabled")
        watch.on_controller("pcs", "stonith", "level", "remove", "1", "target", VICTIM)
        watch.on_controller("pcs", "stonith", "level", "add", "1", VICTIM, f"fence-{VICTIM}", "fence-nova")
        watch.on_controller("pcs", "resource", "enable", "nova-evacuate")
    healthy()
    clean()


def _forced_up() -> bool:
    """Nova refuses while the guests that left are still on the host."""
    try:
        servers.set_service(VICTIM, forced_down=False)
    except LabError:
        return False
    return True


def table(lines: list[Line], count: int) -> str:
    """A line for each of them: the median round, by the time until all were back, and all rounds' times."""
    words = [f"{count} servers on one host, seconds from the end of the fencing; the median round",
             f"{'':56}{'first request':>14}{'all back':>10}{'requests':>10}  all rounds"]
    for peer in peers.PEERS:
        own = sorted((line for line in lines if line.name == peer.name), key=lambda line: (bool(line.error), line.recovered))
        if own:
            middle = own[(len(own) - 1) // 2]
            every = ", ".join("failed" if line.error else f"{line.recovered:g}" for line in own)
            words.append(f"{peer.name:56}{middle.first:>14g}{middle.recovered:>10g}{middle.requests:>10}  {every}")
    return "\n".join(words)


if __name__ == "__main__":
    sys.exit(main())
