#!/usr/bin/python3
"""Make the policy file that gives a role what Instance HA asks of a service, and no more.

    make.py SERVICE [--role NAME] [--old-defaults]

SERVICE is nova, placement, glance or cinder; the file goes to standard output. Run it with the
Python of the service's own API, which knows its release's policies; it needs nothing else:

    podman exec -i nova_api python3 - nova < make.py > policy.yaml

Nova, Glance and Cinder show and change what belongs to other projects only where their own
`context_is_admin` holds, which no other policy gives. So the role gets that, and every policy that
it would open is taken back, but for those in NEEDED.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

ROLE = "evacuator"
ADMIN = "role:admin"
IS_ADMIN = "context_is_admin"
GROUP = "oslo.policy.policies"
PACKAGES = {"placement": "openstack-placement"}
RULE = re.compile(r"rule:([\w:.-]+)")
# What the product asks for. A name that a release does not know is left out.
NEEDED = {
    "nova": (
        "os_compute_api:os-aggregates:index",
        "os_compute_api:os-admin-actions:reset_state",
        "os_compute_api:os-evacuate",
        "os_compute_api:os-extended-server-attributes",
        "os_compute_api:os-flavor-extra-specs:index",
        "os_compute_api:os-hypervisors:list-detail",
        "os_compute_api:os-instance-actions:events",
        "os_compute_api:os-instance-actions:events:details",
        "os_compute_api:os-instance-actions:list",
        "os_compute_api:os-instance-actions:show",
        "os_compute_api:os-lock-server:lock",
        "os_compute_api:os-lock-server:unlock",
        "os_compute_api:os-lock-server:unlock:unlock_override",
        "os_compute_api:os-migrations:index",
        "os_compute_api:os-migrations:index:all_projects",
        "os_compute_api:os-migrations:index:host",
        "os_compute_api:os-pause-server:pause",
        "os_compute_api:os-server-diagnostics",
        "os_compute_api:os-server-groups:index",
        "os_compute_api:os-server-groups:index:all_projects",
        "os_compute_api:os-server-groups:show",
        "os_compute_api:os-services:list",
        "os_compute_api:os-services:update",
        "os_compute_api:servers:allow_all_filters",
        "os_compute_api:servers:confirm_resize",
        "os_compute_api:servers:detail",
        "os_compute_api:servers:detail:get_all_tenants",
        "os_compute_api:servers:reboot",
        "os_compute_api:servers:show",
        "os_compute_api:servers:show:flavor-extra-specs",
        "os_compute_api:servers:start",
        "os_compute_api:servers:stop",
    ),
    "placement": (
        "placement:allocation_candidates:list",
        "placement:allocations:list",
        "placement:resource_providers:inventories:list",
        "placement:resource_providers:list",
    ),
    # Nova asks these two with the token of whoever evacuates, while the server is rebuilt.
    "glance": ("get_image", "download_image"),
    "cinder": (
        "volume:attachment_complete",
        "volume:attachment_create",
        "volume:attachment_delete",
        "volume:attachment_update",
        "volume:get",
    ),
}


class Defaults:
    """The default policies of one release of one service."""

    def __init__(self, rules: Sequence[Any], old: bool = False) -> None:
        self.rules = {rule.name: rule for rule in rules}
        self.old = old  # the release's deprecated defaults hold too: enforce_new_defaults=false
        checks = [one.check_str for rule in rules for one in (rule, rule.deprecated_rule) if one]
        self.bases = {
            found for text in checks for found in RULE.findall(text)
        }  # what other policies are made of

    def _both(self, name: str) -> list[str]:
        rule = self.rules[name]
        deprecated = rule.deprecated_rule.check_str if rule.deprecated_rule and self.old else ""
        return [rule.check_str, *([deprecated] if deprecated not in ("", rule.check_str) else [])]

    def check_of(self, name: str) -> str:
        """The policy's default check."""
        both = self._both(name)
        return both[0] if len(both) == 1 else " or ".join(f"({one})" for one in both)

    def means_admin(self, name: str) -> bool:
        """Whether whoever is admin by context_is_admin passes this check for that."""
        text = self.check_of(name)
        return "is_admin:True" in text or any(
            found == IS_ADMIN or (found in self.rules and found != name and self.means_admin(found))
            for found in RULE.findall(text)
        )

    def without(self, name: str) -> str:
        """The policy's default check, for those alone who have the admin role."""
        admin = self.rules[IS_ADMIN].check_str if IS_ADMIN in self.rules else ADMIN

        def put(found: re.Match[str]) -> str:
            base = found.group(1)
            if base == IS_ADMIN:
                return admin
            return (
                f"({self.without(base)})"
                if base in self.rules and base != name and self.means_admin(base)
                else found.group(0)
            )

        return RULE.sub(put, self.check_of(name)).replace("is_admin:True", admin)


def policy(service: str, defaults: Defaults, role: str = ROLE) -> Iterator[tuple[str, str]]:
    """The lines of the file: each policy that is not as it is by default, and its check."""
    needed = set(NEEDED[service])
    if IS_ADMIN not in defaults.rules:
        yield from (
            (name, f"({defaults.check_of(name)}) or role:{role}")
            for name in sorted(needed & set(defaults.rules))
        )
        return
    yield IS_ADMIN, f"{defaults.rules[IS_ADMIN].check_str} or role:{role}"
    for name in sorted(defaults.rules):
        if name not in needed and name not in defaults.bases and defaults.means_admin(name):
            yield name, defaults.without(name)


def text(
    service: str, rules: Sequence[Any], version: str, role: str = ROLE, old: bool = False
) -> str:
    """The whole file."""
    defaults = Defaults(rules, old)
    kept = [name for name in NEEDED[service] if name in defaults.rules]
    head = textwrap.wrap(
        f"Policy of {service} for the role {role} of Instance HA, made by make.py beside it from "
        f"the defaults of {service} {version}{', the deprecated ones too' if old else ''}. Make it "
        "anew for another release, and merge it "
        "with the policy file that you have. Of what is an administrator's the role may use only:",
        98,
    )
    body = [f'"{name}": {quoted(check)}' for name, check in policy(service, defaults, role)]
    return (
        "\n".join([*(f"# {line}" for line in head), *(f"#   {name}" for name in kept), *body])
        + "\n"
    )


def quoted(check: str) -> str:
    """A check as a string of YAML."""
    return '"' + check.replace("\\", "\\\\").replace('"', '\\"') + '"'


def defaults_of(service: str) -> Sequence[Any]:
    """The policies that the installed service registers. Raises SystemExit where it is not there."""
    found: Mapping[str, Any] | Any = metadata.entry_points()
    points = found.select(group=GROUP) if hasattr(found, "select") else found.get(GROUP, ())
    for point in points:
        if point.name == service:
            return list(point.load()())
    raise SystemExit(
        f"make.py: {service} is not installed for {sys.executable}; "
        f"run this with the Python of {service}'s API"
    )


def main() -> None:
    """Write the file to standard output."""
    parser = argparse.ArgumentParser(
        prog="make.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("service", choices=sorted(NEEDED))
    parser.add_argument("--role", default=ROLE)
    parser.add_argument(
        "--old-defaults",
        action="store_true",
        help="where enforce_new_defaults is false, as it was before Nova 27",
    )
    args = parser.parse_args()
    rules = defaults_of(args.service)
    version = metadata.version(PACKAGES.get(args.service, args.service))
    sys.stdout.write(text(args.service, rules, version, args.role, args.old_defaults))


if __name__ == "__main__":
    main()
