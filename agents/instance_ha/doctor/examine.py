"""Reading of this node what the doctor judges: the agents, their libraries, files, free space; on a compute host nova-compute's settings."""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import os
import re
import stat
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from .. import __version__
from ..errors import HostError
from ..process import run, start_time
from ..service import Service

LIBRARIES = ("keystoneauth1", "lxml", "openstacksdk")
AGENTS = (("usr/sbin/fence_nova", ("-o", "metadata")), ("usr/lib/ocf/resource.d/openstack/NovaEvacuate", ("meta-data",)))
AGENT_TIMEOUT = 20.0
SECRETS = tuple(f"{folder}/{name}" for folder in ("etc/openstack", "root/.config/openstack")
                for name in ("clouds.yaml", "clouds.yml", "secure.yaml", "secure.yml"))
SPACES = ("var/lib/pacemaker", "run/resource-agents", "var/log")
STATE_FOLDER = "run/resource-agents"
UNITS = ("nova-compute.service", "openstack-nova-compute.service", "tripleo_nova_compute.service", "kolla-nova_compute-container.service")
HYPERVISORS = ("qemu", "libxl", "lxc")     # libvirt has networks and pools that start beside them
GUESTS_FILES = ("etc/default/libvirt-guests", "etc/sysconfig/libvirt-guests")
GUESTS_UNIT = "libvirt-guests.service"
_ON_BOOT = re.compile(r"""^\s*(?:export\s+)?ON_BOOT=["']?(\w*)["']?\s*(?:#.*)?$""", re.MULTILINE)
GATE = "wait-until-evacuated"
# As packages have it, and as Kolla and TripleO give it to their containers.
NOVA_CONFIGURATIONS = ("etc/nova", "etc/kolla/nova-compute", "var/lib/config-data/puppet-generated/nova_libvirt/etc/nova")
_LIBRARY = re.compile(r'sys\.path\[:0\] = \["([^"]+)"')
_VERSION = re.compile(r'<resource-agent [^>]*version="([^"]+)"')


@dataclass(frozen=True)
class Agent:
    """An installed agent. `code` is how it ended when it was asked for its metadata, None when it could not be run; `version` is ""
    where it does not tell; `library` is the folder that its launcher names."""

    path: str
    there: bool
    code: int | None = None
    said: str = ""
    version: str = ""
    library: str = ""


@dataclass(frozen=True)
class File:
    """A file's or folder's owner, and who may read and write it."""

    path: str
    uid: int
    mode: int


@dataclass(frozen=True)
class Space:
    """What is free of a file system: bytes, and files, None where that has no limit."""

    path: str
    free: int
    files: int | None


@dataclass(frozen=True)
class Compute:
    """A compute host. `options` are nova-compute's, by section and name, None where its configuration was not found;
    `filesystem` is what holds its instances; `unit` starts at boot, "" for none, and `waits` before it begins."""

    options: Mapping[tuple[str, str], str] | None
    filesystem: str = ""
    unit: str = ""
    waits: bool = False
    autostarts: tuple[str, ...] = ()     # guests that libvirt itself starts at boot
    guests_file: str = ""                # has libvirt-guests start at boot what ran before it


@dataclass(frozen=True)
class Facts:
    """All of it. `since` is when the worker that runs here was started, None for none; `installed` when the library was; both in
    seconds since the epoch."""

    root: bool
    version: str
    library: str
    fingerprint: str
    python: tuple[int, int, int]
    libraries: Mapping[str, str | None] = field(default_factory=dict)
    agents: tuple[Agent, ...] = ()
    secrets: tuple[File, ...] = ()
    state: File | None = None
    spaces: tuple[Space, ...] = ()
    since: float | None = None
    installed: float = 0.0
    compute: Compute | None = None


