"""The releases of OpenStack that the laboratory can run.

LAB_NOVA=29 (2024.1) or LAB_NOVA=23 (Wallaby) chooses one, else it is the newest. Each has a virtual
environment of its own, so that one changes nothing of the others. The tests, the stand-ins and the
agents run in the same Python whatever is chosen.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tests.lab.common import STATE, LabError

NO_PATCHING = "OS_NOVA_DISABLE_EVENTLET_PATCHING"


@dataclass(frozen=True, eq=False)  # each is itself alone
class Release:
    """One Nova with the Keystone, the Placement and the libraries of its time.

    `wsgi`: by service, a module, or module:function that makes the application.
    """

    name: str               # what LAB_NOVA says: Nova's major version
    openstack: str
    wsgi: dict[str, str]
    microversion: str       # what the tests speak: at most the newest that this Nova knows
    pythons: tuple[str, ...] = ()   # what it runs on, the best first; (): this machine's own
    packages: tuple[str, ...] = ()  # Debian's, to build what has no wheel
    eventlet: bool = True   # conductor, scheduler and compute need its patching
    keystone_first: bool = True     # the conductor asks Keystone for the catalog while it starts

    @property
    def suffix(self) -> str:
        """Return what follows the names of its files and folders: nothing for the newest."""
        return "" if self is NEWEST else f"-{self.name}"

    @property
    def venv(self) -> Path:
        """Return the virtual environment that its services run in."""
        return STATE / f"venv{self.suffix}"

    @property
    def requirements(self) -> Path:
        """Return the list of what is installed into it."""
        return Path(__file__).with_name(f"requirements{self.suffix}.txt")


OLD_WSGI = {
    "keystone": "keystone.server.wsgi:initialize_public_application",
    "placement": "placement.wsgi:init_application",
    "nova-api": "nova.api.openstack.compute.wsgi:init_application",
}
NEW_WSGI = {
    "keystone": "keystone.wsgi.api",
    "placement": "placement.wsgi.api",
    "nova-api": "nova.wsgi.osapi_compute",
}
# 2.90: the newest at which an evacuated server comes up running, and that Debian's tools know of.
NEWEST = Release("34", "2026.2", NEW_WSGI, "2.90", eventlet=False, keystone_first=False)
RELEASES = {release.name: release for release in (
    NEWEST,
    Release("29", "2024.1", OLD_WSGI, "2.90", ("3.11", "3.10", "3.9"),
            packages=("gcc", "python3-dev")),
    Release("23", "Wallaby", OLD_WSGI, "2.88", ("3.9",)),
)}
ASKED = os.environ.get("LAB_NOVA", "")
CHOSEN = RELEASES.get(ASKED, NEWEST)


def check() -> None:
    """Raise LabError if LAB_NOVA names a release that the laboratory does not know."""
    if ASKED and ASKED not in RELEASES:
        known = ", ".join(f"{name} ({release.openstack})" for name, release in RELEASES.items())
        raise LabError(f"LAB_NOVA={ASKED} is not known; the laboratory installs Nova {known}")
