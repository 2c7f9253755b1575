"""The witnesses of real guests: what a disk and the hook's journal tell of one that ran twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab import disk_journal, guest_image, guests, hypervisor, real_guests
from tests.lab.common import SIZE, LabError, Size, virt

SERVER = "0c5b9a9e-7d1f-4a11-9d4e-5c3a0f6f2b11"
HOSTS = {name: hypervisor.stamp(name) for name in ("cmp-1", "cmp-2")}


def record(n: int, boot: str, host: str = "cmp-1", kind: str = "tick") -> str:
    """A record as tests/lab/guest/init.c writes it."""
    return (f"IHA1 n={n} kind={kind} boot={boot} host={HOSTS[host]} server={SERVER} "
            f"wall={1700000000 + n / 4:.3f} up={2 + n / 4:.3f}\n")


def run(first: int, last: int, boot: str, host: str = "cmp-1") -> dict[int, str]:
    """The records of one boot by their sectors."""
    return {disk_journal.FIRST + n: record(n, boot, host, "boot" if n == first else "tick")
            for n in range(first, last + 1)}


def disk(path: Path, sectors: dict[int, str]) -> Path:
    """A sparse disk of 1 GiB with these sectors."""
    with path.open("wb") as file:
        file.truncate(1 << 30)
        for sector, text in sectors.items():
            file.seek(sector * disk_journal.SECTOR)
            file.write(text.encode())
    return path


def test_an_empty_disk_has_no_boot_and_no_problem(tmp_path: Path) -> None:
    journal = disk_journal.read(disk(tmp_path / "disk", {}))
    assert (journal.boots, journal.problems, journal.server) == ([], [], "")


def test_one_boot_after_the_other_is_as_it_should_be(tmp_path: Path) -> None:
    sectors = {**run(0, 5000, "a1"), **run(5001, 5003, "b2", "cmp-2")}
    journal = disk_journal.read(disk(tmp_path / "disk", sectors))
    assert not journal.problems and journal.records == 5004 and journal.server == SERVER
    assert [(boot.first.boot, boot.records, boot.last.n) for boot in journal.boots] == [
        ("a1", 5001, 5000), ("b2", 3, 5003)]
    assert journal.boots[1].first.host == HOSTS["cmp-2"]


def test_a_mark_stays_whatever_was_written_afterwards(tmp_path: Path) -> None:
    mark = f"IHA1 MARK overtaken n=3 boot=a1 host={HOSTS['cmp-1']} wall=1.0 up=1.0 other=(IHA1 n=4)"
    sectors = {1: mark, **run(0, 9, "a1"), **run(10, 12, "b2", "cmp-2")}
    journal = disk_journal.read(disk(tmp_path / "disk", sectors))
    assert journal.problems == [f"a guest saw another writer: {mark}"]


def test_a_boot_that_writes_after_the_next_has_begun_is_told(tmp_path: Path) -> None:
    sectors = {**run(0, 3, "a1"), **run(4, 5, "b2", "cmp-2"), 134: record(6, "a1")}
    journal = disk_journal.read(disk(tmp_path / "disk", sectors))
    assert journal.problems == ["boot a1 writes again at n=6, after boot b2 has begun"]


@pytest.mark.parametrize("sectors, said", [
    ({**run(0, 3, "a1"), 132: record(4, "b2")}, "boot b2 first writes tick at n=4"),
    ({**run(0, 3, "a1"), 132: record(9, "a1")}, "sector 132 holds number 9"),
    ({**run(0, 3, "a1"), 132: "something else"}, "sector 132 holds no record: something else"),
])
def test_what_no_single_writer_leaves_is_told(
    tmp_path: Path, sectors: dict[int, str], said: str,
) -> None:
    assert disk_journal.read(disk(tmp_path / "disk", sectors)).problems == [said]


def told(*events: tuple[str, str]) -> list[tuple[str, list[str]]]:
    """What the hook's journal tells: of each event its host and its name, of one server."""
    lines = [json.dumps({"time": float(n), "host": host, "event": name,
                         "uuid": "" if name == "power_cut" else SERVER})
             for n, (host, name) in enumerate(events)]
    found = real_guests.by_hook(map(json.loads, lines))
    return [(event["host"], event["hosts"]) for event in found]


