"""A worker on a cluster whose records do not tell everything: the CIB and Pacemaker's tools as they were seen to answer."""

from __future__ import annotations

import time

import pytest
from instance_ha import cluster as door
from instance_ha.cluster import Cluster
from instance_ha.engine.context import Context
from instance_ha.engine.missed import GRACE, newest_succeeded
from instance_ha.engine.selection import Policy
from instance_ha.engine.worker import Worker
from instance_ha.model import FenceEvent
from instance_ha.process import Outcome

from tests.unit.cibs import changed
from tests.unit.fake import ROW, Fake, root_of, versioned

REMOTE = '<primitive id="cmp-1" class="ocf" type="remote" provider="pacemaker"/>'
FENCED = '<node_state remote_node="true" id="cmp-1" uname="cmp-1" in_ccm="false" node_fenced="1795559437"/>'
ONLINE = '<node_state remote_node="true" id="cmp-1" uname="cmp-1" in_ccm="true" node_fenced="0"/>'
STOPPED = '<node_state id="3" uname="cmp-1" in_ccm="false" crmd="offline" crm-debug-origin="post_cache_update" join="down" expected="down"/>'
HISTORY = '<pacemaker-result><list name="fencing history">{}</list></pacemaker-result>'
EVENT = '<fence_event action="reboot" target="cmp-1" status="{}" completed="{}"/>'
LONG_AGO = "2026-11-25 04:00:00Z"
DEVICES = '<pacemaker-result><list name="Available devices">{}</list></pacemaker-result>'
UP = {"id": "5", "binary": "nova-compute", "host": "cmp-1", "status": "enabled", "state": "up", "forced_down": False, "disabled_reason": None}
OFFLINE = FENCED.replace("1795559437", "0")       # its connection was stopped
MARKED = {**UP, "status": "disabled", "state": "down", "forced_down": True, "disabled_reason": "instance-ha: fenced by Pacemaker (3f9c)"}


def cib(state: str, attribute: str = "", remote: bool = True, power: str = "fence_ipmilan", recorder: str = "fence_nova") -> str:
    kind = "type='remote' id='cmp-1'" if remote else "id='3'"
    pair = f"<nvpair id='r' name='evacuate' value='{attribute}'/>" if attribute else ""
    return f"""<cib have-quorum="1"><configuration><nodes><node {kind} uname="cmp-1"><instance_attributes id="nodes-cmp-1">{pair}
      </instance_attributes></node></nodes><resources>{REMOTE if remote else ""}<primitive id="p" class="stonith" type="{power}"/>
      <primitive id="n" class="stonith" type="{recorder}"/></resources>
      <fencing-topology><fencing-level index="1" devices="p,n" target="cmp-1" id="l"/></fencing-topology></configuration>
      <status>{state}</status></cib>"""


class Pacemaker:
    """Its tools: the CIB, the history, fence_compute's attribute."""

    def __init__(self, cib: str, history: str = "success", yes: str = "") -> None:
        self.cib, self.history, self.yes, self.changes = cib, history, yes, []  # type: ignore[var-annotated]
        self.devices: tuple[str, ...] | None = ("p", "n")     # what can fence the node, None where the fencer is away
        self.when = LONG_AGO

    def __call__(self, argv: list[str], timeout: float) -> Outcome:
        if argv[:2] == ["cibadmin", "--query"]:
            if "--no-children" in argv:
                return Outcome(0, root_of(versioned(self.cib)), "")
            start = self.cib.index("<nodes>")
            return Outcome(0, self.cib[start:self.cib.index("</nodes>") + 8] if "--scope" in argv else versioned(self.cib), "")
        if argv[:2] == ["stonith_admin", "--list"]:
            return Outcome(self.devices is None, DEVICES.format("".join(f"<item>{one}</item>" for one in self.devices or ())), "")
        if argv[0] == "stonith_admin":
            return Outcome(0, HISTORY.format("".join(EVENT.format(one, self.when) for one in self.history.split())), "")
        if argv[0] == "attrd_updater":
            return Outcome(0, self.yes, "")
        if argv[0] == "crm_node":
            return Outcome(0, "ctl-1\n", "")
        self.changes.append(" ".join(argv))
        return Outcome(0, "", "")


