"""The report of an incident: from Nova's answers and the history to data, a drawing and a page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from instance_ha.cli.report import choose, end_of
from instance_ha.errors import ConfigurationError
from instance_ha.incident import AGAIN, IN_SERVICE, Incident
from instance_ha.reporting.chronicle import Chronicle, Moved, Try, as_data, fenced_at, gather, settings
from instance_ha.reporting.drawing import LABELS, WIDTH, Axis, Bar, Row, draw
from instance_ha.reporting.page import page
from lxml import html

from tests.unit.little_nova import LittleNova

A, B, C = (f"{digit * 8}-2222-3333-4444-555555555555" for digit in "abc")
T = 1795579200.0    # 2026-11-25 04:00:00 UTC
ONE = Incident("3f9c", "cmp-1", "cmp-1.example.com", "partly", "in-service", T + 5, T + 6, T + 6.6, T + 20, T + 25, T + 90000, 2, 1, 1, 3, 10,
               "ctl-1", "ctl-2", "node_fenced:1795579206", "2026-11-25T03:59:58.000000", "db-1: failed 5 times: No valid host", "0.1.0",
               {"max_parallel": "8"})
TRACE = '  File "nova/virt/driver.py", line 7, in spawn\n    raise exception.InstanceDeployFailure(reason="no room")\n'


def stamp(second: float) -> str:
    return f"2026-11-25T04:00:{second:09.6f}"


def row(number: int, server: str, status: str, begun: float, ended: float, to: str | None = "cmp-2",
        source: str = "cmp-1.example.com") -> dict[str, object]:
    return {"id": number, "instance_uuid": server, "status": status, "migration_type": "evacuation", "source_compute": source, "dest_compute": to,
            "created_at": stamp(begun), "updated_at": stamp(ended)}


def action(request: str, begun: float, ended: float, result: str = "Success", trace: str | None = None, name: str = "evacuate",
           details: str | None = None) -> dict[str, object]:
    """As Nova 34.0.0 shows an action to an administrator at 2.84; before that without details."""
    event = {"event": "compute_rebuild_instance", "start_time": stamp(begun + 1), "finish_time": stamp(ended), "result": result, "traceback": trace,
             "host": "cmp-2", "hostId": "h", "details": details}
    return {"action": name, "request_id": request, "start_time": stamp(begun), "updated_at": stamp(ended), "message": None, "events": [event]}


@pytest.fixture
def nova() -> Iterator[LittleNova]:
    """web-1 moved at once and its host is back; db-1 failed once on cmp-3 and stayed."""
    little = LittleNova()
    little.boot(A, "web-1", "cmp-2")
    little.boot(B, "db-1 <b>", "cmp-1.example.com", **{"OS-EXT-STS:vm_state": "error", "status": "ERROR", "fault": {"message": "No valid host"}})
    little.migrations = [
        row(9, A, "completed", 1, 2), row(11, A, "completed", 6, 59), row(12, B, "failed", 7, 12, "cmp-3"), row(13, B, "error", 17, 18, None),
        row(14, C, "done", 50, 55)]
    little.actions = {
        A: [action("req-1", 1, 2), action("req-11", 6, 20), action("req-lock", 21, 22, name="unlock")],
        B: [action("req-12", 7, 12, "Error", TRACE, details="Failed to deploy instance: <no> room"), action("req-13", 17, 18, "Error")],
        C: []}
    yield little
    little.server.shutdown()
    little.server.server_close()


def test_tries_are_paired_with_their_requests_and_ends(nova: LittleNova) -> None:
    told = gather(nova.nova, ONE, 13)
    web, db = told.servers
    assert [(one.migration, one.request, one.status, one.to) for one in web.tries] == [(11, "req-11", "completed", "cmp-2")]
    assert (web.tries[0].asked, web.tries[0].ended, web.seconds) == (T + 6, T + 20, 14.0), "not what its host's return has changed"
    assert web.arrived and not db.arrived
    assert [(one.migration, one.request, one.to) for one in db.tries] == [(12, "req-12", "cmp-3"), (13, "req-13", "")]
    assert db.tries[0].why == "Failed to deploy instance: <no> room" and db.tries[1].why == "No valid host"
    assert told.heard == T - 2 and told.cleaned == T + 59


def test_without_details_the_trace_says_where(nova: LittleNova) -> None:
    nova.oldest = True
    db = next(server for server in gather(nova.nova, ONE, 13).servers if server.id == B)
    assert db.tries[0].why == 'raise exception.InstanceDeployFailure(reason="no room")'


@pytest.mark.parametrize(("proof", "wanted"), [("node_fenced:1795579206", T + 6), ("history:reboot@2026-11-25_04:00:06Z", T + 6),
                                               ("node_state:send_stonith_update", None), ("", None)])
def test_when_it_was_fenced_is_in_the_proof(proof: str, wanted: float | None) -> None:
    assert fenced_at(proof) == wanted


def test_what_belongs_to_another_incident_of_the_host_is_left_out(nova: LittleNova) -> None:
    assert {server.id for server in gather(nova.nova, ONE, 13).servers} == {A, B}
    assert {server.id for server in gather(nova.nova, ONE, None).servers} == {A, B, C}
    assert not gather(nova.nova, Incident("x", "cmp-1"), None).servers, "without a baseline nothing is known to belong to it"


def test_what_nova_has_forgotten_with_a_deleted_server_is_said(nova: LittleNova) -> None:
    """Nova 34.0.0 deletes a server's migrations with it."""
    del nova.servers[A]
    nova.migrations = [row for row in nova.migrations if row["instance_uuid"] != A]
    told = gather(nova.nova, ONE, 13)
    assert [server.id for server in told.servers] == [B]
    assert told.missing == "1 of the 3 requests are not in Nova's records any more, as those of servers that were deleted since"
    assert told.missing in told.wrong and told.missing in page(told, T)
    assert not gather(LittleNova().nova, Incident("x", "cmp-1", tries=0, baseline=0), None).missing


