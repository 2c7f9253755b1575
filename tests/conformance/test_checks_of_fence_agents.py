"""The checks that fence-agents runs on its own agents, on fence_nova. No cluster is needed: Pacemaker's tools work on a file.

The schema and the style sheets come with Debian's package of the agents. Of the source's own scripts (check_used_options.py,
fence_testing.py) those are run that INSTANCE_HA_FENCE_AGENTS names a folder with, or that Debian's source package brings, this
release's or a newer one's; what they check is checked here besides.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from tests.lab.common import REPOSITORY, LabError
from tests.lab.install import need, source
from tests.unit.cibs import FOLDER
from tests.unit.little_cloud import PASSWORD, LittleCloud
from tests.unit.pacemaker_says import MISSING, PATH

PYTHON = "/usr/bin/python3"  # the one for which Debian's fencing.py and its libraries are there
LIBRARY = Path("/usr/share/fence")
SHEETS = Path("/usr/share/cluster/relaxng")
NEEDED = [
    *MISSING,
    *(str(one) for one in (LIBRARY / "fencing.py", SHEETS / "metadata.rng") if not one.exists()),
]
pytestmark = pytest.mark.skipif(bool(NEEDED), reason=f"this machine has no {', '.join(NEEDED)}")
NEWER = "trixie"
DELAY = 10  # as in fence-agents' makefile
USED = re.compile(
    r"""(?:options|given)(?:\[|\.get\(|\.setdefault\()["'](--?[^"']+)["']|["'](--?[^"']+)["'] in (?:options|given)"""
)
METHODS = ("stdin", "getopt", "longopt")
ACTIONS = {
    "list": (("list", "^0$"),),
    "status": (("status", "^[02]$"),),
    "power": (("on", "^0$"), ("status", "^0$"), ("off", "^0$"), ("status", "^2$")),
}
HISTORY = '<pacemaker-result><list name="fencing history" count="0"/></pacemaker-result>'
# The agent, but that Pacemaker's tools have a file for the cluster.
LAUNCHER = """#!{python}
import sys
sys.path[:0] = [{agents!r}, {library!r}]
from instance_ha import process
process.CLEAN_ENVIRONMENT.update(PATH={path!r}, CIB_file={cib!r})
from instance_ha.fence import main
sys.exit(main())
"""


class Agent:
    """fence_nova with a cluster in a file, and a cloud."""

    def __init__(self, folder: Path, cloud: LittleCloud) -> None:
        tools, self.path, cib = folder / "bin", folder / "fence_nova", folder / "cib.xml"
        tools.mkdir()
        cib.write_text(FOLDER["protected"])
        for name, says in (
            ("crm_node", "ctl-1"),
            ("stonith_admin", HISTORY),
        ):  # what needs a cluster that runs
            (tools / name).write_text(f"#!/bin/sh\necho '{says}'\n")
            (tools / name).chmod(0o755)
        self.path.write_text(
            LAUNCHER.format(
                python=PYTHON,
                agents=str(REPOSITORY / "agents"),
                library=str(LIBRARY),
                path=f"{tools}:{PATH}",
                cib=str(cib),
            )
        )
        self.path.chmod(0o755)
        # By name: the value, the long option, the short one where there is one; as in the files of fence_testing.py.
        self.options = {
            "auth_url": (f"{cloud.url}/v3", "--auth-url", "-k"),
            "login": ("instance-ha", "--username", "-l"),
            "passwd": (PASSWORD, "--password", "-p"),
            "tenant_name": ("service", "--tenant-name", "-t"),
            "port": ("cmp-1", "--plug", "-n"),
            "evacuate_attribute": ("tried", "--evacuate-attribute"),
        }

    def run(
        self, action: str, method: str = "stdin", more: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run an action with the device given in one of the three ways, as fence_testing.py does."""
        argv, given = [str(self.path)], more
        if method == "stdin":
            given += (
                "".join(f"{name}={value[0]}\n" for name, value in self.options.items())
                + f"action={action}\n"
            )
        else:
            for value, *names in self.options.values():
                argv += [names[-1 if method == "getopt" else 0], value]
            argv += ["-o", action] if method == "getopt" else [f"--action={action}"]
        return subprocess.run(
            argv, input=given, capture_output=True, text=True, check=False, timeout=60
        )


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    cloud = LittleCloud()
    yield Agent(tmp_path, cloud)
    cloud.server.shutdown()
    cloud.server.server_close()


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the source of fence-agents."""
    need("python3-configobj")  # fence_testing.py reads its files with it
    given = os.environ.get("INSTANCE_HA_FENCE_AGENTS")
    if given:
        return Path(given)
    folder = tmp_path_factory.mktemp("source")
    said = ""
    for suite in ("", NEWER):  # a mirror keeps the packages of a release longer than its sources
        try:
            return source("fence-agents", folder / (suite or "own"), suite)
        except LabError as error:
            said = str(error)
    pytest.skip(f"the source of fence-agents cannot be had here: {said}")


def test_the_metadata_fits_the_schema_and_makes_another(agent: Agent) -> None:
    """xml-check and rng-check: fence2rng makes a piece of a schema of it, with each of its parameters."""
    metadata = etree.fromstring(agent.run("metadata").stdout.encode())
    etree.RelaxNG(etree.parse(str(SHEETS / "metadata.rng"))).assertValid(metadata)
    made = str(etree.XSLT(etree.parse(str(SHEETS / "fence2rng.xsl")))(metadata))
    made = made.replace(" rha:description=", " description=").replace(
        " rha:name=", " name="
    )  # as its makefile has it
    names = {one.get("name") for one in etree.fromstring(made.encode()).iter("attribute")}
    assert names - {"option"} == {one.get("name") for one in metadata.iter("parameter")}


def test_the_manual_page_that_is_made_of_it_has_no_fault(agent: Agent) -> None:
    metadata = etree.fromstring(agent.run("metadata").stdout.encode())
    page = str(etree.XSLT(etree.parse(str(SHEETS / "fence2man.xsl")))(metadata))
    done = subprocess.run(
        ["groff", "-t", "-man", "-Tutf8", "-ww", "-z"],
        input=page,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_delay_comes_before_everything_else(agent: Agent) -> None:
    began = time.monotonic()
    assert agent.run("off", more=f"delay={DELAY}\n").returncode == 0
    assert time.monotonic() - began >= DELAY


def test_only_options_that_are_defined_are_used(agent: Agent) -> None:
    """As check_used_options.py has it, in the agent's own module too."""
    text = agent.run("metadata").stdout
    known = {"--" + one for one in re.findall(r'getopt mixed="[^"]*--([a-z0-9-]+)', text)} | {
        "--uuid",
        "--nodename",
        "--separator",
    }
    used = {
        one
        for pair in USED.findall((REPOSITORY / "agents/instance_ha/fence.py").read_text())
        for one in pair
        if one
    }
    assert {"--action", "--plug", "--nodename", "--delay"} <= used <= known


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("method", METHODS)
def test_actions_in_the_three_ways_of_giving_options(
    agent: Agent, method: str, actions: str
) -> None:
    for action, code in ACTIONS[actions]:
        done = agent.run(action, method)
        assert re.search(code, str(done.returncode)), (action, done.stderr)


@pytest.mark.parametrize("file", ["agents/fence_nova", "agents/instance_ha/fence.py"])
def test_check_used_options(scripts: Path, file: str) -> None:
    script = (
        (scripts / "lib/check_used_options.py")
        .read_text()
        .replace("@FENCEAGENTSLIBDIR@", str(LIBRARY))
    )
    done = subprocess.run(
        [PYTHON, "-c", script, str(REPOSITORY / file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and not done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("actions", ["list", "status", "power-on-off"])
@pytest.mark.parametrize("method", METHODS)
def test_fence_testing(
    scripts: Path, agent: Agent, tmp_path: Path, method: str, actions: str
) -> None:
    device = tmp_path / "device.cfg"
    lines = [f"{name} = [ {', '.join(map(repr, value))} ]" for name, value in agent.options.items()]
    device.write_text(
        "\n".join(['name = "fence_nova"', f'agent = "{agent.path}"', "[options]", *lines]) + "\n"
    )
    argv = (str(device), str(scripts / f"tests/actions.d/{actions}.cfg"), method, True)
    program = f"from fence_testing import test_action; test_action{argv!r}"
    done = subprocess.run(
        [PYTHON, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(scripts / "tests")},
    )
    assert "TEST PASSED" in done.stdout, done.stdout + done.stderr
