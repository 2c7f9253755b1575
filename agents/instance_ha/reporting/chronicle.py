"""What happened in one incident, put together for a report: the durable history, and Nova's own migrations and actions.

Two clocks: the history's times are the controllers', the servers' are Nova's. They stand side by side and are never compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from .. import params
from ..errors import CloudError, CloudRefused
from ..incident import AGAIN, CLEARED, DISMISSED, OPEN, Incident
from ..model import ARRIVED, FAILED, Action, Migration, Step
from ..nova import Nova
from ..rows import nova_time

THREADS = 8


@dataclass(frozen=True)
class Try:
    """One evacuation of one server as Nova has it. Times are seconds since the epoch by Nova's clock, None for unknown. `ended` is
    when the rebuild was over, by the record of the action where there is one."""

    migration: int
    status: str
    to: str
    request: str
    asked: float | None
    ended: float | None
    why: str
    steps: Sequence[Step] = ()


@dataclass(frozen=True)
class Moved:
    """One server and its tries, oldest first. `state` is what Nova says of it now, "" when it is gone."""

    id: str
    name: str
    where: str
    state: str
    fault: str
    tries: Sequence[Try]

    @property
    def arrived(self) -> bool:
        """Whether its last evacuation was carried out."""
        return self.tries[-1].status in ARRIVED

    @property
    def seconds(self) -> float | None:
        """From its first request to the end of its last try, by Nova's clock."""
        asked, ended = self.tries[0].asked, self.tries[-1].ended
        return None if asked is None or ended is None else round(max(0.0, ended - asked), 1)


@dataclass(frozen=True)
class Chronicle:
    """One incident, whole. `heard` is when Nova last heard of the host before, `cleaned` when its nova-compute had removed the guests
    that left, both by Nova's clock. `missing` says what could not be had, "" for nothing."""

    incident: Incident
    servers: Sequence[Moved] = ()
    heard: float | None = None
    cleaned: float | None = None
    missing: str = ""
    wrong: Sequence[str] = field(default_factory=tuple)


def gather(nova: Nova, one: Incident, later: int | None) -> Chronicle:
    """Put it together. `later` is the highest migration id that may belong to it, the baseline of the host's next incident; None for no
    limit. Where Nova cannot be asked, the history is all there is."""
    host = one.host or one.node
    servers: list[Moved] = []
    cleaned, missing = None, ""
    try:
        rows = [] if one.baseline is None else [
            row for row in nova.evacuations(host) if row.id > one.baseline and (later is None or row.id <= later)]
        by_server: dict[str, list[Migration]] = {}
        for row in rows:
            by_server.setdefault(row.server, []).append(row)
        with ThreadPoolExecutor(max_workers=THREADS) as pool:
            servers = list(pool.map(lambda pair: _server(nova, *pair), by_server.items()))
        closed = [nova_time(row.updated) for row in rows if row.status == "completed"]
        cleaned = max((time for time in closed if time is not None), default=None)
    except CloudError as error:
        missing = f"Nova's part is missing: {error}"
    servers.sort(key=lambda server: (server.tries[0].asked or 0.0, server.name))
    told = sum(len(server.tries) for server in servers)
    if not missing and (one.tries or 0) > told:
        gone = (one.tries or 0) - told
        missing = f"{gone} of the {one.tries} requests are not in Nova's records any more, as those of servers that were deleted since"
    wrong = [*_of_incident(one), *_of_servers(servers), *([missing] if missing else [])]
    return Chronicle(one, servers, nova_time(one.heard), cleaned, missing, wrong)


def _server(nova: Nova, server_id: str, rows: Sequence[Migration]) -> Moved:
    server = nova.server(server_id)
    requests = _requests(nova, server_id, rows)
    tries = []
    for row in rows:
        action = requests.get(row.id)
        steps = _steps(nova, server_id, action)
        why = next((step.why for step in reversed(steps) if step.why), "")
        if not why and row.status in FAILED and row is rows[-1] and server:
            why = server.fault
        tries.append(Try(row.id, row.status, row.destination or "", action.request if action else "", nova_time(row.created),
                         _ended(row, steps), why, steps))
    return Moved(server_id, server.name if server else server_id, (server.host if server else None) or "", server.status if server else "",
                 server.fault if server else "", tries)


