"""Every command of the operators' pages, run as it is written there: before a failure, while its host is away, and afterwards."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.cluster.scenario import Story, healthy
from tests.lab import bmc, cluster, watch
from tests.lab import node as machine
from tests.lab.common import ROLE, wait_until

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = tuple(DOCS / f"{name}.md" for name in (
    "operations", "degraded", "fencing-failed", "nothing-happens", "server-not-moved", "host-does-not-return",
    "many-hosts-down", "planned-work", "evacuate-manually"))
TOOLS = ("instance-ha", "crm_attribute", "crm_mon", "cibadmin", "pcs", "crm", "stonith_admin", "grep", "journalctl", "openstack")
LIMIT = 60.0
FORGET = "cibadmin --delete --xpath \"//cluster_property_set[@id='instance-ha-history']\""
# The command, its exit code, and what its output has to hold. INCIDENT stands for the id in the guide.
BEFORE = (
    ("instance-ha doctor", *((1, "0 errors, 1 unknown") if ROLE else (0, "0 errors, 0 unknown"))),
    ("instance-ha doctor --only node", 0, "0 errors, 0 unknown"),
    ("instance-ha plan cmp-1", 0, "sure"),
    ("instance-ha plan --any 1", 0, "any host may die"),
    ("instance-ha status", 0, "nothing is on record"),
    ("instance-ha doctor --only cloud", *((1, "0 errors, 1 unknown") if ROLE else (0, "0 errors, 0 unknown"))),
    ("instance-ha hosts", 0, "cmp-1"),
    ("crm_mon -1rf", 0, "nova-evacuate"),
    ("crm_mon -1Arf", 0, "nova-evacuate"),
    ("pcs stonith history show cmp-1", 0, ""),
    ("instance-ha host-evacuate cmp-1 --host-is-off", 2, "Pacemaker says cmp-1 is online"),
    ("instance-ha host-evacuate cmp-1", 2, "Pacemaker says cmp-1 is online"),
    ("instance-ha host-evacuate --target cmp-2 cmp-1", 2, "Pacemaker says cmp-1 is online"),
    ("pcs resource update nova-evacuate enabled=false", 0, ""),
    ("pcs resource update nova-evacuate enabled=true", 0, ""),
    ("crm resource param nova-evacuate set enabled false", 0, ""),
    ("pcs resource update nova-evacuate enabled=true", 0, ""),
)
MEANWHILE = (
    ("crm_mon -1A", 0, "waiting for its return"),
    ("instance-ha status", 1, "the worker says: evacuated; waiting for its return"),
    ("instance-ha status --watch", 1, "arrived"),
    ("instance-ha status cmp-1", 1, "the worker says: evacuated; waiting for its return"),
    ("instance-ha status cmp-1 --watch", 1, "arrived"),
    ("stonith_admin --history cmp-1 --verbose", 0, "cmp-1"),
    ("crm_attribute --type nodes --node cmp-1 --name evacuate --query", 0, "value=evacuated;id="),
    ("crm_attribute --type nodes --node cmp-1 --name evacuate --delete", 0, "Deleted nodes attribute"),
    ("crm_attribute --lifetime reboot --node ctl-1 --name evacuation-cmp-1 --delete", 0, ""),
)
CONFIRMED = (
    ("pcs stonith confirm cmp-1", 0, ""),
    ("stonith_admin --confirm cmp-1", 0, ""),
    ("instance-ha dismiss cmp-1", 0, "cmp-1"),
)
AFTERWARDS = (
    ("instance-ha history", 0, "INCIDENT"),
    ("instance-ha report last -o incident.html", 0, ""),
    ("grep incident=INCIDENT /var/log/syslog", 0, "event=server-arrived"),
    ("pcs property config", 0, ""),
    ("crm configure show", 0, "instance-ha-history"),
    ("cibadmin --query --scope crm_config", 0, "INCIDENT"),
    ("pcs resource restart nova-compute-clone NODE", 0, "successfully restarted"),
    ("pcs resource restart nova-evacuate", 0, "successfully restarted"),
    ("pcs resource cleanup nova-evacuate", 0, ""),
    ("pcs resource cleanup nova-compute", 0, ""),
    ("pcs stonith cleanup fence-cmp-1", 0, ""),
    ("pcs stonith cleanup fence-nova", 0, ""),
    (FORGET, 0, ""),
    ("instance-ha history", 0, ""),
)
ELSEWHERE = {
    "pcs resource enable NODE": "tests/lab/protect.py, for each compute host",
    "pcs resource manage NODE": "the fault matrix, for the worker's resource",
    "openstack server start ID": "no openstack command in the laboratory; after_reboot=start asks the same of Nova",
    "openstack compute service list": "no openstack command in the laboratory; instance-ha hosts asks the same of Nova",
    'instance-ha maintenance on cmp-1 --reason "new fans"': "test_maintenance.py",
    "instance-ha maintenance off cmp-1": "test_maintenance.py",
    "instance-ha maintenance on NODE": "test_maintenance.py",
    "openstack server set --state error SERVER": "no openstack command in the laboratory; the fault matrix asks the same of Nova",
    "openstack role create evacuator": "no openstack command in the laboratory; LAB_ROLE=evacuator asks the same of Keystone",
    "openstack role add --user instance-ha --project service evacuator":
        "no openstack command in the laboratory; LAB_ROLE=evacuator asks the same of Keystone",
    "pcs resource disable nova-evacuate": "test_records.py, which enables it again",
    "instance-ha evacuate SERVER": "tests/nova/test_once.py",
    "pcs stonith level add 1 NODE POWER_DEVICE fence-nova": "the line of docs/install.md, tests/unit/test_install_page.py",
    "journalctl -t 'NovaEvacuate(nova-evacuate)' --grep server=SERVER_ID": "the laboratory has no journal; a node's syslog is its log",
    "instance-ha host-evacuate NODE": "tests/cluster/test_faults.py",
    "openstack server set --property evacuable=true SERVER": "no openstack command in the laboratory; not run by hand either",
    "openstack server unlock SERVER": "no openstack command in the laboratory; run by hand on 2026-11-25",
    "openstack server migrate --live-migration SERVER": "no openstack command in the laboratory; run by hand on 2026-11-25",
    "pcs stonith confirm NODE": "CONFIRMED",
    "pcs stonith history show NODE": "BEFORE",
    "pcs resource restart nova-compute-clone cmp-1": "AFTERWARDS",
    "pcs stonith fence cmp-1": "tests/lab/watch.py and the fault matrix fence hosts so",
    "stonith_admin --fence cmp-1": "test_maintenance.py",
    "pcs stonith update fence-cmp-1 password=...": "not run",
    "pcs property set maintenance-mode=true": "tests/chaos/acts.py",
    "pcs property set maintenance-mode=false": "tests/chaos/acts.py clears it",
    "pcs resource enable nova-evacuate": "tests/chaos/acts.py, switch_worker",
    "pcs node standby ctl-1": "not run",
    "pcs node unstandby ctl-1": "not run",
    "pcs cluster stop": "not run",
    "instance-ha evacuate SERVER cmp-2": "not run with a host",
    "instance-ha release cmp-1 cmp-2": "tests/nova/test_limits.py releases all",
    "openstack compute service delete ID": "no openstack command in the laboratory; not run",
    "journalctl -t 'NovaEvacuate(nova-evacuate)' -n 50": "the laboratory has no journal; a node's syslog is its log",
    "pcs stonith fence HOST": "tests/lab/watch.py and the fault matrix fence hosts so",
    "pcs stonith disable fence-nova": "not run",
    "pcs property set stonith-enabled=true": "tests/lab/protect.py",
    "openstack server show ID": "no openstack command in the laboratory; not run",
    "openstack compute service set --disable HOST nova-compute": "no openstack command in the laboratory; not run",
    "openstack compute service set --enable HOST nova-compute": "no openstack command in the laboratory; run by hand on 2026-11-25",
}
NAMES = {"instance-ha plan", "instance-ha plan HOST", "instance-ha plan HOST...", "instance-ha plan HOST HOST...",
         "instance-ha dismiss NODE", "instance-ha release",
         "instance-ha report last", "instance-ha maintenance on", "openstack server unlock", "pcs stonith fence"}


def commands(page: Path) -> set[str]:
    """Return a page's commands, out of its blocks and its text, without what stands behind a # there.

    The doctor's example is left out.
    """
    found = set()
    for number, part in enumerate(re.split(r"^ *```.*$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)):
        lines = [line.strip().removeprefix("$ ") for line in part.splitlines()] if number % 2 else re.findall(r"`([^`\n]+)`", part)
        if lines and any(line.startswith("ERROR ") for line in lines):
            continue
        for line in lines:
            said, note, *_ = (*re.split(r"\s+# ", line, maxsplit=1), "")
            for one in (said, *re.findall(r"(?:crmsh|without pcs): (.+)", note)):
                if " " in one and one.split()[0] in TOOLS:
                    found.add(one.replace("incident=3f9c0b1a", "incident=INCIDENT"))
    return found


def play(rows: tuple[tuple[str, int, str], ...], incident: str = "") -> None:
    controllers = [node for node in cluster.size().nodes if node.kind == "controller"]
    for command, code, words in rows:
        argv = shlex.split(command.replace("INCIDENT", incident).replace("NODE", "cmp-1"))
        if argv[-1] == "--watch":
            argv = ["timeout", "--preserve-status", "-s", "INT", "15", *argv]
        if argv[:3] == ["pcs", "stonith", "confirm"]:
            argv = ["sh", "-c", f"echo y | script -qec '{shlex.join(argv)}' /dev/null"]     # it asks a person at a terminal
        # A log is on the controller that wrote it.
        nodes = controllers if argv[0] == "grep" else controllers[:1]
        done = max((machine.exec_in(node, argv, LIMIT) for node in nodes), key=lambda one: words in one.stdout)
        right = done.returncode == code and words.replace("INCIDENT", incident) in done.stdout + done.stderr
        assert right, f"{command}: exit code {done.returncode}\n{done.stdout}{done.stderr}"


def test_each_command_is_run_somewhere() -> None:
    played = {command for rows in (BEFORE, MEANWHILE, CONFIRMED, AFTERWARDS) for command, _, _ in rows}
    assert set().union(*map(commands, PAGES)) == played | set(ELSEWHERE) | NAMES


def test_the_commands_of_the_guide(stays_off: None) -> None:
    # history's exit code is of every incident it remembers, and other tests leave servers behind on purpose
    machine.exec_in(cluster.find("ctl-1"), shlex.split(FORGET), LIMIT)
    story = Story()
    story.boot(running=3, stopped=1)
    play(BEFORE)
    story.cut_power()
    story.recovered()
    assert wait_until(lambda: watch.records().get(story.victim, "").startswith("evacuated"), LIMIT, 0.5), watch.records()
    incident = watch.records()[story.victim].split("id=")[1][:8]
    play(MEANWHILE)
    assert wait_until(lambda: watch.records().get(story.victim, "").startswith("evacuated"), LIMIT, 0.5), "no record was written again"
    play(CONFIRMED)
    assert wait_until(lambda: watch.records().get(story.victim) == "no", LIMIT, 0.5)
    for node in cluster.size().nodes:
        bmc.stay_off(node, False)
    healthy()
    play(AFTERWARDS, incident)
    story.audit()
