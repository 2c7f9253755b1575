"""One incident from the fencing to the return: what is told of it. A worker on a real HTTP Nova and on Pacemaker's tools as they answer."""

from __future__ import annotations

import json
import logging
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from instance_ha import cluster as door
from instance_ha import model, params
from instance_ha.cluster import Cluster
from instance_ha.engine import evacuation
from instance_ha.engine.context import Context
from instance_ha.engine.selection import policy_from
from instance_ha.engine.worker import Worker
from instance_ha.incident import Incident, parse_incident
from instance_ha.model import Record
from instance_ha.process import Outcome
from instance_ha.reporting.tale import Sight, Tale
from instance_ha.reporting.telling import HISTORY_PAUSE, METRICS_PAUSE, Teller
from lxml import etree

from tests.unit.exposition import read
from tests.unit.fake import root_of, versioned
from tests.unit.little_nova import LittleNova

A, B, C = (f"{digit * 8}-2222-3333-4444-555555555555" for digit in "abc")
FENCED = 'in_ccm="false" node_fenced="1795579201"'
ONLINE = 'in_ccm="true" node_fenced="0"'
RECORD = "fenced;id=3f9c;since=1795559436;by=ctl-1;seen=-"
HISTORY = '<pacemaker-result><list name="fencing history" count="0"/></pacemaker-result>'


class Pacemaker:
    """Its tools on one CIB, which they change."""

    def __init__(self) -> None:
        self.record, self.state, self.fails, self.held = "", ONLINE, False, False
        self.config = etree.fromstring("<crm_config/>")
        self.written: list[str] = []
        self.shown: dict[str, str] = {}

    def cib(self) -> str:
        pair = f'<nvpair id="nodes-cmp-1-evacuate" name="evacuate" value="{self.record}"/>' if self.record else ""
        pair += '<nvpair id="nodes-cmp-1-evacuate-held" name="evacuate-held" value="true"/>' if self.held else ""
        return f"""<cib have-quorum="1"><configuration>{etree.tostring(self.config, encoding="unicode")}
          <nodes><node type="remote" id="cmp-1" uname="cmp-1"><instance_attributes id="nodes-cmp-1">{pair}</instance_attributes></node></nodes>
          <resources><primitive id="cmp-1" class="ocf" type="remote" provider="pacemaker"/><primitive id="p" class="stonith" type="fence_ipmilan"/>
          <primitive id="n" class="stonith" type="fence_nova"/></resources>
          <fencing-topology><fencing-level index="1" devices="p,n" target="cmp-1" id="l"/></fencing-topology></configuration>
          <status><node_state remote_node="true" id="cmp-1" uname="cmp-1" {self.state}/></status></cib>"""

    def __call__(self, argv: list[str], timeout: float) -> Outcome:
        words = dict(zip(argv, argv[1:]))
        if argv[:2] == ["cibadmin", "--query"]:
            cib = versioned(self.cib())
            if "--no-children" in argv:
                return Outcome(0, root_of(cib), "")
            root = etree.fromstring(cib)
            return Outcome(0, etree.tostring(root.find(f".//{words['--scope']}") if "--scope" in words else root, encoding="unicode"), "")
        if argv[0] == "stonith_admin":
            return Outcome(0, HISTORY, "")
        if argv[0] == "crm_mon":
            online = "true" if self.state == ONLINE else "false"
            node = f'<node name="cmp-1" id="cmp-1" online="{online}" type="remote"/>'
            return Outcome(0, f"<pacemaker-result><nodes>{node}</nodes></pacemaker-result>", "")
        if argv[0] == "crm_node":
            return Outcome(0, "ctl-1\n", "")
        if argv[0] == "attrd_updater":
            return Outcome(78, "", "attrd_updater: Could not query value of evacuate: attribute does not exist")
        if "evacuate-held" in " ".join(argv):
            self.held = argv[0] == "crm_attribute"
            return Outcome(0, "", "")
        if argv[0] == "crm_attribute":
            self.shown[words["--name"]] = words.get("--update", "")
            return Outcome(0, "", "")
        if words.get("--scope") == "crm_config":
            return self._remember(etree.fromstring(words["--xml-text"]))
        self.record = etree.fromstring(words["--xml-text"]).get("value") if argv[1] == "--modify" else ""
        return Outcome(0, "", "")

    def _remember(self, change: Any) -> Outcome:
        if self.fails:
            return Outcome(102, "", "Call cib_apply_diff failed (-62): Timer expired")
        home = next(iter(self.config), None)
        home = etree.SubElement(self.config, change.tag, dict(change.attrib)) if home is None else home
        for pair in change:
            for old in home.xpath(f"nvpair[@id='{pair.get('id')}']"):
                home.remove(old)
            home.append(pair)
            self.written.append(pair.get("value"))
        return Outcome(0, "", "")


