"""A node that is well gives no finding, and each way to be ill gives its own: instance-ha doctor --only node."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from instance_ha import cluster as door
from instance_ha import process
from instance_ha.doctor import examine
from instance_ha.doctor.examine import Examiner
from instance_ha.doctor.finding import Finding
from instance_ha.doctor.visit import Report, Visit
from instance_ha.process import Outcome

from tests.unit.ailing import CLONE, WELL, Tools
from tests.unit.cibs import changed

LIBRARY = str(Path(examine.__file__).resolve().parents[2])
FENCE_NOVA, NOVA_EVACUATE = "usr/sbin/fence_nova", "usr/lib/ocf/resource.d/openstack/NovaEvacuate"
METADATA = '<resource-agent name="NovaEvacuate" version="0.1.0">\n</resource-agent>'
MOUNTS = "overlay / overlay rw 0 0\nstore:/nova /var/lib/nova/instances nfs4 rw 0 0\n"
CONF = "[DEFAULT]\ncompute_driver = libvirt.LibvirtDriver\n[libvirt]\nvirt_type = kvm\n"
LACKING = "ModuleNotFoundError: No module named 'fencing'"


class Node:
    """A node's files below `base`, and how its agents answer."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.base, self.monkeypatch, self.here, self.cib = base, monkeypatch, "ctl-1", WELL
        self.answers = {"fence_nova": Outcome(0, '<resource-agent name="fence_nova" shortdesc="x" >', ""), "NovaEvacuate": Outcome(0, METADATA, "")}
        for name in (FENCE_NOVA, NOVA_EVACUATE):
            self.write(name, f'#!/usr/bin/python3 -I\nimport sys\nsys.path[:0] = ["{LIBRARY}"]\n', 0o755)
        for folder in ("run/resource-agents", "var/lib/pacemaker", "var/log"):
            (base / folder).mkdir(parents=True)
        (base / "run/resource-agents").chmod(0o1755)
        self.write("etc/openstack/clouds.yaml", "clouds: {}\n", 0o600)
        self.write("proc/mounts", MOUNTS)
        self.write("etc/nova/nova.conf", CONF)
        monkeypatch.setattr(os, "geteuid", lambda: 0)

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        path = self.base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def run(self, argv: list[str], timeout: float) -> Outcome:
        return self.answers[argv[0].rpartition("/")[2]]

    def look(self) -> Report:
        """What the doctor says of it."""
        self.monkeypatch.setattr(door, "run", Tools(self.cib, here=self.here))
        self.monkeypatch.setattr(examine, "run", self.run)
        return Visit(frozenset({"node"}), None, dict, examiner=Examiner(self.base)).look()

    def set(self, target: object, name: str, value: object) -> None:
        self.monkeypatch.setattr(target, name, value)

    def chmod(self, name: str, mode: int) -> None:
        (self.base / name).chmod(mode)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(tmp_path, monkeypatch)


def on_compute(change: Callable[[Node], object]) -> Callable[[Node], object]:
    def work(node: Node) -> None:
        node.here = "cmp-1"
        change(node)

    return work


def unit(node: Node, name: str = "nova-compute.service", text: str = "") -> None:
    node.write(f"etc/systemd/system/multi-user.target.wants/{name}", "[Service]\n")
    if text:
        node.write(f"etc/systemd/system/{name}.d/instance-ha.conf", text)


def on_boot(node: Node, word: str) -> None:
    unit(node, "libvirt-guests.service")
    node.write("etc/default/libvirt-guests", f"#ON_BOOT=start\nON_BOOT={word}\n")


def no_room(node: Node) -> None:
    whole = os.statvfs(node.base)
    node.set(os, "statvfs", lambda path: os.statvfs_result((whole.f_bsize, 4096, whole.f_blocks, 0, 0, *whole[5:])))


def no_files(node: Node) -> None:
    whole = os.statvfs(node.base)
    node.set(os, "statvfs", lambda path: os.statvfs_result((*whole[:5], 1000, 0, 0, *whole[8:])))


