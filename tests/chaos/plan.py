"""Pure: what one round of chaos does and when. A seed and a round's number give the same plan every time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

DEATHS = ("power", "power", "cable", "freeze", "remoted")
SERVICES = ("keystone", "nova-api", "nova-conductor", "nova-scheduler", "placement", "rabbitmq", "mariadb")
FREEZABLE = ("keystone", "nova-api", "placement")
TROUBLES = ("service", "service", "freeze_service", "kill_worker", "kill_worker", "controller", "bmc", "fail_spawn", "spawn_delay",
            "cleanup", "by_hand", "users", "destination", "dies_again", "tenant")
LATEST = 25.0                # seconds after the first death until which something may begin
LASTS = (5.0, 30.0)


@dataclass(frozen=True)
class Act:
    """Something that is done `at` seconds after the round's begin, to `what`, and undone `lasts` seconds later. With `middle`
    the seconds count from the first request to evacuate a server, with `over` from the end of the evacuation."""

    at: float
    name: str
    what: str = ""
    lasts: float = 0.0
    middle: bool = False
    over: bool = False

    def __str__(self) -> str:
        return f"{self.at:5.1f} s  {self.name} {self.what}" + (f" for {self.lasts:.0f} s" if self.lasts else "")


@dataclass(frozen=True)
class Plan:
    """A round: which hosts die, how many servers are on them, and everything that is done."""

    victims: tuple[str, ...]
    servers: int
    acts: tuple[Act, ...]


def plan(seed: int, number: int, computes: Sequence[str]) -> Plan:
    """The plan of a round. At least two compute hosts are left whatever is drawn."""
    chance = random.Random(f"{seed}-{number}")
    victims = tuple(chance.sample(computes, chance.choice((1, 1, 1, 2))))
    acts = [Act(0.0 if n == 0 else chance.uniform(0, 15), chance.choice(DEATHS), host) for n, host in enumerate(victims)]
    troubles = chance.sample(TROUBLES, chance.choice((0, 1, 1, 2, 2, 3)))
    for name in troubles:
        at, lasts = chance.uniform(0, LATEST), chance.uniform(*LASTS)
        service, frozen, count = chance.choice(SERVICES), chance.choice(FREEZABLE), chance.randint(1, 5)
        if name == "destination" and len(victims) > 1:
            continue
        others = [host for host in computes if host not in victims]
        acts.append({
            "service": Act(at, name, service, lasts), "freeze_service": Act(at, name, frozen, lasts), "kill_worker": Act(at, name),
            "controller": Act(at, name, "worker"), "bmc": Act(0.0, name, victims[0], min(lasts, 15.0)), "fail_spawn": Act(0.0, name, "", lasts),
            "spawn_delay": Act(0.0, name, str(count), lasts + 20), "cleanup": Act(at, name), "by_hand": Act(at + 8, name, victims[0]),
            "users": Act(at, name, victims[0]), "destination": Act(at + 8, "power", chance.choice(others)),
            "dies_again": Act(at + 12, "power", victims[0]), "tenant": Act(-1.0, "forge_again", victims[0], lasts + 60),
        }[name])
    return Plan(victims, chance.randint(6, 10), tuple(sorted(acts, key=lambda act: act.at)))
