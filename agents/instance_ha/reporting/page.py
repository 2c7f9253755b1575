"""Pure: an incident as one HTML page that needs nothing else: no script, no other file, no network."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from lxml import etree

from .. import __version__
from ..incident import IN_SERVICE, Incident
from ..model import ARRIVED, FAILED
from ..text import printable
from .chronicle import Chronicle, Moved, fenced_at, settings, state_of
from .drawing import Bar, Row, draw

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #667; --line: #d5d9df; --paper: #fff; --well: #2a7d4f; --bad: #b3261e; --busy: #2f6fb0;
  --wait: #c98a1b; --away: #9aa3ad; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #a0a8b3; --line: #3a4049; --paper: #14171b; --well: #5fbf8a; --bad: #f2857d;
  --busy: #7fb2e5; --wait: #e5b95c; --away: #6b7480; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p.lead { margin: 0 0 1rem; font-size: 1.05rem; } p.note, footer { color: var(--soft); font-size: .87rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; } th, td { text-align: left; padding: .3rem .7rem .3rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); } th { color: var(--soft); font-weight: 600; white-space: nowrap; } td.long { overflow-wrap: anywhere; }
td.short, .good, .bad, td.number { white-space: nowrap; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
code { font-size: .85em; overflow-wrap: anywhere; }
.good { color: var(--well); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; } .open { color: var(--wait); font-weight: 600; }
.changed { font-weight: 600; overflow-wrap: anywhere; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; } svg .time { text-anchor: middle; fill: var(--soft); font-size: 11px; }
svg .heading { font-weight: 600; } svg .tick, svg .rule { stroke: var(--line); } svg .break { stroke: var(--ink); }
svg .cut { stroke: var(--line); stroke-dasharray: 3 4; } svg .fencing { fill: var(--bad); } svg .start { fill: var(--wait); }
svg .moving, svg .arrived { fill: var(--busy); } svg .failed { fill: var(--bad); } svg .unknown { fill: var(--wait); }
svg .away { fill: var(--away); }
svg .good { fill: var(--well); }
@media print { body { margin: 0; max-width: none; } }
"""
CLOCKS = ("The times of the incident are by the clock of the controller that wrote them, those of the servers by Nova's. They are drawn on one "
          "axis, and nothing was decided by comparing them: where the clocks differ, the two parts of the drawing are shifted by that. Of a "
          "server's tries, those that were carried out are blue, those that failed red, others yellow.")
UNKNOWN = "not seen"


