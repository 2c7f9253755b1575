"""The configuration files of the laboratory's OpenStack, MariaDB and RabbitMQ, and how one reaches them."""

from __future__ import annotations

import json
import os
import secrets
import uuid
from collections.abc import Mapping
from pathlib import Path

from tests.lab.common import (
    BINDING,
    CLOUD,
    CLOUD_ADDRESS,
    INSTANCES,
    LIBVIRT,
    LOGS,
    REPOSITORY,
    ROLE,
    STATE,
    LabError,
    Size,
    run,
    virt,
)
from tests.lab.releases import CHOSEN, NO_PATCHING

PORTS = {
    "keystone": 5000, "placement": 8778, "nova-api": 8774, "neutron": 9696, "glance": 9292, "cinder": 8776,
    "mariadb": 3306, "rabbitmq": 5672,
}
ETC = CLOUD / "etc"
ADMINRC = CLOUD / "adminrc"
CLOUDS_YAML = CLOUD / "clouds.yaml"  # its cloud is named "lab"
AGENTS_YAML = CLOUD / "agents.yaml"  # the same for the agents, whose user may be another
EVACUATOR = "evacuator"        # a role of its own, and the user in the project service with only that
POLICY = REPOSITORY / "packaging/policy/make.py"
NEW_DEFAULTS = 27              # the first Nova that enforces its new policies unless told otherwise
SECRET = CLOUD / "secret"      # the one password of every account of this laboratory
ENV = {                        # of every process of Nova, Placement and Keystone
    NO_PATCHING: "1",
    "OS_NOVA_CONFIG_DIR": str(ETC),
    "OS_PLACEMENT_CONFIG_DIR": str(ETC),
    "OS_KEYSTONE_CONFIG_DIR": str(ETC),
    "INSTANCE_HA_LAB_DIR": str(STATE),
    "MALLOC_ARENA_MAX": "2",
    "PYTHONWARNINGS": "ignore",
}
# Of the conductor, the scheduler and compute: their threads are eventlet's before Nova 31.
PATCHED_ENV = {key: value for key, value in ENV.items() if key != NO_PATCHING or not CHOSEN.eventlet}
CATALOG = {  # service type -> its URL
    "identity": f"http://{CLOUD_ADDRESS}:{PORTS['keystone']}/v3",
    "compute": f"http://{CLOUD_ADDRESS}:{PORTS['nova-api']}/v2.1",
    "placement": f"http://{CLOUD_ADDRESS}:{PORTS['placement']}",
    "network": f"http://{CLOUD_ADDRESS}:{PORTS['neutron']}",
    "image": f"http://{CLOUD_ADDRESS}:{PORTS['glance']}",
    "volumev3": f"http://{CLOUD_ADDRESS}:{PORTS['cinder']}/v3/%(project_id)s",
}
LIBVIRTD_READY = """\
tries=0
until [ -S /run/libvirt/libvirt-sock ] || [ $tries -ge 300 ]; do sleep 0.1; tries=$((tries + 1)); done
"""   # as the order of their units does it
Sections = Mapping[str, Mapping[str, object]]


def url(name: str) -> str:
    """The root URL of a service of PORTS."""
    return f"http://{CLOUD_ADDRESS}:{PORTS[name]}"


def secret() -> str:
    """The laboratory's password."""
    return SECRET.read_text().strip()


def new_secret() -> None:
    """Make up the laboratory's password."""
    _write(SECRET, secrets.token_hex(16) + "\n")


def database(name: str) -> str:
    """SQLAlchemy's URL of a database."""
    return f"mysql+pymysql://lab:{secret()}@127.0.0.1:{PORTS['mariadb']}/{name}?charset=utf8"


def _write(path: Path, text: str, mode: int = 0o600) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.chmod(mode)
    os.replace(part, path)


def _ini(path: Path, sections: Sections) -> None:
    lines: list[str] = []
    for section, options in sections.items():
        lines += [f"[{section}]", *(f"{key} = {value}" for key, value in options.items()), ""]
    _write(path, "\n".join(lines))


def _credentials() -> dict[str, object]:
    return {
        "auth_type": "password", "auth_url": CATALOG["identity"], "username": "nova", "password": secret(), "project_name": "service",
        "user_domain_name": "Default", "project_domain_name": "Default", "region_name": "RegionOne",
    }


def _authtoken() -> dict[str, object]:
    return {
        **_credentials(), "www_authenticate_uri": CATALOG["identity"], "service_token_roles": "service",
        "service_token_roles_required": "true", "token_cache_time": 300,
    }


