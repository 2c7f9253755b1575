"""The laboratory's command line: python3 -m tests.lab COMMAND."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import ModuleType

from tests.lab import bmc, cluster, network
from tests.lab import node as machine
from tests.lab.common import CLOUD, LabError, Size, in_netns, say


def main() -> int:
    args = _parser().parse_args()
    if os.geteuid():
        say("The laboratory makes namespaces and mounts: run it as root.")
        return 1
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        return args.work(args) or 0
    except LabError as error:
        say(f"lab: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m tests.lab", description="A real Pacemaker cluster and a real Nova on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, work: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(work=work)
        return sub

    sub = command("up", _up, "Bring the laboratory up.")
    sub.add_argument("--small", action="store_true", help="2 controllers and 2 computes")
    sub.add_argument("--controllers", type=int, metavar="N", help="3 unless told")
    sub.add_argument("--computes", type=int, metavar="N", help="3 unless told")
    sub.add_argument("--members", action="store_true", help="computes are full members instead of Pacemaker Remote nodes")
    sub.add_argument("--no-cloud", action="store_true", help="no OpenStack")
    command("down", _down, "Take everything down; nothing is left running.")
    command("status", _status, "Say what is on.")
    command("install", _install, "Install what the laboratory needs.")
    sub = command("power", _power, "Switch a node as if by its power cord.")
    sub.add_argument("state", choices=("on", "off", "status"))
    sub.add_argument("node")
    for name, work, text in (
        ("freeze", machine.freeze, "Stop every process of a node."),
        ("thaw", machine.thaw, "Let a frozen node run on."),
    ):
        sub = command(name, lambda args, work=work: work(cluster.find(args.node)), text)
        sub.add_argument("node")
    sub = command("cable", _cable, "Pull a node's network cable, or put it back.")
    sub.add_argument("node")
    sub.add_argument("state", choices=("on", "off"))
    sub = command("bmc", _bmc, "Switch a node's baseboard controller.")
    sub.add_argument("node")
    sub.add_argument("state", choices=("on", "off"))
    sub = command("exec", _exec, "Run a command inside a node.")
    sub.add_argument("node")
    sub.add_argument("argv", nargs=argparse.REMAINDER, metavar="CMD")
    sub = command("service", _service, "Start, stop, kill, freeze or thaw a service of OpenStack.")
    sub.add_argument("how", choices=("start", "stop", "kill", "freeze", "thaw"))
    sub.add_argument("name")
    sub = command("cloud", _cloud, "Run a command in the laboratory's network with the cloud's admin credentials.")
    sub.add_argument("argv", nargs=argparse.REMAINDER, metavar="CMD")
    return parser


def _up(args: argparse.Namespace) -> None:
    default = 2 if args.small else 3
    wanted = Size(
        default if args.controllers is None else args.controllers, default if args.computes is None else args.computes, args.members,
    )
    if wanted.controllers < 1 or wanted.computes < 0 or wanted.controllers > 9 or wanted.computes > 99:
        raise LabError("a laboratory has 1 to 9 controllers and 0 to 99 computes")
    if cluster.is_up():
        raise LabError("the laboratory is up; take it down with: python3 -m tests.lab down")
    began = time.monotonic()
    _install(args)
    try:
        network.up()
        cluster.keep_size(wanted)  # before both sides: what they start asks it what runs the guests
        _both(lambda stopped: cluster.up(wanted, stopped), None if args.no_cloud else lambda: _cloud_module().up(wanted))
    except BaseException:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it running
        say("cleaning up")
        _all_down()
        raise
    say(f"{time.monotonic() - began:5.1f} s  the laboratory is up")


def _both(nodes: Callable[[threading.Event], None], cloud: Callable[[], None] | None) -> None:
    """The cluster and the cloud side by side; this thread gets the signals, so it does what takes longest."""
    stopped, finished = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            nodes(stopped)
        except BaseException as error:
            errors.append(error)
        finally:
            finished.set()

    threading.Thread(target=work).start()
    try:
        if cloud:
            cloud()
        finished.wait()  # not join(): in Python 3.11 a thread whose join was interrupted passes for ended
    finally:
        stopped.set()
        finished.wait()
    if errors:
        raise errors[0]


def _down(_args: argparse.Namespace) -> None:
    began = time.monotonic()
    _all_down()
    say(f"{time.monotonic() - began:5.1f} s  the laboratory is down")


def _all_down() -> None:
    """The cloud goes even when a node refuses to, and the network last."""
    try:
        _both(lambda _stopped: cluster.nodes_off(), (lambda: _cloud_module().down()) if CLOUD.exists() else None)
    finally:
        network.down()


def _status(_args: argparse.Namespace) -> None:
    names, dc = cluster.online()
    for node in cluster.size().nodes:
        power = "frozen" if machine.is_frozen(node) else "on" if machine.is_on(node) else "off"
        words = [
            f"{node.name:8} {node.address:13} power {power:7}",
            f"cable {'in' if network.has_link(node) else 'out':4}",
            f"bmc {'on' if bmc.is_on(node) else 'off':4}",
            "online" if node.name in names else "offline",
            "DC" if node.name == dc else "",
        ]
        print(" ".join(words).rstrip())
    if (CLOUD / "adminrc").exists():
        for name, answers in _cloud_module().status().items():
            print(f"{name:22} {'up' if answers else 'down'}")


def _power(args: argparse.Namespace) -> int:
    node = cluster.find(args.node)
    if args.state == "status":
        print("on" if machine.is_on(node) else "off")
        return 0
    (machine.boot if args.state == "on" else machine.power_off)(node)
    return 0


def _cable(args: argparse.Namespace) -> None:
    machine.cable(cluster.find(args.node), args.state == "on")


def _bmc(args: argparse.Namespace) -> None:
    (bmc.start if args.state == "on" else bmc.stop)(cluster.find(args.node))


def _exec(args: argparse.Namespace) -> None:
    terminal = {"TERM": os.environ.get("TERM", "dumb")}
    argv = machine.enter(cluster.find(args.node), args.argv or ["/bin/bash", "-l"], terminal)
    os.execvp(argv[0], argv)


def _service(args: argparse.Namespace) -> None:
    cloud = _cloud_module()
    if args.how == "start":
        cloud.start(args.name)
    else:
        cloud.stop(args.name, "term" if args.how == "stop" else args.how)


def _cloud(args: argparse.Namespace) -> int:
    settings = CLOUD / "adminrc"
    if not settings.exists():
        raise LabError("there is no cloud; bring the laboratory up without --no-cloud")
    argv = in_netns(["/bin/sh", "-c", f'set -a; . {shlex.quote(str(settings))}; exec "$@"', "-", *(args.argv or ["/bin/bash"])])
    os.execvp(argv[0], argv)


def _install(_args: argparse.Namespace) -> None:
    from tests.lab import guest_image, install

    guest_image.check()
    install.install()
    guest_image.install_all()


def _cloud_module() -> ModuleType:
    from tests.lab import cloud

    return cloud


if __name__ == "__main__":
    sys.exit(main())