def worker_of(seconds: float) -> Callable[[Node], object]:
    """A worker that runs since so many seconds: this very process, as the pid file has it, in an installation that is newer or older."""
    def work(node: Node) -> None:
        folder = node.base / "run/resource-agents"
        node.monkeypatch.setenv("HA_RSCTMP", str(folder))
        pid = os.getpid()
        (folder / "NovaEvacuate-nova-evacuate.pid").write_text(f"{pid} {process.start_time(pid)}")
        ticks = (time.clock_gettime(time.CLOCK_BOOTTIME) - seconds) * os.sysconf("SC_CLK_TCK")
        node.set(examine, "start_time", lambda pid: str(int(ticks)))

    return work


@dataclass(frozen=True)
class Ill:
    """One way to be ill."""

    kind: str
    change: Callable[[Node], object]
    word: str = ""

    def __str__(self) -> str:
        return f"{self.kind}-{self.word}"


NODE = (
    Ill("not-root", lambda node: node.set(os, "geteuid", lambda: 1000)),
    Ill("agent-broken", lambda node: (node.base / FENCE_NOVA).unlink(), "fence_nova is not installed"),
    Ill("agent-broken", lambda node: node.answers.update(fence_nova=Outcome(1, "", LACKING)), LACKING),
    Ill("agents-differ", lambda node: node.write(NOVA_EVACUATE, 'sys.path[:0] = ["/usr/local/lib/instance-ha"]'), "/usr/local/lib/instance-ha"),
    Ill("agents-differ", lambda node: node.answers.update(NovaEvacuate=Outcome(0, METADATA.replace("0.1.0", "0.0.9"), "")), "0.0.9"),
    Ill("library-old", lambda node: node.set(examine.metadata, "version", lambda name: "4.2.0"), "keystoneauth1 is 4.2.0"),
    Ill("library-old", lambda node: node.set(examine.sys, "version_info", (3, 8, 10, "final", 0)), "3.8.10"),
    Ill("secrets-open", lambda node: node.chmod("etc/openstack/clouds.yaml", 0o640), "0640"),
    Ill("state-folder", lambda node: node.chmod("run/resource-agents", 0o1777), "1777"),
    Ill("disk-full", no_room, "0.0 MiB"),
    Ill("disk-full", no_files, "0 files"),
    Ill("worker-outdated", worker_of(10 * 365 * 86400.0), "worker"),
    Ill("guests-resume", on_compute(lambda node: node.write("etc/nova/nova.conf", CONF + "[DEFAULT]\nresume_guests_state_on_host_boot = True\n"))),
    Ill("guests-resume", on_compute(lambda node: node.write("etc/nova/nova-compute.conf", "[DEFAULT]\nresume_guests_state_on_host_boot=yes\n"))),
    Ill("guests-autostart", on_compute(lambda node: node.write(
        "etc/libvirt/qemu/autostart/instance-0000000a.xml", "<domain/>")),
        "libvirt starts instance-0000000a at boot"),
    Ill("guests-autostart", on_compute(lambda node: on_boot(node, "start")), "ON_BOOT=start"),
    Ill("guests-autostart", on_compute(lambda node: unit(node, "libvirt-guests.service")), "its own, start"),
    Ill("guests-autostart", on_compute(lambda node: [
        unit(node, "libvirt-guests.service"), node.write("etc/sysconfig/libvirt-guests", "#ON_BOOT=ignore\n")]), "its own, start"),
    Ill("nova-compute-at-boot", on_compute(unit), "nova-compute.service"),
    Ill("nova-compute-at-boot", on_compute(lambda node: unit(node, "openstack-nova-compute.service")), "openstack-nova-compute.service"),
    Ill("instances-local", on_compute(lambda node: node.write("proc/mounts", "overlay / overlay rw 0 0\n")), "overlay"),
    Ill("unseen", on_compute(lambda node: (node.base / "etc/nova/nova.conf").unlink()), "configuration"),
)


