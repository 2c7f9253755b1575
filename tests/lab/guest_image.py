"""What real guests need of the machine: Debian's libvirt and QEMU, a kernel and an initrd.

LAB_VIRT=libvirt python3 -m tests.lab install makes it, beside what the laboratory needs anyway.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.lab import install
from tests.lab.common import BINDING, GUEST_IMAGE, LIBVIRT, VIRT, LabError, run, say
from tests.lab.releases import CHOSEN, NEWEST

PACKAGES = (
    "qemu-system-x86", "qemu-utils", "libvirt-daemon", "libvirt-daemon-system",
    "libvirt-daemon-system-sysv", "libvirt-clients", "python3-libvirt", "bindfs", "gcc",
    "libc6-dev",
)
KERNEL = "linux-image-cloud-amd64"
MODULES = ("virtio_pci", "virtio_blk", "virtio_console")
SOURCE = Path(__file__).with_name("guest") / "init.c"
DEBIANS_PYTHON = Path("/usr/lib/python3/dist-packages")
STAMP = GUEST_IMAGE / "made"
DISK = 1 << 20  # bytes of nothing: Nova copies it as a new server's disk, and grows that
DEVICES = {
    "/dev/fuse": "each compute node mounts the shared storage for itself (modprobe fuse)",
    "/dev/net/tun": "a server with a port has a tap device (modprobe tun)",
}
File = tuple[str, bytes, int]  # its name in the initrd, its content, its mode


def check() -> None:
    """Raise LabError, in one sentence, if LAB_VIRT asks for what this machine cannot run."""
    if VIRT not in ("", LIBVIRT):
        raise LabError(f"LAB_VIRT is {LIBVIRT} or nothing, and not {VIRT!r}")
    if VIRT != LIBVIRT:
        return
    if CHOSEN is not NEWEST:
        raise LabError(f"LAB_VIRT={LIBVIRT} runs with Nova {NEWEST.name} only; leave LAB_NOVA away")
    if platform.machine() != "x86_64":
        raise LabError(f"LAB_VIRT={LIBVIRT} needs an x86_64 machine; this is {platform.machine()}")
    for path, reason in DEVICES.items():
        try:
            os.close(os.open(path, os.O_RDWR))
        except OSError as error:
            raise LabError(f"LAB_VIRT={LIBVIRT} needs {path}, because {reason}: "
                           f"{error.strerror}") from None


def install_all() -> None:
    """Install what is missing, when LAB_VIRT asks for real guests. Raises LabError."""
    if VIRT != LIBVIRT:
        return
    install.need(*PACKAGES)
    _bind()
    if not (STAMP.exists() and STAMP.read_text() == _hash()):
        _build()


def _bind() -> None:
    """Put Debian's binding of libvirt, and nothing else of Debian's Python, into a folder for Nova.

    The binding of PyPI has to be compiled.
    """
    BINDING.mkdir(parents=True, exist_ok=True)
    for path in DEBIANS_PYTHON.glob("libvirt*"):
        link = BINDING / path.name
        if path.suffix in (".py", ".so") and not link.is_symlink():
            link.symlink_to(path)


def _hash() -> str:
    return hashlib.sha256(SOURCE.read_bytes() + Path(__file__).read_bytes()).hexdigest()


def _build() -> None:
    """Make kernel, initrd and disk of the guests."""
    say("making the guests' kernel and initrd")
    GUEST_IMAGE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install.unpack(_kernel_package(), folder)
        program = folder / "init"
        run(["gcc", "-Os", "-static", "-s", "-Wall", "-o", str(program), str(SOURCE)])
        files = [("init", program.read_bytes(), 0o100755), ("modules", b"", 0o040755),
                 ("dev", b"", 0o040755)]
        files += [(f"modules/{number:02}.ko", text, 0o100644)
                  for number, text in enumerate(modules(folder, MODULES))]
        (GUEST_IMAGE / "initrd").write_bytes(cpio(files))
        shutil.copy(next(folder.glob("boot/vmlinuz-*")), GUEST_IMAGE / "kernel")
    (GUEST_IMAGE / "disk").write_bytes(bytes(DISK))
    STAMP.write_text(_hash())


def _kernel_package() -> str:
    """Return the package that Debian's cloud kernel is in. Raises LabError."""
    depends = run(["apt-cache", "depends", KERNEL], check=False).stdout
    found = re.search(r"Depends: (linux-image-\S+)", depends)
    if not found:
        raise LabError(f"apt knows no {KERNEL}, which the guests boot: run apt-get update")
    return found.group(1)


def modules(folder: Path, wanted: Sequence[str]) -> list[bytes]:
    """Return the wanted modules of an unpacked kernel, each after those it depends on."""
    found = {path.name.partition(".")[0]: path for path in folder.glob("lib/modules/**/*.ko*")}
    done: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in done or name not in found:  # not found: built into the kernel
            return
        data = found[name].read_bytes()
        if found[name].suffix == ".xz":
            data = lzma.decompress(data)
        depends = re.search(rb"\0depends=([^\0]*)\0", data)
        for other in depends.group(1).decode().split(",") if depends and depends.group(1) else ():
            add(other)
        done[name] = data

    for name in wanted:
        add(name)
    return list(done.values())


def cpio(files: Sequence[File]) -> bytes:
    """Return an archive of the format that the kernel takes as an initrd ("newc")."""
    out = bytearray()
    for number, (name, data, mode) in enumerate([*files, ("TRAILER!!!", b"", 0)], 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields)
        out += head + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)
