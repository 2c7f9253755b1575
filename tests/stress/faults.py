"""20 % of Nova's answers to the agents are faulty, or 20 % of its lists short, as a seed has it."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator

from tests.cluster.scenario import agents_use
from tests.lab import cluster, fault_proxy, lies, watch
from tests.lab.common import say
from tests.stress.incident import Incident, play
from tests.stress.report import Result, round_of

SHARE = 0.2
LIMIT = 600.0


def run(count: int, seeds: int, scenario: str = "faults") -> Iterator[Result]:
    """A result a seed. `scenario`: "faults", or "lies"."""
    fault_proxy.start()
    agents_use({"compute_endpoint_override": fault_proxy.URL})
    try:
        for seed in range(1, seeds + 1):
            work = functools.partial(_one, count=count, seed=seed)
            yield round_of(scenario, f"seed {seed}", work)
    finally:
        fault_proxy.set_faults(0, 0)
        agents_use({})
        fault_proxy.stop()


def _one(result: Result, count: int, seed: int) -> None:
    chance = random.Random(seed)
    computes = [node.name for node in cluster.size().nodes if node.kind == "compute"]
    incident = result.incident = Incident(chance.sample(computes, chance.randint(2, min(4, len(computes) - 2))))
    hosts = ", ".join(sorted(incident.victims))
    say(f"\n=== {result.scenario}, seed {seed}: {count} servers on {hosts}")
    incident.boot(count)
    slow = lies.SLOW[seed % len(lies.SLOW)]
    if result.scenario == "lies":
        fault_proxy.set_faults(0, seed, SHARE, slow)
        result.notes.append(f"slow: {slow}")
    else:
        fault_proxy.set_faults(SHARE, seed)
    try:
        result.statuses = play(incident, lambda: None, LIMIT)
    finally:
        fault_proxy.set_faults(0, 0)
        found = fault_proxy.counts(incident.begun) if incident.begun else {}
        result.faults = {kind: number for kind, number in sorted(found.items()) if kind != fault_proxy.FINE}
        result.asked = sum(found.values())
    failures = [words for words in watch.failures() if "nova-evacuate" in words[0]]
    assert not failures, f"the worker's resource failed: {failures}"
    least = 0.2 if result.scenario == "lies" else 0.5    # not every answer can lie
    spoiled = sum(result.faults.values())
    assert spoiled > least * SHARE * result.asked, "the agents did not ask through the proxy"
