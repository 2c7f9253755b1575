"""instance-ha configure in a real cluster: from nothing to protected, from the predecessors, and back. The tests build on one another."""

from __future__ import annotations

import re
import shlex
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from instance_ha import configuration
from instance_ha.configuration import Configuration
from lxml import etree

from tests.cluster.scenario import Story, healthy, secrets_in_logs
from tests.configure.conftest import BARE, SIZE
from tests.lab import cluster, protect, servers, watch
from tests.lab import node as machine
from tests.lab.cloud_config import CATALOG
from tests.lab.common import wait_until

HOSTS = ["cmp-1", "cmp-2"]
FIRST = ["--hosts", ",".join(HOSTS), "--cloud", "lab", "--nova-compute", "ocf:lab:nova-compute", "--image-disks", "evacuate"]
CONFIGURE_LIMIT = 300.0
RUN_LIMIT = 90.0
OLD_PASSWORD = "the-predecessors"
BEGUN = time.time()
VOLATILE = ("dc-version", "have-watchdog", "cluster-infrastructure", "last-lrm-refresh")   # properties that Pacemaker writes itself


def on_first(*argv: str, code: int = 0, stdin: str | None = None) -> tuple[str, str]:
    """What a command on the first controller said, on stdout and on stderr."""
    done = machine.exec_in(cluster.find("ctl-1"), argv, CONFIGURE_LIMIT, stdin=stdin)
    assert done.returncode == code, f"{argv} ended with {done.returncode}: {done.stdout[-1500:]} {done.stderr[-1500:]}"
    return done.stdout, done.stderr


def configure(*argv: str, code: int = 0) -> str:
    return on_first("instance-ha", "configure", *argv, code=code)[0]


def cib(file: str = "") -> str:
    return on_first("cat", file)[0] if file else on_first("cibadmin", "--query")[0]


def read(text: str) -> Configuration:
    return configuration.read(etree.fromstring(text.encode()))


def shape(has: Configuration) -> dict[str, object]:
    """What matters of a configuration; not how long its actions may take, which differs where the README leaves it open."""
    return {
        "resources": {r.id: (r.agent, dict(r.params), dict(r.meta), r.within, r.operations.get("monitor", {}).get("on-fail"))
                      for r in has.resources.values()},
        "levels": {name: [level.devices for level in has.levels_of(name)] for name in has.nodes},
        "locations": set(has.locations), "nodes": dict(has.nodes), "defaults": dict(has.defaults),
        "properties": {name: value for name, value in has.properties.given.items() if name not in VOLATILE},
    }


def without_nodes(has: Configuration) -> dict[str, object]:
    return {name: value for name, value in shape(has).items() if name != "nodes"}


def folder(said: str) -> str:
    found = re.search(r"instance-ha configure --undo (\S+)", said)
    assert found, said
    return found[1]


def everything_serves() -> None:
    """Until Pacemaker has done all it means to, the hosts are online and their nova-computes up."""
    on_first("crm_resource", "--wait", f"--timeout={RUN_LIMIT:g}")      # a new fence device unfences, and nova-compute starts again after it
    assert wait_until(lambda: set(HOSTS) <= cluster.online()[0], RUN_LIMIT, 0.5)
    servers.wait_computes(HOSTS, RUN_LIMIT)
    healthy()


def dies_and_is_recovered(victim: str = "cmp-1") -> None:
    """A host loses its power; its servers run on the other one; it comes back into service."""
    story = Story(victim)
    story.boot(running=2, stopped=1)
    story.cut_power()
    story.recovered()
    healthy()
    story.audit()
    servers.delete_all()


@pytest.fixture(scope="module")
def expected() -> Configuration:
    """What protect's commands make of the bare cluster, in a file."""
    on_first("sh", "-c", "umask 077; cibadmin --query > /root/expected.xml")
    for command in protect.commands(SIZE):
        if not command.startswith(BARE):
            on_first("pcs", "-f", "/root/expected.xml", *shlex.split(command)[1:])
    return read(cib("/root/expected.xml"))


