"""A row that an answer holds twice is no sign of two requests: nothing is sent a second time upon it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from instance_ha.engine.attempts import Stage
from instance_ha.engine.decide import EVACUATE
from instance_ha.engine.selection import Policy

from tests.unit.little_nova import LittleNova
from tests.unit.test_decide import Turns, attempt, server


@pytest.fixture
def little() -> Iterator[LittleNova]:
    one = LittleNova()
    yield one
    one.server.shutdown()
    one.server.server_close()


def listed(status: str, destination: str | None = None) -> dict[str, Any]:
    """A row of the second request, as a list of Nova has it."""
    return {"id": 2, "instance_uuid": "u1", "status": status, "migration_type": "evacuation", "source_compute": "cmp-1",
            "dest_compute": destination, "created_at": "2026-11-25T04:02:00.000000", "updated_at": None}


@pytest.mark.parametrize("twice", [False, True])
def test_a_row_that_is_there_twice_sends_nothing(little: LittleNova, twice: bool) -> None:
    """A destination has the first request, whose row a list has lost; no conductor has begun the second."""
    little.migrations = [listed("accepted")] * (2 if twice else 1)
    rows = tuple(little.nova.evacuations("cmp-1"))
    turn, one = Turns(), server(task_state="rebuilding")
    more: dict[str, Any] = {"rows": rows, "attempts": (attempt(1, Stage.SENT), attempt(2, Stage.QUEUED))}
    found = [turn(one, now=now, **more).action for now in (1000.0, 1001.0, 1001.0 + Policy().stuck_timeout, 9000.0)]
    assert EVACUATE not in found, found


def test_of_two_rows_with_one_id_the_one_in_progress_counts(little: LittleNova) -> None:
    little.migrations = [listed("pre-migrating", "cmp-2"), listed("accepted"), listed("failed", "cmp-2")]
    assert [row.status for row in little.nova.evacuations("cmp-1")] == ["pre-migrating"]
