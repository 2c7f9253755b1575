"""The doctor in the laboratory: one that is well, and ill in several ways. And the commands that it prints, run by pcs and by crmsh on
a file that holds the ill cluster's CIB: it is well then."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from io import StringIO

import pytest
from instance_ha import cluster as door
from instance_ha.cli import common, main
from instance_ha.doctor.levels import FILE

from tests.conformance.conftest import Run
from tests.lab import cluster
from tests.lab import node as machine
from tests.lab.common import ROLE
from tests.unit.ailing import PACEMAKER, Ill, Tools

AT_ONCE = 4
CLOUDS = "/etc/openstack/clouds.yaml"
HELD = "pcs constraint location nova-compute-clone rule score=-10000 evacuate-held eq true"
OFF_COMPUTES = "pcs constraint location nova-evacuate rule resource-discovery=never score=-INFINITY osprole eq compute"
# The finding, what it is about, what makes the laboratory ill, and what makes it well again.
LIVE = (
    ("stonith-disabled", "cluster", "pcs property set stonith-enabled=false", "pcs property set stonith-enabled=true"),
    ("level-no-power", "cmp-2", "pcs stonith level delete 1 target cmp-2 && pcs stonith level add 1 cmp-2 fence-nova fence-cmp-2",
     "pcs stonith level delete 1 target cmp-2; pcs stonith level add 1 cmp-2 fence-cmp-2 fence-nova"),
    ("nova-compute-not-held-back", "nova-compute", "pcs constraint delete location-nova-compute-clone-1", HELD),
    ("worker-on-compute", "nova-evacuate", "pcs constraint delete location-nova-evacuate", OFF_COMPUTES),
    ("switched-off", "nova-evacuate", "pcs resource update nova-evacuate enabled=false", "pcs resource update nova-evacuate enabled="),
    ("secrets-open", "ctl-1", f"chmod 644 {CLOUDS}", f"chmod 600 {CLOUDS}"),
    ("credentials", "nova-evacuate, fence-nova", f"cp -p {CLOUDS} /root/kept && sed -i 's/\"password\": \"[^\"]*/&x/' {CLOUDS}",
     f"cp -p /root/kept {CLOUDS}; rm /root/kept"),
)
TRIED = [(tool, number) for tool in ("pcs", "crm") for number, ill in enumerate(PACEMAKER) if getattr(ill, tool)]


def looked(run: Run) -> tuple[int, dict[tuple[str, str], dict[str, str]]]:
    """The exit code, and each finding, of the command in the laboratory."""
    done = run("instance-ha", "doctor", "-f", "json")
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, {(row["Finding"], row["On"]): row for row in json.loads(done.stdout)}


def live(run: Run) -> tuple[int, dict[tuple[str, str], str]]:
    """The same with the findings' levels only."""
    code, found = looked(run)
    return code, {key: row["Level"] for key, row in found.items()}


def test_the_laboratory_is_well(run: Run, cloud: None) -> None:
    code, found = live(run)
    graver = {kind for (kind, _), level in found.items() if level != "warning"}
    assert graver == ({"policies-unseen"} if ROLE else set()) and code == (1 if ROLE else 0), found


@pytest.mark.parametrize(("kind", "subject", "ill", "well"), LIVE, ids=[row[0] for row in LIVE])
def test_the_laboratory_is_ill(run: Run, cloud: None, kind: str, subject: str, ill: str, well: str) -> None:
    before, is_well = live(run)[1], False
    try:
        done = run("sh", "-c", ill)
        assert not done.returncode, done.stderr
        code, rows = looked(run)
        lines = [line for line in rows[kind, subject]["Mend"] if not line.startswith("#")]
        if lines:
            mended = run("sh", "-c", "set -e\n" + "\n".join(lines))
            is_well = mended.returncode == 0 and live(run)[1] == before
    finally:
        if not is_well:
            run("sh", "-c", well)
    found = {key: row["Level"] for key, row in rows.items()}
    assert code == int("error" in found.values() or bool(ROLE)), found
    assert {name for name, _ in found} - {name for name, _ in before} - {"unseen"} == {kind}, "something else was found too"
    assert is_well or not lines, mended
    assert live(run)[1] == before


def examined(tools: Tools) -> list[dict[str, str]]:
    """The doctor's findings of a cluster."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr(door, "run", tools)
        patch.setattr(common, "run", tools)
        out = stack.enter_context(redirect_stdout(StringIO()))
        stack.enter_context(redirect_stderr(StringIO()))
        main(["doctor", "--only", "pacemaker", "-f", "json"])
    found: list[dict[str, str]] = json.loads(out.getvalue())
    return found


def errors(rows: list[dict[str, str]], ill: Ill) -> set[tuple[str, str]]:
    return {(row["Finding"], row["On"]) for row in rows if row["Level"] == "error" or (row["Finding"], row["On"]) == (ill.kind, ill.on)}


def on_file(line: str, file: str) -> str:
    """A command for the cluster as one for a file; nothing where it only fetches or puts back the cluster's CIB."""
    if line.startswith(("pcs cluster cib ", "cp ", "pcs cluster cib-push ")):
        return ":"
    return re.sub(r"^pcs ", f"pcs -f {file} ", line.replace(f"-f {FILE} ", ""))


@pytest.fixture(scope="module")
def outcomes(run: Run) -> Iterator[dict[tuple[str, int], tuple[str, str]]]:
    """By tool and illness: what the commands said when they failed, and the CIB after them."""
    first = cluster.find("ctl-1")

    def treat(case: tuple[str, int], lines: list[str]) -> tuple[str, str]:
        tool, number = case
        file = f"/root/doctor-{tool}-{number}.xml"
        machine.put(first, file, PACEMAKER[number].tools().cib, 0o600)
        script = "set -e\n" + "".join(on_file(line, file) + "\n" for line in lines)
        done = run("sh", "-c", script, timeout=120, **({"CIB_file": file} if tool == "crm" else {}))
        text = run("cat", file).stdout
        run("rm", file)
        return (done.stdout + done.stderr if done.returncode else "", text)

    work = []
    for tool, number in TRIED:
        ill = PACEMAKER[number]
        row = next(row for row in examined(ill.tools()) if (row["Finding"], row["On"]) == (ill.kind, ill.on))
        work.append(row["Mend" if tool == "pcs" else "Crmsh"])
    run("mkdir", "-p", "/root/.cache/crm")     # crmsh fails when two of it make it at once
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield dict(zip(TRIED, pool.map(treat, TRIED, work)))  # type: ignore[arg-type]


@pytest.mark.parametrize("case", TRIED, ids=lambda case: f"{case[0]}-{PACEMAKER[case[1]]}-{case[1]}")
def test_what_is_printed_mends_it(outcomes: dict[tuple[str, int], tuple[str, str]], case: tuple[str, int]) -> None:
    ill = PACEMAKER[case[1]]
    complaint, text = outcomes[case]
    assert not complaint
    tools = ill.tools()
    before, tools.cib = errors(examined(ill.tools()), ill), text
    after = errors(examined(tools), ill)
    assert (ill.kind, ill.on) not in after and after <= before
