"""A host that may be running its servers is never evacuated: one worker after the other, against made-up lives of one host.

A timeline says what befalls the host. From it follows what the CIB, Pacemaker's fencing history and Nova show, and what is true: it
lives if it was switched on since its last fencing and its nova-compute has run since then, so that guests may run. No evacuation is
asked for while it lives; and once it has died, with everybody honest, it is evacuated.

By design nobody can tell these, and they do not count:
- since it was switched on, its nova-compute has been heard at most once, or only within LATER seconds (and what the clocks differ by) of
  its fencing or of its mark in Nova, made while it was dead: what Nova knows is what it knows of a dead host;
- nothing holds its nova-compute back, and it joins the cluster while it is evacuated: it is only known to be back by two reports.
INSTANCE_HA_LIVES sets how many lives are tried.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from instance_ha import cluster as door
from instance_ha import fence, params
from instance_ha.cluster import Cluster
from instance_ha.engine import again, entry, marking, missed
from instance_ha.engine.context import Context
from instance_ha.engine.proof import LATER
from instance_ha.engine.pulse import SURE
from instance_ha.engine.selection import Policy
from instance_ha.engine.worker import Worker
from instance_ha.errors import InstanceHaError
from instance_ha.nova import MICROVERSION, Nova
from instance_ha.process import Outcome
from keystoneauth1 import adapter, session

from tests.unit.little_nova import Auth
from tests.unit.test_adversary_ends import Kept, asked
from tests.unit.test_missed import FENCED, HISTORY, ONLINE
from tests.unit.test_stayed import Cloud

LIVES = int(os.environ.get("INSTANCE_HA_LIVES", "10"))
BEGIN = 1795800000
SKEW = 100.0           # by which clocks may differ
WITHIN = 90            # turns of 5 s within which a dead host is evacuated
MEMBER = ('<node_state id="3" uname="cmp-1" in_ccm="{}" crmd="{}" crm-debug-origin="{}" join="{}" expected="{}"/>')
REBOOT = '<fence_event action="reboot" target="cmp-1" status="success" completed="{}"/>'


def text_of(when: float, form: str = "%Y-%m-%dT%H:%M:%S.000000") -> str:
    return time.strftime(form, time.gmtime(when))


class Direct(requests.adapters.BaseAdapter):
    """Asks a little Nova without a socket."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__()
        self.cloud, self.count = cloud, 0

    def send(self, request: Any, *_: Any, **__: Any) -> requests.Response:
        self.count += 1
        name, answer = f"req-{self.count:08x}", requests.Response()
        body = json.loads(request.body) if request.body else None
        answer.status_code, found = self.cloud.answer(request.method, request.path_url, body, name)
        answer.raw = io.BytesIO(b"" if found is None else json.dumps(found).encode())
        answer.headers["x-openstack-request-id"], answer.headers["Content-Type"] = name, "application/json"
        answer.request, answer.url = request, request.url
        return answer

    def close(self) -> None:
        pass


