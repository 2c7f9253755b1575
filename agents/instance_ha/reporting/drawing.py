"""Pure: a drawing of what took how long, as SVG. Where nothing happens for long the axis is broken, so that minutes stay readable
beside a repair of days."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lxml import etree

from ..text import printable

WIDTH, LABELS, RIGHT = 1000, 250, 20    # of the whole, of the column of labels, of the margin
ROW, TALL = 20, 22                      # height of a row and of a heading
BREAK_ABOVE = 3.0                       # a gap that is longer than so many times the rest is cut out
GAP = 30                                # how wide the cut is drawn
TICKS = 5
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400, 604800)


@dataclass(frozen=True)
class Bar:
    """Something that lasted from `start` to `end`, in seconds since the epoch; a moment where `end` is None. `kind` is its class in the
    page's style sheet, `text` what a person sees who points at it."""

    start: float
    end: float | None
    kind: str
    text: str


@dataclass(frozen=True)
class Row:
    """A line of the drawing: what its label says, and its bars. Without bars and with `heading` it is a heading."""

    label: str
    bars: Sequence[Bar] = ()
    heading: bool = False


class Axis:
    """Seconds since the epoch to places. Long gaps in which nothing is drawn are cut out."""

    def __init__(self, times: Iterable[float]) -> None:
        moments = sorted(set(times))
        self.pieces: list[tuple[float, float]] = []
        start = moments[0]
        for before, after in zip(moments, moments[1:]):
            if after - before > BREAK_ABOVE * self._span_without(moments, before, after):
                self.pieces.append((start, before))
                start = after
        self.pieces.append((start, moments[-1]))
        self.pieces = [_widened(*piece) for piece in self.pieces]
        total = sum(end - begin for begin, end in self.pieces)
        self._scale = (WIDTH - LABELS - RIGHT - GAP * (len(self.pieces) - 1)) / total

    @staticmethod
    def _span_without(moments: Sequence[float], before: float, after: float) -> float:
        return max(10.0, moments[-1] - moments[0] - (after - before))

    def place(self, moment: float) -> float:
        """Where a moment is drawn."""
        left = float(LABELS)
        for begin, end in self.pieces:
            if moment <= end:
                return left + max(0.0, moment - begin) * self._scale
            left += (end - begin) * self._scale + GAP
        return left - GAP

    def breaks(self) -> list[float]:
        """Where the axis is broken: the middle of each cut."""
        return [self.place(end) + GAP / 2 for _, end in self.pieces[:-1]]

    def ticks(self) -> list[float]:
        """Moments to write below the drawing."""
        found: list[float] = []
        for begin, end in self.pieces:
            room = max(1, round(TICKS * (end - begin) * self._scale / (WIDTH - LABELS)))
            step = next((step for step in STEPS if (end - begin) / step <= room), STEPS[-1])
            first = -(-begin // step) * step
            found += [moment for moment in (first + n * step for n in range(room + 1)) if moment <= end]
        return found


def _widened(begin: float, end: float) -> tuple[float, float]:
    """With a little air, and at least some seconds."""
    air = max(1.0, (end - begin) * 0.03)
    return begin - air, end + air


def draw(rows: Sequence[Row]) -> Any | None:
    """The rows as an SVG element; None when there is nothing to draw."""
    times = [moment for row in rows for bar in row.bars for moment in (bar.start, bar.end) if moment is not None]
    if not times:
        return None
    axis = Axis(times)
    height = sum(TALL if row.heading else ROW for row in rows) + 2 * TALL
    svg = etree.Element("svg", viewBox=f"0 0 {WIDTH} {height}", width="100%", role="img")
    etree.SubElement(svg, "title").text = "What took how long"
    bottom = height - TALL - 6
    days = {time.strftime("%Y-%m-%d", time.gmtime(moment)) for moment in times}
    for moment in axis.ticks():
        x = axis.place(moment)
        _line(svg, (x, 4), (x, bottom), "tick")
        _text(svg, x, bottom + 16, time.strftime("%H:%M:%S" if len(days) == 1 else "%m-%d %H:%M:%S", time.gmtime(moment)), "time")
    for x in axis.breaks():
        for shift in (-3, 3):
            _line(svg, (x + shift - 3, bottom + 6), (x + shift + 3, bottom - 6), "break")
        _line(svg, (x, 4), (x, bottom - 8), "cut")
    y = 4
    for row in rows:
        y += _row(svg, axis, row, y)
    return svg


def _row(svg: Any, axis: Axis, row: Row, y: int) -> int:
    if row.heading:
        _text(svg, 0, y + 16, row.label, "heading")
        _line(svg, (0, y + TALL - 1), (WIDTH, y + TALL - 1), "rule")
        return TALL
    _text(svg, 8, y + 14, row.label if len(row.label) < 40 else row.label[:38] + "\u2026", "label")
    for bar in row.bars:
        x = axis.place(bar.start)
        if bar.end is None:
            shape = etree.SubElement(svg, "circle", cx=f"{x:.1f}", cy=str(y + 10), r="5")
        else:
            wide = max(3.0, axis.place(bar.end) - x)
            shape = etree.SubElement(svg, "rect", x=f"{x:.1f}", y=str(y + 4), width=f"{wide:.1f}", height=str(ROW - 8), rx="2")
        shape.set("class", bar.kind)
        etree.SubElement(shape, "title").text = printable(bar.text)
    return ROW


def _line(svg: Any, start: tuple[float, float], end: tuple[float, float], kind: str) -> None:
    line = etree.SubElement(svg, "line", x1=f"{start[0]:.1f}", y1=f"{start[1]:.1f}", x2=f"{end[0]:.1f}", y2=f"{end[1]:.1f}")
    line.set("class", kind)


def _text(svg: Any, x: float, y: float, words: str, kind: str) -> None:
    text = etree.SubElement(svg, "text", x=f"{x:.1f}", y=f"{y:.1f}")
    text.set("class", kind)
    text.text = printable(words)

