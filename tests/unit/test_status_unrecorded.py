"""What `instance-ha status` says of hosts that are on no record, as a worker has left it in crm_mon."""

from __future__ import annotations

import json

import pytest
from instance_ha import cluster as door
from instance_ha.cli import common, main

from tests.unit.ailing import WELL, Tools
from tests.unit.cibs import changed
from tests.unit.little_cloud import LittleCloud
from tests.unit.test_doctor import cloud as little_cloud
from tests.unit.test_doctor_cloud import Said

cloud = little_cloud
WHY = "no record; offline, and will not be evacuated: fencing is switched off (stonith-enabled=false)"
CTL = ('crm-debug-origin="do_update_resource" join="member" expected="member"/>\n'
       '    <node_state id="2"')


def cib(node: str, text: str) -> str:
    pair = f'<nvpair id="t" name="evacuation-{node}" value="{text}"/>'
    held = f'<transient_attributes id="1"><instance_attributes id="s">{pair}</instance_attributes></transient_attributes>'
    return changed(WELL, (CTL, CTL.replace("/>\n", f">{held}</node_state>\n")))


@pytest.mark.parametrize(("node", "text", "asked", "said"), [
    ("cmp-1", WHY, (), True), ("cmp-1", WHY, ("cmp-1",), True), ("cmp-1", WHY, ("cmp-2",), False),
    ("cmp-1", "evacuating, 3/8 done", (), False)])      # of a worker that was killed
def test_a_host_that_is_on_no_record_is_told(
        monkeypatch: pytest.MonkeyPatch, capsys: Said, cloud: LittleCloud, node: str, text: str,
        asked: tuple[str, ...], said: bool) -> None:
    tools = Tools(cib(node, text))
    monkeypatch.setattr(door, "run", tools)
    monkeypatch.setattr(common, "run", tools)
    assert main(["--os-cloud", "lab", "status", *asked]) == 0
    assert (f"{node}: {text}" in capsys.readouterr().out) == said
    assert main(["--os-cloud", "lab", "status", "-f", "json", *asked]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == [] and (f"{node}: {text}" in printed.err) == said
