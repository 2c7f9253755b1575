"""The commands that configure and doctor print, run by pcs and by crmsh on files that hold CIBs: Pacemaker takes them, the
resources may run where they belong, and worker and doctor both say then that it is well. No cluster is needed."""

from __future__ import annotations

import math
import re
import shlex
import shutil
from pathlib import Path

import pytest
from instance_ha import configuration
from instance_ha.cib import parse_cib, read_cib
from instance_ha.configuring.provisioning import Proposal, Wish, propose
from instance_ha.doctor.levels import FILE
from instance_ha.engine.proof import level_fault
from instance_ha.process import Outcome, run

from tests.conformance.test_doctor import examined
from tests.unit.ailing import Tools
from tests.unit.cibs import FOLDER
from tests.unit.pacemaker_says import MISSING, PATH, Pacemaker

PROGRAMS = {"pcs": "pcs", "crm": "crm"}
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"this machine has no {', '.join(MISSING)}")
WISHES = (("opt-in-cluster", ("cmp-1", "cmp-2"), ("ctl-1", "ctl-2", "ctl-3")),
          ("three-converged-nodes", ("node-1", "node-2", "node-3"), ("node-1", "node-2", "node-3")),
          ("bare", ("cmp-1", "cmp-2"), ("ctl-1", "ctl-2")))
REFUSED = ("fence_compute", "power-dummy", "power-null")     # --migrate is for the first; the others have no power device
NEWER = ("pacemaker-3.0",)     # this machine's Pacemaker changes no CIB of a newer one
ELSEWHERE = re.compile(r"#|instance-ha |stonith_admin |crm_resource |pcs (stonith|resource) cleanup|crm (resource|-F resource) cleanup"
                       r"|pcs cluster cib|cp ")
STANDS = {"device-down", "node-offline", "worker-stopped"}     # what crm_mon of another cluster says
ROUNDS = 3
STATES = ("standby", "maintenance", "evacuate", "evacuate-held")


class Machine:
    """Runs lines of a shell on a file that holds a CIB."""

    def __init__(self, tool: str, text: str, folder: Path) -> None:
        if not shutil.which(PROGRAMS[tool], path=PATH):
            pytest.skip(f"this machine has no {PROGRAMS[tool]}")
        self.tool, self.path = tool, folder / "cib.xml"
        self.path.write_text(text)
        (folder / ".cache").mkdir()

    @property
    def text(self) -> str:
        return self.path.read_text()

    def run(self, line: str) -> Outcome:
        """Run a line. The project's agents need not be installed here, which pcs has to be told."""
        if self.tool == "pcs":
            line = re.sub(r"^pcs ", f"pcs -f {self.path} ", line.replace(f"-f {FILE} ", ""))
            if re.search(r" (stonith|resource) (create|update) ", line) and "--force" not in line:
                line += " --force"
        here = next(iter(configuration.read(parse_cib(self.text)).nodes))      # crm_attribute wants to be on a node
        environment = (f"CIB_file={self.path}", f"HOME={self.path.parent}", f"OCF_RESKEY_CRM_meta_on_node={here}")
        return run(["env", *environment, "sh", "-c", line], 120)


def commands(tool: str, proposal: Proposal) -> list[str]:
    words = [one for step in proposal.steps for one in (step.change.pcs() if tool == "pcs" else step.change.crm())]
    return [shlex.join(one) for one in words]


