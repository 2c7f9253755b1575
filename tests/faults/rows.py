"""The fault matrix as data: what is done when, and what must hold at the end besides the audits, which are part of no row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.chaos.plan import SERVICES, Act

VICTIM, SECOND, THIRD = "cmp-1", "cmp-2", "cmp-3"
OTHERS = "cmp-3 cmp-4"
DIES = Act(0.0, "power", VICTIM)
SLOW = Act(0.0, "spawn_delay", "6", 40.0)     # so that the middle of an evacuation lasts
REMOTE, MEMBER = "remote", "member"
UNIT = "nova-compute is a unit that starts at boot and waits at the gate"
AT_BOOT = (Act(0, "unit", lasts=90), Act(1, "spawn_delay", "6", 40), Act(2, "power", VICTIM))
OURS = "instance-ha:"                         # how a reason of a service that the project has disabled begins


@dataclass(frozen=True)
class Row:
    """One scenario. `told` is what the worker has to say to people meanwhile. `moves`: whether the servers must end elsewhere;
    None where they need not (their host may be back first). `most` is how many evacuations of one server there may be. `victims`
    get the servers; none of them may end on the host `nowhere`. `reason` is how the disabled_reason
    begins that the victim's service has to keep until a person enables it."""

    group: str
    name: str
    acts: tuple[Act, ...]
    kind: str = REMOTE
    told: str = ""
    moves: bool | None = True
    most: int = 1
    victims: tuple[str, ...] = (VICTIM,)
    reason: str = ""
    nowhere: str = ""


def before(at: float, *acts: Act) -> tuple[Act, ...]:
    """The victim dies `at` seconds after the first of these."""
    return (*acts, Act(at, "power", VICTIM))


def middle(*acts: Act, slow: Act = SLOW) -> tuple[Act, ...]:
    """The victim dies, and these are done while it is evacuated: their seconds count from the first request."""
    return (slow, DIES, *(replace(act, middle=True) for act in acts))


def rows() -> Iterator[Row]:
    """Every row, in the order in which they are run."""
    yield from _deaths()
    yield from _records()
    yield from _proof()
    yield from _return()
    yield from _control_plane()
    yield from _destinations()
    yield from _people()
    yield from _lost_requests()
    yield from _cluster()
    yield from _tenants()
    yield from _members()


def _deaths() -> Iterator[Row]:
    group = "death"
    yield Row(group, "power", (DIES,))
    yield Row(group, "cable", (Act(0, "cable", VICTIM),))
    yield Row(group, "kernel hangs", (Act(0, "freeze", VICTIM),))
    yield Row(group, "pacemaker_remoted alone is killed", (Act(0, "remoted", VICTIM),))
    yield Row(group, "nova-compute alone is killed", (Act(0, "nova_compute", VICTIM, 30),), moves=False)
    yield Row(group, "back before anyone can act", before(2, Act(0, "service", "nova-api", 45)), moves=None)
    yield Row(group, "dies again while it is evacuated", middle(Act(1, "again", VICTIM)))
    yield Row(group, "a destination dies in the middle", middle(Act(1, "destination")), most=3)
    yield Row(group, "a destination dies before it takes its requests, and is away longer than stuck_timeout",
              (Act(0, "parameter", "stuck_timeout=30", 170), Act(1, "stays_off", SECOND, 150), Act(2, "power", VICTIM),
               Act(3, "hang_nova_compute", f"{VICTIM} {SECOND}"), Act(2, "power", SECOND, middle=True)), most=3)
    yield Row(group, "two hosts at once", (DIES, Act(0, "power", SECOND)), victims=(VICTIM, SECOND))
    yield Row(group, "all but one at once", (Act(0, "parameter", "threshold=100", 120), *(Act(2, "power", f"cmp-{n}") for n in (1, 2, 3))),
              victims=(VICTIM, SECOND, THIRD))
    yield Row(group, "does not come back for a minute", (Act(0, "stays_off", VICTIM, 70), Act(1, "power", VICTIM)))


def _records() -> Iterator[Row]:
    group = "record"
    yield Row(group, "the worker's controller dies in the middle", middle(Act(1, "controller")))
    yield Row(group, "all controllers lose power in the middle", middle(Act(1, "controllers", lasts=5)))
    yield Row(group, "an older CIB is restored in the middle", (Act(0, "save_cib"), Act(1, "spawn_delay", "6", 40), Act(2, "power", VICTIM),
                                                                Act(2, "restore_cib", middle=True)))
    yield Row(group, "a CIB with an old record is restored", middle(Act(1, "save_cib"), Act(80, "restore_cib")))
    yield Row(group, "the record is deleted as soon as it is written", (DIES, Act(0.1, "delete_record", VICTIM)))
    yield Row(group, "half a record", (Act(0, "write", f"{VICTIM} confirmed;id", 25),), moves=False, told="cannot be read")
    yield Row(group, "a record of one word", (Act(0, "write", f"{VICTIM} fenced", 25),), moves=False, told="cannot be read")
    yield Row(group, "a record of a live host", (Act(0, "write", f"{VICTIM} fenced;id=byhand", 25),), moves=False, told="online")
    yield Row(group, "a record of a node that is no more", (Act(0, "nobody", lasts=30),), moves=False)
    yield Row(group, "a record in the old agent's words, then a fencing", (Act(0, "write", f"{VICTIM} {VICTIM}@1700000000"), Act(2, "power", VICTIM)))
    yield Row(group, "a record of the older format, then a fencing", (Act(0, "write", f"{VICTIM} fenced;id=x"), Act(2, "power", VICTIM)))
    yield Row(group, "no record but fence_compute's attribute",
              (Act(0, "older_agent", lasts=85), Act(1, "level_power", VICTIM, 80), Act(2, "off_only", lasts=60), Act(3, "stays_off", VICTIM, 57),
               Act(5, "power", VICTIM), Act(6, "yes", VICTIM)))


