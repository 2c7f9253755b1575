"""Evacuation by hand: what it says of what it could not see, and when it refuses."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from instance_ha import cluster as door
from instance_ha.cli import assurance, common, evacuate, main
from instance_ha.engine import evacuation
from instance_ha.engine.scene import ByHand, Task
from instance_ha.engine.selection import Policy
from instance_ha.model import CONFIRMED, FENCED, PARTLY, RETURNING, Record
from instance_ha.process import Outcome

from tests.unit.little_cloud import PASSWORD, LittleCloud, stamp

ATTRIBUTE = '<instance_attributes id="i"><nvpair id="r" name="evacuate" value="{}"/></instance_attributes>'
Said = pytest.CaptureFixture[str]
# Nova knows the node cmp-1 as nova-a.
CIB = """<cib have-quorum="1"><configuration><resources><primitive id="cmp-1" class="ocf" type="remote" provider="pacemaker"/>
<primitive id="fence-nova" class="stonith" type="fence_nova"><instance_attributes id="f">
<nvpair id="m" name="pcmk_host_map" value="cmp-1:nova-a"/></instance_attributes></primitive></resources>
<nodes><node type="remote" id="cmp-1" uname="cmp-1"/></nodes></configuration><status>
<node_state remote_node="true" id="cmp-1" uname="cmp-1" in_ccm="{online}" node_fenced="0"/></status></cib>"""


class Machine:
    """A controller: `cib` is what cibadmin says, None where it fails as without a running Pacemaker."""

    def __init__(self) -> None:
        self.cib: str | None = CIB.format(online="false")
        self.online = ""                       # the node that crm_mon calls online

    def __call__(self, argv: list[str], timeout: float) -> Outcome:
        if self.cib is None:
            return Outcome(102, "", "Could not connect to the CIB: Transport endpoint is not connected")
        nodes = f'<nodes><node name="{self.online}" online="true"/></nodes>' if argv[0] == "crm_mon" else ""
        return Outcome(0, self.cib if argv[0] == "cibadmin" else f"<pacemaker-result>{nodes}</pacemaker-result>", "")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    one = Machine()
    monkeypatch.setattr(common, "run", one)
    monkeypatch.setattr(door, "run", one)
    monkeypatch.setattr("shutil.which", lambda name, path: f"/usr/sbin/{name}")
    monkeypatch.setattr(assurance, "WATCH", 0.0)
    monkeypatch.setattr(evacuate, "POLL", 0.01)
    return one


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[LittleCloud]:
    one = LittleCloud()
    one.service("cmp-1").update(host="nova-a", state="down")
    one.boot("s1", "web", "nova-a")
    for name, value in {"AUTH_URL": f"{one.url}/v3", "USERNAME": "instance-ha", "PASSWORD": PASSWORD, "PROJECT_NAME": "service"}.items():
        monkeypatch.setenv(f"OS_{name}", value)
    yield one
    one.server.shutdown()
    one.server.server_close()


def by_hand(*more: str, host: str = "nova-a") -> int:
    return main(["host-evacuate", host, "--host-is-off", *more])


def test_a_limit_that_came_first_is_no_success(machine: Machine, cloud: LittleCloud, capsys: Said) -> None:
    assert by_hand("--timeout", "0.3") == 1
    assert "not followed to the end: --timeout of 0.3 s is over" in capsys.readouterr().err


def test_a_nova_that_goes_silent_is_no_success_and_what_is_known_is_shown(
        machine: Machine, cloud: LittleCloud, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evacuate, "SILENCE_LIMIT", 0.1)
    monkeypatch.setattr(evacuate, "_show_progress", lambda *_: setattr(cloud, "away", True))
    assert by_hand("--generate-password") == 1
    said = capsys.readouterr()
    assert "| s1     | web  | unknown" in said.out and "not followed to the end: " in said.err and "503" in said.err


@pytest.mark.parametrize("limit", ["0", "-1", "nan", "inf", "soon"])
def test_a_limit_that_is_none_is_refused(limit: str, capsys: Said) -> None:
    with pytest.raises(SystemExit) as end:
        by_hand("--timeout", limit)
    assert end.value.code == 2 and "is no number of seconds above 0" in capsys.readouterr().err


def test_a_cluster_that_cannot_be_asked_is_not_no_cluster(machine: Machine, cloud: LittleCloud, capsys: Said) -> None:
    machine.cib = None
    assert by_hand() == 2
    assert "this machine's cluster cannot be asked: cibadmin failed with 102" in capsys.readouterr().err
    assert not any("action" in line or line.startswith("PUT") for line in cloud.asked)
    assert by_hand("--without-cluster", "--timeout", "0.3") == 1


def test_a_live_host_of_another_name_is_refused(machine: Machine, cloud: LittleCloud, capsys: Said) -> None:
    machine.cib = CIB.format(online="true")
    for host in ("nova-a", "cmp-1"):
        assert by_hand(host=host) == 2
        assert "Pacemaker says cmp-1 is online" in capsys.readouterr().err


def test_a_host_that_crm_mon_alone_calls_online_is_refused(machine: Machine, cloud: LittleCloud, capsys: Said) -> None:
    """As with Pacemaker 3.0, whose CIB has a remote node offline that is online, where its connection's history was cleaned up."""
    machine.online = "cmp-1"
    assert by_hand() == 2 and "Pacemaker says cmp-1 is online" in capsys.readouterr().err
    assert not any("action" in line or line.startswith("PUT") for line in cloud.asked)


