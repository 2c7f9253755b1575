"""What a real guest wrote on its disk, read from the host: the proof that it never ran twice.

tests/lab/guest/init.c writes it. As a program it judges disks: disk_journal.py DISK...
"""

from __future__ import annotations

import mmap
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR, FIRST = 512, 128   # marks are in the sectors below FIRST, record n in FIRST + n
BLOCK = 1 << 20
SHOWN_BOOTS, SHOWN_PROBLEMS = 40, 10
_PAIR = re.compile(r"(\w+)=(\S+)")


@dataclass(frozen=True)
class Record:
    """One record: its number, the boot that wrote it, the serial number of its host, and when."""

    n: int
    kind: str   # "boot", "tick" or "shutdown"
    boot: str
    host: str
    server: str
    wall: float  # of the guest's clock, up to a second behind
    up: float


@dataclass
class Boot:
    """The records of one boot of the guest."""

    first: Record
    last: Record
    records: int = 1


@dataclass
class Journal:
    """A whole disk. `problems` is empty when one guest at a time wrote it."""

    boots: list[Boot] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    records: int = 0

    @property
    def server(self) -> str:
        """Return the uuid of the server that wrote it, or "" when none has."""
        return self.boots[0].first.server if self.boots else ""


def read(disk: Path) -> Journal:
    """Return the journal of a disk, whether its guest runs or not."""
    found = Journal()
    known: set[str] = set()
    for sector, text in _sectors(disk):
        if sector < FIRST:
            found.problems.append(f"a guest saw another writer: {text}")
            continue
        record = _record(text)
        if record is None:
            found.problems.append(f"sector {sector} holds no record: {text[:60]}")
            continue
        if record.n != sector - FIRST:
            found.problems.append(f"sector {sector} holds number {record.n}")
        _take(found, known, record)
    return found


def _record(text: str) -> Record | None:
    values = dict(_PAIR.findall(text))
    try:
        return Record(int(values["n"]), values["kind"], values["boot"], values.get("host", ""),
                      values.get("server", ""), float(values["wall"]), float(values["up"]))
    except (KeyError, ValueError):
        return None


def _take(found: Journal, known: set[str], record: Record) -> None:
    found.records += 1
    last = found.boots[-1] if found.boots else None
    if last and last.first.boot == record.boot:
        last.last, last.records = record, last.records + 1
        return
    if record.boot in known:
        found.problems.append(f"boot {record.boot} writes again at n={record.n}, "
                              f"after boot {last.first.boot if last else '?'} has begun")
    elif record.kind != "boot":
        found.problems.append(f"boot {record.boot} first writes {record.kind} at n={record.n}")
    known.add(record.boot)
    found.boots.append(Boot(record, record))


def _sectors(disk: Path) -> Iterator[tuple[int, str]]:
    """Yield the sectors with something in them."""
    descriptor = _open(disk)
    try:
        buffer, offset = mmap.mmap(-1, BLOCK), 0
        while got := os.preadv(descriptor, [buffer], offset):
            block = bytes(buffer[:got])
            for at in range(0, got, SECTOR):
                if block[at]:
                    text = block[at:at + SECTOR].rstrip(b"\0\n").decode(errors="replace")
                    yield (offset + at) // SECTOR, text
            # Records have no gap: the rest is empty.
            if offset + got > FIRST * SECTOR and not block[got - SECTOR]:
                return
            offset += got
    finally:
        os.close(descriptor)


def _open(disk: Path) -> int:
    """Open a disk past the page cache, as the guest writes it, if the file system can do that."""
    try:
        return os.open(disk, os.O_RDONLY | os.O_DIRECT)
    except OSError:
        return os.open(disk, os.O_RDONLY)


def main() -> int:
    """Print each disk's boots and problems. Return 1 if there is a problem."""
    bad = 0
    for name in sys.argv[1:]:
        journal = read(Path(name))
        print(f"{name}: {journal.records} records, {len(journal.boots)} boots, "
              f"{len(journal.problems)} problems")
        for boot in journal.boots[:SHOWN_BOOTS]:
            first, last = boot.first, boot.last
            print(f"  boot {first.boot} on {first.host[:8]}: n={first.n}..{last.n} "
                  f"wall={first.wall:.3f}..{last.wall:.3f} {first.kind}..{last.kind}")
        for problem in journal.problems[:SHOWN_PROBLEMS]:
            print(f"  PROBLEM: {problem}")
        bad += bool(journal.problems)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