def _proof() -> Iterator[Row]:
    group = "proof"
    yield Row(group, "the power device does not answer, a person confirms",
              (Act(0, "bmc", VICTIM, 60), Act(1, "power", VICTIM), Act(30, "confirm", VICTIM)))
    yield Row(group, "the power device does not answer for 60 s", (Act(0, "bmc", VICTIM, 61), Act(1, "power", VICTIM)))
    yield Row(group, "fence_nova alone in the level", (Act(0, "level_alone", VICTIM, 45), Act(5, "power", VICTIM)),
              told="no power device", moves=None)
    yield Row(group, "fence_nova before the power device", (Act(0, "level_order", VICTIM, 45), Act(5, "power", VICTIM)),
              told="no power device", moves=None)


def _return() -> Iterator[Row]:
    yield Row("return", "a person had disabled the service", (Act(0, "person_disables", f"{VICTIM} broken fan"), Act(1, "power", VICTIM)),
              reason="broken fan")
    yield Row("return", "leave_disabled", (Act(0, "parameter", "leave_disabled=true", 75), Act(2, "power", VICTIM)), reason=OURS)
    yield Row("return", UNIT, AT_BOOT)


def _control_plane() -> Iterator[Row]:
    group = "control plane"
    for name in SERVICES:
        yield Row(group, f"{name} is down before, for 45 s", before(2, Act(0, "service", name, 45)), moves=None)
        # Without Placement no host is found, and for want of a host its own is let in again as soon as it is back.
        yield Row(group, f"{name} goes down in the middle, for 30 s", middle(Act(1, "service", name, 30)), most=4,
                  moves=None if name == "placement" else True)
        yield Row(group, f"{name} goes down after, while the host returns, for 25 s", (DIES, Act(1, "service", name, 25, over=True)), most=2)
    yield Row(group, "nova-api hangs before, for 45 s", before(2, Act(0, "freeze_service", "nova-api", 45)), moves=None)
    yield Row(group, "keystone hangs in the middle, for 20 s", middle(Act(1, "freeze_service", "keystone", 20)))
    yield Row(group, "the API hangs, breaks, and answers anew, in the middle",
              middle(Act(0, "freeze_service", "nova-api", 8), Act(8.5, "service", "nova-api", 3)))
    yield Row(group, "the cloud's address is away for 30 s, in the middle", middle(Act(1, "address", lasts=30)), most=4)
    yield Row(group, "the API's certificate has expired",
              (Act(0, "https", lasts=120), Act(12, "expired", lasts=45), Act(14, "power", VICTIM)), told="certificate", moves=None)
    yield Row(group, "the clock of the worker's controller is ten minutes slow", (Act(0, "clock", "ctl-3", 90), Act(1, "power", VICTIM)))


def _destinations() -> Iterator[Row]:
    group = "destination"
    yield Row(group, "every rebuild fails on the emptiest host",
              (Act(0, "occupy", OTHERS), Act(1, "fail_spawn", SECOND, 60), Act(2, "power", VICTIM)),
              told=f"evacuations to {SECOND} fail", most=2, nowhere=SECOND)
    # stuck_timeout is 60 s here: as a spawn of 310 s is to the 300 s that it is by default.
    yield Row(group, "a spawn takes 75 s, longer than stuck_timeout, and then fails",
              (Act(0, "spawn_delay", "75", 35), DIES, Act(0, "fail_spawn", lasts=80, middle=True)),
              most=2)
    # What Nova's bus gave up in the meantime may run there; then its host is back and a person looks.
    yield Row(group, "its nova-compute is stopped in the middle for 90 s, then goes on",
              middle(Act(1, "stop_destination", lasts=90), Act(95, "look", VICTIM)),
              told="stuck: being rebuilt", moves=None)
    yield Row(group, "a server's new host dies before its claim is off",
              middle(Act(0.5, "disable", lasts=40), Act(8, "new_host", VICTIM)), most=2, moves=None)
    yield Row(group, "room appears after two minutes",
              (Act(0, "fill", f"{SECOND} {OTHERS}", 120), Act(1, "stays_off", VICTIM, 200),
               Act(2, "power", VICTIM)), told="No valid host", most=12)


