"""The database of Nova's cell is away while its API and the API's own database answer."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

from tests.cluster.scenario import Story, healthy
from tests.lab import servers, watch
from tests.lab.common import CLOUD, wait_until

TABLES = ("services", "instances", "migrations")


@contextlib.contextmanager
def cell_away() -> Iterator[None]:
    """Every query for what the agents ask of the cell fails."""
    _sql(f"RENAME TABLE {', '.join(f'{name} TO {name}_away' for name in TABLES)}")
    try:
        yield
    finally:
        _sql(f"RENAME TABLE {', '.join(f'{name}_away TO {name}' for name in TABLES)}")


def _sql(text: str) -> None:
    subprocess.run(["mariadb", f"--socket={CLOUD / 'mariadb/socket'}", "--user=root", "nova", "--execute", text], check=True, capture_output=True)


def test_what_nova_shows_of_a_cell_that_is_away() -> None:
    """What the agents make of it is made from this."""
    with cell_away():
        rows = [row for row in servers.nova("GET", "/os-services", microversion="2.73")["services"] if row["host"] == "cmp-1"]
        assert rows == [{"binary": "nova-compute", "host": "cmp-1", "status": "UNKNOWN"}]


def test_a_host_whose_cell_is_away_is_named_and_evacuated_afterwards() -> None:
    story = Story()
    story.boot(running=2, stopped=1)
    with cell_away():
        story.cut_power()
        assert wait_until(lambda: "cmp-1: Nova tells nothing of cmp-1 but its name" in watch.worker_log(), 90, 0.5)
        assert watch.records()["cmp-1"].startswith("confirmed")
    story.recovered()
    healthy()
    story.audit()
