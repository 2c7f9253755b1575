"""What the project knows of the world, as frozen values. None means unknown, never "no"."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .text import decode, encode

FENCED = "fenced"          # fence_nova wrote it; Pacemaker has not confirmed yet
CONFIRMED = "confirmed"    # Pacemaker's proof was seen; its servers are being evacuated
EVACUATED = "evacuated"    # nothing is left to move
PARTLY = "partly"          # nothing is under way; some servers could not be moved
RETURNING = "returning"    # the node was let in; nova-compute has to clean up and to be enabled
STATES = (FENCED, CONFIRMED, EVACUATED, PARTLY, RETURNING)
LEGACY_YES = "yes"         # what fence_compute writes
RECORD = "evacuate"        # the usual name of the node attribute that holds a record
HELD = "{}-held"           # and of the one beside it: nova-compute is kept from starting while it is TRUE, and stopped while it is STOP
TRUE, STOP = "true", "stop"
DISMISSED = "no"           # a person says that the node is to be left alone until it is back
RECORDERS = frozenset(("fence_nova", "fence_compute", "fence_evacuate"))   # fence agents that put a fencing on record
TOLD = "evacuation-"       # and the name of a node: what a worker tells of it in crm_mon -A, an attribute of its controller
UNRECORDED = "no record; "  # how that begins for a node that is not on record

DISABLED_BY_US = "instance-ha:"
KEPT_OUT = f"{DISABLED_BY_US} kept out of service"      # how the reason begins of a host that a person has to enable
MAINTENANCE = "maintenance:"   # how the reason begins that `instance-ha maintenance on` gives
UNREADABLE = "unreadable"  # our own word for a migration whose row is odd: nobody knows that it has ended
ARRIVED = frozenset(("done", "completed", "finished", "confirmed"))
FAILED = frozenset(("failed", "error"))   # ended by a destination, or by the scheduler
ENDED = ARRIVED | FAILED | {"cancelled", "reverted"}    # a word that is not known here has not ended, as far as anybody knows
NONE_SEEN = "-"
Moment = tuple[float, float]   # seconds since the epoch, for people, and by the monotonic clock
MOST_DIGITS = 18       # of a number in a record; Nova's ids have no more
MOST_BROKEN = 64        # requests of one host whose destination died in the middle that a record holds
LAST_SECOND = 253402300799    # of the year 9999
_ODD = re.compile(r"""['"<>&\x00-\x1f\x7f]""")   # what no record of ours holds, and what an XPath or a terminal would take for its own
UNSAFE = re.compile(r"[^A-Za-z0-9_.:@,/+-]")
_SAFE = ":@,/+"            # what a record holds as it is, besides letters, digits and _.-


def clean(text: str) -> str:
    """`text` as a record holds it: Pacemaker's times, for one, have spaces."""
    return UNSAFE.sub("_", text)


@dataclass(frozen=True)
class Record:
    """One fencing record: the value of a permanent node attribute, as `state;key=value;...`.

    `id` names the incident. `since` is seconds since the epoch by the writer's clock, for people only. `seen` holds the
    completion times of the fencings of this node that Pacemaker's history already knew when the record was written; None when
    nobody knows, as in a record of an older agent or of a person's hand. `fencings` is how many there were, None when nobody
    counted. `baseline` is the highest id of a Nova migration when
    the evacuation began, None before. `worker` is the worker's token. `kept` is what servers that their owners locked were to
    be (states.py), by id, for those that Nova's answers alone would not tell later. `reserve` is a reserved host that was
    enabled for this one. `released`: a person let the evacuation go on in spite of a limit. `broken` are requests whose destination
    died in the middle, as `mark_of_request` has them: when that is back, Nova shows them as before.
    """

    node: str
    state: str
    id: str
    since: int = 0
    by: str = ""
    host: str = ""
    seen: tuple[str, ...] | None = None
    fencings: int | None = None
    proof: str = ""
    baseline: int | None = None
    worker: str = ""
    left: int = 0
    kept: Mapping[str, str] = field(default_factory=dict)
    reserve: str = ""
    released: bool = False
    broken: frozenset[str] = frozenset()
    raw: str = field(default="", compare=False)

    def text(self) -> str:
        """Return the attribute's value: ASCII without a space, quote or angle bracket (else encoded)."""
        pairs = [
            ("id", self.id), ("since", str(self.since)), ("by", self.by), ("host", self.host),
            ("seen", "" if self.seen is None else ",".join(self.seen) or NONE_SEEN),
            ("fencings", "" if self.fencings is None else str(self.fencings)),
            ("proof", self.proof), ("baseline", "" if self.baseline is None else str(self.baseline)),
            ("worker", self.worker), ("left", str(self.left) if self.left else ""),
            ("kept", ",".join(f"{key}:{was}" for key, was in sorted(self.kept.items()))),
            ("reserve", self.reserve), ("released", "1" if self.released else ""),
            ("broken", ",".join(sorted(self.broken)[:MOST_BROKEN])),
        ]
        return ";".join([self.state, *(f"{key}={encode(value, _SAFE)}" for key, value in pairs if value)])

    def to(self, state: str, **changes: object) -> Record:
        """The same record in another state."""
        return replace(self, state=state, **changes)  # type: ignore[arg-type]


def parse_record(node: str, raw: str) -> Record | None:
    """The record that an attribute's value means; None for "no", an empty or an unintelligible one.

    `yes` and `node@time` are what fence_compute and the old NovaEvacuate write: a fencing that nobody has confirmed.
    """
    state, _, rest = raw.partition(";")
    if _ODD.search(raw):
        return None
    if raw == LEGACY_YES or re.fullmatch(r"[^;=]+@\d+", raw):
        return Record(node, FENCED, f"legacy-{node}", raw=raw)
    if state not in STATES:
        return None
    words = {key: decode(word) for key, found, word in (pair.partition("=") for pair in rest.split(";")) if found}
    numbers = [words.get(name, "") for name in ("since", "baseline", "left", "fencings")]
    if not words.get("id") or any(len(number) > MOST_DIGITS for number in numbers) or (_number(words.get("since")) or 0) > LAST_SECOND:
        return None
    return Record(
        node=node, state=state, id=words["id"], since=_number(words.get("since")) or 0, by=words.get("by", ""),
        host=words.get("host", ""), seen=_seen(words.get("seen")), fencings=_number(words.get("fencings")),
        proof=words.get("proof", ""), baseline=_number(words.get("baseline")), worker=words.get("worker", ""),
        left=_number(words.get("left")) or 0, kept=dict(pair.split(":", 1) for pair in words.get("kept", "").split(",") if ":" in pair),
        reserve=words.get("reserve", ""), released=words.get("released") == "1",
        broken=frozenset(filter(None, words.get("broken", "").split(","))), raw=raw,
    )


def mark_of_request(request: str) -> str:
    """Return as much of Nova's id of a request as tells it from the others of one host."""
    return request[len("req-"):][:8] if request.startswith("req-") else request[:8]


def _seen(text: str | None) -> tuple[str, ...] | None:
    return None if not text else () if text == NONE_SEEN else tuple(text.split(","))


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


@dataclass(frozen=True)
class ClusterNode:
    """A node as the CIB has it. `online` is None when the CIB holds no state of it. `mark` is how its state says that Pacemaker
    has fenced it since it was last up, by a device or by a person's confirmation; "" when it does not say so. `connecting`: a
    controller is just trying to connect to it."""

    name: str
    remote: bool = False
    online: bool | None = None
    mark: str = ""
    connecting: bool = False


@dataclass(frozen=True)
class FenceEvent:
    """One line of Pacemaker's fencing history. `completed` is the time, as text, at which the asked
    controller learned of its end, by its own clock; "" while pending."""

    target: str
    action: str
    status: str
    completed: str = ""


@dataclass(frozen=True)
class ClusterView:
    """The CIB at one moment: nodes by name, records by node, what could not be read, quorum; the fencing levels of each node that
    is on record or offline, a level being its devices' fence agents in order; the parameters of the resource that looks, {} for
    none; the nodes that a person has dismissed; how nova-compute is held on each node, TRUE or STOP, where it is; and what a worker
    tells of each node in crm_mon; and the nodes that Nova knows by another name, which is in fence_nova's pcmk_host_map.
    `fences_nobody` says why Pacemaker fences no node at all, "" where it does. `version` is what the
    CIB says of its own state. `unfenced` says why Pacemaker does not fence a node, by the node;
    `stopped` are the nodes whose connection is told to stop."""

    nodes: Mapping[str, ClusterNode]
    records: Mapping[str, Record]
    broken: Mapping[str, str]
    quorate: bool
    levels: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    dismissed: frozenset[str] = frozenset()
    held: Mapping[str, str] = field(default_factory=dict)
    told: Mapping[str, str] = field(default_factory=dict)
    mapped: Mapping[str, str] = field(default_factory=dict)
    fences_nobody: str = ""
    version: str = ""
    unfenced: Mapping[str, str] = field(default_factory=dict)
    stopped: frozenset[str] = frozenset()

    def named(self, node: str) -> str:
        """The name of a node in Nova, but for the DNS domain."""
        record = self.records.get(node)
        return (record.host if record else "") or self.mapped.get(node, node)

    def to_hold(self) -> frozenset[str]:
        """The nodes whose nova-compute may not start: their evacuation is not over, or nobody can tell."""
        waiting = {name for name, record in self.records.items() if record.state in (FENCED, CONFIRMED)}
        return frozenset((waiting | {*self.broken}) & {*self.nodes})


@dataclass(frozen=True)
class Service:
    """A Nova service. `updated` is Nova's own text, only ever compared with an earlier one. Not `known`: the database of its cell
    is away, and Nova tells nothing but its name (2.69)."""

    id: str
    binary: str
    host: str
    enabled: bool
    up: bool
    forced_down: bool
    reason: str = ""
    updated: str = ""
    zone: str = ""
    known: bool = True


@dataclass(frozen=True)
class Order:
    """When a server's turn comes: lower ranks first, the operator's word before its owner's; and its restart group, "" for none."""

    rank: tuple[int, int, int]
    group: str = ""


@dataclass(frozen=True)
class Server:
    """A server as Nova shows it; every field that a partial row may lack is None then. `groups` are the ids of its server
    groups, None in a listing, which does not tell. `size` is what it takes: VCPUs, MiB of memory, GiB of disk. `order` is None
    where only its own metadata say it."""

    id: str
    name: str
    host: str | None
    vm_state: str | None
    task_state: str | None
    power_state: int | None
    locked: bool | None
    locked_reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    extra_specs: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    fault: str = ""
    fault_at: str = ""
    project: str = ""
    status: str = ""
    groups: tuple[str, ...] | None = None
    size: tuple[int, int, int] = (0, 0, 0)
    order: Order | None = field(default=None, compare=False)

    @property
    def being_deleted(self) -> bool:
        return self.task_state in ("deleting", "soft-deleting") or self.vm_state in ("deleted", "soft-delete")


@dataclass(frozen=True)
class Provider:
    """A resource provider of Placement. `root` is the top of its tree, itself if it has no parent. `host` is Nova's compute host
    of that tree, "" for none, as of shared storage."""

    id: str
    name: str
    root: str
    host: str = ""


@dataclass(frozen=True)
class Aggregate:
    """A host aggregate of Nova."""

    name: str
    hosts: frozenset[str]
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Group:
    """A server group. `members` are ids of servers that exist. `most` is how many of an anti-affinity group a host may hold."""

    id: str
    name: str
    policy: str
    members: tuple[str, ...]
    most: int = 1


@dataclass(frozen=True)
class Action:
    """Something that was asked of a server. `started` and `updated` are Nova's own texts, which sort as the times do. `user`
    and `project` are the ids of who asked, by Nova's own record. `by_nova`: it says that nobody
    did, as of what nova-compute asks by itself; False also where it does not tell."""

    name: str
    request: str
    started: str
    updated: str
    user: str = ""
    project: str = ""
    by_nova: bool = False


@dataclass(frozen=True)
class Step:
    """One thing that a service of Nova did for a request (an instance action event). Times are Nova's own texts, "" while it goes on.
    `why` is what went wrong, or at least where in Nova; "" for nothing or where Nova does not show it. `trace` is Nova's traceback."""

    name: str
    host: str
    started: str
    finished: str
    result: str
    why: str
    trace: str = ""


@dataclass(frozen=True)
class Migration:
    """One evacuation or live migration as Nova records it. `destination` is None before the scheduler has chosen."""

    id: int
    server: str
    status: str
    source: str
    destination: str | None
    created: str = ""
    updated: str = ""

    @property
    def in_progress(self) -> bool:
        return self.status not in ENDED

    def has_brought(self, server: Server) -> bool:
        """Return True if this evacuation has brought a server where it is."""
        return self.status in ARRIVED and self.destination == server.host


@dataclass(frozen=True, eq=False)
class Claim:
    """The lock that instance-ha puts on a server while it moves it, and what its reason says.

    The owner of the server reads that reason, so it names neither hosts nor controllers: `host` and `token` go into it as
    hashes. A claim that was read has these in their place, and one of an older version has the names; either way claims of the
    same host, incident and token are equal.
    """

    host: str
    was: str
    id: str
    token: str

    def text(self) -> str:
        """Return the reason of the lock."""
        return f"instance-ha: evacuating; was={self.was} id={self.id} at={self.mark} by={self.signed}"

    @property
    def mark(self) -> str:
        """The host, as the reason has it."""
        return self.host if self.host.startswith("#") else "#" + _hash(f"{self.id} {self.host}")

    @property
    def signed(self) -> str:
        """Who has claimed it, as the reason has it: `c-` and a hash for a command, `w-` and a hash for a worker."""
        return self.token if _SIGNED.fullmatch(self.token) else f"{'c' if self.token.startswith('cli-') else 'w'}-{_hash(self.token)[:8]}"

    def names(self, host: str) -> bool:
        """Return True if it is a claim for the evacuation of this host."""
        return self.mark == Claim(host, self.was, self.id, self.token).mark

    def is_by(self, token: str) -> bool:
        """Return True if this worker or command has claimed it."""
        return self.signed == Claim(self.host, self.was, self.id, token).signed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Claim) and self.text() == other.text()

    def __hash__(self) -> int:
        return hash(self.text())


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


_SIGNED = re.compile(r"[cw]-[0-9a-f]{8}")
_CLAIM = re.compile(r"instance-ha: evacuating; was=(\w{1,16}) id=([\w.-]{1,64}) at=(#[0-9a-f]{12}) by=([cw]-[0-9a-f]{8})")
_OLD_CLAIM = re.compile(r"instance-ha: evacuating from ([\w.-]{1,255}); was=(\w{1,16}) id=([\w.-]{1,64}) by=([\w.-]{1,128})")


def claim_of(server: Server) -> Claim | None:
    """Return what the lock of a server says if that has the form of our claims, else None. It is no proof of whose lock it is."""
    if not server.locked:
        return None
    found = _CLAIM.fullmatch(server.locked_reason or "")
    if found:
        was, incident, mark, signed = found.groups()
        return Claim(mark, was, incident, signed)
    old = _OLD_CLAIM.fullmatch(server.locked_reason or "")
    return Claim(*old.groups()) if old else None