def turns(fake: Fake, monkeypatch: pytest.MonkeyPatch, tools: Pacemaker, service: dict[str, object], count: int = 3) -> list[str]:
    """What a worker changes in the CIB within some turns that are as long apart as the grace."""
    monkeypatch.setattr(door, "run", tools)
    now = [100.0]
    worker = Worker(Context(Cluster(), fake.nova, Policy(), "me", clock=lambda: now[0]))
    for _ in range(count):
        fake.answers.clear()
        fake.says(200, {"services": [service]})
        worker.turn()
        now[0] += max(GRACE.values())
    fake.answers.clear()
    return [change for change in tools.changes if "evacuate-held" not in change]


def test_a_fenced_host_without_a_record_gets_one(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = turns(fake, monkeypatch, Pacemaker(cib(FENCED)), UP)
    assert changes and 'value="fenced;id=' in changes[0] and "--modify" in changes[0]


def test_what_nova_alone_tells_is_not_believed_at_once(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    assert turns(fake, monkeypatch, Pacemaker(cib(FENCED)), UP, 1)
    assert not turns(fake, monkeypatch, Pacemaker(cib(ONLINE)), MARKED, 1)


@pytest.mark.parametrize("cib_text", [
    cib(FENCED, "no"),                                                        # a person has dismissed it
    cib(FENCED, "junk"),                                                      # told of, and left to a person
    cib(ONLINE),
    cib('<node_state remote_node="true" id="cmp-1" uname="cmp-1" in_ccm="false" node_fenced="0"/>'),   # cleanly stopped
    cib(FENCED, recorder="fence_ipmilan"),                                    # not meant to be recorded
])
def test_others_get_none(fake: Fake, monkeypatch: pytest.MonkeyPatch, cib_text: str) -> None:
    assert not turns(fake, monkeypatch, Pacemaker(cib_text), UP)


def test_a_node_that_nova_does_not_know_gets_none(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not turns(fake, monkeypatch, Pacemaker(cib(FENCED)), {**UP, "host": "another"})


def test_a_host_that_is_back_and_still_marked_down_by_us_is_let_return(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = turns(fake, monkeypatch, Pacemaker(cib(ONLINE)), MARKED)
    assert changes and 'value="returning;id=' in changes[0]


@pytest.mark.parametrize("service", [UP, {**MARKED, "disabled_reason": "broken fan"}, {**MARKED, "forced_down": False}])
def test_a_host_that_others_marked_is_left_to_them(fake: Fake, monkeypatch: pytest.MonkeyPatch, service: dict[str, object]) -> None:
    assert not turns(fake, monkeypatch, Pacemaker(cib(ONLINE)), service)


@pytest.mark.parametrize(("history", "service", "recorded"), [("success", MARKED, True), ("failed", MARKED, False), ("success", UP, False)])
def test_a_full_member_whose_record_is_gone(fake: Fake, monkeypatch: pytest.MonkeyPatch, history: str, service: dict[str, object],
                                            recorded: bool) -> None:
    """Fenced and cleanly stopped look alike once the coordinator has changed: Nova's mark and the history tell."""
    changes = turns(fake, monkeypatch, Pacemaker(cib(STOPPED, remote=False), history), service)
    assert any("fenced;id=" in change and "seen=-" in change for change in changes) is recorded


def test_what_fence_compute_wrote_is_taken_over(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    said = 'name="evacuate" host="cmp-1" value="yes"\n'
    assert turns(fake, monkeypatch, Pacemaker(cib(STOPPED, remote=False, recorder="fence_compute"), yes=said), UP)
    assert not turns(fake, monkeypatch, Pacemaker(cib(ONLINE), yes=said), UP)
    assert not turns(fake, monkeypatch, Pacemaker(cib(STOPPED, remote=False), yes=said.replace("yes", "no")), UP)


def test_a_dismissal_ends_when_the_host_is_back(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = turns(fake, monkeypatch, Pacemaker(cib(ONLINE, "no")), UP)
    swap, delete = changes[:2]
    assert "--modify" in swap and 'value=""' in swap and swap.endswith("@value='no']")
    assert "--delete" in delete and delete.endswith("@value='']")


def test_a_dismissal_that_a_person_changes_meanwhile_is_no_fault_of_the_cluster(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    class Changed(Pacemaker):
        def __call__(self, argv: list[str], timeout: float) -> Outcome:
            done = super().__call__(argv, timeout)
            return Outcome(105, "", "Call failed: No such device or address") if "--modify" in argv else done

    monkeypatch.setattr(door, "run", Changed(cib(ONLINE, "no")))
    fake.says(200, {"services": [UP]})
    worker = Worker(Context(Cluster(), fake.nova, Policy(), "me"))
    worker.turn()
    assert not worker.context.health.problems


def test_the_newest_fencing_counts() -> None:
    events = [FenceEvent("cmp-1", "on", "failed", "3"), FenceEvent("cmp-1", "off", "success", "2"), FenceEvent("cmp-1", "reboot", "failed", "1")]
    assert newest_succeeded(events) and not newest_succeeded(events[2:]) and not newest_succeeded([])


@pytest.mark.parametrize(("state", "status", "words"), [
    (OFFLINE, "failed", "its fencing fails, and Pacemaker tries again; if it is off for sure: pcs stonith confirm cmp-1"),
    (OFFLINE, "pending", "Pacemaker is still fencing it"),
    (OFFLINE, "success", "Pacemaker has not fenced it, as after a clean stop or where no device can"), (ONLINE, "failed", "")])
@pytest.mark.parametrize(("more", "servers", "awaited"), [
    ({}, 0, True), ({"status": "disabled"}, 0, False), ({"status": "disabled", "disabled_reason": "broken fan"}, 1, True),
    ({"status": "disabled", "disabled_reason": "maintenance: planned work"}, 1, False)])
def test_a_host_that_is_off_for_long_and_on_no_record_is_told_with_the_reason(
        fake: Fake, monkeypatch: pytest.MonkeyPatch, state: str, status: str, words: str,
        more: dict[str, str], servers: int, awaited: bool) -> None:
    """One that a person has disabled counts while it has servers, but for planned maintenance."""
    tools, now = Pacemaker(cib(state), status), [0.0]
    monkeypatch.setattr(door, "run", tools)
    fake.says(200, {"services": [{**UP, "state": "down", **more}]})
    fake.says_always("/servers/detail?all_tenants=1&host=cmp-1&limit=500", {"servers": [ROW] * servers})
    worker = Worker(Context(Cluster(), fake.nova, Policy(), "me", clock=lambda: now[0]))
    worker.context.services_known = fake.nova.services()
    for now[0] in (0.0, 59.0, 64.0):
        assert "unfenced cmp-1" not in worker.context.health.problems
        worker.unfenced.look(worker.context.cluster.view())
    told = worker.context.health.problems.get("unfenced cmp-1", "")
    assert (words in told and told.startswith("cmp-1 is offline and will not be evacuated: ")) if words and awaited else not told


META = ('<primitive id="cmp-1" class="ocf" type="remote" provider="pacemaker"><meta_attributes id="m">'
        '<nvpair id="a" name="{}" value="{}"/></meta_attributes></primitive>')
PROPERTY = ('<crm_config><cluster_property_set id="c"><nvpair id="v" name="dc-version" value="2.1.5-a3f44794f94"/>'
            '<nvpair id="b" name="{}" value="{}"/></cluster_property_set></crm_config>')
DEFAULT = '<rsc_defaults><meta_attributes id="d"><nvpair id="e" name="is-managed" value="false"/></meta_attributes></rsc_defaults>'
NODE = '<nvpair id="r" name="maintenance" value="true"/>'


def with_meta(name: str, value: str) -> str:
    return cib(OFFLINE).replace(REMOTE, META.format(name, value))


def with_property(name: str, value: str) -> str:
    return cib(OFFLINE).replace("<nodes>", PROPERTY.format(name, value) + "<nodes>")


SOON_TOLD = [
    (with_property("stonith-enabled", "false"), "fencing is switched off (stonith-enabled=false)"),
    (with_property("stonith-enabled", "off"), "fencing is switched off (stonith-enabled=false)"),
    (with_property("maintenance-mode", "true"), "the cluster is in maintenance mode"),
    (with_property("maintenance-mode", "1"), "the cluster is in maintenance mode"),
    (with_meta("is-managed", "false"), "its connection is unmanaged (meta is-managed=false)"),
    (with_meta("is-managed", "No"), "its connection is unmanaged (meta is-managed=false)"),
    (with_meta("maintenance", "true"), "its connection is in maintenance (meta maintenance=true)"),
    (cib(OFFLINE).replace("</resources>", "</resources>" + DEFAULT), "its connection is unmanaged (meta is-managed=false)")]
FAILS = "its fencing fails, and Pacemaker tries again; if it is off for sure: pcs stonith confirm cmp-1"
NO_DEVICE = "no fence device that runs can fence it (instance-ha doctor)"
NODE_MAINTENANCE = ('<instance_attributes id="nodes-cmp-1">', f'<instance_attributes id="nodes-cmp-1">{NODE}')
FAILING = [        # what fails, once Pacemaker has tried
    (with_property("maintenance-mode", "false"), ("p",), FAILS),
    (with_meta("is-managed", "true"), ("p",), FAILS),
    (changed(cib(OFFLINE), NODE_MAINTENANCE), ("p",), FAILS),           # Pacemaker fences a node in maintenance
    (with_meta("target-role", "Stopped"), ("p",), FAILS),               # it was lost before it was disabled
    (cib(OFFLINE), (), NO_DEVICE), (cib(OFFLINE), None, FAILS)]
LATER_TOLD = [     # what is told where Pacemaker has not even tried
    (with_meta("target-role", "Stopped"), ("p",), "its connection is told to stop (target-role, stop-all-resources)"),
    (with_property("stop-all-resources", "true"), ("p",), "its connection is told to stop"),
    (cib(OFFLINE), None, "Pacemaker has not fenced it, as after a clean stop")]


def told_after(fake: Fake, monkeypatch: pytest.MonkeyPatch, tools: Pacemaker, *seconds: float) -> list[str]:
    """What is told of cmp-1 at each of these times since it went offline."""
    monkeypatch.setattr(door, "run", tools)
    now, told = [0.0], []
    fake.says(200, {"services": [UP]})
    worker = Worker(Context(Cluster(), fake.nova, Policy(), "me", clock=lambda: now[0]))
    worker.context.services_known = fake.nova.services()
    for now[0] in (0.0, *seconds):
        worker.unfenced.look(worker.context.cluster.view())
        told.append(worker.context.health.problems.get("unfenced cmp-1", ""))
    return told[1:]


@pytest.mark.parametrize(("text", "why"), SOON_TOLD)
def test_what_keeps_pacemaker_from_fencing_a_host_is_told_within_seconds(
        fake: Fake, monkeypatch: pytest.MonkeyPatch, text: str, why: str) -> None:
    early, soon = told_after(fake, monkeypatch, Pacemaker(text, "failed"), 4.0, 5.0)
    assert not early and soon == f"cmp-1 is offline and will not be evacuated: {why}"


def now() -> str:
    """Return this moment as Pacemaker writes it."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())


@pytest.mark.parametrize(("text", "devices", "why"), FAILING)
def test_what_makes_its_fencing_fail_is_told_within_seconds(
        fake: Fake, monkeypatch: pytest.MonkeyPatch, text: str, devices: tuple[str, ...] | None, why: str) -> None:
    tools = Pacemaker(text, "failed")
    tools.devices, tools.when = devices, now()
    early, soon = told_after(fake, monkeypatch, tools, 4.0, 5.0)
    assert not early and soon.startswith(f"cmp-1 is offline and will not be evacuated: {why}")


def test_a_fencing_that_failed_before_says_nothing_of_this_one(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its history is long: only what ended since the host went offline counts within the first minute."""
    early, later = told_after(fake, monkeypatch, Pacemaker(cib(OFFLINE), "failed"), 59.0, 64.0)
    assert not early and FAILS in later


def test_a_fencing_that_fails_later_is_told_soon(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pacemaker tries again at once: beside the failure there is one that goes on."""
    class Slow(Pacemaker):
        def __call__(self, argv: list[str], timeout: float) -> Outcome:
            done = super().__call__(argv, timeout)
            self.history = "pending failed" if argv[:2] == ["stonith_admin", "--history"] else self.history
            return done

    tools = Slow(cib(OFFLINE), "pending")
    tools.when = now()
    first, between, failed = told_after(fake, monkeypatch, tools, 5.0, 9.0, 10.0)
    assert not first and not between and FAILS in failed


@pytest.mark.parametrize("history", ["failed", "success"])
def test_a_host_without_a_device_is_told_within_seconds(fake: Fake, monkeypatch: pytest.MonkeyPatch, history: str) -> None:
    tools = Pacemaker(cib(OFFLINE), history)
    tools.devices = ()
    early, soon = told_after(fake, monkeypatch, tools, 4.0, 5.0)
    assert not early and soon.startswith(f"cmp-1 is offline and will not be evacuated: {NO_DEVICE}")


def test_a_host_that_was_fenced_and_whose_levels_do_not_record_it_is_told_within_seconds(
        fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    early, soon = told_after(fake, monkeypatch, Pacemaker(cib(FENCED, recorder="fence_ipmilan")), 4.0, 5.0)
    assert not early and "it was fenced, and no fencing level of it has fence_nova" in soon


def test_a_fenced_host_that_nova_has_not_told_of_is_not_said_to_lack_fence_nova(
        fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record is written once Nova can be asked."""
    early, later = told_after(fake, monkeypatch, Pacemaker(cib(FENCED)), 59.0, 60.0)
    assert not early and "Nova has not told yet which host it is" in later


@pytest.mark.parametrize(("text", "devices", "why"), LATER_TOLD)
def test_what_nobody_fences_is_told_within_a_minute(
        fake: Fake, monkeypatch: pytest.MonkeyPatch, text: str, devices: tuple[str, ...] | None, why: str) -> None:
    tools = Pacemaker(text)
    tools.devices = devices
    early, later = told_after(fake, monkeypatch, tools, 59.0, 64.0)
    assert not early and later.startswith(f"cmp-1 is offline and will not be evacuated: {why}")


def test_no_cib_of_a_host_that_is_online_tells_anything(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, _ in SOON_TOLD:
        assert told_after(fake, monkeypatch, Pacemaker(text.replace(OFFLINE, ONLINE)), 5.0, 60.0) == ["", ""]


def test_a_part_of_the_cluster_without_quorum_says_that_nothing_is_done(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever no-quorum-policy says: with "ignore" Pacemaker fences all the same, and the worker does not go by it."""
    for policy in ("ignore", "freeze", "stop"):
        text = with_property("no-quorum-policy", policy).replace('have-quorum="1"', 'have-quorum="0"')
        monkeypatch.setattr(door, "run", Pacemaker(text))
        worker = Worker(Context(Cluster(), fake.nova, Policy(), "me"))
        worker.turn()
        assert worker.context.health.problems == {"quorum": "this part of the cluster has no quorum; nothing is done"}
