"""Pure: counters, gauges and durations in Prometheus's text format (exposition format 0.0.4)."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from ..text import printable

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"
BUCKETS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)   # seconds
PREFIX = "instance_ha_"

# name -> its kind, what it says, its labels
TABLE: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "build_info": (GAUGE, "1; the labels say which version runs.", ("version",)),
    "worker_heartbeat_timestamp_seconds": (GAUGE, "When the worker last ended a turn, since the epoch.", ()),
    "worker_problems": (GAUGE, "Reasons for which the monitor of NovaEvacuate is degraded.", ()),
    "worker_enabled": (GAUGE, "0 while evacuation is switched off (enabled=false).", ()),
    "cluster_quorate": (GAUGE, "0 while this part of the cluster has no quorum, or cannot be asked.", ()),
    "nova_reachable": (GAUGE, "0 while Nova cannot be asked.", ()),
    "compute_hosts": (GAUGE, "Compute hosts by what Nova said of them at the last look.", ("state",)),
    "host_record": (GAUGE, "1 for each host on record; the label says in which state its record is.", ("node", "state")),
    "host_servers": (GAUGE, "Protected servers of each host on record, by how they stand.", ("node", "state")),
    "host_held": (GAUGE, "1 for each host whose evacuation waits for a person (threshold, max_failures).", ("node",)),
    "host_not_fenced": (
        GAUGE, "1 for each compute host that is offline, on no record, and not to be evacuated.",
        ("node",)),
    "servers_left_off": (
        GAUGE, "Servers that are off since their host was away without being fenced.", ("node",)),
    "destination_failing": (GAUGE, "1 for each host on which the evacuations of several servers have failed of late.", ("host",)),
    "parallel_limit": (GAUGE, "How many evacuations may be under way at once now.", ()),
    "incidents_total": (COUNTER, "Fencings that were put on record.", ()),
    "fencings_confirmed_total": (COUNTER, "Fencings on record that Pacemaker has confirmed.", ()),
    "incidents_ended_total": (COUNTER, "Records that are gone, by how they ended.", ("end",)),
    "evacuation_requests_total": (COUNTER, "Evacuations that Nova took.", ()),
    "evacuation_failures_total": (COUNTER, "Evacuations that ended in failed or error.", ()),
    "servers_arrived_total": (COUNTER, "Servers that are on their new hosts.", ()),
    "servers_failed_total": (COUNTER, "Times that a server was told as not moved, for now or for good.", ()),
    "hook_calls_total": (COUNTER, "Calls of the hook, by what became of them.", ("result",)),
    "history_failures_total": (COUNTER, "Times that the history could not be written.", ()),
    "phase_duration_seconds": (HISTOGRAM, "fencing: record to Pacemaker's confirmation; start: to the first request; evacuation: confirmation to "
                               "nothing under way; return: let in to in service.", ("phase",)),
    "server_duration_seconds": (HISTOGRAM, "From Pacemaker's confirmation to a server's arrival.", ()),
}
# Counters with few labels begin at 0, so that the first increase shows.
ZEROS: tuple[tuple[str, Mapping[str, str]], ...] = (
    *((name, {}) for name, (kind, _, labels) in TABLE.items() if kind == COUNTER and not labels),
    *(("hook_calls_total", {"result": result}) for result in ("ok", "failed", "dropped")),
)
Labels = tuple[tuple[str, str], ...]


class Metrics:
    """The values of TABLE's metrics, for several threads. Counters begin anew with each worker, as Prometheus expects of a process."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, Labels], float] = {}
        self._buckets: dict[tuple[str, Labels], list[int]] = {}
        self._sums: dict[tuple[str, Labels], float] = {}
        self._lock = threading.Lock()
        for name, labels in ZEROS:
            self.count(name, 0, **labels)

    def count(self, name: str, by: float = 1, **labels: str) -> None:
        """Let a counter grow."""
        key = _key(name, COUNTER, labels)
        with self._lock:
            self._values[key] = self._values.get(key, 0) + by

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        with self._lock:
            self._values[_key(name, GAUGE, labels)] = value

    def forget(self, *names: str) -> None:
        """Take away all values of gauges whose labels come and go."""
        with self._lock:
            self._values = {key: value for key, value in self._values.items() if key[0] not in names}

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Put a duration into a histogram; a negative one, as a clock that was set makes it, counts as 0."""
        key, seconds = _key(name, HISTOGRAM, labels), max(0.0, seconds)
        with self._lock:
            counts = self._buckets.setdefault(key, [0] * (len(BUCKETS) + 1))
            counts[sum(1 for edge in BUCKETS if seconds > edge)] += 1
            self._sums[key] = self._sums.get(key, 0.0) + seconds

    def text(self) -> str:
        """The whole file, which ends with a line break."""
        lines: list[str] = []
        with self._lock:
            for name, (kind, help_text, _) in TABLE.items():
                rows = list(self._rows(name, kind))
                if rows:
                    lines += [f"# HELP {PREFIX}{name} {help_text}", f"# TYPE {PREFIX}{name} {kind}", *rows]
        return "\n".join(lines) + "\n"

    def _rows(self, name: str, kind: str) -> Iterable[str]:
        if kind != HISTOGRAM:
            for (other, labels), value in sorted(self._values.items()):
                if other == name:
                    yield f"{PREFIX}{name}{_braces(labels)} {_number(value)}"
            return
        for (other, labels), counts in sorted(self._buckets.items()):
            if other != name:
                continue
            total = 0
            for edge, number in zip([*(f"{edge:g}" for edge in BUCKETS), "+Inf"], counts):
                total += number
                yield f"{PREFIX}{name}_bucket{_braces((*labels, ('le', edge)))} {total}"
            yield f"{PREFIX}{name}_sum{_braces(labels)} {_number(self._sums[other, labels])}"
            yield f"{PREFIX}{name}_count{_braces(labels)} {total}"


def _key(name: str, kind: str, labels: Mapping[str, str]) -> tuple[str, Labels]:
    known, _, names = TABLE[name]
    assert (known, set(names)) == (kind, set(labels)), f"{name} is a {known} with the labels {names}"
    return name, tuple((label, labels[label]) for label in names)


def _braces(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}" if labels else ""


def _escaped(text: str) -> str:
    parts = (printable(part).replace("\\", "\\\\").replace('"', '\\"') for part in text.split("\n"))
    return "\\n".join(parts)      # the format has an escape of its own for a line break


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else f"{value:.6f}".rstrip("0")
