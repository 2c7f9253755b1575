"""Pure: when so many hosts are down that a person should look first, and which reserved host takes the place of a dead one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..booleans import boolean
from ..model import EVACUATED, PARTLY, RETURNING, Aggregate, Record, Service

MAX_FAILURES = ("instance-ha:max_failures", "instanceha:max_failures")  # metadata of a host aggregate
RESERVED = "reserved"                                                   # how the disabled_reason of a reserved host begins
GIVEN_BACK = "reserved (given back by instance-ha)"
IN_REPAIR = 3600.0       # seconds after which a host whose evacuation is over no longer counts among those that fail together


@dataclass(frozen=True)
class Failed:
    """A host on record, by its names in Pacemaker and in Nova."""

    node: str
    host: str
    record: Record


def is_new(record: Record, now: float) -> bool:
    """Return whether a host counts among those that fail together: not one that was evacuated long ago and waits for its repair.
    `now` is seconds since the epoch. A record that does not say since when counts."""
    return record.state not in (EVACUATED, PARTLY) or not record.since or now - record.since < IN_REPAIR


def held(failed: Iterable[Failed], services: Sequence[Service], aggregates: Iterable[Aggregate], threshold: float) -> dict[str, str]:
    """The nodes whose evacuation waits for a person, and why. `threshold` is in percent of the compute hosts; a single host
    is never too many. A host that a person released is counted, and not held."""
    down = [one for one in failed if one.record.state != RETURNING]
    hosts = {one.host for one in down}
    all_hosts = hosts | {s.host for s in services if s.binary == "nova-compute" and (s.up or not s.known)}
    reasons: dict[str, str] = {}
    for aggregate in aggregates:
        numbers = [text for text in (aggregate.metadata.get(key, "") for key in MAX_FAILURES) if text.isascii() and text.isdigit()]
        most = int(numbers[0]) if numbers else None
        inside = [one for one in down if one.host in aggregate.hosts]
        if most is not None and len(inside) > most:
            reasons.update({one.node: f"{len(inside)} hosts of the aggregate {aggregate.name} are down, more than its max_failures={most}"
                            for one in inside})
    if len(hosts) > 1 and 100 * len(hosts) > threshold * len(all_hosts):
        text = f"{len(hosts)} of {len(all_hosts)} compute hosts are down, more than threshold={threshold:g} %"
        reasons.update({one.node: text for one in down})
    return {one.node: f"{reasons[one.node]}; when they are really down: instance-ha release" for one in down
            if one.node in reasons and not one.record.released}


def is_reserved(service: Service) -> bool:
    """Whether this is a compute host that is kept back for the failure of another."""
    return service.binary == "nova-compute" and not service.enabled and service.reason.strip().lower().startswith(RESERVED)


def reserve_for(host: Service, services: Iterable[Service], aggregates: Sequence[Aggregate]) -> Service | None:
    """A reserved host that is up and shares an aggregate with the dead one, or else its zone; None when there is none."""
    spare = [s for s in services if is_reserved(s) and s.up and not s.forced_down]
    for aggregate in aggregates:
        if host.host in aggregate.hosts:
            for service in spare:
                if service.host in aggregate.hosts:
                    return service
    return next((s for s in spare if s.zone == host.zone), None)


def aggregate_metadata(host: str, aggregates: Iterable[Aggregate]) -> Mapping[str, str]:
    """Return what the aggregates of a host say, by key.

    Where two differ, one that says yes counts, then one that says no, and then the text: a name
    never decides, so that nobody takes protection away who renames an aggregate.
    """
    found: dict[str, list[str]] = {}
    for aggregate in aggregates:
        for key, text in aggregate.metadata.items() if host in aggregate.hosts else ():
            found.setdefault(key, []).append(text)
    return {key: min(texts, key=_weight) for key, texts in found.items()}


def _weight(text: str) -> tuple[int, str]:
    return {True: 0, False: 1, None: 2}[boolean(text)], text
