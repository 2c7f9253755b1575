"""Files that other processes trust: whole or not there, never written through a link, with the mode that is meant."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from .errors import HostError

PROBE = 4096      # bytes, more than what a heartbeat takes


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


def check_folder(path: Path) -> None:
    """Raise HostError if others than its owner and root may write to a folder: they could forge what it holds."""
    try:
        found = path.stat()
    except OSError as error:
        raise HostError(f"{path} cannot be used: {error.strerror}") from None
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or found.st_uid not in (0, os.geteuid()):
        raise HostError(f"{path} may be written to by others than root, who could stop or forge the worker: chown root {path}; chmod 755 {path}")


def why_unwritable(folder: Path) -> str:
    """Return why nothing can be written to a folder, "" where it can: a full disk, or one that is read-only."""
    probe = folder / f".instance-ha-{os.getpid()}.probe"
    try:
        write_whole(probe, " " * PROBE, 0o600)
    except OSError as error:
        return error.strerror or type(error).__name__
    with contextlib.suppress(OSError):
        probe.unlink()
    return ""
