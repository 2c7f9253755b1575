"""The laboratory on another release of Debian: what is said when it cannot be, where the release comes from, what a command there is given."""

import os
import subprocess
import sys

import pytest

from tests.lab import install, suite
from tests.lab.common import LabError

INDEX = "http://deb.example.org/debian/\nhttp://deb.example.org/debian/\n"


def said(monkeypatch, capsys, name, *argv):
    monkeypatch.setenv("LAB_SUITE", name)
    monkeypatch.setattr("sys.argv", ["suite", *argv])
    assert suite.main() == 1
    return capsys.readouterr().err


def answer(monkeypatch, *outputs):
    """apt-get's output, call after call; the commands are returned."""
    asked, left = [], list(outputs)

    def run(argv, **_options):
        asked.append(argv)
        return subprocess.CompletedProcess(argv, 0, left.pop(0), "")

    monkeypatch.setattr(subprocess, "run", run)
    return asked


@pytest.mark.parametrize("name, argv", [("", ["true"]), ("../etc", ["true"]), ("trixie", [])])
def test_without_a_release_or_a_command_it_says_how(monkeypatch, capsys, name, argv):
    assert "LAB_SUITE=trixie python3 -m tests.lab.suite COMMAND" in said(monkeypatch, capsys, name, *argv)


def test_without_root_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert said(monkeypatch, capsys, "trixie", "true") == "lab: the laboratory needs root: it makes network namespaces and mounts\n"


def test_without_room_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(suite, "STATE", tmp_path)
    monkeypatch.setattr(suite, "ROOM", 1 << 60)
    (tmp_path / "trixie").mkdir()
    with pytest.raises(LabError, match=f"the root of trixie needs .* GiB free in {tmp_path}/trixie, and there are"):
        suite.make("trixie")


def test_one_command_at_a_time_and_none_to_join(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(suite, "STATE", tmp_path)
    monkeypatch.setattr(install, "check_machine", lambda: None)
    assert "nothing runs in the root of trixie" in said(monkeypatch, capsys, "trixie", "--join", "true")
    with suite._alone("trixie"):
        assert "is in use" in said(monkeypatch, capsys, "trixie", "true")


def test_the_mirror_is_that_of_apt(monkeypatch):
    asked = answer(monkeypatch, INDEX)
    assert suite._mirror() == "http://deb.example.org/debian/"
    assert "Label: Debian" in asked[0], "the security archive holds no whole release"


def test_package_lists_that_are_missing_are_fetched_before_a_mirror_is_missed(monkeypatch):
    asked = answer(monkeypatch, "", "", INDEX)
    assert suite._mirror() == "http://deb.example.org/debian/"
    assert asked[1][-1] == "update"
    answer(monkeypatch, "", "", "")
    with pytest.raises(LabError, match="name no mirror of Debian"):
        suite._mirror()


def test_a_command_there_gets_what_reaches_the_network_and_nothing_of_this_laboratory(monkeypatch):
    for name, value in {"https_proxy": "http://proxy:1", "PIP_CERT": "/ca", "INSTANCE_HA_LAB_DIR": "/here", "LAB_SUITE": "trixie",
                        "MAKEFLAGS": "-j", "PYTHONPATH": "/here", "LAB_ROLE": "evacuator"}.items():
        monkeypatch.setenv(name, value)
    given = suite.environment()
    assert (given["https_proxy"], given["PIP_CERT"]) == ("http://proxy:1", "/ca")
    assert given["LAB_ROLE"] == "evacuator"
    assert not {"INSTANCE_HA_LAB_DIR", "LAB_SUITE", "MAKEFLAGS", "PYTHONPATH"} & set(given)


@pytest.mark.parametrize("command, code", [("exit 7", 7), ("kill -TERM $$", 143)])
def test_exit_codes_pass_through(command, code):
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", command], {})
    assert suite._exit_code(os.waitpid(pid, 0)[1]) == code


def test_a_python_without_lxml_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.lab import cluster
    from tests.lab.common import LabError

    monkeypatch.setitem(sys.modules, "lxml", None)
    with pytest.raises(LabError, match=r"has no lxml: use .*/bin/python, or install lxml"):
        cluster.online()
