"""Nova's own libvirt driver with the knobs of tests.lab.guests.

Nothing of it is changed but the moment, or the failure, of a few calls.
"""

from __future__ import annotations

import time
from typing import Any

from nova import exception
from nova.virt.libvirt import driver

from tests.lab import guests


class LabDriver(driver.LibvirtDriver):  # type: ignore[misc]
    """Signatures are Nova's."""

    def _knob(self, name: str) -> str | None:
        return guests.knob(name, self._host.get_hostname())

    def _wait(self, name: str) -> None:
        time.sleep(float(self._knob(name) or 0))

    def spawn(self, context: Any, instance: Any, *args: Any, **kwargs: Any) -> None:
        self._wait("spawn_delay")
        if self._knob("fail_spawn") is not None:
            raise exception.InstanceDeployFailure(reason="the fail_spawn knob is set")
        super().spawn(context, instance, *args, **kwargs)
        self._wait("spawn_linger")

    def snapshot(self, *args: Any, **kwargs: Any) -> None:
        self._wait("snapshot_delay")
        super().snapshot(*args, **kwargs)

    def migrate_disk_and_power_off(self, *args: Any, **kwargs: Any) -> Any:
        self._wait("resize_delay")
        return super().migrate_disk_and_power_off(*args, **kwargs)

    def live_migration(self, *args: Any, **kwargs: Any) -> None:
        self._wait("live_migration_delay")
        super().live_migration(*args, **kwargs)
