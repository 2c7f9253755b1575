"""Whatever OpenStack and Pacemaker answer: no traceback, an end within the limit, one sentence, and no more daring verdict.

Some seconds in the unit tests; `make fuzz CASES=200000` for long.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from instance_ha import cli, credentials, placement
from instance_ha import cluster as pacemaker
from instance_ha.cib import parse_cib, read_cib
from instance_ha.cli.common import FORMATS, Screen, print_rows
from instance_ha.cluster import Cluster
from instance_ha.engine.context import Context
from instance_ha.engine.selection import Policy
from instance_ha.engine.worker import Worker
from instance_ha.errors import ClusterError, InstanceHaError
from instance_ha.events import iso
from instance_ha.incident import parse_incident
from instance_ha.model import TRUE, ClusterNode, ClusterView, Record, claim_of, parse_record
from instance_ha.nova import Nova
from instance_ha.pace import Pace
from instance_ha.process import Outcome
from instance_ha.rows import Rows, nova_time
from instance_ha.service import tell_unreadable
from instance_ha.standing import read_standing
from instance_ha.text import printable

from tests.unit.fake import ROW
from tests.unit.ill_cloud import IllCloud, reply, token_of, values
from tests.unit.little_nova import LittleNova
from tests.unit.test_cluster import CIB
from tests.unit.test_model import server
from tests.unit.test_odd_rows import MIGRATION, SERVICE, Written
from tests.unit.test_placement import CANDIDATES, HYPERVISORS, PLAIN, PROVIDERS

PROPERTIES = 10                                 # tests below among which the cases are divided
CASES = int(os.environ.get("INSTANCE_HA_FUZZ_CASES", "0"))
LONGEST = 8.0                                   # seconds of one case; api_timeout is 2
FEW = settings(max_examples=max(60, CASES // PROPERTIES), deadline=None, database=None, derandomize=not CASES,
               suppress_health_check=list(HealthCheck))

TEXT = st.one_of(st.text(max_size=12), st.sampled_from(
    ["", "active", "error", "\x1b[2J", "\u202e", "9" * 30, "nan", "2026-11-25T04:00:01", "'", '"', "a\0b", "\ud800", "x" * 3000]))
LEAF = st.one_of(st.none(), st.booleans(), st.integers(), st.just(10 ** 40), st.floats(), TEXT)
JSON = st.recursive(LEAF, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)), max_leaves=8)
FORGED = st.sampled_from([b"[" * 200000, b"null", b"", b"\xff", b"{", b'{"services": [1e999, NaN]}', b"9" * 5000])


@st.composite
def altered(draw: st.DrawFn, good: Any, times: int = 3) -> Any:
    """A good answer in which something is odd, missing or alien, at any depth."""
    whole = {"": copy.deepcopy(good)}
    for _ in range(draw(st.integers(1, times))):
        at: Any = whole
        key: Any = ""
        while isinstance(at[key], (dict, list)) and at[key] and draw(st.integers(0, 5)):
            at = at[key]
            key = draw(st.sampled_from(sorted(at)) if isinstance(at, dict) else st.integers(0, len(at) - 1))
        if key != "" and isinstance(at, dict) and draw(st.booleans()):
            del at[key]
        else:
            at[key] = draw(JSON)
    return whole[""]


def body(answer: object) -> bytes:
    return answer if isinstance(answer, bytes) else json.dumps(answer).encode()


class Cloud:
    """One Keystone and one service for all the cases of a test. `says` is the service's next answer, `token` Keystone's."""

    def __init__(self) -> None:
        self.ill = IllCloud()
        self.says: tuple[int, bytes, dict[str, str]] = (200, b"{}", {})
        self.url = self.ill.serve(lambda one: reply(one, *self.says[:2], **self.says[2]))
        self.token: tuple[int, bytes] = (201, body({"token": token_of(self.url)}))
        self.version: tuple[int, bytes] = (404, b"")
        self.keystone = self.ill.serve(self._keystone) + "/v3"
        self.nova = self.connect()

    def connect(self) -> Nova:
        return credentials.connect(values(auth_url=self.keystone, api_timeout="2"))

    def _keystone(self, one: Any) -> None:
        if one.command == "POST":
            reply(one, *self.token, X_Subject_Token="token")
        else:
            reply(one, *self.version)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    one = Cloud()
    yield one
    one.ill.close()


def ends_well(call: Callable[[], object]) -> object:
    """What a call returns, None when it says in one sentence why it returns nothing; anything else fails the test."""
    began = time.monotonic()
    try:
        return call()
    except InstanceHaError as error:
        assert str(error) and "\n" not in str(error) and str(error).isprintable(), repr(error)
        return None
    finally:
        assert time.monotonic() - began < LONGEST


STEP = {"event": "compute_rebuild_instance", "host": "cmp-2", "start_time": "2026", "finish_time": None, "result": "Error", "traceback": "a\n b"}
ACTION = {"action": "evacuate", "request_id": "req-1", "start_time": "2026", "updated_at": None, "events": [STEP]}
IMAGE = {"id": "i", "tags": ["evacuable"], "min_disk": 1, "evacuable": "true", "trait:CUSTOM_A": "required"}
READS: list[tuple[Callable[[Nova], object], Any]] = [
    (lambda nova: nova.services(), {"services": [SERVICE, {**SERVICE, "id": "2"}]}),
    (lambda nova: nova.servers_on("cmp-1"), {"servers": [ROW, {**ROW, "id": "a2", "flavor": {"vcpus": 1, "ram": 2, "disk": 3}}]}),
    (lambda nova: nova.find_server("web"), {"servers": [ROW]}),
    (lambda nova: nova.server("a1"), {"server": {**ROW, "server_groups": ["g"]}}),
    (lambda nova: nova.evacuations("cmp-1"), {"migrations": [MIGRATION, {**MIGRATION, "id": 8}]}),
    (lambda nova: nova.resize_of("a1"), {"migrations": [{**MIGRATION, "migration_type": "resize"}]}),
    (lambda nova: nova.actions("a1"), {"instanceActions": [ACTION]}),
    (lambda nova: nova.steps("a1", "req-1"), {"instanceAction": ACTION}),
    (lambda nova: nova.aggregates(), {"aggregates": [{"name": "a", "hosts": ["cmp-1"], "metadata": {"a": "b"}}]}),
    (lambda nova: nova.group("g"), {"server_group": {"id": "g", "name": "n", "policy": "affinity", "rules": {"max_server_per_host": 2},
                                                     "members": ["a"]}}),
    (lambda nova: nova.pinned_zones("cmp-1"), {"servers": [{"id": "a", "pinned_availability_zone": None}]}),
    (lambda nova: nova.compute_nodes(), HYPERVISORS),
    (lambda nova: nova.guest_runs("a1"), {"state": "running"}),
    (lambda nova: nova.about("").image_properties(f"i-{time.monotonic_ns()}"), IMAGE),
    (lambda nova: nova.evacuate("a1"), {}),
    (lambda nova: placement.candidates(nova, PLAIN), CANDIDATES),
    (lambda nova: placement.hosts_with_room(nova, PLAIN), {**CANDIDATES, **HYPERVISORS}),
    (lambda nova: placement.providers(nova), {**PROVIDERS, **HYPERVISORS}),
    (lambda nova: placement.held_by(nova, "a"), {"allocations": {"r": {"resources": {"VCPU": 1}}}}),
    (lambda nova: placement.capacity_of(nova, "r"), {"inventories": {"VCPU": {"total": 4, "reserved": 1, "allocation_ratio": 16.0}}}),
]


@FEW
@given(data=st.data())
def test_odd_answers_of_every_service(cloud: Cloud, data: st.DataObject) -> None:
    read, good = data.draw(st.sampled_from(READS))
    cloud.says = (200, body(data.draw(st.one_of(altered(good), JSON, FORGED))), {})
    found = ends_well(lambda: read(cloud.nova))
    assert not isinstance(found, Rows) or all(one.why for one in found.unreadable)


@FEW
@given(data=st.data(), code=st.sampled_from([200, 204, 300, 301, 307, 400, 401, 403, 404, 406, 409, 413, 429, 500, 503, 599]),
       more=st.sampled_from([{}, {"Content_Encoding": "gzip"}, {"Content_Encoding": "br"}, {"Location": "http://[x"}, {"Location": "//u:p@h/x"},
                             {"Location": "a b\u00e9"}, {"Transfer_Encoding": "odd"},
                             {"x_openstack_request_id": "req-\x1b[2J"},
                             {"Retry_After": "86400"}, {"Retry_After": "\u00b2"}, {"Retry_After": "-1e9"}]))
def test_odd_codes_and_headers(cloud: Cloud, data: st.DataObject, code: int, more: dict[str, str]) -> None:
    read, good = data.draw(st.sampled_from(READS))
    cloud.nova.pace = Pace(sleep=lambda seconds: None)      # what one case says of its limits is not the next one's
    cloud.says = (code, data.draw(st.one_of(st.just(body(good)), st.binary(max_size=40), FORGED)), more)
    ends_well(lambda: read(cloud.nova))


@FEW
@given(data=st.data(), codes=st.tuples(st.sampled_from([200, 201, 204, 300, 302, 400, 401, 403, 404, 500]),
                                       st.sampled_from([200, 300, 302, 401, 404, 503])))
def test_odd_answers_of_keystone(cloud: Cloud, data: st.DataObject, codes: tuple[int, int]) -> None:
    links = [{"rel": "self", "href": cloud.keystone}]
    version = {"version": {"id": "v3.14", "status": "stable", "links": links}}
    kept = cloud.token, cloud.version
    cloud.says = (200, b'{"services": []}', {})
    try:
        told = data.draw(st.one_of(altered({"token": token_of(cloud.url)}), JSON, FORGED))
        cloud.token = (codes[0] if data.draw(st.booleans()) else 201, body(told))
        cloud.version = (codes[1], body(data.draw(st.one_of(st.just(version), altered(version), FORGED))))
        ends_well(cloud.connect().services)
    finally:
        cloud.token, cloud.version = kept


@FEW
@given(data=st.data(), argv=st.sampled_from([["hosts"], ["hosts", "-f", "csv"], ["plan", "cmp-1"], ["evacuate", "web"], ["plan", "--any", "1"]]))
def test_commands_end_with_a_code_and_a_sentence(cloud: Cloud, data: st.DataObject, argv: list[str]) -> None:
    """Off a cluster, by the OS_ variables. One answer has to do for every question, which makes each of them odd for most."""
    good = {"services": [SERVICE], "servers": [ROW], "server": ROW, "aggregates": [], **PROVIDERS, **HYPERVISORS, **CANDIDATES,
            "server_groups": [], "allocations": {}, "migrations": []}
    cloud.says = (200, body(data.draw(st.one_of(altered(good, 8), JSON, FORGED))), {})
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        for name in [name for name in os.environ if name.startswith("OS_")]:
            patch.delenv(name)
        for name, value in (("AUTH_URL", cloud.keystone), ("USERNAME", "u"), ("PASSWORD", "p"), ("PROJECT_NAME", "p")):
            patch.setenv(f"OS_{name}", value)
        patch.setattr("instance_ha.cli.common.has_pacemaker", lambda: False)
        patch.setattr("builtins.input", lambda *_: "")
        code = cli.main(argv)
    assert code in (0, 1, 2) and (code != 2 or err.getvalue().startswith("instance-ha: ") or "\ninstance-ha: " in err.getvalue())
    assert "Traceback" not in err.getvalue()


ODD_TYPE = st.one_of(st.integers(), st.floats(), st.just(10 ** 40), st.lists(st.integers(), min_size=1, max_size=2))
SPOILT = ("binary", "host", "status", "forced_down", "OS-EXT-STS:vm_state", "OS-EXT-STS:power_state", "locked", "metadata", "flavor", "fault",
          "instance_uuid", "dest_compute", "created_at", "id")


@settings(FEW, max_examples=max(25, CASES // PROPERTIES // 4), phases=[Phase.generate])     # three turns of a worker each
@given(data=st.data())
def test_no_more_is_dared(little: LittleNova, data: st.DataObject) -> None:
    """One server is on its way already, one is on a live host, one may be evacuated. Values of a wrong type, wherever they stand,
    never have another one evacuated than the last."""
    record = Record("cmp-1", "confirmed", "i1", proof="node_fenced:1", baseline=0, worker="me", host="cmp-1")
    little.servers.clear()
    little.migrations[:] = []
    little.asked.clear()
    little.services[:] = [{**one, "state": "up", "forced_down": False, "status": "enabled"} for one in little.whole]  # type: ignore[attr-defined]
    little.service("cmp-1").update(state="down", forced_down=True, status="disabled", disabled_reason="instance-ha: fenced (i1)")
    little.boot("free", "free")
    little.boot("moving", "moving")
    little.boot("living", "living", "cmp-2")
    little.migrations.append({**MIGRATION, "id": 1, "instance_uuid": "moving", "status": "pre-migrating", "source_compute": "cmp-1",
                              "dest_compute": None})
    for _ in range(data.draw(st.integers(1, 3))):
        row = data.draw(st.sampled_from(data.draw(st.sampled_from([little.services, [*little.servers.values()], little.migrations]))))
        key = data.draw(st.sampled_from([name for name in SPOILT if name in row]))
        row[key] = data.draw(ODD_TYPE)
    cluster = Written()
    cluster.record = record
    worker = Worker(Context(cluster, little.nova, Policy(retry_pause=0.0), "me"))
    asked = little.answer_whole  # type: ignore[attr-defined]
    with contextlib.suppress(InstanceHaError):
        for _ in range(3):
            worker.turn()
            tell_unreadable(worker)
    assert not [problem for problem in worker.context.health.problems.values() if "met a bug" in problem]
    assert not [problem for problem in worker.context.health.problems.values() if "moving: try" in problem], "nobody said that it has failed"
    assert not [line for line in asked if "evacuate" in line[1] and line[0] != "free"]


@pytest.fixture(scope="module")
def little() -> Iterator[LittleNova]:
    one: Any = LittleNova()
    one.whole = [dict(row) for row in one.services]
    one.answer_whole = []
    answer = one.answer

    def remembered(method: str, path: str, sent: Any, request: str) -> tuple[int, Any]:
        if path.endswith("/action"):
            one.answer_whole.append((path.split("/")[2], json.dumps(sent)))
        try:
            found: tuple[int, Any] = answer(method, path, sent, request)
        except (TypeError, AttributeError, KeyError, StopIteration, ValueError):
            return 500, {"error": {"message": "odd", "code": 500}}    # the stand-in itself stumbles over an odd row
        return found

    one.answer = remembered
    yield one
    one.server.shutdown()
    one.server.server_close()


XML_CHARS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2fff, exclude_characters="<&\"", exclude_categories=("Cs", "Cn")), max_size=8)
VALUES = st.one_of(XML_CHARS, st.sampled_from(["'", "evacuated;id=a;baseline=" + "9" * 5000, "fenced;id=a;since=" + "9" * 30, "fenced;id=it's;by=x",
                                               "\u00b2", "9" * 5000, "-1", "no", "yes", "true", "&#10;", "(((", "cmp-1"]))


@st.composite
def altered_xml(draw: st.DrawFn, good: str) -> str:
    """A good document with odd values, without some attributes, or cut short."""
    parts = good.split('"')
    for _ in range(draw(st.integers(1, 6))):
        parts[draw(st.integers(0, (len(parts) - 2) // 2)) * 2 + 1] = draw(VALUES)
    whole = '"'.join(parts)
    return draw(st.one_of(st.just(whole), st.just(whole[:draw(st.integers(0, len(whole)))]),
                          st.sampled_from(['<!DOCTYPE a [<!ENTITY b "c">]>' + whole, "", "\ud800", "<a/>", "<cib>" + "<a>" * 300])))


@FEW
@given(text=altered_xml(CIB))
def test_odd_cibs(text: str) -> None:
    view = ends_well(lambda: read_cib(parse_cib(text), "evacuate", "nova-evacuate"))
    if isinstance(view, ClusterView):
        assert {*view.broken} & {*view.nodes} <= view.to_hold()
        assert not {*view.broken} & {*view.records}
        for node in view.nodes.values():
            assert isinstance(node, ClusterNode)


HISTORY = """<pacemaker-result><fence_history status="0"><fence_event action="off" target="cmp-1" client="x" origin="ctl-1" status="success"
 completed="2026-11-25 04:00:01.000000Z"/></fence_history><resources><resource id="a:0" active="true" failed="true"><node name="cmp-1"/></resource>
