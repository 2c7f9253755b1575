"""What people have instead: the fence agent that Debian ships, called as the old NovaEvacuate called it, and a person with the command line."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.lab import servers
from tests.lab.cloud_config import CLOUDS_YAML
from tests.lab.common import STATE, LabError, in_netns, run, say

VENV = STATE / "bench-venv"
PACKAGES = ("python-novaclient", "python-keystoneclient", "python-openstackclient", "setuptools<81")
MONITOR = 10.0        # how often the old NovaEvacuate looked
ONE_CALL = 600.0      # how long it let fence_evacuate work: the timeout of its monitor
# Debian 12's fence_evacuate dies of this missing name under its own Python 3.11; the bench gives it back, so that there is something to compare with.
SHIM = ("import inspect, runpy, sys; inspect.getargspec = inspect.getfullargspec; "
        "sys.argv[0] = sys.argv.pop(1); runpy.run_path(sys.argv[0], run_name='__main__')")


FLOOR = "floor"
THREADS = 16          # of the floor


@dataclass(frozen=True)
class Peer:
    """Something that evacuates hosts that are off and marked down. `work` gets them, and returns when it has asked for all it asks for."""

    name: str
    work: Callable[[Sequence[str]], None] | None


def install() -> None:
    """The peers' libraries, from PyPI, into a folder of their own."""
    if (VENV / "bin/openstack").exists():
        return
    say("installing the peers' libraries from PyPI")
    run(["/usr/bin/python3", "-m", "venv", "--system-site-packages", str(VENV)], timeout=120)
    run([str(VENV / "bin/pip"), "install", "--quiet", *PACKAGES], timeout=900)


def floor(hosts: Sequence[str]) -> None:
    """Ask for all of them at once: what Nova itself needs."""
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(servers.evacuate, [uid for host in hosts for uid in servers.listed(host)]))


def fence_evacuate(hosts: Sequence[str]) -> None:
    """As the old NovaEvacuate: look every ten seconds; once Nova shows a host as off have all on it evacuated, and again if that failed."""
    began, left = time.monotonic(), [*hosts]
    for turn in range(1, 30):
        time.sleep(max(0.0, began + turn * MONITOR - time.monotonic()))
        left = [host for host in left if not (_agent("status", host) == 2 and _agent("off", host) == 0)]
        if not left:
            return
    raise LabError(f"fence_evacuate never succeeded for {', '.join(left)}")


def one_by_one(hosts: Sequence[str]) -> None:
    """As a person does with a list of the hosts' servers: `openstack server evacuate` for one after the other."""
    for uid in [uid for host in hosts for uid in servers.listed(host)]:
        _command("openstack", "--os-compute-api-version", "2.73", "server", "evacuate", uid)


def host_evacuate(hosts: Sequence[str]) -> None:
    """As people did with the older command line."""
    for host in hosts:
        _command("nova", "host-evacuate", host)


def _command(*words: str) -> None:
    argv = in_netns([str(VENV / "bin" / words[0]), *words[1:]])
    done = subprocess.run(argv, env={**os.environ, **_cloud()}, capture_output=True, text=True, timeout=ONE_CALL, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-200:]
        raise LabError(f"{' '.join(words[:3])}: {said}")


def _agent(action: str, host: str) -> int:
    cloud = _cloud()
    argv = [str(VENV / "bin/python"), "-c", SHIM, "/usr/sbin/fence_evacuate", "-o", action, "-n", host, "-e", "publicURL",
            "--no-shared-storage",     # true of the laboratory; told otherwise, Nova fails each of the rebuilds
            "-k", cloud["OS_AUTH_URL"], "-l", cloud["OS_USERNAME"], "-p", cloud["OS_PASSWORD"], "-t", cloud["OS_PROJECT_NAME"]]
    done = subprocess.run(in_netns(argv), capture_output=True, text=True, timeout=ONE_CALL, check=False)
    if done.returncode not in (0, 2):
        say(f"  fence_evacuate -o {action}: {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.returncode


def _cloud() -> Mapping[str, str]:
    auth = json.loads(CLOUDS_YAML.read_text())["clouds"]["lab"]["auth"]
    names = {"auth_url": "OS_AUTH_URL", "username": "OS_USERNAME", "password": "OS_PASSWORD", "project_name": "OS_PROJECT_NAME",
             "user_domain_name": "OS_USER_DOMAIN_NAME", "project_domain_name": "OS_PROJECT_DOMAIN_NAME"}
    return {**{names[key]: value for key, value in auth.items() if key in names}, "OS_IDENTITY_API_VERSION": "3"}


PEERS = (
    Peer(FLOOR, floor),
    Peer("instance-ha", None),
    Peer("fence_evacuate of Debian 12, as NovaEvacuate called it", fence_evacuate),
    Peer("nova host-evacuate", host_evacuate),
    Peer("openstack server evacuate, one after the other", one_by_one),
)
