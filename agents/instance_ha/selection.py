"""Pure: which servers are protected, by which rule, and in which order they come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from .model import Server

HA_ENABLED = "HA_Enabled"
PRIORITY = "restart_priority"
_YES = frozenset(("true", "1", "yes", "on"))
_NO = frozenset(("false", "0", "no", "off"))


@dataclass(frozen=True)
class Selection:
    """The rules: `protect` is all or tagged, `tag` the name that opts in or out, `skip` shell patterns of names."""

    protect: str = "all"
    tag: str = "evacuable"
    skip: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ruling:
    """Whether a server is protected, and the rule that says so."""

    protected: bool
    rule: str


def rule_for(server: Server, image: Mapping[str, Any] | None, selection: Selection) -> Ruling | None:
    """The ruling on one server. `image` is Glance's view of its image, {} for none, None for not asked yet: then None is
    the answer where the image could make a difference.

    The most specific word counts: name pattern, server metadata, image, flavor, then the default. A word on one server
    never changes what happens to another.
    """
    for pattern in selection.skip:
        if fnmatchcase(server.name, pattern):
            return Ruling(False, f"its name matches skip_servers {pattern!r}")
    tag = selection.tag
    words: list[tuple[str, Any]] = [
        (f"server metadata {tag}", server.metadata.get(tag)),
        (f"server metadata {HA_ENABLED}", server.metadata.get(HA_ENABLED)),
        *([] if image is None else [
            (f"image property {tag}", image.get(tag)), (f"image tag {tag}", "true" if tag in (image.get("tags") or ()) else None)]),
        (f"flavor extra spec {tag}", server.extra_specs.get(tag)),
    ]
    for where, word in words:
        if image is None and server.image and where.startswith("flavor"):
            return None
        if word is not None and str(word).lower() in _YES | _NO:
            return Ruling(str(word).lower() in _YES, f"{where}={word}")
    if image is None and server.image:
        return None
    if selection.protect == "all":
        return Ruling(True, "protect=all")
    return Ruling(False, f"protect=tagged, and nothing says {tag}=true")


def order_key(server: Server) -> tuple[int, int, str]:
    """Sort key: highest restart_priority first, then HA_Enabled, then by name."""
    text = server.metadata.get(PRIORITY, "0")
    priority = int(text) if text.lstrip("-").isdigit() else 0
    marked = server.metadata.get(HA_ENABLED, "").lower() in _YES
    return (-priority, 0 if marked else 1, server.name)


@dataclass(frozen=True)
class Policy:
    """What the operator wants of an evacuation. Times are seconds."""

    enabled: bool = True
    evacuate_delay: float = 0.0
    max_parallel: int = 16
    max_attempts: int = 5
    retry_pause: float = 5.0
    stuck_timeout: float = 300.0
    leave_disabled: bool = False
    selection: Selection = field(default_factory=Selection)


def policy_from(values: Mapping[str, str]) -> Policy:
    """The policy that resolved parameters mean (params.resolve)."""
    return Policy(
        enabled=values["enabled"] == "true", evacuate_delay=float(values["evacuate_delay"]),
        max_parallel=int(values["max_parallel"]), max_attempts=int(values["max_attempts"]),
        retry_pause=float(values["retry_pause"]), stuck_timeout=float(values["stuck_timeout"]),
        leave_disabled=values["leave_disabled"] == "true",
        selection=Selection(values["protect"], values["evacuable_tag"], tuple(values["skip_servers"].split())),
    )