def _people() -> Iterator[Row]:
    group = "people"
    yield Row(group, "a living destination is marked down by a person in the middle, for 20 s",
              middle(Act(1, "person_downs", lasts=20)))
    # Its guest runs where it was being rebuilt, and Nova has it in ERROR on the dead host.
    yield Row(group, "a person resets a server's state in the middle, then ends the guest left",
              (Act(0, "stays_off", VICTIM, 120), *middle(Act(1, "person_resets"), Act(2, "cure"))),
              most=4)
    yield Row(group, "a host that was let in with its servers dies again, and a person confirms it",
              (Act(0, "disable_hosts", f"{SECOND} {OTHERS}"), Act(1, "power", VICTIM),
               Act(2, "dies_returning", VICTIM, 140), Act(3, "enable_hosts", f"{SECOND} {OTHERS}"),
               Act(4, "confirm_unclean", VICTIM)), told="no other compute host")


def _lost_requests() -> Iterator[Row]:
    group = "control plane"
    scheduler_hangs = (Act(1, "power", VICTIM), Act(2, "hang_scheduler", VICTIM))
    yield Row(group, "controller and host die together, its scheduler has the request",
              (Act(0, "control_at_worker", lasts=130), *scheduler_hangs,
               Act(1, "with_control", lasts=110, middle=True)), most=2)
    yield Row(group, "the records of a controller removed long ago, and a request is lost",
              (Act(0, "removed_controller", lasts=120), *scheduler_hangs,
               Act(1, "service", "nova-conductor", 25, middle=True),
               Act(2, "service", "nova-scheduler", 25, middle=True)), most=2)
    glance_goes = (Act(0, "new_worker"), Act(2, "power", VICTIM))
    yield Row(group, "Glance is away for 30 s, and the image alone could say what is protected",
              (Act(1, "glance", lasts=50), *glance_goes))
    yield Row(group, "Glance is away for longer than stuck_timeout",
              (Act(1, "glance", lasts=130), *glance_goes), told="Glance does not tell", moves=None)


def _cluster() -> Iterator[Row]:
    group = "cluster"
    yield Row(group, "the worker's controller is cut off", middle(Act(1, "cut_off")))
    yield Row(group, "no quorum for 25 s", middle(Act(1, "two_controllers", lasts=25)))
    yield Row(group, "the DC dies in the middle", middle(Act(1, "dc")))
    yield Row(group, "the worker is moved", middle(Act(1, "move", lasts=15)))
    yield Row(group, "maintenance mode for 15 s", middle(Act(1, "maintenance_mode", lasts=15)))
    yield Row(group, "the worker's resource is unmanaged for 15 s", middle(Act(1, "unmanage", lasts=15)))
    yield Row(group, "the worker is disabled for 15 s", middle(Act(1, "disable", lasts=15)))
    yield Row(group, "pcs resource cleanup", middle(Act(1, "cleanup")))
    yield Row(group, "the worker is killed", middle(Act(1, "kill_worker")))
    yield Row(group, "monitor and stop while Nova hangs", middle(Act(1, "freeze_service", "nova-api", 45), Act(4, "budgets")), most=4)


def _tenants() -> Iterator[Row]:
    """A plain member of another project locks his servers with the words of our claims; see tests/lab/tenant.py."""
    group = "a user of the cloud"
    first = Act(-1, "forge", VICTIM)
    again = Act(-1, "forge_again", VICTIM, 120)
    yield Row(group, "forges claims for the host before it dies", (first, DIES))
    yield Row(group, "forges claims for the host, and it is slow", (first, SLOW, DIES))
    yield Row(group, "forges claims for another host that dies too", (first, DIES, Act(0, "power", SECOND)), victims=(SECOND,))
    yield Row(group, "unlocks and locks again without end", (again, DIES))
    yield Row(group, "unlocks and locks again, and the worker is killed", (again, SLOW, DIES, Act(4, "kill_worker", middle=True)))


def _members() -> Iterator[Row]:
    group = "full members"
    yield Row(group, "power", (DIES,), MEMBER)
    yield Row(group, "cable", (Act(0, "cable", VICTIM),), MEMBER)
    yield Row(group, "kernel hangs", (Act(0, "freeze", VICTIM),), MEMBER)
    yield Row(group, "the power device does not answer, a person confirms",
              (Act(0, "bmc", VICTIM, 60), Act(1, "power", VICTIM), Act(30, "confirm", VICTIM)), MEMBER)
    yield Row(group, "the record is deleted as soon as it is written", (DIES, Act(0.1, "delete_record", VICTIM)), MEMBER,
              moves=None)     # the host may be back before the missing record is written, and then keeps its servers
    yield Row(group, "the worker's controller dies in the middle", middle(Act(1, "controller")), MEMBER)
    yield Row(group, "all controllers lose power in the middle", middle(Act(1, "controllers", lasts=5)), MEMBER)
    yield Row(group, UNIT, AT_BOOT, MEMBER)
