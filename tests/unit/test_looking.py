"""When the worker looks at the CIB, and how often it is read for that."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from instance_ha import cluster as door
from instance_ha.cib_file import GLANCE, CibFile
from instance_ha.cluster import Cluster
from instance_ha.engine.context import Context
from instance_ha.engine.selection import Policy
from instance_ha.engine.shared import Shared
from instance_ha.engine.worker import IDLE_PAUSE, WATCHED_PAUSE, WHOLE, Worker
from instance_ha.errors import ClusterError, HostError
from instance_ha.process import Outcome

from tests.unit.fake import Fake

# As cibadmin --query --no-children of 3.0.0 answers.
ROOT = ('<cib crm_feature_set="3.20.0" validate-with="pacemaker-3.9" admin_epoch="0" epoch="{epoch}" num_updates="{updates}" '
        'cib-last-written="Sat Nov 28 05:21:{second} 2026" update-origin="ctl-1" update-client="root" update-user="root" '
        'have-quorum="1" dc-uuid="1"{end}')
REST = "><configuration><nodes/><resources/></configuration><status/></cib>"
RECORD = ('><configuration><nodes><node id="cmp-1" type="remote" uname="cmp-1"><instance_attributes id="i"><nvpair id="n" '
          'name="evacuate" value="fenced;id=3f9c;since=1795559436;by=ctl-1"/></instance_attributes></node></nodes><resources/>'
          '</configuration><status/></cib>')


class Pacemaker:
    """cibadmin: counts how often it is asked for the whole, and for the version."""

    def __init__(self) -> None:
        self.versions = self.wholes = 0
        self.rest, self.broken = REST, False
        self.at = {"epoch": 78, "updates": 12, "second": 17}

    def __call__(self, argv: list[str], timeout: float) -> Outcome:
        if argv == ["cibadmin", "--query", "--no-children"]:
            self.versions += 1
            if self.broken:
                return Outcome(102, "", "cibadmin: Connection to the CIB manager failed")
            return Outcome(0, ROOT.format(**self.at, end="/>"), "")
        if argv == ["cibadmin", "--query"]:
            self.wholes += 1
            return Outcome(0, ROOT.format(**self.at, end=self.rest), "")
        return Outcome(0, "", "")


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Pacemaker:
    one = Pacemaker()
    monkeypatch.setattr(door, "run", one)
    return one


def worker_of(fake: Fake) -> tuple[Worker, list[float]]:
    fake.says_always("/os-services", {"services": []})
    now = [100.0]
    return Worker(Context(Cluster(), fake.nova, Policy(), "me", clock=lambda: now[0])), now


def test_while_nothing_changes_only_the_version_is_asked_for(tools: Pacemaker, fake: Fake) -> None:
    worker, now = worker_of(fake)
    for _ in range(5):
        worker.turn()
        now[0] += 1
    assert (tools.wholes, tools.versions) == (1, 4)


@pytest.mark.parametrize("what", ["epoch", "updates", "second"])
def test_every_change_is_read(tools: Pacemaker, fake: Fake, what: str) -> None:
    """A restored CIB may have a version that another had; it has another time."""
    worker, _ = worker_of(fake)
    worker.turn()
    tools.at[what] += 1
    tools.rest = RECORD
    worker.turn()
    assert "cmp-1" in worker.context.records


def test_without_an_answer_the_whole_is_asked_for(tools: Pacemaker, fake: Fake) -> None:
    worker, _ = worker_of(fake)
    worker.turn()
    tools.broken, tools.rest = True, RECORD
    worker.turn()
    assert "cmp-1" in worker.context.records


def test_what_is_on_record_is_always_read(tools: Pacemaker, fake: Fake) -> None:
    worker, _ = worker_of(fake)
    tools.rest = RECORD
    worker.turn()
    worker.turn()
    assert tools.wholes >= 2 and tools.versions == 0


def test_the_whole_is_read_now_and_then_all_the_same(tools: Pacemaker, fake: Fake) -> None:
    worker, now = worker_of(fake)
    worker.turn()
    now[0] += WHOLE
    worker.turn()
    assert tools.wholes == 2


def test_idle_it_looks_often_where_nothing_ends_its_pause(tools: Pacemaker, fake: Fake) -> None:
    worker, _ = worker_of(fake)
    assert worker.turn() == IDLE_PAUSE
    worker.context.watched = lambda: True
    assert worker.turn() == WATCHED_PAUSE


def test_a_new_file_ends_the_pause(tmp_path: Path) -> None:
    """Pacemaker writes another file and gives it the name."""
    path, fresh = tmp_path / "cib.xml", tmp_path / "cib.new"
    path.write_text("<cib/>")
    changes, stop = CibFile(path), threading.Event()
    assert changes.is_there()
    fresh.write_text("<cib/>")
    threading.Timer(GLANCE, lambda: fresh.rename(path)).start()
    began = time.monotonic()
    changes.wait(stop, 30.0)
    assert time.monotonic() - began < 15
    path.write_text("<cib epoch='2'/>")
    began = time.monotonic()
    changes.wait(stop, 30.0)                 # what changed between two pauses ends the next one
    assert GLANCE * 0.9 < time.monotonic() - began < 15


def test_without_the_file_the_pause_is_as_long_as_said_and_ends_at_stop(tmp_path: Path) -> None:
    changes, stop = CibFile(tmp_path / "cib.xml"), threading.Event()
    assert not changes.is_there()
    began = time.monotonic()
    changes.wait(stop, 2 * GLANCE)
    assert time.monotonic() - began >= 2 * GLANCE
    stop.set()
    changes.wait(stop, 30.0)
    assert time.monotonic() - began < 15


def test_a_shared_look_began_after_each_of_those_whom_it_serves_had_asked() -> None:
    started: list[float] = []

    def read() -> float:
        started.append(time.monotonic())
        time.sleep(0.05)
        return started[-1]

    shared = Shared(read)

    def ask(_: int) -> float:
        asked = time.monotonic()
        return shared.look() - asked

    with ThreadPoolExecutor(16) as pool:
        ages = list(pool.map(ask, range(16)))
    assert min(ages) >= 0 and len(started) <= 3
    before = len(started)
    shared.look()
    shared.look()
    assert len(started) == before + 2, "nobody gets what was seen before he asked"


def test_a_shared_look_that_failed_serves_nobody() -> None:
    answers = iter((ValueError("away"), "seen"))

    def read() -> str:
        answer = next(answers)
        if isinstance(answer, ValueError):
            raise answer
        return answer

    shared = Shared(read)
    with pytest.raises(ValueError, match="away"):
        shared.look()
    assert shared.look() == "seen"


def test_a_cib_that_is_too_large_for_pacemakers_buffer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 600 remote nodes 2.1.5 never answers, and answers what is small."""
    def run(argv: list[str], timeout: float) -> Outcome:
        if argv == ["cibadmin", "--query"]:
            raise HostError("cibadmin did not end within 10 s")
        return Outcome(0, ROOT.format(epoch=1, updates=1, second=17, end="/>"), "")

    monkeypatch.setattr(door, "run", run)
    with pytest.raises(ClusterError, match="PCMK_ipc_buffer"):
        Cluster().view()


def test_a_pacemaker_that_does_not_answer_at_all_is_no_large_cib(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(argv: list[str], timeout: float) -> Outcome:
        raise HostError("cibadmin did not end within 10 s")

    monkeypatch.setattr(door, "run", run)
    with pytest.raises(HostError, match="did not end"):
        Cluster().view()
