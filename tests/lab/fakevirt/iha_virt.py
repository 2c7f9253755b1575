"""A hypervisor for nova-compute whose guests are files, so that they outlive nova-compute and tell where they run."""

from __future__ import annotations

import time
from typing import Any

import nova.conf
from nova import exception
from nova.compute import power_state, task_states
from nova.virt import fake, hardware

from tests.lab import guests

CONF = nova.conf.CONF
POWER = {
    "running": power_state.RUNNING,
    "paused": power_state.PAUSED,
    "suspended": power_state.SUSPENDED,
    "shutdown": power_state.SHUTDOWN,
}


# Before Nova 27 nodes have no identity of their own, and there is no such class.
BASE = getattr(fake, "FakeDriverWithoutFakeNodes", fake.FakeDriver)


class LabDriver(BASE):  # type: ignore[misc, valid-type]
    """Nova's fake driver with its in-memory guests replaced by tests.lab.guests. Signatures are Nova's."""

    vcpus = 64
    memory_mb = 65536
    local_gb = 1024

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._host = CONF.host  # old Novas ask for the guests before they say which host this is

    def _change(self, instance: Any, event: str, state: str) -> None:
        if guests.guest(self._host, instance.uuid) is None:
            raise exception.InstanceNotFound(instance_id=instance.uuid)
        guests.change(self._host, instance.uuid, event, state)

    def _wait(self, knob: str) -> None:
        time.sleep(float(guests.knob(knob, self._host) or 0))

    def list_instances(self) -> list[str]:
        return [g["name"] for g in guests.on_host(self._host)]

    def list_instance_uuids(self) -> list[str]:
        return [g["uuid"] for g in guests.on_host(self._host)]

    def get_info(self, instance: Any, use_cache: bool = True) -> Any:
        guest = guests.guest(self._host, instance.uuid)
        if guest is None:
            raise exception.InstanceNotFound(instance_id=instance.uuid)
        return hardware.InstanceInfo(state=POWER[guest["state"]])

    def spawn(
        self, context: Any, instance: Any, image_meta: Any, injected_files: Any, admin_password: Any, allocations: Any,
        network_info: Any = None, block_device_info: Any = None, power_on: bool = True, accel_info: Any = None,
    ) -> None:
        for vif in network_info or []:
            vif.fixed_ips()  # waits for Neutron's answer, and raises its error
            self._interfaces[vif["id"]] = vif
        self._wait("spawn_delay")
        if guests.knob("fail_spawn", self._host) is not None:
            raise exception.InstanceDeployFailure(reason="the fail_spawn knob is set")
        guests.change(self._host, instance.uuid, "spawn", "running" if power_on else "shutdown", instance.name)
        self._wait("spawn_linger")

    def destroy(
        self, context: Any, instance: Any, network_info: Any, block_device_info: Any = None, destroy_disks: bool = True,
        destroy_secrets: bool = True,
    ) -> None:
        guests.remove(self._host, instance.uuid, "destroy")

    def cleanup(self, context: Any, instance: Any, network_info: Any, *args: Any, **kwargs: Any) -> None:
        if guests.guest(self._host, instance.uuid):
            raise exception.InstanceExists(name=instance.name)

    def snapshot(self, context: Any, instance: Any, image_id: str, update_task_state: Any) -> None:
        update_task_state(task_state=task_states.IMAGE_PENDING_UPLOAD)
        self._wait("snapshot_delay")
        update_task_state(task_state=task_states.IMAGE_UPLOADING, expected_state=task_states.IMAGE_PENDING_UPLOAD)

    def reboot(self, context: Any, instance: Any, network_info: Any, reboot_type: str, *args: Any, **kwargs: Any) -> None:
        # Like libvirt, a hard reboot makes the guest anew; it need not be there.
        guests.change(self._host, instance.uuid, "reboot", "running", instance.name)

    def power_off(self, instance: Any, timeout: int = 0, retry_interval: int = 0) -> None:
        self._change(instance, "power_off", "shutdown")

    def power_on(self, context: Any, instance: Any, network_info: Any, *args: Any, **kwargs: Any) -> None:
        self._change(instance, "power_on", "running")

    def pause(self, instance: Any) -> None:
        self._change(instance, "pause", "paused")

    def unpause(self, instance: Any) -> None:
        self._change(instance, "unpause", "running")

    def suspend(self, context: Any, instance: Any) -> None:
        self._change(instance, "suspend", "suspended")

    def resume(self, context: Any, instance: Any, network_info: Any, *args: Any, **kwargs: Any) -> None:
        self._change(instance, "resume", "running")

    def rescue(self, context: Any, instance: Any, network_info: Any, *args: Any, **kwargs: Any) -> None:
        self._change(instance, "rescue", "running")

    def unrescue(self, context: Any, instance: Any) -> None:
        self._change(instance, "unrescue", "running")

    def resume_state_on_host_boot(self, context: Any, instance: Any, network_info: Any, *args: Any, **kwargs: Any) -> None:
        guests.change(self._host, instance.uuid, "resume_on_boot", "running", instance.name)

    def migrate_disk_and_power_off(self, context: Any, instance: Any, *args: Any, **kwargs: Any) -> None:
        self._wait("resize_delay")
        self._change(instance, "migrate_away", "shutdown")

    def finish_revert_migration(
        self, context: Any, instance: Any, network_info: Any, migration: Any, block_device_info: Any = None, power_on: bool = True,
        **kwargs: Any,
    ) -> None:
        guests.change(self._host, instance.uuid, "revert", "running" if power_on else "shutdown", instance.name)

    def live_migration(self, context: Any, instance: Any, dest: str, post_method: Any, *args: Any, **kwargs: Any) -> None:
        self._wait("live_migration_delay")
        self._change(instance, "live_migrate_away", "shutdown")
        migrate_data = kwargs.get("migrate_data") or (args[2] if len(args) > 2 else None)
        post_method(context, instance, dest, kwargs.get("block_migration", args[1] if len(args) > 1 else False), migrate_data)

    def post_live_migration(self, context: Any, instance: Any, block_device_info: Any, migrate_data: Any = None) -> None:
        guests.remove(self._host, instance.uuid, "destroy")
