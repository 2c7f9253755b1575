"""Looking at the cluster, the cloud and this node, each for itself: what one cannot tell does not keep the others from it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from .. import configuration, credentials, params
from ..cib import parse_cib, read_cib
from ..cluster import Cluster
from ..configuring.identity import listed_hosts
from ..configuring.powering import fenced_as_computes
from ..configuring.provisioning import NOVA_EVACUATE, to_protect
from ..engine.naming import is_listed
from ..engine.selection import policy_from
from ..errors import CloudError, ClusterError, ConfigurationError, HostError, InstanceHaError
from ..model import FenceEvent
from ..standing import Standing, not_installed
from . import basics, cloud, levels, node, remotes, servers, trials, unfencing, worker
from .asking import Cloud, Reader
from .examine import Examiner, Facts
from .finding import Finding, to_do
from .inspection import Inspected
from .kinds import CLOUD, NODE, PACEMAKER
from .scene import Scene, guessed
from .trials import Trial

Values = Mapping[str, str]
SUBJECTS = (basics, levels, unfencing, worker, remotes)


@dataclass(frozen=True)
class Known:
    """The cluster, of which the compute hosts are not known yet, and this node's name in it."""

    scene: Scene
    here: str


@dataclass
class Report:
    """What was found, and what cannot be seen from here at all."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    here: str = "this node"
    facts: Facts | None = None
    sources: list[str] = field(default_factory=list)    # the files that credentials come from


class Visit:
    """One look at some areas. `by_hand` gives the parameters of the cloud that a person has named, None when none is; `elsewhere`
    those of the environment, where the cluster names no cloud, and raises ConfigurationError where there are none."""

    def __init__(self, areas: frozenset[str], by_hand: Callable[[], Values] | None, elsewhere: Callable[[], Values],
                 cluster: Cluster | None = None, examiner: Examiner | None = None) -> None:
        self.areas, self.by_hand, self.elsewhere = areas, by_hand, elsewhere
        self.cluster, self.examiner = cluster or Cluster(), examiner or Examiner()
        self.report = Report()

    def look(self) -> Report:
        """Raises ClusterError or HostError when Pacemaker is to be looked at and cannot be, ConfigurationError when there is no cloud."""
        known = self._known()
        seen, domain = self._cloud(known) if CLOUD in self.areas else (None, "")
        if known:
            scene = known.scene
            told = cloud.hosts_of(scene.view, seen.services, domain) if seen else guessed(scene.has)
            computes = to_protect(scene.has, told) | {*fenced_as_computes(scene.has)}
            wanted = listed_hosts([*scene.workers, *scene.recorders])
            if wanted:
                names = told if isinstance(told, Mapping) else {}
                there = {name for name in {*told, *computes} & {*scene.has.nodes}
                         if not scene.has.nodes[name].guest}
                computes = {name for name in there if is_listed(wanted, name, names.get(name))}
            apart = {*told} & {*scene.has.nodes} - computes if seen and not wanted else set()
            self.report.findings += levels.unprotected(scene.has, sorted(apart))
            known = Known(replace(scene, computes=tuple(sorted(computes))), known.here)
            if PACEMAKER in self.areas:
                self.report.findings += self._pacemaker(known.scene)
        if NODE in self.areas:
            self._node(known)
        return self.report

    def _known(self) -> Known | None:
        try:
            root = parse_cib(self.cluster.cib())
            self.report.here = self.cluster.local_node()
        except (ClusterError, HostError):
            if PACEMAKER in self.areas:
                raise
            self.report.notes.append("the cluster: Pacemaker cannot be asked on this machine")
            return None
        has = configuration.read(root)
        first = next(iter(has.of_type(NOVA_EVACUATE)), None)
        view = read_cib(root, (first and first.params.get("evacuate_attribute")) or self.cluster.attribute)
        return Known(Scene(has, view, (), unable=not_installed(root, first.id) if first else {}), self.report.here)

    def _pacemaker(self, scene: Scene) -> Iterator[Finding]:
        standing: Standing | None = None
        events: dict[str, list[FenceEvent]] = {}
        try:
            standing = self.cluster.standing()
            events = {name: self.cluster.history(name) for name in scene.computes}
        except (ClusterError, HostError) as error:
            yield Finding("unseen", "cluster", f"what runs, and what was fenced: {error}", to_do("crm_mon -1rf; stonith_admin --history '*'"))
        unsure = [name for name in scene.computes for level in scene.levels(name) for device in level.devices
                  if device in scene.has.resources and scene.covers(scene.has.resources[device], name) is None]
        capable = {name: frozenset(self.cluster.capable_of(name)) for name in dict.fromkeys(unsure)}
        scene = replace(scene, standing=standing, events=events, capable={name: found for name, found in capable.items() if found})
        found = [one for subject in SUBJECTS for one in subject.check(scene)]
        yield from unfencing.explained(found)

    def _cloud(self, known: Known | None) -> tuple[Cloud | None, str]:
        """The cloud, None when it could not be read; and the parameter domain."""
        here = known.scene.has.nodes.get(known.here) if known else None
        if here and here.remote and not self.by_hand:
            self.report.notes.append("the cloud: compute hosts have no credentials; run instance-ha doctor on a controller")
            return None, ""
        tried = list(self._trials(known))
        self.report.findings += trials.check([trial for trial, _ in tried])
        self.report.sources = list(_sources([trial for trial, _ in tried]))
        nova = next((nova for _, nova in tried if nova is not None), None)
        # What counts for the selection of servers are the worker's parameters, whoever's credentials work.
        values = next((trial.values for trial, _ in tried if "protect" in trial.values), params.resolve(params.of(params.OCF), {}))
        seen = self._read(nova, values)
        if seen is None:
            self.report.findings.append(Finding("unseen", "cloud", "nothing of the cloud was looked at"))
            return None, ""
        resources = [trial.resource for trial, _ in tried if trial.resource]
        scene = known.scene if known else None
        meant = fenced_as_computes(scene.has) if scene else ()
        self.report.findings += cloud.check(seen, scene.view if scene else None, meant, values["domain"], resources)
        tag = policy_from(values).selection.tag
        self.report.findings += servers.disagreeing(seen.aggregates or (), tag)
        if seen.servers is not None:
            self.report.findings += servers.check(seen.servers, policy_from(values), next(iter(scene.workers), None) if scene else None)
        return seen, values["domain"]

    def _read(self, nova: Inspected | None, values: Values) -> Cloud | None:
        try:
            return Reader(nova, policy_from(values).selection).read() if nova else None
        except CloudError as error:
            self.report.findings.append(Finding("cloud-away", "Nova", str(error), to_do("see to Nova; the request is in its log")))
            return None

    def _trials(self, known: Known | None) -> Iterator[tuple[Trial, Inspected | None]]:
        """Each agent asks Nova, with its own parameters and not with those of the person's environment."""
        agents = worker.agents(known.scene) if known else []
        if self.by_hand or not agents:
            yield _try(Trial(None, (self.by_hand or self.elsewhere)()))
            return
        for resource, agent in agents:
            try:
                values = worker.values_of(resource, agent)
            except ConfigurationError:
                continue   # told of as parameter-wrong
            yield _try(Trial(resource, values))

    def _node(self, known: Known | None) -> None:
        report, scene = self.report, known.scene if known else None
        first = next(iter(scene.workers), None) if scene else None
        name = first.id if first else ""
        compute = scene is not None and report.here in scene.computes
        openrcs = [found for resource, _ in worker.agents(scene) if (found := resource.params.get("openrc"))] if scene else []
        report.facts = self.examiner.look(not compute, compute, name, openrcs)
        report.findings += node.check(report.facts, report.here, name, bool(scene and scene.nova_computes))
        if scene is None:
            return
        others = [name for name, one in scene.has.nodes.items() if name not in scene.computes and not one.remote and name != report.here]
        hosts = [name for name in scene.computes if name != report.here]
        if others:
            report.notes.append(f"the agents on {', '.join(others)}: run there instance-ha doctor --only node, and compare the version and the sum")
        if hosts:
            report.notes.append(f"nova-compute's settings and unit on {', '.join(hosts)}: there, if it is installed, instance-ha doctor --only node")


def _sources(those: Iterable[Trial]) -> Iterator[str]:
    """Say for each agent that has a file with its credentials which one that is here."""
    for trial in those:
        with contextlib.suppress(HostError):    # that there is none is a finding already
            if path := credentials.source(trial.values):
                yield f"credentials of {trial.name}: {path}"


def _try(trial: Trial) -> tuple[Trial, Inspected | None]:
    try:
        nova = credentials.connect_by(Inspected, trial.values)
        nova.services()
    except InstanceHaError as error:
        return replace(trial, error=error), None
    return trial, nova
