"""Pure: from what a cluster is configured to be, and what a person wants protected, to the changes that are missing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..configuration import NAME, Configuration, Level, Node, Resource
from ..model import HELD, RECORD, TRUE
from ..properties import CONCURRENT_FENCING, FENCING_ENABLED
from . import holdback, identity, parameters
from .banned import is_banned, is_left_out, is_shut_out, weight
from .changes import Ban, Change, Create, Delete, SetAttribute, SetLevels, SetProperties, Update, default
from .powering import (
    FENCE_NOVA,
    OLD,
    best_levels,
    devices_of,
    fault_of,
    fenced_as_computes,
    fencers_of,
    forced,
    has_list,
    host_list,
    host_map,
    names_node,
    wanted_levels,
)

NOVA_EVACUATE = "ocf:openstack:NovaEvacuate"
ROLE, COMPUTE = "osprole", "compute"
AT_ONCE = "at_once"
FORGET = {"failure-timeout": "60s"}    # else a start that failed keeps it off the host for ever
CONNECT_LIMIT = 20.0         # seconds that the start of a remote's connection may take without holding up the fencing of others for long
UNFENCED = "Pacemaker unfences every compute host anew for it, and restarts nova-compute there once; servers run on"
ONCE = {"interval": "60s", "timeout": "30s", "on-fail": "ignore"}


@dataclass(frozen=True)
class Wish:
    """What a person wants. `hosts` are nodes of the cluster. `cloud` is an entry of clouds.yaml, "" for the one that is configured.
    `nova_compute` is the agent to start nova-compute with where no resource does, "" where it is not to be Pacemaker's; `unseen`: it
    is not installed on this node. `migrate`: replace fence_compute, and credentials in the configuration. `image_disks` is the worker's
    parameter, "" for not said. `capable`: by node, the devices that the fencer says can fence it, for nodes that no device names."""

    hosts: tuple[str, ...]
    cloud: str = ""
    nova_compute: str = "systemd:nova-compute"
    unseen: bool = False
    migrate: bool = False
    image_disks: str = ""
    capable: Mapping[str, Collection[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A change, and why. `restarts`: nova-compute is restarted on every compute host for it."""

    why: str
    change: Change
    restarts: bool = False


@dataclass(frozen=True)
class Proposal:
    """The steps that are missing, in order; what keeps all of them from being taken; what a person should know besides."""

    steps: tuple[Step, ...] = ()
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    elsewhere: bool = False
    dropped: tuple[str, ...] = ()


def propose(has: Configuration, wish: Wish) -> Proposal:
    """What this cluster lacks. There are no steps when there are faults."""
    return _Proposer(has, wish).proposal()


def is_nova_compute(resource: Resource) -> bool:
    """Whether a resource starts nova-compute, under whatever unit's or agent's name."""
    return not resource.device and bool(re.search(r"nova[-_]?compute(?!.*wait)", resource.type, re.IGNORECASE))


def to_protect(has: Configuration, told: Iterable[str]) -> set[str]:
    """Return which of the nodes that Nova has compute services for are hosts to protect.

    A controller may have one too, such as Ironic's: a member among others that are fenced as
    compute hosts, or that are remote nodes, is none. The attribute osprole decides where it is set.
    Pacemaker does not fence a guest node, but restarts its machine.
    """
    nodes = {name for name in told if name in has.nodes and not has.nodes[name].guest}
    fenced = set(fenced_as_computes(has))
    roles = {name: has.nodes[name].attributes.get(ROLE) for name in nodes}
    apart = bool(fenced) or any(has.nodes[name].remote for name in nodes)
    return {name for name in nodes if name in fenced or roles[name] == COMPUTE
            or (roles[name] is None and (has.nodes[name].remote or not apart))}


def is_converged(has: Configuration, hosts: Collection[str]) -> bool:
    """Return whether every member is a compute host, so that NovaEvacuate has to run on such."""
    members = [name for name, node in has.nodes.items() if not node.remote]
    return bool(members) and all(name in hosts for name in members)