def test_a_server_that_is_deleted_in_that_moment_is_still_told_of(nova: LittleNova) -> None:
    del nova.servers[A]
    web = next(server for server in gather(nova.nova, ONE, 13).servers if server.id == A)
    assert web.name == A and web.state == "" and web.tries[0].request == "req-11"
    assert "gone since" in page(gather(nova.nova, ONE, 13), T)


def test_what_went_wrong_is_named(nova: LittleNova) -> None:
    wrong = "\n".join(gather(nova.nova, ONE, None).wrong)
    assert "1 protected servers were not moved: db-1: failed 5 times" in wrong
    assert "db-1 <b>: try 1 failed to cmp-3: Failed to deploy instance: <no> room (req-12)" in wrong
    assert "db-1 <b>: try 2 failed before a host was chosen: No valid host (req-13)" in wrong and "db-1 <b> is in ERROR now: No valid host" in wrong
    nova.migrations[2:4] = [row(12, B, "accepted", 7, 7, None)]
    assert "db-1 <b>: try 1 is accepted in Nova" in "\n".join(gather(nova.nova, ONE, 12).wrong)


@pytest.mark.parametrize(("end", "word"), [("dismissed", "a person dismissed"), ("fenced-again", "fenced again"), ("cleared", "went away before"),
                                           ("", "it goes on")])
def test_how_it_ended_is_named(nova: LittleNova, end: str, word: str) -> None:
    assert any(word in sentence for sentence in gather(nova.nova, Incident("x", "cmp-1", end=end), None).wrong)


def test_without_nova_the_history_is_told_alone(nova: LittleNova) -> None:
    nova.away = True
    told = gather(nova.nova, ONE, 13)
    assert told.missing.startswith("Nova's part is missing") and told.missing in told.wrong
    text = page(told, T)
    assert "Nova tells of no evacuation" in text and "2026-11-25 04:00:05.0 by ctl-1" in text


def test_the_page_stands_alone_and_holds_everything(nova: LittleNova) -> None:
    text = page(gather(nova.nova, ONE, 13), T + 100000)
    tree = html.fromstring(text)
    assert text.startswith("<!DOCTYPE html>") and not tree.xpath("//script|//link|//img|//iframe") and "url(" not in text and "@import" not in text
    assert not re.search(r"(src|href)=", text)
    words = " ".join(tree.text_content().split())
    assert "1 of 2 protected servers were not moved . The host was back in service at 2026-11-26 05:00:00.0" in words.replace("moved.", "moved .")
    assert tree.xpath("//h2/text()") == ["Timeline", "Facts", "Servers", "What went wrong", "Settings then in force"]
    assert "<b>" not in text and "db-1 &lt;b&gt;" in text, "a server's name is not markup"
    bars = [title for title in tree.xpath("//svg//rect/title/text()") if "try" in title]
    assert bars == ["web-1, try 1: completed to cmp-2, 14.0 s", "db-1 <b>, try 1: failed to cmp-3, 5.0 s", "db-1 <b>, try 2: error, 1.0 s"]
    assert len(tree.xpath("//svg//rect[@class='fencing']")) == 1 and tree.xpath("//svg//circle[@class='good']")
    assert "by the clock of the controller" in words and "nothing was decided by comparing them" in words
    assert tree.xpath("//tr[td='max_parallel']/td/text()") == ["max_parallel", "8", "256"]


