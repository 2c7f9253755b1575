"""Pure: whether a try that failed may have left a guest on its destination.

A hypervisor that cannot start a guest cleans up. A nova-compute that has started one, and then cannot write that down, its conductor,
message bus or database being away, calls the try failed and leaves the guest (seen with Nova 34 on 2026-11-26). Nova shows nothing of
such a guest; only its own destination refuses to take the server again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from ..model import FAILED, Migration

EXISTS = "already exists"      # Nova's words, of a guest that is where it is to be made
# What Nova gives as the fault then: the name of an exception of oslo.messaging or of the database. "": it could not even write that.
_BROKEN_OFF = re.compile(rf"^$|Messag|Remote|RPC|^DB|OperationalError|InterfaceError|Timed out waiting for a reply|{EXISTS}")


def suspect(fault: str, rows: Sequence[Migration], harmless: Collection[int]) -> Migration | None:
    """The newest try with a destination, if it failed and may have left a guest there. `rows` are a server's tries, oldest first, and `fault`
    is that of the newest. `harmless` are tries that are known to have left none. Of what nobody knows, it may."""
    last = next((row for row in reversed(rows) if row.destination), None)
    if last is None or last.status not in FAILED or last.id in harmless:
        return None
    return last if last is not rows[-1] or _BROKEN_OFF.search(fault) else None


def note_harmless(fault: str, rows: Sequence[Migration], harmless: set[int]) -> None:
    """Remember the newest try, when it failed and its fault says that the guest was not started."""
    if rows and rows[-1].destination and rows[-1].status in FAILED and suspect(fault, rows, harmless) is None:
        harmless.add(rows[-1].id)
