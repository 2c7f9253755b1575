"""The empty cloud: made once, kept in STATE/template[-RELEASE]/<key>, and copied for every start."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.lab import cloud_config as config
from tests.lab import cloud_services as services
from tests.lab.common import CLOUD, LIBVIRT, STATE, LabError, run, say, virt
from tests.lab.netns import inside
from tests.lab.releases import CHOSEN

GUEST_MEMORY = 96  # MiB that a real guest's kernel boots with; 64 are too few
SAVED = ("secret", "mariadb", "keystone")
DATABASES = ("keystone", "placement", "nova_api", "nova", "nova_cell0")
FLAVORS = [  # name, MiB, GiB, vcpus
    ("m1.tiny", 64, 1, 1), ("m1.small", 512, 2, 1), ("m1.medium", 2048, 4, 2), ("m1.diskless", 64, 0, 1),
]


def _templates() -> Path:
    """Return the folder of the templates: real guests have flavors of their own."""
    return STATE / f"template{CHOSEN.suffix}{'-libvirt' if virt() == LIBVIRT else ''}"


def _key() -> str:
    here = Path(__file__).parent
    files = (CHOSEN.requirements, here / "cloud_template.py", here / "cloud_config.py")
    texts = [file.read_bytes() for file in files]
    return hashlib.sha256(b"\0".join([*texts, str(STATE).encode()])).hexdigest()[:16]


def restore() -> bool:
    """Put the empty cloud's data in place, if there is a template of it."""
    template = _templates() / _key()
    if not template.is_dir():
        return False
    CLOUD.mkdir(parents=True, exist_ok=True)
    run(["cp", "-a", "--reflink=auto", f"{template}/.", str(CLOUD)])
    return True


def build() -> None:
    """Make the empty cloud in CLOUD and keep a copy of it; ends with every service stopped."""
    shutil.rmtree(_templates(), ignore_errors=True)
    config.new_secret()
    config.write_all()
    say("making the databases (once)")
    _make_mariadb()
    services.launch("mariadb")
    services.await_ready("mariadb")
    _make_accounts()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        jobs = [pool.submit(_keystone), pool.submit(_placement_and_nova)]
        for job in jobs:
            job.result()
    say("making the service catalog and the flavors (once)")
    for name in ("keystone", "nova-api"):
        services.launch(name)
    _fill_keystone()
    _fill_nova()
    services.end("nova-api")
    services.end("keystone")
    services.end("mariadb", "term")
    _save()


def _save() -> None:
    part = _templates() / "part"
    part.mkdir(parents=True)
    part.chmod(0o755)
    run(["cp", "-a", "--reflink=auto", *(str(CLOUD / name) for name in SAVED), str(part)])
    part.rename(_templates() / _key())


def _make_mariadb() -> None:
    data = CLOUD / "mariadb"
    data.mkdir(parents=True)
    shutil.chown(data, "mysql", "mysql")
    run([
        "mariadb-install-db", f"--defaults-file={config.ETC / 'mariadb.cnf'}", "--user=mysql", "--skip-test-db",
        "--auth-root-authentication-method=socket",
    ])


def _make_accounts() -> None:
    statements = [f"CREATE DATABASE {name} CHARACTER SET utf8mb3" for name in DATABASES]
    statements += [f"CREATE USER lab@'%' IDENTIFIED BY '{config.secret()}'", "GRANT ALL ON *.* TO lab@'%'"]
    command = ["mariadb", f"--socket={CLOUD / 'mariadb/socket'}", "--user=root"]
    done = subprocess.run(command, input=";\n".join(statements) + ";\n", capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise LabError(f"MariaDB's accounts could not be made: {done.stderr}")


def _keystone() -> None:
    file = f"--config-file={config.ETC / 'keystone.conf'}"
    for repository in ("fernet", "credential"):
        (CLOUD / "keystone" / repository).mkdir(parents=True, mode=0o700)
        services.run_program("keystone-manage", file, f"{repository}_setup", "--keystone-user", "root", "--keystone-group", "root")
    services.run_program("keystone-manage", file, "db_sync")
    endpoints = [word for kind in ("admin", "internal", "public") for word in (f"--bootstrap-{kind}-url", config.CATALOG["identity"])]
    services.run_program(
        "keystone-manage", file, "bootstrap", "--bootstrap-username", "admin", "--bootstrap-password", config.secret(),
        "--bootstrap-project-name", "admin", "--bootstrap-region-id", "RegionOne", *endpoints,
    )


def _placement_and_nova() -> None:
    services.run_program("placement-manage", "--config-file", str(config.ETC / "placement.conf"), "db", "sync")
    for words in (
        ["api_db", "sync"],
        ["cell_v2", "map_cell0", "--database_connection", config.database("nova_cell0")],
        ["db", "sync"],
        ["cell_v2", "create_cell", "--name", "cell1"],
    ):
        services.run_program("nova-manage", "--config-file", str(config.ETC / "nova.conf"), *words)


def _fill_keystone() -> None:
    services.await_ready("keystone")
    admin = Rest(config.CATALOG["identity"])
    project = admin.post("/projects", "project", name="service", domain_id="default")
    user = admin.post("/users", "user", name="nova", domain_id="default", password=config.secret())
    roles = {role["name"]: role["id"] for role in admin.call("GET", "/roles")["roles"]}
    account = {"name": config.EVACUATOR, "domain_id": "default", "password": config.secret()}
    evacuator = admin.post("/users", "user", **account)
    for who, name in ((user, "admin"), (user, "service"), (evacuator, config.EVACUATOR)):
        role = roles.get(name) or admin.post("/roles", "role", name=name)
        admin.call("PUT", f"/projects/{project}/users/{who}/roles/{role}")
    for kind, address in config.CATALOG.items():
        if kind == "identity":  # the bootstrap's
            continue
        service = admin.post("/services", "service", type=kind, name=kind)
        for interface in ("public", "internal", "admin"):
            admin.post("/endpoints", "endpoint", interface=interface, service_id=service, region_id="RegionOne", url=address)


def _fill_nova() -> None:
    services.await_ready("nova-api")
    compute = Rest(config.CATALOG["compute"])
    least = GUEST_MEMORY if virt() == LIBVIRT else 0
    for number, (name, ram, disk, vcpus) in enumerate(FLAVORS, 1):
        size = {"ram": max(ram, least), "disk": disk, "vcpus": vcpus}
        compute.post("/flavors", "flavor", name=name, id=str(number), **size)


class Rest:
    """The admin's requests to one API, without any library."""

    def __init__(self, base: str) -> None:
        self.base = base
        user = {"name": "admin", "domain": {"id": "default"}, "password": config.secret()}
        body = {"auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
        }}
        headers, _ = _request("POST", config.CATALOG["identity"] + "/auth/tokens", {}, body)
        self.headers = {"X-Auth-Token": str(headers["X-Subject-Token"])}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer. Raises LabError for any status from 400."""
        return _request(method, self.base + path, self.headers, body)[1]

    def post(self, path: str, kind: str, **fields: object) -> str:
        """Create one thing; its id."""
        return str(self.call("POST", path, {kind: fields})[kind]["id"])


def _request(method: str, address: str, headers: dict[str, str], body: Any) -> tuple[Any, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {**headers, "Content-Type": "application/json"}, method=method)

    def send() -> tuple[Any, Any]:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
                return answer.headers, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            raise LabError(f"{method} {address} was answered {error.code}: {error.read()[:500]!r}") from None

    return inside(send)
