"""instance-ha plan: what would happen to each server if these hosts died now, and whether it would fit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..engine.evacuation import Evacuation
from ..engine.naming import host_of
from ..engine.scene import Task
from ..engine.selection import MIDDLE, Policy, Ruling, group_of, order_key, policy_from, rank_of
from ..engine.states import ENDS, LEAVE, state_of
from ..errors import CloudError, ConfigurationError
from ..model import Aggregate, Server, Service
from ..nova import Nova
from ..planning import fit
from ..planning.certain import certain
from ..planning.loss import Lost, called, living, lost, space
from ..planning.survey import CUT, Survey
from . import plan_any
from .common import ALL_DONE, SOME_LEFT, add_format, aggregates, connect, print_rows

COLUMNS = ("Order", "Host", "Server", "Name", "Protected", "Rule", "Priority", "Group", "State", "Done", "Ends", "Fits", "Targets", "Why")
UNKNOWN = "unknown"
NAMED = 3   # hosts that Targets names


@dataclass(frozen=True)
class Found:
    """A server of one of the hosts. `left`: why it would not be moved whatever room there is, "" for nothing. `unruled`: whether it is
    protected is not known; it counts as protected."""

    host: str
    server: Server
    ruling: Ruling
    left: str
    unruled: bool = False

    @property
    def moves(self) -> bool:
        return self.ruling.protected and not self.left


def add(commands: Any) -> None:
    parser = commands.add_parser("plan", help="what would happen to each server if these hosts died now, and whether it would fit")
    parser.add_argument("hosts", metavar="HOST", nargs="*", help="by Nova's or Pacemaker's name")
    parser.add_argument("--any", metavar="N", type=int, help="which N hosts can this cloud lose, and what is missing for the others")
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print a line a server, in the order in which they would be evacuated. Exit code 1 when a protected one would be left, or may be."""
    if bool(args.hosts) == (args.any is not None):
        raise ConfigurationError("plan wants the names of hosts, or --any N and no names")
    nova, values = connect(args)
    policy, services, racks = policy_from(values), nova.services(), aggregates(nova)
    for host in sorted(s.host for s in services if s.binary == "nova-compute" and s.forced_down and s.host not in args.hosts):
        print(f"instance-ha: {host} is down already; what is still on it is counted only when it is named", file=sys.stderr)
    if args.any is not None:
        hosts = plan_any.hosts_of(services, args.any)
        found = [one for host in hosts for one in servers_of(nova, host, policy, racks)]
        survey = survey_of(nova, services, racks, policy, found)
        return plan_any.report(survey, (hosts, args.any), policy, [one.host for one in found if one.ruling.protected and one.left], args.format)
    hosts = sorted({_host(name, values["domain"], services) for name in args.hosts})
    found = [one for host in hosts for one in servers_of(nova, host, policy, racks)]
    found.sort(key=lambda one: (not one.ruling.protected, order_key(one.server)))
    try:
        fits = _fits(survey_of(nova, services, racks, policy, found), frozenset(hosts), policy)
    except CloudError as error:
        print(f"instance-ha: whether they would fit is not known: {error}", file=sys.stderr)
        fits = {one.server.id: (UNKNOWN, "", "") for one in found}
    wait = plan_any.why_held(hosts, services, racks, policy)
    if wait:
        print(f"instance-ha: nothing would be evacuated at once: {wait}", file=sys.stderr)
    rows = [_row(number, one, fits) for number, one in enumerate(found, 1)]
    print_rows(COLUMNS, rows, args.format)
    short = any(one.moves and fits[one.server.id][0] not in (fit.SURE, fit.LIKELY) for one in found)
    return SOME_LEFT if short or any(one.unruled or (one.ruling.protected and one.left) for one in found) else ALL_DONE


def servers_of(nova: Nova, host: str, policy: Policy, racks: Sequence[Aggregate]) -> list[Found]:
    """Every server of a host, with what the rules and its state say."""
    engine, found = Evacuation(nova, Task(host, "plan", "plan"), policy, racks), []
    for server in nova.servers_on(host):
        try:
            ruling, unruled = engine.ruling(server), False
        except CloudError as error:
            ruling, unruled = Ruling(True, f"only its image says, and Glance does not tell: {error}"), True
        found.append(Found(host, engine.ordered(server), ruling, _left(server, policy), unruled))
    return found


