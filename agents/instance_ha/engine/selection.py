"""Pure: which servers are protected, by which rule, in which order they come; and the operator's policy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from ..booleans import boolean
from ..model import Order, Server

HA_ENABLED = "HA_Enabled"
# Server metadata, and its name for those who come from infra-operator's instanceha.
PRIORITY = ("restart_priority", "instanceha:restart_priority")
GROUP = ("restart_group", "instanceha:restart_group")
HIGHEST = 1000          # what can be said at most, above or below 0
MIDDLE = 500            # the priority where nobody names one
SHARED_DISKS = "instance-ha:shared_disks"     # aggregate metadata: its hosts share what they keep of servers made from images
EVACUATE_DISKS, SHARED_DISKS_ONLY = "evacuate", "shared"
TELL, START = "tell", "start"                 # after_reboot; the former also image_disks
_INTEGER = re.compile("-?[0-9]{1,9}")


@dataclass(frozen=True)
class Selection:
    """The rules: `protect` is all or tagged, `tag` the name that opts in or out; `skip` and `only` are shell patterns of
    servers' names, `skip_projects` and `only_projects` ids of projects. What is in `only` opts in, what is in `skip` out."""

    protect: str = "all"
    tag: str = "evacuable"
    skip: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    skip_projects: tuple[str, ...] = ()
    only_projects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ruling:
    """Whether a server is protected, and the rule that says so. `stays`: it is left with its host only because its disk is there, and
    starts again there; `unsaid`: and nobody has said that it is to."""

    protected: bool
    rule: str
    stays: bool = False
    unsaid: bool = False


def rule_for(server: Server, image: Mapping[str, Any] | None, selection: Selection, aggregate: Mapping[str, str] | None = None) -> Ruling | None:
    """The ruling on one server. `image` is Glance's view of its image, {} for none, None for not asked yet: then None is
    the answer where the image could make a difference. `aggregate` is the metadata of its host's aggregates.

    The most specific word counts: name pattern, server metadata, image, flavor, project, aggregate, then the default. A word
    on one server never changes what happens to another.
    """
    for patterns, parameter, protected in ((selection.skip, "skip_servers", False), (selection.only, "protect_servers", True)):
        for pattern in patterns:
            if fnmatchcase(server.name, pattern):
                return Ruling(protected, f"its name matches {parameter} {pattern!r}")
    tag = selection.tag
    own: list[tuple[str, Any]] = [
        (f"server metadata {tag}", server.metadata.get(tag)), (f"server metadata {HA_ENABLED}", server.metadata.get(HA_ENABLED))]
    of_image: list[tuple[str, Any]] = [] if not image else [
        (f"image property {tag}", image.get(tag)), (f"image tag {tag}", "true" if tag in (image.get("tags") or ()) else None)]
    wider: list[tuple[str, Any]] = [
        (f"flavor extra spec {tag}", server.extra_specs.get(tag)),
        ("skip_projects", "false" if server.project in selection.skip_projects else None),
        ("protect_projects", "true" if server.project in selection.only_projects else None),
        (f"aggregate metadata {tag}", (aggregate or {}).get(tag)),
    ]
    found = _word(own)
    if found is None and image is None and server.image:
        return None
    found = found or _word(of_image) or _word(wider)
    if found:
        return found
    if selection.protect == "all":
        return Ruling(True, "protect=all")
    return Ruling(False, f"protect=tagged, and nothing says {tag}=true")


def _word(words: list[tuple[str, Any]]) -> Ruling | None:
    for where, word in words:
        protected = boolean(word)
        if word is not None and protected is not None:
            return Ruling(protected, f"{where}={word}")
    return None


@dataclass(frozen=True)
class Priorities:
    """Who says in which order servers come: `users`: their owners too, by server metadata; `projects` are the operator's numbers by
    project id."""

    users: bool = True
    projects: Mapping[str, int] = field(default_factory=dict)


def order_of(server: Server, priorities: Priorities, aggregate: Mapping[str, str] | None = None) -> Order:
    """Return when its turn comes. `aggregate` is the metadata of its host's aggregates.

    What the operator says stands above what owners say: the flavor's number, else the project's, else the aggregate's.
    """
    key = PRIORITY[0]
    of_project = str(priorities.projects.get(server.project, ""))
    words = (server.extra_specs.get(key, ""), of_project, (aggregate or {}).get(key, ""))
    operator = next((number for text in words if (number := _number(text)) is not None), MIDDLE)
    if not priorities.users:
        return Order((-operator, -MIDDLE, 1))
    user = _number(_given(server, PRIORITY))
    marked = boolean(server.metadata.get(HA_ENABLED, "")) is True
    return Order((-operator, -(MIDDLE if user is None else user), 0 if marked else 1), _given(server, GROUP))


def _number(text: str) -> int | None:
    """A priority, which may be a user's own text; None for what is none."""
    text = text.strip()
    return min(max(int(text), -HIGHEST), HIGHEST) if _INTEGER.fullmatch(text) else None


