"""What workers of the laboratory decide upon, with LAB_RECORD=1: put the recorder into the nodes,
and choose what is kept."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.lab import node as machine
from tests.lab.common import REPOSITORY, STATE, Node

RECORDS = os.environ.get("LAB_RECORD", "") not in ("", "0")
FOLDER = STATE / "worlds"  # the nodes see it too; a file a worker
# A worker's Python imports this from the folder of the agents' library, and no other program does.
HOOK = "/usr/lib/instance-ha/sitecustomize.py"
CODE = """\
import sys

sys.path.append({repository!r})
from tests.lab.recorder import start

start({folder!r})
"""


def put(node: Node) -> None:
    """Have the workers of a node record, if this laboratory is to."""
    if RECORDS and node.kind == "controller":
        machine.put(node, HOOK, CODE.format(repository=str(REPOSITORY), folder=str(FOLDER)))


def read(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Yield each kind of world once. A line that a power cut has cut short is left out."""
    known = set()
    for path in sorted(paths):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                one = json.loads(line)
            except ValueError:
                continue
            if one["kind"] not in known:
                known.add(one["kind"])
                yield one


def choose(worlds: Iterable[dict[str, Any]], most: int) -> list[str]:
    """Return lines of at most `most` bytes in all: as many different words of the engine as there
    is room for, the shortest world of each first."""
    groups: dict[str, list[str]] = {}
    for one in worlds:
        words = "".join(" " if c.isdigit() else c for c in one["said"])
        groups.setdefault(words, []).append(json.dumps(one))
    chosen: list[str] = []
    room = most
    turns = [sorted(lines, key=len) for _, lines in sorted(groups.items())]
    while any(turns):
        for lines in filter(None, turns):
            line = lines.pop(0)
            if len(line) + 1 <= room:
                room -= len(line) + 1
                chosen.append(line)
    return chosen


def main() -> int:
    """Print the chosen worlds, a line each."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.lab.recordings", description=__doc__)
    parser.add_argument("--most", type=int, default=180_000, help="bytes in all")
    parser.add_argument("files", type=Path, nargs="*", help="of all that were recorded unless told")
    args = parser.parse_args()
    worlds = [*read(args.files or FOLDER.glob("*.jsonl"))]
    chosen = choose(worlds, args.most)
    print("\n".join(chosen))
    print(f"{len(chosen)} of {len(worlds)} worlds", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
