"""nova-compute with iha_virt.LabDriver within its reach: Nova loads drivers from the package nova.virt only.

Run by the venv's python with nova-compute's own arguments.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parents[2])

from nova.cmd import compute  # noqa: E402, I001  (it sets up Nova's threading before anything else of Nova)
import nova.virt  # noqa: E402

if __name__ == "__main__":
    nova.virt.__path__.append(str(HERE))
    sys.argv[0] = "nova-compute"
    sys.exit(compute.main())
