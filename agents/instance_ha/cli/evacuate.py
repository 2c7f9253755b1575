"""instance-ha evacuate and host-evacuate: by hand, with the worker's own engine."""

from __future__ import annotations

import argparse
import getpass
import os
import re
import secrets
import socket
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from ..cluster import Cluster
from ..engine import decide
from ..engine.evacuation import Evacuation, Prepared
from ..engine.looked import Look
from ..engine.naming import host_of, is_ours, off_hosts
from ..engine.rounds import Rounds, Share
from ..engine.scene import ByHand, Task, Terms, Verdict
from ..engine.selection import policy_from
from ..errors import CloudError, ClusterError, ConfigurationError, HostError
from ..model import ClusterView, Server, claim_of
from ..nova import Nova
from .assurance import Watch, is_off, node_of
from .common import (
    ALL_DONE,
    NOTHING_TRIED,
    SOME_LEFT,
    add_format,
    aggregates,
    check_format,
    connect,
    has_pacemaker,
    print_rows,
    resource_parameters_or_error,
    seconds,
)

_ID = re.compile("(?!detail$)[0-9A-Za-z-]+")
Found = tuple[Cluster, ClusterView]

COLUMNS = ("Server", "Name", "Evacuated", "On", "Reason")
POLL = 1.0
SILENCE_LIMIT = 120.0  # Nova unreachable for so long ends the command


def add(commands: Any) -> None:
    one = commands.add_parser("evacuate", help="evacuate one server from its dead host")
    one.add_argument("server", metavar="SERVER", help="id or name")
    one.add_argument("target", metavar="HOST", nargs="?", help="where to; default: the scheduler chooses")
    one.set_defaults(run=run_server)
    many = commands.add_parser("host-evacuate", help="evacuate every protected server of a dead host")
    many.add_argument("host", metavar="HOST", help="the dead host, by Nova's or Pacemaker's name")
    many.add_argument("--target", metavar="HOST", help="where to; default: the scheduler chooses")
    many.set_defaults(run=run_host)
    for parser in (one, many):
        parser.add_argument("--host-is-off", action="store_true", help="the host is off, I have made sure: do not ask")
        parser.add_argument("--without-cluster", action="store_true", help="this machine's cluster cannot be asked: go on without its guard, "
                            "and without the parameters of its NovaEvacuate")
        parser.add_argument("--timeout", type=seconds, default=1800.0, metavar="SECONDS", help="when to stop following (default: 1800)")
        parser.add_argument("--image-disks", choices=("evacuate", "shared", "leave"), help="what becomes of servers that were made from an image; "
                            "default: the parameter image_disks of this cluster's NovaEvacuate")
        parser.add_argument("--on-shared-storage", action="store_true", help="accepted and without effect: Nova finds out for itself since 2.14")
        parser.add_argument("--password", metavar="P", help="the administrator's new password in each server; - asks for it, or "
                            "reads it from standard input: on the command line everybody on this machine can see it")
        parser.add_argument("--generate-password", action="store_true", help="a new administrator's password for each server, printed at the end")
        add_format(parser)


def run_server(args: argparse.Namespace) -> int:
    nova, values, found = _connect(args)
    # "detail" and the like are Nova's own paths, and no ids.
    server = (nova.server(args.server) if _ID.fullmatch(args.server) else None) or _by_name(nova, args.server)
    if not server.host:
        raise ConfigurationError(f"server {server.name} is on no host; there is nothing to evacuate it from")
    return _run(args, nova, values, found, (server.host, server.id))


def run_host(args: argparse.Namespace) -> int:
    nova, values, found = _connect(args)
    host = host_of(found[1].named(args.host) if found else args.host, values["domain"], nova.services())
    if host is None:
        raise ConfigurationError(f"Nova knows no compute host {args.host!r}; see: instance-ha hosts")
    return _run(args, nova, values, found, (host, None))


