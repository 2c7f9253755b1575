"""20 % of Nova's answers to the agents are faulty, whatever seed chooses them."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator

from tests.cluster.scenario import agents_use
from tests.lab import cluster, fault_proxy, watch
from tests.lab.common import say
from tests.stress.incident import Incident, play
from tests.stress.report import Result, round_of

SHARE = 0.2
LIMIT = 600.0


def run(count: int, seeds: int) -> Iterator[Result]:
    """A result a seed."""
    fault_proxy.start()
    agents_use({"compute_endpoint_override": fault_proxy.URL})
    try:
        for seed in range(1, seeds + 1):
            yield round_of("faults", f"seed {seed}", functools.partial(_one, count=count, seed=seed))
    finally:
        fault_proxy.set_faults(0, 0)
        agents_use({})
        fault_proxy.stop()


def _one(result: Result, count: int, seed: int) -> None:
    chance = random.Random(seed)
    computes = [node.name for node in cluster.size().nodes if node.kind == "compute"]
    incident = result.incident = Incident(chance.sample(computes, chance.randint(2, min(4, len(computes) - 2))))
    say(f"\n=== faults, seed {seed}: {count} servers on {', '.join(sorted(incident.victims))}")
    incident.boot(count)
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
    assert result.asked and sum(result.faults.values()) > SHARE / 2 * result.asked, "the agents did not ask through the proxy"