class _Proposer:
    def __init__(self, has: Configuration, wish: Wish) -> None:
        self.has, self.wish = has, wish
        self.novas = has.of_type(f"stonith:{FENCE_NOVA}")
        self.old = [resource for resource in has.resources.values() if resource.device and resource.type in OLD]
        self.evacuates = has.of_type(NOVA_EVACUATE)
        self.computes = [resource for resource in has.resources.values() if is_nova_compute(resource)]
        at_once = any(device.params.get("let_in") == AT_ONCE for device in self.novas)
        self.elsewhere = not wish.nova_compute or (not self.computes and at_once)
        self.marked = {name: self._marked(has.nodes[name]) for name in has.nodes}
        hosts = {*wish.hosts, *(name for name, node in has.nodes.items() if node.attributes.get(ROLE) == COMPUTE)}
        self.hosts, self.others = sorted(hosts), sorted({*has.nodes} - hosts)
        self.opt_in = not has.properties.is_true("symmetric-cluster")
        self.members = [name for name, node in has.nodes.items() if not node.remote]
        self.converged = is_converged(has, self.hosts)
        self.needs_role = False
        self.dropped: list[str] = []
        self.kept: list[str] = []
        self.nova = self.novas[0].id if self.novas else self._free("fence-nova")
        self.pointer = identity.identity([*self.novas, *self.evacuates], wish.cloud)
        self.shared = identity.shared([*self.evacuates, *self.novas, *self.old])

    def proposal(self) -> Proposal:
        faults = tuple(self._faults())
        if faults:
            return Proposal(faults=faults)
        placed = [*self._device_place(), *self._compute(), *self._evacuate()]
        steps = [*self._defaults(), *self._device(), *self._remotes(), *self._role(), *self._levels(), *self._properties(), *placed, *self._gone()]
        return Proposal(tuple(steps), (), tuple(self._notes()), self.elsewhere, tuple(self.dropped))

    def _marked(self, node: Node) -> Node:
        return node.having(**{ROLE: COMPUTE}) if node.name in self.wish.hosts else node

    def _free(self, wanted: str) -> str:
        names = [wanted, *(f"{wanted}{number}" for number in range(2, 100))]
        return next(name for name in names if not {name, f"{name}-clone", f"{name}-place"} & self.has.ids)

    # What stands in the way

    def _faults(self) -> Iterable[str]:
        for host in self.wish.hosts:
            fault = fault_of(self.has, host, self.wish.capable, self.wish.migrate)
            role = self.has.nodes[host].attributes.get(ROLE, COMPUTE)
            if fault:
                yield fault
            if role != COMPUTE:
                yield f"{host}: its node attribute {ROLE} is {role}: is it a compute host? Name those that are to be protected with --hosts"
        if self.converged and len(self.members) < 2:
            yield "the only member is a compute host: when it dies, no NovaEvacuate is left: name those that are to be protected with --hosts"
        if not self.wish.nova_compute and self.computes:
            yield f"nova-compute is Pacemaker's here ({self.computes[0].id}): leave --no-nova-compute out, or delete that resource"
        yield from self._shut_out()
        yield from identity.faults(self.novas, self.evacuates, self.wish.cloud, self.wish.migrate)

    def _shut_out(self) -> Iterable[str]:
        """Yield what constraints keep off every node on which it may be, which no step undoes."""
        nodes = [self.marked[name] for name in self._controllers]
        for resource in (*fencers_of(self.has, self.wish.hosts, self.wish.capable), *self.evacuates):
            if resource not in self.old and is_shut_out(self.has, resource, nodes):
                yield (f"{resource.id} may run on none of {', '.join(self._controllers)}: see its "
                       "constraints: pcs constraint location")

    # The steps

    def _credentials(self, agent: Resource) -> dict[str, str]:
        wanted = identity.changes_of(agent, self.pointer, self.wish.migrate)
        if "" in wanted.values():
            self.dropped.append(f"{agent.id}: {', '.join(identity.credentials_in(agent))}")
        return wanted

    def _defaults(self) -> Iterable[Step]:
        if "resource-stickiness" not in {*self.has.defaults, *self.has.dated}:
            yield Step("without stickiness Pacemaker moves the worker and the remotes' connections when it places others anew",
                       default(self.has, "resource-stickiness", "100"))

    def _device(self) -> Iterable[Step]:
        if not self.novas:
            given = {**self.pointer, **self.shared, **self._targets(), "pcmk_action_limit": "-1", "let_in": AT_ONCE}
            yield Step(f"fence_nova puts each fencing on record; it fences these hosts and no controller. {UNFENCED}", Create(
                self.nova, f"stonith:{FENCE_NOVA}", given, {"monitor": ONCE}, {"provides": "unfencing", "failure-timeout": "60s"}), True)
        for device in self.novas:
            wanted = self._credentials(device)
            users = [h for h in self.wish.hosts if any(device.id in level.devices for level in self.has.levels_of(h))]
            lacking = [h for h in (self.wish.hosts if device.id == self.nova else users) if not names_node(device, h) and (
                h in users or not any(names_node(other, h) for other in self.novas))]
            if lacking:
                wanted["pcmk_host_list"] = " ".join([*host_list(device), *lacking])
            if device.params.get("pcmk_action_limit") != "-1":
                wanted["pcmk_action_limit"] = "-1"
            if device.params.get("let_in") != AT_ONCE:
                wanted["let_in"] = AT_ONCE
            meta = {} if device.forgets_failures else dict(FORGET)
            if device.meta.get("provides", "").lower() != "unfencing":
                meta["provides"] = "unfencing"
            monitor = device.operations.get("monitor", {})
            ignored = device.option("monitor", "on-fail") == "ignore"
            operations = {} if ignored else {"monitor": {**ONCE, **monitor, "on-fail": "ignore"}}
            if wanted or meta or operations:
                again = bool(wanted or "provides" in meta)
                yield Step(f"{device.id} fences each of these hosts, several at once, unfences them, and is not banned when Nova is away"
                           + (f". {UNFENCED}" if again else ""), Update(device.id, True, wanted, operations, meta, device.operations), again)

    def _targets(self) -> dict[str, str]:
        """Whom a new fence_nova is for. Where fence_compute had other names for the nodes, they are Nova's names of its hosts."""
        mapped = {node: host for device in self.old for node, host in host_map(device).items() if node in self.wish.hosts}
        listed = [host for host in self.wish.hosts if host not in mapped]
        return {**({"pcmk_host_list": " ".join(listed)} if listed else {}),
                **({"pcmk_host_map": ";".join(f"{node}:{host}" for node, host in mapped.items())} if mapped else {})}

    def _remotes(self) -> Iterable[Step]:
        for host in self.wish.hosts:
            remote = self.has.resources.get(host)
            start = remote.operations.get("start", {}) if remote and self.has.nodes[host].remote else {}
            if remote and (remote.time("start", "timeout") or 0) > CONNECT_LIMIT:
                yield Step(f"while Pacemaker tries to connect to {host} it begins nothing else, not even the fencing of a second host",
                           Update(host, False, operations={"start": {**start, "timeout": "15"}}, had=remote.operations))

    def _role(self) -> Iterable[Step]:
        for host in self.wish.hosts if self.needs_role else ():
            if ROLE not in self.has.nodes[host].attributes:
                yield Step(f"{host} is a compute host, to the constraints", SetAttribute(host, ROLE, COMPUTE))

    def _levels(self) -> Iterable[Step]:
        before: list[Level] = []
        after: list[Level] = []
        hosts = []
        for host in self.wish.hosts:
            now, wanted = best_levels(self.has, host), wanted_levels(self.has, host, self.wish.capable, self.nova)
            if now != wanted:
                hosts.append(host)
                before += [level for level in now if level.kind == NAME and level.target == host]
                after += wanted
        if hosts:
            others = [level for level in self.has.levels if level not in before]
            words = forced(self.has, (device for level in after for device in level.devices))
            yield Step(f"{', '.join(hosts)}: the power device first, then fence_nova, which cuts no power",
                       SetLevels(before, after, others, words))

    def _properties(self) -> Iterable[Step]:
        have = self.has.properties
        lacking = [name for name in (FENCING_ENABLED, CONCURRENT_FENCING) if not have.is_true(name)]
        wanted = {have.name(name): "true" for name in lacking}
        if not have.value("load-threshold"):
            wanted["load-threshold"] = "1000%"
        if wanted:
            yield Step("fencing is on, of several hosts at once, and a controller with much to do does not delay it", SetProperties(wanted))

    def _device_place(self) -> Iterable[Step]:
        members = [host for host in self.hosts if not self.has.nodes[host].remote]
        for device in self.novas or [Resource(self.nova, f"stonith:{FENCE_NOVA}")]:
            if not self.converged:
                yield from self._place(device, members, [ROLE, "eq", COMPUTE], f"{device.id} and its credentials stay off the compute hosts", True)
            yield from self._allow(device, self._controllers)
        for resource in fencers_of(self.has, [*self.members, *self.wish.hosts], self.wish.capable):
            if resource not in (*self.novas, *self.old):
                yield from self._allow(resource, self._controllers)

    def _compute(self) -> Iterable[Step]:
        if self.elsewhere:
            return
        rule = [ROLE, "ne", COMPUTE] if any(ROLE in self.has.nodes[name].attributes for name in self.others) else ["not_defined", ROLE]
        for resource in self.computes:
            requires = resource.meta.get("requires") or self.has.defaults.get("requires") or ""
            if requires.lower() != "unfencing":
                yield Step(f"{resource.id} does not start on a host that is back before its old servers have been moved",
                           Update(resource.id, False, meta={"requires": "unfencing"}), True)
            if not resource.forgets_failures:
                yield Step(f"{resource.id} is started again where a start of it has failed once",
                           Update(resource.id, False, meta=FORGET))
            if resource.within:
                yield from self._place(resource, self.others, rule, f"{resource.outermost} runs on compute hosts only")
            yield from self._allow(resource, self.wish.hosts)
            yield from self._hold_back(resource)
        if not self.computes:
            name = self._free("nova-compute")
            patience = {"timeout": "120s"}
            yield Step("Pacemaker starts nova-compute, and not before the old servers of its host have been moved: systemctl disable it on the hosts",
                       Create(name, self.wish.nova_compute, {}, {"start": patience, "stop": patience, "monitor": {"interval": "60s"}},
                              {"requires": "unfencing", **FORGET}, {"interleave": "true"}, self.wish.unseen), True)
            made = Resource(name, self.wish.nova_compute, within=(f"{name}-clone",))
            yield from self._place(made, self.others, rule, f"{name}-clone runs on compute hosts only")
            yield from self._allow(made, self.wish.hosts)
            yield from self._hold_back(made)

    def _hold_back(self, resource: Resource) -> Iterable[Step]:
        attribute = self.shared.get("evacuate_attribute", RECORD)
        for hold, why in ((holdback.HOLD_BACK, f"{resource.outermost} starts on no host whose evacuation is not over"),
                          (holdback.STOPPED, f"the worker can have {resource.outermost} started once more, where Nova needs that")):
            if hold.is_missing(self.has, resource, self.wish.hosts, attribute):
                yield Step(why, Ban(self._free(hold.id(resource)), resource.outermost, hold.rule(attribute), True, hold.score))

    def _evacuate(self) -> Iterable[Step]:
        usual = {"interval": "10s", "timeout": "20s"}
        for resource in self.evacuates:
            wanted = {**self._credentials(resource), **parameters.changes_of(resource, self.wish.migrate, self.wish.image_disks)}
            monitor = resource.operations.get("monitor", {})
            operations = {"monitor": {**monitor, **usual}} if self.wish.migrate and (resource.time("monitor", "timeout") or 0) > 60 else {}
            meta = {} if resource.forgets_failures else FORGET
            if wanted or operations or meta:
                yield Step(f"{resource.id}: a worker evacuates, so that its monitor is short, and a failure of it is forgotten after a minute",
                           Update(resource.id, False, wanted, operations, meta, resource.operations))
        found = self.evacuates
        if not found:
            new = Resource(self._free("nova-evacuate"), NOVA_EVACUATE)
            told = {**self.pointer, **self.shared, **parameters.changes_of(new, self.wish.migrate, self.wish.image_disks)}
            yield Step("NovaEvacuate's worker evacuates, on one of the controllers", Create(
                new.id, NOVA_EVACUATE, told, {"monitor": usual}, {"failure-timeout": "60s"}))
            found = [new]
        apart = [name for name in self.hosts if not self.converged or self.has.nodes[name].remote]
        rule = ["#kind", "eq", "remote"] if self.converged else [ROLE, "eq", COMPUTE]
        for resource in found:
            where = "remote node" if self.converged else "compute host"
            yield from self._place(resource, apart, rule, f"{resource.outermost} runs on no {where}")
            yield from self._allow(resource, self._controllers)
            if self.converged:
                yield from self._aside(resource)

    @property
    def _controllers(self) -> list[str]:
        """Where NovaEvacuate and fence_nova may run."""
        return self.members if self.converged else self.others

    def _allow(self, resource: Resource, nodes: Sequence[str]) -> Iterable[Step]:
        """Let a resource run on nodes, where the cluster lets it run nowhere else."""
        there = [self.marked[name] for name in nodes]
        if not any(is_left_out(self.has, resource, node) for node in there):
            return
        # Of controllers one is enough, and a person's choice.
        banned = all(is_banned(self.has, resource, node) for node in there)
        if not banned and nodes is not self.wish.hosts:
            return
        if nodes is self.members:
            rule = ["#kind", "eq", "cluster"]
        else:
            self.needs_role = True
            rule = [ROLE, "eq" if nodes is self.wish.hosts else "ne", COMPUTE]
        yield Step(f"{resource.outermost} may run there, in this cluster in which nothing may run where nothing says so",
                   Ban(self._free(f"{resource.outermost}-allowed"), resource.outermost, rule, True, "0"))

    def _aside(self, worker: Resource) -> Iterable[Step]:
        """Prefer hosts that are not on record, where every member is a compute host."""
        mark = HELD.format(self.shared.get("evacuate_attribute", RECORD))
        node = self.has.nodes[self.members[0]]
        if weight(self.has, worker, node.having(**{mark: TRUE})) >= weight(self.has, worker, node):
            yield Step(f"{worker.outermost} runs beside servers here, and rather on a host whose evacuation is over",
                       Ban(self._free(f"{worker.outermost}-aside"), worker.outermost, ["not_defined", mark], True, "1000"))

    def _place(self, resource: Resource, nodes: Sequence[str], rule: list[str], why: str, discovery: bool = False) -> Iterable[Step]:
        """What keeps a resource off nodes, where nothing does."""
        if all(is_banned(self.has, resource, self.has.nodes[name]) for name in nodes):
            return
        self.needs_role = True
        if not all(is_banned(self.has, resource, self.marked[name]) for name in nodes):
            yield Step(why, Ban(self._free(f"{resource.outermost}-place"), resource.outermost, rule, discovery))

    def _gone(self) -> Iterable[Step]:
        if not self.wish.migrate:
            return
        for device in self.old:
            users = {level.target for level in self.has.levels if device.id in level.devices} - {*self.wish.hosts}
            if users:
                self.kept.append(f"{device.id} ({device.type}) stays: a level for {', '.join(sorted(users))} names it")
            else:
                self.dropped.append(f"{device.id}: {', '.join(identity.credentials_in(device))}")
                yield Step(f"{device.id} ({device.type}) is in no level any more", Delete(device.id, True))
        for resource in self.has.resources.values():
            if resource.type == "nova-compute-wait":
                yield Step(f"{resource.id} waits for a mark that nobody sets any more; unfencing takes its place", Delete(resource.id, False))

    def _notes(self) -> Iterable[str]:
        yield from self.kept
        if not (self.evacuates or self.wish.image_disks or self.wish.migrate):
            yield parameters.UNSAID
        if self.converged:
            yield "every member is a compute host: NovaEvacuate and fence_nova run there, and need their credentials on each"
        for name in self.others:
            node = self.has.nodes[name]
            if not node.remote and not self.has.levels_of(name) and not devices_of(self.has, name, self.wish.capable):
                yield f"{name} has no fence device: when it dies, nothing that ran on it is started elsewhere, the worker neither"
        for resource in (*self.novas, *self.evacuates, *self.computes):
            if resource.disabled:
                yield f"{resource.id} is disabled (target-role=Stopped), and is left so"
            if identity.credentials_in(resource) and not self.wish.migrate:
                yield f"{resource.id} has its credentials in the cluster's configuration: --migrate --cloud NAME puts cloud= in their place"
        for resource in self.computes:
            if resource.type == "NovaCompute":
                yield f"{resource.id} is the old agent NovaCompute: docs/migration.md says what takes its place"
        for device in self.novas:
            if not has_list(device) and device.id != self.nova:
                yield f"{device.id} has no pcmk_host_list: Pacemaker then unfences controllers too"
