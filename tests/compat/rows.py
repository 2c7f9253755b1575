"""The rows of make compat: on which platform what is run."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.compat.units import PINS
from tests.lab.releases import NEWEST, RELEASES

FIRST, LAST = 9, 14     # of Python 3
MAKE = ("make", "--no-print-directory")
QUICK = '-m "not slow"'
# A package in a root of a release: installed with what it depends on, looked at, and purged again.
INSTALLED = """set -e
export DEBIAN_FRONTEND=noninteractive
apt-get --quiet=2 update
apt-get --quiet=2 install --yes --no-install-recommends ./dist/instance-ha_*_all.deb
dpkg --status instance-ha | grep '^Version:'
instance-ha --help > /dev/null
fence_nova -o metadata | grep -q '<resource-agent'
/usr/lib/ocf/resource.d/openstack/NovaEvacuate meta-data | grep -q '<resource-agent'
test "$(stat -c %a%U /var/lib/instance-ha)" = 700root
apt-get --quiet=2 purge --yes instance-ha
for left in /usr/bin/instance-ha /usr/sbin/fence_nova /usr/lib/instance-ha /var/lib/instance-ha; do
    test ! -e $left || { echo "purged, and $left is left"; exit 1; }
done
echo 'installed, looked at, purged'
"""


@dataclass(frozen=True)
class Row:
    """One command; its exit code is the result."""

    platform: str
    what: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return its name, by which it is chosen and kept."""
        return f"{self.platform}: {self.what}"


def rows() -> Iterator[Row]:
    """Yield every row, in the order of the table."""
    yield from _pythons()
    yield Row("Debian 12", "demo", (*MAKE, "demo"))
    yield from _debian_13()
    for release in RELEASES.values():
        if release is not NEWEST:
            yield from _nova(release.name, release.openstack)
    yield from _packages()


def _pythons() -> Iterator[Row]:
    for minor in range(FIRST, LAST + 1):
        for pins in PINS:
            argv = (sys.executable, "-m", "tests.compat.units", f"3.{minor}", pins)
            yield Row(f"Python 3.{minor}", f"unit tests, {pins} libraries", argv)


def _inside(what: str, *argv: str, suite: str = "trixie") -> Row:
    platform = {"trixie": "Debian 13", "bookworm": "Debian 12"}[suite]
    command = (sys.executable, "-m", "tests.lab.suite", *argv)
    return Row(platform, what, command, {"LAB_SUITE": suite})


def _debian_13() -> Iterator[Row]:
    yield _inside("demo", *MAKE, "demo")
    yield _inside("demo, compute hosts as full members", *MAKE, "demo", "DEMO=--members")
    yield _inside("unit tests, linter and type checker", *MAKE, "check")
    yield _inside("conformance tests", *MAKE, "test", f"TESTS={QUICK} tests/conformance")
    yield _inside("configure tests", *MAKE, "test-configure")
    yield _inside("cluster tests", *MAKE, "test", f"TESTS={QUICK} tests/cluster")


def _nova(name: str, openstack: str) -> Iterator[Row]:
    chosen = {"LAB_NOVA": name}
    platform = f"Nova {name} ({openstack})"
    yield Row(platform, "demo", (*MAKE, "demo"), chosen)
    states = (*MAKE, "test", "TESTS=tests/nova/test_states.py")
    yield Row(platform, "a server in each state", states, chosen)


def _packages() -> Iterator[Row]:
    need = "from tests.lab.install import need; need"
    for name, tools in (("deb", '"debhelper", "dpkg-dev", "dh-python", "python3-lxml"'),
                        ("rpm", '"rpm", "python3-lxml"')):
        yield Row("Packages", f"make {name}",
                  ("sh", "-c", f"{sys.executable} -c '{need}({tools})' && {' '.join(MAKE)} {name}"))
    for suite in ("bookworm", "trixie"):
        what = "the Debian package, installed and purged"
        yield _inside(what, "sh", "-c", INSTALLED, suite=suite)
    yield Row("Packages", "upgrade of all controllers in the middle of an evacuation",
              (*MAKE, "test", "TESTS=-m slow tests/cluster/test_upgrade.py"))