def _requests(nova: Nova, server_id: str, rows: Sequence[Migration]) -> Mapping[int, Action]:
    """The action of each migration. Nova keeps no link between the two, and makes one of each for a request: the n-th from the end of
    one list is the n-th from the end of the other."""
    try:
        actions = sorted((action for action in nova.actions(server_id) if action.name == "evacuate"), key=lambda action: action.started)
        every = nova.evacuations_of(server_id)
    except CloudRefused:
        return {}
    pairs = zip(reversed(every), reversed(actions))
    wanted = {row.id for row in rows}
    return {row.id: action for row, action in pairs if row.id in wanted}


def _steps(nova: Nova, server_id: str, action: Action | None) -> Sequence[Step]:
    try:
        return nova.steps(server_id, action.request) if action else []
    except CloudRefused:
        return []      # the policy os-instance-actions:events, or an action that Nova has purged


def _ended(row: Migration, steps: Sequence[Step]) -> float | None:
    if row.in_progress:
        return None
    if row.status == "completed":     # that is the host's return, long after
        ends = [nova_time(step.finished) for step in steps]
        return max((end for end in ends if end is not None), default=None)
    return nova_time(row.updated)


def _of_incident(one: Incident) -> Iterable[str]:
    ends = {DISMISSED: "a person dismissed the record before the host was back", AGAIN: "the host was fenced again before it was back",
            CLEARED: "the record went away before anything was evacuated: an old record, or a node that is gone"}
    if one.end in ends:
        yield ends[one.end]
    if one.end == OPEN:
        yield "it goes on: what is said here may change"
    if one.left:
        yield f"{one.left} protected servers were not moved{': ' + one.reason if one.reason else ''}"
    if one.proof and not one.proven:
        yield "another worker saw Pacemaker's confirmation than the one that wrote this: when, is not known"


def _of_servers(servers: Iterable[Moved]) -> Iterable[str]:
    for server in servers:
        for number, one in enumerate(server.tries, 1):
            where = f"to {one.to}" if one.to else "before a host was chosen"
            if one.status in FAILED:
                yield f"{server.name}: try {number} failed {where}: {one.why or one.status}{f' ({one.request})' if one.request else ''}"
            elif one.status not in ARRIVED:
                yield f"{server.name}: try {number} is {one.status} in Nova, {where}{f' ({one.request})' if one.request else ''}"
        if server.state == "ERROR":
            yield f"{server.name} is in ERROR now: {server.fault or 'no reason given'}"


def fenced_at(proof: str) -> float | None:
    """When Pacemaker had fenced the host, by its proof, in seconds since the epoch; None where that does not tell."""
    kind, _, rest = proof.partition(":")
    if kind == "node_fenced" and rest.isdecimal():
        return float(rest)
    if kind in ("history", "node_state"):
        return nova_time(rest.partition("@")[2].replace("_", "T"))     # the same form of time
    return None


def settings(one: Incident) -> list[tuple[str, str, str]]:
    """The parameters of the evacuation as they were: name, value, default."""
    of_cloud = {param.name for param in params.CLOUD}
    return [(param.name, one.settings.get(param.name, param.default), param.default) for param in params.of(params.OCF)
            if param.name not in of_cloud]


def as_data(chronicle: Chronicle) -> dict[str, Any]:
    """The same for machines. Times are seconds since the epoch, by the clock that their part names."""
    one = chronicle.incident
    times = {name: getattr(one, name) or None for name in ("recorded", "proven", "requested", "arrived", "over", "returned")}
    return {
        "incident": {"id": one.id, "node": one.node, "host": one.host or one.node, "state": one.state, "end": one.end or "open", "by": one.by,
                     "worker": one.worker, "proof": one.proof, "fenced": fenced_at(one.proof), "protected": one.protected,
                     "done": one.done, "left": one.left, "tries": one.tries,
                     "reason": one.reason, "version": one.version},
        "controllers_clock": times,
        "novas_clock": {"heard": chronicle.heard, "cleaned": chronicle.cleaned},
        "servers": [{**asdict(server), "arrived": server.arrived, "seconds": server.seconds} for server in chronicle.servers],
        "wrong": list(chronicle.wrong),
        "settings": {name: value for name, value, _ in settings(one)},
    }


def state_of(server: Moved) -> str:
    """How it ended, in a word."""
    last = server.tries[-1]
    if not server.state:
        return "gone since"
    return "arrived" if server.arrived else "failed" if last.status in FAILED else last.status
