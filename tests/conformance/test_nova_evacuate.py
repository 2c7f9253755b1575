"""NovaEvacuate as OCF, pcs, crmsh and Pacemaker see it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lxml import etree

from tests.conformance.conftest import Run
from tests.lab.common import wait_until

AGENT = "/usr/lib/ocf/resource.d/openstack/NovaEvacuate"
SCHEMA = "/usr/share/pcs/data/ocf-1.1.rng"
PASSWORD = "s3cret-of-the-test"
INSTANCE = {"OCF_ROOT": "/usr/lib/ocf", "OCF_RESOURCE_INSTANCE": "t1", "OCF_RESKEY_CRM_meta_timeout": "20000"}
AWAY = {**INSTANCE, "OCF_RESKEY_auth_url": "http://127.0.0.1:1/v3", "OCF_RESKEY_username": "a", "OCF_RESKEY_password": PASSWORD,
        "OCF_RESKEY_tenant_name": "t"}
RECURRING = {**AWAY, "OCF_RESKEY_CRM_meta_interval": "10000"}
FILES = "/run/resource-agents/NovaEvacuate-t1"


@pytest.fixture
def stopped(run: Run) -> Iterator[None]:
    yield
    assert run(AGENT, "stop", **INSTANCE).returncode == 0


def pid(run: Run) -> str:
    return run("cut", "-d", " ", "-f1", f"{FILES}.pid").stdout.strip()


def test_metadata_fits_the_schema(run: Run) -> None:
    document = etree.fromstring(run(AGENT, "meta-data").stdout.encode())
    etree.RelaxNG(etree.parse(SCHEMA)).assertValid(document)
    assert document.findtext("version") == "1.1"
    assert {"start", "stop", "monitor", "reload-agent", "validate-all", "meta-data"} == {a.get("name") for a in document.iter("action")}


def test_metadata_as_nobody(run: Run) -> None:
    assert run("su", "nobody", "-s", "/bin/sh", "-c", f"{AGENT} meta-data").returncode == 0


def test_ocf_tester(run: Run) -> None:
    """Its DTD is of OCF 1.0: an agent of 1.1 gets exactly that complaint."""
    done = run("ocf-tester", "-n", "t2", "-o", "cloud=lab", AGENT, timeout=120)
    complaints = [line for line in done.stdout.splitlines() if line.startswith("* rc=") or "failed" in line.lower()]
    assert all("meta-data" in line or "metadata" in line or "xmllint" in line.lower() or "Tests failed" in line for line in complaints), done.stdout
    assert len(complaints) <= 2, done.stdout


@pytest.mark.parametrize(("options", "code", "word"), [
    (["cloud=lab"], 0, ""), (["auth_url=x"], 6, "missing username"), (["cloud=lab", "protect=some"], 6, "protect"),
    (["cloud=lab", "max_parallel=0"], 6, "max_parallel")])
def test_crm_resource_validates(run: Run, options: list[str], code: int, word: str) -> None:
    argv = [part for option in options for part in ("--option", option)]
    done = run("crm_resource", "--validate", "--class", "ocf", "--provider", "openstack", "--agent", "NovaEvacuate", *argv)
    assert done.returncode == code and word in done.stdout + done.stderr


def test_validate_at_level_10_asks_nova(run: Run) -> None:
    good = run(AGENT, "validate-all", OCF_CHECK_LEVEL="10", OCF_RESKEY_cloud="lab", **INSTANCE)
    assert good.returncode == 0, good.stderr
    done = run(AGENT, "validate-all", OCF_CHECK_LEVEL="10", **AWAY)
    assert done.returncode == 1 and "ocf-exit-reason:Nova cannot be asked" in done.stderr


def test_pcs_and_crmsh_describe_it(run: Run) -> None:
    assert "evacuate_delay" in run("pcs", "resource", "describe", "ocf:openstack:NovaEvacuate").stdout
    assert "evacuate_delay" in run("crm", "ra", "info", "ocf:openstack:NovaEvacuate").stdout


@pytest.mark.parametrize("hidden", ["", "lxml keystoneauth1 openstack"])
def test_a_bare_probe_says_not_running(run: Run, hidden: str) -> None:
    blocked = "; ".join(f"sys.modules[{name!r}]=None" for name in hidden.split()) or "pass"
    program = (f"import sys, os; {blocked}; sys.path.insert(0, '/usr/lib/instance-ha'); "
               "from instance_ha.ocf import main; sys.exit(main(['x', sys.argv[1]], os.environ))")
    probe = {**INSTANCE, "OCF_RESKEY_CRM_meta_interval": "0"}
    assert run("/usr/bin/python3", "-c", program, "monitor", **probe).returncode == 7
    assert run("/usr/bin/python3", "-c", program, "stop", **INSTANCE).returncode == 0


def test_unknown_action(run: Run) -> None:
    done = run(AGENT, "promote", **INSTANCE)
    assert done.returncode == 3 and "usage" in done.stderr


def test_its_life_while_keystone_is_away(run: Run, stopped: None) -> None:
    assert run(AGENT, "start", **AWAY).returncode == 0
    assert run(AGENT, "start", **AWAY).returncode == 0
    assert wait_until(lambda: run(AGENT, "monitor", **RECURRING).returncode == 190, 20, 0.5)
    assert "ocf-exit-reason:Nova cannot be asked" in run(AGENT, "monitor", **RECURRING).stderr
    number = pid(run)
    seen = run("cat", f"/proc/{number}/cmdline", f"/proc/{number}/environ").stdout
    assert "instance_ha.service" in seen and PASSWORD not in seen
    assert run("stat", "-c", "%a %U", f"{FILES}.settings").stdout.split() == ["600", "root"]
    assert run(AGENT, "reload-agent", **{**AWAY, "OCF_RESKEY_max_parallel": "3"}).returncode == 0
    assert pid(run) == number
    run("kill", "-9", number)
    died = run(AGENT, "monitor", **RECURRING)
    assert died.returncode == 1 and "has died" in died.stderr
    assert run(AGENT, "stop", **{**INSTANCE, "OCF_RESKEY_max_parallel": "junk"}).returncode == 0
    assert "NovaEvacuate-t1" not in run("ls", "/run/resource-agents").stdout
    assert run(AGENT, "monitor", **RECURRING).returncode == 7


def test_stop_with_a_broken_pid_file(run: Run) -> None:
    run("/bin/sh", "-c", f"mkdir -p /run/resource-agents; echo junk > {FILES}.pid")
    assert run(AGENT, "stop", **INSTANCE).returncode == 0
    assert run(AGENT, "monitor", **RECURRING).returncode == 7


def test_start_with_a_wrong_parameter(run: Run) -> None:
    done = run(AGENT, "start", **{**AWAY, "OCF_RESKEY_max_parallel": "many"})
    assert done.returncode == 6 and "max_parallel" in done.stderr


@pytest.mark.parametrize("argv", [["--help"], ["evacuate", "--help"], ["host-evacuate", "--help"], ["status", "--help"], ["hosts", "--help"]])
def test_the_command_has_help(run: Run, argv: list[str]) -> None:
    assert run("instance-ha", *argv).returncode == 0


def test_the_command_says_what_is_wrong(run: Run) -> None:
    wrong = run("instance-ha", "hosts", OS_AUTH_URL="http://127.0.0.1:1/v3", OS_USERNAME="a", OS_PASSWORD="b", OS_PROJECT_NAME="c")
    assert wrong.returncode == 2 and wrong.stderr.startswith("instance-ha: no answer") and "Traceback" not in wrong.stderr
    assert run("instance-ha", "evacuate", "no-such-server").returncode == 2
    assert run("instance-ha", "--nonsense").returncode == 2
    hosts = run("instance-ha", "hosts", "-f", "json")
    assert hosts.returncode == 0 and '"cmp-3"' in hosts.stdout
