"""Files that are read and written as they are meant to be: plain ones of a sane size, whole or not there, never written through a
link, with the mode that is meant."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from pathlib import Path
from typing import IO

from .errors import HostError

PROBE = 4096      # bytes
MOST = 1 << 20    # bytes of a file that a person writes


def write_whole(path: Path, text: str, mode: int = 0o644) -> None:
    """Put a file in place at once, whatever the umask. Raises OSError."""
    draft = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
        os.replace(draft, path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def read_bytes(path: str) -> bytes:
    """Return what a file holds. Neither a pipe, which would be waited for, nor a device without an end is one. Raises OSError,
    ValueError for a path with a NUL."""
    with _plain(path, os.O_RDONLY, 0) as file:
        found: bytes = file.read(MOST + 1)
    if len(found) > MOST:
        raise OSError(errno.EFBIG, f"it has more than {MOST >> 20} MiB", path)
    return found


def read_text(path: Path) -> str:
    """Return the text of a file of our own, which `read_bytes` reads. Raises OSError, ValueError."""
    return read_bytes(str(path)).decode()


def open_log(path: str, mode: int) -> IO[str]:
    """Open a file to write at its end, whatever the umask. Links are not followed, and a device is left as it is. Raises OSError."""
    file = _plain(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, mode)
    os.fchmod(file.fileno(), mode)
    return io.TextIOWrapper(file, encoding="utf-8", errors="replace")


def _plain(path: str, flags: int, mode: int) -> IO[bytes]:
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, mode)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no plain file", path)
    return os.fdopen(descriptor, "ab" if flags & os.O_APPEND else "rb")


def check_folder(path: Path) -> None:
    """Raise HostError if others than its owner and root may write to a folder: they could forge what it holds."""
    try:
        found = path.stat()
    except OSError as error:
        raise HostError(f"{path} cannot be used: {error.strerror}") from None
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or found.st_uid not in (0, os.geteuid()):
        raise HostError(f"{path} may be written to by others than root, who could stop or forge the worker: chown root {path}; chmod 755 {path}")


def why_unwritable(folder: Path, room: int = PROBE) -> str:
    """Return why as many bytes cannot be written to a folder, "" where they can: a full disk, or one that is read-only."""
    probe = folder / f".instance-ha-{os.getpid()}.probe"
    try:
        write_whole(probe, " " * max(PROBE, room), 0o600)
    except OSError as error:
        return error.strerror or type(error).__name__
    with contextlib.suppress(OSError):
        probe.unlink()
    return ""
