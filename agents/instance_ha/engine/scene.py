"""What is seen of one dead host in one turn, what is remembered of its servers, and what is decided about each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..model import Migration, Server
from .selection import Ruling


@dataclass
class Memory:
    """What one worker remembers of one server between two turns; nothing that safety needs after its death.

    Times are the worker's monotonic seconds. `sent` is when a request went out whose row is not seen yet. `request` is Nova's
    id of the last request. `confirming` is when a resize was confirmed, `foreign` when somebody else's claim was first seen,
    `chore` when a server that has left was first and last asked to take on the state it had, `until` when the wait ends that
    follows our own. `short`: the refusal was a lack of room. `fault_at` is when Nova had last noted a fault
    before the last request, by its clock; `harmless` are tries that failed and have left no guest (remains.py).
    """

    sent: float | None = None
    sent_after: int = 0
    lost: bool = False
    request: str = ""
    failed: dict[int, float] = field(default_factory=dict)
    progress: tuple[str, float] = ("", 0.0)
    quiet: float | None = None
    was: str = ""
    refusal: str = ""
    refused_at: float = 0.0
    refusals: int = 0
    short: bool = False
    confirming: float | None = None
    foreign: float | None = None
    chore: tuple[float, float] | None = None
    until: float = 0.0
    fault_at: str | None = None
    harmless: set[int] = field(default_factory=set)

    def fault_of(self, server: Server) -> str:
        """Nova's fault of a server; "" for one from before the last request, which says nothing of it."""
        return "" if self.fault_at == server.fault_at else server.fault


@dataclass(frozen=True)
class Verdict:
    """What is to be done about one server now, and why.

    `final`: nothing more will be tried; `retry`: it is tried for as long as its host is away, which need not wait for it.
    `was` is what it is to be at the end (states.py). `target` is the only host where it may go, None for any. `still`: the request
    has shown nothing for STILL seconds, and the others need not wait for it."""

    server: Server
    action: str
    reason: str
    was: str = ""
    final: bool = False
    retry: bool = False
    protected: bool = True
    target: str | None = None
    still: bool = False


@dataclass(frozen=True)
class HostScene:
    """All that is known of one dead host in one turn. `servers` are those on it and those claimed for it anywhere.

    `dead_hosts` are forced down in Nova, or evacuated themselves: their power is off. `control_up`: a conductor and a scheduler
    are up; `control_whole`: all of them were at work since the last look. `moving` are the destinations of the live migrations
    that the host's death broke off, by server. `kept` is the record's."""

    host: str
    incident: str
    token: str
    baseline: int
    servers: Sequence[Server]
    rulings: Mapping[str, Ruling]
    migrations: Sequence[Migration]
    up_hosts: frozenset[str]
    dead_hosts: frozenset[str]
    control_up: bool
    now: float
    starts: bool = True          # new evacuations may begin
    last_row: int = 0            # the highest migration id of this host
    control_whole: bool = True
    fallen: Mapping[str, str] = field(default_factory=dict)   # hosts that are down, and since when at the latest, as Nova has it
    moving: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
