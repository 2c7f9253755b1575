"""Pure: the cluster as a whole, its properties, its nodes, what is on record, and what has failed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from ..configuring.changes import SetAttribute, SetProperties, default
from ..engine.proof import OFF_ACTIONS
from ..properties import CONCURRENT_FENCING, FENCING_ENABLED
from .finding import Finding, by, clean_up, meta, shell, some, to_do, tools
from .scene import Scene, is_set
from .worker import let_run

DEGRADED = 190                  # OCF's code
LOAD, STICKINESS = "1000%", "100"


def check(scene: Scene) -> Iterator[Finding]:
    """All of them."""
    yield from _cluster(scene)
    yield from _maintenance(scene)
    yield from _nodes(scene)
    yield from _records(scene)
    yield from _history(scene)
    yield from _devices(scene)
    yield from _failures(scene)
    yield from _by_rule(scene)


def _by_rule(scene: Scene) -> Iterator[Finding]:
    """What a rule decides that cannot be evaluated here: by date, or by node."""
    for name in sorted(scene.has.properties.unsure):
        what = f"a rule decides the property {name}, and is not evaluated here"
        yield Finding("unseen", "cluster", what,
                      shell(f"crm_attribute --type crm_config --name {name} --query"))
    for resource in (*scene.workers, *scene.nova_computes, *scene.used, *scene.remotes):
        if resource.unsure:
            names = sorted(resource.unsure)
            yield Finding("unseen", resource.id, f"a rule decides {some(names)} of {resource.id}, and is not evaluated here",
                          shell(*(f"crm_resource --resource {resource.id} --get-parameter {name}" for name in names if " " not in name)))


def _cluster(scene: Scene) -> Iterator[Finding]:
    properties = scene.has.properties
    if not scene.view.quorate:
        yield Finding("no-quorum", "cluster", "this part of the cluster has no quorum", to_do("bring the other controllers up, and look again there"))
    if not properties.is_true(FENCING_ENABLED):
        name = properties.name(FENCING_ENABLED)
        yield Finding("stonith-disabled", "cluster", f"{name} is false",
                      by(SetProperties({name: "true"})))
    if not properties.is_true(CONCURRENT_FENCING):
        yield Finding("fencing-one-by-one", "cluster", f"{CONCURRENT_FENCING} is not true",
                      by(SetProperties({CONCURRENT_FENCING: "true"})))
    if not properties.value("load-threshold"):
        yield Finding("load-threshold", "cluster", "load-threshold is not set", by(SetProperties({"load-threshold": LOAD})))
    stickiness = scene.has.defaults.get("resource-stickiness", "0")
    if stickiness == "0" and "resource-stickiness" not in scene.has.dated:
        # crmsh would put it into a set of its own, beside one in which it is 0.
        yield Finding("stickiness", "cluster", "resource-stickiness is not set", tools(
            shlex.join(next(default(scene.has, "resource-stickiness", STICKINESS).pcs())),
            f"crm_attribute --type rsc_defaults --name resource-stickiness --update {STICKINESS}"))


def _maintenance(scene: Scene) -> Iterator[Finding]:
    if scene.has.properties.is_true("maintenance-mode"):
        yield Finding("maintenance-mode", "cluster", "maintenance-mode is true", by(SetProperties({"maintenance-mode": "false"})))
        return
    for resource in (*scene.workers, *scene.remotes):
        for name, right in (("is-managed", "true"), ("maintenance", "false")):
            if is_set(resource.meta, name, right) is not (right == "true"):
                yield Finding("maintenance-mode", resource.id, f"it has meta {name}={resource.meta[name]}", meta(resource, name, right))
    for name, node in scene.has.nodes.items():
        if is_set(node.attributes, "maintenance"):
            yield Finding("maintenance-mode", name, f"the node {name} is in maintenance", by(SetAttribute(name, "maintenance", "false")))


def _nodes(scene: Scene) -> Iterator[Finding]:
    for name, node in scene.has.nodes.items():
        if is_set(node.attributes, "standby"):
            yield Finding("standby", name, f"the node {name} is in standby",
                          shell(f"instance-ha maintenance off {name}") if name in scene.computes else by(SetAttribute(name, "standby", "off")))
    for name, state in scene.view.nodes.items():
        if state.online or name in {*scene.view.records, *scene.view.broken, *scene.view.dismissed}:
            continue
        stopped = name in scene.has.resources and scene.has.resources[name].disabled
        yield Finding("node-offline", name, f"{name} is offline and not on record", to_do("find out why, and start it") if not stopped
                      else to_do("its connection is disabled; when its planned work is done:") + shell(f"instance-ha maintenance off {name}"))
    for remote in scene.remotes:
        allowed = let_run(scene, remote, scene.controllers)
        if allowed:
            what = (f"the connection to {remote.id} may run nowhere: the cluster is opt-in "
                    "(symmetric-cluster=false)")
            yield Finding("remote-nowhere", remote.id, what, allowed)


def _records(scene: Scene) -> Iterator[Finding]:
    view = scene.view
    for name, raw in view.broken.items():
        yield Finding("record-unreadable", name, f"the record of {name} is {raw[:60]!r}",
                      to_do('read "The record by hand" in docs/operations.md; if the host is in service, delete the record'))
    for name, record in view.records.items():
        yield Finding("on-record", name, f"{name} is on record: {record.state}, {record.left} servers left", shell(f"instance-ha status {name}"))
    for name in sorted(view.dismissed):
        yield Finding("dismissed", name, f"{name} is dismissed", to_do(f"start {name}: the dismissal ends when it is back"))


def _history(scene: Scene) -> Iterator[Finding]:
    for name in scene.computes:
        newest = next((event for event in scene.events.get(name, ()) if event.action in OFF_ACTIONS), None)
        if newest and newest.status == "failed":
            yield Finding("fencing-failed", name, f"the last fencing of {name} failed ({newest.action}, {newest.completed or 'no time given'})",
                          to_do("see to its power device; when it is well:") + shell(f"stonith_admin --cleanup --history {name}"))


def _devices(scene: Scene) -> Iterator[Finding]:
    """The devices that should run and do not."""
    if scene.standing is None:
        return
    for device in scene.used:
        failed = device.id in scene.standing.failed
        if device.disabled or (scene.standing.running.get(device.id) and not failed):
            continue
        allowed = let_run(scene, device, scene.controllers)
        if allowed:
            yield Finding("device-down", device.id, f"{device.id} may run nowhere: the cluster is opt-in (symmetric-cluster=false)", allowed)
            continue
        reasons = _told(scene, device.id)
        why = f" ({some(reasons, 1)})" if reasons else ""
        yield Finding("device-down", device.id, f"{device.id} {'has failed' if failed else 'runs nowhere'}{why}",
                      to_do("see to it: does it answer, has it another password? Then:") + clean_up(device))


def _told(scene: Scene, resource: str) -> list[str]:
    failures = scene.standing.failures if scene.standing else ()
    return [f"{one.action} on {one.node}: {one.reason}" for one in failures if one.resource == resource and one.code != DEGRADED]


def _failures(scene: Scene) -> Iterator[Finding]:
    for node, reason in scene.unable.items():
        if node not in scene.computes:
            yield Finding("agent-missing", node, f"on {node} NovaEvacuate could not be run: {reason}",
                          to_do(f"make install, on {node}; then:") + shell(f"crm_resource --refresh --resource {scene.workers[0].id} --node {node}"))
    down = {one.subject for one in _devices(scene)}
    for resource in (*scene.workers, *scene.nova_computes, *scene.used, *scene.remotes):
        told = _told(scene, resource.id)
        if told and resource.id not in down:
            yield Finding("failed-action", resource.id, some(told), clean_up(resource))
    for failure in scene.standing.failures if scene.standing else ():
        if failure.code == DEGRADED and failure.resource in {worker.id for worker in scene.workers}:
            yield Finding("worker-complains", failure.resource, f"on {failure.node}: {failure.reason}", shell("instance-ha status"))
