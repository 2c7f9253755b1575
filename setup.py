"""The Python library of instance-ha as a package: `pip install .` installs no agent and no command."""

import re
from pathlib import Path

from setuptools import find_packages, setup

INIT = Path(__file__).resolve().parent / "agents" / "instance_ha" / "__init__.py"
VERSION = re.search(r'^__version__ = "([^"]+)"', INIT.read_text(encoding="utf-8"), re.MULTILINE)
if VERSION is None:
    raise SystemExit(f"{INIT} holds no __version__")

ALONE = """This package is the Python library of Instance HA for OpenStack on Pacemaker, and nothing
else.

Pacemaker finds its agents in fixed places outside of Python's own, and root starts them with a fixed
interpreter. So `pip install` gives neither the agents `fence_nova` and `ocf:openstack:NovaEvacuate` nor
the command `instance-ha`. Install those with the Debian or RPM package (`make deb`, `make rpm`), or with
`make install` from the source archive.
"""

setup(
    name="instance-ha",
    version=VERSION.group(1),
    description="Instance HA for OpenStack on Pacemaker: the library alone, without agents",
    long_description=ALONE,
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    package_dir={"": "agents"},
    packages=find_packages("agents"),
    python_requires=">=3.9",
    # The floors are what enterprise Linux 9 has, and were run. The faults known of lxml before 4.9.1 are in its cleaner of HTML
    # and in iterwalk, of PyYAML before 5.4 in full_load: none of them is used here, and distributions mend theirs in place.
    install_requires=["openstacksdk>=0.55", "keystoneauth1>=4.3", "requests>=2.25", "lxml>=4.6", "PyYAML>=5.4"],
)