def _connect(args: argparse.Namespace) -> tuple[Nova, dict[str, str], Found | None]:
    """Nova, the parameters, and this machine's cluster, None off one. Raises ClusterError when there is one that cannot be asked:
    without it a host that lives may be taken for dead, and a server that is not protected may be moved."""
    if args.without_cluster or not has_pacemaker():
        return (*connect(args, {}), None)
    try:
        nova, values = connect(args, resource_parameters_or_error())
        cluster = Cluster(values["evacuate_attribute"])
        view = cluster.view()
        if not view.quorate:
            raise ClusterError("this part of it has no quorum")
        return nova, values, (cluster, view)
    except (ClusterError, HostError) as error:
        raise ClusterError(f"this machine's cluster cannot be asked: {error}; run it as root on a controller, or, when the whole cluster is "
                           "down for good, with --without-cluster") from None


def _by_name(nova: Nova, name: str) -> Server:
    found = nova.find_server(name)
    if len(found) != 1:
        raise ConfigurationError(f"{len(found)} servers are named {name!r}; give its id" if found else f"there is no server {name!r}")
    return found[0]


def _run(args: argparse.Namespace, nova: Nova, values: dict[str, str], found: Found | None, what: tuple[str, str | None]) -> int:
    """Evacuate a host, and of it one server or all: `what`."""
    host, only = what
    check_format(args.format)
    services = nova.services()
    service = next((s for s in services if s.binary == "nova-compute" and s.host == host), None)
    if service is None:
        raise ConfigurationError(f"Nova knows no compute service on {host!r}")
    if args.target == host:
        raise ConfigurationError(f"{host} cannot be evacuated to itself; give another host, or none")
    if args.target and args.target not in {s.host for s in services if s.binary == "nova-compute" and s.up and s.enabled}:
        raise ConfigurationError(f"{args.target}: no such compute host is up and enabled; see: instance-ha hosts")
    node = node_of(found[1], values["domain"], host, [service]) if found else None
    if not is_off(nova, found, service, node, args.host_is_off):
        return NOTHING_TRIED
    password, racks = _password(args), aggregates(nova)
    if service.up:
        nova.force_down(service, True)
    recorded = is_ours(service) or (found is not None and node is not None and node.name in found[1].records)
    task = Task(host, uuid.uuid4().hex[:8], f"cli-{socket.gethostname().split('.')[0]}.{os.getpid()}")
    if args.image_disks:
        values = {**values, "image_disks": args.image_disks}
    evacuation = Evacuation(nova, task, policy_from(values), racks, ByHand(args.target, only, password, recorded=recorded))
    follower = Follower(evacuation, Watch(found[0] if found else None, node.name if node else ""), values["domain"])
    try:
        broken_off = follower.follow(args.timeout)
    except KeyboardInterrupt:
        broken_off = "interrupted"
    left = _report(args, nova, evacuation, follower.verdicts)
    if broken_off:
        print(f"instance-ha: not followed to the end: {broken_off}; what Nova has accepted goes on. The same command goes on too", file=sys.stderr)
    return SOME_LEFT if left or broken_off else ALL_DONE


