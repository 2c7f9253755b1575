"""Pure: which servers would stay on a host that dies, and which would lose something."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from ..booleans import boolean
from ..configuration import Resource
from ..engine.selection import EVACUATE_DISKS, SHARED_DISKS, TELL, Policy, disk_stays
from ..engine.states import LEAVE, state_of
from ..model import Aggregate, Server
from .asking import Judged
from .finding import Finding, Mend, param, shell, some, to_do

TPM = "has an emulated TPM, which Nova does not evacuate"
GONE = ("soft-deleted", "being deleted", "shelved and offloaded")    # nobody misses them on another host


def check(servers: Sequence[Judged], policy: Policy, worker: Resource | None) -> Iterator[Finding]:
    """All of them. `worker` is the resource of NovaEvacuate."""
    partial = [one.server for one in servers if one.server.vm_state is None]
    if partial:
        yield Finding("cell-down", "Nova", f"of {len(partial)} servers Nova shows only part: {names(partial)}",
                      to_do("see to the database and the message queue of the cell: nova-manage cell_v2 list_cells"))
    whole = [one for one in servers if one.server.vm_state is not None and state_of(one.server).name not in GONE]
    protected = [one for one in whole if one.ruling and one.ruling.protected]
    out = [one for one in whole if one.ruling and not one.ruling.protected]
    if out and len(out) == len(whole):
        rules = some(_by((one.server, one.ruling.rule) for one in out if one.ruling))
        yield Finding("nothing-protected", "Nova", f"none of {len(out)} servers is protected ({rules})", _protect(policy, worker))
    elif out:
        for rule, found in _by((one.server, one.ruling.rule) for one in out if one.ruling).items():
            yield Finding("unprotected", rule, f"{len(found)} of {len(whole)} servers are not protected ({rule}): {names(found)}",
                          to_do("each server and its rule: instance-ha plan HOST; opt one in: openstack server set --property "
                                f"{policy.selection.tag}=true SERVER"))
    stuck = [(one.server, reason) for one in protected if (reason := hindrance(one, policy))]
    for reason, found in _by(stuck).items():
        yield Finding("not-evacuable", reason, f"{len(found)} servers: each {reason}: {names(found)}", _recover(reason, policy, worker))
    left = {server.id for server, _ in stuck}
    yield from _disks([one for one in protected if one.server.image and one.server.id not in left], len(protected), policy, worker)


def _disks(local: Sequence[Judged], of: int, policy: Policy, worker: Resource | None) -> Iterator[Finding]:
    """What becomes of protected servers that were made from an image."""
    stays = [one.server for one in local if disk_stays(one.server, policy.image_disks, one.aggregate)]
    if stays and policy.image_disks == TELL:
        mend = param(worker, image_disks=EVACUATE_DISKS) if worker else to_do("make the worker's resource first")
        yield Finding("image-disks", "Nova", f"{len(stays)} of {of} protected servers were made from an image, and nobody has said whether their "
                      f"hosts share their disks: {names(stays)}",
                      to_do("where they do (Ceph, NFS), or where a new disk from the image is better than none; else image_disks=leave; "
                            f"where some do, image_disks=shared, and {SHARED_DISKS}=true for the aggregates of these hosts:") + mend)
    elif stays:
        yield Finding("unprotected", f"image_disks={policy.image_disks}", f"{len(stays)} of {of} protected servers stay with their host "
                      f"(image_disks={policy.image_disks}): {names(stays)}", to_do("each server and its rule: instance-ha plan HOST"))
    elif policy.image_disks == EVACUATE_DISKS and local:
        yield Finding("local-disks", "Nova", f"{len(local)} of {of} protected servers were not booted from a volume: "
                      f"{names([one.server for one in local])}",
                      to_do("on a compute host: instance-ha doctor --only node tells whether its disks are shared"))


def disagreeing(aggregates: Sequence[Aggregate], tag: str) -> Iterator[Finding]:
    """Yield a finding for each two aggregates that share a host and disagree on protection."""
    words = {one.name: boolean(one.metadata[tag]) for one in aggregates if tag in one.metadata}
    for yes in (one for one in aggregates if words.get(one.name) is True):
        for no in (one for one in aggregates if words.get(one.name) is False):
            both = sorted(yes.hosts & no.hosts)
            if both:
                what = f"{yes.name} says {tag}={yes.metadata[tag]}, {no.name} {no.metadata[tag]}"
                yield Finding(
                    "aggregates-disagree", f"{yes.name}, {no.name}",
                    f"{what}; both have {some(both)}",
                    shell(f"openstack aggregate unset --property {tag} {shlex.quote(no.name)}"))


def hindrance(one: Judged, policy: Policy) -> str:
    """Why a protected server would not be evacuated, "" for nothing."""
    state = state_of(one.server)
    if one.tpm:
        return TPM
    if state.way == LEAVE:
        return f"is {state.name}"
    return f"is {state.name}, and recover_states does not name {state.word}" if state.word and state.word not in policy.recover else ""


def _by(pairs: Iterable[tuple[Server, str]]) -> dict[str, list[Server]]:
    found: dict[str, list[Server]] = {}
    for server, reason in pairs:
        found.setdefault(reason, []).append(server)
    return found


def _protect(policy: Policy, worker: Resource | None) -> Mend:
    if policy.selection.protect == "tagged" and worker:
        return to_do(f"opt servers in ({policy.selection.tag}=true: flavor, image, server), or protect all:") + param(worker, protect="all")
    return to_do("each server and its rule: instance-ha plan HOST")


def _recover(reason: str, policy: Policy, worker: Resource | None) -> Mend:
    word = reason.rpartition(" does not name ")[2]
    if word == reason or worker is None:
        return to_do("docs/states.md says what can be done")
    return to_do("if what it loses (docs/states.md) is acceptable:") + param(worker, recover_states=" ".join(sorted({*policy.recover, word})))


def names(servers: Sequence[Server]) -> str:
    return some(sorted(server.name for server in servers))
