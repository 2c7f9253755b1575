"""The command line `instance-ha`: one file a command."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import signal
import sys
import threading
from collections.abc import Sequence

from .. import __version__
from ..errors import InstanceHaError
from ..logs import clean_handlers
from ..process import open_streams
from ..text import printable, without_password
from . import configure, dismiss, doctor, evacuate, gate, history, hosts, maintenance, plan, release, report, status
from .common import NOTHING_TRIED, Screen, add_cloud_options

COMMANDS = (status, history, report, hosts, plan, doctor, evacuate, release, dismiss, maintenance, gate, configure)


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="instance-ha", description="Instance HA for OpenStack on Pacemaker, by hand.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--debug", action="store_true", help="log every request on stderr")
    add_cloud_options(parser)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit code 0: all that was asked is so; 1: some of it is not; 2: nothing was tried."""
    open_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name may have letters that the terminal's encoding has not.
        sys.stdout.reconfigure(errors="replace")
    with contextlib.redirect_stdout(Screen(sys.stdout)), contextlib.redirect_stderr(Screen(sys.stderr)):
        return _run(argv)


def _interrupt_at(*signals: signal.Signals) -> None:
    """Have these end the command as Ctrl-C does: what was begun and not sent is given back."""
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for one in signals:
            if signal.getsignal(one) == signal.SIG_DFL:        # nohup ignores the end of its terminal
                signal.signal(one, interrupt)


def _run(argv: Sequence[str] | None) -> int:
    args = make_parser().parse_args(argv)
    _interrupt_at(signal.SIGTERM, signal.SIGHUP)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO if args.debug else logging.ERROR, format="%(levelname)s: %(message)s")
    clean_handlers()
    try:
        return int(args.run(args))
    except InstanceHaError as error:
        print(f"instance-ha: {without_password(printable(str(error)))}", file=sys.stderr)
        return NOTHING_TRIED
    except KeyboardInterrupt:
        print("instance-ha: interrupted; what Nova has accepted goes on", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    except OSError as error:
        print(f"instance-ha: {printable(str(error))}", file=sys.stderr)
        return 1
