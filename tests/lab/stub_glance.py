"""A stand-in for Glance: one image IMAGE, and whatever is created. Properties and tags can be changed as in Glance (PATCH, tags/TAG)."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import Any

from tests.lab.common import GUEST_IMAGE, LIBVIRT, RUN, virt

IMAGE = "22222222-0000-4000-8000-000000000001"
KERNEL = "22222222-0000-4000-8000-000000000002"
INITRD = "22222222-0000-4000-8000-000000000003"
FILES = {IMAGE: "disk", KERNEL: "kernel", INITRD: "initrd"}  # of real guests, in GUEST_IMAGE
# The clock: under emulation the processor's own runs up to a tenth too fast.
BOOT = {"kernel_id": KERNEL, "ramdisk_id": INITRD, "hw_qemu_guest_agent": "yes",
        "os_command_line": "console=ttyS0 quiet panic=-1 clocksource=acpi_pm"}
AWAY = RUN / "glance-is-away"     # while there is such a file, every request is answered 503
FIELDS = (
    "id", "name", "status", "visibility", "protected", "owner", "size", "virtual_size", "min_disk", "min_ram", "checksum", "os_hash_algo",
    "os_hash_value", "os_hidden", "disk_format", "container_format", "created_at", "updated_at", "tags", "self", "file", "schema",
    "direct_url", "locations", "stores",
)


def set_away(away: bool) -> None:
    """Make Glance answer nothing but 503, or let it answer again."""
    if away:
        AWAY.touch()
    else:
        AWAY.unlink(missing_ok=True)


def _new(**fields: Any) -> dict[str, Any]:
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    image = {
        "id": str(uuid.uuid4()), "name": None, "status": "active", "visibility": "public", "protected": False, "owner": "lab", "size": 0,
        "virtual_size": None, "min_disk": 0, "min_ram": 0, "checksum": None, "disk_format": "raw", "container_format": "bare",
        "created_at": now, "updated_at": now, "tags": [], "schema": "/v2/schemas/image", **fields,
    }
    return {**image, "self": f"/v2/images/{image['id']}", "file": f"/v2/images/{image['id']}/file"}


class Glance:
    """Called with method, path parts, query and body; see stubs.handler."""

    def __init__(self) -> None:
        self.images = {IMAGE: _new(id=IMAGE, name="cirros", size=1 << 20, checksum="0" * 32)}
        self.contents: dict[str, bytes] = {}  # what can be downloaded
        for uid, name in FILES.items() if virt() == LIBVIRT else ():
            self.contents[uid] = (GUEST_IMAGE / name).read_bytes()
            kind = {KERNEL: "aki", INITRD: "ari"}.get(uid)
            more = {"disk_format": kind, "container_format": kind} if kind else BOOT
            known = "cirros" if uid == IMAGE else name
            self.images[uid] = _new(id=uid, name=known, size=len(self.contents[uid]), **more)

    def __call__(self, method: str, path: list[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if AWAY.exists():
            return 503, {}
        if not path or path == ["versions"]:
            return 200, {"versions": [{"id": "v2.15", "status": "CURRENT", "links": [{"rel": "self", "href": "/v2/"}]}]}
        words = path[1:]
        if words[:1] == ["schemas"]:
            return 200, {"name": "image", "properties": {f: {"description": f} for f in FIELDS}, "additionalProperties": {"type": "string"}}
        if words[:1] != ["images"]:
            return 404, {}
        if len(words) == 1:
            return self._all(method, query, body)
        return self._one(method, words[1], words[2:], body)

    def _all(self, method: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if method == "POST":
            image = _new(**(body or {}))
            self.images[image["id"]] = image
            return 201, image
        after = query.get("marker")
        names = query.get("name")
        return 200, {"images": [] if after else [i for i in self.images.values() if not names or i["name"] in names]}

    def _one(self, method: str, uid: str, rest: list[str], body: Any) -> tuple[int, Any]:
        image = self.images.get(uid)
        if image is None:
            return 404, {}
        if rest[:1] == ["tags"]:
            others = [tag for tag in image["tags"] if tag != rest[1]]
            image["tags"] = [*others, rest[1]] if method == "PUT" else others
            return 204, None
        if rest == ["file"] and method == "GET" and uid in self.contents:
            return 200, self.contents[uid]
        if rest == ["file"] and method == "PUT" and isinstance(body, bytes):
            self.contents[uid], image["size"], image["status"] = body, len(body), "active"
            return 204, None
        if rest:  # file, members
            return (204, None) if method == "PUT" else (200, {})
        if method == "DELETE":
            del self.images[uid]
            return 204, None
        if method == "PATCH":
            self._patch(image, body)
        return 200, image

    def _patch(self, image: dict[str, Any], changes: Any) -> None:
        """JSON patch, and for tests' convenience a plain object too (null takes a property away)."""
        if isinstance(changes, dict):
            changes = [{"op": "remove" if v is None else "add", "path": f"/{k}", "value": v} for k, v in changes.items()]
        for change in changes:
            key = change["path"].lstrip("/").replace("~1", "/").replace("~0", "~")
            if change["op"] == "remove":
                image.pop(key, None)
            else:
                image[key] = change["value"]
