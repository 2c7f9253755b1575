"""When a request counts as lost by Nova."""

from __future__ import annotations

from dataclasses import replace

from instance_ha.engine.pulse import PULSE, Fallen, Pulse
from instance_ha.model import Service

UP = Service("7", "nova-conductor", "ctl-1", True, True, False, "", "0")


def beats(*looks: tuple[float, str]) -> list[bool]:
    """What a pulse says at these times, at which the conductor shows these time stamps."""
    pulse = Pulse()
    return [pulse.beats([replace(UP, updated=stamp)], now) for now, stamp in looks]


def test_a_conductor_that_reports_is_at_work() -> None:
    assert beats((0.0, "0"), (10.0, "10"), (20.0, "20"), (45.0, "20")) == [False, True, True, True]


def test_one_that_died_is_not_although_nova_says_up() -> None:
    assert beats((0.0, "0"), (10.0, "10"), (20.0, "10"), (30.0, "10"), (10.0 + PULSE, "10"))[-1] is False


def test_what_nobody_saw_does_not_count() -> None:
    """Nova's API was away, and the conductor may have been too; it is back with the request in its queue."""
    assert beats((0.0, "0"), (10.0, "10"), (11.0 + PULSE, "40"), (15.0 + PULSE, "45")) == [False, True, False, True]


def test_one_of_several_is_enough_to_wait() -> None:
    pulse = Pulse()
    other = replace(UP, id="8", binary="nova-scheduler")
    assert not pulse.beats([UP, other], 0.0)
    assert not pulse.beats([replace(UP, updated="10"), other], 10.0)
    assert not pulse.beats([replace(UP, updated="20"), replace(other, updated="20", up=False)], 20.0)
    assert pulse.beats([replace(UP, updated="30"), replace(other, updated="30")], 25.0)


def gaps(*looks: tuple[float, str]) -> dict[str, float]:
    """Which silences a pulse has noted after these looks."""
    pulse = Pulse()
    for now, stamp in looks:
        pulse.beats([replace(UP, updated=stamp)], now)
    return pulse.gaps


def test_a_silence_is_noted_when_the_conductor_is_heard_again() -> None:
    reports = [(float(at), str(at)) for at in range(0, 40, 10)]
    silence = [(float(at), "30") for at in range(40, 75, 5)]
    assert gaps(*reports, *silence) == {}, "it may be dead, and has begun nothing anew"
    assert gaps(*reports, *silence, (75.0, "75")) == {"ctl-1": 75.0}


def test_one_that_dies_right_after_the_first_look_was_silent_too() -> None:
    """Seen in the laboratory: it died two seconds after the evacuation had begun, before it was
    seen to report, and its silence of half a minute was not noted."""
    silence = [(float(at), "0") for at in range(0, 36, 5)]
    assert gaps(*silence, (40.0, "40")) == {"ctl-1": 40.0}
    assert gaps(*silence[:6], (30.0, "30")) == {}, "a report that comes late, as far as is known"


def test_what_nobody_looked_at_is_no_silence() -> None:
    """Nova's API was away: the conductor may have reported all the time."""
    assert gaps((0.0, "0"), (10.0, "10"), (20.0, "20"), (80.0, "80"), (90.0, "90")) == {}


def compute(host: str, up: bool, reason: str = "") -> Service:
    return Service(host, "nova-compute", host, not reason, up, not up, reason)


def test_a_host_that_died_of_late_may_hold_a_request_in_its_queue() -> None:
    """It may be the destination that a scheduler chose and that Nova's record does not name yet."""
    fallen = Fallen()
    others = [compute("cmp-1", False), compute("cmp-2", True), compute("cmp-3", False, "broken fan")]
    assert fallen.look(others, "cmp-1").keys() == {"cmp-3"}, "not the dead host itself; since when it is down says whether it can have it"
    assert fallen.look([compute("cmp-2", False)], "cmp-1").keys() == {"cmp-2"}
    assert fallen.look([], "cmp-1").keys() == {"cmp-2"}, "a list that leaves it out says nothing"
    assert fallen.look([compute("cmp-2", True)], "cmp-1") == {}
    assert Fallen().look([compute("cmp-4", False, "instance-ha: fenced by Pacemaker")], "cmp-1").keys() == {"cmp-4"}
