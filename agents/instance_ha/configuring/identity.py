"""Pure: what the agents of a cluster are told of OpenStack: who they are there, and what both have to be told alike. No value of a
credential leaves this module."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .. import params
from ..configuration import Resource

SHARED = ("domain", "evacuate_attribute", "quick_evacuate_level", "protect_hosts")
CLOUD, OPENRC = "cloud", "openrc"
_OTHER = frozenset(("domain", "evacuate_attribute", "api_timeout"))
_MEANING = {name: param.name for param in params.CLOUD for name in (param.name, *param.aliases)}


def _meaning(name: str) -> str:
    word = name.replace("-", "_").lower()
    return _MEANING.get(word, word)


def credentials_in(resource: Resource) -> list[str]:
    """The names of a resource's parameters that say who to be in OpenStack and where, without cloud= and openrc=."""
    inside = {param.name for param in params.CLOUD} - _OTHER - {CLOUD, OPENRC}
    return [name for name, value in resource.params.items() if value and _meaning(name) in inside]


def identity(agents: Sequence[Resource], cloud: str) -> dict[str, str]:
    """The parameter that points at the credentials: `cloud`, else the cloud= or openrc= of the first agent that has one; {} for none."""
    if cloud:
        return {CLOUD: cloud}
    given = [{name: value} for agent in agents for name in (CLOUD, OPENRC) if (value := agent.params.get(name))]
    return given[0] if given else {}


def shared(agents: Iterable[Resource]) -> dict[str, str]:
    """The parameters that both agents have to be given alike, from the first that has them."""
    found: dict[str, str] = {}
    for agent in agents:
        for name, value in agent.params.items():
            if _meaning(name) in SHARED and value:
                found.setdefault(_meaning(name), value)
    return found


def listed_hosts(agents: Iterable[Resource]) -> list[str]:
    """Return the names and patterns of protect_hosts, of the first agent that has it."""
    return shared(agents).get("protect_hosts", "").replace(",", " ").split()


def changes_of(agent: Resource, pointer: dict[str, str], migrate: bool) -> dict[str, str]:
    """The parameters to change so that an agent takes its credentials from where `pointer` says; "" takes one away. Without `migrate`
    an agent that has any keeps them."""
    inside = credentials_in(agent)
    if inside and migrate:
        return {**dict.fromkeys(inside, ""), **pointer}
    return {} if inside or agent.params.get(CLOUD) or agent.params.get(OPENRC) else dict(pointer)


def faults(novas: Sequence[Resource], evacuates: Sequence[Resource], cloud: str, migrate: bool) -> Iterable[str]:
    """Why the agents cannot be told who to be."""
    agents = [*novas, *evacuates]
    complete = bool(novas and evacuates) and all(credentials_in(agent) for agent in agents)
    if not identity(agents, cloud) and (migrate or not complete):
        yield "which cloud? Give --cloud NAME, an entry of /etc/openstack/clouds.yaml"
    for agent in agents:
        has = agent.params.get(CLOUD)
        if has and cloud not in ("", has):
            yield f"{agent.id} has cloud={has}, not {cloud}: give --cloud {has}, or change {agent.id} first"