def test_printing_changes_nothing(expected: Configuration) -> None:
    before = cib()
    assert "stonith level add 1 cmp-1 fence-cmp-1 fence-nova" in configure(*FIRST, code=1)
    assert "which cloud" in on_first("instance-ha", "configure", "--hosts", "cmp-1", code=2)[1]
    assert "cannot be asked" in on_first("instance-ha", "configure", "--cloud", "other", code=2)[1]
    assert shape(read(cib())) == shape(read(before))


def test_a_bare_cluster_is_protected_as_by_the_readme(expected: Configuration) -> None:
    said = configure(*FIRST, "--apply")
    assert shape(read(cib())) == shape(expected)
    mode = on_first("stat", "-c", "%a", folder(said), f"{folder(said)}/before.xml", f"{folder(said)}/after.xml")[0]
    assert mode.split() == ["700", "600", "600"]
    everything_serves()
    assert configure() == "# nothing to do\n"       # the hosts are Nova's now


def test_a_host_really_dies() -> None:
    dies_and_is_recovered()
    assert configure() == "# nothing to do\n"


def last_folder() -> str:
    return on_first("sh", "-c", "ls -d /var/lib/instance-ha/configure-* | tail -1")[0].strip()


def test_it_is_taken_back_and_done_again_with_crmsh(expected: Configuration) -> None:
    before = last_folder()
    configure("--undo", before)
    assert without_nodes(read(cib())) == without_nodes(read(cib(f"{before}/before.xml")))
    configure(*FIRST, "--apply", "--tool", "crmsh")
    assert shape(read(cib())) == shape(expected)
    everything_serves()
    assert configure() == "# nothing to do\n"
    configure("--undo", last_folder())


@pytest.mark.parametrize("tool", ["pcs", "crmsh"])
def test_a_shell_does_the_same_and_what_is_written_meanwhile_stays(expected: Configuration, tool: str) -> None:
    script = configure(*FIRST, "--tool", tool, code=1)
    meanwhile = "crm_attribute --type nodes --node cmp-1 --name witness --update seen"
    lines = script.splitlines()
    push = next(number for number, line in enumerate(lines) if "crm_diff" in line or "cib-push" in line)
    on_first("sh", stdin="\n".join([*lines[:push], meanwhile, *lines[push:]]))
    has = read(cib())
    assert has.nodes["cmp-1"].attributes == {"osprole": "compute", "witness": "seen"}
    assert without_nodes(has) == without_nodes(expected)
    configure("--undo", folder(script))
    assert read(cib()).nodes["cmp-1"].attributes["witness"] == "seen"
    on_first("crm_attribute", "--type", "nodes", "--node", "cmp-1", "--name", "witness", "--delete")


@pytest.fixture(scope="module")
def old_user() -> str:
    """Parameters of a user of its own, since Pacemaker logs what is put into the CIB, and no log may hold the password of the others."""
    def ask(method: str, path: str, body: object = None) -> Any:
        return servers.request("identity", method, path, body)

    project = ask("GET", "/projects?name=admin")["projects"][0]["id"]
    role = ask("GET", "/roles?name=admin")["roles"][0]["id"]
    user = ask("POST", "/users", {"user": {"name": "predecessor", "password": OLD_PASSWORD, "domain_id": "default"}})["user"]["id"]
    ask("PUT", f"/projects/{project}/users/{user}/roles/{role}")
    return f"auth_url={CATALOG['identity']} username=predecessor password={OLD_PASSWORD} tenant_name=admin"


