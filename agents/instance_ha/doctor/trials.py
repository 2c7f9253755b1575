"""Pure: whether the credentials of each agent work."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..configuration import Resource
from ..configuring.identity import credentials_in
from ..errors import FORBIDDEN, NOT_ACCEPTABLE, CloudRefused, CloudUnreachable, InstanceHaError
from .finding import Finding, Mend, param, some, to_do

_REQUEST = re.compile(r"req-[\w-]+")    # of each request another
REFUSALS = {FORBIDDEN: "policy", NOT_ACCEPTABLE: "nova-old"}


@dataclass(frozen=True)
class Trial:
    """An agent's attempt to ask Nova: its resource (None: this command with --os-cloud or the environment), its parameters, and
    what went wrong, None for nothing."""

    resource: Resource | None
    values: Mapping[str, str]
    error: InstanceHaError | None = None

    @property
    def name(self) -> str:
        return self.resource.id if self.resource else "instance-ha"


def check(trials: Sequence[Trial]) -> Iterator[Finding]:
    """One finding for each thing that went wrong, however many agents it happened to."""
    works = next((trial for trial in trials if trial.error is None and trial.values["cloud"]), None)
    failed: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.error is not None:
            failed.setdefault(_REQUEST.sub("", str(trial.error)), []).append(trial)
    for those in failed.values():
        yield Finding(_kind(those[0].error), some(trial.name for trial in those), str(those[0].error), _mend(those, works))


def _kind(error: InstanceHaError | None) -> str:
    if isinstance(error, CloudUnreachable):
        return "cloud-away"
    return REFUSALS.get(error.status, "credentials") if isinstance(error, CloudRefused) else "credentials"


def _mend(trials: Sequence[Trial], works: Trial | None) -> Mend:
    kind, values = _kind(trials[0].error), trials[0].values
    if kind == "nova-old":
        return to_do("Nova has to be Train (20) or newer")
    if kind == "policy":
        return to_do('give the user what docs/operations.md names under "What the OpenStack user needs"')
    resources = [trial.resource for trial in trials if trial.resource]
    if works and resources:
        mend = to_do(f"those of {works.name} work; the same for {some(resource.id for resource in resources)}:")
        for resource in resources:
            mend += param(resource, **{**dict.fromkeys(credentials_in(resource), ""), **({"openrc": ""} if resource.params.get("openrc") else {}),
                                       "cloud": works.values["cloud"]})
        return mend
    if kind == "cloud-away":
        return to_do("see to Keystone and Nova, and to the way there from this node: openstack compute service list")
    if values["cloud"]:
        return to_do(f"correct the entry {values['cloud']} of /etc/openstack/clouds.yaml on every controller; try it with: "
                     f"openstack --os-cloud {values['cloud']} compute service list")
    if values["openrc"]:
        return to_do(f"correct {values['openrc']} on every controller")
    return to_do("correct auth_url, username, password and tenant_name; best in /etc/openstack/clouds.yaml on every controller, with cloud= instead")
