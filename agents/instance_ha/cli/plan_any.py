"""instance-ha plan --any N: which N hosts this cloud can lose, and what is missing for the others."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ..demand import BASIC
from ..engine.limits import Failed, held
from ..engine.selection import Policy
from ..errors import ConfigurationError
from ..model import CONFIRMED, Aggregate, Record, Service
from ..planning.fit import amount_of
from ..planning.loss import Lost, living
from ..planning.survey import CUT, Survey
from ..planning.worst import Loss, combinations, hosts_missing, loss_of
from .common import ALL_DONE, SOME_LEFT, print_rows

COLUMNS = ("Hosts", "Moving", "Left", "Servers", "MissingVCPU", "MissingMiB", "MissingGiB", "MissingHosts", "Stay")
SHOWN = 20   # combinations in a table, the worst
NAMED = 5    # servers that a table names
TOO_LARGE = "no such host helps"


def hosts_of(services: Sequence[Service], number: int) -> list[str]:
    """The hosts that can be lost: those that are up. Raises ConfigurationError unless some remain."""
    hosts = sorted(s.host for s in services if s.binary == "nova-compute" and s.up and not s.forced_down)
    if not 1 <= number < len(hosts):
        raise ConfigurationError(f"--any {number}: it has to be at least 1 and less than the {len(hosts)} compute hosts that are up")
    return hosts


def why_held(hosts: Iterable[str], services: Sequence[Service], racks: Sequence[Aggregate], policy: Policy) -> str:
    """Why the evacuation of these hosts would wait for a person, "" for no reason."""
    failed = [Failed(host, host, Record(host, CONFIRMED, "plan")) for host in hosts]
    return next(iter(held(failed, services, racks, policy.threshold).values()), "")


def report(survey: Survey, lost: tuple[Sequence[str], int], policy: Policy, staying: Iterable[str], how: str) -> int:
    """Print a line a combination of hosts, the worst first. `lost` are the hosts that can be lost, and how many at once;
    `staying` has the host of each protected server that its state keeps from being moved. Exit code 1 when any combination
    leaves a protected server."""
    hosts, number = lost
    stay, weight = Counter(staying), Counter(mover.host for mover in survey.cloud.movers)
    tried, total = combinations(hosts, number, weight)
    losses = sorted((loss_of(survey.cloud, one, policy.most_at_once(living(survey.cloud, one))) for one in tried),
                    key=lambda loss: (-loss.most, -loss.fewest, -loss.move, loss.hosts))
    kept = {loss.hosts: sum(stay[host] for host in loss.hosts) for loss in losses}
    like, capacity = survey.largest(hosts)
    table = how == "table"
    rows = [_row(loss, kept[loss.hosts], capacity, table) for loss in (losses[:SHOWN] if table else losses)]
    print_rows(COLUMNS, rows, how)
    _say(losses, total, number, like, capacity)
    waiting = {loss.hosts: why for loss in losses if (why := why_held(loss.hosts, survey.cloud.services, survey.cloud.aggregates, policy))}
    if waiting:
        print(f"instance-ha: {len(waiting)} of {len(losses)} combinations would wait for a person: {next(iter(waiting.values()))}", file=sys.stderr)
    if survey.cut:
        print(f"instance-ha: not counted: {CUT}", file=sys.stderr)
    return SOME_LEFT if any(loss.most or kept[loss.hosts] for loss in losses) else ALL_DONE


def _row(loss: Loss, stay: int, capacity: Mapping[str, int], short: bool) -> tuple[str, ...]:
    names = [mover.server.name for part in loss.left for mover in part.movers]
    more = len(names) - NAMED if short else 0
    left = str(loss.most) if loss.most == loss.fewest else f"{loss.fewest} to {loss.most}"
    missing = _missing(loss.left)
    return (", ".join(loss.hosts), str(loss.move), left, ", ".join(names[:NAMED] if more > 0 else names) + (f" and {more} more" if more > 0 else ""),
            *(str(missing[key]) for key in BASIC), _hosts(loss.left, capacity), str(stay))


def _missing(left: Iterable[Lost]) -> Counter[str]:
    total: Counter[str] = Counter()
    for part in left:
        total.update(part.demand.amounts)
    return total


def _hosts(left: Sequence[Lost], capacity: Mapping[str, int]) -> str:
    count = hosts_missing(left, capacity)
    return TOO_LARGE if count is None else str(count)


def _say(losses: Sequence[Loss], total: int, number: int, like: str, capacity: Mapping[str, int]) -> None:
    """What the table means, in a sentence or two."""
    if len(losses) < total:
        print(f"instance-ha: {len(losses)} of {total} combinations of {number} hosts were tried: those of the hosts with the most servers, "
              "and others by lot", file=sys.stderr)
    bad = [loss for loss in losses if loss.most]
    what = "host" if number == 1 else f"{number} hosts"
    if not bad:
        print(f"instance-ha: any {what} may die: all that is protected and can be moved finds a host", file=sys.stderr)
        return
    missing = _missing(bad[0].left)
    words = ", ".join(amount_of(key, missing[key]) for key in sorted(missing))
    count = _hosts(bad[0].left, capacity)
    print(f"instance-ha: {len(bad)} of {len(losses)} combinations leave something over; the worst, {', '.join(bad[0].hosts)}, up to {bad[0].most} "
          f"servers: they take {words}; hosts like {like} that are missing: {count}", file=sys.stderr)