def of_kind(report: Report, kind: str) -> list[Finding]:
    return [one for one in report.findings if one.kind == kind]


@pytest.mark.parametrize(("here", "agents", "hosts"), [
    ("ctl-1", "the agents on ctl-2:", "on cmp-1, cmp-2:"), ("cmp-1", "the agents on ctl-1, ctl-2:", "on cmp-2:")])
def test_a_node_that_is_well_says_what_it_cannot_see(node: Node, here: str, agents: str, hosts: str) -> None:
    node.here = here
    report = node.look()
    assert report.findings == [] and report.here == here
    assert len(report.notes) == 2 and agents in report.notes[0] and hosts in report.notes[1]


@pytest.mark.parametrize("ill", NODE, ids=str)
def test_a_node_that_is_ill(node: Node, ill: Ill) -> None:
    ill.change(node)
    found = of_kind(node.look(), ill.kind)
    assert found and ill.word in found[0].what and found[0].subject == node.here and found[0].mend.lines


@pytest.mark.parametrize("change", [
    lambda node: unit(node, text="[Service]\nExecStartPre=+/usr/bin/instance-ha wait-until-evacuated\n"),
    lambda node: node.write("proc/mounts", "overlay / overlay rw 0 0\n") or node.write("etc/nova/nova.conf", CONF + "images_type = rbd\n"),
    lambda node: node.write("etc/nova/nova.conf", CONF + "[DEFAULT]\ninstances_path = /srv/nova\n") or node.write(
        "proc/mounts", "overlay / overlay rw 0 0\nstore:/srv /srv ceph rw 0 0\n")])
def test_a_compute_host_that_is_well_in_another_way(node: Node, change: Callable[[Node], object]) -> None:
    on_compute(change)(node)
    assert node.look().findings == []


def test_agents_are_not_looked_for_on_compute_hosts(node: Node) -> None:
    (node.base / FENCE_NOVA).unlink()
    node.here = "cmp-1"
    assert node.look().findings == []


def test_a_unit_that_pacemaker_does_not_start_has_to_wait_rather_than_to_be_disabled(node: Node) -> None:
    node.cib = changed(WELL, (CLONE, ""))
    on_compute(unit)(node)
    assert "systemctl" not in of_kind(node.look(), "nova-compute-at-boot")[0].mend.lines[0]


def test_a_worker_that_was_started_later_is_well(node: Node) -> None:
    worker_of(0.0)(node)
    assert node.look().findings == []


def test_what_is_printed_for_secrets_mends_them(node: Node) -> None:
    path = node.base / "etc/openstack/clouds.yaml"
    path.chmod(0o644)
    (line,) = of_kind(node.look(), "secrets-open")[0].mend.lines
    assert line.endswith(f"&& chmod 600 {path}") and process.run(["chmod", "600", str(path)], 5).code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and node.look().findings == []


def test_the_sum_tells_installations_apart(tmp_path: Path) -> None:
    shutil.copytree(Path(LIBRARY) / "instance_ha" / "doctor", tmp_path / "a", ignore=shutil.ignore_patterns("__pycache__"))
    files = sorted((tmp_path / "a").glob("*.py"))
    before = examine.fingerprint(files, tmp_path)
    assert before == examine.fingerprint(files, tmp_path)
    files[0].write_text("changed")
    assert examine.fingerprint(files, tmp_path) != before


def test_a_libvirt_that_starts_no_guests_is_well(node: Node) -> None:
    """Its networks and pools may start, and so may libvirt-guests where it leaves guests alone."""
    node.write("etc/libvirt/storage/autostart/default.xml", "<pool/>")
    node.write("etc/libvirt/qemu/networks/autostart/default.xml", "<network/>")
    on_compute(lambda one: on_boot(one, "ignore"))(node)
    assert "guests-autostart" not in {found.kind for found in node.look().findings}
