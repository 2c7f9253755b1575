"""make test, and make test-slow: everything that fits into CI, or what waits too long for that, on one laboratory.

With arguments it is pytest with these on the laboratory. Without, the tests that need no laboratory and
the demonstration on Debian 13 run beside it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from tests import beside
from tests.lab import up
from tests.lab.common import REPOSITORY, LabError, Size, say

FOR_CI = ("-m", "not slow", "tests/conformance", "tests/nova", "tests/cluster")


def main() -> int:
    """Exit code of pytest, or 1 when what runs beside it fails or the laboratory cannot be brought up."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    others = beside.Beside([] if sys.argv[1:] else [*beside.jobs()])
    others.start()
    try:
        with up.laboratory(Size()):
            say(f"the laboratory is up and protected after {time.monotonic() - began:.0f} s")
            argv = [sys.executable, "-m", "pytest", "-v", "--durations=15", *(sys.argv[1:] or FOR_CI)]
            code = subprocess.run(argv, cwd=REPOSITORY, check=False).returncode
        code = others.verdict() or code
    except LabError as error:
        say(f"test: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    finally:
        others.end()
    say(f"it took {time.monotonic() - began:.0f} s")
    return code


if __name__ == "__main__":
    sys.exit(main())