@pytest.mark.parametrize("wrong", ["cmp-1:ctl-1", "cmp-1:CTL-1.example.org", "cmp-1:nova-b;cmp-9:nova-b"])
def test_a_host_that_the_map_gives_to_two_nodes_is_refused(machine: Machine, cloud: LittleCloud, capsys: Said, wrong: str) -> None:
    host = wrong.partition(";")[0].partition(":")[2]
    cloud.service("nova-a").update(host=host)
    machine.cib = CIB.format(online="false").replace("cmp-1:nova-a", wrong).replace("<status>", '<status><node_state id="1" uname="ctl-1" '
                                                                                    'in_ccm="true" crmd="online"/>')
    machine.cib = machine.cib.replace("<nodes>", '<nodes><node id="1" uname="ctl-1"/><node id="9" uname="cmp-9"/>')
    assert by_hand(host=host) == 2 and f"{host} is the host of" in capsys.readouterr().err
    assert not any("action" in line or line.startswith("PUT") for line in cloud.asked)


def test_a_change_of_its_service_is_no_sign_of_life(machine: Machine, cloud: LittleCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A colleague disables the dead host meanwhile, which moves the time stamp as a report does."""
    cloud.service("nova-a").update(forced_down=True)
    monkeypatch.setattr(assurance, "WATCH", 0.3)
    monkeypatch.setattr(assurance, "LOOK", 0.05)

    def sleep(_: float) -> None:
        if cloud.service("nova-a")["status"] == "enabled":
            cloud.service("nova-a").update(status="disabled", updated_at=stamp(-0.5))
        real(0.02)

    real = time.sleep
    monkeypatch.setattr("time.sleep", sleep)
    monkeypatch.setattr(evacuation, "TAKEOVER", 0.0)
    by_hand("--timeout", "0.5")
    assert cloud.migrations


def test_no_password_is_asked_for_in_vain(machine: Machine, cloud: LittleCloud, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.service("nova-a").update(state="up")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert by_hand("--password", "-") == 2
    assert "no password was given" in capsys.readouterr().err and not cloud.service("nova-a")["forced_down"]


def test_an_interruption_shows_what_is_known_and_gives_back_what_was_not_sent(
        machine: Machine, cloud: LittleCloud, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        if cloud.servers["s1"]["locked"]:
            raise KeyboardInterrupt

    monkeypatch.setattr(evacuate, "_show_progress", interrupt)
    assert by_hand() == 1
    said = capsys.readouterr()
    assert "| s1     | web  | no " in said.out and "not followed to the end: interrupted" in said.err
    assert not cloud.migrations and not cloud.servers["s1"]["locked"]


@pytest.mark.parametrize(("state", "again"), [(FENCED, False), (CONFIRMED, True)])
def test_a_destination_whose_fencing_is_not_confirmed_may_be_at_work(
        machine: Machine, cloud: LittleCloud, monkeypatch: pytest.MonkeyPatch, state: str, again: bool) -> None:
    """cmp-2 has the request, and is forced down by its fencing."""
    cloud.services.append({**cloud.service("cmp-2"), "id": "s-3", "host": "cmp-3"})
    record = Record("cmp-2", state, "3f9c", proof="" if state == FENCED else "node_fenced:1", baseline=0)
    node = ('<node type="remote" id="cmp-2" uname="cmp-2"><instance_attributes id="a">'
            f'<nvpair id="n" name="evacuate" value="{record.text()}"/></instance_attributes></node>')
    remote = '<primitive id="cmp-2" class="ocf" type="remote" provider="pacemaker"/>'
    machine.cib = CIB.format(online="false").replace("</nodes>", f"{node}</nodes>").replace("</resources>", f"{remote}</resources>")

    def fence(*_: object) -> None:
        if cloud.migrations and cloud.service("cmp-2")["state"] == "up":
            cloud.move("s1", "pre-migrating", "cmp-2")
            cloud.service("cmp-2").update(state="down", forced_down=True, updated_at="1970-01-01T00:00:00.000000")

    monkeypatch.setattr(evacuation, "TAKEOVER", 0.0)
    monkeypatch.setattr(evacuate, "_show_progress", fence)
    by_hand("--timeout", "1")
    assert len(cloud.migrations) == (2 if again else 1)


def record_of(node: str, record: Record, *, online: str = "false", mark: str = "0") -> str:
    """The CIB with the record of a node in it."""
    pair = (f'<instance_attributes id="a"><nvpair id="n" name="evacuate" value="{record.text()}"/></instance_attributes></node>')
    cib = CIB.format(online=online).replace('node_fenced="0"', f'node_fenced="{mark}"')
    return cib.replace(f'<node type="remote" id="{node}" uname="{node}"/>', f'<node type="remote" id="{node}" uname="{node}">{pair}')


PARTLY_DONE = Record("cmp-1", PARTLY, "3f9c", proof="node_fenced:1", baseline=0, host="nova-a")


@pytest.mark.parametrize("back", [
    lambda machine, cloud: setattr(machine, "cib", record_of("cmp-1", PARTLY_DONE, online="true")),
    lambda machine, cloud: setattr(machine, "cib", record_of("cmp-1", replace(PARTLY_DONE, state=RETURNING))),
    lambda machine, cloud: cloud.service("nova-a").update(updated_at=stamp(-0.5)),
], ids=["online", "let in", "reports"])
def test_a_host_that_comes_back_meanwhile_is_not_evacuated(
        machine: Machine, cloud: LittleCloud, capsys: Said, monkeypatch: pytest.MonkeyPatch, back: Callable[[Machine, LittleCloud], None]) -> None:
    """It stays forced down in Nova for as long as nobody takes it back."""
    cloud.service("nova-a").update(forced_down=True, status="disabled", disabled_reason="instance-ha: fenced at 2026-11-25T04:00:01Z (3f9c)")
    machine.cib = record_of("cmp-1", PARTLY_DONE, mark="5")
    monkeypatch.setattr(evacuate, "_show_progress", lambda *_: back(machine, cloud) if cloud.servers["s1"]["locked"] else None)
    monkeypatch.setattr(evacuation, "TAKEOVER", 0.5)
    assert by_hand("--timeout", "2") == 1
    assert "its host is returning" in capsys.readouterr().out and not cloud.migrations and not cloud.servers["s1"]["locked"]


def test_a_proof_of_another_time_is_no_proof(machine: Machine, cloud: LittleCloud, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a CIB that was restored: the connection to the node is stopped, and neither Pacemaker nor Nova says that it was fenced."""
    machine.cib = record_of("cmp-1", PARTLY_DONE)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["host-evacuate", "nova-a"]) == 2
    assert "nothing proves that nova-a is off" in capsys.readouterr().err and not cloud.service("nova-a")["forced_down"]