class Stage:
    """A worker and its teller, turn by turn."""

    def __init__(self, tools: Pacemaker, nova: LittleNova, folder: Path, **given: str) -> None:
        self.tools, self.little, self.folder, self.now = tools, nova, folder, 100.0
        self.events = folder / "events"
        script = folder / "hook.sh"
        script.write_text(f"#!/bin/sh\ncat >> {self.events}\n")
        script.chmod(0o755)
        self.values = params.resolve(params.of(params.OCF), {
            "cloud": "x", "metrics_directory": str(folder), "hook": str(script), **given})
        self.start()

    def start(self) -> None:
        """A new worker, as after the death of the one before."""
        self.worker = Worker(Context(Cluster(), self.little.nova, policy_from(self.values), f"ctl-1.{self.now}", clock=lambda: self.now))
        self.teller = Teller("nova-evacuate", "ctl-1", self.worker.context.cluster, self.values)

    def turns(self, count: int = 1, seconds: float = 1.0) -> None:
        for _ in range(count):
            self.worker.turn()
            self.teller.look(self.worker)
            for lane in (self.teller._history_lane, self.teller._hook_lane, self.teller._file_lane):
                lane.close(5)
            self.now += seconds

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.events.read_text().splitlines()] if self.events.exists() else []

    def kinds(self) -> list[str]:
        return [event["event"] for event in self.told()]

    def kept(self) -> Incident | None:
        return parse_incident(self.tools.written[-1]) if self.tools.written else None

    def samples(self) -> dict[Any, float]:
        return read((self.folder / "instance_ha_nova-evacuate.prom").read_text())[1]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stage]:
    tools, nova = Pacemaker(), LittleNova()
    monkeypatch.setattr(door, "run", tools)
    nova.boot(A, "web-1")
    nova.boot(B, "db-1")
    nova.boot(C, "scratch", metadata={"evacuable": "false"})
    one = Stage(tools, nova, tmp_path, max_parallel="8", retry_pause="6")
    monkeypatch.setattr(evacuation, "time", SimpleNamespace(monotonic=lambda: one.now))
    yield one
    nova.server.shutdown()
    nova.server.server_close()


def die(stage: Stage) -> None:
    """As fence_nova and Pacemaker leave it."""
    stage.tools.record, stage.tools.state = RECORD, FENCED
    stage.little.service("cmp-1").update(forced_down=True, state="down")


def until_evacuating(stage: Stage) -> None:
    stage.turns()
    die(stage)
    stage.turns(6)
    assert len(stage.little.migrations) == 2


def until_partly(stage: Stage) -> None:
    """web-1 has moved; for db-1 there is no room."""
    until_evacuating(stage)
    stage.little.move(A, "done", "cmp-2")
    stage.little.move(B, "error")
    stage.turns(4)


def until_evacuated(stage: Stage) -> None:
    """Room comes: the last server is moved."""
    until_partly(stage)
    end = time.monotonic() + 10
    while len(stage.little.migrations) < 3 and time.monotonic() < end:
        stage.turns()
    stage.little.move(B, "done", "cmp-3")
    stage.turns(6)


def until_back(stage: Stage) -> None:
    until_evacuated(stage)
    stage.tools.state = ONLINE
    stage.tools.record = stage.tools.record.replace("evacuated", "returning")
    for row in stage.little.migrations:
        row["status"] = "completed" if row["status"] == "done" else row["status"]
    for second in range(8):
        stage.little.service("cmp-1")["updated_at"] = f"2026-11-25T04:10:0{second}.000000"
        stage.turns()
    assert not stage.tools.record


