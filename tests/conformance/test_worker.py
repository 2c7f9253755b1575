"""The life of NovaEvacuate's worker, by hand, as Pacemaker's executor leads it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.conformance.conftest import Run
from tests.conformance.test_nova_evacuate import AGENT, AWAY, INSTANCE, PASSWORD
from tests.lab.common import wait_until

RECURRING = {**AWAY, "OCF_RESKEY_CRM_meta_interval": "10000"}
FOLDER = "/run/resource-agents"
FILES = f"{FOLDER}/NovaEvacuate-t1"


@pytest.fixture
def clean(run: Run) -> Iterator[None]:
    """Nothing of this instance is left, and stop says so."""
    yield
    assert run(AGENT, "stop", **INSTANCE).returncode == 0
    assert files(run) == []


@pytest.fixture
def worker(run: Run, clean: None) -> str:
    """The pid of a fresh worker, as the node numbers it."""
    assert run(AGENT, "start", **AWAY).returncode == 0
    return pid(run)


def files(run: Run) -> list[str]:
    return [name for name in run("ls", FOLDER).stdout.split() if name.startswith("NovaEvacuate-t1.")]


def pid(run: Run) -> str:
    return run("cut", "-d", " ", "-f1", f"{FILES}.pid").stdout.strip()


def lives(run: Run, number: str) -> bool:
    """Whether the process runs; a zombie does not."""
    status = run("cat", f"/proc/{number}/status").stdout
    return bool(status) and "State:\tZ" not in status


def test_monitor_says_that_keystone_is_away(run: Run, worker: str) -> None:
    assert wait_until(lambda: run(AGENT, "monitor", **RECURRING).returncode == 190, 15, 0.5)
    reasons = [line for line in run(AGENT, "monitor", **RECURRING).stderr.splitlines() if line]
    assert len(reasons) == 1 and reasons[0].startswith("ocf-exit-reason:Nova cannot be asked") and PASSWORD not in reasons[0]
    probe = run(AGENT, "monitor", **{**AWAY, "OCF_RESKEY_CRM_meta_interval": "0"})
    assert probe.returncode == 0 and not probe.stderr


def test_monitor_is_content_while_nova_answers(run: Run, empty: str, clean: None) -> None:
    given = {**RECURRING, "OCF_RESKEY_auth_url": empty}
    assert run(AGENT, "start", **given).returncode == 0
    time.sleep(1)  # the first look at Nova is over
    done = run(AGENT, "monitor", **given)
    deep = run(AGENT, "monitor", **given, OCF_CHECK_LEVEL="10")
    assert (done.returncode, done.stderr, deep.returncode, deep.stderr) == (0, "", 0, "")
    assert run(AGENT, "monitor", **RECURRING, OCF_CHECK_LEVEL="10").returncode == 190


def test_start_again_keeps_the_worker(run: Run, worker: str) -> None:
    assert run(AGENT, "start", **AWAY).returncode == 0
    assert pid(run) == worker


def test_the_worker_is_a_daemon(run: Run, clean: None) -> None:
    """Pacemaker kills an action's process group at its timeout: the worker is in none of the action's, and holds nothing of it."""
    started = run("sh", "-c", f"readlink /proc/$$/fd/1 /proc/$$/fd/2; exec {AGENT} start", **AWAY)
    assert started.returncode == 0
    pipes, worker = started.stdout.split()[:2], pid(run)
    group, session = run("cat", f"/proc/{worker}/stat").stdout.rpartition(")")[2].split()[2:4]
    assert (group, session) == (worker, worker)
    assert run("readlink", f"/proc/{worker}/cwd").stdout.strip() == "/"
    assert run("readlink", f"/proc/{worker}/fd/0").stdout.strip() == "/dev/null"
    held = run("sh", "-c", f"readlink /proc/{worker}/fd/*").stdout.split()  # its own commands' pipes may be among them
    assert all(pipe.startswith("pipe:") for pipe in pipes) and not set(pipes) & set(held)


def test_the_password_is_kept(run: Run, worker: str) -> None:
    seen = run("cat", f"/proc/{worker}/cmdline", f"/proc/{worker}/environ").stdout
    assert "instance_ha.service" in seen and PASSWORD not in seen
    assert run("stat", "-c", "%a %U", f"{FILES}.settings").stdout.split() == ["600", "root"]
    readable = run("find", FOLDER, "-name", "NovaEvacuate-t1.*", "-perm", "/077").stdout.split()
    assert PASSWORD not in run("cat", *readable, "/dev/null").stdout


def test_reload_keeps_the_worker(run: Run, worker: str) -> None:
    """And the worker reads the new settings: their file's atime moves (relatime: at the first read after a write)."""
    moved = {**AWAY, "OCF_RESKEY_auth_url": "http://127.0.0.1:2/v3"}
    assert run(AGENT, "reload-agent", **moved).returncode == 0
    assert wait_until(lambda: len(set(run("stat", "-c", "%x\n%y", f"{FILES}.settings").stdout.splitlines())) == 2, 5)
    assert ":2/v3" in run("cat", f"{FILES}.settings").stdout
    assert pid(run) == worker and lives(run, worker)


@pytest.mark.parametrize(("wrong", "word"), [({"OCF_RESKEY_max_parallel": "many"}, "max_parallel"), ({"OCF_RESKEY_auth_url": ""}, "auth_url")])
def test_a_reload_with_wrong_parameters_keeps_the_worker(run: Run, worker: str, wrong: dict[str, str], word: str) -> None:
    """Any other code than 0 makes Pacemaker stop it, and 6 start it nowhere."""
    before = run("cat", f"{FILES}.settings").stdout
    bad = run(AGENT, "reload-agent", **{**AWAY, **wrong})
    assert bad.returncode == 0 and "the new parameters were not taken: " in bad.stderr and word in bad.stderr
    assert pid(run) == worker and lives(run, worker) and run("cat", f"{FILES}.settings").stdout == before
    assert run(AGENT, "start", **{**AWAY, **wrong}).returncode == 6


