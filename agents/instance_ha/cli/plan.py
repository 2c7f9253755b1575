"""instance-ha plan: what would happen to each server if these hosts died now."""

from __future__ import annotations

import argparse
from typing import Any

from .. import decide
from ..errors import ConfigurationError
from ..evacuation import Evacuation
from ..model import Server
from ..selection import Policy, Ruling, group_of, order_key, policy_from, rank_of
from ..states import ENDS, LEAVE, state_of
from .common import ALL_DONE, SOME_LEFT, add_format, aggregates, connect, print_rows

COLUMNS = ("Order", "Host", "Server", "Name", "Protected", "Rule", "Priority", "Group", "State", "Done", "Ends")


def add(commands: Any) -> None:
    parser = commands.add_parser("plan", help="what would happen to each server if these hosts died now")
    parser.add_argument("hosts", metavar="HOST", nargs="+", help="by Nova's or Pacemaker's name")
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print a line a server, in the order in which they would be evacuated. Exit code 1 when a protected one would be left."""
    nova, values = connect(args)
    policy, services, racks = policy_from(values), nova.services(), aggregates(nova)
    found: list[tuple[str, Server, Ruling]] = []
    for name in args.hosts:
        host = decide.host_of(name, values["domain"], services)
        if host is None:
            raise ConfigurationError(f"Nova knows no compute host {name!r}; see: instance-ha hosts")
        engine = Evacuation(nova, host, "plan", "plan", policy, aggregates=racks)
        found += [(host, server, engine.ruling(server)) for server in nova.servers_on(host)]
    found.sort(key=lambda one: (not one[2].protected, order_key(one[1])))
    rows = [_row(number, *one, policy) for number, one in enumerate(found, 1)]
    print_rows(COLUMNS, rows, args.format)
    return SOME_LEFT if any(row[4] == "yes" and row[-2].startswith("left") for row in rows) else ALL_DONE


def _row(number: int, host: str, server: Server, ruling: Ruling, policy: Policy) -> tuple[str, ...]:
    state = state_of(server)
    done, ends = state.way, ENDS[state.was]
    if state.way == LEAVE:
        done, ends = "left: " + state.name, ""
    elif state.word and state.word not in policy.recover:
        done, ends = f"left: recover_states does not name {state.word}", ""
    if not ruling.protected:
        done, ends = "", ""
    return (str(number) if ruling.protected else "", host, server.id, server.name, "yes" if ruling.protected else "no", ruling.rule,
            str(-rank_of(server)[0]), group_of(server), state.name, done, ends)
