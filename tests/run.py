"""make test, and make test-slow: everything that fits into CI, or what waits too long for that, on one laboratory."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from tests.lab import up
from tests.lab.common import REPOSITORY, LabError, Size, say

FOR_CI = ("-m", "not slow", "tests/unit", "tests/conformance", "tests/nova", "tests/cluster")


def main() -> int:
    """Exit code of pytest, or 1 when the laboratory cannot be brought up."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    try:
        with up.laboratory(Size()):
            say(f"the laboratory is up and protected after {time.monotonic() - began:.0f} s")
            argv = [sys.executable, "-m", "pytest", "-v", "--durations=15", *(sys.argv[1:] or FOR_CI)]
            code = subprocess.run(argv, cwd=REPOSITORY, check=False).returncode
    except LabError as error:
        say(f"test: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    say(f"it took {time.monotonic() - began:.0f} s")
    return code


if __name__ == "__main__":
    sys.exit(main())