def survey_of(nova: Nova, services: Sequence[Service], racks: Sequence[Aggregate], policy: Policy, found: Iterable[Found]) -> Survey:
    """What those of them that would move need, and what the other hosts have."""
    moving: dict[str, list[Server]] = {}
    for one in found:
        if one.moves:
            moving.setdefault(one.host, []).append(one.server)
    return Survey(nova, services, racks, moving, policy.reserved_hosts)


def _fits(survey: Survey, hosts: frozenset[str], policy: Policy) -> dict[str, tuple[str, str, str]]:
    """Of each server that moves: whether it fits, where, and why."""
    parts, room = lost(survey.cloud, hosts), space(survey.cloud)
    items = [part.item for part in parts]
    chances, left = fit.chances(items, room, policy.most_at_once(living(survey.cloud, hosts)), certain(items, room))
    spare = called(survey.cloud, hosts)
    if spare:
        print(f"instance-ha: reserved hosts that would be enabled, and are counted: {', '.join(spare)}", file=sys.stderr)
    counts = sorted(sum(len(part.movers) for part in parts if part.item.id in over) for over in left)
    if counts and counts[-1]:
        some = f"{counts[0]} to {counts[-1]}" if counts[0] < counts[-1] else str(counts[0])
        print(f"instance-ha: {some} of {sum(len(part.movers) for part in parts)} servers would be left over for lack of a host", file=sys.stderr)
    if survey.cut:
        print(f"instance-ha: not counted: {CUT}", file=sys.stderr)
    return {mover.server.id: _told(part, chances[part.item.id], mover.blind, survey) for part in parts for mover in part.movers}


def _told(part: Lost, chance: fit.Chance, blind: tuple[str, ...], survey: Survey) -> tuple[str, str, str]:
    word, why = chance.word, []
    if not chance.hosts and not part.item.ways:
        why.append(survey.why_nowhere(part))
    elif word == fit.NO:
        why.append(chance.lack)
    elif word == fit.TIGHT:
        why.append(f"{chance.ways - chance.found} of {chance.ways} ways of placing leave it over; in one, {chance.lack}")
    if word == fit.SURE and blind:
        word = fit.LIKELY
    if blind and word != fit.NO:
        why.append(f"Placement does not know: {', '.join(blind)}")
    if part.rule and word != fit.NO:
        why.append(f"it may only go to {part.rule}")
    more = len(chance.hosts) - NAMED
    return word, ", ".join(chance.hosts[:NAMED]) + (f" and {more} more" if more > 0 else ""), "; ".join(why)


def _row(number: int, one: Found, fits: Mapping[str, tuple[str, str, str]]) -> tuple[str, ...]:
    server, state, protected = one.server, state_of(one.server), one.ruling.protected
    done, ends = (f"left: {one.left}", "") if one.left else (state.way, ENDS[state.was])
    if not protected:
        done, ends = "", ""
    said = UNKNOWN if one.unruled else "yes" if protected else "no"
    return (str(number) if protected else "", one.host, server.id, server.name, said, one.ruling.rule,
            _priority(server), group_of(server), state.name, done, ends, *(fits[server.id] if one.moves else ("", "", "")))


def _priority(server: Server) -> str:
    """The owner's number, after the operator's where there is one."""
    operator, user, _ = rank_of(server)
    return str(-user) if operator == -MIDDLE else f"{-operator}, {-user}"


def _left(server: Server, policy: Policy) -> str:
    state = state_of(server)
    if state.way == LEAVE:
        return state.name
    return f"recover_states does not name {state.word}" if state.word and state.word not in policy.recover else ""


def _host(name: str, domain: str, services: Iterable[Service]) -> str:
    host = host_of(name, domain, services)
    if host is None:
        raise ConfigurationError(f"Nova knows no compute host {name!r}; see: instance-ha hosts")
    return host
