"""Install what the laboratory runs: Debian's Pacemaker, RabbitMQ and MariaDB, and OpenStack's services from PyPI in a venv."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.lab import pythons, releases
from tests.lab.common import STATE, LabError, run, say
from tests.lab.releases import CHOSEN, NEWEST, Release


def _fence_agents(release: Path = Path("/etc/os-release")) -> tuple[str, ...]:
    """Return the packages of the fence agents that the laboratory uses.

    Debian 12 has all agents in one package. Later releases have one for each, and what has the name
    of that one needs all of them: 300 MB, most of it the Python of public clouds.
    """
    text = release.read_text() if release.exists() else ""
    whole = "\nID=debian\n" not in f"\n{text}" or 'VERSION_ID="12"' in text
    return ("fence-agents",) if whole else ("fence-agents-ipmilan", "fence-agents-compute")


PACKAGES = (
    "pacemaker", "pacemaker-cli-utils", "corosync", "pcs", "crmsh", *_fence_agents(), "resource-agents", "openipmi", "ipmitool",
    "rabbitmq-server", "mariadb-server", "iproute2", "util-linux", "python3-venv", "python3-openstacksdk", "python3-lxml",
    "python3-pycurl", "python3-pexpect", "python3-requests", "groff-base",
)
REMOTE = "pacemaker-remote"   # conflicts with pacemaker, so it is unpacked beside it
REMOTE_ROOT = STATE / REMOTE  # its /usr is REMOTE_ROOT/usr
SOURCES = Path("/etc/apt/sources.list.d")
APT_HELPER = "/usr/lib/apt/apt-helper"
POLICY = Path("/usr/sbin/policy-rc.d")
GIB = 1 << 30
APT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}


def install() -> None:
    """Install what is missing, for the release that LAB_NOVA chooses.

    Raises LabError when this machine cannot hold the laboratory, or a download fails.
    """
    releases.check()
    # The newest always: its virtual environment is what the tests run in.
    wanted = [release for release in dict.fromkeys((NEWEST, CHOSEN)) if not installed(release)]
    if not wanted:
        return
    check_machine()
    interpreters = {release: _interpreter(release) for release in wanted}
    STATE.mkdir(parents=True, exist_ok=True)
    _packages()
    _remote()
    for release, interpreter in interpreters.items():
        need(*release.packages)
        _venv(release, interpreter)
        _stamp(release).write_text(_hash(release))
    say("everything is installed")


def installed(release: Release = CHOSEN) -> bool:
    """Whether an earlier install did all that this one would do."""
    try:
        same = _stamp(release).read_text() == _hash(release)
    except FileNotFoundError:
        return False
    return same and (release.venv / "bin/python").exists() and not missing()


def _stamp(release: Release) -> Path:
    return STATE / f"installed{release.suffix}"


def _hash(release: Release) -> str:
    packages = " ".join((*PACKAGES, REMOTE)).encode()
    return hashlib.sha256(release.requirements.read_bytes() + packages).hexdigest()


def _interpreter(release: Release) -> str:
    """Return the Python that a release runs on. Raises LabError."""
    if not release.pythons:
        return "/usr/bin/python3"  # Debian's: what PATH finds first may be another version
    return pythons.need(release.pythons, f"Nova {release.name} ({release.openstack})")


def check_machine() -> None:
    """Raise LabError, in one sentence, if the laboratory cannot run here."""
    if os.geteuid() != 0:
        raise LabError("the laboratory needs root: it makes network namespaces and mounts")
    if not shutil.which("apt-get"):
        raise LabError("the laboratory needs Debian or Ubuntu: it installs packages with apt-get")
    _check_room()
    _check_namespaces()


def _check_room() -> None:
    memory = int(next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable")).split()[1]) << 10
    if memory < 4 * GIB:
        raise LabError(f"the laboratory needs 4 GiB of free memory, and there are {memory / GIB:.1f}")
    folder = next(path for path in (STATE, *STATE.parents) if path.exists())
    disk = shutil.disk_usage(folder).free
    if disk < 4 * GIB:
        raise LabError(f"the laboratory needs 4 GiB free in {folder}, and there are {disk / GIB:.1f}")


def _check_namespaces() -> None:
    command = ["unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "true"]
    try:
        usable = subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        usable = False
    if not usable:
        raise LabError("this machine lets root make no namespaces (a container without CAP_SYS_ADMIN?), and the laboratory is made of them")


def missing(packages: Sequence[str] = PACKAGES) -> list[str]:
    """Those of the Debian packages that are not installed."""
    done = run(["dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\\n", *packages], check=False)
    present = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in present]


def _packages() -> None:
    need(*PACKAGES)


def need(*packages: str) -> None:
    """Install those of the Debian packages that are missing, without starting a daemon. Raises LabError."""
    wanted = missing(packages)
    if not wanted:
        return
    say(f"installing Debian packages: {' '.join(wanted)}")
    with _no_daemons():
        _apt("update")
        _apt("install", "--yes", "--no-install-recommends", *wanted)


def _apt(*words: str, cwd: str = "/") -> None:
    run(["apt-get", "--quiet=2", *words], timeout=1800, env={**os.environ, **APT}, cwd=cwd)


@contextlib.contextmanager
def _no_daemons() -> Iterator[None]:
    """Keep packages from starting their daemons on the host; a policy that is already there is left alone."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def _remote() -> None:
    if not (REMOTE_ROOT / "usr/sbin/pacemaker-remoted").exists():
        unpack(REMOTE, REMOTE_ROOT)