class Examiner:
    """Reads below `base`, this node's root folder."""

    def __init__(self, base: Path = Path("/")) -> None:
        self.base = base

    def look(self, controller: bool, compute: bool, worker: str = "", openrcs: Iterable[str] = ()) -> Facts:
        """`controller`: agents may have to run here. `worker` is the resource of NovaEvacuate, `openrcs` are the files that agents have
        their credentials from."""
        library = Path(__file__).resolve().parents[2]
        files = sorted((library / "instance_ha").rglob("*.py"))
        return Facts(
            os.geteuid() == 0, __version__, str(library), fingerprint(files, library), sys.version_info[:3],
            {name: _version_of(name) for name in LIBRARIES} if controller else {},
            tuple(self._agent(path, words) for path, words in AGENTS) if controller else (),
            tuple(filter(None, map(self._file, (*SECRETS, *(path.lstrip("/") for path in openrcs))))),
            self._file(STATE_FOLDER), tuple(filter(None, map(self._space, SPACES))) if controller else (),
            _started(worker) if worker else None, max((file.stat().st_ctime for file in files), default=0.0),
            self._compute() if compute else None)

    def _agent(self, name: str, words: tuple[str, ...]) -> Agent:
        path = self.base / name
        try:
            launcher = path.read_text(errors="replace")
            done = run([str(path), *words], AGENT_TIMEOUT)
        except OSError:
            return Agent(str(path), path.exists())
        except HostError as error:
            return Agent(str(path), path.exists(), None, str(error))
        library, version = _LIBRARY.search(launcher), _VERSION.search(done.out)
        return Agent(str(path), True, done.code, done.sentence if done.code else "", version.group(1) if version else "",
                     library.group(1) if library else "")

    def _file(self, name: str) -> File | None:
        try:
            found = (self.base / name).stat()
        except OSError:
            return None
        return File(str(self.base / name), found.st_uid, stat.S_IMODE(found.st_mode))

    def _space(self, name: str) -> Space | None:
        try:
            found = os.statvfs(self.base / name)
        except OSError:
            return None
        return Space(str(self.base / name), found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)

    def _compute(self) -> Compute:
        options = self._nova_options()
        path = (options or {}).get(("default", "instances_path"), "/var/lib/nova/instances")
        unit = next((name for name in UNITS if any((self.base / "etc/systemd/system").glob(f"*.wants/{name}"))), "")
        return Compute(options, self._filesystem(path), unit, bool(unit) and self._waits(unit),
                       self._autostarts(), self._guests_file())

    def _autostarts(self) -> tuple[str, ...]:
        folders = (self.base / "etc/libvirt" / name / "autostart" for name in HYPERVISORS)
        return tuple(sorted({link.stem for folder in folders for link in folder.glob("*.xml")}))

    def _guests_file(self) -> str:
        wanted = any((self.base / "etc/systemd/system").glob("*.wants/libvirt-guests.service"))
        if not wanted:
            return ""
        said: list[tuple[str, str]] = []
        for name in GUESTS_FILES:
            with contextlib.suppress(OSError):
                text = (self.base / name).read_text(errors="replace")
                said += [(f"/{name}", word) for word in _ON_BOOT.findall(text)]
        if not said:
            return GUESTS_UNIT       # its own default is start
        return said[-1][0] if said[-1][1] == "start" else ""

    def _nova_options(self) -> dict[tuple[str, str], str] | None:
        parser = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True, default_section="")
        folder = next((self.base / name for name in NOVA_CONFIGURATIONS if (self.base / name / "nova.conf").exists()), None)
        if folder is None:
            return None
        try:
            for path in (folder / "nova.conf", folder / "nova-compute.conf", *sorted((folder / "nova.conf.d").glob("*.conf"))):
                parser.read(path)
        except (configparser.Error, OSError, UnicodeDecodeError):
            return None
        return {(section.lower(), name): value or "" for section in parser.sections() for name, value in parser.items(section)}

    def _filesystem(self, path: str) -> str:
        """The kind of file system at a path, by the kernel's table of mounts."""
        best = ("", "")
        with contextlib.suppress(OSError):
            for line in (self.base / "proc/mounts").read_text(errors="replace").splitlines():
                _, point, kind, *_ = [*line.split(), "", "", ""]
                if (path + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best[0]):
                    best = (point, kind)
        return best[1]

    def _waits(self, unit: str) -> bool:
        files = [self.base / folder / unit for folder in ("etc/systemd/system", "lib/systemd/system", "usr/lib/systemd/system")]
        files += sorted((self.base / "etc/systemd/system" / f"{unit}.d").glob("*.conf"))
        for file in files:
            with contextlib.suppress(OSError):
                if GATE in file.read_text(errors="replace"):
                    return True
        return False


def fingerprint(files: Iterable[Path], library: Path) -> str:
    """What tells two installations apart: a sum over the names and texts of their files."""
    whole = hashlib.sha256()
    for file in files:
        whole.update(str(file.relative_to(library)).encode() + b"\0" + file.read_bytes() + b"\0")
    return whole.hexdigest()[:12]


def _version_of(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _started(worker: str) -> float | None:
    """When this node's worker was started, in seconds since the epoch."""
    status = Service(worker).status()
    ticks = start_time(status.pid) if status.running else None
    if ticks is None:
        return None
    booted = next((line.split()[1] for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime ")), "0")
    return int(booted) + int(ticks) / os.sysconf("SC_CLK_TCK")
