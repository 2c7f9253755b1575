"""instance-ha doctor: will it work tonight?"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ..doctor.finding import Finding, by_weight
from ..doctor.kinds import AREAS, KINDS, LEVELS, UNKNOWN, WARNING
from ..doctor.visit import Report, Visit
from ..errors import ConfigurationError
from .common import ALL_DONE, FORMATS, SOME_LEFT, cloud_values, print_rows

COLUMNS = ("Level", "Finding", "On", "What", "Why", "Mend", "Crmsh")
TEXT, TABLE = "text", "table"


def add(commands: Any) -> None:
    text = "will it work tonight? What is wrong with the cluster, the cloud and this node, why it matters, and what mends it"
    parser = commands.add_parser("doctor", help=text, description=text + ". Only looks.")
    parser.add_argument("--only", metavar="AREA", action="append", choices=AREAS, help=f"one of {', '.join(AREAS)}; may be given again; default: all")
    parser.add_argument("--ignore", metavar="FINDING[=ON]", action="append", default=[],
                        help="leave out what is known and meant, such as host-unprotected=ironic-1; may be given again")
    parser.add_argument("-f", "--format", choices=(TEXT, *FORMATS), default=TEXT, help="how it is printed; table and csv are for machines")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0: no error, and all that was to be looked at could be, whatever warnings there are; 1: not so."""
    ignored = [_ignored(words) for words in args.ignore]
    report = Visit(frozenset(args.only or AREAS), (lambda: cloud_values(args)) if args.os_cloud else None, lambda: cloud_values(args)).look()
    findings = [one for one in by_weight(report.findings) if not any(kind == one.kind and on in (None, one.subject) for kind, on in ignored)]
    if args.format == TEXT:
        print_text(findings)
    elif args.format == TABLE:
        print_rows(COLUMNS[:4], [(one.level, one.kind, one.subject, one.what) for one in findings], args.format)
    else:
        print_rows(COLUMNS, [_row(one, args.format == "csv") for one in findings], args.format)
    for line in summary(report, findings):
        print(line, file=sys.stdout if args.format == TEXT else sys.stderr)
    return ALL_DONE if all(one.level == WARNING for one in findings) else SOME_LEFT


def _ignored(words: str) -> tuple[str, str | None]:
    kind, separator, on = words.partition("=")
    if kind not in KINDS:
        raise ConfigurationError(f"--ignore {words}: there is no finding {kind!r}; docs/operations.md has them all")
    return kind, on if separator else None


def _row(one: Finding, flat: bool) -> Sequence[object]:
    commands = [("\n".join(lines) if flat else list(lines)) for lines in (one.mend.lines, one.mend.crm)]
    return (one.level, one.kind, one.subject, one.what, one.why, *commands)


def print_text(findings: Iterable[Finding]) -> None:
    """A paragraph a finding, for a person at three in the morning."""
    for one in findings:
        print(f"{one.level.upper()}  {one.kind}  ({one.subject})\n  {one.what}\n  {one.why}")
        for line in one.mend.lines:
            print(f"    {line}")
        if one.mend.crm:
            print("  or with crmsh:")
            for line in one.mend.crm:
                print(f"    {line}")
        print()


def summary(report: Report, findings: Sequence[Finding]) -> list[str]:
    """How many findings there are, what was looked at, and what cannot be seen from here."""
    count = Counter(one.level for one in findings)
    counts = [f"{count[level]} {level}{'' if count[level] == 1 or level == UNKNOWN else 's'}" for level in LEVELS]
    lines = [f"{report.here}: {', '.join(counts)}"]
    if report.facts:
        facts, python = report.facts, ".".join(map(str, report.facts.python))
        lines.append(f"{report.here}: instance-ha {facts.version} (sum {facts.fingerprint}) in {facts.library}, Python {python}")
    lines += [f"{report.here}: {source}" for source in report.sources]
    return lines + [f"not seen from {report.here}: {note}" for note in report.notes]
