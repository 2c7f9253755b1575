"""make stress: what is too heavy for make test. Faulty answers, lists cut short, killed workers,
many hosts at once; all for real, unattended."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from tests.cluster.scenario import secrets_in_logs
from tests.lab import up, watch
from tests.lab.common import LabError, Size, say
from tests.stress import faults, hosts, kills
from tests.stress.report import Result, table

SIZE = Size(controllers=3, computes=6)
# Hosts that die together are to be fenced together; under load Pacemaker does one thing at a time whatever it was told, and this
# machine's load is not its controllers'. A dead remote is not to be moved to another controller.
PREPARED = (
    ("property", "set", "concurrent-fencing=true", "load-threshold=1000%"),
    ("resource", "defaults", "update", "resource-stickiness=100"),
    ("resource", "update", "nova-evacuate", "threshold=100"),
)
NAMES = ("hosts", "kills", "faults", "lies")


def main() -> int:
    """0 when every round was as it should be."""
    args = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results: list[Result] = []
    code, keep, began = 1, args.keep, time.monotonic()
    try:
        if not up.is_up():
            up.bring_up(SIZE)
            say(f"the laboratory is up and protected after {time.monotonic() - began:.0f} s")
        for words in PREPARED:
            watch.on_controller("pcs", *words)
        for name in args.only or NAMES:
            for result in _scenarios(args)[name]():
                results.append(result)
        code = _verdict(results)
    except (LabError, OSError, subprocess.SubprocessError) as error:
        say(f"stress: {error}")
    except KeyboardInterrupt:
        say("interrupted")
        code, keep = 130, False
    finally:
        print("\n" + table(results) if results else "no results", flush=True)
        if not keep:
            up.take_down()
    say(f"make stress took {time.monotonic() - began:.0f} s")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__)
    parser.add_argument("--only", action="append", choices=NAMES, help="this scenario; may be given again")
    parser.add_argument("--seeds", type=int, default=10, help="how many seeds the faults and lies have")
    parser.add_argument("--servers", type=int, default=60, help="how many servers die with their hosts")
    parser.add_argument("--kills", type=int, default=kills.KILLS, help="how often the worker is killed")
    parser.add_argument("--keep", action="store_true", help="leave the laboratory up")
    return parser


def _scenarios(args: argparse.Namespace) -> dict[str, Callable[[], Iterator[Result]]]:
    return {
        "faults": lambda: faults.run(args.servers, args.seeds),
        "lies": lambda: faults.run(args.servers, args.seeds, "lies"),
        "kills": lambda: kills.run(args.servers, args.kills),
        "hosts": lambda: hosts.run(args.servers),
    }


def _verdict(results: list[Result]) -> int:
    leaks = secrets_in_logs()
    if leaks:
        say(f"the password is in {', '.join(leaks)}")
    bad = [result for result in results if result.error]
    say(f"stress: {len(results) - len(bad)} of {len(results)} rounds as they should be")
    return 1 if bad or leaks or not results else 0


if __name__ == "__main__":
    sys.exit(main())
