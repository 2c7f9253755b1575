"""The packages: one version everywhere, an example that is the documentation's, and a sentence for what is missing."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from instance_ha import __version__

from tests.unit.test_doctor_rights import policy_maker

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"


def test_both_packages_have_the_version_of_the_library() -> None:
    assert (PACKAGING / "debian/changelog").read_text().startswith(f"instance-ha ({__version__}-1) ")
    spec = (PACKAGING / "instance-ha.spec").read_text()
    assert re.findall(r"^Version: +(.*)$", spec, re.MULTILINE) == [__version__] and f" - {__version__}-%{{release_number}}\n" in spec


def test_the_example_is_the_unit_of_the_documentation() -> None:
    def settings(text: str) -> list[str]:
        return [line for line in text.splitlines() if line and not line.startswith("#")]

    example = settings((PACKAGING / "examples/instance-ha.conf").read_text())
    assert example[-1] == "TimeoutStartSec=infinity" and "\n".join(example) in (ROOT / "docs/operations.md").read_text()


@pytest.mark.parametrize(("script", "word"), [("deb.sh", "make deb: dpkg-buildpackage is missing: apt-get install "),
                                              ("rpm.sh", "make rpm: rpmbuild is missing: dnf install ")])
def test_a_tool_that_is_missing_is_named_in_a_sentence(tmp_path: Path, script: str, word: str) -> None:
    done = subprocess.run(["/bin/sh", str(PACKAGING / script)], env={"PATH": str(tmp_path)}, cwd=tmp_path,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith(word) and len(done.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())


def test_the_source_archive_of_pip_has_what_make_needs() -> None:
    manifest = (ROOT / "MANIFEST.in").read_text().split()
    there = {path.name for path in ROOT.iterdir() if path.is_dir()} & {"docs", "ocf", "packaging", "tests"}
    assert there <= {*manifest} and {"Makefile", "agents/fence_nova", "agents/instance-ha"} <= {*manifest}


def test_both_packages_have_the_policy_files_and_the_documentation_has_every_policy() -> None:
    spec = (PACKAGING / "instance-ha.spec").read_text()
    examples = (PACKAGING / "debian/instance-ha.examples").read_text().split()
    assert "packaging/policy" in examples
    assert re.search(r"^%doc .*\bpackaging/policy$", spec, re.MULTILINE)
    page = (ROOT / "docs/operations.md").read_text()
    needed = policy_maker().NEEDED
    wanted = [name for service in ("nova", "placement", "glance") for name in needed[service]]
    assert all(f"`{name}`" in page for name in wanted)
    told = set(re.findall(r"`((?:os_compute_api|placement):[\w:-]+)`", page))
    assert told == {*needed["nova"], *needed["placement"]}