def _password(args: argparse.Namespace) -> Callable[[], str] | None:
    """Where a server's new password comes from. Raises ConfigurationError when none is given."""
    if args.generate_password:
        return lambda: secrets.token_urlsafe(12)
    if args.password == "-":       # noqa: S105  it means standard input
        try:
            given = getpass.getpass("New password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
        except EOFError:
            given = ""
        except UnicodeDecodeError:
            raise ConfigurationError("the password is no text in this terminal's encoding; nothing was evacuated") from None
        if not given:
            raise ConfigurationError("no password was given; nothing was evacuated")
        return lambda: given
    return (lambda: args.password) if args.password else None


class Follower:
    """Evacuates by hand, round after round. `verdicts` are the last ones on each server, by its id."""

    def __init__(self, evacuation: Evacuation, guard: Watch, domain: str) -> None:
        self.evacuation, self.guard, self.domain = evacuation, guard, domain
        self.verdicts: dict[str, Verdict] = {}
        self._rounds = Rounds(evacuation.policy, time.monotonic)
        self._prepared: Prepared | None = None
        self._ended = False          # whether the last look showed nothing to do

    def follow(self, timeout: float) -> str:
        """Go on until nothing is under way, for `timeout` seconds at most. Why it came to no end, "" when it did."""
        limit, heard = time.monotonic() + timeout, time.monotonic()
        while time.monotonic() < limit:
            try:
                look = self._look()
                heard = time.monotonic()
            except (CloudError, ClusterError, HostError) as error:
                if time.monotonic() - heard > SILENCE_LIMIT:
                    return str(error)
                print(f"\n{error}; looking again", file=sys.stderr)
            else:
                if self._round(look):
                    return ""
            time.sleep(POLL)
        return f"--timeout of {timeout:g} s is over"

    def _look(self) -> Look:
        """Raises CloudError, ClusterError, HostError."""
        evacuation, guard = self.evacuation, self.guard
        self._prepared = self._prepared or evacuation.prepare()
        services = evacuation.nova.services()
        view = guard.cluster.view() if guard.cluster else None
        service = next((s for s in services if s.binary == "nova-compute" and s.host == evacuation.host), None)
        dead = off_hosts(services, view.records.values(), view.nodes, self.domain) if view else frozenset[str]()
        return evacuation.look(services, Terms(self._prepared.baseline, self._prepared.kept, not guard.is_back(view, service), dead))

    def _round(self, look: Look) -> bool:
        """Act upon what was seen. Whether there was nothing to do any more."""
        evacuation = self.evacuation
        # All claims first: one wait then does for all of them.
        new = [v for v in look.waiting if evacuation.unclaimed(v.server)]
        claimed = [v for v in look.waiting if v not in new]
        share = Share("", evacuation, look, claimed, [*look.chores, *new])
        self._note(look)             # an interruption of what follows has to find what was claimed
        jobs = self._rounds.run([share], {"": look.in_window}, look.still,
                                lambda job: evacuation.act(job[1], look, self.guard.permits))
        self._note(look)
        ended = not jobs and not look.partial and all(v.action in (decide.LEFT, decide.DONE) for v in look.verdicts)
        over, self._ended = ended and self._ended, ended      # twice the same: a list leaves servers out without a word
        _show_progress(evacuation, self.verdicts, over)
        return over

    def _note(self, look: Look) -> None:
        """Keep the verdicts; a server that is not looked at any more has come to its end, or is gone."""
        now = {v.server.id: v for v in look.verdicts}
        kept = {key: v for key, v in self.verdicts.items() if key in self.evacuation.done or v.action == decide.UNLOCK}
        self.verdicts = {**kept, **now}


def _show_progress(evacuation: Evacuation, known: Mapping[str, Verdict], over: bool) -> None:
    if not sys.stderr.isatty():
        return
    total = len([v for v in known.values() if v.protected])
    done = len(evacuation.done)
    bar = "#" * (30 * done // max(total, 1))
    print(f"\r[{bar:<30}] {done}/{total} evacuated", end="\n" if over else "", file=sys.stderr, flush=True)


def _report(args: argparse.Namespace, nova: Nova, evacuation: Evacuation, verdicts: dict[str, Verdict]) -> int:
    """Print a line a server. How many that were to be evacuated are not, as far as Nova can be asked."""
    rows, left = [], 0
    for key, verdict in verdicts.items():
        given = [evacuation.passwords.get(key, "")] if args.generate_password else []
        try:
            server = nova.server(key)
        except CloudError as error:
            left += verdict.protected
            rows.append((key, verdict.server.name, "unknown", "", str(error), *given))
            continue
        why = verdict.reason
        moved = server is not None and server.host not in (None, evacuation.host) and server.vm_state not in (None, "error")
        if server is not None and not moved and evacuation.is_unsent(verdict) and claim_of(server) and not evacuation.unclaimed(server):
            try:
                nova.unlock(key)
            except CloudError as error:
                why = f"{why}; still locked: {error}"
        # The one that was named is wanted elsewhere, whatever the rules say of it.
        wanted = evacuation.by_hand.only is not None or (verdict.protected and server is not None)
        left += 1 if wanted and not moved else 0
        rows.append((key, verdict.server.name, "yes" if moved else "no", server.host or "" if server else "", why, *given))
    if evacuation.by_hand.only is not None and not rows:
        left = 1
        print(f"instance-ha: {evacuation.by_hand.only} is not on {evacuation.host} any more", file=sys.stderr)
    print_rows((*COLUMNS, "Password") if args.generate_password else COLUMNS, rows, args.format)
    return left
