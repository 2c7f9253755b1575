"""Pure: fence_nova's device, and what keeps nova-compute back until its host is let in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..configuration import Resource
from ..configuring import holdback
from ..configuring.banned import is_never, is_true
from ..configuring.changes import Ban, SetAttribute
from ..configuring.provisioning import AT_ONCE, COMPUTE, ONCE
from ..model import RECORD
from ..rules import Expression
from .finding import Finding, Mend, by, meta, operation, param, some, to_do
from .scene import Scene, is_watched
from .worker import CONFIGURE, SEE_CONSTRAINTS, allow, failure_timeout, keep_off

HELD = ("", "unfencing")     # meta requires: where it is not given, Pacemaker takes unfencing as soon as a device provides it
NOWHERE = "runs nowhere"     # how device-down says that a device has failed nowhere either
EVACUATED = "evacuated"      # let_in, as it is by default


def check(scene: Scene) -> Iterator[Finding]:
    """All of them."""
    if not scene.recorders:
        yield Finding("no-fence-nova", "cluster", "there is no device of fence_nova", to_do(CONFIGURE) + to_do(
            f"or: pcs stonith create fence-nova fence_nova cloud=NAME pcmk_host_list='{' '.join(scene.computes)}' pcmk_action_limit=-1 "
            "let_in=at_once op monitor interval=60s timeout=30s on-fail=ignore meta provides=unfencing failure-timeout=60s"))
    for device in scene.recorders:
        yield from _device(scene, device)
    for resource in scene.nova_computes:
        yield from _nova_compute(scene, resource)
    yield from _let_in(scene)


def explained(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings, devices that start nowhere with the cause: a member's unfencing.

    Pacemaker unfences a member before it starts a device there. Without a power device that fails.
    """
    bare = [one.subject for one in findings if one.kind == "controller-no-power"]
    return [_because(one, bare) if bare and one.kind == "device-down" else one for one in findings]


def _because(finding: Finding, bare: Sequence[str]) -> Finding:
    if not finding.what.endswith(NOWHERE):
        return finding
    why = f"nothing starts on {some(bare)}, whose unfencing fails"
    cause = to_do(f"first controller-no-power: {why}; then:")
    lines, crm = ([line for line in old if not line.startswith("#")]
                  for old in (finding.mend.lines, finding.mend.crm))
    return replace(finding, mend=cause + Mend(tuple(lines), tuple(crm)))


def _device(scene: Scene, device: Resource) -> Iterator[Finding]:
    if device.meta.get("provides", "").lower() != "unfencing":
        yield Finding("no-unfencing", device.id, f"{device.id} has not meta provides=unfencing", meta(device, "provides", "unfencing"))
    if device.params.get("pcmk_action_limit") != "-1":
        yield Finding("fencing-one-by-one", device.id, f"{device.id} has not pcmk_action_limit=-1", param(device, pcmk_action_limit="-1"))
    if is_watched(device) and device.option("monitor", "on-fail") != "ignore":
        yield Finding("monitor-on-fail", device.id, f"{device.id}'s monitor has not on-fail=ignore",
                      operation(device, "monitor", **{**ONCE, **device.operations["monitor"], "on-fail": "ignore"}))
    yield from failure_timeout(scene, device)
    open_to = [] if scene.converged else scene.open_to(device, scene.members)
    if open_to:
        yield Finding("fence-nova-on-compute", device.id, f"nothing keeps {device.id} off {', '.join(open_to)}",
                      keep_off(scene, device, open_to, True))


def _nova_compute(scene: Scene, resource: Resource) -> Iterator[Finding]:
    yield from failure_timeout(scene, resource)
    wanted = resource.meta.get("requires") or scene.has.defaults.get("requires", "")
    if wanted.lower() not in HELD:
        yield Finding("nova-compute-not-held", resource.id, f"{resource.id} requires {wanted}", meta(resource, "requires", "unfencing"))
    reached = scene.open_to(resource, scene.computes)
    kept_off = [name for name in scene.computes if name not in reached]
    if kept_off:
        yield Finding("nova-compute-kept-off", resource.id, f"a constraint keeps {resource.id} off {', '.join(kept_off)}",
                      _let_on(scene, resource, kept_off))


def _let_on(scene: Scene, resource: Resource, nodes: list[str]) -> Mend:
    """Return the commands that give hosts the attribute that a rule misses.

    Not where the attribute is a node's state, nor where a host has another value of it."""
    if scene.left_out(resource, nodes):
        return allow(scene, resource, scene.computes)
    for location in scene.has.locations:
        for rule in location.rules if location.resources & {resource.id, *resource.within} else ():
            part = rule.parts[0] if len(rule.parts) == 1 else None
            never = is_never(rule.score)
            if not isinstance(part, Expression) or not never or scene.is_state(part.attribute):
                continue
            hosts = [scene.has.nodes[name] for name in nodes]
            missing = all(is_true(rule, host) and part.attribute not in host.attributes for host in hosts)
            if part.operation in ("not_defined", "ne") and missing:
                return by(*(SetAttribute(name, part.attribute, part.value or COMPUTE) for name in nodes))
    return to_do(SEE_CONSTRAINTS)


def _let_in(scene: Scene) -> Iterator[Finding]:
    let_in = {device.params.get("let_in") or EVACUATED for device in scene.recorders}
    for resource in scene.nova_computes:
        rules, stop = _missing(scene, resource, holdback.HOLD_BACK), _missing(scene, resource, holdback.STOPPED)
        if stop:
            yield Finding("nova-compute-not-restarted", resource.id, f"no rule stops {resource.outermost} when the worker asks for that", by(*stop))
        if rules and AT_ONCE in let_in:
            yield Finding("nova-compute-not-held-back", resource.id, f"no rule keeps {resource.outermost} from starting on a host whose record says "
                          "that its evacuation is not over", by(*rules))
        for device in scene.recorders if EVACUATED in let_in else ():
            if (device.params.get("let_in") or EVACUATED) == EVACUATED:
                yield Finding("unfencing-refused", device.id, f"{device.id} has not let_in={AT_ONCE}", by(*rules) + param(device, let_in=AT_ONCE))
    if not scene.nova_computes and EVACUATED in let_in:
        yield Finding("nova-compute-elsewhere", "cluster", "no resource of this cluster starts nova-compute, and fence_nova has not let_in=at_once",
                      to_do('create it, as docs/install.md says, or read "A nova-compute that Pacemaker does not start" in docs/operations.md'))


def _missing(scene: Scene, resource: Resource, hold: holdback.Hold) -> list[Ban]:
    """A rule by which a nova-compute is held, where it lacks it."""
    return [_ban(scene, resource, hold)] if hold.is_missing(scene.has, resource, scene.computes, _attribute(scene)) else []


def _ban(scene: Scene, resource: Resource, hold: holdback.Hold) -> Ban:
    name = next(name for name in (f"{hold.id(resource)}{number}" for number in ("", *range(2, 100))) if name not in scene.has.ids)
    return Ban(name, resource.outermost, hold.rule(_attribute(scene)), True, hold.score)


def _attribute(scene: Scene) -> str:
    """The name of the records' attribute."""
    return next((device.params["evacuate_attribute"] for device in scene.recorders if device.params.get("evacuate_attribute")), RECORD)
