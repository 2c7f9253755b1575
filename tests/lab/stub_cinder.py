"""A stand-in for Cinder: volumes and their attachments (API 3.44 and later)."""

from __future__ import annotations

import uuid
from typing import Any

from tests.lab.common import LIBVIRT, VOLUMES, virt
from tests.lab.stub_glance import BOOT

Thing = dict[str, Any]


class Cinder:
    """Called with method, path parts (v3, project, ...), query and body; see stubs.handler."""

    def __init__(self) -> None:
        self.volumes: dict[str, Thing] = {}
        self.attachments: dict[str, Thing] = {}
        self.real = virt() == LIBVIRT  # a volume is a file that QEMU opens

    def __call__(self, method: str, path: list[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if len(path) < 2:
            version = {"id": "v3.0", "status": "CURRENT", "version": "3.70", "min_version": "3.0", "links": []}
            return 200, {"versions": [version]}
        words = path[2:] if path[1] not in ("volumes", "attachments") else path[1:]
        if words[:1] == ["volumes"]:
            return self._volumes(method, words[1:], body)
        if words[:1] == ["attachments"]:
            return self._attachments(method, words[1:], query, body)
        return 404, {"itemNotFound": {"code": 404, "message": "not found"}}

    def _view(self, volume: Thing) -> Thing:
        attached = [
            {"attachment_id": a["id"], "id": volume["id"], "volume_id": volume["id"], "server_id": a["instance"], "device": "/dev/vda",
             "host_name": None, "attached_at": None}
            for a in self.attachments.values() if a["volume_id"] == volume["id"]
        ]
        status = "in-use" if attached else "available"
        return {**volume, "attachments": attached, "status": status}

    def _volumes(self, method: str, rest: list[str], body: Any) -> tuple[int, Any]:
        if method == "POST" and not rest:
            fields = body["volume"]
            image = {"image_id": fields["imageRef"], "min_disk": "0", "min_ram": "0"} if fields.get("imageRef") else {}
            volume = {
                "id": str(uuid.uuid4()), "name": fields.get("name"), "description": None, "size": fields.get("size") or 1,
                "availability_zone": "nova", "bootable": str(bool(image)).lower(), "volume_image_metadata": image, "metadata": {},
                "volume_type": "lab", "multiattach": False, "snapshot_id": None, "source_volid": None, "encrypted": False,
                "created_at": "2024-01-01T00:00:00.000000", "updated_at": None, "shared_targets": False, "service_uuid": None,
                "replication_status": None, "migration_status": None, "links": [],
            }
            self.volumes[volume["id"]] = volume
            if self.real:
                image |= BOOT if image else {}
                with open(VOLUMES / volume["id"], "wb") as file:
                    file.truncate(volume["size"] << 30)
            return 202, {"volume": self._view(volume)}
        if not rest or rest[0] in ("detail", "summary"):
            return 200, {"volumes": [self._view(v) for v in self.volumes.values()]}
        volume_or_none = self.volumes.get(rest[0])
        if volume_or_none is None:
            return 404, {"itemNotFound": {"code": 404, "message": f"Volume {rest[0]} could not be found."}}
        if method == "DELETE":
            del self.volumes[rest[0]]
            if self.real:
                (VOLUMES / rest[0]).unlink(missing_ok=True)
            return 202, None
        if rest[1:] == ["action"]:
            if "os-set_image_metadata" in (body or {}):
                volume_or_none["volume_image_metadata"] |= body["os-set_image_metadata"]["metadata"]
            return 202, {}
        return 200, {"volume": self._view(volume_or_none)}

    def _attachments(self, method: str, rest: list[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if method == "POST" and not rest:
            wanted = body["attachment"]
            if wanted["volume_uuid"] not in self.volumes:
                return 404, {"itemNotFound": {"code": 404, "message": "no such volume"}}
            made = {
                "id": str(uuid.uuid4()), "volume_id": wanted["volume_uuid"], "instance": wanted["instance_uuid"], "status": "reserved",
                "attach_mode": "rw", "attached_at": None, "detached_at": None, "connection_info": {},
            }
            self.attachments[made["id"]] = made
            return self._connected(made, wanted.get("connector"))
        if not rest or rest[0] == "detail":
            server = query.get("instance_id")
            return 200, {"attachments": [a for a in self.attachments.values() if not server or a["instance"] in server]}
        attachment = self.attachments.get(rest[0])
        if attachment is None:
            return 404, {"itemNotFound": {"code": 404, "message": "no such attachment"}}
        if method == "DELETE":
            del self.attachments[rest[0]]
            return 200, {"attachments": []}
        if rest[1:] == ["action"]:  # os-complete
            attachment["status"] = "attached"
            return 204, None
        if method == "PUT":
            return self._connected(attachment, body["attachment"].get("connector"))
        return 200, {"attachment": attachment}

    def _connected(self, attachment: Thing, connector: Any) -> tuple[int, Any]:
        if connector:
            attachment["status"] = "attaching"
            attachment["connection_info"] = {
                "driver_volume_type": "fake_volume_type", "attachment_id": attachment["id"], "volume_id": attachment["volume_id"],
                "target_portal": "lab", "data": {"target_lun": 1},
            }
            if self.real:  # of Nova's drivers the one that takes a file as it is
                path = str(VOLUMES / attachment["volume_id"])
                attachment["connection_info"] |= {"driver_volume_type": "gpfs", "device_path": path}
        return 200, {"attachment": attachment}