</resources><failures><failure op_key="a_monitor_0" node="cmp-1" exitcode="190" exitreason="x"/></failures></pacemaker-result>"""


@FEW
@given(text=altered_xml(HISTORY))
def test_odd_answers_of_pacemakers_tools(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pacemaker, "run", lambda *_: Outcome(0, text, ""))
        for call in (lambda: Cluster().history("cmp-1"), lambda: Cluster().standing(), lambda: Cluster().incidents(),
                     lambda: Cluster().capable_of("cmp-1"), lambda: Cluster().view(), lambda: Cluster().transient_yes()):
            ends_well(call)
    with contextlib.suppress(ClusterError):
        read_standing(parse_cib(text))


WORDS = st.lists(st.one_of(TEXT, st.builds("{}={}".format, st.sampled_from(
    ["id", "since", "seen", "baseline", "left", "kept", "proof", "recorded", "done", "settings", "node"]), TEXT)), max_size=5).map(";".join)
RECORDS = st.one_of(TEXT, st.builds("{};{}".format, st.sampled_from(
    ["fenced", "confirmed", "evacuated", "partly", "returning", "id=x;node=y"]), WORDS))


@FEW
@given(text=RECORDS, when=st.floats(allow_nan=True))
def test_odd_records_incidents_claims_and_times(text: str, when: float) -> None:
    record = parse_record("cmp-1", text)
    if record is not None:
        assert parse_record("cmp-1", record.text()) is not None or not record.id
        assert iso(record.since).isprintable() and "'" not in record.raw
    incident = parse_incident(text)
    if incident is not None:
        assert parse_incident(incident.text()) is not None
        assert iso(incident.recorded).isprintable() and incident.reason.isprintable()
    claim_of(server(locked=True, locked_reason=text))
    nova_time(text)
    iso(when)


@FEW
@given(cells=st.lists(st.one_of(TEXT, st.none(), st.integers()), min_size=2, max_size=2), how=st.sampled_from(FORMATS))
def test_odd_cells(cells: list[object], how: str) -> None:
    out = io.StringIO()
    cells = [cell.replace("\ud800", "") if isinstance(cell, str) and how in ("yaml", "json") else cell for cell in cells]
    with contextlib.redirect_stdout(Screen(out)):
        print_rows(("A", "B"), [cells], how)
    assert all(char.isprintable() or char in "\r\n" for char in out.getvalue())
    assert all(printable(str(cell)).isprintable() for cell in cells)


@FEW
@given(lines=st.lists(st.one_of(st.binary(max_size=30), st.sampled_from(
    [b"export OS_AUTH_URL='x", b"OS_PASSWORD=$(id)", b"\xff", b'OS_USERNAME="a\\', b"OS_AUTH_URL=`x`"])), max_size=4).map(b"\n".join))
def test_odd_openrc_files(tmp_path_factory: pytest.TempPathFactory, lines: bytes) -> None:
    path: Path = tmp_path_factory.getbasetemp() / "openrc"
    path.write_bytes(lines)
    ends_well(lambda: credentials.log_in(values(openrc=str(path))))


def test_the_record_of_a_broken_node_still_holds() -> None:
    view = read_cib(parse_cib(CIB), "evacuate")
    assert "cmp-2" in view.broken and "cmp-1" in view.to_hold() and TRUE
