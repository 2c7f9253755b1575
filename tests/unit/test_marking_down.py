"""What fence_nova leaves in Nova: the reason names the record that counts now."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from instance_ha import credentials, params
from instance_ha.engine.proof import is_current
from instance_ha.fence import Agent
from instance_ha.model import FENCED, ClusterNode, Record

from tests.unit.little_nova import LittleNova

AT = 1795579205       # seconds after the last report that LittleNova shows


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> Iterator[LittleNova]:
    one = LittleNova()
    monkeypatch.setattr(credentials, "connect", lambda values: one.nova)
    yield one
    one.server.shutdown()


def mark_down(uid: str) -> Record:
    record = Record("cmp-1", FENCED, uid, AT, "ctl-1", seen=(), fencings=0)
    values = params.resolve(params.of(params.FENCE), {"cloud": "x"})
    Agent(values, "cmp-1", "", ",")._mark_down(record)
    return record


def test_a_second_fencing_writes_the_reason_anew(little: LittleNova) -> None:
    online = ClusterNode("cmp-1", True, True)
    records = [mark_down(uid) for uid in ("472115f4", "35192633")]
    reason = little.service("cmp-1")["disabled_reason"]
    assert reason.startswith("instance-ha: fenced by Pacemaker") and reason.endswith("(35192633)")
    (service,) = (one for one in little.nova.services() if one.host == "cmp-1")
    assert [is_current(record, online, service) for record in records] == [False, True]
    asked = len(little.asked)
    mark_down("35192633")
    assert [line[:3] for line in little.asked[asked:]].count("PUT") == 1, "forced down alone"


def test_a_persons_reason_stays(little: LittleNova) -> None:
    little.service("cmp-1").update(status="disabled", disabled_reason="broken fan")
    mark_down("472115f4")
    assert little.service("cmp-1")["disabled_reason"] == "broken fan"
