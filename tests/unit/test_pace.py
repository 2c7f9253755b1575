"""An OpenStack that limits requests, and lists that are too slow: asked less, and never at once again."""

from __future__ import annotations

import contextlib
import email.utils
import http.server
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from instance_ha.cluster import Cluster
from instance_ha.engine import evacuation
from instance_ha.engine.context import Context
from instance_ha.engine.evacuation import STALE, Evacuation
from instance_ha.engine.scene import Task, Terms
from instance_ha.engine.selection import Policy
from instance_ha.engine.worker import Worker
from instance_ha.errors import CloudBusy, CloudUnreachable
from instance_ha.http_limits import PENDING, limit
from instance_ha.nova import PAGE, SMALLEST, Nova
from instance_ha.pace import FIRST, LONGEST, Pace, seconds_of
from instance_ha.questions import BUSY_TRIES
from instance_ha.service import TOO_MANY, tell_unreadable
from keystoneauth1 import adapter, noauth, session

from tests.unit.fake import ROW, Fake
from tests.unit.little_nova import LittleNova

HAPROXY = b"<html><body><h1>429 Too Many Requests</h1>You have sent too many requests in a given amount of time.</body></html>"


class Time:
    """A clock that sleeping moves on."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def pace_of(clock: Time) -> Pace:
    return Pace(lambda: clock.now, clock.sleep)


def test_nothing_waits_while_nothing_is_limited() -> None:
    clock = Time()
    pace = pace_of(clock)
    for _ in range(5):
        pace.look(pace.wait(), 200, {})
    assert not clock.slept and pace.pause == 0


def test_it_settles_at_what_is_allowed() -> None:
    """A bucket that allows two requests a second, and says so by 429 alone."""
    clock, answered, refused, free = Time(), 0, 0, 100.0
    pace = pace_of(clock)
    while clock.now < 160:
        turn = pace.wait()
        allowed = clock.now >= free
        pace.look(turn, 200 if allowed else 429, {"Retry-After": "1"})
        answered, refused = answered + allowed, refused + (not allowed)
        free = clock.now + 0.5 if allowed else free
    assert answered > 50 and refused < answered / 3, (answered, refused)


def test_those_who_had_asked_already_slow_it_down_once() -> None:
    clock = Time()
    pace = pace_of(clock)
    turns = [pace.wait() for _ in range(16)]
    clock.now += 1
    for turn in turns:
        pace.look(turn, 429, {})
    assert pace.pause == FIRST


@pytest.mark.parametrize(("text", "seconds"), [("7", 7.0), (" 12 ", 12.0), ("0", 0.0), ("", None), (None, None), ("soon", None), ("-3", None),
                                               ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("9" * 400, 999999999.0)])
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


def test_a_date_that_is_to_come_is_awaited() -> None:
    found = seconds_of(email.utils.formatdate(time.time() + 20, usegmt=True))
    assert found is not None and 18 <= found <= 21


def test_no_wait_is_longer_than_the_longest() -> None:
    clock = Time()
    pace = pace_of(clock)
    pace.look(pace.wait(), 429, {"Retry-After": "86400"})
    pace.wait()
    assert clock.slept == [LONGEST]


def test_what_waits_for_its_turn_is_named() -> None:
    clock, said = Time(), []

    def sleep(seconds: float) -> None:
        said.append(PENDING.oldest())
        clock.sleep(seconds)

    pace = Pace(lambda: clock.now, sleep)
    pace.look(pace.wait(), 429, {"Retry-After": "3"})
    pace.wait()
    assert said == ["its turn: OpenStack limits how often it may be asked"]


def test_a_turn_that_was_taken_is_for_the_next_request_of_that_thread_alone() -> None:
    clock = Time()
    pace = pace_of(clock)
    pace.look(pace.wait(), 429, {"Retry-After": "3"})
    pace.take()
    taken = len(clock.slept)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(pace.wait).result()
    assert len(clock.slept) == taken + 1
    pace.wait()
    assert len(clock.slept) == taken + 1
    pace.wait()
    assert len(clock.slept) == taken + 2


def test_a_read_is_asked_again_when_its_turn_has_come(fake: Fake) -> None:
    fake.says(429, raw=HAPROXY, **{"Retry-After": "1"})
    fake.says(200, {"services": []})
    began = time.monotonic()
    assert fake.nova.services() == [] and time.monotonic() - began >= 1
    assert len(fake.asked) == 2


def test_a_read_that_is_always_too_many_ends(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.nova.pace = pace_of(Time())
    for _ in range(BUSY_TRIES):
        fake.says(429, raw=HAPROXY)
    with pytest.raises(CloudBusy):
        fake.nova.services()
    assert len(fake.asked) == BUSY_TRIES


def test_a_request_that_was_too_many_is_known_not_to_be_under_way(fake: Fake) -> None:
    fake.says(429, raw=HAPROXY)
    with pytest.raises(CloudBusy):
        fake.nova.evacuate("a1")
    assert len(fake.asked) == 1


def test_every_server_is_evacuated_once_where_few_requests_are_allowed() -> None:
    """Twenty a second, one after the other."""
    little = LittleNova()
    try:
        for number in range(4):
            little.boot(f"s{number}", f"web-{number}")
        little.service("cmp-1").update(state="down", forced_down=True)
        engine = Evacuation(little.nova, Task("cmp-1", "3f9c", "ctl-1.1.1"), Policy())
        little.every = 0.05
        for _ in range(60):
            look = engine.look(little.nova.services(), Terms(0))
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda verdict, look=look: engine.act(verdict, look, lambda: True), look.waiting))
            if len(little.migrations) >= 4:
                break
        assert sorted(row["instance_uuid"] for row in little.migrations) == [f"s{number}" for number in range(4)]
        assert little.turned_away and little.nova.pace.pause > 0
    finally:
        little.server.shutdown()
        little.server.server_close()


def test_what_became_too_old_while_it_waited_is_not_acted_upon(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    little = LittleNova()
    try:
        little.boot("s1", "web")
        little.service("cmp-1").update(state="down", forced_down=True)
        engine = Evacuation(little.nova, Task("cmp-1", "3f9c", "ctl-1.1.1"), Policy())
        look = engine.look(little.nova.services(), Terms(0))
        real, passed = time.monotonic, [0.0]

        def late() -> None:
            passed[0] = STALE + 1

        monkeypatch.setattr(engine.nova.pace, "take", late)
        monkeypatch.setattr(evacuation, "time", SimpleNamespace(monotonic=lambda: real() + passed[0]))
        assert not engine.act(look.waiting[0], look, lambda: True) and not little.migrations
    finally:
        little.server.shutdown()
        little.server.server_close()


def test_people_are_told_that_requests_are_limited(fake: Fake) -> None:
    worker = Worker(Context(Cluster(), fake.nova, Policy(), "me"))
    fake.nova.pace.look(fake.nova.pace.wait(), 429, {})
    tell_unreadable(worker)
    assert worker.context.health.problems == {"pace": TOO_MANY}
    for _ in range(40):
        fake.nova.pace.look(0.0, 200, {})
    tell_unreadable(worker)
    assert not worker.context.health.problems


class SlowLists:
    """A Nova whose lists take time for each row, and lead from page to page by markers."""

    def __init__(self, rows: int, seconds: float) -> None:
        self.asked: list[int] = []
        slow = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                size, after = int(query["limit"][0]), int(query.get("marker", ["-1"])[0])
                slow.asked.append(size)
                page = [{**ROW, "id": str(number)} for number in range(after + 1, min(rows, after + 1 + size))]
                time.sleep(seconds * len(page))
                more = {"servers_links": [{"rel": "next", "href": "x"}]} if after + 1 + size < rows else {}
                content = json.dumps({"servers": page, **more}).encode()
                with contextlib.suppress(OSError):            # whoever asked has given up
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def nova(self, timeout: float) -> Nova:
        """Return the door to it, with the limits of ours."""
        asking = session.Session(noauth.NoAuth(f"http://127.0.0.1:{self.server.server_port}"))
        limit(asking, timeout)
        client = adapter.Adapter(asking, service_type="compute", connect_retries=0)
        return Nova(client, client, client)


@pytest.fixture
def slow() -> Iterator[SlowLists]:
    one = SlowLists(rows=60, seconds=0.01)
    yield one
    one.server.shutdown()
    one.server.server_close()


def test_a_list_that_is_too_slow_is_read_by_shorter_pages(slow: SlowLists) -> None:
    nova = slow.nova(timeout=0.4)
    assert len(nova.servers_on("cmp-1")) == 60
    assert slow.asked[0] == PAGE and slow.asked[-1] == PAGE // 16
    before = len(slow.asked)
    assert len(nova.servers_on("cmp-1")) == 60 and PAGE not in slow.asked[before:], "what was learnt is forgotten"
    assert nova.about("3f9c").servers_on("cmp-1"), "what was learnt holds for each incident"
    assert PAGE not in slow.asked[before:]


def test_a_list_that_is_too_slow_however_short_is_no_list(slow: SlowLists) -> None:
    with pytest.raises(CloudUnreachable, match="not answered in full"):
        slow.nova(timeout=0.03).servers_on("cmp-1")
    assert slow.asked[-1] == SMALLEST


def test_a_glance_with_too_many_requests_is_not_waited_for(fake: Fake) -> None:
    """All hosts would wait, for each image once more."""
    fake.says(429, {}, **{"Retry-After": "86400"})
    began = time.monotonic()
    for image in ("i1", "i1"):
        with pytest.raises(CloudUnreachable):
            fake.nova.image_properties(image)
    assert len(fake.asked) == 1 and time.monotonic() - began < 2.0