def _pool(connection: str) -> dict[str, object]:
    return {"connection": connection, "max_pool_size": 40, "max_overflow": 80}


def _nova(host: str) -> dict[str, dict[str, object]]:
    """What every process of Nova has in common."""
    clients = {name: _credentials() for name in ("placement", "neutron", "cinder", "glance")}
    return {
        "DEFAULT": {
            "host": host,
            "transport_url": f"rabbit://lab:{secret()}@{CLOUD_ADDRESS}:{PORTS['rabbitmq']}/",
            "state_path": CLOUD / "state" / host,
            "report_interval": 2,
            "service_down_time": 10,
            "vif_plugging_is_fatal": "false",
            "vif_plugging_timeout": 0,
            "log_options": "false",
            "shelved_offload_time": -1,
        },
        **clients,
        "service_user": {**_credentials(), "send_service_user_token": "true"},
        "oslo_concurrency": {"lock_path": CLOUD / "state" / host / "lock"},
        "oslo_messaging_notifications": {"driver": "noop"},
        "oslo_messaging_rabbit": {"rabbit_interval_max": 1},  # back within a second of RabbitMQ's return, not 30
        "vnc": {"enabled": "false"},
    }


def _write_nova() -> None:
    common = _nova("cloud")
    paste = CHOSEN.venv / "etc/nova/api-paste.ini"
    _write(ETC / "api-paste.ini", paste.read_text())
    _ini(ETC / "nova.conf", {
        **common,
        "wsgi": {"api_paste_config": paste},
        "database": _pool(database("nova")),
        "api_database": _pool(database("nova_api")),
        "keystone_authtoken": _authtoken(),
        "conductor": {"workers": 1},
        "scheduler": {"workers": 1, "discover_hosts_in_cells_interval": 2},
        "quota": {"instances": -1, "cores": -1, "ram": -1, "server_groups": -1, "server_group_members": -1},
        **_policy("nova"),
    })


def _policy(service: str) -> dict[str, dict[str, object]]:
    """The section that names the role's policy file, which is made from the installed release's defaults."""
    if not ROLE:
        return {}
    path = ETC / f"{service}-policy.yaml"
    old = ["--old-defaults"] if int(CHOSEN.name) < NEW_DEFAULTS else []
    argv = [str(CHOSEN.venv / "bin/python"), "-W", "ignore", str(POLICY), service, *old]
    made = run(argv, env={**os.environ, **ENV})
    _write(path, made.stdout)
    return {"oslo_policy": {"policy_file": path}}


def write_compute(host: str) -> Path:
    """Write nova-compute's configuration, identity and start script (CLOUD/bin/nova-compute-HOST) for one host; the script's path."""
    sections = _nova(host)
    number = host.rpartition("-")[2]
    state = CLOUD / "state" / host
    sections["DEFAULT"] |= {
        "compute_driver": "iha_virt.LabDriver",
        "my_ip": f"10.77.0.{100 + int(number)}" if number.isdigit() else CLOUD_ADDRESS,
        "log_file": LOGS / f"nova-compute-{host}.log",
        "use_stderr": "false",
        "heal_instance_info_cache_interval": -1,
    }
    # Without it a compute host refuses a member of a hard-affinity group whose other members are still on the dead host.
    sections["workarounds"] = {"disable_group_policy_check_upcall": "true"}
    config = ETC / f"nova-compute-{host}.conf"
    exports, ready = dict(PATCHED_ENV), ""
    if virt() == LIBVIRT:
        _libvirt(sections, config)
        exports["PYTHONPATH"], ready = str(BINDING), LIBVIRTD_READY
    _ini(config, sections)
    (state / "lock").mkdir(parents=True, exist_ok=True)
    LOGS.mkdir(parents=True, exist_ok=True)
    _write(state / "compute_id", str(uuid.uuid5(uuid.NAMESPACE_DNS, host)))
    script = CLOUD / "bin" / f"nova-compute-{host}"
    lines = "\n".join(f"export {key}={value}" for key, value in exports.items())
    program = REPOSITORY / "tests/lab/fakevirt/nova_compute.py"
    start = f"exec {CHOSEN.venv}/bin/python {program} --config-file {config}"
    _write(script, f"#!/bin/sh\n{lines}\n{ready}{start}\n", 0o755)
    return script


