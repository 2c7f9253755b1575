"""The OpenStack of the laboratory, whole: up, down, and its services one by one for tests of faults.

A real Nova, Placement and Keystone on MariaDB and RabbitMQ, with stubs for Neutron, Glance and Cinder. nova-compute is not
started here: each compute node runs its own with `compute_argv`.
"""

from __future__ import annotations

import shutil
import time

from tests.lab import cloud_config as config
from tests.lab import cloud_services as services
from tests.lab import cloud_template as template
from tests.lab import guests
from tests.lab.common import CLOUD, CLOUD_ADDRESS, LOGS, Daemon, LabError, Size, say, wait_until
from tests.lab.netns import NAMESPACE
from tests.lab.releases import CHOSEN

ADMINRC, CLOUDS_YAML = config.ADMINRC, config.CLOUDS_YAML
COMPLETE = CLOUD / "complete"         # the data are whole: no earlier `up` was broken off while it made them


def up(size: Size | None = None) -> None:
    """Start the cloud, empty; one that runs is kept as it is, and what is missing of it is started. Raises LabError."""
    _ensure_network()
    began = time.monotonic()
    if Daemon("mariadb").pid is None or not COMPLETE.exists():
        _renew()
    config.write_all(size or Size())
    for name in ("mariadb", "rabbitmq"):
        services.launch(name)
    services.await_ready("mariadb")
    say("starting OpenStack's services")
    for name in services.NAMES[2:]:
        services.launch(name)
        if name == "keystone" and CHOSEN.keystone_first:
            services.await_ready(name)
    for name in services.NAMES:
        services.await_ready(name)
    _await_workers()
    say(f"OpenStack is ready at http://{CLOUD_ADDRESS}:{config.PORTS['keystone']} after {time.monotonic() - began:.1f} s")


def down() -> None:
    """End every process of the cloud; its data are discarded by the next `up`."""
    services.end_all()


def start(name: str, seconds: float = 60) -> None:
    """Start one service of services.NAMES and wait until it answers."""
    services.launch(_known(name))
    services.await_ready(name, seconds)


def stop(name: str, how: str = "kill") -> None:
    """"kill", "term", "freeze" or "thaw" one service of services.NAMES."""
    services.end(_known(name), how)


def status() -> dict[str, bool]:
    """Whether each service lives and answers."""
    return {name: Daemon(name).pid is not None and services.ready(name) for name in services.NAMES}


def compute_argv(host: str) -> list[str]:
    """The command with which a compute node runs its nova-compute; its configuration is written. It logs to LOGS/nova-compute-HOST.log."""
    return [str(config.write_compute(host))]


def _known(name: str) -> str:
    if name not in services.NAMES:
        raise LabError(f"there is no service {name}; there are {', '.join(services.NAMES)}")
    return name


def _ensure_network() -> None:
    if not NAMESPACE.exists():
        from tests.lab import network  # the cluster's half; not needed when the network is there

        network.up()


def _renew() -> None:
    """Put an empty cloud's data in place of whatever is left."""
    services.end_all()
    shutil.rmtree(CLOUD, ignore_errors=True)
    for log in (Daemon(name).log for name in services.NAMES):
        log.unlink(missing_ok=True)
    guests.clear()
    if not template.restore():
        template.build()
    COMPLETE.touch()


def _await_workers() -> None:
    """Wait until Nova itself sees its conductor and its scheduler."""
    nova = template.Rest(config.CATALOG["compute"])

    def all_up() -> bool:
        found = nova.call("GET", "/os-services")["services"]
        return {"nova-conductor", "nova-scheduler"} <= {s["binary"] for s in found if s["state"] == "up"}

    if not wait_until(all_up, 60, 0.2):
        raise LabError(f"Nova does not see its conductor and scheduler; their logs are in {LOGS}")
