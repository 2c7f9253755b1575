"""Pure: what is told of an incident while it goes on, and the forms in which it is told."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from .text import printable

RECORDED = "recorded"              # fence_nova, or the worker, has put a fencing on record
CONFIRMED = "confirmed"            # Pacemaker has confirmed it
SERVER_ARRIVED = "server-arrived"  # one server is on its new host
SERVER_FAILED = "server-failed"    # one server is not moved, for now or for good
DESTINATION = "destination-failing"   # evacuations to one host fail again and again
EVACUATED = "evacuated"            # nothing is left to move
PARTLY = "partly"                  # nothing is under way, and servers are left
IN_SERVICE = "in-service"          # the host is back
DISMISSED = "dismissed"            # a person has said that the host is to be left alone
CLEARED = "cleared"                # the record went away before anything was evacuated
NOT_FENCED = "not-fenced"          # a host is offline, on no record, and will not be evacuated
LEFT_OFF = "left-off"              # a host was away without a fencing, and servers are off since
NO_QUORUM = "no-quorum"            # the worker's part of the cluster has no quorum, so that nothing is done
KINDS = (RECORDED, CONFIRMED, SERVER_ARRIVED, SERVER_FAILED, DESTINATION, EVACUATED, PARTLY,
         IN_SERVICE, DISMISSED, CLEARED, NOT_FENCED, LEFT_OFF, NO_QUORUM)

VERSION = 1
LAST_SECOND = 253402300799     # of the year 9999
VARIABLE = "INSTANCE_HA_"
_BARE = re.compile(r"[^\s\"'=\\]+")


@dataclass(frozen=True)
class Event:
    """Something that happened in one incident, or ("" as incident) to a host that is on no record, or ("" as node, too) to the cluster.

    `time` is seconds since the epoch by the worker's clock. `sentence` is for people.
    `facts` are whatever else is known, by name: server, name, to, attempt, request, reason, final,
    destination, protected, done, left, servers."""

    kind: str
    incident: str
    node: str
    host: str
    time: float
    sentence: str
    facts: Mapping[str, str | int] = field(default_factory=dict)

    def payload(self, controller: str) -> dict[str, object]:
        """What a hook gets as JSON. `controller` is the node that tells it."""
        return {"version": VERSION, "event": self.kind, "time": iso(self.time), "incident": self.incident, "node": self.node, "host": self.host,
                "controller": controller, "sentence": self.sentence, **self.facts}

    def line(self) -> str:
        """What the log gets: key=value pairs."""
        return pairs({"event": self.kind, "incident": self.incident, "node": self.node, **self.facts, "sentence": self.sentence})


def environment(payload: Mapping[str, object]) -> dict[str, str]:
    """The same as variables for a command; what does not print in a value, which none should have, is replaced."""
    return {VARIABLE + name.upper(): printable(str(value)) for name, value in payload.items()}


def pairs(values: Mapping[str, object]) -> str:
    """`values` as `key=value key="two words"`; empty ones are left out."""
    return " ".join(f"{name}={_word(str(value))}" for name, value in values.items() if value != "")


def _word(text: str) -> str:
    return text if _BARE.fullmatch(text) and text.isprintable() else json.dumps(text, ensure_ascii=not text.isprintable())


def iso(seconds: float) -> str:
    """Seconds since the epoch as UTC; "" for 0, which stands for unknown, and for what is no time."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if 0 < seconds <= LAST_SECOND else ""
