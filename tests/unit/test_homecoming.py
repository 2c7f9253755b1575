"""When a host counts as back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from instance_ha.homecoming import Homecoming
from instance_ha.model import ClusterNode, ClusterView, Service

DOWN = Service("1", "nova-compute", "cmp-1", True, True, False, "", "10:00:00")


def view(online: bool) -> ClusterView:
    return ClusterView({"cmp-1": ClusterNode("cmp-1", True, online)}, {}, {}, True)


def looks(*services: Service, online: bool = True) -> list[bool]:
    worker: Any = None  # alive() asks nothing of it
    home = Homecoming(worker, "cmp-1")
    return [home.alive(view(online), service) for service in services]


def test_it_is_back_when_it_has_reported_twice() -> None:
    one, two = replace(DOWN, updated="10:00:10"), replace(DOWN, updated="10:00:20")
    assert looks(DOWN, one, one, two) == [False, False, False, True]
    assert not any(looks(DOWN, one, two, online=False))


def test_what_is_changed_on_a_service_is_no_report_of_its_host() -> None:
    """A host that boots quickly is online when it is marked down: forced down, then disabled, each with a new time stamp."""
    forced = replace(DOWN, up=False, forced_down=True, updated="10:00:01")
    disabled = replace(forced, enabled=False, reason="instance-ha: fenced", updated="10:00:02")
    again = replace(disabled, reason="mine now", updated="10:00:03")
    assert not any(looks(DOWN, forced, disabled, disabled, again, again))