def test_reload_of_a_stopped_one_leaves_nothing(run: Run) -> None:
    run(AGENT, "reload-agent", **AWAY)
    assert files(run) == []


def test_a_dead_worker_is_a_failure(run: Run, worker: str) -> None:
    run("kill", "-9", worker)
    assert wait_until(lambda: not lives(run, worker), 5)
    died = run(AGENT, "monitor", **RECURRING)
    assert died.returncode == 1 and "ocf-exit-reason:the worker has died" in died.stderr
    assert run(AGENT, "start", **AWAY).returncode == 0
    assert pid(run) != worker and run(AGENT, "monitor", **RECURRING).returncode in (0, 190)


def test_a_stuck_worker_is_a_failure(run: Run, worker: str) -> None:
    """Frozen, it writes no heartbeat; the last one is made 10 minutes old here. stop ends it all the same."""
    run("kill", "-STOP", worker)
    run("sed", "-i", r's/"beat": [0-9.]*/"beat": -600/', f"{FILES}.health")
    stuck = run(AGENT, "monitor", **RECURRING)
    assert stuck.returncode == 1 and "no sign of life" in stuck.stderr
    assert run(AGENT, "stop", **{**INSTANCE, "OCF_RESKEY_CRM_meta_timeout": "2000"}).returncode == 0
    assert not lives(run, worker)


def test_stop_ends_a_worker_that_waits_for_keystone(run: Run, silent: str, clean: None) -> None:
    assert run(AGENT, "start", **{**AWAY, "OCF_RESKEY_auth_url": silent, "OCF_RESKEY_api_timeout": "60"}).returncode == 0
    number, began = pid(run), time.monotonic()
    assert run(AGENT, "stop", **{**INSTANCE, "OCF_RESKEY_CRM_meta_timeout": "6000"}).returncode == 0
    assert time.monotonic() - began < 6 and not lives(run, number)


@pytest.mark.parametrize("changed", [
    {"OCF_RESKEY_max_parallel": "junk", "OCF_RESKEY_password": ""}, {"OCF_RESKEY_CRM_meta_timeout": ""},
    {"OCF_RESKEY_CRM_meta_timeout": "junk"}])
def test_stop_needs_no_parameter(run: Run, worker: str, changed: dict[str, str]) -> None:
    """A stop that fails has its node fenced."""
    assert run(AGENT, "stop", **{**AWAY, **changed}).returncode == 0
    assert not lives(run, worker) and files(run) == []
    again = run(AGENT, "stop", **{**AWAY, **changed})
    assert again.returncode == 0 and not again.stderr
    assert run(AGENT, "monitor", **RECURRING).returncode == 7


@pytest.mark.parametrize("content", ["", "junk", "-1 -1", "99999999999999999999 1"])
def test_stop_with_a_broken_pid_file(run: Run, clean: None, content: str) -> None:
    run("sh", "-c", f"mkdir -p {FOLDER}; printf %s '{content}' > {FILES}.pid; touch {FILES}.health.new {FILES}.settings.new")
    assert run(AGENT, "stop", **INSTANCE).returncode == 0
    assert files(run) == [] and run(AGENT, "monitor", **RECURRING).returncode == 7


def test_stop_with_a_broken_pid_file_ends_the_worker(run: Run, worker: str) -> None:
    run("sh", "-c", f"echo junk > {FILES}.pid")
    assert run(AGENT, "stop", **INSTANCE).returncode == 0
    assert not lives(run, worker)


def test_stop_spares_who_has_got_the_pid_since(run: Run, clean: None) -> None:
    """The pid of a living process, with another start time: that is not the worker."""
    other = run("sh", "-c", f"mkdir -p {FOLDER}; sleep 60 >/dev/null 2>&1 & echo \"$! 1\" > {FILES}.pid; echo $!").stdout.strip()
    try:
        assert run(AGENT, "monitor", **RECURRING).returncode == 1
        assert run(AGENT, "stop", **INSTANCE).returncode == 0 and lives(run, other)
    finally:
        run("kill", other)


@pytest.mark.parametrize(("changed", "word"), [
    ({"OCF_RESKEY_max_parallel": "many"}, "max_parallel"), ({"OCF_RESKEY_username": ""}, "username")])
def test_start_with_a_wrong_parameter(run: Run, clean: None, changed: dict[str, str], word: str) -> None:
    done = run(AGENT, "start", **{**AWAY, **changed})
    assert done.returncode == 6 and "ocf-exit-reason:" in done.stderr and word in done.stderr
    assert files(run) == []


def test_start_that_cannot_be_on_this_node(run: Run, clean: None) -> None:
    """A cloud that only this node does not know is no error of the whole cluster: never 6."""
    done = run(AGENT, "start", OCF_RESKEY_cloud="nowhere", **INSTANCE)
    assert done.returncode in (1, 5) and "nowhere" in done.stderr and "Traceback" not in done.stderr
    assert files(run) == []


def test_two_instances_at_once(run: Run, worker: str) -> None:
    other = {**AWAY, "OCF_RESOURCE_INSTANCE": "t1b:0"}
    try:
        assert run(AGENT, "start", **other).returncode == 0
        assert run(AGENT, "stop", **other).returncode == 0 and lives(run, worker)
    finally:
        run(AGENT, "stop", **other)