@pytest.mark.parametrize("tool", PROGRAMS)
@pytest.mark.parametrize(("name", "hosts", "controllers"), WISHES, ids=[wish[0] for wish in WISHES])
def test_configure_makes_what_pacemaker_runs(
        tool: str, name: str, hosts: tuple[str, ...], controllers: tuple[str, ...], tmp_path: Path) -> None:
    machine, wish = Machine(tool, FOLDER[name], tmp_path), Wish(hosts, "lab", unseen=True)
    proposal = propose(configuration.read(parse_cib(machine.text)), wish)
    assert proposal.steps and not proposal.faults
    for line in commands(tool, proposal):
        done = machine.run(line)
        assert not done.code, (line, done.sentence)
    has = configuration.read(parse_cib(machine.text))
    assert not propose(has, wish).steps
    pacemaker = Pacemaker(tmp_path / "result.xml", machine.text)
    assert pacemaker.is_valid()
    scores = pacemaker.simulate().scores
    for resource in ("fence-nova", "nova-evacuate"):
        assert {node for (one, node), score in scores.items() if one == resource and score > -math.inf} == set(controllers)
    view = read_cib(parse_cib(machine.text), "evacuate")
    assert not [node for node in hosts if node in view.levels and level_fault(view.levels[node])]
    assert {row["Finding"] for row in examined(Tools(machine.text))} <= STANDS, "the doctor finds nothing more to do"


@pytest.mark.parametrize("name", sorted(set(FOLDER) - set(NEWER) - {wish[0] for wish in WISHES}))
def test_configure_on_what_sites_have(name: str, tmp_path: Path) -> None:
    """It is refused with a sentence for each host, or the result is what worker and doctor call well."""
    machine = Machine("pcs", FOLDER[name], tmp_path)
    has, before = configuration.read(parse_cib(machine.text)), states(machine.text)
    clouds = {one.params["cloud"] for one in has.resources.values() if one.params.get("cloud")}
    wish = Wish(("cmp-1", "cmp-2"), next(iter(clouds), "lab"), unseen=True)
    proposal = propose(has, wish)
    assert bool(proposal.faults) == (name in REFUSED), proposal.faults
    if proposal.faults:
        assert all(any(fault.startswith(f"{host}: ") for fault in proposal.faults) for host in wish.hosts)
        return
    for line in commands("pcs", proposal):
        done = machine.run(line)
        assert not done.code, (line, done.sentence)
    has = configuration.read(parse_cib(machine.text))
    assert not propose(has, wish).steps and states(machine.text) == before
    assert Pacemaker(tmp_path / "result.xml", machine.text).is_valid()
    for host in wish.hosts:
        levels = [level for levels in has.topologies_of(host) for level in levels]
        assert not level_fault([tuple(map(has.agent_of, level.devices)) for level in levels])
    assert {row["Finding"] for row in examined(Tools(machine.text))} <= STANDS | {"on-record"}


def states(text: str) -> dict[str, dict[str, str]]:
    nodes = configuration.read(parse_cib(text)).nodes
    return {name: {key: node.attributes[key] for key in STATES if key in node.attributes} for name, node in nodes.items()}


TRIED = [("pcs", name) for name in sorted(set(FOLDER) - set(NEWER))] + [
    ("crm", name) for name in sorted(set(FOLDER) - set(NEWER))]


@pytest.mark.parametrize(("tool", "name"), TRIED)
def test_after_the_doctors_cures_it_is_well(tool: str, name: str, tmp_path: Path) -> None:
    """As far as commands can make it so: what remains is for a person, and has no command any more."""
    machine, before = Machine(tool, FOLDER[name], tmp_path), states(FOLDER[name])
    for _ in range(ROUNDS):
        rows = examined(Tools(machine.text))
        lines = [line for row in rows for line in (row["Crmsh"] if tool == "crm" and row["Crmsh"] else row["Mend"])
                 if not ELSEWHERE.match(line)]
        if not lines:
            break
        for line in dict.fromkeys(lines):
            done = machine.run(line)
            assert not done.code, (line, done.sentence)
    assert not lines, f"the same cures again and again: {lines}"
    assert Pacemaker(tmp_path / "result.xml", machine.text).is_valid()
    assert states(machine.text) == before
    wrong = {row["On"] for row in rows if row["Finding"].startswith("level")}
    has = configuration.read(parse_cib(machine.text))
    for node in has.nodes:
        levels = [tuple(map(has.agent_of, level.devices)) for levels in has.topologies_of(node) for level in levels]
        if any("fence_nova" in agents for agents in levels):
            assert bool(level_fault(levels)) == (node in wrong), "worker and doctor disagree"
