"""fence_nova as fence-agents, pcs, crmsh and Pacemaker see it."""

from __future__ import annotations

import time
from subprocess import CompletedProcess

import pytest
from lxml import etree

from tests.conformance.conftest import Run, describes

SCHEMA = "/usr/share/cluster/relaxng/metadata.rng"
PASSWORD = "s3cret-of-the-test"
NOWHERE = "http://127.0.0.1:1/v3"
CREDENTIALS = f"auth_url={NOWHERE}\nusername=a\npassword={PASSWORD}\ntenant_name=t\n"


def test_metadata_fits_the_schema(run: Run) -> None:
    document = etree.fromstring(run("fence_nova", "-o", "metadata").stdout.encode())
    etree.RelaxNG(etree.parse(SCHEMA)).assertValid(document)
    actions = {action.get("name"): action for action in document.iter("action")}
    assert actions["on"].get("automatic") == "1" and "reboot" not in actions
    assert {"off", "on", "status", "monitor", "list", "metadata", "validate-all"} <= set(actions)
    names = {parameter.get("name") for parameter in document.iter("parameter")}
    assert {"auth_url", "login", "username", "passwd", "password", "tenant_name", "project_name", "user_domain", "project_domain",
            "region_name", "endpoint_type", "domain", "insecure", "cacert", "cloud", "openrc", "record_only"} <= names


def test_metadata_as_nobody(run: Run) -> None:
    done = run("su", "nobody", "-s", "/bin/sh", "-c", "/usr/sbin/fence_nova -o metadata")
    assert done.returncode == 0 and "</resource-agent>" in done.stdout


@pytest.mark.parametrize("spelling", [
    "auth-url={0}\nlogin=a\npasswd=b\ntenant-name=t", "auth_url={0}\nusername=a\npassword=b\nproject_name=t\nproject-domain=Default",
    "auth_url={0}\nusername=a\npassword=b\ntenant_name=t\nuser_domain_name=Default\ninsecure=1", "cloud=lab"])
def test_every_spelling_is_taken(run: Run, spelling: str) -> None:
    assert run("fence_nova", stdin="action=validate-all\n" + spelling.format(NOWHERE) + "\n").returncode == 0


@pytest.mark.parametrize("given", ["cloud=lab\nregion_name=\ndomain=\nnova_timeout=\n", "cloud=lab\nnova_timeout=10s\napi_timeout=5s\n"])
def test_what_is_empty_is_not_given_and_seconds_may_have_an_s(run: Run, given: str) -> None:
    assert run("fence_nova", stdin=f"action=validate-all\n{given}").returncode == 0


@pytest.mark.parametrize("given", [
    "cloud=\n", "auth_url=x\nusername=\npassword=b\ntenant_name=t\n", "auth_url=x\nusername=a\npassword=\ntenant_name=t\n"])
def test_what_is_empty_is_missing(run: Run, given: str) -> None:
    done = run("fence_nova", stdin=f"action=validate-all\n{given}")
    assert done.returncode == 1 and "missing" in done.stderr


@pytest.mark.parametrize(("given", "word"), [("", "missing"), ("auth_url=x\nusername=a\ntenant_name=t\n", "password"),
                                             (CREDENTIALS + "api_timeout=soon\n", "api-timeout")])
def test_validate_names_what_is_wrong(run: Run, given: str, word: str) -> None:
    done = run("fence_nova", stdin="action=validate-all\n" + given)
    assert done.returncode == 1 and word in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("action", ["monitor", "list", "list-status", "status"])
def test_what_asks_nova_fails_when_it_cannot(run: Run, action: str) -> None:
    done = run("fence_nova", stdin=f"action={action}\nport=cmp-1\nverbose=1\n" + CREDENTIALS)
    lines = [line for line in done.stderr.splitlines() if line]
    assert done.returncode == 1 and not done.stdout
    assert len(lines) == 1 and f"fence_nova {action}: no answer from OpenStack" in lines[0] and PASSWORD not in lines[0]


