"""Reading of a cloud what the doctor judges. What is refused is written down, and the rest read all the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TypeVar

from ..engine.limits import aggregate_metadata
from ..engine.selection import Ruling, Selection, rule_for
from ..errors import CloudError, CloudRefused
from ..model import Aggregate, Server, Service
from . import rights
from .inspection import Inspected

ADMIN = "admin"
NOVA, GLANCE, PLACEMENT = "Nova", "Glance", "Placement"
AGGREGATES, SERVERS = "os_compute_api:os-aggregates:index", "os_compute_api:servers:detail:get_all_tenants"
CANDIDATE = "/allocation_candidates?resources=VCPU:1&limit=1"
TPM = ("hw:tpm_version", "hw_tpm_version")     # a flavor's extra spec, an image's property
Read = TypeVar("Read")


@dataclass(frozen=True)
class Judged:
    """A server of a compute host, and the ruling on it, None where its image could not be read. `tpm`: it has an emulated TPM. `aggregate`
    is the metadata of its host's aggregates."""

    server: Server
    ruling: Ruling | None
    tpm: bool = False
    aggregate: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cloud:
    """What was read; None is what could not be. `refused` are the answers by the policy that they were refused for, `away` those
    that did not come, by service. `now` is the clock of Nova's API, `ahead` the seconds by which it is ahead of this node's.
    `rights` are tried for a user who is no admin."""

    services: Sequence[Service]
    now: float | None = None
    ahead: float | None = None
    roles: frozenset[str] | None = None
    aggregates: Sequence[Aggregate] | None = None
    servers: Sequence[Judged] | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    away: Mapping[str, str] = field(default_factory=dict)
    rights: rights.Rights | None = None


class Reader:
    """Reads one cloud."""

    def __init__(self, nova: Inspected, selection: Selection, clock: Callable[[], float] = time.time) -> None:
        self.nova, self.selection, self.clock = nova, selection, clock
        self.refused: dict[str, str] = {}
        self.away: dict[str, str] = {}

    def read(self) -> Cloud:
        """All of it. Raises CloudError where even Nova's services cannot be read."""
        services = self.nova.services()
        hosts = sorted(s.host for s in services if s.binary == "nova-compute")
        now, ahead = self._clock()
        aggregates = self._try(AGGREGATES, self.nova.aggregates)
        servers = self._try(SERVERS, lambda: [one for host in hosts for one in self._on(host, aggregates or ())])
        whole = [one.server.id for one in servers or () if one.server.vm_state is not None]
        if whole:      # one that cannot be read, or whose cell is away, tells nothing of the others
            uid = whole[0]
            if self._try("os_compute_api:servers:show", lambda: self.nova.server(uid)):
                self._try("os_compute_api:os-instance-actions:list", lambda: self.nova.actions(uid))
        self._try("os_compute_api:os-migrations:index", lambda: self.nova.look("/os-migrations?migration_type=evacuation&limit=1"))
        self._try("os_compute_api:os-hypervisors:list-detail", lambda: self.nova.look("/os-hypervisors/detail?limit=1"))
        self._try("placement:allocation_candidates:list", lambda: self.nova.look(CANDIDATE, "placement"), PLACEMENT)
        roles = self._try("", self.nova.roles)
        found = rights.tried(self.nova) if roles is not None and ADMIN not in roles else None
        return Cloud(services, now, ahead, roles, aggregates, servers, self.refused, self.away, found)

    def _try(self, policy: str, read: Callable[[], Read], service: str = NOVA) -> Read | None:
        if service in self.away:  # who did not answer once is not waited for again
            return None
        try:
            return read()
        except CloudRefused as error:
            self.refused[policy] = str(error)
        except CloudError as error:
            self.away[service] = str(error)
        return None

    def _clock(self) -> tuple[float | None, float | None]:
        began = self.clock()
        answer = self._try("", lambda: self.nova.look("/"))
        now = _date(answer.headers.get("Date")) if answer is not None else None
        return now, None if now is None else now - (began + self.clock()) / 2

    def _on(self, host: str, aggregates: Iterable[Aggregate]) -> list[Judged]:
        words = aggregate_metadata(host, aggregates)
        return [self._judged(server, words) for server in self.nova.servers_on(host)]

    def _judged(self, server: Server, words: Mapping[str, str]) -> Judged:
        image = self._try("", lambda: self.nova.image_properties(server.image), GLANCE) if server.image else {}
        tpm = any(name in server.extra_specs or name in (image or {}) for name in TPM)
        return Judged(server, rule_for(server, image, self.selection, words), tpm, words)


def _date(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (TypeError, ValueError):
        return None
