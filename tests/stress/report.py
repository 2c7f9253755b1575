"""What a round gave, its line in the table, and its line in a file that outlives the run."""

from __future__ import annotations

import functools
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.lab import watch
from tests.lab.common import LOGS, LabError, say
from tests.stress.incident import Incident, clean

FILE = LOGS / "stress.jsonl"


@dataclass
class Result:
    """One round."""

    scenario: str
    name: str
    error: str = ""
    incident: Incident | None = None
    statuses: Counter[str] = field(default_factory=Counter)
    faults: Mapping[str, int] = field(default_factory=dict)
    asked: int = 0
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    facts: Mapping[str, object] = field(default_factory=dict)

    def count(self) -> dict[str, object]:
        """Everything worth keeping, as long as the laboratory is up and no other round has begun."""
        incident = self.incident or Incident(())
        ends = incident.fenced() if incident.begun else {}
        asked = watch.evacuation_requests(incident.begun) if incident.begun else {}
        requests = {uid: times for uid, times in asked.items() if uid in incident.before}
        return {
            "scenario": self.scenario, "round": self.name, "error": self.error, "hosts": len(incident.victims), "servers": len(incident.before),
            "protected": len(incident.protected), "fenced": round(max(ends.values(), default=incident.begun) - incident.begun, 1),
            "recovered": round(incident.recovered_after, 1), "returned": round(incident.returned_after, 1),
            "requests": sum(len(times) for times in requests.values()), "rows": dict(self.statuses), "asked": self.asked,
            "faults": dict(self.faults), "notes": self.notes, "took": round(self.seconds, 1),
        }


def round_of(scenario: str, name: str, work: Callable[[Result], None]) -> Result:
    """Do one round and clean up after it; what went wrong is in the result."""
    result = Result(scenario, name)
    began = time.monotonic()
    steps: tuple[Callable[[], None], ...] = (functools.partial(work, result), clean)
    for step in steps:
        try:
            step()
        except (LabError, AssertionError, OSError) as error:
            result.error = result.error or f"{type(error).__name__}: {error}"
            say(f"  FAILED: {error}")
    result.seconds = time.monotonic() - began
    result.facts = result.count()
    FILE.parent.mkdir(parents=True, exist_ok=True)
    with open(FILE, "a") as file:
        file.write(json.dumps(result.facts) + "\n")
    say(f"  {json.dumps(result.facts)}")
    return result


def table(results: list[Result]) -> str:
    """One line a round."""
    lines = [f"{'scenario':9}{'round':9}{'hosts':>6}{'servers':>8}{'protected':>10}{'fenced':>8}{'recovered':>10}{'returned':>9}{'requests':>9}"
             "  rows; faults"]
    for result in results:
        f = result.facts
        lines.append(f"{f['scenario']:9}{f['round']:9}{f['hosts']:>6}{f['servers']:>8}{f['protected']:>10}{f['fenced']:>8}{f['recovered']:>10}"
                     f"{f['returned']:>9}{f['requests']:>9}  {_pairs(result.statuses)}"
                     + (f"; {sum(result.faults.values())} of {result.asked}: {_pairs(result.faults)}" if result.asked else ""))
        lines += [f"         {note}" for note in result.notes]
        lines += [f"         FAILED: {result.error}"] if result.error else []
    return "\n".join(lines)


def _pairs(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(numbers.items())) or "-"
