"""Reading what one server's own record says: what was asked of it, by whom, and what became of each request to evacuate it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

from ..errors import CloudError
from ..model import Action, Claim, Server, Step, claim_of
from ..nova import Nova
from .attempts import EVACUATE, Attempt, Stage, attempts_of, lock_is_ours
from .places import needs_evidence
from .scene import Case, HostScene, Memory
from .states import state_of

REBUILD = "rebuild"
MOVES = frozenset((EVACUATE, "live-migration", "migrate", "resize", "revertResize", "unshelve"))   # Nova's names
AGED = 30.0           # seconds for which a server's own record is believed while nothing of it changes
OPEN_AGED = 5.0       # the same while a request of it is open
LONG = 1000           # requests; a longer list is read once in AGED seconds, however often its owner changes his lock
LATE = 1.0            # seconds; of one that Nova told so late, and as an error, nothing is asked again at once
READS = 8             # servers whose own record is read at once
FAILS = 3             # a destination that so many servers have failed on is left alone
LEFT_ALONE = 600.0    # seconds for which it is left alone
LOG = logging.getLogger(__name__)
Asked = TypeVar("Asked")


@dataclass(frozen=True)
class Evidence:
    """What Nova's own record of one server says. `ours`: its lock, which has the words of a claim, is instance-ha's.
    `owner_rebuilds`: the newest request of its kind is a rebuild, which its owner asked for. `came_back`: it was moved by other
    means after the newest evacuation. `unlocked`: Nova's time of a person's unlock; what was before it does not count."""

    attempts: tuple[Attempt, ...] = ()
    ours: bool = False
    owner_rebuilds: bool = False
    came_back: bool = False
    unlocked: str = ""
    length: int = 0        # of the list of what was asked of it


def ask_each(read: Callable[[str], Asked], keys: Iterable[str]) -> dict[str, Asked]:
    """Ask for several servers at once."""
    keys = sorted(keys)
    with ThreadPoolExecutor(min(READS, len(keys) or 1)) as pool:
        return dict(zip(keys, pool.map(read, keys)))


class Records:
    """The own records of the servers of one dead host. `claimed` are those that this process has locked, and with which words."""

    def __init__(self, nova: Nova) -> None:
        self.nova = nova
        self.deep = False      # the record of every server is read, as before anything is started on its old host
        self.claimed: dict[str, str] = {}
        self._known: dict[str, _Known] = {}
        self._rests: dict[str, float] = {}         # until when one that Nova did not tell, and late, is not asked for again
        self._failed: dict[str, dict[str, float]] = {}   # by destination, the servers that failed there, and when that was seen
        self._projects: dict[str, str] = {}        # of all servers that were seen
        self._counted: set[str] = set()            # requests that are in it
        self._ended: dict[str, list[Step]] = {}    # what Nova did for requests that have come to an end, by request

    def case(self, server: Server, scene: HostScene, memory: Memory) -> Case:
        """Return what is known of a server before its own record is read."""
        self._projects[server.id] = server.project
        rows = [row for row in scene.migrations if row.server == server.id]
        case = Case(server, rows, ruling=scene.rulings.get(server.id), memory=memory)
        known = self._known.get(server.id)
        trusted = self._is_own(server) or (known is not None and known.sign == _sign(case, scene) and known.evidence.ours)
        return _with_claim(case, scene, claim_of(server) if trusted else None)

    def fill(self, cases: MutableMapping[str, Case], scene: HostScene) -> None:
        """Read the records of the servers that need it, and put what they say into the cases."""
        wanted = []
        for key, case in cases.items():
            if not (self.deep or needs_evidence(case, scene)) or self._rests.get(key, scene.now) > scene.now:
                continue
            known = self._known.get(key)
            if known is not None and known.sign == _sign(case, scene) and scene.now - known.read < known.age:
                cases[key] = self.told(case, scene, known.evidence)
            elif known is None or known.evidence.length <= LONG or scene.now - known.read >= AGED:
                wanted.append(key)
        if not wanted:
            return
        def timed(key: str) -> tuple[Evidence | None, float]:
            began = time.monotonic()
            return self.read(cases[key]), time.monotonic() - began

        with ThreadPoolExecutor(min(READS, len(wanted))) as pool:
            for key, (evidence, took) in zip(wanted, pool.map(timed, wanted)):
                if evidence is None and took > LATE:
                    self._rests[key] = scene.now + took + AGED    # each look would take as long, and all hosts wait for that
                if evidence is not None:
                    self._known[key] = _Known(_sign(cases[key], scene), scene.now, evidence)
                    cases[key] = self.told(cases[key], scene, evidence)

    def read(self, case: Case) -> Evidence | None:
        """Return the own record of a server, None where Nova does not tell."""
        try:
            return self._read(case.server)
        except CloudError as error:
            LOG.warning("%s (%s): what was asked of it is not known: %s", case.server.name, case.server.id, error)
            return None

    def told(self, case: Case, scene: HostScene, evidence: Evidence) -> Case:
        """Return the case with what the record of its server says."""
        ours = evidence.ours or self._is_own(case.server)
        memory, last = case.memory, evidence.attempts[-1].request if evidence.attempts else ""
        if last and not memory.request:
            memory = replace(memory, request=last)
        for attempt in evidence.attempts:
            if attempt.destination and attempt.stage in (Stage.CLEAN, Stage.SUSPECT) and attempt.request not in self._counted:
                self._counted.add(attempt.request)
                self._failed.setdefault(attempt.destination, {})[case.server.id] = scene.now
        case = replace(case, attempts=evidence.attempts, owner_rebuilds=evidence.owner_rebuilds,
                       came_back=evidence.came_back, unlocked=evidence.unlocked, memory=memory)
        return _with_claim(case, scene, claim_of(case.server) if ours else None)

    def failing(self, now: float) -> frozenset[str]:
        """Return the destinations that have failed several servers of late. `now` is monotonic.

        Those of one project alone fail for reasons of its own, as long as there are servers of another: its users can have them fail.
        """
        late = {host: [key for key, when in servers.items() if now - when < LEFT_ALONE] for host, servers in self._failed.items()}
        needed = min(2, len({*self._projects.values()}))
        return frozenset(host for host, keys in late.items()
                         if len(keys) >= FAILS and len({self._projects.get(key, "") for key in keys}) >= needed)

    def forget(self, server: str) -> None:
        """Something was done to it, or is: what was read of it is of before."""
        self._known.pop(server, None)

    def _is_own(self, server: Server) -> bool:
        """Whether this process has put the lock there that is on it."""
        return bool(server.locked) and self.claimed.get(server.id) == server.locked_reason

    def _read(self, server: Server) -> Evidence:
        user, actions = self.nova.own_user(), self.nova.actions(server.id)
        steps: dict[str, Sequence[Step]] = {}
        for action in (one for one in actions if one.name == EVACUATE):
            steps[action.request] = self._steps(server.id, action)
            if attempts_of([action], steps)[0].stage is Stage.DONE:
                break                              # what was before it ended with it
        asked, unlocked = _since_a_person(actions, server.project, user)
        attempts = attempts_of([one for one in asked if one.name != EVACUATE or one.request in steps], steps)
        newest = next((one.name for one in actions if one.name in (EVACUATE, REBUILD)), "")
        moved = next((one.name for one in actions if one.name in MOVES), EVACUATE)
        ours = claim_of(server) is not None and lock_is_ours(actions, user, server.project)
        if getattr(actions, "cut", False) and not any(one.name == "unlock" for one in actions):
            ours = False               # an older lock, of its owner's, may be further back than was read
        return Evidence(attempts, ours, newest == REBUILD, moved != EVACUATE, unlocked, len(actions))

    def _steps(self, server: str, action: Action) -> Sequence[Step]:
        if action.request not in self._ended:
            steps = self.nova.steps(server, action.request)
            if attempts_of([action], {action.request: steps})[0].is_open:
                return steps
            self._ended[action.request] = steps
        return self._ended[action.request]


@dataclass(frozen=True)
class _Known:
    """A record, what its server looked like in lists then, and when that was."""

    sign: str
    read: float
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def age(self) -> float:
        """For how long it is believed."""
        return OPEN_AGED if any(one.is_open for one in self.evidence.attempts) else AGED


def _sign(case: Case, scene: HostScene) -> str:
    """What changes when something is done to a server, as lists show it, or when a host dies that may be at it."""
    server, last = case.server, case.rows[-1] if case.rows else None
    return (f"{server.host} {server.vm_state} {server.task_state} {server.locked_reason} "
            f"{last and (last.id, last.status, last.destination)} {sorted(scene.dead_hosts)}")


def _with_claim(case: Case, scene: HostScene, claim: Claim | None) -> Case:
    server = case.server
    was = claim.was if claim else case.memory.was or scene.kept.get(server.id) or state_of(server).was
    return replace(case, claim=claim, was=was)


def _since_a_person(actions: Sequence[Action], project: str, user: str) -> tuple[list[Action], str]:
    """Return the actions after the last unlock by an administrator who is not instance-ha, and Nova's time of it, "" for
    none: a person has looked then.

    The server's own project has no say: its members may unlock what instance-ha has locked, where that is in the same project.
    """
    found: list[Action] = []
    for action in actions:
        if action.name == "unlock" and action.user and action.user != user and action.project and action.project != project:
            return found, action.started
        found.append(action)
    return found, ""
