"""make demo: a compute node loses its power, its servers come back elsewhere, and the node returns to service. All for real.

With LAB_VIRT=libvirt the guests are real too, and "recovered" is followed by "answers": the guest itself says so.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

from tests.lab import cluster, guests, protect, real_guests, servers, up, watch
from tests.lab import node as machine
from tests.lab.common import LIBVIRT, LabError, Size, say

VICTIM = "cmp-1"
RECOVERY_LIMIT = 120.0
RETURN_LIMIT = 120.0
ANSWER_LIMIT = 120.0
LOOK = 1.0  # each look costs Nova's API a third of a second, which the evacuation lacks
KINDS = {"web-1": "running", "web-2": "running", "web-3": "running", "db-1": "volume-backed", "batch-1": "stopped",
         "batch-2": "stopped", "scratch-1": "opted out"}


@dataclass
class Case:
    """One server of the demonstration."""

    id: str
    name: str
    before: str
    protected: bool
    moved: float | None = None
    answered: float | None = None

    @property
    def should_answer(self) -> bool:
        """Return True if its guest runs before and has to run afterwards."""
        return self.protected and self.before == "ACTIVE"


class Demo:
    """The whole, step by step, with the seconds since the power was cut."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.cases: list[Case] = []
        self.cut = 0.0
        self.phase = time.monotonic()
        self.shown: dict[str, str] = {}
        self.real = size.virt == LIBVIRT

    def run(self) -> int:
        """Exit code 0 when every figure is what it should be."""
        self._up()
        self._boot()
        self.cut = time.time()
        say(f"\n=== {VICTIM} loses its power")
        machine.power_off(cluster.find(VICTIM))
        recovered = self._follow(self._recovered, RECOVERY_LIMIT)
        if self.real and recovered is not None:
            self._follow(self._all_answer, ANSWER_LIMIT)
        after = {key: (server["status"], servers.host_of(server)) for key, server in servers.listed().items()}
        say(f"\n=== {VICTIM} comes back")
        returned = self._follow(self._in_service, RETURN_LIMIT)
        takes = returned is not None and self._takes_again()
        return self._verdict(recovered, returned, takes, after)

    def _done(self, what: str) -> None:
        now = time.monotonic()
        say(f"[{now - self.phase:5.1f} s] {what}")
        self.phase = now

    def _up(self) -> None:
        up.start(self.size)
        self._done("laboratory up: Pacemaker on every node, OpenStack beside it")
        protect.install_agents(self.size)
        self._done("agents installed into the nodes with make install")
        protect.configure(self.size, show=True)
        self._done("cluster configured with pcs, compute hosts in service")

    def _boot(self) -> None:
        running = [name for name, kind in KINDS.items() if kind == "running"]
        stopped = [name for name, kind in KINDS.items() if kind == "stopped"]
        ids = dict(zip(running, servers.boot(running, VICTIM)))
        ids |= dict(zip(stopped, servers.boot(stopped, VICTIM, stopped=True)))
        ids |= dict(zip(["db-1"], servers.boot(["db-1"], VICTIM, volume=True)))
        ids |= dict(zip(["scratch-1"], servers.boot(["scratch-1"], VICTIM, metadata={"evacuable": "false"})))
        servers.boot(["bystander"], "cmp-2")
        found = servers.listed()
        self.cases = [Case(ids[name], name, found[ids[name]]["status"], kind != "opted out") for name, kind in KINDS.items()]
        if self.real:
            running_here = [found[case.id] for case in self.cases if case.before == "ACTIVE"]
            servers.wait_for(lambda: all(map(real_guests.answers, running_here)),
                             "the guests to answer", ANSWER_LIMIT)
        self._done(f"{len(self.cases)} servers on {VICTIM}: " + ", ".join(f"{name} ({kind})" for name, kind in KINDS.items()))

    def _at(self) -> float:
        return time.time() - self.cut

    def _follow(self, over: object, limit: float) -> float | None:
        """Show what changes until `over()` says so; the seconds since the power cut, None when the limit came first."""
        while self._at() < limit + (0 if over == self._recovered else RECOVERY_LIMIT):
            self._show()
            try:
                if over():  # type: ignore[operator]
                    self._show()
                    return self._at()
            except OSError as error:
                say(f"  {error}")
            time.sleep(LOOK)
        return None

    def _show(self) -> None:
        for key, text in [*self._crm_mon(), *self._places()]:
            if self.shown.get(key) != text:
                self.shown[key] = text
                say(f"{self._at():6.1f} s  {text}")

    def _crm_mon(self) -> list[tuple[str, str]]:
        for name in (node.name for node in self.size.nodes if node.kind == "controller"):
            try:
                text = machine.exec_in(cluster.find(name), ["crm_mon", "-1A", "--exclude=failures"], 10).stdout
            except LabError:
                continue
            lines = []
            for line in text.splitlines():
                if re.search(r"evacuation-|UNCLEAN|OFFLINE|pending", line, re.IGNORECASE):
                    words = " ".join(line.replace("*", " ").split())
                    lines.append((f"crm_mon {words.split(':')[0]}", f"crm_mon  {words}"))
            return lines
        return []

    def _places(self) -> list[tuple[str, str]]:
        found = servers.listed()
        places = []
        for case in self.cases:
            server = found.get(case.id)
            if server is None:
                continue
            task = server["OS-EXT-STS:task_state"]
            where, state = servers.host_of(server), server["status"] + (f" ({task})" if task else "")
            if where != VICTIM and case.moved is None and not task and server["status"] == case.before:
                case.moved = self._at()
            places.append((case.id, f"server   {case.name:10} {state} on {where}"))
            if self._answers_now(case, server):
                places.append((f"{case.id} answers", f"guest    {case.name:10} answers on {where}"))
        return places

    def _answers_now(self, case: Case, server: servers.Server) -> bool:
        """Ask the guest of a server that has arrived, until it has answered once."""
        if not self.real or not case.should_answer or case.moved is None:
            return False
        if case.answered is None and real_guests.answers(server):
            case.answered = self._at()
        return case.answered is not None

    def _all_answer(self) -> bool:
        return all(case.answered is not None for case in self.cases if case.should_answer)

    def _recovered(self) -> bool:
        return all(case.moved is not None for case in self.cases if case.protected)

    def _in_service(self) -> bool:
        return watch.in_service(VICTIM)

    def _takes_again(self) -> bool:
        uid = servers.boot(["newcomer"], VICTIM)[0]
        say(f"{self._at():6.1f} s  server   newcomer   ACTIVE on {servers.host_of(servers.show(uid))}")
        return servers.host_of(servers.show(uid)) == VICTIM

    def _verdict(self, recovered: float | None, returned: float | None, takes: bool, after: dict[str, tuple[str, str | None]]) -> int:
        answers = f"{'answers':>9}" if self.real else ""
        print(f"\n{'server':12}{'before':10}{'from':8}{'to':8}{'after':10}{'seconds':>8}{answers}  evacuations")
        requests = servers.evacuations(VICTIM)
        good = recovered is not None and returned is not None and takes
        lost = back = 0
        for case in self.cases:
            status, where = after.get(case.id, ("gone", None))
            count = sum(1 for row in requests if row["instance_uuid"] == case.id)
            right = (where != VICTIM and status == case.before and count == 1) if case.protected else (where == VICTIM and count == 0)
            back += 1 if case.protected and right else 0
            lost += 1 if case.id not in after else 0
            good = good and right
            seconds = f"{case.moved:.1f}" if case.moved is not None else "-"
            answered = f"{case.answered:.1f}" if case.answered is not None else "-"
            answers = f"{answered:>9}" if self.real else ""
            print(f"{case.name:12}{case.before:10}{VICTIM:8}{where or '-':8}{status:10}{seconds:>8}{answers}  {count}"
                  + ("" if case.protected else "  (opted out: stays with its host)"))
        fenced = min((f.end for f in watch.fencings(self.cut) if f.node == VICTIM), default=None)
        first = min((moment for moments in watch.evacuation_requests(self.cut).values() for moment in moments), default=None)
        if fenced and first:
            print(f"\nfrom the end of fencing to the first evacuation request: {first - fenced:.2f} s")
            good = good and first >= fenced  # how soon is told, and is no verdict: this machine may have other work
        twice = len({event["uuid"] for event in guests.twice()})
        good = good and not twice and not lost and fenced is not None and first is not None
        if self.real:
            good = self._print_answers() and good
        protected = sum(1 for case in self.cases if case.protected)
        print(f"demo: {back} of {protected} protected servers recovered in {_seconds(recovered)} s "
              f"(fenced after {_seconds(fenced - self.cut if fenced else None)} s), {twice} twice, {lost} lost; "
              f"{VICTIM} back in service after {_seconds(returned)} s")
        return 0 if good else 1

    def _print_answers(self) -> bool:
        """Print what the guests and their witnesses say. Return True if every guest answers."""
        wanted = [case for case in self.cases if case.should_answer]
        times = [case.answered for case in wanted if case.answered is not None]
        print(f"demo: {len(times)} of {len(wanted)} guests answer where they are now, the last after "
              f"{_seconds(max(times, default=None))} s; asked whether one ran twice: their disks, "
              "the QEMU processes, libvirt's hook")
        return len(times) == len(wanted)


def _seconds(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}"


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if up.is_up():  # and is not this demonstration's to take down
        say("demo: the laboratory is up already; take it down first: make lab-down")
        return 1
    keep = "--keep" in sys.argv
    code = 1
    try:
        code = Demo(Size(member_computes="--members" in sys.argv)).run()
    except (LabError, OSError, subprocess.SubprocessError) as error:
        say(f"demo: {error}")
    except KeyboardInterrupt:
        say("interrupted")
        code, keep = 130, False
    finally:
        if not keep:
            up.take_down()
    return code


if __name__ == "__main__":
    sys.exit(main())