class Sky(Cloud):
    """A Nova whose clock is the life's, and which notes what was asked while the host lived."""

    def __init__(self, life: Life) -> None:
        super().__init__()
        self.server.shutdown()
        self.server.server_close()
        self.life = life
        wires = requests.Session()
        wires.mount("http://", Direct(self))
        client = adapter.Adapter(session.Session(Auth("http://nova"), session=wires), service_type="compute", default_microversion=MICROVERSION,
                                 connect_retries=0)
        self.nova = Nova(client, client, client)

    def answer(self, method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        life = self.life
        for one in self.services:
            if one["host"] != "cmp-1":
                one["updated_at"] = text_of(life.now - life.now % 10 + life.skew)
        own = self.service("cmp-1")
        own["state"] = "down" if own["forced_down"] or life.now - life.heard > 60 else "up"
        if method == "PUT":
            own["updated_at"] = text_of(life.now + life.skew)
            life.marked = life.now if body and body.get("forced_down") and not life.lives else life.marked
        life.evacuations += bool(body and "evacuate" in body)
        if body and ("evacuate" in body or body.get("forced_down")) and life.lives and not life.nobody_can_tell():
            life.wrong.append(f"{method} {path} at {life.now - BEGIN:g} s")
        return super().answer(method, path, body, request)


class Life(Kept):
    """One host, and what is shown of it. `heard` is when Nova last got a report of its nova-compute, `reports` how many it got since it was
    switched on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, remote: bool, gated: bool, skew: float) -> None:
        super().__init__(ONLINE, "", remote)
        self.gated, self.skew = gated, skew
        self.now, self.heard, self.marked, self.fenced = float(BEGIN), float(BEGIN), float("-inf"), float("-inf")
        self.power = self.runs = self.lives = self.member = self.link = self.may_start = True
        self.reports, self.evacuations = 2, 0
        self.mark, self.done = "", [BEGIN - 90000.0]         # and when its fencings ended, newest first
        self.wrong: list[str] = []
        self.saved = ("", "")
        self.sky = Sky(self)
        self.sky.boot("s1", "web")
        clock = SimpleNamespace(time=lambda: self.now, gmtime=lambda: time.gmtime(self.now), strftime=time.strftime, monotonic=lambda: self.now)
        for module in (again, marking, missed, fence):
            monkeypatch.setattr(module, "time", clock)
        monkeypatch.setattr(door, "run", self)
        monkeypatch.setattr(fence.credentials, "connect", lambda values: self.sky.nova)
        self.number = 0
        self.new_worker()
        self.show()

    def __call__(self, argv: list[str], timeout: float) -> Outcome:
        if argv[0] == "stonith_admin" and "--list" not in argv:
            return Outcome(0, HISTORY.format("".join(REBOOT.format(text_of(when, "%Y-%m-%d %H:%M:%SZ")) for when in self.done)), "")
        return super().__call__(argv, timeout)

    def show(self) -> None:
        """How Pacemaker's status section has the node."""
        if self.remote:
            self.state = ONLINE if self.member else FENCED.replace("1795559437", self.mark or "0")
        elif self.member:
            self.state = MEMBER.format("true", "online", "do_update_resource", "member", "member")
        else:
            self.state = MEMBER.format("false", "offline", "send_stonith_update" if self.mark else "post_cache_update", "down", "down")

    def new_worker(self) -> None:
        self.number += 1
        self.worker = Worker(Context(Cluster(), self.sky.nova, Policy(image_disks="evacuate"), f"w{self.number}", clock=lambda: self.now))

    def nobody_can_tell(self) -> bool:
        known = max(self.fenced, self.marked) + LATER + SKEW
        return self.reports < 2 or self.heard <= known or (not self.gated and self.member and self.reports < SURE + 1)

    def tick(self, seconds: float) -> None:
        """Let time pass, and a worker take its turn."""
        self.now += seconds
        if self.power and self.member and not self.may_start:      # unfencing
            try:
                self.may_start = entry.let_in(Cluster(), Cluster().view(), "cmp-1")[0]
            except InstanceHaError:
                self.may_start = False
        if self.gated and self.member:
            self.runs = self.power and self.may_start and not self.held
        if self.power and self.runs:
            self.lives = True
            for row in [row for row in self.sky.migrations if row["status"] == "done"]:
                row["status"] = "completed"          # it removes what has left it
            if self.link and self.now - self.heard >= 10:
                self.heard, self.reports = self.now, self.reports + 1
                self.sky.service("cmp-1")["updated_at"] = text_of(self.now + self.skew)
        for row in [row for row in self.sky.migrations if row["status"] == "accepted"]:
            self.sky.move(row["instance_uuid"], "done", "cmp-3")
        self.worker.turn()

    def run(self, turns: int, seconds: float = 5.0) -> None:
        for _ in range(turns):
            self.tick(seconds)

    def run_until(self, turns: int, over: Callable[[], bool]) -> None:
        """Take as many turns at most."""
        for _ in range(turns):
            if over():
                break
            self.tick(5.0)

    # What befalls it

    def is_fenced(self, recorded: bool = True, marked: bool = True) -> None:
        """By its devices: fence_nova's part comes when its power is off."""
        self.power = self.runs = self.lives = self.member = self.may_start = False
        self.reports, self.fenced = 0, self.now
        if recorded:
            values = params.resolve(params.of(params.FENCE), {"cloud": "x", "quick_evacuate_level": "3"})
            agent = fence.Agent(values, "cmp-1", "", ",")
            agent.off()
            if marked:
                agent._mark_down(Cluster().view().records["cmp-1"])
        self.done.insert(0, self.now)
        self.mark = str(int(self.now))
        self.show()

    def joins(self) -> None:
        self.power, self.member, self.mark = True, True, ""
        self.runs = self.runs or not self.gated
        self.show()

    def runs_outside(self) -> None:
        """A person has switched it on and started nova-compute; Pacemaker does not reach it."""
        if not self.member:
            self.power = self.runs = True

    def leaves(self) -> None:
        """Its cluster software is stopped cleanly: no fencing, no mark."""
        if self.member:
            self.member, self.mark = False, ""
            self.show()

    def befall(self, what: str) -> None:
        service = self.sky.service("cmp-1")
        changes: dict[str, dict[str, Any]] = {
            "forced down": {"forced_down": True}, "forced up": {"forced_down": False},
            "disabled": {"status": "disabled", "disabled_reason": "broken fan"}, "enabled": {"status": "enabled", "disabled_reason": None}}
        if what in changes:
            service.update(changes[what], updated_at=text_of(self.now + self.skew))
        elif what == "saved":
            self.saved = (self.record, self.held)
        elif what == "restored":
            self.record, self.held = self.saved
        elif what in ("cut off", "heard again"):
            self.link = what == "heard again"
        elif what == "no room":
            self.sky.service("cmp-2")["status"] = self.sky.service("cmp-3")["status"] = "disabled"
        elif what == "room":
            self.sky.service("cmp-2")["status"] = self.sky.service("cmp-3")["status"] = "enabled"
        elif what == "new server":
            if self.lives:
                self.sky.boot(f"s{len(self.sky.servers) + 1}", "more")
        elif what == "history cleaned":
            self.done.clear()
        elif what == "a while":
            self.run(3, 300.0)
        else:
            {"fenced": self.is_fenced, "fenced without a mark": lambda: self.is_fenced(marked=False),
             "confirmed": lambda: self.is_fenced(recorded=False), "joins": self.joins, "runs outside": self.runs_outside,
             "leaves": self.leaves, "new worker": self.new_worker}[what]()


EVENTS = ("fenced", "fenced", "fenced without a mark", "confirmed", "joins", "joins", "runs outside", "runs outside", "leaves", "saved", "restored",
          "restored",
          "cut off", "cut off", "heard again", "new worker", "new worker", "forced down", "forced up", "disabled", "enabled", "no room", "room",
          "new server", "history cleaned", "a while", "a while")
SCENES = (("no room", "fenced"), ("fenced", "saved", "room"), ("joins", "a while", "new server"), ("restored", "restored"),
          ("runs outside", "a while", "cut off", "new worker"), ("room", "new worker"), ("forced up", "enabled", "a while"))
TURNS = st.sampled_from((0, 1, 4, 12, 20))
TIMELINES = st.lists(st.one_of(st.sampled_from(SCENES), st.sampled_from(EVENTS).map(lambda one: (one,))), min_size=3, max_size=9).flatmap(
    lambda scenes: st.tuples(*(st.tuples(st.just(one), TURNS) for scene in scenes for one in scene)))
TRIED = settings(max_examples=LIVES, deadline=None, database=None, derandomize=LIVES < 100, suppress_health_check=list(HealthCheck),
                 report_multiple_bugs=False, phases=[Phase.explicit, Phase.generate, Phase.shrink])


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as one:
        yield one


# What has been found, or is too seldom found, each as it would have been evacuated.
KNOWN = {
    "a restored record, and the rule stops its nova-compute": [
        ("fenced", 1), ("saved", 0), ("room", 12), ("joins", 12), ("a while", 12), ("new server", 0), ("restored", 20),
        ("new worker", 20)],
    "outside the cluster, and cut off when a new worker comes": [
        ("no room", 0), ("fenced", 12), ("runs outside", 4), ("a while", 4), ("cut off", 0), ("new worker", 0), ("room", 12)],
    "a mark of long ago without a record": [
        ("no room", 0), ("fenced", 4), ("runs outside", 4), ("a while", 0), ("forced up", 0), ("enabled", 0), ("a while", 0), ("restored", 0),
        ("room", 0), ("new worker", 0)],
}


@pytest.mark.parametrize("remote", [True, False])
@pytest.mark.parametrize("timeline", KNOWN.values(), ids=list(KNOWN))
def test_a_life_in_which_a_living_host_was_evacuated(patch: pytest.MonkeyPatch, timeline: list[tuple[str, int]], remote: bool) -> None:
    life = Life(patch, remote, True, 0.0)
    for what, turns in timeline:
        life.befall(what)
        life.run(turns)
    life.run(40, 0.5)          # within two reports much can be done
    assert not life.wrong and life.lives


@pytest.mark.parametrize("remote", [True, False])
@pytest.mark.parametrize("how", ["fenced", "fenced without a mark", "confirmed"])
def test_a_dead_host_is_evacuated(patch: pytest.MonkeyPatch, how: str, remote: bool) -> None:
    life = Life(patch, remote, True, 0.0)
    life.run(12)
    life.befall(how)
    life.run_until(WITHIN, lambda: life.evacuations > 0)
    life.run(4)
    assert life.evacuations == 1, (life.record, life.worker.context.health.problems)


@given(timeline=TIMELINES, remote=st.booleans(), gated=st.booleans(), skew=st.sampled_from((0.0, SKEW, -SKEW)))
@TRIED
def test_no_living_host_is_evacuated_and_a_dead_one_is(timeline: Sequence[tuple[str, int]], remote: bool, gated: bool, skew: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        life = Life(patch, remote, gated, skew)
        life.run(3)
        for what, turns in timeline:
            life.befall(what)
            life.run(turns)
        assert not life.wrong, (life.wrong, life.record)
        # Everybody is honest from here, it is back in service, and it dies.
        life.link = True
        for what in ("room", "joins"):
            life.befall(what)
        life.run_until(60, lambda: not life.record)
        if life.record:
            return             # it is not back: a person is told, as other tests see to
        life.befall("forced up")
        life.run(6)
        life.sky.boot("last", "last")
        life.is_fenced()
        life.run_until(WITHIN, lambda: "evacuate" in asked(life.sky, "last"))
        told = life.record, life.worker.context.health.problems
        assert "evacuate" in asked(life.sky, "last"), told
        assert not life.wrong, life.wrong
