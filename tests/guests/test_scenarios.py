"""A compute host with real guests fails: they answer elsewhere, and no witness saw one twice."""

from __future__ import annotations

import signal

import pytest

from tests.cluster.scenario import RECOVERED_LIMIT, RETURN_LIMIT, Story, healthy
from tests.lab import cluster, disk_journal, guests, hypervisor, real_guests, servers, watch
from tests.lab import node as machine
from tests.lab.common import SHARED, LabError, wait_until

GUESTS = 3
ANSWER_LIMIT = 90.0
FENCED_LIMIT = 60.0
GONE_LIMIT = 2.0
BACK_LIMIT = 60.0


def booted(stopped: int = 0) -> Story:
    """A story whose guests answer, and have written for a moment."""
    story = Story()
    story.boot(running=GUESTS, stopped=stopped)
    await_answers(story)
    return story


def await_answers(story: Story) -> None:
    """Wait until each guest of a story that is to run answers where Nova says it is."""
    left = {uid for uid, status in story.before.items() if status == "ACTIVE"}

    def all_answer() -> bool:
        found = servers.listed()
        left.difference_update({uid for uid in left if real_guests.answers(found[uid])})
        return not left

    servers.wait_for(all_answer, "the guests to answer", ANSWER_LIMIT)


def journals(story: Story) -> dict[str, disk_journal.Journal]:
    """The disks of a story's servers, by uuid."""
    found = servers.listed()
    return {uid: disk_journal.read(hypervisor.disk(found[uid])) for uid in story.before}


def boots_on(journal: disk_journal.Journal) -> list[str]:
    """The hosts of a disk's boots, in their order."""
    names = {hypervisor.stamp(host): host for host in real_guests.hosts()}
    return [names[boot.first.host] for boot in journal.boots]


def test_power_cut() -> None:
    story = booted(stopped=1)
    story.cut_power()
    assert not hypervisor.guests(cluster.find(story.victim)), "a QEMU has outlived its host"
    story.recovered()
    await_answers(story)
    healthy()
    story.audit()
    for uid, journal in journals(story).items():
        places = boots_on(journal)
        assert places[0] == story.victim
        assert len(places) == (1 if story.before[uid] == "SHUTOFF" else 2), places
        assert story.victim not in places[1:], places


def test_frozen_host() -> None:
    """Nothing on it runs, and nothing of it is dead, until it is fenced."""
    story = booted()
    node = cluster.find(story.victim)
    story.may_die.add(story.victim)
    machine.freeze(node)
    assert len(hypervisor.guests(node)) == GUESTS

    def fenced() -> bool:
        return any(fencing.node == story.victim for fencing in watch.fencings(story.begun))

    assert wait_until(fenced, FENCED_LIMIT, 0.3), "not fenced"
    story.recovered()
    await_answers(story)
    healthy()
    story.audit()
    assert all(boots_on(journal)[0] == story.victim for journal in journals(story).values())


def test_dead_libvirtd() -> None:
    """The guests run on with the same boot; nothing is fenced and nothing moves."""
    story = booted()
    node = cluster.find(story.victim)
    before = hypervisor.guests(node)
    machine.stop_service(node, "libvirtd", signal.SIGKILL)
    assert hypervisor.guests(node) == before, "a guest died with libvirtd"
    servers.wait_for(lambda: all(hypervisor.agent(node, uid) for uid in before),
                     "libvirtd to find the guests again", BACK_LIMIT)
    uid = next(iter(before))
    servers.action(uid, "reboot", {"type": "HARD"})
    servers.wait_for(lambda: hypervisor.guests(node).get(uid) not in (None, before[uid]),
                     "a new QEMU", BACK_LIMIT)
    servers.wait_status([uid], "ACTIVE", BACK_LIMIT)
    await_answers(story)
    healthy()
    story.audit()
    assert not watch.fencings(story.begun) and not servers.evacuations(story.victim)
    assert {other: len(journal.boots) for other, journal in journals(story).items()} == {
        other: 2 if other == uid else 1 for other in story.before}


def test_the_host_returns_and_nova_compute_removes_what_left() -> None:
    story = booted()
    node = cluster.find(story.victim)

    def defined() -> set[str]:
        done = machine.exec_in(node, ["virsh", "-q", "list", "--all", "--uuid"], 20)
        return {*done.stdout.split()} if done.returncode == 0 else {"libvirtd does not answer"}

    assert defined() >= {*story.before}
    story.cut_power()
    story.recovered()
    await_answers(story)
    assert wait_until(lambda: watch.in_service(story.victim), RETURN_LIMIT, 0.5), "not in service"
    assert wait_until(lambda: not defined() & {*story.before}, RECOVERED_LIMIT, 0.5), (
        f"still defined on the old host: {defined()}")
    assert {row["status"] for row in servers.evacuations(story.victim)
            if row["instance_uuid"] in story.before} == {"completed"}
    assert not hypervisor.guests(node).keys() & story.before.keys()
    healthy()
    story.audit()
    await_answers(story)  # their disks are still theirs


def test_guests_on_a_node_without_its_own_mount_fail_the_audit() -> None:
    """QEMU's locks could hide one that runs twice. The next boot has the mount again."""
    story = booted()
    node = cluster.find(story.victim)
    assert hypervisor.has_storage(node)
    machine.exec_in(node, ["umount", "--lazy", str(SHARED)], check=True)
    with pytest.raises(LabError, match=rf"^{story.victim} has guests and no own mount "):
        guests.twice()
    story.cut_power()
    story.recovered()
    await_answers(story)
    healthy()
    assert hypervisor.has_storage(node)
    story.audit()
