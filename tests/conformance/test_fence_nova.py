"""fence_nova as fence-agents, pcs, crmsh and Pacemaker see it."""

from __future__ import annotations

import pytest
from lxml import etree

from tests.conformance.conftest import Run

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


@pytest.mark.parametrize(("given", "word"), [("", "missing"), ("auth_url=x\nusername=a\ntenant_name=t\n", "password"),
                                             (CREDENTIALS + "api_timeout=soon\n", "api-timeout")])
def test_validate_names_what_is_wrong(run: Run, given: str, word: str) -> None:
    done = run("fence_nova", stdin="action=validate-all\n" + given)
    assert done.returncode == 1 and word in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("action", ["monitor", "list", "status"])
def test_what_asks_nova_fails_when_it_cannot(run: Run, action: str) -> None:
    done = run("fence_nova", stdin=f"action={action}\nport=cmp-1\nverbose=1\n" + CREDENTIALS)
    assert done.returncode == 1 and "Traceback" not in done.stderr and "no answer from OpenStack" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def test_what_asks_nova_succeeds_when_it_can(run: Run) -> None:
    assert run("fence_nova", stdin="action=status\nport=cmp-1\ncloud=lab\n").returncode == 0
    assert {"cmp-1", "cmp-2", "cmp-3"} == {line.split(",")[0] for line in run("fence_nova", stdin="action=list\ncloud=lab\n").stdout.split()}
    unknown = run("fence_nova", stdin="action=status\nport=cmp-9\ncloud=lab\n")
    assert unknown.returncode == 1 and "knows no compute host 'cmp-9'" in unknown.stderr


def test_a_host_that_is_no_node_is_not_recorded(run: Run) -> None:
    done = run("fence_nova", stdin="action=off\nport=nobody-9\n" + CREDENTIALS)
    assert done.returncode == 1 and "is no node of this cluster" in done.stderr
    assert "nobody-9" not in run("cibadmin", "--query").stdout


def test_off_succeeds_while_nova_is_away_and_the_record_is_there(run: Run) -> None:
    try:
        done = run("fence_nova", stdin="action=off\nport=ctl-2\n" + CREDENTIALS)
        assert done.returncode == 0 and "left to NovaEvacuate" in done.stderr
        value = run("crm_attribute", "--type", "nodes", "--node", "ctl-2", "--name", "evacuate", "--query", "--quiet").stdout
        assert value.startswith("fenced;id=")
        let_in = run("fence_nova", stdin="action=on\nport=ctl-2\n" + CREDENTIALS)
        assert let_in.returncode == 1 and "has not begun" in let_in.stderr
    finally:
        run("crm_attribute", "--type", "nodes", "--node", "ctl-2", "--name", "evacuate", "--delete")
    assert run("fence_nova", stdin="action=on\nport=ctl-2\n" + CREDENTIALS).returncode == 0


def test_stonith_admin_validates(run: Run) -> None:
    assert run("stonith_admin", "--validate", "--agent", "fence_nova", "--option", "cloud=lab").returncode == 0
    assert run("stonith_admin", "--validate", "--agent", "fence_nova", "--option", "auth_url=x").returncode != 0


def test_pcs_and_crmsh_describe_it(run: Run) -> None:
    assert "auth_url" in run("pcs", "stonith", "describe", "fence_nova").stdout
    assert "auth_url" in run("crm", "ra", "info", "stonith:fence_nova").stdout
