"""One round over all dead hosts: who is asked for now, everything that is to be done at once, and how wide the window is afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from . import decide
from .evacuation import Evacuation
from .looked import Look
from .scene import Verdict
from .selection import Policy
from .window import Queue, Waiting, Window

THREADS = 32             # requests to Nova at once


@dataclass(frozen=True)
class Share:
    """What one host brings to a round. `candidates` may be begun if there is room for them, `besides` is done in any case; with
    `paused` nothing of it is begun, and nobody waits for its restart groups."""

    node: str
    engine: Evacuation
    look: Look
    candidates: Sequence[Verdict]
    besides: Sequence[Verdict]
    paused: bool = False


Job = tuple[Share, Verdict]


class Rounds:
    """What is remembered from round to round. `clock` is monotonic seconds."""

    def __init__(self, policy: Policy, clock: Callable[[], float]) -> None:
        self.window = Window(policy)
        self._failed = 0         # tries that were seen to have failed
        self._queue = Queue(policy.group_timeout, policy.start_pause, clock)
        self._clock = clock

    def run(self, shares: Sequence[Share], busy: Mapping[str, int], still: int, do: Callable[[Job], bool]) -> list[Job]:
        """Choose, and do it. `busy` is how many evacuations each host has under way, `still` how many more show nothing any more.
        `do` says whether Nova answered, and soon. Returns what was done."""
        waiting = [Waiting(share.node, verdict.server) for share in shares for verdict in share.candidates]
        unfinished = [verdict.server for share in shares if not share.paused for verdict in share.look.verdicts
                      if verdict.protected and verdict.action not in (decide.DONE, decide.LEFT)]
        undecided = sum(share.look.undecided() for share in shares)
        room = self.window.room(sum(busy.values()), undecided, still, _living(shares))
        chosen, reasons = self._queue.choose(waiting, unfinished, busy, room)
        starting = {one.server.id for one in chosen}
        jobs: list[Job] = []
        for share in shares:
            jobs += [(share, one) for one in share.besides]
            jobs += [(share, one) for one in share.candidates if one.server.id in starting]
            share.look.queue(reasons)
        with ThreadPoolExecutor(max_workers=max(1, min(THREADS, len(jobs)))) as pool:
            smooth = list(pool.map(do, jobs))
        failed = sum(len(memory.failed) for share in shares for memory in share.engine.memory.values())
        # What is done besides says nothing of how many evacuations Nova takes: one server on which it fails narrows nothing.
        well = all(done for (_, verdict), done in zip(jobs, smooth) if verdict.action == decide.EVACUATE)
        self.window.tick(len(chosen), well and failed <= self._failed)
        self._failed = failed
        return jobs


def _living(shares: Sequence[Share]) -> int:
    """How many hosts take evacuations."""
    return len({one.host for share in shares for one in share.look.services if one.binary == "nova-compute" and one.up and one.enabled})
