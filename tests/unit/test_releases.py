"""Which Nova and which Python: what is chosen, and what is said when it cannot be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab import install, pythons, releases
from tests.lab.common import VENV, LabError
from tests.lab.releases import NEWEST, RELEASES

PYTHON = "#!/bin/sh\necho '{version} '\"$0\"\n"
STAND_IN = "#!/bin/sh\necho 'pyenv: python3.9: command not found' >&2\nexit 127\n"


def script(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose PATH and pyenv are empty."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return tmp_path


def test_a_nova_that_is_not_known_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "ASKED", "28")
    known = r"34 \(2026.2\), 29 \(2024.1\), 23 \(Wallaby\)"
    with pytest.raises(LabError, match=rf"^LAB_NOVA=28 is not known; .* Nova {known}$"):
        install.install()


def test_each_release_has_its_own_files_and_the_newest_those_of_always() -> None:
    assert NEWEST.venv == VENV and NEWEST.requirements.name == "requirements.txt"
    for found in ({*RELEASES.values()},
                  {release.venv for release in RELEASES.values()},
                  {install._stamp(release) for release in RELEASES.values()},
                  {install._hash(release) for release in RELEASES.values()}):
        assert len(found) == len(RELEASES)


@pytest.mark.parametrize("name", RELEASES)
def test_every_package_is_pinned_and_the_nova_is_that_of_its_name(name: str) -> None:
    lines = RELEASES[name].requirements.read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    assert any(pin.startswith(f"nova=={name}.") for pin in pins)


def test_without_a_fitting_python_one_sentence(machine: Path) -> None:
    with pytest.raises(LabError) as caught:
        pythons.need(("3.1", "3.0"), "Nova 1 (Austin)")
    assert str(caught.value) == ("Nova 1 (Austin) needs Python 3.1 or 3.0, and this machine has none, "
                                 "neither on PATH nor among pyenv's versions")


def test_the_newest_of_pyenv_and_not_its_stand_in(machine: Path) -> None:
    script(machine / "bin/python3.1", STAND_IN)
    script(machine / "pyenv/versions/3.1.9/bin/python3.1", PYTHON.format(version="3.1"))
    newest = script(machine / "pyenv/versions/3.1.18/bin/python3.1", PYTHON.format(version="3.1"))
    script(machine / "pyenv/versions/3.10.2/bin/python3.10", PYTHON.format(version="3.10"))
    assert pythons.find("3.1") == newest


def test_path_comes_before_pyenv_and_a_wrong_version_does_not_count(machine: Path) -> None:
    script(machine / "pyenv/versions/3.1.9/bin/python3.1", PYTHON.format(version="3.1"))
    script(machine / "bin/python3.1", PYTHON.format(version="3.4"))
    found = pythons.find("3.1")
    assert found and "/pyenv/" in found
    wanted = script(machine / "bin/python3.1", PYTHON.format(version="3.1"))
    assert pythons.find("3.1") == wanted


@pytest.mark.parametrize(("text", "packages"), [
    ('ID=debian\nVERSION_ID="12"\n', {"fence-agents"}),
    ('ID=debian\nVERSION_ID="13"\n', {"fence-agents-ipmilan", "fence-agents-compute"}),
    ("ID=debian\n", {"fence-agents-ipmilan", "fence-agents-compute"}),   # sid
    ('ID=ubuntu\nVERSION_ID="22.04"\n', {"fence-agents"})])
def test_one_package_of_fence_agents_or_those_that_are_used(
        tmp_path: Path, text: str, packages: set[str]) -> None:
    release = tmp_path / "os-release"
    release.write_text("NAME=any\n" + text)
    assert {*install._fence_agents(release)} == packages
