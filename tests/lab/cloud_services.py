"""The processes of the laboratory's OpenStack: how each is started, known to be ready, and ended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from tests.lab.cloud_config import ENV, ETC, PORTS
from tests.lab.common import CLOUD, CLOUD_ADDRESS, REPOSITORY, VENV, Daemon, LabError, in_netns, run, wait_until

NAMES = ("mariadb", "rabbitmq", "stubs", "keystone", "placement", "nova-api", "nova-conductor", "nova-scheduler")
WSGI = {  # name -> module, threads
    "keystone": ("keystone.wsgi.api", 8),
    "placement": ("placement.wsgi.api", 16),
    "nova-api": ("nova.wsgi.osapi_compute", 24),
}
EPMD_PORT = "4369"
LIBRARY = Path("/usr/lib/rabbitmq/bin")
RABBITMQ = CLOUD / "rabbitmq"
RABBITMQ_ENV = {
    "HOME": str(RABBITMQ),
    "RABBITMQ_NODENAME": "ihalab@localhost",
    "RABBITMQ_CONFIG_FILE": str(RABBITMQ / "rabbitmq"),
    "RABBITMQ_CONF_ENV_FILE": os.devnull,
    "RABBITMQ_ENABLED_PLUGINS_FILE": str(RABBITMQ / "enabled_plugins"),
    "RABBITMQ_MNESIA_BASE": str(RABBITMQ / "mnesia"),
    "RABBITMQ_PID_FILE": str(RABBITMQ / "pid"),
    "RABBITMQ_LOGS": "-",
    "RABBITMQ_LOG_BASE": str(RABBITMQ),
    "ERL_EPMD_PORT": EPMD_PORT,
    "RUNNING_UNDER_SYSTEMD": "1",  # no shell in between: the pid is Erlang's, and SIGTERM reaches it
}


def _argv(name: str) -> tuple[list[str], dict[str, str]]:
    """The command and the environment of a service."""
    if name == "mariadb":
        return ["mariadbd", f"--defaults-file={ETC / 'mariadb.cnf'}"], {}
    if name == "epmd":
        return [*_as_user("rabbitmq"), "epmd", "-address", "127.0.0.1", "-port", EPMD_PORT], {}
    if name == "rabbitmq":
        return [*_as_user("rabbitmq"), str(LIBRARY / "rabbitmq-server")], RABBITMQ_ENV
    if name == "stubs":
        return [str(VENV / "bin/python"), "-m", "tests.lab.stubs"], ENV
    if name in WSGI:
        module, threads = WSGI[name]
        program = str(REPOSITORY / "tests/lab/wsgi.py")
        return [str(VENV / "bin/python"), "-P", program, name, module, CLOUD_ADDRESS, str(PORTS[name]), str(threads)], ENV
    return [str(VENV / "bin" / name), "--config-file", str(ETC / "nova.conf")], ENV


def _as_user(user: str) -> list[str]:
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]


def launch(name: str) -> None:
    """Start a service without waiting for it; a running one is left alone."""
    if name == "rabbitmq":
        RABBITMQ.mkdir(parents=True, exist_ok=True)
        shutil.chown(RABBITMQ, "rabbitmq", "rabbitmq")
        launch("epmd")  # RabbitMQ would start one of its own, which nobody would end
        wait_until(lambda: answers(int(EPMD_PORT), "127.0.0.1"), 5)
    argv, env = _argv(name)
    Daemon(name).start(in_netns(argv), {**env, "PATH": f"{os.environ['PATH']}:/usr/sbin:/usr/bin:/sbin:/bin"}, str(REPOSITORY))


def answers(port: int, address: str = CLOUD_ADDRESS) -> bool:
    """Whether something in the laboratory's network takes connections at a port."""
    code = f"import socket,sys; s=socket.socket(); s.settimeout(1); sys.exit(s.connect_ex(({address!r}, {port})) != 0)"
    if inside():
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((address, port)) == 0
    return subprocess.run(in_netns([str(VENV / "bin/python"), "-IS", "-c", code]), check=False).returncode == 0
