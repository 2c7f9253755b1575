"""Every kind of server on one dead host: each ends where its state says, in one incident."""

from __future__ import annotations

from tests.cluster.scenario import RECOVERED_LIMIT, Story, healthy
from tests.cluster.test_faults import degraded_reason
from tests.lab import guests, servers, watch
from tests.lab.common import wait_until


def test_every_kind_at_once(stays_off: None) -> None:
    story = Story()
    story.boot(running=1, stopped=1, volume=1, out=1)
    locked, broken, asleep, deleted = servers.boot(["locked", "broken", "asleep", "deleted"], story.victim)
    servers.action(locked, "lock", {"locked_reason": "mine"})
    servers.action(broken, "os-resetState", {"state": "error"})
    servers.action(asleep, "suspend")
    servers.wait_status([asleep], "SUSPENDED")
    story.cut_power()
    servers.nova("DELETE", f"/servers/{deleted}")
    story.recovered()

    def moved(uid: str) -> bool:
        server = servers.show(uid)
        return server["status"] == "ACTIVE" and servers.host_of(server) != story.victim

    assert wait_until(lambda: moved(locked) and moved(broken), RECOVERED_LIMIT, 0.3)
    assert servers.show(locked)["locked"] and servers.show(locked)["locked_reason"] == "mine"
    assert not servers.show(broken)["locked"]
    assert servers.host_of(servers.show(asleep)) == story.victim
    assert wait_until(lambda: "asleep: it is suspended, and recover_states does not name suspended" in degraded_reason(), 40, 0.5), degraded_reason()
    healthy()
    story.before.update({locked: "ACTIVE", broken: "ACTIVE"})
    story.audit()
    assert not [e for e in guests.journal() if e["uuid"] == deleted and e["event"] == "spawn" and e["host"] != story.victim]
    assert deleted not in watch.evacuation_requests(story.begun)