def test_the_events_of_an_incident_in_their_order(stage: Stage) -> None:
    until_back(stage)
    kinds = [kind for kind in stage.kinds() if kind != "server-failed"]
    assert kinds == ["recorded", "confirmed", "server-arrived", "partly", "server-arrived", "evacuated", "in-service"]
    told = stage.told()
    assert {event["incident"] for event in told} == {"3f9c"} and {event["node"] for event in told} == {"cmp-1"}
    arrived = next(event for event in told if event["event"] == "server-arrived")
    failed = next(event for event in told if event["event"] == "server-failed")
    request = next(row["request_id"] for row in stage.little.actions[A] if row["action"] == "evacuate")
    assert (arrived["server"], arrived["name"], arrived["to"], arrived["attempt"], arrived["request"]) == (A, "web-1", "cmp-2", 1, request)
    assert (failed["server"], failed["name"], failed["attempt"], failed["final"]) == (B, "db-1", 1, 0) and "No valid host" in failed["reason"]
    assert not any(event.get("server") == C for event in told), "not protected, and told of"
    assert [event["done"] for event in told if event["event"] in ("partly", "evacuated")] == [1, 2]


def test_a_host_that_nobody_may_take_over_says_so(stage: Stage) -> None:
    for host in ("cmp-2", "cmp-3"):
        stage.little.service(host).update(status="disabled")
    stage.turns()
    die(stage)
    stage.turns(8)
    partly = next(event for event in stage.told() if event["event"] == "partly")
    assert partly["sentence"] == "2 servers of cmp-1 are not moved: no other compute host is up and enabled"
    kept = stage.kept()
    assert kept is not None and kept.reason == "no other compute host is up and enabled"