def test_what_asks_nova_succeeds_when_it_can(run: Run, cloud: None) -> None:
    assert run("fence_nova", stdin="action=status\nport=cmp-1\ncloud=lab\n").returncode == 0
    assert {"cmp-1", "cmp-2", "cmp-3"} == {line.split(",")[0] for line in run("fence_nova", stdin="action=list\ncloud=lab\n").stdout.split()}
    unknown = run("fence_nova", stdin="action=status\nport=cmp-9\ncloud=lab\n")
    assert unknown.returncode == 1 and "knows no compute host 'cmp-9'" in unknown.stderr


def test_a_silent_keystone_holds_nothing_up(run: Run, silent: str, attribute: str) -> None:
    """monitor ends by api_timeout, off by nova_timeout, each with little more; off has succeeded all the same."""
    given = f"auth_url={silent}\nusername=a\npassword={PASSWORD}\ntenant_name=t\n"
    began = time.monotonic()
    assert run("fence_nova", stdin="action=monitor\napi_timeout=1\n" + given).returncode == 1
    assert time.monotonic() - began < 8
    began = time.monotonic()
    done = run("fence_nova", stdin=f"action=off\nport=ctl-1\nnova_timeout=2\nevacuate_attribute={attribute}\n" + given)
    assert done.returncode == 0 and time.monotonic() - began < 8


@pytest.mark.parametrize("action", ["reboot", "nonsense"])
def test_an_action_that_is_none(run: Run, action: str) -> None:
    """reboot least of all: Pacemaker makes off and on of it."""
    done = run("fence_nova", stdin=f"action={action}\nport=ctl-1\n" + CREDENTIALS)
    assert done.returncode == 1 and f"Unrecognised action '{action}'" in done.stderr and "Traceback" not in done.stderr


def test_stonith_admin_validates(run: Run) -> None:
    assert validate(run, "cloud=lab").returncode == 0
    assert validate(run, f"auth_url={NOWHERE}", "login=a", "passwd=b", "project_name=t").returncode == 0
    for options, word in ((["auth_url=x"], "missing username, password"), (["cloud=lab", "nova_timeout=900"], "nova_timeout=900")):
        bad = validate(run, *options)
        assert bad.returncode != 0 and word in bad.stdout + bad.stderr


def validate(run: Run, *options: str) -> CompletedProcess[str]:
    return run("stonith_admin", "--validate", "--agent", "fence_nova", *(word for option in options for word in ("--option", option)))


@pytest.mark.parametrize("argv", [["pcs", "stonith", "describe", "fence_nova"], ["crm", "ra", "info", "stonith:fence_nova"]])
def test_pcs_and_crmsh_describe_it(run: Run, argv: list[str]) -> None:
    done = run(*argv)
    assert done.returncode == 0 and not done.stderr, done.stderr
    for name in ("auth_url", "username", "password", "tenant_name", "cloud", "openrc", "record_only", "nova_timeout", "domain"):
        assert describes(done.stdout, name), name


@pytest.mark.parametrize("options", [
    ["--auth-url", NOWHERE, "--username", "a", "--password", "b", "--tenant-name", "t"],
    [f"--auth-url={NOWHERE}", "--user=a", "--password=b", "--project-name=t", "--project-domain=X", "--user-domain-name=Y", "--insecure"],
    ["-k", NOWHERE, "-l", "a", "-p", "b", "-t", "t", "-P", "X", "-u", "Y"], ["--cloud=lab", "--plug=any"]])
def test_every_spelling_is_taken_as_an_option(run: Run, options: list[str]) -> None:
    done = run("fence_nova", "--action=validate-all", *options)
    assert done.returncode == 0, done.stderr


def test_verbose_keeps_the_password(run: Run) -> None:
    options = [f"--auth-url={NOWHERE}", "--username=a", f"--password={PASSWORD}", "--tenant-name=t"]
    done = run("fence_nova", "--action=monitor", "-vvv", "--debug-file=/tmp/fence_nova.log", *options)
    log = run("sh", "-c", "cat /tmp/fence_nova.log; rm -f /tmp/fence_nova.log").stdout
    assert done.returncode == 1 and "no answer" in log and PASSWORD not in done.stdout + done.stderr + log
