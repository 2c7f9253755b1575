"""The manual pages: complete, and without a complaint of groff."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from instance_ha import manual, params


def rendered(path: Path) -> str:
    done = subprocess.run(["groff", "-man", "-Tascii", "-ww", "-P-cbou", str(path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("name", sorted(manual.PAGES))
def test_groff_has_nothing_to_complain_of(tmp_path: Path, name: str) -> None:
    assert manual.main(["manual", str(tmp_path)]) == 0
    text = rendered(tmp_path / name)
    assert "NAME" in text and "SEE ALSO" in text


def test_every_parameter_and_command_is_there(tmp_path: Path) -> None:
    manual.main(["manual", str(tmp_path)])
    fence, ocf = rendered(tmp_path / "man8/fence_nova.8"), rendered(tmp_path / "man7/ocf_openstack_NovaEvacuate.7")
    assert all(param.name in fence for param in params.of(params.FENCE)) and all(param.name in ocf for param in params.of(params.OCF))
    command = rendered(tmp_path / "man8/instance-ha.8")
    assert all(word in command for word in ("host-evacuate", "wait-until-evacuated", "maintenance", "--host-is-off"))
