"""The table of platforms, and what runs beside the laboratory in make test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import beside
from tests.compat import __main__ as compat
from tests.compat import units
from tests.compat.rows import Row, rows
from tests.lab.common import LabError

NO_PYTHON = ("lab: Nova 23 (Wallaby) needs Python 3.9, and this machine has none, "
             "neither on PATH nor among pyenv's versions")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the logs."""
    monkeypatch.setattr(compat, "FOLDER", tmp_path)
    monkeypatch.setattr(beside, "LOGS", tmp_path)
    return tmp_path


def row(text: str, **env: str) -> Row:
    return Row("Here", "a test", ("sh", "-c", text), env)


def test_the_page_has_every_row_once() -> None:
    lines = compat.PAGE.read_text(encoding="utf-8").splitlines()
    for one in rows():
        assert sum(line.startswith(f"| {one.platform} | {one.what} | ") for line in lines) == 1
    assert len({one.name for one in rows()}) == len([*rows()])


@pytest.mark.parametrize(("text", "result", "told"), [
    ("echo '=== 3 passed, 1 skipped in 2.10s ==='; echo 'it took 9 s'", "passed",
     "3 passed, 1 skipped in 2.10s"),
    ("echo '1 failed, 2 passed in 2.10s (0:01:00)'; exit 1", "FAILED",
     "1 failed, 2 passed in 2.10s (0:01:00)"),
    ("echo 'demo: 6 of 6 protected servers recovered'; echo 'make: left'", "passed",
     "demo: 6 of 6 protected servers recovered"),
    ("echo 'not run: no wheel'; exit 77", "not run", "no wheel"),
    (f'echo "{NO_PYTHON}"; echo "make: *** [demo] Error 1"; exit 2', "not run", NO_PYTHON),
    ("echo 'lab: ctl-1 does not boot'; exit 2", "FAILED", "lab: ctl-1 does not boot"),
    ("echo dist/one.deb; echo dist/two.deb", "passed", "dist/two.deb"),
    ("true", "passed", "")])
def test_what_came_of_a_row(here: Path, text: str, result: str, told: str) -> None:
    found = compat.one(row(text))
    assert (found.name, found.result, found.told) == ("Here: a test", result, told)
    assert [path.name for path in here.iterdir()] == ["here-a-test.log"]


def test_a_row_gets_its_own_variables_and_not_those_of_this_make(
        here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAKEFLAGS", "LAB_NOVA", "LAB_ROLE", "LAB_SUITE"):
        monkeypatch.setenv(name, "of this make")
    text = "echo ${MAKEFLAGS-none} ${LAB_NOVA-none} ${LAB_ROLE-none} ${LAB_SUITE-none}"
    assert compat.one(row(text)).told == "none none none none"
    assert compat.one(row(text, LAB_NOVA="29")).told == "none 29 none none"


def test_the_newest_outcome_counts_and_a_row_without_one_is_in_the_table(here: Path) -> None:
    results = here / "results.jsonl"
    assert compat.read(results) == {}
    for seconds in (1.0, 2.0):
        outcome = compat.Outcome("Here: a test", "passed", "2 passed | ok", seconds, "2026-01-02")
        compat.keep(results, outcome)
    text = compat.table(compat.read(results), [row("true"), Row("There", "a test", ())])
    assert text.splitlines()[2:] == ["| Here | a test | passed | 2 passed / ok | 2026-01-02 | 2 |",
                                     "| There | a test | not run | not yet |  |  |"]


@pytest.mark.parametrize(("words", "matched"), [
    ([], True), (["HERE"], True), (["no", "test"], True), (["a test"], True), (["no"], False)])
def test_a_row_is_chosen_by_one_of_the_words(words: list[str], matched: bool) -> None:
    assert compat.matches(row("true"), words) is matched


def test_the_oldest_libraries_are_those_that_the_package_asks_for() -> None:
    setup = (compat.REPOSITORY / "setup.py").read_text(encoding="utf-8")
    pins = [line.split("==") for line in units.wanted("3.9", "oldest") if "==" in line]
    for name, version in pins:
        assert f'"{name}>={version.removesuffix(".0")}"' in setup, name
    with pytest.raises(LabError, match=r"oldest for Python 3\.99$"):
        units.wanted("3.99", "oldest")


def test_the_newest_libraries_are_pinned_where_the_pins_are_for_that_python() -> None:
    names = [line.partition("==")[0] for line in units.wanted("3.13", "newest")]
    assert sorted(names) == sorted(units.USED)
    assert units.wanted("3.10", "newest") == [*units.USED]


def test_what_runs_beside_has_the_last_word(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [beside.Job("good one", ["sh", "-c", "echo '== 2 passed =='"]),
            beside.Job("bad one", ["sh", "-c", "echo first; echo $WHO >&2; exit 3"], {"WHO": "me"})]
    others = beside.Beside(jobs)
    others.start()
    assert others.verdict() == 1
    said = capsys.readouterr().err
    assert "good one: passed after 0 s: 2 passed" in said
    end = f"=== the end of {here}/beside-bad-one.log:\nfirst\nme\n"
    assert f"bad one: FAILED (3) after 0 s: me\n{end}" in said


def test_what_runs_beside_ends_with_the_tests(here: Path) -> None:
    text = f"trap 'touch {here}/cleaned; exit' TERM; touch {here}/begun; while sleep 0.05; do :; done"
    jobs = [beside.Job("endless", ["sh", "-c", text]), beside.Job("never", ["true"])]
    others = beside.Beside(jobs)
    others.start()
    while not (here / "begun").exists():
        assert others.is_alive()
    others.end()
    assert (here / "cleaned").exists() and not others.is_alive()
    assert not (here / "beside-never.log").exists()


def test_the_demo_on_debian_13_runs_as_if_nothing_had_been_chosen() -> None:
    demo = [job for job in beside.jobs() if "demo" in job.argv]
    if "VERSION_CODENAME=trixie" in beside.OS_RELEASE.read_text():
        assert not demo
    else:
        (job,) = demo
        assert job.env["LAB_SUITE"] == "trixie"
        assert job.env["LAB_NOVA"] == job.env["MAKEFLAGS"] == ""