def rank_of(server: Server) -> tuple[int, int, int]:
    """Sort key: the highest priority of the operator's first, then the highest of its owner's, then those that HA_Enabled marks."""
    return (server.order or order_of(server, Priorities())).rank


def group_of(server: Server) -> str:
    """Its restart group, "" for none."""
    return (server.order or order_of(server, Priorities())).group


def _given(server: Server, names: tuple[str, ...]) -> str:
    return next((text for name in names if (text := server.metadata.get(name, "").strip())), "")


def order_key(server: Server) -> tuple[int, int, int, str]:
    """Sort key: its rank, then its id: a name is its owner's, and gives no precedence."""
    return (*rank_of(server), server.id)


def disk_stays(server: Server, disks: str, aggregate: Mapping[str, str] | None) -> str:
    """Return why a server would come back with an empty disk, and is left; "" where it is evacuated.

    The disk of a server that was made from an image is where its host keeps it: Nova's API does not tell whether other hosts have
    it too, and rebuilds the server from its image where they do not. `disks` is the parameter image_disks; TELL is what it is
    until somebody has said.
    """
    if not server.image or disks == EVACUATE_DISKS:
        return ""
    shared = boolean((aggregate or {}).get(SHARED_DISKS, "")) is True
    if disks in (SHARED_DISKS_ONLY, TELL) and shared:
        return ""
    if disks == TELL:
        return f"its disk may be on its host alone, and nobody has said what then: set image_disks, or {SHARED_DISKS} of an aggregate"
    said = f", and no aggregate of its host says {SHARED_DISKS}=true" if disks == SHARED_DISKS_ONLY else ""
    return f"image_disks={disks}{said}: its disk would be empty elsewhere"


def why_not_moved(ruling: Ruling | None) -> tuple[str, bool]:
    """Return why a server that is not protected, or stays, is not moved, and whether people are told of it."""
    if ruling is not None and ruling.unsaid:
        return ruling.rule, True
    return f"not protected: {ruling and ruling.rule}", False


@dataclass(frozen=True)
class Policy:
    """What the operator wants of an evacuation. Times are seconds, `threshold` is in percent of the compute hosts."""

    enabled: bool = True
    evacuate_delay: float = 0.0
    quick_evacuate_level: int = 2
    min_parallel: int = 2
    max_parallel: int = 256
    max_parallel_per_host: int = 20
    start_pause: float = 0.0
    group_timeout: float = 300.0
    max_attempts: int = 5
    retry_pause: float = 5.0
    stuck_timeout: float = 300.0
    threshold: float = 50.0
    reserved_hosts: bool = True
    leave_disabled: bool = False
    recover: frozenset[str] = frozenset(("error", "paused", "resized"))
    selection: Selection = field(default_factory=Selection)
    priorities: Priorities = field(default_factory=Priorities)
    image_disks: str = TELL
    quarantine: int = 0
    after_reboot: str = TELL
    hosts: tuple[str, ...] = ()        # protect_hosts

    def most_at_once(self, living: int) -> int:
        """Return how many evacuations may be under way at once where so many hosts take them."""
        return min(self.max_parallel, max(self.min_parallel, self.max_parallel_per_host * living))


def project_priorities(text: str) -> dict[str, int]:
    """Return the numbers in `ID=NUMBER ID=NUMBER`. Raises ValueError."""
    pairs = [word.partition("=") for word in text.replace(",", " ").split()]
    if any(not name or _number(number) is None for name, _, number in pairs):
        raise ValueError(text)
    return {name: _number(number) or 0 for name, _, number in pairs}


def policy_from(values: Mapping[str, str]) -> Policy:
    """The policy that resolved parameters mean (params.resolve)."""
    def words(name: str) -> tuple[str, ...]:
        return tuple(values[name].replace(",", " ").split())

    return Policy(
        enabled=values["enabled"] == "true", evacuate_delay=float(values["evacuate_delay"]),
        quick_evacuate_level=int(values["quick_evacuate_level"]),
        min_parallel=int(values["min_parallel"]), max_parallel=int(values["max_parallel"]),
        max_parallel_per_host=int(values["max_parallel_per_host"]),
        start_pause=float(values["start_pause"]), group_timeout=float(values["group_timeout"]),
        max_attempts=int(values["max_attempts"]),
        retry_pause=float(values["retry_pause"]), stuck_timeout=float(values["stuck_timeout"]),
        threshold=float(values["threshold"]), reserved_hosts=values["reserved_hosts"] == "true",
        leave_disabled=values["leave_disabled"] == "true", recover=frozenset(words("recover_states")),
        selection=Selection(values["protect"], values["evacuable_tag"], tuple(values["skip_servers"].split()),
                            tuple(values["protect_servers"].split()), words("skip_projects"), words("protect_projects")),
        priorities=Priorities(values["user_priorities"] == "true", project_priorities(values["project_priorities"])),
        image_disks=values["image_disks"], quarantine=int(values["quarantine"]),
        after_reboot=values["after_reboot"], hosts=words("protect_hosts"),
    )