def predecessors(who: str) -> Iterator[str]:
    """A cluster with fence_compute in its levels and the old parameters of NovaEvacuate, as commands of pcs in a file."""
    yield f"stonith create fence-nova fence_compute {who} record_only=1 pcmk_host_list='cmp-1 cmp-2' meta provides=unfencing --force"
    for host in HOSTS:
        yield f"node attribute {host} osprole=compute"
        yield f"stonith level add 1 {host} fence-{host} fence-nova"
    yield "property set stonith-enabled=true"
    yield "resource create nova-compute ocf:lab:nova-compute op start timeout=60s op stop timeout=20s meta requires=unfencing clone interleave=true"
    yield "constraint location nova-compute-clone rule resource-discovery=exclusive score=0 osprole eq compute"
    yield f"resource create nova-evacuate ocf:openstack:NovaEvacuate {who} endpoint_type=public op monitor interval=10s timeout=600s"
    yield "constraint location nova-evacuate rule resource-discovery=never score=-INFINITY osprole eq compute"
    yield "constraint order start fence-cmp-1 then nova-evacuate require-all=false"


class Levels:
    """Every state of the fencing levels that the cluster shows while something is done."""

    ONCE = "cibadmin --query --scope fencing-topology"
    LOOK = f"while [ ! -e /root/enough ]; do {ONCE}; echo ==; sleep 0.05; done; {ONCE}"

    def __enter__(self) -> Levels:
        on_first("rm", "-f", "/root/enough")
        self.seen: list[str] = []
        self.thread = threading.Thread(target=lambda: self.seen.extend(on_first("sh", "-c", self.LOOK)[0].split("==\n")))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        on_first("touch", "/root/enough")
        self.thread.join()

    def states(self) -> set[tuple[str, ...]]:
        return {tuple(re.findall(r'devices="([^"]*)"', one)) for one in self.seen if one}


def test_fence_nova_takes_the_place_of_fence_compute_in_one_moment(old_user: str) -> None:
    on_first("sh", "-c", "umask 077; cibadmin --query > /root/old.xml; cp /root/old.xml /root/bare.xml")
    for command in predecessors(old_user):
        on_first("pcs", "-f", "/root/old.xml", *shlex.split(command))
    on_first("pcs", "cluster", "cib-push", "/root/old.xml", "diff-against=/root/bare.xml")
    everything_serves()
    told = on_first("instance-ha", "configure", "--hosts", "cmp-1,cmp-2", code=2)[1]
    assert "cmp-1: fence-nova in its fencing level 1 is fence_compute: --migrate" in told
    with Levels() as levels:
        said = configure("--migrate", "--cloud", "lab", "--apply")
    assert levels.states() == {("fence-cmp-1,fence-nova", "fence-cmp-2,fence-nova"), ("fence-cmp-1,fence-nova2", "fence-cmp-2,fence-nova2")}
    assert OLD_PASSWORD in cib(f"{folder(said)}/before.xml") and OLD_PASSWORD not in cib() and OLD_PASSWORD not in said
    has = read(cib())
    assert "fence-nova" not in has.resources and has.resources["nova-evacuate"].params == {"cloud": "lab", "image_disks": "evacuate"}
    assert has.resources["nova-evacuate"].operations["monitor"]["timeout"] == "20s"
    everything_serves()
    assert configure("--migrate") == configure() == "# nothing to do\n"


def test_a_host_dies_after_the_migration() -> None:
    dies_and_is_recovered()


def test_the_way_back_from_the_migration() -> None:
    before = last_folder()
    with Levels() as levels:
        configure("--undo", before)
    assert len(levels.states()) == 2
    assert without_nodes(read(cib())) == without_nodes(read(cib(f"{before}/before.xml"))) and OLD_PASSWORD in cib()
    everything_serves()
    on_first("pcs", "resource", "update", "nova-evacuate", "image_disks=evacuate")
    dies_and_is_recovered()     # fence_compute sets its mark, and the new NovaEvacuate acts on it


def test_nothing_was_fenced_that_did_not_die_and_nothing_secret_was_logged() -> None:
    assert {fencing.node for fencing in watch.fencings(BEGUN)} == {"cmp-1"}
    assert not secrets_in_logs()
