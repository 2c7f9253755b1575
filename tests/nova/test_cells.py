"""The database of Nova's cell is away while its API and the API's own database answer: no list of servers can be believed then."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

from tests.cluster.scenario import Story, healthy
from tests.cluster.test_faults import degraded_reason
from tests.lab import servers, watch
from tests.lab.common import CLOUD, wait_until

TABLES = ("services", "instances", "migrations")


@contextlib.contextmanager
def cell_away() -> Iterator[None]:
    """Every query for what the agents ask of the cell fails, at once, as with a database that refuses connections."""
    _sql(f"RENAME TABLE {', '.join(f'{name} TO {name}_away' for name in TABLES)}")
    try:
        yield
    finally:
        _sql(f"RENAME TABLE {', '.join(f'{name}_away TO {name}' for name in TABLES)}")


def _sql(text: str) -> None:
    subprocess.run(["mariadb", f"--socket={CLOUD / 'mariadb/socket'}", "--user=root", "nova", "--execute", text], check=True, capture_output=True)


def test_what_nova_shows_of_a_cell_that_is_away() -> None:
    """What the agents take it for is made from this."""
    Story().boot(running=1, stopped=0)
    with cell_away():
        assert servers.nova("GET", "/servers/detail?all_tenants=1&host=cmp-1") == {"servers": []}
        rows = [row for row in servers.nova("GET", "/os-services", microversion="2.73")["services"] if row["host"] == "cmp-1"]
        assert rows == [{"binary": "nova-compute", "host": "cmp-1", "status": "UNKNOWN"}]


def test_a_host_whose_cell_is_away_is_named_and_evacuated_afterwards() -> None:
    story = Story()
    story.boot(running=2, stopped=1)
    with cell_away():
        story.cut_power()
        assert wait_until(lambda: "Nova tells nothing of cmp-1 but its name" in degraded_reason(), 90, 0.5), degraded_reason()
        assert watch.records()["cmp-1"].startswith("confirmed")
    story.recovered()
    healthy()
    story.audit()
