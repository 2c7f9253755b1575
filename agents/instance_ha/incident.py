"""Pure: one line of the durable history, which outlives the record of a fencing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from .text import decode, encode, printable

HISTORY_MARK = "instance-ha-"    # how the names in it begin
HISTORY = "instance-ha-history"  # the id of a cluster_property_set of our own: what Pacemaker does not know in it, it leaves alone
OPEN = ""                  # still on record
IN_SERVICE = "in-service"  # its host is back
DISMISSED = "dismissed"    # a person said that the host was to be left alone
AGAIN = "fenced-again"     # the host was fenced anew; the evacuation goes on under the new incident
CLEARED = "cleared"        # the record went away before anything was evacuated: an old one, or a node that is gone

REASON_ROOM = 160          # characters of the last reason
SETTINGS_ROOM = 400        # bytes of the settings, as they are stored
_PLAIN = "-_.:@,/+"        # what a value may hold besides letters and digits
_PAIR = "-_."              # the same, within one setting


@dataclass(frozen=True)
class Incident:
    """What is remembered of one fencing of one host, as `key=value;...`.

    Times are seconds since the epoch by the clock of the controller that wrote them, for people only; 0 means not seen, as when
    another worker was in charge. `recorded` is fence_nova's. `requested` is the first request to Nova, `arrived` the last server's
    arrival, `over` when nothing was under way any more, `returned` when the host was in service again. `state` is the record's last
    one, `end` how it ended, OPEN for not yet. Counts are of servers: `protected` ones, those that have moved (`done`) and those that
    have not (`left`); None for unknown. `tries` counts requests that Nova took. `by` wrote the record, `worker` is the controller
    that evacuated. `heard` is Nova's own text of when it last heard of the host's nova-compute, as the worker saw it before.
    `baseline` is the highest id of Nova's migrations before it. `settings` are those that were not the default.
    """

    id: str
    node: str
    host: str = ""
    state: str = ""
    end: str = OPEN
    recorded: float = 0.0
    proven: float = 0.0
    requested: float = 0.0
    arrived: float = 0.0
    over: float = 0.0
    returned: float = 0.0
    protected: int | None = None
    done: int | None = None
    left: int | None = None
    tries: int | None = None
    baseline: int | None = None
    by: str = ""
    worker: str = ""
    proof: str = ""
    heard: str = ""
    reason: str = ""
    version: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """The stored value. It holds no space, quote, ampersand or angle bracket."""
        pairs = []
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, Mapping):
                value = _settings_text(value)
            elif isinstance(value, float):
                value = f"{value:.1f}" if value else ""
            elif value is None:
                value = ""
            else:
                value = encode(str(value)[:REASON_ROOM], _PLAIN)
            if value:
                pairs.append(f"{one.name}={value}")
        return ";".join(pairs)


def _settings_text(settings: Mapping[str, str]) -> str:
    """Those that fit, by name."""
    text = ""
    for name, value in sorted(settings.items()):
        pair = f"{name}:{encode(value, _PAIR)}"
        if len(text) + len(pair) < SETTINGS_ROOM:
            text += ("," if text else "") + pair
    return text


_COUNT = re.compile("[0-9]{1,18}")
_LAST_SECOND = 253402300799    # of the year 9999
_FLOATS = frozenset(("recorded", "proven", "requested", "arrived", "over", "returned"))
_COUNTS = frozenset(("protected", "done", "left", "tries", "baseline"))


def parse_incident(text: str) -> Incident | None:
    """The incident that a stored value means; None for one that means none. What a newer version added is passed over."""
    words = dict(pair.split("=", 1) for pair in text.split(";") if "=" in pair)
    if not words.get("id") or not words.get("node"):
        return None
    values: dict[str, object] = {}
    for one in fields(Incident):
        word = words.get(one.name, "")
        if one.name in _FLOATS:
            values[one.name] = _seconds(word)
        elif one.name in _COUNTS:
            values[one.name] = int(word) if _COUNT.fullmatch(word) else None
        elif one.name == "settings":
            given = (pair.partition(":") for pair in word.split(","))
            values[one.name] = {name: printable(decode(value)) for name, _, value in given if name}
        else:
            values[one.name] = printable(decode(word))
    return Incident(**values)  # type: ignore[arg-type]


def _seconds(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds <= _LAST_SECOND else 0.0    # neither a number that is none, nor a time that no calendar has


def why_unread(names: Sequence[str]) -> str:
    """Return what people are told of lines of the history that cannot be read, "" for none."""
    if not names:
        return ""
    delete = ["crm_attribute", "--type", "crm_config", "--set-name", HISTORY, "--name", names[0], "--delete"]
    return f"{len(names)} of the history's lines cannot be read, and are left out: {names[0]}; delete it: {shlex.join(delete)}"


def newest_first(incidents: Mapping[str, Incident]) -> list[Incident]:
    """The order of the history: by when they were recorded, as far as the controllers' clocks agree."""
    return sorted(incidents.values(), key=lambda one: (one.recorded, one.id), reverse=True)