def test_a_part_without_quorum_is_not_asked(machine: Machine, cloud: LittleCloud, capsys: Said) -> None:
    machine.cib = record_of("cmp-1", PARTLY_DONE, mark="5").replace('have-quorum="1"', 'have-quorum="0"')
    assert by_hand() == 2 and "this part of it has no quorum" in capsys.readouterr().err


def test_a_host_of_which_nova_tells_nothing_is_not_evacuated(machine: Machine, cloud: LittleCloud, capsys: Said) -> None:
    service = cloud.service("nova-a")
    service.clear()
    service.update(binary="nova-compute", host="nova-a", status="UNKNOWN")
    assert by_hand() == 2 and "Nova tells nothing of nova-a but its name" in capsys.readouterr().err


def test_the_one_server_that_was_named_counts_whatever_the_rules_say(machine: Machine, cloud: LittleCloud, capsys: Said) -> None:
    cloud.servers["s1"]["metadata"] = {"evacuable": "false"}
    assert main(["evacuate", "s1", "--host-is-off"]) == 1
    assert "| no " in capsys.readouterr().out and by_hand() == 0


PART = {"id": "s1", "status": "UNKNOWN", "created": "2026-11-25T04:00:00Z", "tenant_id": "p", "links": []}   # its cell is down (2.69)


