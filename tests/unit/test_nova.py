"""The door to Nova, over HTTP: what a real Nova 34 answered, and what a broken proxy does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from instance_ha.answers import one_line
from instance_ha.errors import CloudRefused, CloudUnreachable
from instance_ha.model import Service
from instance_ha.nova import FORCE_MICROVERSION, MICROVERSION, ZONE_MICROVERSION, Nova

from tests.unit.fake import ROW, Fake

SERVICE = Service("5f2c", "nova-compute", "cmp-1", True, False, True)
# As seen from Nova 34.0.0.
IN_USE = {"badRequest": {"code": 400, "message": "Compute service of cmp-1 is still in use."}}


def test_an_evacuation_is_one_request_at_the_pinned_version(fake: Fake) -> None:
    fake.says(200)
    assert fake.nova.evacuate("a1") == "req-1"
    assert fake.asked == [("POST", "/servers/a1/action", {"evacuate": {}}, MICROVERSION)]


def test_a_refusal_is_novas_words_with_the_request_id(fake: Fake) -> None:
    fake.says(400, IN_USE)
    with pytest.raises(CloudRefused, match=r"still in use.*req-1") as caught:
        fake.nova.evacuate("a1")
    assert caught.value.status == 400 and caught.value.request_id == "req-1"


@pytest.mark.parametrize("code", [500, 502, 503, 504, 429])
def test_an_answer_of_a_proxy_leaves_the_outcome_open_and_is_sent_once(fake: Fake, code: int) -> None:
    fake.says(code, raw=b"<html>Bad Gateway</html>")
    with pytest.raises(CloudUnreachable):
        fake.nova.evacuate("a1")
    assert len(fake.asked) == 1


def test_a_broken_connection_leaves_the_outcome_open_and_is_sent_once(fake: Fake) -> None:
    fake.answers.append(None)
    with pytest.raises(CloudUnreachable):
        fake.nova.evacuate("a1")
    assert len(fake.asked) == 1


@pytest.mark.parametrize("call", [
    lambda nova: nova.services(), lambda nova: nova.servers_on("cmp-1"), lambda nova: nova.server("a1"), lambda nova: nova.evacuations("cmp-1")])
@pytest.mark.parametrize("raw", [b"<html>hello</html>", b"[]", b'{"else": 1}', b'{"servers": [', b""])
def test_nonsense_is_no_answer(fake: Fake, call: Callable[[Nova], object], raw: bytes) -> None:
    fake.says(200, raw=raw)
    with pytest.raises(CloudUnreachable):
        call(fake.nova)


def test_what_only_reads_is_asked_again_at_once(fake: Fake) -> None:
    fake.says(503, raw=b"<html>no</html>")
    fake.answers.append(None)
    fake.says(200, {"servers": [ROW]})
    assert [server.id for server in fake.nova.servers_on("cmp-1")] == ["a1"]
    for _ in range(3):
        fake.says(503)
    with pytest.raises(CloudUnreachable):
        fake.nova.servers_on("cmp-1")
    assert len(fake.asked) == 6


def test_what_changes_something_is_sent_once(fake: Fake) -> None:
    for call in (lambda: fake.nova.lock("a1", "x"), lambda: fake.nova.reset("a1"), lambda: fake.nova.stop("a1"), lambda: fake.nova.enable(SERVICE)):
        fake.says(503)
        with pytest.raises(CloudUnreachable):
            call()
    assert len(fake.asked) == 4


def test_a_token_that_ran_out_is_no_refusal(fake: Fake) -> None:
    """Nothing was carried out, and another thread has got the new token already."""
    fake.says(401)
    fake.says(202)
    fake.nova.lock("a1", "x")
    fake.says(401)
    fake.says(401)
    with pytest.raises(CloudRefused):
        fake.nova.lock("a1", "x")


def test_past_the_scheduler_goes_only_an_older_version(fake: Fake) -> None:
    fake.says(200)
    fake.nova.evacuate("a1", "cmp-2", force=True, password="x")
    assert fake.asked == [("POST", "/servers/a1/action", {"evacuate": {"host": "cmp-2", "force": True, "adminPass": "x"}}, FORCE_MICROVERSION)]


def test_pages_are_followed_to_the_last(fake: Fake) -> None:
    fake.says(200, {"servers": [ROW], "servers_links": [{"rel": "next"}]})
    fake.says(200, {"servers": [{**ROW, "id": "a2"}, {"id": "a3", "status": "UNKNOWN"}]})
    found = fake.nova.servers_on("cmp-1")
    assert [server.id for server in found] == ["a1", "a2", "a3"] and "marker=a1" in fake.asked[1][1]
    assert found[0].extra_specs == {"evacuable": "true"} and found[2].vm_state is None and found[2].locked is None


def test_a_server_that_is_gone_is_none_and_not_an_error(fake: Fake) -> None:
    fake.says(404, {"itemNotFound": {"code": 404, "message": "Instance a1 could not be found."}})
    assert fake.nova.server("a1") is None


def test_forcing_down_and_disabling_name_the_service(fake: Fake) -> None:
    fake.says(200, {"service": {}})
    fake.says(200, {"service": {}})
    fake.nova.force_down(SERVICE, True)
    fake.nova.disable(SERVICE, "x" * 300)
    assert fake.asked[0][:3] == ("PUT", "/os-services/5f2c", {"forced_down": True})
    assert len(fake.asked[1][2]["disabled_reason"]) == 255


def test_groups_of_all_projects_page_by_page(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instance_ha.nova.PAGE", 2)
    row = {"id": "g1", "name": "apart", "policy": "anti-affinity", "rules": {"max_server_per_host": 2}, "members": ["a1"],
           "project_id": "p", "user_id": "u"}
    second = {**row, "id": "g2", "rules": {}}
    third = {**row, "id": "g3", "policy": "affinity", "rules": {}, "members": []}
    for rows in ([row, second], [second, third], [third], []):
        fake.says(200, {"server_groups": rows})
    assert [(group.id, group.policy, group.most) for group in fake.nova.groups()] == [
        ("g1", "anti-affinity", 2), ("g2", "anti-affinity", 1), ("g3", "affinity", 1)]
    path = "/os-server-groups?all_projects=true&limit=2&offset="
    assert [one for _, one, _, _ in fake.asked] == [f"{path}{offset}" for offset in range(4)]


@pytest.mark.parametrize("times", [1, 3])
def test_a_group_that_is_deleted_meanwhile_hides_no_other(fake: Fake, times: int) -> None:
    """Nova counts groups: without the first one the page after two begins with the fourth."""
    g1, g2, g3, g4 = ({"id": f"g{n}", "name": "x", "policy": "affinity", "rules": {}, "members": []}
                      for n in range(1, 5))
    for _ in range(times):
        for rows in ([g1, g2], [g3, g4]):
            fake.says(200, {"server_groups": rows})
    for rows in ([g2, g3, g4], [g4], []) if times == 1 else ():
        fake.says(200, {"server_groups": rows})
    with pytest.raises(CloudUnreachable) if times == 3 else contextlib.nullcontext():
        assert [one.id for one in fake.nova.groups()] == ["g2", "g3", "g4"]


def test_pages_are_followed_where_nova_has_a_lower_limit_than_ours(fake: Fake) -> None:
    """[api]max_limit: of server groups Nova gives no link to the next page, of hypervisors it does."""
    group = {"id": "g1", "name": "apart", "policy": "affinity", "rules": {}, "members": ["a1"]}
    second = {**group, "id": "g2"}
    for rows in ([group], [group], [second], [second], []):     # with a limit of 1
        fake.says(200, {"server_groups": rows})
    assert [one.id for one in fake.nova.groups()] == ["g1", "g2"]
    for number in (1, 2):
        fake.says(200, {"hypervisors": [{"id": f"r-{number}", "service": {"host": f"cmp-{number}", "id": 7}}],
                        **({"hypervisors_links": [{"rel": "next", "href": "x"}]} if number == 1 else {})})
    assert fake.nova.compute_nodes() == {"r-1": "cmp-1", "r-2": "cmp-2"} and "marker=r-1" in fake.asked[-1][1]


def test_whether_a_server_is_pinned_to_its_zone_is_asked_at_a_version_that_tells(fake: Fake) -> None:
    fake.says(200, {"servers": [{**ROW, "pinned_availability_zone": "east"}, {**ROW, "id": "a2", "pinned_availability_zone": None}]})
    assert fake.nova.pinned_zones("cmp-1") == {"a1": "east", "a2": ""} and fake.asked[0][3] == ZONE_MICROVERSION
    fake.says(406, {"computeFault": {"code": 406, "message": "Version 2.96 is not supported by the API. Minimum is 2.1 and maximum is 2.93."}})
    assert fake.nova.pinned_zones("cmp-1") is None


def test_what_is_wrong_with_a_certificate_comes_first() -> None:
    """As keystoneauth 5 said it of a certificate that had expired; crm_mon shows the beginning of a sentence only."""
    said = ("SSL exception connecting to https://10.77.0.1:18774/v2.1/os-services: HTTPSConnectionPool(host='10.77.0.1', port=18774): Max retries "
            "exceeded with url: /v2.1/os-services (Caused by SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate "
            "verify failed: certificate has expired (_ssl.c:992)')))")
    assert one_line(Exception(said)) == "certificate verify failed: certificate has expired"
