"""The commands: exit codes that are not true, signals in the middle, and success where nobody knows."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from instance_ha import cluster as door
from instance_ha.cli import assurance, common, evacuate, main, maintenance
from instance_ha.engine import evacuation
from instance_ha.process import Outcome

from tests.unit.little_cloud import PASSWORD, LittleCloud, stamp
from tests.unit.test_by_hand import Machine

Said = pytest.CaptureFixture[str]
CIB = """<cib have-quorum="{quorum}"><configuration><resources><primitive id="cmp-1" class="ocf" type="remote" provider="pacemaker"/>
<primitive id="cmp-2" class="ocf" type="remote" provider="pacemaker"/></resources><nodes>{nodes}</nodes></configuration><status>
<node_state remote_node="true" id="cmp-1" uname="cmp-1" in_ccm="{online}" node_fenced="0"/>
<node_state remote_node="true" id="cmp-2" uname="cmp-2" in_ccm="true" node_fenced="0"/></status></cib>"""
NODE = ('<node type="remote" id="{0}" uname="{0}"><instance_attributes id="nodes-{0}"><nvpair id="nodes-{0}-evacuate" '
        'name="evacuate" value="{1}"/></instance_attributes></node>')
HELD = {"cmp-1": "confirmed;id=a1", "cmp-2": "confirmed;id=b2"}


class Pacemaker:
    """Its tools on a CIB with records, which are changed as cibadmin changes them. `refuses` are tools that fail."""

    def __init__(self, **records: str) -> None:
        self.records = {name.replace("_", "-"): text for name, text in records.items()}
        self.quorum, self.online, self.refuses, self.changes = "1", "false", set[str](), list[str]()
        self.before = lambda: None      # called before each change of a record

    def text(self) -> str:
        nodes = "".join(NODE.format(name, text) for name, text in self.records.items())
        return CIB.format(quorum=self.quorum, online=self.online, nodes=nodes)

    def __call__(self, argv: list[str], timeout: float) -> Outcome:
        if argv[0] in self.refuses:
            return Outcome(102, "", "Could not connect to controller: Transport endpoint is not connected")
        if argv[:2] == ["cibadmin", "--query"]:
            text = self.text()
            return Outcome(0, text[text.index("<nodes>"):text.index("</nodes>") + 8] if "--scope" in argv else text, "")
        if argv[0] in ("crm_mon", "stonith_admin"):
            return Outcome(0, "<pacemaker-result/>", "")
        self.changes.append(" ".join(argv))
        if argv[:2] == ["cibadmin", "--modify"]:
            self.before()
            node, old = re.findall(r"@uname='([^']*)'|@value='([^']*)'", argv[-1])
            if self.records.get(node[0]) != old[1]:
                return Outcome(105, "", "No such device or address")
            found = re.search('value="([^"]*)"', argv[argv.index("--xml-text") + 1])
            assert found
            self.records[node[0]] = found.group(1)
        return Outcome(0, "", "")


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Pacemaker:
    one = Pacemaker()
    monkeypatch.setattr(common, "run", one)
    monkeypatch.setattr(door, "run", one)
    monkeypatch.setattr("shutil.which", lambda name, path: f"/usr/sbin/{name}")
    return one


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[LittleCloud]:
    one = LittleCloud()
    for name, value in {"AUTH_URL": f"{one.url}/v3", "USERNAME": "instance-ha", "PASSWORD": PASSWORD, "PROJECT_NAME": "service"}.items():
        monkeypatch.setenv(f"OS_{name}", value)
    monkeypatch.setattr(maintenance, "LOOK", 0.01)
    yield one
    one.server.shutdown()
    one.server.server_close()


# release, dismiss


def test_release_goes_on_where_the_worker_changes_a_record_meanwhile(tools: Pacemaker, capsys: Said) -> None:
    """As it does with each server that has arrived. What is held stays held, and nobody said that it is."""
    tools.records = dict(HELD)

    def worker() -> None:
        tools.records["cmp-2"] = "confirmed;id=b2;left=1"
        tools.before = lambda: None

    tools.before = worker
    assert main(["release"]) == 0, capsys.readouterr()
    assert all("released=1" in text for text in tools.records.values())


def test_release_says_not_that_nothing_was_tried_where_something_is_done(tools: Pacemaker, capsys: Said) -> None:
    tools.records = dict(HELD)
    count = iter(range(100))
    tools.before = lambda: tools.records.update({"cmp-2": f"confirmed;id=b2;left={next(count)}"})
    code = main(["release"])
    assert "cmp-1: released" in capsys.readouterr().out and code == 1


@pytest.mark.parametrize("argv", [["release"], ["dismiss", "cmp-1"]], ids=str)
def test_a_part_without_quorum_says_not_that_it_has_done_it(tools: Pacemaker, capsys: Said, argv: list[str]) -> None:
    """What is written there the other part does not see, which is where the worker is."""
    tools.records, tools.quorum = dict(HELD), "0"
    assert main(argv) == 2 and not tools.changes and "quorum" in capsys.readouterr().err


# maintenance


def test_maintenance_says_not_that_nothing_was_tried_when_the_host_is_disabled(tools: Pacemaker, cloud: LittleCloud, capsys: Said) -> None:
    tools.online, tools.refuses = "true", {"crm_resource"}
    assert main(["maintenance", "on", "cmp-1"]) == 1
    assert cloud.service("cmp-1")["status"] == "disabled"


def test_maintenance_says_not_that_a_host_is_out_of_service_of_which_nova_tells_nothing(
    tools: Pacemaker, cloud: LittleCloud, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    """Its nova-compute is a unit of its own, and runs; then the database of its cell goes away."""
    real = cloud.answer

    def answer(method: str, path: str, body: object, request: str) -> tuple[int, object]:
        service = cloud.service("cmp-1")
        if service.get("status") == "disabled" and method == "GET" and path == "/os-services":
            service.clear()
            service.update(binary="nova-compute", host="cmp-1", status="UNKNOWN")
        return real(method, path, body, request)

    monkeypatch.setattr(cloud, "answer", answer)
    code = main(["maintenance", "on", "cmp-1", "--timeout", "0.3"])
    said = capsys.readouterr()
    assert code == 1 and "out of service" not in said.out


def test_maintenance_is_not_begun_by_a_part_without_quorum(tools: Pacemaker, cloud: LittleCloud) -> None:
    tools.quorum, tools.online = "0", "true"
    assert main(["maintenance", "on", "cmp-1", "--timeout", "0.3"]) == 2
    assert cloud.service("cmp-1")["status"] == "enabled" and not tools.changes


# by hand


@pytest.fixture
def dead(cloud: LittleCloud, monkeypatch: pytest.MonkeyPatch) -> LittleCloud:
    machine = Machine()
    monkeypatch.setattr(common, "run", machine)
    monkeypatch.setattr(door, "run", machine)
    monkeypatch.setattr("shutil.which", lambda name, path: f"/usr/sbin/{name}")
    monkeypatch.setattr(assurance, "WATCH", 0.0)
    monkeypatch.setattr(evacuate, "POLL", 0.01)
    cloud.service("cmp-1").update(host="nova-a", state="down")
    cloud.boot("s1", "web", "nova-a")
    return cloud


def test_without_pyyaml_nothing_is_evacuated_and_then_called_not_tried(
    dead: LittleCloud, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    code = main(["host-evacuate", "nova-a", "--host-is-off", "--timeout", "0.3", "-f", "yaml"])
    tried = [line for line in dead.asked if line.startswith("PUT") or line.endswith("/action")]
    assert (code, tried) == (2, []) or code == 1, f"exit code {code}, and {tried}"


def test_a_password_that_is_no_text_is_one_sentence(dead: LittleCloud, monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"s\xe9cret\n"), encoding="utf-8"))
    assert main(["host-evacuate", "nova-a", "--host-is-off", "--password", "-"]) == 2
    assert "password" in capsys.readouterr().err and not dead.migrations


def test_a_host_is_not_evacuated_to_itself(dead: LittleCloud, capsys: Said) -> None:
    """Nova has not noticed yet that it is dead."""
    dead.service("nova-a").update(state="up")
    assert main(["host-evacuate", "nova-a", "--host-is-off", "--target", "nova-a", "--timeout", "0.3"]) == 2
    assert not dead.service("nova-a")["forced_down"] and not dead.servers["s1"]["locked"]


def test_a_server_may_be_called_detail(dead: LittleCloud, capsys: Said) -> None:
    """GET /servers/detail is Nova's list."""
    dead.boot("s2", "detail", "nova-a")
    main(["evacuate", "detail", "--host-is-off", "--timeout", "0.3"])
    assert "is that Nova's address?" not in capsys.readouterr().err


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP], ids=str)
def test_a_signal_gives_back_what_was_not_sent(cloud: LittleCloud, how: signal.Signals) -> None:
    """As Ctrl-C does: of a terminal that is closed, or of timeout(1). Else its owner finds the server locked, by nobody."""
    cloud.service("cmp-1").update(state="down")
    cloud.boot("s1", "web", "cmp-1")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    # What runs these tests may ignore SIGHUP, as nohup does, and a command leaves that as it is.
    code = "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); from instance_ha.cli import main; sys.exit(main())"
    argv = [sys.executable, "-c", code, "host-evacuate", "cmp-1", "--host-is-off", "--without-cluster"]
    one = subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 30
        while not cloud.servers["s1"]["locked"]:
            assert time.monotonic() < end and one.poll() is None, one.communicate()
            time.sleep(0.01)
        one.send_signal(how)
        out, err = one.communicate(timeout=30)
    finally:
        one.kill()
    assert not cloud.migrations, "sent already: the test came too late"
    assert not cloud.servers["s1"]["locked"] and one.returncode == 1, (one.returncode, out, err)


