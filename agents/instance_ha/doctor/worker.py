"""Pure: NovaEvacuate: that there is one, where it may run, what it is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .. import params
from ..configuration import Resource
from ..configuring.banned import is_never
from ..configuring.changes import Ban, Delete, SetAttribute
from ..configuring.identity import CLOUD, credentials_in
from ..configuring.provisioning import COMPUTE, NOVA_EVACUATE, ROLE
from ..errors import ConfigurationError
from ..rules import Expression, Rule
from ..service import START_LIMIT
from .finding import Finding, Mend, by, kind, meta, operation, param, some, start, to_do, tools
from .scene import ACTION_TIMEOUT, Scene, is_watched, option

SHARED = ("evacuate_attribute", "quick_evacuate_level", "protect_hosts", "domain", "region_name")
# Of each action: the least time in seconds, and what it should have.
ACTIONS = (("start", START_LIMIT, "30s"), ("stop", 10.0, "30s"), ("monitor", 5.0, "20s"))
SEE_CONSTRAINTS = "see its constraints: pcs constraint location"


def check(scene: Scene) -> Iterator[Finding]:
    """All of them."""
    yield from _number(scene)
    for worker in scene.workers:
        yield from _state(scene, worker)
        yield from _place(scene, worker)
        yield from _actions(scene, worker)
    yield from _parameters(scene)


def values_of(resource: Resource, agent: str) -> dict[str, str]:
    """Its parameters, resolved. Raises ConfigurationError."""
    return params.resolve(params.of(agent), resource.params)


def agents(scene: Scene) -> list[tuple[Resource, str]]:
    """The resources of both agents, and which of them each is of."""
    return [*((worker, params.OCF) for worker in scene.workers), *((device, params.FENCE) for device in scene.recorders)]


CONFIGURE = "instance-ha configure --cloud NAME shows what is missing here; with --apply it does that"


def _number(scene: Scene) -> Iterator[Finding]:
    if not scene.workers:
        yield Finding("no-worker", "cluster", f"there is no resource of {NOVA_EVACUATE}", to_do(CONFIGURE))
    for worker in scene.workers[1:]:
        names = ", ".join(one.id for one in scene.workers)
        yield Finding("several-workers", worker.id, f"{names} are all NovaEvacuate", by(Delete(worker.id, False)))


def _state(scene: Scene, worker: Resource) -> Iterator[Finding]:
    on = scene.standing.running.get(worker.id, frozenset()) if scene.standing else frozenset()
    if len(on) > 1:
        yield Finding("several-workers", worker.id, f"{worker.id} runs on {', '.join(sorted(on))}",
                      tools(f"pcs resource unclone {worker.id}", "# crm configure edit: take it out of its clone"))
    if worker.disabled:
        yield Finding("worker-stopped", worker.id, f"{worker.id} is disabled", start(worker))
    elif scene.standing is not None and not on:
        yield Finding("worker-stopped", worker.id, f"{worker.id} runs nowhere", let_run(scene, worker, scene.controllers)
                      or to_do("crm_mon -1rf shows its failed actions; see its constraints"))
    if params.boolean(worker.params.get("enabled") or "true") is not True:
        yield Finding("switched-off", worker.id, f"{worker.id} has enabled={worker.params['enabled']}", param(worker, enabled="true"))


def _place(scene: Scene, worker: Resource) -> Iterator[Finding]:
    open_to = scene.open_to(worker, scene.apart)
    if open_to:
        yield Finding("worker-on-compute", worker.id, f"nothing keeps {worker.id} off {', '.join(open_to)}", keep_off(scene, worker, open_to))
    yield from one_controller(scene, worker)


def one_controller(scene: Scene, resource: Resource) -> Iterator[Finding]:
    """Of the worker, and of what fences compute hosts."""
    open_to = scene.open_to(resource, scene.controllers)
    if len(open_to) != 1 or len(scene.controllers) < 2:
        return
    left_out = scene.left_out(resource, scene.controllers)
    mend = allow(scene, resource, left_out) if left_out else to_do(SEE_CONSTRAINTS)
    what = f"{resource.id} may run on {open_to[0]} alone"
    yield Finding("one-controller", resource.id, what, mend)


def let_run(scene: Scene, resource: Resource, nodes: Sequence[str]) -> Mend | None:
    """Return the commands that let a resource run on nodes in a cluster in which nothing may run where nothing says so,
    None where that is not what is missing."""
    return allow(scene, resource, nodes) if scene.nowhere(resource, nodes) else None


def allow(scene: Scene, resource: Resource, nodes: Sequence[str]) -> Mend:
    """Return the commands that let a resource run on nodes that an opt-in cluster leaves out."""
    if scene.converged:
        return by(Ban(f"{resource.outermost}-allowed", resource.outermost, ["#kind", "eq", "cluster"], True, "0"))
    sets = [SetAttribute(name, ROLE, COMPUTE) for name in scene.computes if ROLE not in scene.has.nodes[name].attributes]
    same = "eq" if set(nodes) <= {*scene.computes} else "ne"
    return by(*sets, Ban(f"{resource.outermost}-allowed", resource.outermost, [ROLE, same, COMPUTE], True, "0"))


def keep_off(scene: Scene, resource: Resource, nodes: Sequence[str], discovery: bool = False) -> Mend:
    """Return the commands that keep a resource off compute hosts.

    They are a mark for the hosts that lack it, and a constraint where none uses it. A host that has
    another value of the mark keeps it, and gets a constraint by its name.
    """
    if scene.converged:
        return by(Ban(f"{resource.outermost}-place", resource.outermost, ["#kind", "eq", "remote"], discovery))
    placed = [one for one in scene.has.locations if one.resources & {resource.id, *resource.within}]
    rules = [rule for location in placed for rule in location.rules if is_never(rule.score)]
    marks = [mark for rule in rules if (mark := _mark(rule))]
    existing = next((mark for mark in marks if _is_of_computes(scene, mark)), None)
    attribute, value = existing or _common(scene) or (ROLE, COMPUTE)
    lacking = [name for name in scene.computes if scene.has.nodes[name].attributes.get(attribute) != value]
    others = [name for name in lacking if attribute in scene.has.nodes[name].attributes]
    if others:
        avoid = f"pcs constraint location {resource.outermost} avoids {' '.join(nodes)}"
        crm = f"crm -F configure location {resource.outermost}-not-"
        apart = tuple(f"{crm}{name} {resource.outermost} -inf: {name}" for name in nodes)
        why = f"{some(others)} has another {attribute} than {value}, which stays; by name:"
        return to_do(why) + Mend((avoid,), apart)
    sets = [SetAttribute(name, attribute, value) for name in lacking]
    if existing and set(nodes) <= set(lacking):
        return by(*sets)
    rule = [attribute, "eq", value]
    return by(*sets, Ban(f"{resource.outermost}-place", resource.outermost, rule, discovery))


def _mark(rule: Rule) -> tuple[str, str] | None:
    """Return the attribute and the value for which a rule is true, when it is as simple as that."""
    only = rule.parts[0] if len(rule.parts) == 1 else None
    return (only.attribute, only.value) if isinstance(only, Expression) and only.operation == "eq" else None


def _is_of_computes(scene: Scene, mark: tuple[str, str]) -> bool:
    """Return whether a constraint's pair marks compute hosts as such, unlike one about a site.

    Most of them have it, and no other node. For the usual mark the second is enough.
    """
    if scene.is_state(mark[0]):
        return False
    having = [name for name, node in scene.has.nodes.items() if mark in node.attributes.items()]
    computes = [name for name in having if name in scene.computes]
    usual = mark == (ROLE, COMPUTE)
    return having == computes and (usual or 2 * len(computes) > len(scene.computes))


def _common(scene: Scene) -> tuple[str, str] | None:
    """Return an attribute that all compute hosts have with one value, and no other node has."""
    others = {pair for name, node in scene.has.nodes.items() if name not in scene.computes for pair in node.attributes.items()}
    all_have = [set(scene.stateless(name).attributes.items()) for name in scene.computes]
    shared = sorted(set.intersection(*all_have) - others) if all_have else []
    return (ROLE, COMPUTE) if (ROLE, COMPUTE) in shared or not shared else shared[0]


def _actions(scene: Scene, worker: Resource) -> Iterator[Finding]:
    if not is_watched(worker):
        yield Finding("worker-unwatched", worker.id, f"{worker.id} has no recurring monitor",
                      operation(worker, "monitor", interval="10s", timeout="20s"))
    for action, least, enough in ACTIONS:
        given = option(worker, action, "timeout")
        if (ACTION_TIMEOUT if given is None else given) <= least and (action != "monitor" or is_watched(worker)):
            yield Finding("worker-limits", worker.id, f"its {action} has {given:g} s", operation(worker, action, timeout=enough))
    yield from failure_timeout(scene, worker)


def failure_timeout(scene: Scene, resource: Resource) -> Iterator[Finding]:
    """Of both agents, and of nova-compute."""
    if not resource.forgets_failures:
        yield Finding("failure-timeout", resource.id, f"{resource.id} has no failure-timeout", meta(resource, "failure-timeout", "60s"))


def _parameters(scene: Scene) -> Iterator[Finding]:
    known = []
    for resource, agent in sorted(agents(scene), key=lambda pair: pair[1] != params.FENCE):   # the worker's are changed with less ado
        yield from _password(resource)
        try:
            known.append((resource, values_of(resource, agent)))
        except ConfigurationError as error:
            yield Finding("parameter-wrong", resource.id, f"{resource.id}: {error}", to_do("correct it: docs/parameters.md"))
    if not known:
        return
    first, right = known[0]
    daring = [resource for resource, values in known if values["quick_evacuate_level"] == "1"]
    if daring:
        mend = Mend()
        safe = next((one["quick_evacuate_level"] for _, one in known
                     if one["quick_evacuate_level"] != "1"), "2")
        for resource in daring:
            mend += param(resource, quick_evacuate_level=safe)
        yield Finding("power-not-required", daring[0].id, f"{some(resource.id for resource in daring)}: quick_evacuate_level=1", mend)
    for resource, values in known[1:]:
        for name in SHARED:
            level = name == "quick_evacuate_level" and "1" in (values[name], right[name])
            if values[name] != right[name] and not level:   # power-not-required mends that
                yield Finding("parameters-differ", resource.id, f"{name} is {values[name]!r} for {resource.id} and {right[name]!r} for {first.id}",
                              param(resource, **_in_place(resource, name, right[name])))


def _in_place(resource: Resource, name: str, value: str) -> dict[str, str]:
    """A parameter's new value, in place of what it was given under this or another of its names."""
    known = next(one for one in params.ALL if one.name == name)
    given = [word for word in (name, *known.aliases) if resource.params.get(word)]
    return {**dict.fromkeys(given, ""), **({} if value == known.default else {name: value})}


def _password(resource: Resource) -> Iterator[Finding]:
    inside = credentials_in(resource)
    if any(name.startswith("pass") for name in inside):
        words = " ".join(f"{name}=" for name in inside)
        yield Finding("password-in-cib", resource.id, f"{resource.id} has its password as a parameter",
                      to_do("put it into /etc/openstack/clouds.yaml (mode 0600) on every controller; then: "
                            f"pcs {kind(resource)} update {resource.id} {CLOUD}=NAME {words}"))
