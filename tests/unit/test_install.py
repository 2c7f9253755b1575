"""make install: all of it or nothing; and launchers that an old Python can read."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAUNCHERS = {"agents/fence_nova": (1, "fence_nova: "), "agents/instance-ha": (2, "instance-ha: "),
             "ocf/openstack/NovaEvacuate": (5, "ocf-exit-reason:")}
PLACES = {"usr/sbin/fence_nova": 0o755, "usr/bin/instance-ha": 0o755, "usr/lib/ocf/resource.d/openstack/NovaEvacuate": 0o755,
          "usr/share/man/man8/fence_nova.8": 0o644, "usr/share/man/man8/instance-ha.8": 0o644,
          "usr/share/man/man7/ocf_openstack_NovaEvacuate.7": 0o644}


def make(target: str, where: Path, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    argv = ["make", "-s", "--no-print-directory", "-C", str(ROOT), target, f"DESTDIR={where}", f"PYTHON={python}"]
    return subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, "TMPDIR": str(where.parent)})


def tree(where: Path) -> dict[str, str]:
    return {str(path.relative_to(where)): path.read_text() for path in where.rglob("*") if path.is_file()}


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("version", ["(3, 6, 8)", "(3, 8, 18)"])
def test_a_launcher_says_that_python_is_too_old(launcher: str, version: str) -> None:
    text = (ROOT / launcher).read_text()
    ast.parse(text, feature_version=(3, 6))
    program = f"import sys; sys.version_info = {version}; exec(compile(open({str(ROOT / launcher)!r}).read(), 'launcher', 'exec'))"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False)
    code, start = LAUNCHERS[launcher]
    assert done.returncode == code and not done.stdout
    assert done.stderr.startswith(f"{start}Python 3.9 or newer is needed") and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_launcher_names_the_library_that_is_missing(launcher: str) -> None:
    done = subprocess.run([sys.executable, "-I", str(ROOT / launcher)], capture_output=True, text=True, check=False)
    code, start = LAUNCHERS[launcher]
    assert done.returncode == code and re.fullmatch(rf"{start}a Python library is missing for \S+: No module named '\w+'\n", done.stderr)


def test_everything_is_in_place_and_goes_again(tmp_path: Path) -> None:
    where = tmp_path / "root"
    for _ in range(2):
        done = make("install", where)
        assert done.returncode == 0 and not done.stderr, done.stderr
    found = {str(path.relative_to(where)): path.stat().st_mode & 0o777 for path in where.rglob("*") if path.is_file()}
    library = {name: mode for name, mode in found.items() if name.startswith("usr/lib/instance-ha/")}
    assert {name: found[name] for name in found if name not in library} == PLACES
    sources = (ROOT / "agents/instance_ha").rglob("*.py")
    assert library == {f"usr/lib/instance-ha/{path.relative_to(ROOT / 'agents')}": 0o644 for path in sources}
    for launcher in ("usr/sbin/fence_nova", "usr/bin/instance-ha"):
        first, text = (where / launcher).read_text().split("\n", 1)
        assert first == f"#!{sys.executable} -I" and '"/usr/lib/instance-ha"' in text and "@" not in text
    assert os.listdir(tmp_path) == ["root"]
    assert make("uninstall", where).returncode == 0 and not tree(where)


@pytest.mark.parametrize(("python", "sentence"), [
    ("case \"$*\" in *instance_ha.manual*) exit 1;; esac; exec {real} \"$@\"", ""),
    ("exec {real} -I -c 'import sys; sys.version_info = (3, 8, 1); sys.argv = sys.argv[1:]; exec(open(sys.argv[0]).read())' \"$2\"",
     "make install: Python 3.9 or newer is needed, and "),
    ("exec {real} -I -c 'import sys; sys.modules[\"lxml\"] = None; sys.argv = sys.argv[1:]; exec(open(sys.argv[0]).read())' \"$2\"",
     "make install: "),
])
def test_what_cannot_be_installed_leaves_everything_as_it_was(tmp_path: Path, python: str, sentence: str) -> None:
    where, broken = tmp_path / "root", tmp_path / "python"
    assert make("install", where).returncode == 0
    for name in tree(where):
        (where / name).write_text("the old one")
    before = tree(where)
    broken.write_text("#!/bin/sh\n" + python.format(real=sys.executable))
    broken.chmod(0o755)
    done = make("install", where, str(broken))
    assert done.returncode and tree(where) == before
    assert done.stderr.startswith(sentence) and "Traceback" not in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["python", "root"]


def test_a_python_that_is_not_there(tmp_path: Path) -> None:
    done = make("install", tmp_path / "root", "/nowhere/python3")
    assert done.returncode and "there is no /nowhere/python3 on this machine" in done.stderr and not (tmp_path / "root").exists()