def test_an_interruption_of_the_first_claim_gives_it_back(dead: LittleCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while Nova locks the server."""
    real = dead.answer

    def answer(method: str, path: str, body: object, request: str) -> tuple[int, object]:
        done = real(method, path, body, request)
        if isinstance(body, dict) and "lock" in body:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
        return done

    monkeypatch.setattr(dead, "answer", answer)
    assert main(["host-evacuate", "nova-a", "--host-is-off", "--timeout", "5"]) == 1
    assert not dead.migrations and not dead.servers["s1"]["locked"]


@pytest.mark.parametrize("name", ["web+1", "web (old)", "web[1]", "web(1", "a.b"], ids=str)
def test_a_server_is_found_by_its_name_whatever_is_in_it(dead: LittleCloud, monkeypatch: pytest.MonkeyPatch, capsys: Said, name: str) -> None:
    """Nova takes what is asked for as a regular expression (its schema's format is regex, MySQL's operator REGEXP)."""
    dead.boot("s2", name, "nova-a")
    real = dead.answer

    def answer(method: str, path: str, body: object, request: str) -> tuple[int, object]:
        code, said = real(method, path, body, request)
        wanted = parse_qs(urlsplit(path).query).get("name")
        if wanted:
            try:
                found = re.compile(wanted[0], re.IGNORECASE)
            except re.error:
                return 400, {"badRequest": {"code": 400, "message": f"Invalid input for query parameters name. Value: {wanted[0]}. "
                                            f"'{wanted[0]}' is not a 'regex'"}}
            said = {"servers": [one for one in dead.servers.values() if found.search(one["name"])]}
        return code, said

    monkeypatch.setattr(dead, "answer", answer)
    main(["evacuate", name, "--host-is-off", "--timeout", "0.2"])
    assert f"| s2     | {name}" in capsys.readouterr().out


def test_dismiss_says_not_that_nothing_was_tried_when_it_is_done(tools: Pacemaker, monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    """The second of its two changes fails."""
    tools.records = dict(HELD)

    def run(argv: list[str], timeout: float) -> Outcome:
        if argv[:2] == ["cibadmin", "--delete"]:
            return Outcome(102, "", "Transport endpoint is not connected")
        if argv[0] == "crm_attribute":
            tools.records["cmp-1"] = argv[-1]
        return tools(argv, timeout)

    monkeypatch.setattr(door, "run", run)
    assert main(["dismiss", "cmp-1"]) != 2 and tools.records["cmp-1"] == "no"


@pytest.mark.parametrize("what", ["on", "off"])
@pytest.mark.parametrize("host", ["cmp-1", "cmp-2"])
def test_maintenance_does_not_take_the_node_of_another_host(
    tools: Pacemaker, cloud: LittleCloud, monkeypatch: pytest.MonkeyPatch, capsys: Said, host: str, what: str
) -> None:
    """pcmk_host_map gives cmp-1 the host of cmp-2 too. Its servers would run on, unprotected, and it be switched off."""
    crossed = ('<primitive id="fence-nova" class="stonith" type="fence_nova"><instance_attributes id="f">'
               '<nvpair id="m" name="pcmk_host_map" value="cmp-1:cmp-2"/></instance_attributes></primitive></resources>')
    tools.online = "true"
    real = tools.text
    monkeypatch.setattr(tools, "text", lambda: real().replace("</resources>", crossed))
    cloud.boot("s1", "web", "cmp-1")
    code = main(["maintenance", what, host, "--timeout", "0.1"])
    assert code == 2, tools.changes
    assert not tools.changes and cloud.service("cmp-2")["status"] == "enabled"
    assert "correct" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["host-evacuate", "cmp-1.b.example.com"], ["evacuate", "s2"]], ids=str)
def test_what_is_proven_of_a_node_is_not_proven_of_a_living_namesake_of_its_host(
    tools: Pacemaker, cloud: LittleCloud, monkeypatch: pytest.MonkeyPatch, capsys: Said, argv: list[str]
) -> None:
    """Nova has cmp-1.a, which is the node cmp-1 and was fenced, and cmp-1.b of another site, which is up and runs its servers."""
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    monkeypatch.setattr(evacuate, "POLL", 0.01)
    monkeypatch.setattr(evacuation, "TAKEOVER", 0.0)     # it reports more rarely than that
    dead = cloud.service("cmp-1")
    dead.update(host="cmp-1.a.example.com", state="down", forced_down=True, status="disabled",
                disabled_reason="instance-ha: fenced by Pacemaker (a1)", updated_at=stamp(-300))
    cloud.services.append({**cloud.service("cmp-2"), "id": "s-b", "host": "cmp-1.b.example.com", "updated_at": stamp(-1)})
    cloud.boot("s1", "web", "cmp-1.a.example.com")
    cloud.boot("s2", "db", "cmp-1.b.example.com")
    tools.records = {"cmp-1": "confirmed;id=a1;proof=node_fenced:5;baseline=0;host=cmp-1.a.example.com"}
    real = tools.text
    monkeypatch.setattr(tools, "text", lambda: real().replace('in_ccm="false" node_fenced="0"', 'in_ccm="false" node_fenced="5"'))
    for host in ("cmp-1", None):     # the record names its host, or does not tell yet
        if host is None:
            tools.records = {"cmp-1": "fenced;id=a1"}
        code = main([*argv, "--timeout", "1"])
        assert not cloud.migrations, f"a living host's server is evacuated, exit code {code}"
        assert code == 2, capsys.readouterr()
        assert not cloud.service("cmp-1.b.example.com")["forced_down"] and not cloud.servers["s2"]["locked"]


def test_a_node_that_is_online_speaks_for_each_host_of_its_name(
    tools: Pacemaker, cloud: LittleCloud, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    """Sound today, and to be so after a mend of the test before: Nova has two of that name, and the person errs."""
    monkeypatch.setattr(assurance, "WATCH", 0.0)
    tools.online = "true"
    cloud.service("cmp-1").update(host="cmp-1.a.example.com", updated_at=stamp(-1))
    cloud.services.append({**cloud.service("cmp-2"), "id": "s-b", "host": "cmp-1.b.example.com", "state": "down", "updated_at": stamp(-300)})
    cloud.boot("s2", "db", "cmp-1.b.example.com")
    assert main(["host-evacuate", "cmp-1.b.example.com", "--host-is-off", "--timeout", "0.3"]) == 2
    assert "Pacemaker says cmp-1 is online" in capsys.readouterr().err
