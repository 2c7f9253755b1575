"""The command `instance-ha`: its help, and how it says what is wrong."""

from __future__ import annotations

import subprocess

import pytest

from tests.conformance.conftest import Run
from tests.lab.common import REPOSITORY

AWAY = {"OS_AUTH_URL": "http://127.0.0.1:1/v3", "OS_USERNAME": "a", "OS_PASSWORD": "s3cret-of-the-test", "OS_PROJECT_NAME": "c"}
COMMANDS = [["evacuate", "some-server"], ["host-evacuate", "some-host"], ["status"], ["hosts"], ["plan", "some-host"], ["plan", "--any", "1"]]


@pytest.mark.parametrize("argv", [["--help"], *([command[0], "--help"] for command in COMMANDS)])
def test_help(run: Run, argv: list[str]) -> None:
    done = run("instance-ha", *argv)
    assert done.returncode == 0 and "usage: instance-ha" in done.stdout and not done.stderr


@pytest.mark.parametrize("argv", COMMANDS)
def test_a_cloud_that_is_away(run: Run, argv: list[str]) -> None:
    done = run("instance-ha", *argv, **AWAY)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith("instance-ha: no answer from OpenStack") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(("argv", "env", "word"), [
    ([], {"OS_AUTH_URL": "http://127.0.0.1:1/v3"}, "missing username"), (["--os-cloud", "nowhere"], {}, "'nowhere'")])
def test_a_cloud_that_is_not_there(run: Run, argv: list[str], env: dict[str, str], word: str) -> None:
    done = run("instance-ha", *argv, "hosts", **env)
    assert done.returncode == 2 and word in done.stderr and done.stderr.count("\n") == 1


def test_no_cloud_at_all() -> None:
    """On a machine outside the cluster, which no NovaEvacuate resource tells of a cloud; Pacemaker's tools are there, and nobody answers them."""
    program = "import sys; sys.path.insert(0, sys.argv[1]); from instance_ha.cli import main; sys.exit(main(['hosts']))"
    done = subprocess.run(["/usr/bin/python3", "-c", program, str(REPOSITORY / "agents")], env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "instance-ha: which cloud?" in done.stderr
    assert [line.split(",")[0] for line in done.stderr.splitlines()][:-1] in ([], ["instance-ha: this machine's cluster cannot be asked"])


@pytest.mark.parametrize("argv", [[], ["--nonsense"], ["evacuate"], ["plan", "--any"], ["plan", "--any", "two"],
                                  ["status", "--nonsense"], ["hosts", "-f", "xml"], ["nonsense"]])
def test_a_wrong_command_line(run: Run, argv: list[str]) -> None:
    done = run("instance-ha", *argv)
    assert done.returncode == 2 and "usage: instance-ha" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("argv", [["plan"], ["plan", "some-host", "--any", "1"]])
def test_a_plan_of_nothing(run: Run, argv: list[str]) -> None:
    done = run("instance-ha", *argv)
    assert done.returncode == 2 and done.stderr == "instance-ha: plan wants the names of hosts, or --any N and no names\n"


def test_debug_keeps_the_password(run: Run) -> None:
    done = run("instance-ha", "--debug", "hosts", **AWAY)
    assert done.returncode == 2 and AWAY["OS_PASSWORD"] not in done.stdout + done.stderr


def test_the_hosts_of_the_cloud(run: Run, cloud: None) -> None:
    assert run("instance-ha", "evacuate", "no-such-server").returncode == 2
    hosts = run("instance-ha", "hosts", "-f", "json")
    assert hosts.returncode == 0 and '"cmp-3"' in hosts.stdout
