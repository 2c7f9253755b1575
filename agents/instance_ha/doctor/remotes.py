"""Pure: the connections to compute hosts that are Pacemaker Remote nodes."""

from __future__ import annotations

from collections.abc import Iterator

from ..values import seconds
from .finding import Finding, operation, param
from .scene import ACTION_TIMEOUT, Scene, is_watched, option

NOTICED = 60.0       # longest time, in seconds, in which a dead host should be noticed
START = 30.0         # longest start of a connection
RECONNECT = 60.0     # longest pause between two tries


def check(scene: Scene) -> Iterator[Finding]:
    """All of them."""
    for remote in scene.remotes:
        name = remote.id
        timeout = option(remote, "monitor", "timeout")
        longest = (option(remote, "monitor", "interval") or 0) + (ACTION_TIMEOUT if timeout is None else timeout)
        if not is_watched(remote):
            yield Finding("remote-unwatched", name, f"the connection to {name} has no recurring monitor",
                          operation(remote, "monitor", interval="5", timeout="5"))
        elif longest > NOTICED:
            yield Finding("remote-slow", name, f"that {name} is dead may be noticed after {longest:g} s only (its monitor's interval and timeout)",
                          operation(remote, "monitor", interval="5", timeout="5"))
        start = option(remote, "start", "timeout")
        if start is not None and start > START:
            yield Finding("remote-start", name, f"to connect to {name} may take {start:g} s", operation(remote, "start", timeout="15"))
        given = remote.params.get("reconnect_interval")
        pause = seconds(given)
        if not pause or pause > RECONNECT:
            yield Finding("remote-reconnect", name, f"reconnect_interval of {name} is {given or 'not set'}", param(remote, reconnect_interval="5"))
