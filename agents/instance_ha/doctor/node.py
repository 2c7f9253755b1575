"""Pure: what was read of this node, judged."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from ..params import boolean
from .examine import Compute, Facts
from .finding import Finding, shell, some, to_do, tools

PYTHON = (3, 9)
LEAST = {"keystoneauth1": (4, 3), "lxml": (4, 6), "openstacksdk": (0, 55)}
MIB = 1 << 20
FREE = {"pacemaker": 50 * MIB, "resource-agents": MIB, "log": 20 * MIB}     # by the last part of the path
FILES = 100                # fewest files that can still be made
SETTLED = 2.0              # seconds between installing and starting that mean nothing
SHARED = frozenset(("nfs", "nfs4", "ceph", "fuse.ceph", "fuse.ceph-fuse", "glusterfs", "fuse.glusterfs", "gpfs", "lustre", "gfs2", "ocfs2", "cifs",
                    "smb3", "fuse.quobyte", "beegfs"))


def check(facts: Facts, node: str, worker: str, managed: bool) -> Iterator[Finding]:
    """All of them. `node` is this node's name, `worker` the resource of NovaEvacuate; `managed`: Pacemaker starts nova-compute."""
    if not facts.root:
        yield Finding("not-root", node, "this was not run as root", to_do("run it as root"))
    yield from _agents(facts, node)
    yield from _files(facts, node)
    if facts.since is not None and facts.installed > facts.since + SETTLED:
        yield Finding("worker-outdated", node, "the worker runs since before the agents were installed",
                      tools(f"pcs resource restart {worker}", f"crm resource restart {worker}"))
    if facts.compute is not None:
        yield from _compute(facts.compute, node, managed)


def _agents(facts: Facts, node: str) -> Iterator[Finding]:
    for agent in facts.agents:
        if not agent.there:
            yield Finding("agent-broken", node, f"{agent.path} is not installed", to_do("make install, on this node"))
        elif agent.code != 0:
            yield Finding("agent-broken", node, f"{agent.path} does not run: {agent.said or 'it cannot be read'}",
                          to_do("install what it misses, or again: make install"))
        elif agent.library and agent.library != facts.library:
            yield Finding("agents-differ", node, f"{agent.path} is from {agent.library}, and this command from {facts.library}",
                          to_do("remove the one that is not meant"))
        elif agent.version not in ("", facts.version):
            yield Finding("agents-differ", node, f"{agent.path} is version {agent.version}, and this command {facts.version}",
                          to_do("make install, on this node"))
    if facts.python < PYTHON:
        yield Finding("library-old", node, f"Python {'.'.join(map(str, facts.python))} is older than 3.9",
                      to_do("make install PYTHON=... with a newer one"))
    for name, version in facts.libraries.items():
        least = ".".join(map(str, LEAST[name]))
        if version is None:
            yield Finding("library-old", node, f"{name} is not installed for this Python", to_do(f"install {name} {least} or newer"))
        elif _numbers(version) < LEAST[name]:
            yield Finding("library-old", node, f"{name} is {version}", to_do(f"install {name} {least} or newer"))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _files(facts: Facts, node: str) -> Iterator[Finding]:
    for file in facts.secrets:
        if file.mode & 0o077 or file.uid:
            yield Finding("secrets-open", node, f"{file.path} has mode {file.mode:04o} and belongs to user {file.uid}",
                          shell(f"chown root:root {file.path} && chmod 600 {file.path}"))
    state = facts.state
    if state is not None and (state.mode & 0o022 or state.uid):
        yield Finding("state-folder", node, f"{state.path} has mode {state.mode:04o} and belongs to user {state.uid}",
                      shell(f"chown root:root {state.path} && chmod 1755 {state.path}"))
    for space in facts.spaces:
        wanted = FREE[space.path.rpartition("/")[2]]
        if space.free < wanted or (space.files is not None and space.files < FILES):
            files = f", and room for {space.files} files" if space.files is not None else ""
            yield Finding("disk-full", node, f"{space.path} has {space.free / MIB:.1f} MiB free{files}",
                          to_do(f"make room: {wanted // MIB} MiB is the least"))


def _compute(host: Compute, node: str, managed: bool) -> Iterator[Finding]:
    if host.options is None:
        yield Finding("unseen", node, "nova-compute's configuration was not found on this compute host",
                      to_do("see that resume_guests_state_on_host_boot is not true there"))
    else:
        yield from _options(host, host.options, node)
    if host.autostarts:
        names = " ".join(map(shlex.quote, host.autostarts))
        yield Finding("guests-autostart", node, f"libvirt starts {some(host.autostarts)} at boot",
                      shell(f"for guest in {names}; do virsh autostart --disable $guest; done"))
    if host.guests_file:
        what, mend = f"{host.guests_file} has ON_BOOT=start", shell(
            f"sed -i 's/^\\s*ON_BOOT=.*/ON_BOOT=ignore/' {host.guests_file}")
        if not host.guests_file.startswith("/"):
            what = f"{host.guests_file} starts at boot, and has no ON_BOOT but its own, start"
            mend = to_do("ON_BOOT=ignore into /etc/default/libvirt-guests "
                         "(/etc/sysconfig/libvirt-guests on RHEL and its kin)")
        yield Finding("guests-autostart", node, what, mend)
    if host.unit and not host.waits:
        name = host.unit.removesuffix(".service")
        yield Finding("nova-compute-at-boot", node, f"{host.unit} starts at boot and does not wait", shell(f"systemctl disable {name}") if managed
                      else to_do('"A nova-compute that Pacemaker does not start" in docs/operations.md'))


def _options(host: Compute, options: Mapping[tuple[str, str], str], node: str) -> Iterator[Finding]:
    if boolean(options.get(("default", "resume_guests_state_on_host_boot"), "")):
        yield Finding("guests-resume", node, "resume_guests_state_on_host_boot is true",
                      to_do("set it to false in nova.conf, and restart nova-compute"))
    if options.get(("libvirt", "images_type"), "") != "rbd" and host.filesystem not in SHARED:
        yield Finding("instances-local", node, f"its servers' disks are on {host.filesystem or 'an unknown file system'} (images_type is not rbd)",
                      to_do("share instances_path, or keep the disks in Ceph, or boot servers from volumes"))
