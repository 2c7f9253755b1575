"""One host really killed, and what an operator sees of it: live, in the history of each controller, in the report, in the metrics, by the hook."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from lxml import html

from tests.cluster.scenario import Story, healthy
from tests.lab import cluster, guests, servers, watch
from tests.lab import node as machine
from tests.lab.common import Node, wait_until
from tests.unit.exposition import read

HOOK = "/usr/local/sbin/tell"
METRICS = "/var/log/metrics"          # a folder of the node's own that can be read from outside
EVENTS = "/var/log/hook.events"
LIMIT = 60.0
SOON = 20.0                           # from the confirmation to the first request; far less on a machine that has nothing else to do


def controllers() -> list[Node]:
    return [node for node in cluster.size().nodes if node.kind == "controller"]


def instance_ha(*argv: str, code: int = 0, node: str | None = None) -> str:
    done = machine.exec_in(cluster.find(node or watch.controller()), ["instance-ha", *argv], 60)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def telling() -> Iterator[None]:
    """The worker has a hook and a directory for metrics."""
    for node in controllers():
        machine.put(node, HOOK, f"#!/bin/sh\nflock {EVENTS} cat >> {EVENTS}\n", 0o755)
        machine.exec_in(node, ["mkdir", "-p", METRICS], check=True)
    watch.on_controller("pcs", "resource", "update", "nova-evacuate", f"hook={HOOK}", f"metrics_directory={METRICS}", "max_parallel=8")
    assert wait_until(lambda: watch.where_runs("nova-evacuate") and metrics(), LIMIT, 0.5)
    yield
    watch.on_controller("pcs", "resource", "update", "nova-evacuate", "hook=", "metrics_directory=", "max_parallel=")
    for node in controllers():
        (machine.folder(node) / "log" / "hook.events").unlink(missing_ok=True)


def metrics() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """The samples of the newest file on any controller."""
    files = [path for node in controllers() for path in (machine.folder(node) / "log" / "metrics").glob("*.prom")]
    return read(max(files, key=lambda path: path.stat().st_mtime).read_text())[1] if files else {}


def told() -> list[dict[str, object]]:
    paths = [machine.folder(node) / "log" / "hook.events" for node in controllers()]
    return [json.loads(line) for path in paths if path.exists() for line in path.read_text().splitlines()]


def test_what_an_operator_sees_of_an_incident(telling: None) -> None:
    story = Story()
    story.boot(running=3, stopped=1, out=1)
    guests.set_knob("spawn_delay", 3)
    before, counted = {one["Incident"] for one in json.loads(history()[0])}, metrics()
    live = watching()
    story.cut_power()
    story.recovered()
    healthy()
    looks = ended(live)
    seen = {(one["Name"], one["State"]) for look in looks for one in look.get("servers", [])}
    assert {("s0-0", "moving"), ("s0-0", "arrived"), ("s1-0", "arrived"), ("s3-0", "not protected")} <= seen, seen
    moving = [one for look in looks for one in look.get("servers", []) if one["State"] == "moving" and one["Seconds"]]
    assert moving and all(one["From"] == "cmp-1" and one["Attempt"] == 1 and 0 <= one["Seconds"] < LIMIT for one in moving)
    records = {host["record"] for look in looks for host in look.get("hosts", [])}
    assert "confirmed" in records and records & {"evacuated", "returning"}, "the states went by unseen"

    def ends() -> list[str]:
        return [one["End"] for text in history() for one in json.loads(text) if one["Incident"] not in before]

    assert wait_until(lambda: ends() == ["in-service"] * len(controllers()), LIMIT, 0.5), history()
    one, = (one for one in json.loads(history()[0]) if one["Incident"] not in before)
    assert (one["Node"], one["State"], one["End"], one["Protected"], one["Done"], one["Left"], one["Tries"]) == (
        "cmp-1", "returning", "in-service", 4, 4, 0, 4)
    assert one["Settings"] == f"hook=set image_disks=evacuate max_parallel=8 metrics_directory={METRICS}"
    assert one["Recorded"] <= one["Proven"] <= one["Requested"] <= one["Arrived"] <= one["Over"] <= one["Returned"]
    assert len({json.dumps([line for line in json.loads(text) if line["Incident"] == one["Incident"]]) for text in history()}) == 1

    check_report(story, one["Incident"])
    check_events(story, one["Incident"])
    def grown(name: str, *labels: tuple[str, str]) -> float:
        key = (f"instance_ha_{name}", labels)
        return metrics().get(key, 0) - counted.get(key, 0)

    assert wait_until(lambda: grown("incidents_ended_total", ("end", "in-service")) == 1, LIMIT, 0.5)
    assert grown("servers_arrived_total") == grown("evacuation_requests_total") == grown("server_duration_seconds_count") == 4
    assert grown("incidents_total") == grown("fencings_confirmed_total") == 1 and metrics()["instance_ha_nova_reachable", ()] == 1
    assert grown("phase_duration_seconds_sum", ("phase", "start")) < SOON
    check_log(story, one["Incident"])
    story.audit()


def history() -> list[str]:
    """What each controller remembers, as JSON."""
    texts = [machine.exec_in(node, ["instance-ha", "history", "-f", "json"], 60) for node in controllers()]
    assert all(done.returncode in (0, 1) for done in texts), [done.stderr for done in texts]
    return [done.stdout for done in texts]


def test_a_name_that_is_no_hosts_is_not_a_host_that_is_well() -> None:
    instance_ha("status", "cmp-1")
    instance_ha("status", "cmp-x", code=2)


def watching() -> subprocess.Popen[str]:
    argv = machine.enter(cluster.find("ctl-2"), ["instance-ha", "status", "--watch", "0.5", "-f", "json"])
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def ended(live: subprocess.Popen[str]) -> list[dict[str, list[dict[str, object]]]]:
    """What it has printed, line by line, once it is ended."""
    os.killpg(live.pid, signal.SIGTERM)    # nsenter's child has its group; SIGINT may be ignored, as where the tests run in the background
    out, err = live.communicate(timeout=20)
    assert not err, err
    return [json.loads(line) for line in out.splitlines()]


def check_report(story: Story, incident: str) -> None:
    data = json.loads(instance_ha("report", incident, "-f", "json"))
    moved = {server["id"]: server for server in data["servers"]}
    assert set(moved) == set(story.before) - story.stays
    found = servers.listed()
    rows = {row["instance_uuid"]: row for row in servers.evacuations("cmp-1") if row["instance_uuid"] in moved}
    for uid, server in moved.items():
        only, = server["tries"]
        assert server["arrived"] and server["where"] == only["to"] == servers.host_of(found[uid]) and only["migration"] == rows[uid]["id"]
        assert only["request"].startswith("req-") and 2 < server["seconds"] < LIMIT and only["steps"]
    clock, nova = data["controllers_clock"], data["novas_clock"]
    assert story.begun < clock["recorded"] + 1 and clock["recorded"] <= clock["proven"] <= clock["over"] < clock["returned"] < time.time()
    assert nova["heard"] < clock["recorded"] + 1 and nova["cleaned"] > nova["heard"]
    assert data["wrong"] == [] and data["settings"]["max_parallel"] == "8"
    text = instance_ha("report", "last")
    tree = html.fromstring(text)
    assert not tree.xpath("//script|//link|//img") and len(tree.xpath("//svg//rect[@class='arrived']")) == 4
    assert "All 4 protected servers were moved" in tree.text_content() and incident in tree.xpath("//title")[0].text


def check_events(story: Story, incident: str) -> None:
    assert wait_until(lambda: any(event["event"] == "in-service" for event in told()), LIMIT, 0.5), told()
    kinds = [str(event["event"]) for event in told()]
    assert kinds[:2] == ["recorded", "confirmed"] and kinds[-2:] == ["evacuated", "in-service"], kinds
    arrived = [event for event in told() if event["event"] == "server-arrived"]
    assert {event["server"] for event in arrived} == set(story.before) - story.stays and len(arrived) == len(kinds) - 4 == 4
    assert all(event["incident"] == incident and str(event["request"]).startswith("req-") for event in arrived)


def check_log(story: Story, incident: str) -> None:
    """grep finds everything that was done to a server, with its request ids."""
    lines = "".join((machine.folder(node) / "log" / "syslog").read_text(errors="replace") for node in controllers()).splitlines()
    uid = next(uid for uid in story.before if uid not in story.stays)
    own = [line for line in lines if uid in line and "NovaEvacuate" in line]
    assert len(own) >= 5 and all(f"incident={incident}" in line and f"server={uid}" in line for line in own), own
    assert {word for line in own for word in line.split() if word.startswith(("action=", "event="))} == {
        "action=lock", "action=evacuate", "action=unlock", "event=server-arrived"}
    assert all("request=req-" in line for line in own), own
