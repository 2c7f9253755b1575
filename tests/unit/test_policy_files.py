"""The policy files of the role evacuator, by the engines of the installed Nova and Placement."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata, util
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.unit.test_doctor_rights import policy_maker

FOLDER = Path(__file__).parents[2] / "packaging" / "policy"
PACKAGE = {"nova": "nova", "placement": "openstack-placement"}
NOVA = """
import json, os, sys, warnings
warnings.filterwarnings("ignore")
os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "1"
import nova.conf
from nova import context, policies, policy
from oslo_policy import opts
opts._register(nova.conf.CONF)
nova.conf.CONF([], project="nova", default_config_files=[])
names = sorted(rule.name for rule in policies.list_rules() if ":" in rule.name)
target, found = {"project_id": "another", "user_id": "t"}, []
for path, roles in zip(sys.argv[1::2], sys.argv[2::2]):
    policy.reset()
    nova.conf.CONF.set_override("policy_file", path, group="oslo_policy")
    policy.init(policy_file=path)
    one = context.RequestContext("u", "own", roles=roles.split(","))
    can = [name for name in names if one.can(name, target=target, fatal=False)]
    found.append([one.is_admin, can])
print(json.dumps(found))
"""
PLACEMENT = """
import json, sys, warnings
warnings.filterwarnings("ignore")
from oslo_config import cfg
from oslo_policy import opts
from placement import conf, context, policies, policy
config = cfg.ConfigOpts()
conf.register_opts(config)
config.set_default("connection", "sqlite://", group="placement_database")
config([], project="placement", default_config_files=[])
opts._register(config)
names = sorted(rule.name for rule in policies.list_rules() if rule.name.startswith("placement:"))
target, found = {"project_id": "another", "user_id": "t"}, []
for path, roles in zip(sys.argv[1::2], sys.argv[2::2]):
    policy.reset()
    config.set_override("policy_file", path, group="oslo_policy")
    policy.init(config)
    one = context.RequestContext(user_id="u", project_id="own", roles=roles.split(","))
    can = [name for name in names if policy.authorize(one, name, target, do_raise=False)]
    found.append([None, can])
print(json.dumps(found))
"""


def allowed(script: str, *asked: tuple[Path, str]) -> list[tuple[bool | None, set[str]]]:
    """Whether the roles are an administrator with the file, and what they may do to others' things."""
    words = [str(word) for pair in asked for word in pair]
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [(admin, set(names)) for admin, names in json.loads(done.stdout.splitlines()[-1])]


def needs(service: str) -> None:
    if not util.find_spec(service):
        pytest.skip(f"{service} is not installed here")


def test_nova_lets_the_role_do_what_is_needed_and_no_more(tmp_path: Path) -> None:
    needs("nova")
    empty = tmp_path / "empty.yaml"
    empty.write_text("{}\n")
    needed, own = set(policy_maker().NEEDED["nova"]), FOLDER / "nova.yaml"
    found = allowed(
        NOVA,
        (empty, "none"),
        (empty, "admin"),
        (own, "admin"),
        (own, "evacuator"),
        (empty, "member,reader"),
        (own, "member,reader"),
        (empty, "evacuator"),
    )
    (_, anybody), by_default, administrator, role, member, member_then, nobody = found
    assert role[0] and needed <= role[1] and role[1] - needed == anybody - needed
    assert administrator == by_default and len(by_default[1] - role[1]) > 100, (
        "administrators keep all"
    )
    assert member_then == member, "and users theirs"
    assert not nobody[0], "without the file the role is nothing"


def test_placement_lets_the_role_do_what_is_needed_and_no_more(tmp_path: Path) -> None:
    needs("placement")
    empty = tmp_path / "empty.yaml"
    empty.write_text("{}\n")
    (_, anybody), (_, found) = allowed(
        PLACEMENT, (empty, "none"), (FOLDER / "placement.yaml", "evacuator")
    )
    assert found - anybody == set(policy_maker().NEEDED["placement"])


@pytest.mark.parametrize("service", ["nova", "placement"])
def test_the_files_are_what_the_script_makes(service: str) -> None:
    needs(service)
    shipped = (FOLDER / f"{service}.yaml").read_text()
    version = metadata.version(PACKAGE[service])
    if f"{service} {version}." not in shipped.replace("\n# ", " "):
        pytest.skip(f"the file is of another release than {version}")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(FOLDER / "make.py"), service],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout == shipped


def rule(name: str, check: str, deprecated: str = "") -> SimpleNamespace:
    """A policy as a service registers it."""
    return SimpleNamespace(
        name=name,
        check_str=check,
        deprecated_rule=SimpleNamespace(check_str=deprecated) if deprecated else None,
    )


RULES = (
    rule("context_is_admin", "role:admin"),
    rule("admin_or_owner", "is_admin:True or project_id:%(project_id)s"),
    rule("reader_api", "role:reader and project_id:%(project_id)s"),
    rule("reader_or_admin", "rule:reader_api or rule:context_is_admin"),
    rule("os_compute_api:servers:show", "rule:reader_or_admin"),
    rule("x:delete", "rule:reader_or_admin", "rule:admin_or_owner"),
    rule("x:anybody", "@"),
    rule("x:hosts", "is_admin:True"),
)


def test_what_an_administrator_alone_may_is_taken_back_wherever_it_hides() -> None:
    make = policy_maker()
    assert dict(make.policy("nova", make.Defaults(RULES))) == {
        "context_is_admin": "role:admin or role:evacuator",
        "x:delete": "(rule:reader_api or role:admin)",
        "x:hosts": "role:admin",
    }
    old = dict(make.policy("nova", make.Defaults(RULES, old=True)))
    assert (
        old["x:delete"]
        == "((rule:reader_api or role:admin)) or ((role:admin or project_id:%(project_id)s))"
    )


def test_a_service_that_is_not_there_is_a_sentence() -> None:
    done = subprocess.run([sys.executable, str(FOLDER / "make.py"), "cinder"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("make.py: cinder is not installed for ")
