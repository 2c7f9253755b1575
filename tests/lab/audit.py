"""What make check has pip-audit look up: known vulnerabilities of the libraries that the product needs.

It asks PyPI. Where that does not answer, each library that nobody could look up is named.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from typing import Any

from tests.lab.common import REPOSITORY, STATE, LabError, run, say

VENV = STATE / "audit-venv"
PIP_AUDIT = "pip-audit==2.10.1"
LIMIT = 600.0
REQUIRED = re.compile(r"install_requires=\[([^\]]*)\]")


def main() -> int:
    """0 when no vulnerability is known of what could be looked up, 1 for one, 2 when pip-audit gave no answer."""
    try:
        found = _ask()
    except (LabError, OSError, ValueError, subprocess.SubprocessError) as error:
        say(f"pip-audit: {error}")
        return 2
    unknown = sorted(one["name"] for one in found if "skip_reason" in one)
    bad = [(one["name"], one["version"], each) for one in found for each in one.get("vulns", ())]
    for name, version, each in bad:
        say(f"pip-audit: {name} {version}: {each['id']}, mended in {', '.join(each['fix_versions']) or 'no version'}")
    say(f"pip-audit: {len(found) - len(unknown)} libraries looked up, {len(bad)} known vulnerabilities"
        + (f"; PyPI does not tell of {', '.join(unknown)}" if unknown else ""))
    return 1 if bad else 0


def _ask() -> list[dict[str, Any]]:
    """Return pip-audit's rows, name with version and vulns or with skip_reason. Raises LabError, ValueError."""
    if not (VENV / "bin/pip-audit").exists():
        run([sys.executable, "-m", "venv", str(VENV)], timeout=120)
        run([str(VENV / "bin/pip"), "install", "--quiet", PIP_AUDIT], timeout=LIMIT)
    words = REQUIRED.search((REPOSITORY / "setup.py").read_text())
    if words is None:
        raise LabError("setup.py has no install_requires")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(re.findall(r'"([^"]+)"', words.group(1))))
        file.flush()
        argv = [str(VENV / "bin/pip-audit"), "--format", "json", "--progress-spinner", "off", "--requirement", file.name]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=False)
    if not done.stdout.strip():
        raise LabError(f"no answer: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
    rows: list[dict[str, object]] = json.loads(done.stdout)["dependencies"]
    return rows


if __name__ == "__main__":
    sys.exit(main())