def test_the_hook_tells_of_a_start_while_the_guest_lives_elsewhere() -> None:
    assert told(("cmp-1", "started"), ("cmp-2", "started")) == [("cmp-2", ["cmp-1", "cmp-2"])]
    # One that began so early that it left nothing on its disk.
    assert told(("cmp-1", "started"), ("cmp-2", "started"), ("cmp-2", "stopped")) == [
        ("cmp-2", ["cmp-1", "cmp-2"])]
    assert told(("cmp-1", "started"), ("cmp-1", "power_cut"), ("cmp-2", "started"),
                ("cmp-1", "reconnect")) == [("cmp-1", ["cmp-2", "cmp-1"])]


@pytest.mark.parametrize("events", [
    [("cmp-1", "started"), ("cmp-1", "stopped"), ("cmp-2", "started")],
    [("cmp-1", "started"), ("cmp-1", "power_cut"), ("cmp-2", "started")],
    [("cmp-1", "started"), ("cmp-1", "reconnect"), ("cmp-1", "started")],
    [("cmp-1", "started"), ("cmp-2", "migrate"), ("cmp-1", "stopped"), ("cmp-2", "reconnect")],
])
def test_the_hook_tells_nothing_of_a_guest_that_moves(events: list[tuple[str, str]]) -> None:
    assert told(*events) == []


def test_a_guest_that_was_migrated_lives_where_it_went() -> None:
    assert told(("cmp-1", "started"), ("cmp-2", "migrate"), ("cmp-1", "stopped"),
                ("cmp-1", "started")) == [("cmp-1", ["cmp-2", "cmp-1"])]


def test_what_runs_the_guests_is_kept_with_the_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.lab.common.SIZE", tmp_path / SIZE.name)
    monkeypatch.setattr("tests.lab.common.VIRT", "libvirt")
    assert virt() == "libvirt"
    (tmp_path / SIZE.name).write_text('{"controllers": 1, "computes": 3, "member_computes": false}')
    assert virt() == "" and guests._real() is None  # a laboratory of before there were real guests
    (tmp_path / SIZE.name).write_text(json.dumps(vars(Size(1, 3, virt="libvirt"))))
    monkeypatch.setattr("tests.lab.common.VIRT", "")
    assert virt() == "libvirt" and guests._real() is real_guests


def test_what_real_guests_lack_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_image, "VIRT", "kvm")
    with pytest.raises(LabError, match=r"^LAB_VIRT is libvirt or nothing, and not 'kvm'$"):
        guest_image.check()
    monkeypatch.setattr(guest_image, "VIRT", "libvirt")
    monkeypatch.setattr(guest_image, "DEVICES", {"/nowhere/fuse": "of the storage"})
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(LabError, match=r"^LAB_VIRT=libvirt needs /nowhere/fuse, because of the "
                       r"storage: No such file or directory$"):
        guest_image.check()


def test_without_lab_virt_nothing_is_asked_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_image, "VIRT", "")
    monkeypatch.setattr(guest_image, "DEVICES", {"/nowhere/fuse": "of the storage"})
    guest_image.check()
    guest_image.install_all()


def test_a_module_comes_after_what_it_needs(tmp_path: Path) -> None:
    folder = tmp_path / "lib/modules/6.1/kernel"
    folder.mkdir(parents=True)
    for name, needs in (("virtio_blk", "virtio_ring,virtio"), ("virtio_ring", ""), ("virtio", "")):
        (folder / f"{name}.ko").write_bytes(f"{name}\0depends={needs}\0".encode())
    found = guest_image.modules(tmp_path, ["virtio_blk", "built_in"])
    names = [text.partition(b"\0")[0] for text in found]
    assert names == [b"virtio_ring", b"virtio", b"virtio_blk"]
