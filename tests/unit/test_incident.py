"""The history: incidents as text and back, and in the CIB."""

from __future__ import annotations

import pytest
from instance_ha import cluster as door
from instance_ha import incident
from instance_ha.cluster import HISTORY_ROOM, Cluster
from instance_ha.errors import ClusterError
from instance_ha.incident import Incident, newest_first, parse_incident
from instance_ha.process import Outcome
from lxml import etree

WHOLE = Incident("3f9c0b1a", "cmp-1", "cmp-1.example.com", "partly", incident.IN_SERVICE, 1795559436.0, 1795559437.2, 1795559437.8, 1795559444.5,
                 1795559445.1, 1795559500.0, 4, 3, 1, 6, 0, "ctl-1", "ctl-2", "node_fenced:1795559437", "2026-11-25T04:00:01.000000",
                 "web-1: try 3 failed: No valid host was found. <There> are 'not' \"enough\" hosts; & so=on", "0.1.0",
                 {"skip_servers": "amphora-* canary", "hook": "set"})


def test_an_incident_comes_back_as_it_was() -> None:
    assert parse_incident(WHOLE.text()) == WHOLE
    least = Incident("a", "cmp-1")
    assert parse_incident(least.text()) == least and least.text() == "id=a;node=cmp-1"


def test_what_is_stored_holds_nothing_that_breaks_xml_or_a_shell() -> None:
    assert not set(WHOLE.text()) & set(" '\"<>&\n$`\\|*")


def test_what_is_stored_stays_small() -> None:
    long = Incident("a", "n", reason="x y" * 500, settings={f"name_{n:02}": "some value" for n in range(100)})
    assert len(long.text()) < 1200
    back = parse_incident(long.text())
    assert back is not None and back.settings and set(back.settings.values()) == {"some value"} and long.reason.startswith(back.reason)


@pytest.mark.parametrize("text", ["", "id=a", "node=cmp-1", "junk", "id=;node=cmp-1"])
def test_half_an_incident_is_none(text: str) -> None:
    assert parse_incident(text) is None


def test_what_is_no_number_and_what_a_newer_version_added_does_no_harm() -> None:
    assert parse_incident("id=a;node=b;recorded=soon;done=many;colour=blue;left=2") == Incident("a", "b", left=2)


class Cib:
    """cibadmin on a crm_config section, as Pacemaker 2.1.5's answered."""

    def __init__(self, fails: tuple[str, ...] = ()) -> None:
        self.root = etree.fromstring('<crm_config><cluster_property_set id="cib-bootstrap-options">'
                                     '<nvpair id="o" name="stonith-enabled" value="true"/></cluster_property_set></crm_config>')
        self.fails = fails

    def __call__(self, argv: list[str], timeout: float) -> Outcome:
        if argv[1] in self.fails:
            return Outcome(102, "", "Call cib_apply_diff failed (-62): Timer expired")
        if argv[1] == "--query":
            return Outcome(0, etree.tostring(self.root, encoding="unicode"), "")
        if argv[1] == "--delete":
            pair, = self.root.xpath(argv[argv.index("--xpath") + 1])
            pair.getparent().remove(pair)
            return Outcome(0, "", "")
        assert argv[:5] == ["cibadmin", "--modify", "--allow-create", "--scope", "crm_config"]
        change = etree.fromstring(argv[-1])
        known = {pair.get("id"): pair for pair in self.root.iter("nvpair")}
        home = next((s for s in self.root if s.get("id") == change.get("id")), None)
        if home is None:
            home = etree.SubElement(self.root, change.tag, dict(change.attrib))
        for pair in change:
            known[pair.get("id")].set("value", pair.get("value")) if pair.get("id") in known else home.append(pair)
        return Outcome(0, "", "")


def test_the_newest_are_kept_and_only_ours_are_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    cib, cluster = Cib(), Cluster()
    monkeypatch.setattr(door, "run", cib)
    assert cluster.incidents() == {}
    for number in range(HISTORY_ROOM + 2):
        cluster.remember(Incident(f"i{number}", "cmp-1", recorded=1000.0 + number))
    known = cluster.remember(Incident("i9", "cmp-1", recorded=1009.0, left=1))
    assert len(known) == HISTORY_ROOM and known == cluster.incidents()
    assert "i0" not in known and "i1" not in known and known["i9"].left == 1
    assert [one.id for one in newest_first(known)][:2] == [f"i{HISTORY_ROOM + 1}", f"i{HISTORY_ROOM}"]
    assert cib.root.xpath("//nvpair[@name='stonith-enabled']")


def test_an_id_that_xml_would_not_take_is_stored_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "run", Cib())
    assert set(Cluster().remember(Incident("legacy-cmp/1:x y", "cmp-1"))) == {"legacy-cmp/1:x y"}


@pytest.mark.parametrize("fails", ["--modify", "--query"])
def test_a_history_that_is_not_written_is_an_error(monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    monkeypatch.setattr(door, "run", Cib((fails,)))
    with pytest.raises(ClusterError, match="Timer expired"):
        Cluster().remember(WHOLE)