def changed(monkeypatch: pytest.MonkeyPatch, cloud: LittleCloud, path: str, change: Callable[[Any], Any]) -> None:
    """Change Nova's answers to what is read at this path."""
    answer = cloud.answer

    def other(method: str, asked: str, body: Any, request: str) -> tuple[int, Any]:
        code, found = answer(method, asked, body, request)
        return code, change(found) if method == "GET" and asked.split("?")[0] == path else found

    monkeypatch.setattr(cloud, "answer", other)


def test_a_server_of_which_nova_shows_no_host_is_not_called_evacuated(
        machine: Machine, cloud: LittleCloud, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.servers["s1"].update({"OS-EXT-STS:vm_state": "building"})
    changed(monkeypatch, cloud, "/servers/s1", lambda found: {"server": PART})
    assert by_hand() == 1
    assert "| s1     | web  | yes" not in capsys.readouterr().out


def test_servers_that_lists_leave_out_for_a_moment_are_no_empty_host(
        machine: Machine, cloud: LittleCloud, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    lists = [0]

    def short(found: Any) -> Any:
        lists[0] += 1
        return {"servers": []} if lists[0] <= 2 else found

    changed(monkeypatch, cloud, "/servers/detail", short)
    assert by_hand("--timeout", "0.3") == 1 and "s1" in capsys.readouterr().out


@pytest.mark.parametrize("row", [None, {"binary": "nova-compute", "host": "nova-a"}])      # left out; its cell is away
def test_a_host_of_which_nova_tells_nothing_is_sent_nothing(cloud: LittleCloud, monkeypatch: pytest.MonkeyPatch, row: Any) -> None:
    """Whether its nova-compute reports nobody knows then."""
    engine = evacuation.Evacuation(cloud.nova, Task("nova-a", "3f9c", "cli-ctl.1"), Policy(), by_hand=ByHand())
    follower = evacuate.Follower(engine, assurance.Watch(None, ""), "")
    assert follower._look().scene.starts

    def short(found: Any) -> Any:
        return {"services": [one for one in found["services"] if one["host"] != "nova-a"] + [row] * (row is not None)}

    changed(monkeypatch, cloud, "/os-services", short)
    assert not follower._look().scene.starts


def test_a_host_that_was_switched_on_after_its_fencing_is_refused(
        machine: Machine, cloud: LittleCloud, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pacemaker is not connected to it yet, so that its mark is still there."""
    cloud.service("nova-a").update(host="cmp-1", state="up", updated_at=stamp(-1))
    cloud.servers["s1"]["OS-EXT-SRV-ATTR:host"] = "cmp-1"
    record = f'<node type="remote" id="cmp-1" uname="cmp-1">{ATTRIBUTE.format("partly;id=3f9c;proof=x;host=cmp-1")}</node>'
    machine.cib = CIB.format(online="false").replace('node_fenced="0"', 'node_fenced="1795559437"').replace(
        '<node type="remote" id="cmp-1" uname="cmp-1"/>', record).replace("cmp-1:nova-a", "")
    monkeypatch.setattr(assurance, "WATCH", 2.5)
    monkeypatch.setattr(assurance, "LOOK", 0.1)
    changed(monkeypatch, cloud, "/os-services", lambda found: {
        "services": [{**one, "updated_at": stamp(0)} if one["host"] == "cmp-1" else one for one in found["services"]]})
    assert main(["host-evacuate", "cmp-1"]) == 2
    assert "Nova says cmp-1 is up" in capsys.readouterr().err, "nothing of the mark is believed"
    assert main(["host-evacuate", "cmp-1", "--host-is-off"]) == 2
    assert "has just reported to Nova: the host is not off" in capsys.readouterr().err