def test_the_log_has_a_line_of_pairs_for_each(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    until_evacuated(stage)
    lines = [record.getMessage() for record in caplog.records]
    evacuate = f"action=evacuate incident=3f9c server={A} request=req-"
    assert sum(line.startswith(evacuate) for line in lines) == 1 and any(line.startswith(f"action=lock incident=3f9c server={A}") for line in lines)
    assert any(line.startswith(f"event=server-arrived incident=3f9c node=cmp-1 server={A} name=web-1 attempt=1 request=req-") for line in lines)


def test_the_history_is_written_when_it_is_over_and_when_the_host_is_back(stage: Stage) -> None:
    until_partly(stage)
    kept = stage.kept()
    assert kept is not None and (kept.state, kept.protected, kept.done, kept.left, kept.end) == ("partly", 2, 1, 1, "")
    assert "No valid host" in kept.reason
    assert kept.settings == {"hook": "set", "max_parallel": "8", "retry_pause": "6", "metrics_directory": str(stage.folder)}
    stage.turns(20)
    assert len(stage.tools.written) == 1, "nothing has changed"


def test_the_history_at_the_end(stage: Stage) -> None:
    until_back(stage)
    assert len(stage.tools.written) == 3
    over, back = (parse_incident(text) for text in stage.tools.written[1:])
    assert over is not None and back is not None
    assert (over.state, over.done, over.left, over.tries, over.end, over.returned) == ("evacuated", 2, 0, 3, "", 0)
    assert over.recorded == 1795559436 and over.recorded < over.proven <= over.requested <= over.arrived <= over.over
    assert over.heard == "2026-11-25T04:00:01.000000" and over.proof == "node_fenced:1795579201" and (over.by, over.worker) == ("ctl-1", "ctl-1")
    assert back.end == "in-service" and back.returned >= back.over == over.over


def test_metrics_of_an_incident(stage: Stage) -> None:
    stage.turns()
    assert stage.samples()["instance_ha_compute_hosts", (("state", "up"),)] == 3
    until_partly(stage)
    samples = stage.samples()
    assert [samples["instance_ha_host_servers", (("node", "cmp-1"), ("state", state))] for state in ("arrived", "left", "moving")] == [1, 1, 0]
    assert samples["instance_ha_host_record", (("node", "cmp-1"), ("state", "partly"))] == 1
    assert samples["instance_ha_worker_problems", ()] == 1


def test_metrics_at_the_end(stage: Stage) -> None:
    until_back(stage)
    samples = stage.samples()
    wanted = {"incidents_total": 1, "fencings_confirmed_total": 1, "servers_arrived_total": 2, "evacuation_requests_total": 3,
              "evacuation_failures_total": 1, "server_duration_seconds_count": 2, "history_failures_total": 0}
    assert {name: samples[f"instance_ha_{name}", ()] for name in wanted} == wanted
    assert samples["instance_ha_incidents_ended_total", (("end", "in-service"),)] == 1
    assert {phase for name, labels in samples for label, phase in labels if name.endswith("phase_duration_seconds_count")} == {
        "fencing", "start", "evacuation", "return"}
    assert not any(name == "instance_ha_host_record" for name, _ in samples)
    stage.turns(2, METRICS_PAUSE)              # what the last call brought is in the next file
    assert stage.samples()["instance_ha_hook_calls_total", (("result", "ok"),)] == len(stage.told()) > 6
    stage.teller.close()
    assert not list(stage.folder.glob("*.prom")) and not list(stage.folder.glob(".instance_ha*"))


def test_another_worker_goes_on_with_what_the_history_knows(stage: Stage) -> None:
    until_evacuated(stage)
    before = stage.kinds()
    stage.start()
    stage.turns(3)
    assert stage.kinds() == before and len(stage.tools.written) == 2, "told or written again"


def test_a_return_that_no_worker_saw_is_put_into_the_history(stage: Stage) -> None:
    until_partly(stage)
    stage.tools.record, stage.tools.state = "", ONLINE
    stage.little.service("cmp-1").update(forced_down=False, state="up", status="enabled", disabled_reason=None)
    stage.start()
    stage.turns(3)
    kept = stage.kept()
    assert kept is not None and (kept.end, kept.returned, kept.done) == ("in-service", 0, 1) and len(stage.tools.written) == 2


def test_a_dismissal_is_told(stage: Stage) -> None:
    until_partly(stage)
    stage.tools.record = "no"
    stage.turns(2)
    kept = stage.kept()
    assert stage.kinds()[-1] == "dismissed" and kept is not None and kept.end == "dismissed" and not kept.returned


def test_a_host_that_is_fenced_again_ends_the_incident_before(stage: Stage) -> None:
    until_partly(stage)
    stage.tools.record = RECORD.replace("3f9c", "77aa")
    stage.turns(3)
    assert stage.told()[-1]["incident"] == "77aa"
    kept = parse_incident(stage.tools.written[1])
    assert kept is not None and (kept.id, kept.end) == ("3f9c", "fenced-again")


def test_an_old_record_that_goes_away_was_no_evacuation(stage: Stage) -> None:
    stage.turns()
    stage.tools.record = RECORD
    stage.turns()
    stage.tools.record = ""
    stage.turns(2)
    kept = stage.kept()
    assert stage.kinds() == ["recorded", "cleared"] and kept is not None and kept.end == "cleared"


def test_a_history_that_cannot_be_written_hinders_nothing_and_is_tried_again(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.tools.fails = True
    until_partly(stage)
    assert stage.tools.record.startswith("partly") and not stage.tools.written
    assert "the incident 3f9c of cmp-1 is not in the history yet" in caplog.text and "Timer expired" in caplog.text
    stage.tools.fails = False
    stage.turns(3)
    assert not stage.tools.written, "tried again at once"
    stage.turns(2, HISTORY_PAUSE)
    assert len(stage.tools.written) == 1 and stage.samples()["instance_ha_history_failures_total", ()] == 1


def test_a_line_of_the_history_that_cannot_be_read_is_left_out_and_named_until_it_is_gone(stage: Stage) -> None:
    until_partly(stage)
    line = stage.tools.config[0][0]
    odd = etree.SubElement(stage.tools.config[0], "nvpair", id="x", name="instance-ha-it's", value="what;is=this")
    stage.start()
    stage.turns(2)
    said = stage.worker.context.health.problems["history"]
    assert said.startswith("1 of the history's lines cannot be read, and are left out: instance-ha-it's; delete it: crm_attribute ")
    assert said.endswith(shlex.join(["--name", "instance-ha-it's", "--delete"])) and line.get("value")
    assert [*(stage.teller.history or {})] == ["3f9c"]
    stage.tools.config[0].remove(odd)
    stage.turns(2, HISTORY_PAUSE)
    assert "history" not in stage.worker.context.health.problems


def test_a_hook_that_hangs_hinders_nothing(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    (stage.folder / "hook.sh").write_text("#!/bin/sh\nexec sleep 60\n")
    assert stage.teller.hook is not None
    stage.teller.hook.limit = 0.3
    until_partly(stage)
    assert len(stage.tools.written) == 1
    assert "the hook was not told of recorded of 3f9c" in caplog.text and "did not end within 0.3 s" in caplog.text
    stage.turns(2)
    assert stage.samples()["instance_ha_hook_calls_total", (("result", "failed"),)] >= 5


def test_a_directory_that_is_not_there_hinders_nothing_and_is_said_once(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.values["metrics_directory"] = "/nowhere"
    stage.teller.configure(stage.values)
    until_partly(stage)
    assert caplog.text.count("the metrics cannot be written to /nowhere/instance_ha_nova-evacuate.prom: No such file or directory") == 1


def test_what_parameters_name_and_is_not_there_degrades_the_monitor(stage: Stage) -> None:
    stage.values.update(metrics_directory="/nowhere", hook="/nowhere/hook")
    stage.start()
    _until(stage, {"metrics", "hook"})
    problems = stage.worker.context.health.problems
    assert problems["hook"] == "hook=/nowhere/hook is not there"
    assert problems["metrics"].startswith("the metrics cannot be written to /nowhere/")
    stage.teller.configure({**stage.values, "metrics_directory": "", "hook": ""})
    _until(stage, set())


def _until(stage: Stage, subjects: set[str]) -> None:
    """Go on until the worker has these problems, of the two."""
    end = time.monotonic() + 10
    while {"metrics", "hook"} & {*stage.worker.context.health.problems} != subjects:
        assert time.monotonic() < end, stage.worker.context.health.problems
        stage.turns()


def test_a_bug_in_telling_hinders_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(Teller, "_sight", lambda *_: 1 / 0)
    until_evacuating(stage)
    assert caplog.text.count("what happens is not told as it should be") == 1


def test_what_has_just_happened_is_in_the_file_soon_although_it_was_just_written(stage: Stage) -> None:
    stage.turns(1, 0.3)
    stage.tools.record = RECORD
    stage.turns(1, 0.3)
    stage.tools.record = ""
    stage.turns(2, 0.3)
    assert stage.samples()["instance_ha_incidents_total", ()] == 0
    stage.turns()
    assert stage.samples()["instance_ha_incidents_ended_total", (("end", "cleared"),)] == 1


def test_when_nova_is_away_the_metrics_say_so(stage: Stage) -> None:
    stage.turns()
    assert stage.samples()["instance_ha_nova_reachable", ()] == 1
    stage.little.away = True
    die(stage)
    stage.turns(4)
    samples = stage.samples()
    assert samples["instance_ha_nova_reachable", ()] == 0 and samples["instance_ha_cluster_quorate", ()] == 1
    assert stage.kinds() == ["recorded", "confirmed"]


def test_a_phase_ends_when_it_ended_and_not_when_the_turn_was_over() -> None:
    marks: list[tuple[str, float]] = []
    tale = Tale(Incident("3f9c", "cmp-1", state=model.FENCED, recorded=1000.0), False, 0.0, lambda *mark: marks.append(mark))
    tale.record(Record("cmp-1", model.CONFIRMED, "3f9c", proof="node_fenced:1010"), 1010.0, 10.0)
    tale.sight(Sight("cmp-1", [], 1, 0), 1020.0, 20.0, (1013.0, 13.0))
    assert (tale.incident.proven, tale.incident.requested) == (1010.0, 1013.0) and marks == [("fencing", 10.0), ("start", 3.0)]


def test_a_destination_that_fails_several_servers_is_told_once_and_shown(stage: Stage) -> None:
    for number in range(3):
        stage.little.boot(f"{number}1111111-2222-3333-4444-555555555555", f"more-{number}")
    stage.turns()
    die(stage)
    stage.turns(6)
    for row in [*stage.little.migrations]:
        stage.little.move(row["instance_uuid"], "failed", "cmp-2")
    stage.turns(6)
    told = [event for event in stage.told() if event["event"] == "destination-failing"]
    assert [(event["destination"], event["node"]) for event in told] == [("cmp-2", "cmp-1")]
    assert stage.samples()["instance_ha_destination_failing", (("host", "cmp-2"),)] == 1
