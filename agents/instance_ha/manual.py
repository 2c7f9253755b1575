"""The manual pages, from the parameter table and the command line's parser: python3 -m instance_ha.manual DIRECTORY"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from . import __version__, metadata, params

SEE = "instance-ha(8), fence_nova(8), ocf_openstack_NovaEvacuate(7), crm_mon(8), pcs(8), crm(8)"
FENCE_ACTIONS = (
    ("off", "Store the fencing record, then mark the host down in Nova, as far as Nova can be had within nova_timeout. "
            "Never fails because Nova is away."),
    ("on", "Let the node in when its evacuation is over; fail at once until then. Pacemaker calls it when the node joins (unfencing)."),
    ("status", "0: Nova has the service up; 2: it is down; 1: Nova cannot be asked."),
    ("monitor", "0 when Nova can be asked."),
    ("list, list-status", "The compute hosts."),
    ("validate-all", "Whether the parameters are complete; nothing is contacted."),
    ("metadata", "The agent's description as XML."),
)
OCF_ACTIONS = (
    ("start, stop", "Start and end the worker. stop always succeeds, whatever state Nova is in."),
    ("monitor", "0: all is well; 190: the worker runs, and its reason says what a person should look at; 7: not running; "
                "1: the worker has died or is stuck. At check level 10 Nova is asked too."),
    ("reload-agent", "Give the worker its new parameters."),
    ("validate-all", "Whether the parameters are complete; at check level 10 Nova is asked with them."),
    ("meta-data", "The agent's description as XML."),
)
EXIT_CODES = (("0", "All that was asked is so."), ("1", "Some of it is not; what, is on standard output or standard error."),
              ("2", "Nothing was tried; the reason is on standard error."))


def escape(text: str) -> str:
    """Text as roff takes it for what it is."""
    lines = text.replace("\\", "\\e").replace("-", "\\-").splitlines()
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in lines)


def page(name: str, section: int, short: str, parts: Iterable[str]) -> str:
    """A whole page."""
    head = f'.TH {name.upper()} {section} "" "instance-ha {__version__}" "Instance HA for OpenStack"\n.SH NAME\n{escape(name)} \\- {escape(short)}\n'
    return head + "".join(parts) + f".SH SEE ALSO\n{escape(SEE)}\n"


def chapter(title: str, text: str) -> str:
    return f".SH {title}\n{escape(text)}\n"


def items(pairs: Iterable[tuple[str, str]]) -> str:
    return "".join(f".TP\n.B {escape(term)}\n{escape(text)}\n" for term, text in pairs)


def fence_page() -> str:
    return page("fence_nova", 8, metadata.FENCE_SHORT, [
        chapter("DESCRIPTION", metadata.FENCE_LONG), chapter("ACTIONS", "").rstrip() + "\n" + items(FENCE_ACTIONS),
        chapter("PARAMETERS", "Those of every fence agent (plug, delay, verbose, ...), and these; with dashes on the command line."),
        items((param.name, metadata.about(param)) for param in params.of(params.FENCE)),
    ])


def ocf_page() -> str:
    return page("ocf_openstack_NovaEvacuate", 7, metadata.OCF_SHORT, [
        chapter("DESCRIPTION", metadata.OCF_LONG), chapter("ACTIONS", "").rstrip() + "\n" + items(OCF_ACTIONS),
        chapter("PARAMETERS", "").rstrip() + "\n" + items((param.name, metadata.about(param)) for param in params.of(params.OCF)),
    ])


def command_page() -> str:
    from .cli import make_parser

    parser = make_parser()
    parts = [chapter("SYNOPSIS", "instance-ha [OPTION...] COMMAND ..."), chapter("DESCRIPTION", parser.description or ""),
             ".SH OPTIONS\n", items(_options(parser))]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            parts.append(".SH COMMANDS\n")
            for name, sub in action.choices.items():
                parts.append(f".SS {escape(name)}\n{escape(_sentence(helps.get(name, '')))}\n" + items(_options(sub)))
    return page("instance-ha", 8, "see, check and evacuate OpenStack compute hosts on a Pacemaker cluster", [
        *parts, ".SH EXIT STATUS\n", items(EXIT_CODES)])


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _options(parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    found = []
    for action in parser._actions:
        if isinstance(action, (argparse._HelpAction, argparse._SubParsersAction)):
            continue
        value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper() if action.nargs != 0 else "")
        name = ", ".join(action.option_strings) + (f" {value}" if value and action.option_strings else "" if action.option_strings else str(value))
        found.append((name, (action.help or "").replace("%%", "%")))
    return found


PAGES = {"man8/fence_nova.8": fence_page, "man7/ocf_openstack_NovaEvacuate.7": ocf_page, "man8/instance-ha.8": command_page}


def main(argv: list[str]) -> int:
    """Write the pages below a directory."""
    if len(argv) != 2:
        print("usage: python3 -m instance_ha.manual DIRECTORY", file=sys.stderr)
        return 2
    for name, make in PAGES.items():
        path = Path(argv[1]) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