def _libvirt(sections: dict[str, dict[str, object]], config: Path) -> None:
    """Add Nova's own libvirt driver, with guests that QEMU emulates on disks that every host sees."""
    sections["DEFAULT"] |= {
        "compute_driver": "iha_libvirt.LabDriver", "instances_path": INSTANCES,
        "use_cow_images": "false",  # else a resize makes qcow2 of the raw disk
        "reserved_host_memory_mb": 0, "initial_cpu_allocation_ratio": 64,
        "initial_ram_allocation_ratio": 16, "initial_disk_allocation_ratio": 16,
    }
    sections["libvirt"] = {
        "virt_type": "qemu", "cpu_mode": "none", "images_type": "raw", "sysinfo_serial": "os",
        "tb_cache_size": 16, "mem_stats_period_seconds": 0, "snapshot_image_format": "qcow2",
        "live_migration_uri": "qemu+tcp://%s/system",
    }
    # No sudo and no rootwrap: nova-compute is root already.
    helper = f"{CHOSEN.venv}/bin/privsep-helper --config-file {config}"
    for name in ("nova_sys_admin", "privsep_osbrick", "vif_plug_linux_bridge_privileged",
                 "vif_plug_ovs_privileged"):
        sections[name] = {"helper_command": helper}


def _write_mariadb() -> None:
    data = CLOUD / "mariadb"
    options = {
        "user": "mysql", "datadir": data, "socket": data / "socket", "pid_file": data / "pid", "port": PORTS["mariadb"],
        "bind_address": "127.0.0.1", "skip_log_bin": "1", "skip_name_resolve": "1", "max_connections": 600,
        "innodb_flush_log_at_trx_commit": 2, "innodb_doublewrite": 0, "innodb_log_file_size": "16M", "innodb_buffer_pool_size": "128M",
        "innodb_flush_method": "nosync", "performance_schema": "OFF", "innodb_buffer_pool_dump_at_shutdown": "OFF",
    }
    _ini(ETC / "mariadb.cnf", {"mariadbd": options})
    (ETC / "mariadb.cnf").chmod(0o644)


def _write_rabbitmq() -> None:
    folder = CLOUD / "rabbitmq"
    lines = {
        "listeners.tcp.1": f"{CLOUD_ADDRESS}:{PORTS['rabbitmq']}", "default_user": "lab", "default_pass": secret(),
        "loopback_users": "none", "log.console": "true", "log.console.level": "warning", "log.file": "false",
        "vm_memory_high_watermark.relative": "0.4", "disk_free_limit.absolute": "50MB",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rabbitmq.conf").write_text("".join(f"{key} = {value}\n" for key, value in lines.items()))
    (folder / "enabled_plugins").write_text("[].\n")


def _write_access() -> None:
    auth = {
        "auth_url": CATALOG["identity"], "username": "admin", "password": secret(), "project_name": "admin",
        "user_domain_name": "Default", "project_domain_name": "Default",
    }
    more = {"OS_REGION_NAME": "RegionOne", "OS_IDENTITY_API_VERSION": "3"}
    rc = {**{f"OS_{key.upper()}": value for key, value in auth.items()}, **more}
    _write(ADMINRC, "".join(f"export {key}={value}\n" for key, value in rc.items()))
    # JSON is YAML.
    own = {**auth, "username": EVACUATOR, "project_name": "service"} if ROLE else auth
    for path, one in ((CLOUDS_YAML, auth), (AGENTS_YAML, own)):
        clouds = {"lab": {"auth": one, "region_name": "RegionOne"}}
        _write(path, json.dumps({"clouds": clouds}, indent=2) + "\n")


def write_all(size: Size | None = None) -> None:
    """Write every configuration file; the secret must be there. Raises LabError."""
    if ROLE not in ("", EVACUATOR):
        raise LabError(f"LAB_ROLE is {EVACUATOR} or nothing, and not {ROLE!r}")
    ETC.mkdir(parents=True, exist_ok=True)
    (CLOUD / "state" / "cloud" / "lock").mkdir(parents=True, exist_ok=True)
    _ini(ETC / "keystone.conf", {
        "database": _pool(database("keystone")),
        "fernet_tokens": {"key_repository": CLOUD / "keystone/fernet"},
        "fernet_receipts": {"key_repository": CLOUD / "keystone/fernet"},
        "credential": {"key_repository": CLOUD / "keystone/credential"},
        "cache": {"enabled": "true", "backend": "oslo_cache.dict"},
    })
    _ini(ETC / "placement.conf", {
        "placement_database": _pool(database("placement")),
        "keystone_authtoken": _authtoken(),
        **_policy("placement"),
    })
    _write_nova()
    _write_mariadb()
    _write_rabbitmq()
    _write_access()
    for node in size.nodes if size else []:
        if node.kind == "compute":
            write_compute(node.name)
