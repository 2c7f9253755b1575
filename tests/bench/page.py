"""What the contenders took, as a table, as a plot, and as docs/performance.md."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from html import escape

from tests.bench import peers
from tests.bench.play import Line, Load
from tests.lab.common import REPOSITORY, Size

PAGE, PLOT = REPOSITORY / "docs" / "performance.md", REPOSITORY / "docs" / "performance.svg"
COLUMNS = ("load", "contender", "first request", "last request", "all back", "of the floor", "requests", "not back", "CPU", "rounds")
HEAD = """# Performance

For those who compare, and for those who size. Made by `make bench` in the laboratory on {cores} cores,
{size}, last on {date}.

The same hosts with the same servers lose their power, once for each contender, in turn, {rounds}
rounds; the medians are shown, and every round's time until all were back. Seconds count from the end of
the fencing. A load is HOSTSxSERVERSxSECONDS: so many hosts, so many servers on each, and the seconds
that a rebuild takes on its new host; Nova's conductor takes about 0.4 s of these two cores for each
besides, whoever asks. *floor*: sixteen threads ask for all of them at once, and for nothing else.

![seconds until all servers were back, by load and contender](performance.svg)

"""


def median(lines: Iterable[Line]) -> list[Line]:
    """Return for each contender and load the round in the middle, by the time until all were back."""
    found: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        found.setdefault((line.load, line.peer), []).append(line)
    names = [peer.name for peer in peers.PEERS]
    order = sorted(found, key=lambda key: (_key(key[0]), names.index(key[1]) if key[1] in names else len(names)))
    return [sorted(found[key], key=_worse)[(len(found[key]) - 1) // 2] for key in order]


def _key(load: str) -> tuple[int, int, float]:
    one = Load.of(load)
    return one.hosts, one.servers, one.rebuild


def _worse(line: Line) -> tuple[bool, int, float]:
    return bool(line.error), line.left, line.back


def table(lines: Sequence[Line]) -> str:
    """Return the medians as a table of Markdown."""
    rows = [f"| {' | '.join(COLUMNS)} |", "|" + " --- |" * len(COLUMNS)]
    shown = median(lines)
    floors = {line.load: line.back for line in shown if line.peer == peers.FLOOR and not line.error}
    for line in shown:
        every = [one for one in lines if (one.load, one.peer) == (line.load, line.peer)]
        times = ", ".join("failed" if one.error else f"{one.back:g}" for one in every)
        floor = floors.get(line.load)
        ratio = f"{line.back / floor:.2f}" if floor and not line.error else ""
        left = f"{line.left}" + (f", {line.in_error} in ERROR" if line.in_error else "")
        figures = ("", "", f"failed: {line.error}") if line.error else (f"{line.first:g}", f"{line.last:g}", f"{line.back:g}")
        cells = (line.load, line.peer, *figures, ratio, str(line.requests), left, f"{line.cpu:g}", times)
        rows.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(rows)


def plot(lines: Sequence[Line]) -> str:
    """Return an SVG with a bar for each contender and load; one that failed has a word in its place."""
    shown, names = median(lines), [peer.name for peer in peers.PEERS]
    most = max((line.back for line in shown if not line.error), default=1.0)
    colours = ("#2b7a3d", "#9aa0a6", "#c2703d", "#7a5195", "#3d6fc2", "#c23d6f")
    parts, y = [], 24
    for load in dict.fromkeys(line.load for line in shown):
        parts.append(f'<text x="8" y="{y + 11}" font-weight="bold">{escape(load)}</text>')
        for line in (one for one in shown if one.load == load):
            width = 0 if line.error else round(420 * line.back / most)
            colour = colours[names.index(line.peer) % len(colours)] if line.peer in names else colours[-1]
            said = "failed" if line.error else f"{line.back:g} s"
            parts.append(f'<text x="330" y="{y + 11}" text-anchor="end">{escape(line.peer)}</text>'
                         f'<rect x="338" y="{y}" width="{width}" height="13" fill="{colour}"/>'
                         f'<text x="{344 + width}" y="{y + 11}">{said}</text>')
            y += 17
        y += 8
    title = '<text x="8" y="14">seconds from the end of the fencing until all servers were back (medians)</text>'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="840" height="{y + 8}" font-family="sans-serif" font-size="11">'
            f'<rect width="100%" height="100%" fill="#ffffff"/>{title}{"".join(parts)}</svg>\n')


def write(lines: Sequence[Line], size: Size) -> None:
    """Write docs/performance.md and its plot."""
    most = max(sum(1 for one in lines if (one.load, one.peer) == (line.load, line.peer)) for line in lines)
    words = f"{size.controllers} controller and {size.computes} compute hosts"
    PAGE.write_text(HEAD.format(cores=os.cpu_count(), size=words, date=max(line.date for line in lines), rounds=most) + table(lines) + "\n")
    PLOT.write_text(plot(lines))
