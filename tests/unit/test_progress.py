"""What status and history print."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import pytest
import yaml
from instance_ha import cluster as door
from instance_ha.cli import common, main
from instance_ha.cli.status import CLEAR, watch
from instance_ha.engine.evacuation import Evacuation
from instance_ha.engine.scene import Task, Terms
from instance_ha.engine.selection import Policy
from instance_ha.errors import CloudUnreachable
from instance_ha.incident import Incident
from instance_ha.model import Claim, Record
from instance_ha.process import Outcome
from instance_ha.reporting import server_status as progress
from instance_ha.reporting.board import told
from lxml import etree

from tests.unit.little_nova import LittleNova
from tests.unit.test_report import T, row

CLAIM = {"locked": True, "locked_reason": Claim("cmp-1", "active", "3f9c", "ctl-1.1.1").text()}
UIDS = {name: f"{number:08x}-2222-3333-4444-555555555555" for number, name in enumerate(("done", "fails", "moves", "waits", "mine", "dies", "gone"))}
RECORD = Record("cmp-1", "confirmed", "3f9c", int(T), "ctl-1", proof="node_fenced:1", baseline=10, worker="ctl-1.1.1")


@pytest.fixture
def nova() -> Iterator[LittleNova]:
    """A host in the middle of its evacuation: a server of each kind."""
    little = LittleNova()
    little.service("cmp-1").update(forced_down=True, state="down", status="disabled")
    little.boot(UIDS["done"], "done", "cmp-2")
    little.boot(UIDS["fails"], "fails", **CLAIM, **{"OS-EXT-STS:vm_state": "error", "fault": {"message": "No valid host"}})
    little.boot(UIDS["moves"], "moves", **CLAIM, **{"OS-EXT-STS:task_state": "rebuild_spawning"})
    little.boot(UIDS["waits"], "waits")
    little.boot(UIDS["mine"], "mine", metadata={"evacuable": "false"})
    little.boot(UIDS["dies"], "dies", **{"OS-EXT-STS:task_state": "deleting"})
    little.migrations = [row(9, UIDS["waits"], "completed", 1, 2, source="cmp-1"), row(11, UIDS["done"], "done", 3, 8, "cmp-2", "cmp-1"),
                         row(12, UIDS["fails"], "error", 3, 4, None, "cmp-1"), row(13, UIDS["moves"], "failed", 3, 5, "cmp-2", "cmp-1"),
                         row(14, UIDS["moves"], "pre-migrating", 8, 9, "cmp-3", "cmp-1"), row(15, UIDS["gone"], "done", 3, 6, "cmp-3", "cmp-1")]
    little.actions[UIDS["fails"]] = [{"action": "evacuate", "request_id": "req-12", "start_time": "x", "updated_at": "x",
                                      "events": little._events("error", None, {})}]
    yield little
    little.server.shutdown()
    little.server.server_close()


def look(nova: LittleNova, record: Record = RECORD) -> dict[str, progress.Progress]:
    engine = Evacuation(nova.nova, Task("cmp-1", record.id, record.worker), Policy())
    baseline = 16 if record.baseline is None else record.baseline
    verdicts = engine.look(nova.nova.services(), Terms(baseline, starts=record.state != "returning")).verdicts
    found = progress.look(nova.nova, record, "cmp-1", {one.server.id: told(one) for one in verdicts}, T + 30)
    return {one.name: one for one in found}


def test_each_server_with_where_from_where_to_how_far_and_why(nova: LittleNova) -> None:
    found = look(nova)
    assert {name: (one.source, one.to, one.state, one.attempt, one.seconds) for name, one in found.items()} == {
        "done": ("cmp-1", "cmp-2", "arrived", 1, 5.0), "fails": ("cmp-1", "", "failed", 1, 1.0), "moves": ("cmp-1", "cmp-3", "moving", 2, 22.0),
        "waits": ("cmp-1", "", "waiting", 0, None), "mine": ("cmp-1", "", "not protected", 0, None), "dies": ("cmp-1", "", "left", 0, None),
        UIDS["gone"]: ("cmp-1", "cmp-3", "gone", 1, 3.0)}
    assert "No valid host (req-12); it is tried again" in found["fails"].reason and found["dies"].reason == "its user is deleting it"
    assert found["mine"].reason == "server metadata evacuable=false" and found["done"].reason == ""
    assert progress.summary(found.values()) == "1 waiting, 1 moving, 1 arrived, 1 failed, 1 left, 1 not protected, 1 gone"


def test_it_only_looks(nova: LittleNova) -> None:
    look(nova)
    assert all(asked.startswith("GET ") for asked in nova.asked)


def test_before_the_evacuation_has_begun_nothing_of_earlier_ones_counts(nova: LittleNova) -> None:
    found = look(nova, Record("cmp-1", "fenced", "3f9c"))
    assert "done" not in found and found["waits"].attempt == 0 and found["moves"].attempt == 0


def test_a_host_that_is_back_has_closed_its_records_and_no_time_is_made_of_that(nova: LittleNova) -> None:
    nova.migrations[1]["status"] = "completed"
    one = look(nova, Record("cmp-1", "returning", "3f9c", baseline=10))["done"]
    assert one.state == "arrived" and one.seconds is None


def test_without_glance_everything_else_is_shown(nova: LittleNova) -> None:
    nova.boot(UIDS["waits"], "waits", image={"id": "gone"}, flavor={})
    nova.answer = lambda *args, real=nova.answer: (503, None) if args[1].startswith("/v2/images") else real(*args)  # type: ignore[method-assign]
    found = look(nova)
    assert found["waits"].state == "waiting" and "whether it is protected only its image says" in found["waits"].reason


ROWS = ((1, "a,b", None), (2, "c", 1.5))


@pytest.mark.parametrize("how", ["json", "yaml", "csv", "table"])
def test_every_format(capsys: pytest.CaptureFixture[str], how: str) -> None:
    common.print_rows(("N", "Text", "More"), ROWS, how)
    out = capsys.readouterr().out
    if how in ("json", "yaml"):
        wanted = [{"N": 1, "Text": "a,b", "More": None}, {"N": 2, "Text": "c", "More": 1.5}]
        assert (json.loads(out) if how == "json" else yaml.safe_load(out)) == wanted
    elif how == "csv":
        assert list(csv.reader(io.StringIO(out))) == [["N", "Text", "More"], ["1", "a,b", ""], ["2", "c", "1.5"]]
    else:
        assert "| 1 | a,b  |      |" in out


@pytest.mark.parametrize(("how", "first"), [("table", "20"), ("json", "{"), ("yaml", "---\n")])
def test_watching_goes_on_when_nova_is_away_and_ends_with_the_last_code(capsys: pytest.CaptureFixture[str], how: str, first: str) -> None:
    codes = iter([0, CloudUnreachable("no answer"), 1, KeyboardInterrupt()])

    def one() -> int:
        code = next(codes)
        if isinstance(code, BaseException):
            raise code
        print(json.dumps({"code": code}) if how == "json" else f"code: {code}")
        return code

    assert watch(one, 0.0, how) == 1
    out = capsys.readouterr().out
    assert out.startswith(first) and "no answer" in out and CLEAR not in out and out.count("code") >= 2
    if how == "json":
        assert [set(json.loads(line)) for line in out.splitlines()] == [{"code"}, {"time", "error"}, {"code"}]


class Cib:
    """cibadmin with a history, one record and no NovaEvacuate resource."""

    def __init__(self, *incidents: Incident, record: str = "") -> None:
        self.config = etree.Element("crm_config")
        home = etree.SubElement(self.config, "cluster_property_set", id="instance-ha-history")
        for one in incidents:
            etree.SubElement(home, "nvpair", id=f"instance-ha-history-{one.id}", name=f"instance-ha-{one.id}", value=one.text())
        pair = f'<nvpair id="x" name="evacuate" value="{record}"/>' if record else ""
        self.nodes = f'<nodes><node id="3" uname="cmp-2"><instance_attributes id="y">{pair}</instance_attributes></node></nodes>'

    def __call__(self, argv: list[str], timeout: float) -> Outcome:
        parts = {"crm_config": etree.tostring(self.config, encoding="unicode"), "nodes": self.nodes, "resources": "<resources/>"}
        if "--scope" in argv:
            return Outcome(0, parts[argv[-1]], "")
        return Outcome(0, f'<cib have-quorum="1"><configuration>{"".join(parts.values())}</configuration><status/></cib>', "")


OLD = Incident("aaaa", "cmp-1", "cmp-1", "evacuated", "in-service", T, T + 1.2, T + 2, T + 9, T + 10, T + 600, 4, 4, 0, 4, 0, "ctl-1", "ctl-2")
BAD = Incident("bbbb", "cmp-2", "cmp-2", "partly", "in-service", T + 9000, T + 9001, T + 9002, 0, T + 9100, T + 9600, 4, 3, 1, 9, 4)


def history(monkeypatch: pytest.MonkeyPatch, cib: Cib, *argv: str) -> int:
    monkeypatch.setattr(door, "run", cib)
    monkeypatch.setattr(common, "run", cib)
    return main(["history", *argv])


def test_history_newest_first_with_exit_codes_for_scripts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert history(monkeypatch, Cib(OLD, BAD), "-f", "json") == 1
    told = json.loads(capsys.readouterr().out)
    assert [(one["Incident"], one["End"], one["Done"], one["Left"], one["Recorded"]) for one in told] == [
        ("bbbb", "in-service", 3, 1, "2026-11-25T06:30:00Z"), ("aaaa", "in-service", 4, 0, "2026-11-25T04:00:00Z")]
    assert history(monkeypatch, Cib(OLD, BAD), "cmp-1") == 0
    out = capsys.readouterr().out
    assert "| aaaa" in out and "4/4" in out and "1.2 s" in out and "10.0 s" in out and "bbbb" not in out
    assert history(monkeypatch, Cib(OLD, BAD), "-n", "1", "-f", "csv") == 1
    assert [line[0] for line in csv.reader(io.StringIO(capsys.readouterr().out))] == ["Incident", "bbbb"]


def test_what_goes_on_is_in_the_history_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert history(monkeypatch, Cib(OLD, record=f"confirmed;id=cccc;since={int(T) + 50};by=ctl-2;proof=node_fenced:5"), "-f", "yaml") == 1
    one = yaml.safe_load(capsys.readouterr().out)[0]
    assert (one["Incident"], one["State"], one["End"], one["By"], one["Left"]) == ("cccc", "confirmed", "open", "ctl-2", None)


def test_a_line_that_cannot_be_read_hides_no_other_and_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    cib = Cib(OLD)
    etree.SubElement(cib.config[0], "nvpair", id="x", name="instance-ha-odd", value="9" * 5000)
    assert history(monkeypatch, cib) == 0
    told = capsys.readouterr()
    assert "| aaaa" in told.out and told.err.startswith("instance-ha: 1 of the history's lines cannot be read, and are left out: instance-ha-odd;")


def test_no_history_is_said_and_is_no_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert history(monkeypatch, Cib()) == 0
    assert "no incident is remembered" in capsys.readouterr().err
    assert history(monkeypatch, Cib(BAD), "cmp-2.example") == 0 and "no incident is remembered of cmp-2.example" in capsys.readouterr().err
    assert history(monkeypatch, Cib(OLD), "cmp-9") == 2
    assert "no incident is remembered of 'cmp-9', and it is no node of this cluster" in capsys.readouterr().err


@pytest.mark.parametrize(("argv", "word"), [(["-n", "0"], "--newest 0"), ([], "cibadmin failed with 102")])
def test_what_cannot_be_read_is_one_sentence_and_code_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argv: list[str],
                                                        word: str) -> None:
    monkeypatch.setattr(door, "run", lambda *_: Outcome(102, "", "Could not connect to the CIB: Transport endpoint is not connected"))
    monkeypatch.setattr(common, "run", lambda *_: Outcome(102, "", "Could not connect to the CIB: Transport endpoint is not connected"))
    assert main(["history", *argv]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("instance-ha: ") and word in told.err and told.err.count("\n") == 1 and not told.out
