"""NovaEvacuate as OCF, pcs, crmsh and Pacemaker see it."""

from __future__ import annotations

import pytest
from lxml import etree

from tests.conformance.conftest import Run, describes

AGENT = "/usr/lib/ocf/resource.d/openstack/NovaEvacuate"
SCHEMA = "/usr/share/pcs/data/ocf-1.1.rng"
PASSWORD = "s3cret-of-the-test"
INSTANCE = {"OCF_ROOT": "/usr/lib/ocf", "OCF_RESOURCE_INSTANCE": "t1", "OCF_RESKEY_CRM_meta_timeout": "20000"}
AWAY = {**INSTANCE, "OCF_RESKEY_auth_url": "http://127.0.0.1:1/v3", "OCF_RESKEY_username": "a", "OCF_RESKEY_password": PASSWORD,
        "OCF_RESKEY_tenant_name": "t"}


def test_metadata_fits_the_schema(run: Run) -> None:
    document = etree.fromstring(run(AGENT, "meta-data").stdout.encode())
    etree.RelaxNG(etree.parse(SCHEMA)).assertValid(document)
    assert document.findtext("version") == "1.1"
    assert {"start", "stop", "monitor", "reload-agent", "validate-all", "meta-data"} == {a.get("name") for a in document.iter("action")}


def test_metadata_as_nobody(run: Run) -> None:
    assert run("su", "nobody", "-s", "/bin/sh", "-c", f"{AGENT} meta-data").returncode == 0


def test_ocf_tester(run: Run, has_cloud: bool, empty: str) -> None:
    """Its DTD is of OCF 1.0: an agent of 1.1 gets exactly that complaint, with xmllint and (rc 127) without."""
    given = ["cloud=lab"] if has_cloud else [f"auth_url={empty}", "username=a", "password=b", "tenant_name=t"]
    done = run("ocf-tester", "-n", "t2", *(word for option in given for word in ("-o", option)), AGENT, timeout=120)
    complaints = [line for line in done.stdout.splitlines() if line.startswith("* rc=")]
    assert len(complaints) == 1 and "does not conform to ra-api-1.dtd" in complaints[0], done.stdout + done.stderr
    assert "failed 1 tests" in done.stderr and "partially" not in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(("options", "code", "word"), [
    (["cloud=lab"], 0, ""), (["auth_url=x"], 6, "missing username"), (["nonsense=1"], 6, "missing auth_url"),
    (["cloud=lab", "protect=some"], 6, "protect"),
    (["cloud=lab", "max_parallel=0"], 6, "max_parallel")])
def test_crm_resource_validates(run: Run, options: list[str], code: int, word: str) -> None:
    argv = [part for option in options for part in ("--option", option)]
    done = run("crm_resource", "--validate", "--class", "ocf", "--provider", "openstack", "--agent", "NovaEvacuate", *argv)
    assert done.returncode == code and word in done.stdout
    assert ("ocf-exit-reason:" in done.stdout) == bool(code)


def test_validate_at_level_10_finds_nova(run: Run, cloud: None) -> None:
    good = run(AGENT, "validate-all", OCF_CHECK_LEVEL="10", OCF_RESKEY_cloud="lab", **INSTANCE)
    assert good.returncode == 0, good.stderr


def test_validate_at_level_10_asks_nova(run: Run) -> None:
    assert run(AGENT, "validate-all", OCF_CHECK_LEVEL="junk", **AWAY).returncode == 0
    done = run(AGENT, "validate-all", OCF_CHECK_LEVEL="10", **AWAY)
    assert done.returncode == 1 and "ocf-exit-reason:Nova cannot be asked" in done.stderr


@pytest.mark.parametrize("argv", [["pcs", "resource", "describe"], ["crm", "ra", "info"]])
def test_pcs_and_crmsh_describe_it(run: Run, argv: list[str]) -> None:
    """Every parameter that is no deprecated alias is there, and nothing is complained about."""
    done = run(*argv, "ocf:openstack:NovaEvacuate")
    assert done.returncode == 0 and not done.stderr, done.stderr
    document = etree.fromstring(run(AGENT, "meta-data").stdout.encode())
    names = {parameter.get("name") for parameter in document.iter("parameter") if parameter.find("deprecated") is None}
    assert len(names) > 20 and not {name for name in names if not describes(done.stdout, name)}


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
