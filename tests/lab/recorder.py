"""In a worker of the laboratory: write down each kind of world that it decides upon, once.

The product knows nothing of this: the interpreter of a worker imports `sitecustomize` from the
folder of the agents' library, where recordings.py has put one that starts this.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from instance_ha.engine import decide
from instance_ha.engine.attempts import attempts_of
from instance_ha.engine.scene import Case, HostScene
from instance_ha.engine.selection import Policy
from instance_ha.model import Action, Step
from instance_ha.nova import Nova

from tests.worlds import Record, World, alone, kind_of, plain

LOG = logging.getLogger(__name__)
# Nobody needs where Nova is installed, nor where this repository is.
_FOLDER = re.compile(r'(?<=File ")/[^"]*/(site-packages|fakevirt)/')


class Recorder:
    """Writes to the file `path`.

    `skipped` counts the worlds that are left out, since their record was read again meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.skipped = path, 0
        self._kinds: set[str] = set()
        self._actions: dict[str, list[Action]] = {}  # by server
        self._steps: dict[str, tuple[Step, ...]] = {}  # by request
        self._lock = threading.Lock()
        self._trouble = False

    def listen(self) -> None:
        """From now on note what this process reads from Nova, and what it decides."""
        decided, actions, steps = decide.decide, Nova.actions, Nova.steps

        def decide_and_note(
            case: Case, scene: HostScene, policy: Policy, broken: frozenset[str] = frozenset()
        ) -> decide.Decision:
            decision = decided(case, scene, policy, broken)
            try:
                self.note(World(case, scene, None, policy, broken), decision)
            except Exception:  # a worker is to work whatever becomes of the recording
                if not self._trouble:
                    LOG.exception("a world is not recorded")
                self._trouble = True
            return decision

        def actions_noted(nova: Nova, server: str) -> list[Action]:
            found = self._actions[server] = [*actions(nova, server)]
            return found

        def steps_noted(nova: Nova, server: str, request: str) -> Any:
            found = steps(nova, server, request)
            self._steps[request] = tuple(found)
            return found

        decide.decide, Nova.actions, Nova.steps = (  # type: ignore[assignment,method-assign]
            decide_and_note,
            actions_noted,
            steps_noted,
        )

    def note(self, world: World, decision: decide.Decision) -> None:
        """Write a world down if it is of a new kind."""
        kind = kind_of(world, decision)
        with self._lock:
            if kind in self._kinds:
                return
            if world.case.attempts is not None:
                record = self._record(world.case)
                if record is None:
                    self.skipped += 1
                    return
                world = replace(world, record=record)
            self._kinds.add(kind)
            said = f"{decision.verdict.action}: {decision.verdict.reason}"
            line = {"kind": kind, "said": said, "world": plain(alone(world))}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def _record(self, case: Case) -> Record | None:
        """The record behind the attempts of a case, None where it has been read again since."""
        requests = {one.request for one in case.attempts or ()}
        steps = {
            key: tuple(
                replace(step, trace=_FOLDER.sub("", step.trace))
                for step in self._steps.get(key, ())
            )
            for key in requests
        }
        asked = [one for one in self._actions.get(case.server.id, ()) if one.request in requests]
        same = attempts_of(asked, steps) == tuple(case.attempts or ())
        return tuple((one, steps[one.request]) for one in asked) if same else None


def start(folder: str) -> None:
    """Record into a file of this process in `folder`."""
    name = f"{os.uname().nodename}-{os.getpid()}-{time.time():.0f}.jsonl"
    Path(folder).mkdir(parents=True, exist_ok=True)
    Recorder(Path(folder) / name).listen()