def unpack(name: str, target: Path) -> None:
    """The files of a Debian package below `target`; nothing is installed. Raises LabError."""
    say(f"unpacking {name}")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)  # apt downloads as its own user
        try:
            _apt("download", name, cwd=folder)
        except LabError:  # package lists older than the mirror
            _apt("update")
            _apt("download", name, cwd=folder)
        package = next(Path(folder).glob("*.deb"))
        run(["dpkg-deb", "-x", str(package), str(target)])


def source(name: str, target: Path, suite: str = "") -> Path:
    """Unpack the source of a Debian package below `target`, and return its folder. Raises LabError.

    `suite` is that of another release of Debian, "" for the machine's own. The machine's own lists of packages stay as they are.
    """
    say(f"fetching the source of {name}{' of ' * bool(suite)}{suite}")
    target.mkdir(exist_ok=True)
    parts, lists = target / "sources", target / "lists"
    for folder in (parts, lists / "partial"):
        folder.mkdir(parents=True)
    for file in SOURCES.glob("*.sources"):
        text = re.sub("^Types:.*$", "Types: deb-src", file.read_text(), flags=re.MULTILINE)
        (parts / file.name).write_text(_of_suite(text, suite))
    for file in (SOURCES.parent / "sources.list", *SOURCES.glob("*.list")):
        if file.exists():
            text = re.sub(r"^deb\b", "deb-src", file.read_text(), flags=re.MULTILINE)
            (parts / f"{file.stem}.list").write_text(_of_suite(text, suite))
    words = ("-o", "Dir::Etc::sourcelist=/dev/null", "-o", f"Dir::Etc::sourceparts={parts}", "-o", f"Dir::State::lists={lists}")
    _apt(*words, "update")
    # A mirror may lack Debian's own part of it, which is not needed here.
    listed = run(["apt-get", *words, "source", "--print-uris", "--only-source", name]).stdout
    found = re.search(r"^'(\S+\.orig\.tar\.\w+)' (\S+) \d+ (SHA256:\w+)$", listed, re.MULTILINE)
    if found is None:
        raise LabError(f"the source package of {name} has no archive")
    address, file, sum_ = found.groups()
    run([APT_HELPER, "download-file", address, str(target / file), sum_], timeout=300)
    run(["tar", "-xf", str(target / file), "-C", str(target)])
    return next(one for one in target.iterdir() if one.is_dir() and one.name.startswith(name))


def _of_suite(text: str, suite: str) -> str:
    """Return lines of a file of apt's with another suite in place of the machine's own."""
    own = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    return re.sub(rf"(?<![\w-]){own}(?![\w-])", suite, text) if suite and own else text


def _venv(release: Release, interpreter: str) -> None:
    python = release.venv / "bin/python"
    if not python.exists():
        say(f"making {release.venv}")
        run([interpreter, "-m", "venv", str(release.venv)])
    say(f"installing OpenStack {release.openstack} from PyPI: a few minutes")
    install = [str(python), "-m", "pip", "install", "--quiet", "--requirement"]
    run([*install, str(release.requirements)], timeout=1800)