def test_the_data_say_the_same(nova: LittleNova) -> None:
    data = json.loads(json.dumps(as_data(gather(nova.nova, ONE, 13))))
    assert data["incident"]["id"] == "3f9c" and (data["incident"]["done"], data["incident"]["left"]) == (1, 1)
    assert data["controllers_clock"]["over"] == T + 25 and data["novas_clock"] == {"heard": T - 2, "cleaned": T + 59}
    assert [(server["name"], server["arrived"], server["seconds"], len(server["tries"])) for server in data["servers"]] == [
        ("web-1", True, 14.0, 1), ("db-1 <b>", False, 11.0, 2)]
    assert data["servers"][0]["tries"][0]["steps"][0]["name"] == "compute_rebuild_instance"
    assert data["settings"]["max_parallel"] == "8" and data["settings"]["threshold"] == "50" and "password" not in data["settings"]
    assert as_data(Chronicle(Incident("a", "b")))["controllers_clock"]["returned"] is None


def test_an_incident_of_which_nothing_is_known_has_a_page() -> None:
    text = page(Chronicle(Incident("a", "b")), T)
    assert "No time of it is known" in text and "Nothing that the history or Nova tells of" in text


def test_settings_hold_no_credentials() -> None:
    assert not {name for name, _, _ in settings(ONE)} & {"password", "username", "auth_url", "cloud"}


def test_a_long_pause_is_cut_out_of_the_axis_and_short_ones_are_not() -> None:
    axis = Axis([0, 10, 20, 100000])
    assert len(axis.pieces) == 2 and len(axis.breaks()) == 1
    places = [axis.place(moment) for moment in (0, 10, 20, 100000)]
    assert LABELS <= places[0] < places[1] < places[2] < axis.breaks()[0] < places[3] <= WIDTH
    assert places[2] - places[0] > 400 and places[1] - places[0] == pytest.approx(places[2] - places[1])
    assert not Axis([0, 10, 35]).breaks()
    assert all(axis.place(tick) >= LABELS for tick in axis.ticks()) and len(axis.ticks()) < 20


def test_one_moment_can_be_drawn() -> None:
    svg = draw([Row("x", [Bar(T, None, "good", "y")])])
    assert svg is not None and len(svg.findall("circle")) == 1
    assert draw([Row("x")]) is None


def test_many_servers_have_a_row_each() -> None:
    moved = [Moved(f"{n}", f"s{n}", "cmp-2", "ACTIVE", "", [Try(n, "done", "cmp-2", "", T + n, T + n + 3, "")]) for n in range(200)]
    tree = html.fromstring(page(Chronicle(ONE, moved), T))
    assert len(tree.xpath("//svg//rect[@class='arrived']")) == 200
    assert float(tree.xpath("//svg")[0].get("viewbox", tree.xpath("//svg")[0].get("viewBox")).split()[3]) > 200 * 20


def test_an_incident_is_chosen_by_the_beginning_of_its_id() -> None:
    known = [Incident("3f9c", "cmp-1"), Incident("3f11", "cmp-2"), Incident("77aa", "cmp-1")]
    assert choose("3f9", known).id == "3f9c" and choose("last", known).id == "3f9c" and choose("77aa", known).node == "cmp-1"
    for word, said in (("3f", r"the beginning of several incidents: 3f9c \(cmp-1\), 3f11"), ("zz", "no incident 'zz'; the newest are 3f9c")):
        with pytest.raises(ConfigurationError, match=said):
            choose(word, known)
    with pytest.raises(ConfigurationError, match="no incident is remembered"):
        choose("last", [])


def test_an_incident_ends_where_the_next_of_its_host_began() -> None:
    """Baselines as a real Nova 34.0.0 gave them, which forgets the migrations of deleted servers: they do not only grow."""
    first, other, again, second, third = (
        Incident("a", "cmp-1", recorded=1, baseline=0, end=AGAIN), Incident("b", "cmp-2", recorded=2, baseline=3),
        Incident("c", "cmp-1", recorded=3, baseline=0),
        Incident("d", "cmp-1", recorded=4, baseline=15), Incident("e", "cmp-1", recorded=5, baseline=0))
    every = [third, second, again, other, first]
    assert [end_of(one, every) for one in (first, again, second, third, other)] == [15, 15, 0, None, None]
    ended = Incident("a", "cmp-1", recorded=1, baseline=0, end=IN_SERVICE)      # what it moved was deleted before the next one began
    assert end_of(ended, [*every, ended]) == 0
