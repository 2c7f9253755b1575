"""The unit tests on another Python: python3 -m tests.compat.units 3.9 oldest.

"oldest" are the oldest libraries that the product takes, "newest" those that the laboratory pins;
for a Python that these have left behind, the last ones for it. Each pair has a virtual environment.
The property tests are left out: they are the same on every Python, and take longest.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

from tests.lab import pythons
from tests.lab.common import REPOSITORY, STATE, LabError, run, say
from tests.lab.releases import NEWEST

PINS = ("oldest", "newest")
NOT_RUN = 77     # an exit code of our own: pytest has those up to 5
# setuptools: openstacksdk 0.55 asks its pkg_resources for its own version.
OLDEST = ("keystoneauth1==4.3.0", "openstacksdk==0.55.0", "setuptools<81")
# The oldest lxml from 4.6 on that has a wheel for that Python.
LXML = {"3.9": "4.6.0", "3.10": "4.6.3", "3.11": "4.9.1", "3.12": "4.9.3", "3.13": "5.3.0",
        "3.14": "6.0.1"}
USED = ("lxml", "openstacksdk", "requests", "pytest", "hypothesis")
PINNED_FROM = 11     # the first 3.x that what the laboratory pins takes
PROPERTIES = ("tests/unit/test_knowing_less.py", "tests/unit/test_fuzz.py")


def wanted(version: str, pins: str) -> list[str]:
    """Return what is installed for a Python and a kind of pins. Raises LabError."""
    if pins == "oldest":
        if version not in LXML:
            raise LabError(f"it is not known which lxml is the oldest for Python {version}")
        return [*OLDEST, f"lxml=={LXML[version]}", "requests", "PyYAML", "pytest", "hypothesis"]
    if int(version.partition(".")[2]) < PINNED_FROM:
        return [*USED]
    lines = NEWEST.requirements.read_text().splitlines()
    return [line for line in lines if line.partition("==")[0] in USED]


def environment(version: str, pins: str) -> Path:
    """Return the Python of the virtual environment, made if it is not there. Raises LabError."""
    packages = wanted(version, pins)
    folder = STATE / "units" / f"{version}-{pins}"
    python, stamp = folder / "bin" / "python", folder / "installed"
    interpreter = pythons.need((version,), "this row")
    made_of = hashlib.sha256(" ".join([interpreter, *packages]).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == made_of and python.exists():
        return python
    say(f"making {folder}")
    run([interpreter, "-m", "venv", "--clear", str(folder)])
    # lxml from source wants compilers and headers; what is asked for has a wheel.
    install = [str(python), "-m", "pip", "install", "--quiet", "--only-binary=lxml", *packages]
    done = run(install, timeout=1800, check=False)
    if done.returncode:
        errors = re.findall("^ERROR: (.*)", done.stderr, re.MULTILINE) or [done.stderr.strip()]
        raise LabError(f"pip cannot install {' '.join(packages)}: {errors[-1]}")
    stamp.write_text(made_of)
    return python


def main() -> int:
    """Return the exit code of pytest, or NOT_RUN when this machine cannot run the tests."""
    try:
        python = environment(*sys.argv[1:])
    except LabError as error:
        say(f"not run: {error}")
        return NOT_RUN
    without = [f"--ignore={path}" for path in PROPERTIES]
    argv = [str(python), "-m", "pytest", "-W", "ignore", "tests/unit", *without]
    return subprocess.run(argv, cwd=REPOSITORY, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