def page(chronicle: Chronicle, now: float) -> str:
    """The whole page. `now` is when it is made, in seconds since the epoch."""
    one = chronicle.incident
    root = etree.Element("html", lang="en")
    head, body = etree.SubElement(root, "head"), etree.SubElement(root, "body")
    etree.SubElement(head, "meta", charset="utf-8")
    etree.SubElement(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    etree.SubElement(head, "title").text = printable(f"{one.node}, incident {one.id}")
    etree.SubElement(head, "style").text = STYLE
    _add(body, "h1", f"{one.node}: incident {one.id}")
    lead = _add(body, "p", "", "lead")
    _add(lead, "span", *_verdict(one))
    lead[-1].tail = printable(". " + _counts(one))
    _section(body, "Timeline")
    drawn = draw(rows_of(chronicle))
    if drawn is None:
        _add(body, "p", "No time of it is known.", "note")
    else:
        body.append(drawn)
    _add(body, "p", CLOCKS, "note")
    _section(body, "Facts")
    _table(body, (), facts(chronicle))
    _section(body, "Servers")
    _servers(body, chronicle.servers)
    _section(body, "What went wrong")
    if chronicle.wrong:
        points = etree.SubElement(body, "ul")
        for sentence in chronicle.wrong:
            _add(points, "li", sentence)
    else:
        _add(body, "p", "Nothing that the history or Nova tells of.")
    _section(body, "Settings then in force")
    _table(body, ("Parameter", "Value", "Default"), [(name, value or "(empty)", default or "(empty)") for name, value, default in settings(one)],
           lambda row: "changed" if row[1] != row[2] else "")
    _add(body, "footer", f"Made by instance-ha {__version__} at {stamp(now)} from the cluster's configuration and from Nova's records of "
         "migrations and actions. Times are UTC.")
    text: str = etree.tostring(root, method="html", encoding="unicode", doctype="<!DOCTYPE html>", pretty_print=True)
    return text


def _verdict(one: Incident) -> tuple[str, str]:
    if one.left:
        return f"{one.left} of {_number(one.protected)} protected servers were not moved", "bad"
    if one.done is not None and one.over:
        return (f"All {one.done} protected servers were moved" if one.done else "It had no protected servers"), "good"
    return "Nothing is known of its servers" if one.end else "It goes on", "open"


def _counts(one: Incident) -> str:
    back = f"The host was back in service at {stamp(one.returned)}." if one.returned else \
        "The host is back in service; when that was nobody saw." if one.end == IN_SERVICE else "The host is not back in service."
    tries = f" Nova took {one.tries} requests." if one.tries else ""
    return back + tries


def facts(chronicle: Chronicle) -> list[tuple[str, str]]:
    """What is known of the incident, as pairs for people."""
    one = chronicle.incident
    return [
        ("Host", one.node if one.host in ("", one.node) else f"{one.node}, in Nova {one.host}"),
        ("Nova last heard of nova-compute", f"{stamp(chronicle.heard)} (Nova's clock); the host was lost after that" if chronicle.heard else UNKNOWN),
        ("Fencing recorded", f"{stamp(one.recorded)} by {one.by or 'an older agent'}"),
        ("Fenced, by Pacemaker", f"{stamp(fenced_at(one.proof))}; proof: {one.proof or 'none'}"),
        ("Seen by the worker", stamp(one.proven) + _since(one.recorded, one.proven, "after the record")),
        ("First request to Nova", stamp(one.requested) + _since(one.proven, one.requested)),
        ("Last server arrived", stamp(one.arrived) + _since(one.requested, one.arrived)),
        ("Nothing under way any more", stamp(one.over) + _since(one.recorded, one.over, "after the record")),
        ("nova-compute back, guests that left removed", f"{stamp(chronicle.cleaned)} (Nova's clock)" if chronicle.cleaned else UNKNOWN),
        ("Back in service", stamp(one.returned) + _since(one.over, one.returned)),
        ("Evacuated by", one.worker or UNKNOWN),
    ]


def rows_of(chronicle: Chronicle) -> list[Row]:
    """The drawing's rows."""
    one = chronicle.incident
    fenced = fenced_at(one.proof)
    rows = [Row("The cluster, by the controllers' clocks", heading=True),
            _span("fencing", one.recorded, one.proven, "fencing", "recorded, until the worker saw Pacemaker's confirmation"),
            Row("fenced", [Bar(fenced, None, "fencing", f"fenced, {stamp(fenced)}")] if fenced else []),
            _span("until the first request", one.proven, one.requested, "start", "confirmed, until the first request to Nova"),
            _span("servers on their way", one.requested, one.arrived, "moving", "first request, until the last server had arrived"),
            _span("until nothing was under way", one.arrived or one.requested, one.over, "start", "until nothing was under way any more"),
            _span("host away", one.over, one.returned, "away", "evacuated, until the host was back in service")]
    rows += [Row("back in service", [Bar(one.returned, None, "good", f"back in service, {stamp(one.returned)}")])] if one.returned else []
    rows.append(Row("Nova, by its own clock", heading=True))
    if chronicle.heard:
        rows.append(Row("nova-compute last heard of", [Bar(chronicle.heard, None, "away", f"nova-compute reported, {stamp(chronicle.heard)}")]))
    rows += [Row(server.name, list(_bars(server))) for server in chronicle.servers]
    if chronicle.cleaned:
        rows.append(Row("nova-compute back", [Bar(chronicle.cleaned, None, "good", f"the guests that left are removed, {stamp(chronicle.cleaned)}")]))
    return rows


def _span(label: str, start: float, end: float, kind: str, text: str) -> Row:
    if start and end:
        return Row(label, [Bar(start, max(start, end), kind, f"{text}: {lasted(end - start)}")])
    return Row(label, [Bar(start or end, None, kind, text)] if start or end else [])


def _bars(server: Moved) -> Iterable[Bar]:
    for number, one in enumerate(server.tries, 1):
        if one.asked is not None:
            kind = "arrived" if one.status in ARRIVED else "failed" if one.status in FAILED else "unknown"
            took = "" if one.ended is None else f", {one.ended - one.asked:.1f} s"
            yield Bar(one.asked, one.ended, kind, f"{server.name}, try {number}: {one.status}{' to ' + one.to if one.to else ''}{took}")


def _servers(body: Any, servers: Sequence[Moved]) -> None:
    if not servers:
        _add(body, "p", "Nova tells of no evacuation that belongs to it.", "note")
        return
    table = etree.SubElement(body, "table")
    _head(table, ("Server", "To", "State", "Try", "Asked", "Seconds", "Request", "Reason"))
    for server in servers:
        for number, one in enumerate(server.tries, 1):
            last = number == len(server.tries)
            row = etree.SubElement(table, "tr")
            name = _add(row, "td", server.name if number == 1 else "")
            if number == 1 and server.name != server.id:
                etree.SubElement(name, "br")
                _add(name, "code", server.id)
            _add(row, "td", one.to or (server.where if last and server.arrived else ""), "short")
            word = state_of(server) if last else one.status
            _add(row, "td", word, "good" if word == "arrived" else "bad")
            _add(row, "td", str(number), "number")
            _add(row, "td", "" if one.asked is None else stamp(one.asked)[11:], "short")
            _add(row, "td", "" if one.asked is None or one.ended is None else f"{max(0.0, one.ended - one.asked):.1f}", "number")
            _add(_add(row, "td", ""), "code", one.request)
            _add(row, "td", one.why, "long")


def _section(body: Any, title: str) -> None:
    _add(body, "h2", title)


def _head(table: Any, columns: Sequence[str]) -> None:
    row = etree.SubElement(table, "tr")
    for column in columns:
        _add(row, "th", column)


def _table(body: Any, columns: Sequence[str], rows: Iterable[Sequence[str]], mark: Any = lambda row: "") -> None:
    table = etree.SubElement(body, "table")
    if columns:
        _head(table, columns)
    for row in rows:
        line = etree.SubElement(table, "tr")
        for number, cell in enumerate(row):
            _add(line, "td" if number or columns else "th", cell, (mark(row) or "long") if number == 1 else "")


def _add(parent: Any, tag: str, text: str, kind: str = "") -> Any:
    element = etree.SubElement(parent, tag)
    element.text = printable(text)
    if kind:
        element.set("class", kind)
    return element


def stamp(moment: float | None) -> str:
    """A moment as UTC, to the tenth of a second."""
    if not moment:
        return UNKNOWN
    tenths = round(moment * 10)
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(tenths // 10)) + f".{tenths % 10}"


def lasted(seconds: float) -> str:
    """A duration for people."""
    for above, unit, word in ((2 * 86400, 86400, "days"), (2 * 3600, 3600, "h"), (600, 60, "min")):
        if seconds >= above:
            return f"{seconds / unit:.1f} {word}"
    return f"{max(0.0, seconds):.1f} s"


def _since(start: float, end: float, words: str = "after that") -> str:
    return f", {lasted(end - start)} {words}" if start and end else ""


def _number(count: int | None) -> str:
    return "an unknown number of" if count is None else str(count)
