"""Pure: the cluster's properties, with the names and defaults of its version of Pacemaker.

Pacemaker 3.0.2 renamed those that begin with `stonith-`. It takes the new name when both are set,
and the old one when only that is. Older versions ignore the new names. A value that is not valid
counts as the default. (Pacemaker's cluster_option_value(); tried on 2.1.5, 3.0.0 and 3.0.3.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .values import boolean

FENCING_ENABLED = "fencing-enabled"
FENCING_TIMEOUT = "fencing-timeout"
FENCING_WATCHDOG_TIMEOUT = "fencing-watchdog-timeout"
CONCURRENT_FENCING = "concurrent-fencing"
OLD_NAMES = {
    FENCING_ENABLED: "stonith-enabled", FENCING_TIMEOUT: "stonith-timeout",
    FENCING_WATCHDOG_TIMEOUT: "stonith-watchdog-timeout",
}
RENAMED_IN = (3, 0, 2)
PARALLEL_IN = (3, 0, 0)      # concurrent-fencing is true there unless it is set to false
_DEFAULTS = {FENCING_ENABLED: True, "symmetric-cluster": True}


@dataclass(frozen=True)
class Properties:
    """The properties of a cluster. `given` are those that are set, under the names that were used;
    `unsure` those that a rule may set, such as by the time of day."""

    given: Mapping[str, str] = field(default_factory=dict)
    unsure: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def version(self) -> tuple[int, ...]:
        """Pacemaker's version on the designated controller; () when it is not known."""
        found = re.match(r"(\d+)\.(\d+)\.(\d+)", self.given.get("dc-version", ""))
        return tuple(map(int, found.groups())) if found else ()

    def name(self, name: str) -> str:
        """Return the name under which a property is in force, or has to be set to be."""
        old = OLD_NAMES.get(name, name)
        if self.version and self.version < RENAMED_IN:
            return old
        return name if name in self.given or (self.version and old not in self.given) else old

    def value(self, name: str) -> str:
        """Return the value in force, "" for none."""
        return self.given.get(self.name(name), "")

    def is_true(self, name: str) -> bool:
        """Return whether a property is true.

        Where the version is not known and the values of its two names differ, it is not.
        """
        values = {self.value(name)} if self.version else {
            self.given[one] for one in (name, OLD_NAMES.get(name, name)) if one in self.given}
        found = [boolean(value) for value in values or {""}]
        return all(self._default(name) if one is None else one for one in found)

    def _default(self, name: str) -> bool:
        if name == CONCURRENT_FENCING:
            return self.version >= PARALLEL_IN
        return _DEFAULTS.get(name, False)
