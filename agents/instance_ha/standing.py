"""Pure: how the resources of a cluster stand: what runs, what has failed, and what could not be run."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NOT_INSTALLED = 5    # OCF's code of an agent that cannot be run on this machine
_OPERATION = re.compile(r"(.+)_(start|stop|monitor|notify|promote|demote|reload|reload-agent|migrate_to|migrate_from|on|off)_\d+")


@dataclass(frozen=True)
class Failure:
    """A failed action of a resource that Pacemaker remembers; and OCF's 190, degraded, which it shows in the same place. `code` is
    OCF's, None when there is none; `reason` the agent's words, or the name of the code."""

    resource: str
    action: str
    node: str
    code: int | None
    reason: str


@dataclass(frozen=True)
class Standing:
    """The nodes on which each active resource runs, by its id; the resources whose last action has failed; the failures; and
    the nodes that crm_mon calls online."""

    running: Mapping[str, frozenset[str]] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()
    failures: tuple[Failure, ...] = ()
    online: frozenset[str] = frozenset()


def read_standing(root: Any) -> Standing:
    """crm_mon's XML as a Standing."""
    running: dict[str, frozenset[str]] = {}
    failed = set()
    for resource in root.iterfind("resources//resource"):   # an instance of a clone has the name of the others
        name = resource.get("id", "").split(":")[0]
        if resource.get("active") == "true":
            running[name] = running.get(name, frozenset()) | {node.get("name", "") for node in resource.iterfind("node")}
        if resource.get("failed") == "true":
            failed.add(name)
    return Standing(running, frozenset(failed), tuple(_failure(found) for found in root.iterfind("failures/failure")),
                    frozenset(node.get("name", "") for node in root.iterfind("nodes/node") if node.get("online") == "true"))


def _failure(element: Any) -> Failure:
    key = _OPERATION.fullmatch(element.get("op_key") or element.get("id") or "")
    code = element.get("exitcode", "")
    reason = html.unescape(element.get("exitreason", ""))     # Pacemaker 2.1's crm_mon escapes it twice
    return Failure(key.group(1).split(":")[0] if key else "", key.group(2) if key else "", element.get("node", ""),
                   int(code) if re.fullmatch("[0-9]{1,9}", code) else None, reason or element.get("exitstatus") or "")


def not_installed(cib: Any, resource: str) -> dict[str, str]:
    """The nodes on which a resource's agent could not be run when Pacemaker last asked it, and why. crm_mon does not show that of a
    probe, whose place in the CIB is the status section."""
    found = {}
    for state in cib.iterfind("status/node_state"):
        for operation in state.iterfind(f"lrm/lrm_resources/lrm_resource[@id='{resource}']/lrm_rsc_op[@id='{resource}_last_0']"):
            if operation.get("rc-code") == str(NOT_INSTALLED):
                found[state.get("uname") or ""] = operation.get("exit-reason") or "not installed"
    return found
