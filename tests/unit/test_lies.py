"""The laboratory's lying Nova leaves rows and fields out as it is told to, and nothing else."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.lab import lies

UID = "0a1b2c3d-0000-4000-8000-000000000001"
HOST = "OS-EXT-SRV-ATTR:host"
SERVERS = [{"id": str(n), HOST: f"cmp-{n % 4}", "status": "ERROR", "fault": {}} for n in range(40)]
LIST = json.dumps({"servers": SERVERS, "servers_links": [{"rel": "next"}]}).encode()


def told(lie: str, what: str = "servers/detail", content: bytes = LIST) -> dict[str, Any]:
    """The answer with a lie."""
    found: dict[str, Any] = json.loads(lies.spoiled(lie, what, content, random.Random(7)))
    return found


@pytest.mark.parametrize(("path", "what"), [
    ("/v2.1/servers/detail?all_tenants=1", "servers/detail"),
    ("/v2.1/os-migrations", "os-migrations"),
    ("/v2.1/os-services", "os-services"), (f"/v2.1/servers/{UID}", "server"),
    (f"/v2.1/servers/{UID}/os-instance-actions", "actions"),
    (f"/v2.1/servers/{UID}/os-instance-actions/req-1", "actions"),
    (f"/v2.1/servers/{UID}/action", ""),
    (f"/v2.1/servers/{UID}/diagnostics", ""), ("/v2.1/os-aggregates", "")])
def test_which_answer_a_request_has(path: str, what: str) -> None:
    assert lies.what_is("GET", path) == what
    assert lies.what_is("POST", path) == ""


def test_rows_are_dropped_and_the_links_stay() -> None:
    answer = told(lies.ROWS)
    assert 0 < len(answer["servers"]) < 40 and all(row in SERVERS for row in answer["servers"])
    assert answer["servers_links"]


def test_a_cell_is_whole_hosts() -> None:
    hosts = {row[HOST] for row in told(lies.CELL)["servers"]}
    left = [row for row in SERVERS if row[HOST] in hosts]
    assert told(lies.CELL)["servers"] == left != SERVERS


def test_an_empty_page_has_no_next_one() -> None:
    assert told(lies.EMPTY) == {"servers": []}


def test_fields_are_hidden() -> None:
    rows = told(lies.HIDE)["servers"]
    assert not any("fault" in row for row in rows) and len(rows) == 40
    partial = [row for row in rows if row["status"] == "UNKNOWN"]
    assert 0 < len(partial) < 40 and not any(HOST in row for row in partial)
    own = told(lies.HIDE, "server", json.dumps({"server": SERVERS[0]}).encode())
    assert {**own["server"], "fault": {}} == SERVERS[0] != own["server"]


def test_an_old_answer_is_one_that_there_was() -> None:
    past, chance = lies.Past(), random.Random(1)
    assert past.old("/a", 10.0, chance) is None
    past.note("/a", b"first", 10.0)
    assert past.old("/a", 20.0, chance) == b"first" and past.old("/b", 20.0, chance) is None
    assert past.old("/a", 10.0 + lies.OLDEST, chance) is None
