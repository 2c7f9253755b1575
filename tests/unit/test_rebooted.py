"""A host is rebooted by a person, without a fencing: what is off since is told, or started."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from instance_ha import cluster as door
from instance_ha import params
from instance_ha.cluster import Cluster
from instance_ha.engine.context import Context
from instance_ha.engine.reboot import RUNS, SAME, LeftOff, Silence, ran, why_not_start
from instance_ha.engine.selection import policy_from
from instance_ha.engine.worker import Worker
from instance_ha.model import UNREADABLE, Action, Migration, Server
from instance_ha.process import Outcome
from instance_ha.reporting.telling import Teller

from tests.unit.exposition import read
from tests.unit.little_nova import LittleNova
from tests.unit.test_homecoming import SHUT_OFF
from tests.unit.test_missed import FENCED, OFFLINE, ONLINE, Pacemaker, cib

STATE, TASK, POWER = "OS-EXT-STS:vm_state", "OS-EXT-STS:task_state", "OS-EXT-STS:power_state"
NO_WORD = (
    501,
    {
        "notImplemented": {
            "message": "Unable to get diagnostics, functionality not implemented",
            "code": 501,
        }
    },
)
BEGIN = 1795579200.0  # of the tests' time, in seconds since the epoch
OWNER, PROJECT = "7d2f4a1e", "p"


def when(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000", time.gmtime(BEGIN + seconds))


class Cloud(LittleNova):
    """`runs` are the servers whose guests run; `mute` those of which the hypervisor cannot tell."""

    def __init__(self) -> None:
        super().__init__(("cmp-1", "cmp-2"))
        self.runs: set[str] = set()
        self.mute: set[str] = set()
        self.stripped = False  # something before Nova takes the users out of its answers

    def answer(self, method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        parts = path.split("/")
        if path.endswith("/diagnostics"):
            self.asked.append(f"{method} {path}")
            return (
                NO_WORD
                if parts[2] in self.mute
                else (200, {"state": "running"})
                if parts[2] in self.runs
                else (409, SHUT_OFF)
            )
        code, found = super().answer(method, path, body, request)
        if self.stripped and path.endswith("/os-instance-actions"):
            found = {
                "instanceActions": [
                    {k: v for k, v in row.items() if not k.endswith("_id") or k == "request_id"}
                    for row in found["instanceActions"]
                ]
            }
        return code, found


class World:
    """A worker, its cluster and its Nova, in a time of their own."""

    def __init__(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, **given: str) -> None:
        self.cloud, self.tools, self.now = cloud, Pacemaker(cib(ONLINE)), 0.0
        self.reports = True
        monkeypatch.setattr(door, "run", self.tools)
        self.values = params.resolve(params.of(params.OCF), {"cloud": "c", **given})
        context = Context(
            Cluster(), cloud.nova, policy_from(self.values), "me", clock=lambda: self.now
        )
        self.worker = Worker(context)

    def run(self, seconds: int, step: int = 5) -> None:
        """Let time pass; nova-compute reports every ten seconds."""
        for _ in range(0, seconds, step):
            if self.reports and self.now % 10 == 0:
                self.cloud.service("cmp-1")["updated_at"] = when(self.now)
            self.worker.turn()
            self.now += step

    def boot(self, uid: str, **more: Any) -> None:
        self.cloud.boot(uid, f"web-{uid}", **more)
        self.act(uid, "create", OWNER, PROJECT, -1000)
        self.cloud.runs.add(uid)

    def act(
        self,
        uid: str,
        name: str,
        user: str | None = None,
        project: str | None = None,
        at: float | None = None,
    ) -> None:
        """Have Nova remember an action; without a user, as of nova-compute itself."""
        self.cloud.note(uid, name)
        self.cloud.actions[uid][-1].update(
            user_id=user, project_id=project, start_time=when(self.now if at is None else at)
        )

    def stop(self, uid: str, user: str | None = None, project: str | None = None) -> None:
        """Stop a server, as its owner does or Nova's own power sync."""
        self.act(uid, "stop", user, project)
        self.cloud.runs.discard(uid)
        self.cloud.servers[uid].update({STATE: "stopped", POWER: 4, "status": "SHUTOFF"})

    def away(self, seconds: int = 120, state: str = OFFLINE) -> None:
        """Reboot the host: nova-compute stops, guests go, both nodes see it leave and come back."""
        self.tools.cib, self.reports = cib(state), False
        self.run(seconds, 20)
        self.cloud.runs.clear()
        self.tools.cib, self.reports = cib(ONLINE), True
        self.now += -self.now % 10

    @property
    def told(self) -> str:
        return self.worker.context.health.problems.get("off cmp-1", "")

    def started(self) -> list[str]:
        """The servers that the worker has started."""
        return [
            uid
            for uid, rows in self.cloud.actions.items()
            if any(row["action"] == "os-start" for row in rows)
        ]


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    one = Cloud()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def world(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(cloud, monkeypatch)


@pytest.fixture
def starter(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(cloud, monkeypatch, after_reboot="start")


def test_servers_that_a_reboot_has_left_off_are_told_before_nova_has_stopped_them(
    world: World,
) -> None:
    world.boot("s1")
    world.boot("s2")
    world.cloud.boot("other", "other", "cmp-2")
    world.run(20)
    world.away()
    assert not world.told
    world.run(40)
    assert world.told.startswith(
        "cmp-1 was away without a fencing; 2 servers are off since: web-s1 (s1), web-s2 (s2); start"
    )
    world.stop("s1")
    world.stop("s2")
    world.run(20)
    assert "2 servers" in world.told and not world.started()
    world.act("s1", "start", OWNER, PROJECT)
    world.cloud.servers["s1"].update({STATE: "active", POWER: 1})
    world.cloud.runs.add("s1")
    world.run(10)
    assert "1 servers are off since: web-s2 (s2)" in world.told
    world.tools.cib = cib(ONLINE, "no")  # instance-ha dismiss: a person has looked
    world.run(5)
    assert not world.told


def test_servers_that_nova_had_stopped_before_it_was_looked_at_are_told_too(world: World) -> None:
    world.boot("s1")
    world.run(20)
    world.away()
    world.stop("s1")
    world.run(40)
    assert "web-s1 (s1)" in world.told


def test_a_person_who_does_anything_to_a_server_takes_it_off_the_list(world: World) -> None:
    world.boot("s1")
    world.run(20)
    world.away()
    world.stop("s1")
    world.run(40)
    world.act("s1", "lock", "admin", "admins")
    world.cloud.servers["s1"].update(locked=True)
    world.run(40)
    assert not world.told


@pytest.mark.parametrize("end", ["runs", "deleted", "moved", "stopped by its owner"])
def test_what_is_well_or_somebody_elses_is_not_told(world: World, end: str) -> None:
    world.boot("s1")
    if end == "stopped by its owner":
        world.stop("s1", OWNER, PROJECT)
    world.run(20)
    world.away()
    if end == "runs":
        world.cloud.runs.add("s1")  # resume_guests_state_on_host_boot, or libvirt
    world.cloud.servers["s1"].update(
        {"deleted": {TASK: "deleting"}, "moved": {"OS-EXT-SRV-ATTR:host": "cmp-2"}}.get(end, {})
    )
    world.run(60)
    assert not world.told


def test_a_guest_that_its_owner_shuts_down_after_the_reboot_is_not_told(starter: World) -> None:
    """It ran when its host was back; Nova stops it by itself, as what the reboot has left off."""
    starter.boot("s1")
    starter.run(20)
    starter.away()
    starter.cloud.runs.add("s1")
    starter.run(60)
    starter.stop("s1")
    starter.run(60)
    assert not starter.told and not starter.started()


def test_a_host_that_is_on_record_or_dismissed_is_not_looked_at(world: World) -> None:
    world.boot("s1")
    world.run(20)
    world.tools.cib = cib(OFFLINE, "no")
    world.run(20)
    world.away(60, FENCED)  # the worker writes a record, which these tools do not keep
    assert any("fenced;id=" in change for change in world.tools.changes)
    world.tools.cib = cib(ONLINE, "returning;id=3f9c;since=1;by=ctl-1")
    world.run(60)
    assert not world.told


def test_servers_of_a_host_that_was_fenced_without_a_record_are_told_and_not_started(
    starter: World,
) -> None:
    """Its level has no fence_nova: what is known of the fencing is Pacemaker's mark."""
    starter.boot("s1")
    starter.run(20)
    starter.tools.cib = cib(FENCED, recorder="fence_ipmilan")
    starter.run(10)
    starter.away()
    starter.run(15)
    starter.stop("s1")
    starter.run(60)
    assert starter.told.startswith("cmp-1 was fenced without a record; 1 servers are off since: web-s1")
    assert not starter.started()


def test_a_worker_that_takes_over_while_the_host_is_away_tells_of_it(world: World) -> None:
    world.boot("s1")
    world.tools.cib, world.reports = cib(OFFLINE), False
    world.run(60)
    world.worker = Worker(world.worker.context)
    world.away(60)
    world.run(60)
    assert "web-s1" in world.told


def started_after(world: World) -> list[str]:
    """Reboot the host, and let Nova's power sync stop what does not run."""
    world.run(20)
    world.away()
    world.run(15)
    for uid, server in world.cloud.servers.items():
        if (
            server[STATE] == "active"
            and server["OS-EXT-SRV-ATTR:host"] == "cmp-1"
            and uid not in world.cloud.runs
        ):
            world.stop(uid)
    world.run(60)
    return world.started()


def test_they_are_started_where_that_is_asked_for_each_once(starter: World) -> None:
    starter.boot("s1")
    starter.boot("s2")
    starter.stop("s2", OWNER, PROJECT)
    assert started_after(starter) == ["s1"]
    assert [row["action"] for row in starter.cloud.actions["s1"]].count("os-start") == 1


def test_they_are_not_started_where_it_is_not(world: World) -> None:
    world.boot("s1")
    assert not started_after(world) and "web-s1" in world.told


@pytest.mark.parametrize(
    "change",
    [
        {"locked": True},
        {TASK: "powering-on"},
        {POWER: 1},
        {POWER: 0},
        {"OS-EXT-SRV-ATTR:host": "cmp-2"},
        {STATE: "paused"},
        {STATE: None},
        {"locked": None},
    ],
)
def test_a_server_in_any_other_state_is_not_started(starter: World, change: dict[str, Any]) -> None:
    starter.boot("s1")
    starter.run(20)
    starter.away()
    starter.stop("s1")
    starter.cloud.servers["s1"].update(change)
    starter.run(60)
    assert not starter.started()


def actions(*words: tuple[str, bool]) -> list[Action]:
    """What was asked of a server, oldest first: by whom is Nova itself, or somebody."""
    asked = [
        Action(name, "", when(number), "", *(("", "", True) if own else (OWNER, PROJECT)))
        for number, (name, own) in enumerate(words)
    ]
    return asked[::-1]


@pytest.mark.parametrize(
    ("words", "running"),
    [
        ([], True),
        ([("stop", True)], False),  # shut down from within, long ago, and Nova stopped it again
        ([("stop", False)], False),
        ([("pause", False)], False),
        ([("suspend", False)], False),
        ([("shelve", False)], False),
        ([("stop", False), ("resize", False)], False),
        ([("stop", True), ("lock", False)], False),
        ([("delete", False)], False),
        ([("a word of a newer Nova", False)], False),
        ([("stop", True), ("resetState", False)], False),
        ([("stop", False), ("start", False)], True),
        ([("stop", True), ("start", False), ("attach_volume", False)], True),
        *(([(name, False)], True) for name in sorted(SAME)),
        ([("stop", False), ("reboot", False)], True),
    ],
)
def test_whether_it_ran_before_is_what_was_asked_of_it_last(
    words: list[tuple[str, bool]], running: bool
) -> None:
    """libvirt may have started one at boot that its owner had stopped, and Nova stopped it."""
    assert ran(actions(("create", False), *words, ("stop", True))) == running
    assert not ran(actions(("stop", True))) and not ran([])


def test_a_server_that_was_not_running_before_is_not_started(starter: World) -> None:
    starter.boot("s1")
    starter.act("s1", "stop", OWNER, PROJECT, -500)
    assert not started_after(starter)


@pytest.mark.parametrize("name", ["start", "lock"])
def test_a_server_of_which_anybody_has_asked_anything_since_is_not_started(
    starter: World, name: str
) -> None:
    """Somebody is at it, and has shut it down from within after that, say."""
    starter.boot("s1")
    starter.run(20)
    starter.away()
    starter.act("s1", name, OWNER, PROJECT, starter.now + 3)
    starter.now += 10
    starter.stop("s1")
    starter.run(60)
    assert not starter.started()


def test_the_words_are_novas() -> None:
    assert not RUNS & SAME and "stop" not in RUNS | SAME


def test_an_answer_without_users_starts_nothing(starter: World) -> None:
    """A policy or a proxy may take them out: then nobody knows whose stop it was."""
    starter.boot("s1")
    starter.cloud.stripped = True
    assert not started_after(starter)


def test_a_stop_of_which_only_one_of_the_two_is_missing_is_somebodys(starter: World) -> None:
    """A token of the whole system has a user and no project."""
    starter.boot("s1")
    starter.run(20)
    starter.away()
    starter.stop("s1", "root", None)
    starter.run(60)
    assert not starter.started() and not starter.told


def test_what_was_stopped_as_the_host_went_down_is_told_and_not_started(starter: World) -> None:
    """libvirt-guests has shut it down while nova-compute ran, or its owner did, from within."""
    starter.boot("s1")
    starter.run(20)
    starter.stop("s1")
    starter.run(10)
    starter.away()
    starter.run(60)
    assert "web-s1" in starter.told and not starter.started()


def test_what_was_shut_down_from_within_long_before_is_not_told(starter: World) -> None:
    starter.boot("s1")
    starter.stop("s1")
    starter.run(400)
    starter.away()
    starter.run(60)
    assert not starter.told and not starter.started()


def test_where_the_hypervisor_does_not_tell_nothing_is_started(starter: World) -> None:
    starter.boot("s1")
    starter.cloud.mute.add("s1")
    starter.run(20)
    starter.away()
    starter.run(40)
    starter.stop("s1")
    starter.run(60)
    assert "web-s1" in starter.told and not starter.started()


@pytest.mark.parametrize(
    "row",
    [
        {"status": "accepted", "migration_type": "evacuation"},
        {"status": "pre-migrating", "migration_type": "evacuation", "dest_compute": "cmp-2"},
        {"status": "running", "migration_type": "live-migration", "dest_compute": "cmp-2"},
        {"status": "unheard-of", "migration_type": "resize"},
    ],
)
def test_a_server_of_which_a_move_is_under_way_is_not_started(
    starter: World, row: dict[str, Any]
) -> None:
    starter.boot("s1")
    starter.cloud.migrations.append(
        {
            "id": 9,
            "instance_uuid": "s1",
            "source_compute": "cmp-1",
            "dest_compute": None,
            "created_at": when(-400),
            "updated_at": None,
            **row,
        }
    )
    assert not started_after(starter)


def test_a_server_that_may_have_left_a_guest_elsewhere_is_not_started(starter: World) -> None:
    starter.boot("s1")
    starter.cloud.ask("s1", "failed", "cmp-2")
    starter.cloud.actions["s1"][-1].update(
        user_id="admin", project_id="admins", start_time=when(-300)
    )
    starter.cloud.servers["s1"].update({STATE: "active", "fault": None})
    for event in starter.cloud.actions["s1"][-1]["events"]:
        event.update(traceback=None, details=None)
    assert not started_after(starter)


@pytest.mark.parametrize(
    "change", [{"status": "disabled"}, {"state": "down"}, {"forced_down": True}]
)
def test_nothing_is_started_on_a_host_that_is_not_in_service(
    starter: World, change: dict[str, Any]
) -> None:
    starter.boot("s1")
    starter.run(20)
    starter.away()
    starter.cloud.service("cmp-1").update(change)
    starter.run(15)
    starter.stop("s1")
    starter.run(60)
    assert not starter.started()


@pytest.mark.parametrize(
    "given",
    [
        {"enabled": "false"},
        {"skip_servers": "web-*"},
        {"protect": "tagged", "evacuable_tag": "none"},
    ],
)
def test_nothing_is_started_that_is_not_protected(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    world = World(cloud, monkeypatch, after_reboot="start", **given)
    world.boot("s1")
    assert not started_after(world) and "web-s1" in world.told


def test_nothing_is_started_in_maintenance_mode(starter: World) -> None:
    starter.boot("s1")
    starter.run(20)
    starter.away()
    pair = '<nvpair id="m" name="maintenance-mode" value="true"/>'
    off = f'<crm_config><cluster_property_set id="o">{pair}</cluster_property_set></crm_config>'
    starter.tools.cib = cib(ONLINE).replace("<nodes>", off + "<nodes>")
    starter.stop("s1")
    starter.run(60)
    assert "web-s1" in starter.told and not starter.started()


def test_nothing_is_started_when_the_cluster_has_changed_since_the_turn_began(
    starter: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record is there by now: its host is fenced, or about to be."""
    starter.boot("s1")
    starter.run(20)
    starter.away()
    starter.stop("s1")
    later = cib(ONLINE, "fenced;id=3f9c;since=1;by=ctl-1")
    first = starter.tools.cib

    class Changing(Pacemaker):
        def __call__(self, argv: list[str], timeout: float) -> Outcome:
            if argv == ["cibadmin", "--query"]:
                self.cib = (
                    later
                    if self.cib == first and starter.worker.context.view is not None
                    else first
                )
            return super().__call__(argv, timeout)

    monkeypatch.setattr(door, "run", Changing(first))
    starter.run(60)
    assert not starter.started()


def test_what_nova_refuses_to_start_stays_told(
    starter: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    starter.boot("s1")
    answer = starter.cloud._act
    monkeypatch.setattr(
        starter.cloud,
        "_act",
        lambda uid, body, request: (
            answer(uid, body, request)
            if "os-start" not in body
            else (
                409,
                {
                    "conflictingRequest": {
                        "code": 409,
                        "message": "Cannot 'start' instance s1 while it is in task_state x",
                    }
                },
            )
        ),
    )
    started_after(starter)
    starter.run(60)
    assert "web-s1" in starter.told and starter.cloud.asked.count("POST /servers/s1/action") == 1


def test_nova_that_is_away_delays_it(starter: World) -> None:
    starter.boot("s1")
    starter.run(20)
    starter.away()
    starter.cloud.away = True
    starter.run(30)
    starter.cloud.away = False
    starter.run(30)
    starter.stop("s1")
    starter.run(60)
    assert starter.started() == ["s1"]


def test_a_second_reboot_keeps_what_the_first_has_left_off(world: World) -> None:
    world.boot("s1")
    world.run(20)
    world.away()
    world.stop("s1")
    world.run(60)
    world.away()
    assert "web-s1" in world.told
    world.run(60)
    assert "web-s1" in world.told


def test_metrics_hook_and_crm_mon_have_it(
    world: World, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    teller = Teller(
        "r",
        "ctl-1",
        world.worker.context.cluster,
        {**world.values, "metrics_directory": str(tmp_path)},
    )
    world.boot("s1")
    world.run(20)
    world.away()
    with caplog.at_level("INFO"):
        for _ in range(12):
            world.run(5)
            teller.look(world.worker)
    teller.close()
    assert caplog.text.count("event=left-off") == 1 and "servers=1" in caplog.text
    shown = [change for change in world.tools.changes if "evacuation-cmp-1" in change]
    assert "no record; back, and not evacuated; 1 servers are off since" in shown[-1]


def test_the_metric_counts_them(world: World, tmp_path: Any) -> None:
    from instance_ha.reporting.telling import fill

    world.boot("s1")
    world.run(20)
    world.away()
    world.run(40)
    teller = Teller("r", "ctl-1", world.worker.context.cluster, world.values)
    fill(teller.metrics, world.worker, {}, 0.0)
    teller.close()
    _, samples = read(teller.metrics.text())
    assert samples["instance_ha_servers_left_off", (("node", "cmp-1"),)] == 1


def reported(*stamps: int) -> Silence:
    """A nova-compute that has reported at these times, looked at every five seconds."""
    silence = Silence()
    for first, following in zip(stamps, (*stamps[1:], stamps[-1] + 5)):
        for now in range(first, following, 5):
            silence.look(when(first), float(now))
    return silence


def test_a_silence_is_told_from_the_usual_pauses() -> None:
    silence = reported(0, 10, 20, 30, 130, 140)
    silence.look("no time", 150.0)
    assert (
        silence.is_clear
        and silence.is_after(when(125))
        and not silence.is_after(when(35))
        and silence.is_before(when(35))
    )
    assert not silence.is_after("") and not silence.is_before("")
    regular = reported(*range(0, 600, 60))
    assert (
        not regular.is_clear and not regular.is_after(when(1000)) and not regular.is_before(when(0))
    )


SURE = reported(-20, -10, 100, 110)
WEB = Server("s1", "web", "cmp-1", "stopped", None, 4, False)
DONE = [
    Action("stop", "", when(105), "", by_nova=True),
    Action("create", "", when(-1000), "", OWNER, PROJECT),
]
KNOWN = LeftOff("cmp-1", WEB, DONE, [], SURE, protected=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"server": None}, "it is not read"),
        ({"host": "cmp-2"}, "it is not on the host"),
        ({"server": replace(WEB, host=None)}, "it is not on the host"),
        ({"server": replace(WEB, locked=True)}, "it is locked"),
        ({"server": replace(WEB, locked=None)}, "it is locked"),
        ({"server": replace(WEB, vm_state="active")}, "Nova has not stopped it"),
        ({"server": replace(WEB, power_state=1)}, "Nova has not stopped it"),
        ({"server": replace(WEB, power_state=None)}, "Nova has not stopped it"),
        ({"server": replace(WEB, task_state="powering-on")}, "it has a task"),
        ({"actions": []}, "Nova itself did not stop it"),
        ({"actions": DONE[1:]}, "Nova itself did not stop it"),
        ({"actions": [replace(DONE[0], by_nova=False), DONE[1]]}, "Nova itself did not stop it"),
        ({"actions": [replace(DONE[0], name="delete"), DONE[1]]}, "Nova itself did not stop it"),
        (
            {"actions": [replace(DONE[0], started=when(40)), DONE[1]]},
            "it may have been stopped before its host went away",
        ),
        (
            {"actions": [replace(DONE[0], started=""), DONE[1]]},
            "it may have been stopped before its host went away",
        ),
        ({"silence": Silence()}, "it may have been stopped before its host went away"),
        (
            {"actions": [DONE[0], replace(DONE[1], started=when(101))]},
            "something was asked of it since",
        ),
        ({"actions": [DONE[0], replace(DONE[1], started="")]}, "something was asked of it since"),
        ({"actions": DONE[:1]}, "it was not running before"),
        ({"actions": [DONE[0], replace(DONE[1], name="stop")]}, "it was not running before"),
        ({"vague": True}, "its hypervisor does not tell whether it ran when its host was back"),
        ({"moves": [Migration(1, "s1", "accepted", "cmp-1", None)]}, "a move of it is under way"),
        ({"moves": [Migration(1, "s1", UNREADABLE, "", None)]}, "a move of it is under way"),
        ({"doubt": "a failed try may have left its guest"}, "a failed try may have left its guest"),
        ({"protected": False}, "it is not protected"),
        ({"protected": None}, "it is not protected"),
    ],
)
def test_all_of_it_has_to_be_known_before_a_server_is_started(
    change: dict[str, Any], words: str
) -> None:
    assert why_not_start(replace(KNOWN, **change)) == words


PART = {"status": "UNKNOWN", "created": "2026-11-25T04:00:00Z", "tenant_id": "p", "links": []}


def test_a_server_of_which_nova_shows_only_a_part_stays_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cell's database is away for a while: Nova names no host then."""
    world.boot("s1")
    world.run(20)
    world.away()
    world.run(40)
    assert "web-s1 (s1)" in world.told
    answer, down = world.cloud.answer, [True]

    def partly(method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        code, found = answer(method, path, body, request)
        if down[0] and path.startswith("/servers/detail"):
            found = {"servers": []}
        elif down[0] and path == "/servers/s1":
            found = {"server": {"id": "s1", **PART}}
        return code, found

    monkeypatch.setattr(world.cloud, "answer", partly)
    world.run(20)
    down[0] = False
    world.run(20)
    assert "web-s1 (s1)" in world.told


def test_a_server_that_the_first_list_leaves_out_is_told_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.boot("s1")
    world.boot("s2")
    world.run(20)
    world.away()
    answer, lists = world.cloud.answer, [0]

    def short(method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        code, found = answer(method, path, body, request)
        if path.startswith("/servers/detail"):
            lists[0] += 1
            found = {"servers": found["servers"][1:]} if lists[0] == 1 else found
        return code, found

    monkeypatch.setattr(world.cloud, "answer", short)
    world.run(60)
    assert "2 servers are off since" in world.told
