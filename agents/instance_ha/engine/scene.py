"""What is seen of one dead host in one turn, what is remembered of its servers, and what is decided about each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..model import Claim, Migration, Server
from .attempts import Attempt
from .selection import Ruling


@dataclass(frozen=True)
class Memory:
    """What one worker remembers of one server between two turns; nothing that safety needs after its death.

    Times are the worker's monotonic seconds. `sent` is when a request went out that Nova does not show yet, and `sent_after`
    the newest migration then; `lost`: its answer got lost. `request` is Nova's id of the last request. `failed` is when the end
    of each failed try was first seen, by the try's request. `progress` is what was last seen of a try, and since when;
    `quiet` since when all of Nova that may hold a request is at work. `was` is what a server without our claim is to be.
    `refusal` is why nothing was sent the last time, `short` if only room was missing, `unsent` how often it was chosen and
    not sent. `confirming` is when a resize was confirmed, `foreign` when somebody else's claim was first seen, `chore` when a
    server that has left was first and last asked to take on the state it had, `until` when the wait ends that follows our own
    claim. `unruled` is since when nobody can say whether it is protected, `unexplained` since when its own record, which was
    read, lacks what lists show, `unread` since when Nova does not tell that record, `unlocking` since when our
    claim is to be taken away, `unshown` since when Nova shows it in part only. `rows` is how many of its evacuations a list
    has shown at most.
    """

    sent: float | None = None
    sent_after: int = 0
    lost: bool = False
    request: str = ""
    failed: Mapping[str, float] = field(default_factory=dict)
    progress: tuple[str, float] = ("", 0.0)
    quiet: float | None = None
    was: str = ""
    refusal: str = ""
    refused_at: float = 0.0
    refusals: int = 0
    short: bool = False
    unsent: int = 0
    confirming: float | None = None
    foreign: float | None = None
    chore: tuple[float, float] | None = None
    until: float = 0.0
    unruled: float | None = None
    unexplained: float | None = None
    unread: float | None = None
    unlocking: tuple[float, float] | None = None
    unshown: float | None = None
    rows: int = 0


@dataclass(frozen=True)
class Case:
    """All that is known of one server in one turn.

    `claim` is our claim on it, None where Nova's own record does not say that the lock is ours. `rows` are its evacuations from
    the dead host in this incident, oldest first, as a list showed them: a list may leave some out. `attempts` is what became of
    each request since it last arrived anywhere, from its own instance actions; None where they were not read in this turn,
    because nothing needs them or because Nova did not answer. `unlocked` is Nova's time of a person's unlock, after which they
    begin. `ruling` is None where nobody can say whether it is protected.
    """

    server: Server
    rows: Sequence[Migration] = ()
    attempts: Sequence[Attempt] | None = None
    claim: Claim | None = None
    was: str = ""
    ruling: Ruling | None = None
    owner_rebuilds: bool = False       # by its own record, its owner asked for a rebuild after any evacuation
    came_back: bool = False            # by its own record, it was moved by other means after any evacuation
    unlocked: str = ""
    memory: Memory = field(default_factory=Memory)

    @property
    def is_ours(self) -> bool:
        """Return True if it carries our claim."""
        return self.claim is not None


@dataclass(frozen=True)
class Verdict:
    """What is to be done about one server now, and why.

    `final`: nothing more will be tried; `retry`: it is tried for as long as its host is away, which need not wait for it.
    `was` is what it is to be at the end (states.py). `target` is the only host where it may go, None for any. `still`: the request
    has shown nothing for STILL seconds, and the others need not wait for it. `slow`: whoever has the request is up, and has shown
    nothing of it for stuck_timeout, or twice that while it has no destination. `person`: it needs a person, and keeps its mark
    until one has acted. `idle`: it is waited for, and Nova has nothing to do for it."""

    server: Server
    action: str
    reason: str
    was: str = ""
    final: bool = False
    retry: bool = False
    protected: bool = True
    target: str | None = None
    still: bool = False
    slow: bool = False
    person: bool = False
    idle: bool = False


@dataclass(frozen=True)
class Task:
    """One host's evacuation. `incident` and `token`, of who acts, are what claims say."""

    host: str
    incident: str
    token: str


@dataclass(frozen=True)
class ByHand:
    """What a person may want of an evacuation. `target` is where the servers are to go, `only` is one server, None for any and
    all; `password` gives the new one of a server. `gives_way`: a worker may be at it, who comes first; `recorded`: its host is on
    record."""

    target: str | None = None
    only: str | None = None
    password: Callable[[], str] | None = None
    gives_way: bool = True
    recorded: bool = False


NOBODY = ByHand(gives_way=False)     # a worker acts


@dataclass(frozen=True)
class Terms:
    """What is known of the host besides Nova: its record's `baseline` and `kept`; whether new evacuations may begin; the hosts that
    are off for certain; its record's `broken`."""

    baseline: int
    kept: Mapping[str, str] = field(default_factory=dict)
    starts: bool = True
    dead: frozenset[str] = frozenset()
    broken: frozenset[str] = frozenset()


@dataclass(frozen=True)
class HostScene:
    """All that is known of one dead host in one turn, besides its servers.

    `dead_hosts` are known to be off: Pacemaker has proven it, and they are not back. `control_up`: a conductor and a scheduler
    are up; `control_whole`: all that may hold a request were at work since the last look. `fallen` are compute hosts that are
    down, and Nova's last word of each. `gaps` are the conductors that were silent for a while, by host, and when they were
    heard again; `heard` is Nova's text of that report. `moving` are the destinations of the live
    migrations that the host's death broke off, by server, "" for none chosen. `kept` is the record's.
    `nova_now` is Nova's newest text of a time, of whatever kind. `last_row` is its highest migration of this host."""

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
    last_row: int = 0
    control_whole: bool = True
    fallen: Mapping[str, str] = field(default_factory=dict)
    moving: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
    gaps: Mapping[str, float] = field(default_factory=dict)
    heard: Mapping[str, str] = field(default_factory=dict)
    nova_now: str = ""
    down_hosts: frozenset[str] = frozenset()
    avoid: frozenset[str] = frozenset()   # destinations that have failed several servers
