"""instance-ha report: what happened in one incident, as a page or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from typing import Any

from ..errors import ConfigurationError, HostError
from ..incident import AGAIN, Incident, newest_first
from ..reporting import chronicle
from ..reporting.page import page
from .common import ALL_DONE, connect
from .history import known

LAST = "last"
SOME = 5        # incidents that one sentence names


def add(commands: Any) -> None:
    text = "what happened in one incident, as one HTML page or as JSON"
    parser = commands.add_parser("report", help=text, description=text)
    parser.add_argument("incident", metavar="INCIDENT", help="its id, as instance-ha history shows it, or the beginning of it; or: last")
    parser.add_argument("-o", "--output", metavar="FILE", help="where to; default: standard output")
    parser.add_argument("-f", "--format", choices=("html", "json"), default="html")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write it. Exit code 2 when there is no such incident, or none can be read. Where Nova cannot be asked, the page says so."""
    nova, values = connect(args)
    incidents = known(values)
    one = choose(args.incident, newest_first(incidents))
    found = chronicle.gather(nova, one, end_of(one, incidents.values()))
    text = page(found, time.time()) if args.format == "html" else json.dumps(chronicle.as_data(found), indent=1) + "\n"
    if not args.output:
        print(text, end="")
        return ALL_DONE
    try:
        with open(args.output, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise HostError(f"{args.output} cannot be written: {error.strerror}") from None
    print(args.output, file=sys.stderr)
    return ALL_DONE


def end_of(one: Incident, incidents: Iterable[Incident]) -> int | None:
    """The highest id of a migration that may belong to an incident: what Nova knew when the next one of the host began. None when there
    is no next one. One that began while this one went on, the host being fenced again, has the same beginning and is the same evacuation;
    ids alone do not tell that: Nova forgets those of deleted servers, and every incident may begin at the same."""
    goes_on = one
    for other in sorted(incidents, key=lambda other: other.recorded):
        if other.node != one.node or other.recorded <= one.recorded or other.baseline is None:
            continue
        if goes_on.end != AGAIN or other.baseline != one.baseline:
            return other.baseline
        goes_on = other
    return None


def choose(word: str, incidents: list[Incident]) -> Incident:
    """The incident that is meant, of those that are known, newest first. Raises ConfigurationError."""
    if not incidents:
        raise ConfigurationError("no incident is remembered in this cluster")
    found = [one for one in incidents if one.id == word] or [one for one in incidents if one.id.startswith(word)]
    if word == LAST:
        found = incidents[:1]
    if len(found) == 1:
        return found[0]
    some = ", ".join(f"{one.id} ({one.node})" for one in (found or incidents)[:SOME])
    raise ConfigurationError(f"{word!r} is the beginning of several incidents: {some}" if found else
                             f"there is no incident {word!r}; the newest are {some}")
