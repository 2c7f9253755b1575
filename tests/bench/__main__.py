"""make bench: the same hosts with the same servers die, once for each of those who could evacuate them; what each took."""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from tests.bench import page, peers
from tests.bench.play import Line, Load, play
from tests.lab import up
from tests.lab.common import STATE, LabError, Size, say

SIZE = Size(controllers=1, computes=6)
LOADS = "1x20x0 1x20x2 1x20x10 1x20x30 1x60x0 1x60x2 1x60x10 1x60x30 3x20x0 3x20x2 3x20x10 3x20x30"
QUICK = "1x12x2"


def main() -> int:
    """Return 0 when each contender has had each of its turns, whatever came of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--loads", default=LOADS, metavar="LOADS",
                        help="HOSTSxSERVERSxSECONDS of a rebuild, several of them (%(default)s)")
    parser.add_argument("--only", default="", metavar="PATTERN", help="contenders whose name matches")
    parser.add_argument("--rounds", type=int, default=3, help="how often each of them has its turn (%(default)s)")
    parser.add_argument("--quick", action="store_true", help=f"one round of {QUICK}")
    parser.add_argument("--results", type=Path, default=STATE / "bench.jsonl", metavar="FILE",
                        help="where each outcome is added, and the page is made from (%(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the laboratory up")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        loads = [Load.of(text) for text in (QUICK if args.quick else args.loads).split()]
    except ValueError:
        parser.error(f"--loads: {args.loads!r} is no list of HOSTSxSERVERSxSECONDS")
    if any(load.hosts >= SIZE.computes for load in loads):
        parser.error(f"--loads: the laboratory has {SIZE.computes} compute hosts, and one has to stay")
    code, lines, began = 1, [], time.monotonic()
    try:
        peers.install()
        if not up.is_up():
            up.bring_up(SIZE)
        for number in range(1 if args.quick else args.rounds):
            for load in loads:
                for peer in peers.PEERS:
                    if re.search(args.only, peer.name):
                        say(f"\n=== round {number + 1}, {load}: {peer.name}")
                        lines.append(play(peer, load))
                        _keep(args.results, lines[-1])
                        say(f"  {lines[-1]}")
        code = 0
    except (LabError, OSError) as error:
        say(f"bench: {error}")
    except KeyboardInterrupt:
        say("interrupted")
        code = 130
    finally:
        print("\n" + page.table(lines), flush=True)
        print(f"bench: {len(lines)} turns in {time.monotonic() - began:.0f} s")
        if code == 0 and not args.quick and not args.only:
            page.write([*_read(args.results)], SIZE)
        if not args.keep:
            up.take_down()
    return code


def _keep(path: Path, line: Line) -> None:
    with path.open("a") as file:
        file.write(json.dumps(asdict(line)) + "\n")


def _read(path: Path) -> Iterable[Line]:
    return (Line(**json.loads(text)) for text in path.read_text().splitlines())


if __name__ == "__main__":
    sys.exit(main())
