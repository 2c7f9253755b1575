"""The interpreters of this machine, by version: those on PATH, and those that pyenv installed."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.lab.common import LabError

QUESTION = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"


def find(version: str) -> str | None:
    """Return the path of an interpreter of that version, as "3.9", that runs; or None."""
    for candidate in _candidates(version):
        path = _real(version, candidate)
        if path:
            return path
    return None


def need(versions: tuple[str, ...], what: str) -> str:
    """Return the interpreter of the first of these versions that is there. Raises LabError."""
    for version in versions:
        path = find(version)
        if path:
            return path
    raise LabError(f"{what} needs Python {' or '.join(versions)}, and this machine has none, "
                   "neither on PATH nor among pyenv's versions")


def minors(first: int, last: int) -> dict[str, str]:
    """Return the paths of the interpreters 3.`first` to 3.`last` that are there, by version."""
    found = {f"3.{minor}": find(f"3.{minor}") for minor in range(first, last + 1)}
    return {version: path for version, path in found.items() if path}


def _candidates(version: str) -> Iterator[str]:
    yield f"/usr/bin/python{version}"  # the distribution's own before any other
    yield f"python{version}"
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    there = root.glob(f"versions/{version}.*/bin/python{version}")
    yield from map(str, sorted(there, key=_patch, reverse=True))


def _patch(path: Path) -> list[int]:
    return [int(part) for part in re.findall("[0-9]+", path.parts[-3])]


def _real(version: str, candidate: str) -> str | None:
    """Return its own path; None if it does not run or is of another version.

    pyenv puts stand-ins on PATH, also for versions that are not chosen there; those do not run.
    """
    argv = [candidate, "-I", "-c", QUESTION]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    said, _, path = done.stdout.strip().partition(" ")
    return path if done.returncode == 0 and said == version else None
