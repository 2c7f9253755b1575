"""Pure: from what is seen to what is done. The promises live here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from .model import (
    ARRIVED,
    DISABLED_BY_US,
    ClusterNode,
    FenceEvent,
    Migration,
    Record,
    Server,
    Service,
    claim_of,
)
from .selection import Policy, Ruling

EVACUATE = "evacuate"    # lock it with our claim, look again, send
STOP = "stop"            # it was stopped, and a retry brought it back running
UNLOCK = "unlock"        # it arrived, or its move is given up: take our claim away
WAIT = "wait"            # under way
QUEUED = "queued"        # to be evacuated when its turn comes
DONE = "done"            # it arrived, and there is no claim to take away
LEFT = "left"            # it is not moved, and the reason says why

MAX_PAUSE = 60.0         # longest pause between two tries
SETTLE = 15.0            # after a lost answer: how long before its absence in Nova's migrations counts
EVACUABLE = frozenset(("active", "stopped", "error"))
RECORDERS = frozenset(("fence_nova", "fence_compute", "fence_evacuate"))
OFF_ACTIONS = frozenset(("off", "reboot"))


@dataclass
class Memory:
    """What one worker remembers of one server between two turns; nothing that safety needs after its death.

    Times are the worker's monotonic seconds. `sent` is when a request went out whose row is not seen yet.
    """

    sent: float | None = None
    sent_after: int = 0
    lost: bool = False
    failed: dict[int, float] = field(default_factory=dict)
    progress: tuple[str, float] = ("", 0.0)
    was: str = ""
    refusal: str = ""
    refused_at: float = 0.0
    refusals: int = 0


@dataclass(frozen=True)
class Verdict:
    """What is to be done about one server now, and why.

    `final`: nothing more will be tried; `retry`: it is tried for as long as its host is away, which need not wait for it.
    `was` is the state it had when its host died."""

    server: Server
    action: str
    reason: str
    was: str = ""
    final: bool = False
    retry: bool = False
    protected: bool = True


@dataclass(frozen=True)
class HostScene:
    """All that is known of one dead host in one turn. `servers` are those on it and those claimed for it anywhere."""

    host: str
    incident: str
    token: str
    baseline: int
    servers: Sequence[Server]
    rulings: Mapping[str, Ruling]
    migrations: Sequence[Migration]
    up_hosts: frozenset[str]
    dead_hosts: frozenset[str]   # forced down in Nova, which fence_nova does after their power is off
    control_up: bool
    now: float
    starts: bool = True          # new evacuations may begin
    last_row: int = 0            # the highest migration id of this host


def proof_of_fencing(record: Record, node: ClusterNode | None, events: Iterable[FenceEvent]) -> tuple[str, str]:
    """`events` are newest first. (proof, "") when Pacemaker has confirmed that the node was fenced since it was last up, else ("", reason).

    A fencing that runs or that failed last is no proof, whatever came before.
    """
    fencings = [event for event in events if event.action in OFF_ACTIONS]
    if any(event.status == "pending" for event in fencings):
        return "", "Pacemaker is still fencing it"
    if node is None:
        return "", "the cluster knows no such node"
    if node.remote and node.fenced_mark and node.online is False:
        return f"node_fenced:{node.fenced_mark}", ""
    # A record remembers the newest fencings before it: what is older than one of those came before it too.
    # One that does not tell, an older agent's or a person's, may be later than all of them, so that none counts.
    known = record.seen
    fresh = [] if known is None else list(takewhile(lambda event: event.completed not in known, fencings))
    if fresh and fresh[0].status == "success":
        return f"history:{fresh[0].action}@{fresh[0].completed}", ""
    if fresh and fresh[0].status == "failed":
        return "", "its last fencing failed; Pacemaker tries again, or a person confirms with: pcs stonith confirm " + record.node
    if node.online:
        return "", "Pacemaker says it is online and knows of no fencing since the record was written"
    return "", "Pacemaker has not confirmed its fencing yet"


def level_fault(levels: Sequence[Sequence[str]]) -> str:
    """What is wrong with a node's fencing levels, "" for nothing: fence_nova cuts no power, so that Pacemaker's word of a
    fencing is worth nothing where no power device comes before it."""
    if not levels:
        return "it has no fencing level; give it one: pcs stonith level add 1 NODE POWER_DEVICE fence-nova"
    for number, agents in enumerate(levels, 1):
        powers = [position for position, agent in enumerate(agents) if agent and agent not in RECORDERS]
        recorders = [position for position, agent in enumerate(agents) if agent in RECORDERS]
        if recorders and (not powers or powers[0] > recorders[0]):
            return f"its fencing level {number} has no power device before {agents[recorders[0]]}"
    return ""


def server_verdict(server: Server, scene: HostScene, policy: Policy, memory: Memory) -> Verdict:
    """What to do about one server that is on the dead host, or that is claimed for it."""
    claim = claim_of(server)
    mine = claim is not None and claim.host == scene.host
    rows = [row for row in scene.migrations if row.server == server.id]
    last = rows[-1] if rows else None
    was = claim.was if claim and mine else memory.was or server.former
    if memory.sent is not None and last and last.id > memory.sent_after:
        memory.sent = None
    if server.host not in (scene.host, None):
        return _moved(server, scene, last, was, mine)
    if server.being_deleted:
        return Verdict(server, UNLOCK if mine else LEFT, "its user is deleting it", was, final=True, protected=False)
    if last and last.in_progress:
        return _under_way(server, scene, policy, memory, last, was)
    if memory.sent is not None:
        if scene.now - memory.sent < SETTLE:
            return Verdict(server, WAIT, "the answer to the request was lost; looking whether Nova has it", was)
        memory.sent = None
    return _to_start(server, scene, policy, memory, rows, was, mine)


def _moved(server: Server, scene: HostScene, last: Migration | None, was: str, mine: bool) -> Verdict:
    if last and last.in_progress:
        return Verdict(server, WAIT, f"being rebuilt on {server.host}", was)
    if server.being_deleted:
        return Verdict(server, UNLOCK if mine else LEFT, "its user is deleting it", was, final=True, protected=False)
    if server.task_state:
        return Verdict(server, WAIT, f"on {server.host}, {server.task_state}", was)
    if was == "stopped" and server.vm_state == "active":
        return Verdict(server, STOP, f"on {server.host}; it was stopped before", was)
    if server.vm_state == "error":
        return Verdict(server, LEFT, f"on {server.host} in ERROR: {server.fault or 'no reason given'}", was, final=True)
    if server.host not in scene.up_hosts:
        return Verdict(server, WAIT, f"arrived on {server.host}, which is down", was)
    return Verdict(server, UNLOCK if mine else DONE, f"arrived on {server.host}", was, final=True)


def _under_way(server: Server, scene: HostScene, policy: Policy, memory: Memory, last: Migration, was: str) -> Verdict:
    # Only forced down is dead: a report that is late, as with the message bus away, says nothing of the rebuild.
    if last.destination in scene.dead_hosts:
        return _to_start(server, scene, policy, memory, [row for row in scene.migrations if row.server == server.id], was,
                         claim_of(server) is not None, dead=last)
    seen = f"{last.id} {last.status} {last.destination} {server.task_state} {last.updated}"
    if memory.progress[0] != seen or not scene.control_up:
        memory.progress = (seen, scene.now)
    if scene.now - memory.progress[1] > policy.stuck_timeout:
        reason = f"stuck: migration {last.id} is {last.status} and has not moved for {policy.stuck_timeout:g} s"
        return Verdict(server, LEFT, reason, was, retry=True)
    return Verdict(server, WAIT, f"{last.status}, to {last.destination or 'a host not chosen yet'}", was)


def _to_start(server: Server, scene: HostScene, policy: Policy, memory: Memory, rows: Sequence[Migration], was: str,
              mine: bool, dead: Migration | None = None) -> Verdict:
    ruling = scene.rulings.get(server.id, Ruling(True, "protect=all"))
    if not ruling.protected:
        return Verdict(server, UNLOCK if mine else LEFT, f"not protected: {ruling.rule}", was, final=True, protected=False)
    failures = [row for row in rows if row.id > scene.baseline]
    if server.vm_state is None or server.locked is None:
        return Verdict(server, WAIT, "Nova shows only part of it (a cell is down?)", was)
    if server.vm_state not in EVACUABLE:
        return Verdict(server, LEFT, f"Nova does not evacuate a server that is {server.vm_state}", was, final=True)
    if failures and failures[-1].status in ARRIVED:
        return Verdict(server, WAIT, "Nova says done, and the server has not changed its host yet", was)
    wait = _pause(scene.now, policy, memory, failures, dead)
    no_room = bool(failures) and failures[-1].status == "error"
    if failures and not no_room and not dead and len(failures) >= policy.max_attempts:
        return Verdict(server, LEFT, f"failed {len(failures)} times: {server.fault or failures[-1].status}", was, final=True)
    why = _why_again(server, failures, memory, dead)
    if memory.refusals >= policy.max_attempts:
        return Verdict(server, LEFT, why, was, final=True)
    if not scene.starts:
        return Verdict(server, LEFT, why or "its host is returning", was, final=True)
    if wait > 0:
        # Only room may come with the host's return; what failed for another reason has its few tries before that.
        return Verdict(server, LEFT, f"{why}; next try in {wait:.0f} s", was, retry=no_room and not memory.refusals)
    return Verdict(server, EVACUATE, why or ruling.rule, was)


def _pause(now: float, policy: Policy, memory: Memory, failures: Sequence[Migration], dead: Migration | None) -> float:
    """Seconds that are left of the pause after the last failure; 0 after none."""
    if memory.refusals:
        return memory.refused_at + _growing(policy, memory.refusals) - now
    if not failures or dead:
        return 0.0
    since = memory.failed.setdefault(failures[-1].id, now)
    return since + _growing(policy, len(failures)) - now


def _growing(policy: Policy, tries: int) -> float:
    return float(min(policy.retry_pause * 2 ** min(tries - 1, 10), MAX_PAUSE))


def _why_again(server: Server, failures: Sequence[Migration], memory: Memory, dead: Migration | None) -> str:
    if memory.refusal:
        return f"Nova refused: {memory.refusal}"
    if dead:
        return f"its destination {dead.destination} died in the middle"
    return f"try {len(failures)} failed: {server.fault or failures[-1].status}" if failures else ""


def host_over(verdicts: Iterable[Verdict]) -> bool:
    """Whether nothing is under way or about to be: the host may be let in."""
    return all(verdict.action == DONE or (verdict.action == LEFT and (verdict.final or verdict.retry)) for verdict in verdicts)


def is_ours(service: Service) -> bool:
    """Whether a disabled service was disabled by instance-ha, and not by a person."""
    return not service.enabled and service.reason.startswith(DISABLED_BY_US)


def host_of(node: str, domain: str, services: Iterable[Service]) -> str | None:
    """Nova's name of a Pacemaker node's compute host: the same, with `domain`, or the only one with the same short name.
    None when Nova knows no such compute service."""
    hosts = sorted({service.host for service in services if service.binary == "nova-compute"})
    wanted = [node] + ([f"{node.split('.')[0]}.{domain}"] if domain else [])
    for name in wanted:
        for host in hosts:
            if host.lower() == name.lower():
                return host
    short = [host for host in hosts if host.split(".")[0].lower() == node.split(".")[0].lower()]
    return short[0] if len(short) == 1 and ("." not in node or "." not in short[0]) else None
