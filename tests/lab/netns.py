"""Calls made from inside the laboratory's network namespace, whichever one the process is in."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.lab.common import CLOUD_ADDRESS, NETNS, LabError

Result = TypeVar("Result")
NAMESPACE = Path("/run/netns") / NETNS


def _is_inside() -> bool:
    here, there = os.stat("/proc/thread-self/ns/net"), os.stat(NAMESPACE)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def inside(function: Callable[[], Result]) -> Result:
    """`function()`, with every socket it opens in the laboratory's network. Raises LabError when there is no such network."""
    try:
        if _is_inside():
            return function()
    except FileNotFoundError:
        raise LabError("the laboratory's network does not exist: is the laboratory up?") from None
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        # A thread has a network namespace of its own, and a socket keeps the one it was opened in.
        try:
            with open(NAMESPACE, "rb") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0):
                    raise LabError(f"cannot enter the laboratory's network: {os.strerror(ctypes.get_errno())}")
            results.append(function())
        except BaseException as error:  # handed to the caller's thread
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def answers(port: int, address: str = CLOUD_ADDRESS) -> bool:
    """Whether something in the laboratory's network takes connections at a TCP port."""

    def connect() -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((address, port)) == 0

    return inside(connect)
