"""The processes of the laboratory's OpenStack: how each is started, known to be ready, and ended."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import signal
import urllib.error
import urllib.request
from pathlib import Path

from tests.lab.cloud_config import ENV, ETC, PATCHED_ENV, PORTS, url
from tests.lab.common import CLOUD, CLOUD_ADDRESS, REPOSITORY, VENV, Daemon, LabError, in_netns, run, wait_until
from tests.lab.netns import answers, inside
from tests.lab.releases import CHOSEN

NAMES = ("mariadb", "rabbitmq", "stubs", "keystone", "placement", "nova-api", "nova-conductor", "nova-scheduler")
WSGI = {"keystone": 8, "placement": 16, "nova-api": 24}  # name -> threads
BIN = CHOSEN.venv / "bin"
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
        program = str(REPOSITORY / "tests/lab/wsgi.py")
        where = (CLOUD_ADDRESS, str(PORTS[name]), str(WSGI[name]))
        return [str(BIN / "python"), program, name, CHOSEN.wsgi[name], *where], ENV
    return [str(BIN / name), "--config-file", str(ETC / "nova.conf")], PATCHED_ENV


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


def _http_ready(name: str) -> bool:
    """Whether an API has loaded: it answers at its root, with whatever status below 500."""

    def ask() -> bool:
        try:
            with urllib.request.urlopen(url(name) + "/", timeout=5):
                return True
        except urllib.error.HTTPError as error:
            return error.code < 500
        except OSError:
            return False

    return inside(ask)


def ready(name: str) -> bool:
    """Whether a service answers. The conductor and the scheduler answer nobody but Nova: see servers.services."""
    if name == "mariadb":
        return answers(PORTS["mariadb"], "127.0.0.1")
    if name == "rabbitmq":
        return answers(PORTS["rabbitmq"])
    if name == "stubs":
        return all(answers(PORTS[stub]) for stub in ("neutron", "glance", "cinder"))
    return _http_ready(name) if name in WSGI else Daemon(name).pid is not None


def await_ready(name: str, seconds: float = 60) -> None:
    """Wait until a service answers. Raises LabError with the end of its log when it dies or takes too long."""
    daemon = Daemon(name)
    if wait_until(lambda: daemon.pid is None or ready(name), seconds, 0.1) and daemon.pid:
        return
    tail = daemon.log.read_text(errors="replace")[-1500:] if daemon.log.exists() else ""
    raise LabError(f"{name} {'does not answer' if daemon.pid else 'has died'}; the end of {daemon.log}:\n{tail}")


def end(name: str, how: str = "kill") -> None:
    """"kill" or "term" a service, or "freeze" and "thaw" it."""
    daemon = Daemon(name)
    if how in ("kill", "term"):
        daemon.stop(signal.SIGKILL if how == "kill" else signal.SIGTERM)
        return
    if how not in ("freeze", "thaw"):
        raise ValueError(f"unknown way to stop a service: {how}")
    if daemon.pid:
        os.killpg(daemon.pid, signal.SIGSTOP if how == "freeze" else signal.SIGCONT)


def end_all() -> None:
    """End every service, those that use others first."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        # A dead database or broker makes nobody wait: their data are not kept.
        list(pool.map(end, reversed(NAMES)))
    for name in ("epmd", "fault-proxy", "tls"):  # the last two: should a test not have ended them
        end(name)


def run_program(*argv: str, timeout: float = 180) -> str:
    """Run a program of the release with the services' environment in the laboratory's network; its output. Raises LabError."""
    command = in_netns([str(BIN / argv[0]), *argv[1:]])
    return run(command, timeout=timeout, env={**os.environ, **ENV}, cwd=str(REPOSITORY)).stdout
