"""Pure: what the worker's resource is told besides who to be: a person's word, and what the old agent's parameters mean."""

from __future__ import annotations

from ..booleans import boolean
from ..configuration import Resource
from ..engine.selection import EVACUATE_DISKS

IMAGE_DISKS = "image_disks"
UNSAID = ("servers that were made from an image stay with their host when it dies, until somebody has said what becomes of their disks, which may be "
          "there alone: --image-disks evacuate, where the hosts share them (Ceph, NFS)")


def changes_of(worker: Resource, migrate: bool, image_disks: str) -> dict[str, str]:
    """Return the parameters to change; "" takes one away.

    The old agent moved what was made from an image, and no parameter of its own kept that back.
    """
    has = worker.params
    wanted: dict[str, str] = {}
    if migrate and "verbose" in has:
        loud = boolean(has["verbose"]) and not has.get("log_level")
        wanted = {"verbose": "", **({"log_level": "debug"} if loud else {})}
    disks = image_disks or (EVACUATE_DISKS if migrate and not has.get(IMAGE_DISKS) else "")
    if disks and has.get(IMAGE_DISKS) != disks:
        wanted[IMAGE_DISKS] = disks
    return wanted
