"""A clouds.yaml that is wrong is one sentence, whatever is wrong with it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from instance_ha import credentials, params
from instance_ha.errors import HostError
from keystoneauth1.exceptions import Unauthorized

from tests.unit.little_cloud import PASSWORD, UNAUTHORIZED, LittleCloud

AUTH = "auth: {auth_url: 'http://127.0.0.1:1/v3', username: a, password: b, project_name: p, user_domain_name: d, project_domain_name: d}"


@pytest.mark.parametrize("text", [
    "", "clouds:\n", "clouds: [c]\n", "clouds:\n  c:\n", "clouds:\n  other: {}\n", "clouds: {c: {auth: }}\n", "clouds: {c: [1]}\n", "clouds: {c: {\n",
    "clouds: {c: {auth: {username: a, password: b}}}\n", "clouds: {c: {auth_type: v3nonsense, auth: {auth_url: x}}}\n",
    "clouds: {c: {auth_type: v3applicationcredential, auth: {auth_url: x, application_credential_id: y}}}\n",
    f"clouds: {{c: {{{AUTH.replace('password: b, ', '')}}}}}\n",
    f"clouds: {{c: {{{AUTH.replace('password: b', 'password: ')}}}}}\n"])
def test_what_is_wrong_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    file = tmp_path / "clouds.yaml"
    file.write_text(text)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    with pytest.raises(HostError, match="the cloud 'c' cannot be used: "):
        credentials.connect(params.resolve(params.of(params.OCF), {"cloud": "c"}))


@pytest.mark.parametrize(("old", "new", "said"), [
    ("password: b, ", "", "gives it no password"),
    ("password: b", "password: ", "gives it no password"),
    ("username: a, ", "", "gives it no username"),
    ("project_name: p, ", "", "gives it no project_name"),
    ("password: b", "password: 0123", "YAML takes password for a value of the type int"),
    ("password: b", "password: yes", "of the type bool"),
    ("password: b", "password: 2026-01-01", "of the type date"),
    ("password: b", "password: 1e3", ""), ("password: b", "password: 12345", ""),
    ("password: b", "password: '0123'", ""), ("username: a", "user_id: a", ""),
    ("project_name: p, user_domain_name: d, project_domain_name: d",
     "user_domain_name: d, system_scope: all", ""),
    ("username: a, password: b",
     "application_credential_id: a, application_credential_secret: b",
     "no auth_type: that has to be v3applicationcredential")])
def test_a_login_that_is_not_what_is_written(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, said: str) -> None:
    """keystoneauth tells it late, or not at all: of a missing password with a plain Exception."""
    (tmp_path / "clouds.yaml").write_text(f"clouds: {{c: {{{AUTH.replace(old, new)}}}}}\n")
    (tmp_path / "secure.yaml").write_text("")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    with pytest.raises(HostError, match=said) if said else contextlib.nullcontext():
        credentials.connect(resolved(cloud="c"))


def test_a_secure_file_is_held_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without = AUTH.replace("password: b, ", "")
    (tmp_path / "clouds.yaml").write_text(f"clouds: {{c: {{{without}}}}}\n")
    (tmp_path / "secure.yaml").write_text("clouds: {c: {auth: {password: 007}}}\n")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    with pytest.raises(HostError, match=r"secure\.yaml: YAML takes password"):
        credentials.connect(resolved(cloud="c"))


def test_a_merged_key_is_no_other_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    merged = AUTH.replace("username: a, password: b", "<<: *base")
    (tmp_path / "clouds.yaml").write_text(
        f"base: &base {{username: a, password: b}}\nclouds: {{c: {{{merged}}}}}\n")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    assert credentials.log_in(resolved(cloud="c")).data["password"] == "b"


@pytest.mark.parametrize(("given", "verify"), [({}, "/its.pem"), ({"insecure": "true"}, False), ({"cacert": "/x.pem"}, "/x.pem")])
def test_tls_parameters_count_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], verify: object) -> None:
    file = tmp_path / "clouds.yaml"
    file.write_text(f"clouds: {{c: {{{AUTH}, cacert: /its.pem, region_name: R}}}}\n")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    login = credentials.log_in(params.resolve(params.of(params.OCF), {"cloud": "c", **given}))
    assert login.session.verify == verify


def resolved(**given: str) -> dict[str, str]:
    return params.resolve(params.of(params.OCF), given)


class Keystone(LittleCloud):
    """Notes every login that it is asked for, and knows application credentials too."""

    def __init__(self) -> None:
        super().__init__()
        self.logins: list[dict[str, Any]] = []
        self.password = PASSWORD

    def answer(self, method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        if path != "/v3/auth/tokens":
            return super().answer(method, path, body, request)
        self.logins.append(body["auth"])
        identity = body["auth"]["identity"]
        good = identity["methods"] != ["password"] or identity["password"]["user"]["password"] == self.password
        self.headers = {"X-Subject-Token": "token"}
        return (201, {"token": self._token()}) if good else (401, UNAUTHORIZED)


@pytest.fixture
def keystone() -> Iterator[Keystone]:
    one = Keystone()
    yield one
    one.server.shutdown()
    one.server.server_close()


USER = {"name": "admin", "domain": {"name": "Default"}, "password": PASSWORD}


@pytest.mark.parametrize(("lines", "user", "scope"), [
    ("OS_USERNAME=admin OS_PROJECT_NAME=service", USER, {"project": {"name": "service", "domain": {"name": "Default"}}}),
    ("OS_USERNAME=admin OS_TENANT_NAME=service OS_USER_DOMAIN_NAME=u OS_PROJECT_DOMAIN_NAME=p", {**USER, "domain": {"name": "u"}},
     {"project": {"name": "service", "domain": {"name": "p"}}}),
    ("OS_USERNAME=admin OS_PROJECT_ID=0123 OS_PROJECT_NAME=admin OS_USER_DOMAIN_ID=default", {**USER, "domain": {"id": "default"}},
     {"project": {"id": "0123"}}),
    ("OS_USER_ID=77 OS_PROJECT_NAME=service OS_PROJECT_DOMAIN_ID=default", {"id": "77", "password": PASSWORD},
     {"project": {"name": "service", "domain": {"id": "default"}}}),
    ("OS_USERNAME=admin OS_SYSTEM_SCOPE=all", USER, {"system": {"all": True}}),
    ("OS_USERNAME=admin OS_DEFAULT_DOMAIN=d OS_PROJECT_NAME=service", {**USER, "domain": {"name": "d"}},
     {"project": {"name": "service", "domain": {"name": "d"}}})])
def test_an_openrc_file_logs_in_as_it_says(tmp_path: Path, keystone: Keystone, lines: str, user: object, scope: object) -> None:
    file = tmp_path / "openrc"
    file.write_text(f"export OS_AUTH_URL={keystone.url}/v3 OS_PASSWORD={PASSWORD} {lines}\n")
    credentials.connect(resolved(openrc=str(file))).services()
    assert keystone.logins == [{"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}]


@pytest.mark.parametrize("kind", ["", "OS_AUTH_TYPE=v3applicationcredential"])
@pytest.mark.parametrize("version", ["", "/v3"])
def test_an_openrc_file_with_an_application_credential(tmp_path: Path, keystone: Keystone, kind: str, version: str) -> None:
    file = tmp_path / "openrc"
    file.write_text(f"export OS_AUTH_URL={keystone.url}{version} OS_APPLICATION_CREDENTIAL_ID=i OS_APPLICATION_CREDENTIAL_SECRET=s {kind}\n")
    credentials.connect(resolved(openrc=str(file))).services()
    (login,) = keystone.logins
    assert login["identity"]["application_credential"] == {"id": "i", "secret": "s"}


@pytest.mark.parametrize(("lines", "what"), [
    ("OS_AUTH_URL=x OS_USERNAME=a OS_PROJECT_NAME=p", "does not set OS_PASSWORD$"),
    ("", "does not set OS_AUTH_URL, OS_USERNAME or OS_USER_ID, OS_PASSWORD, OS_PROJECT_NAME or OS_PROJECT_ID$"),
    ("OS_AUTH_URL=x OS_USERNAME=a OS_PASSWORD=b OS_PROJECT_NAME=p OS_SYSTEM_SCOPE=all", "several scopes at once"),
    ("OS_AUTH_URL=x OS_USERNAME=a OS_PASSWORD=b OS_SYSTEM_SCOPE=some", "is not all"),
    ("OS_AUTH_TYPE=v3totp", "OS_AUTH_TYPE=v3totp is none of"), ("OS_CLOUD=lab", "give cloud=lab"),
    ("OS_AUTH_URL=x OS_USERNAME=a OS_PASSWORD=b OS_APPLICATION_CREDENTIAL_ID=c", "OS_AUTH_TYPE has to say which counts"),
    ("OS_AUTH_TYPE=v3applicationcredential OS_AUTH_URL=x OS_APPLICATION_CREDENTIAL_ID=i", "does not set OS_APPLICATION_CREDENTIAL_SECRET"),
    ("OS_PASSWORD='a\nb'", "OS_PASSWORD holds a control character")])
def test_an_openrc_file_that_does_not_do_is_refused(tmp_path: Path, lines: str, what: str) -> None:
    file = tmp_path / "openrc"
    file.write_text(f"{'export ' if lines else ''}{lines}\n")
    with pytest.raises(HostError, match=what):
        credentials.connect(resolved(openrc=str(file)))


def clouds(url: str = "http://127.0.0.1:1", password: str = PASSWORD, **more: object) -> str:
    auth = {"auth_url": f"{url}/v3", "username": "a", "project_name": "p", "user_domain_name": "d", "project_domain_name": "d"}
    return json.dumps({"clouds": {"c": {"auth": {**auth, **({"password": password} if password else {})}, "region_name": "RegionOne", **more}}})


def test_neither_the_current_folder_nor_a_home_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, etc = tmp_path / "here", tmp_path / "etc"
    for folder in (here, etc):
        folder.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.delenv("OS_CLIENT_CONFIG_FILE", raising=False)
    monkeypatch.setattr(credentials, "FOLDER", str(etc))
    (here / "clouds.yaml").write_text(clouds("http://thief"))
    (here / "secure.yaml").write_text(clouds("http://thief"))
    with pytest.raises(HostError, match=rf"the cloud 'c' cannot be used: there is no {etc}/clouds.yaml"):
        credentials.log_in(resolved(cloud="c"))
    (etc / "clouds.yaml").write_text(clouds(password=""))
    (etc / "secure.yaml").write_text('{"clouds": {"c": {"auth": {"password": "of-its-own"}}}}')
    login = credentials.log_in(resolved(cloud="c"))
    assert (login.data["auth_url"], login.data["password"]) == ("http://127.0.0.1:1/v3", "of-its-own")
    assert credentials.source(resolved(cloud="c")) == f"{etc}/clouds.yaml and {etc}/secure.yaml"
    assert "of-its-own" not in repr(login)


def test_a_file_named_by_the_environment_counts_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "FOLDER", str(tmp_path))
    (tmp_path / "clouds.yaml").write_text(clouds())
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "gone" / "clouds.yaml"))
    with pytest.raises(HostError, match=r"there is no .*/gone/clouds\.yaml"):
        credentials.log_in(resolved(cloud="c"))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", "clouds.yaml")
    with pytest.raises(HostError, match="no absolute path"):
        credentials.log_in(resolved(cloud="c"))


def test_the_environment_adds_nothing_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "clouds.yaml"
    file.write_text(clouds())
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    monkeypatch.setenv("OS_PASSWORD", "of-the-environment")
    monkeypatch.setenv("OS_REGION_NAME", "Elsewhere")
    login = credentials.log_in(resolved(cloud="c"))
    assert (login.data["password"], login.region) == (PASSWORD, "RegionOne")


@pytest.mark.parametrize("more", [{"regions": ["A", {"name": "B", "values": {}}]}, {"region_name": "A,B"}])
def test_several_regions_need_a_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, object]) -> None:
    file = tmp_path / "clouds.yaml"
    file.write_text(clouds(**more))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    with pytest.raises(HostError, match=r"gives it the regions A, B; say which with region_name="):
        credentials.log_in(resolved(cloud="c"))
    assert credentials.log_in(resolved(cloud="c", region_name="B")).region == "B"


def test_a_profile_beside_the_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clouds.yaml").write_text(clouds(profile="ours"))
    (tmp_path / "clouds-public.yaml").write_text('{"public-clouds": {"ours": {"interface": "internal"}}}')
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    assert credentials.log_in(resolved(cloud="c")).interface == "internal"


def test_a_profile_that_nobody_has_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """openstacksdk goes on without it, whatever it was to say of the interface or of the CA."""
    (tmp_path / "clouds.yaml").write_text(clouds(profile="nobodys"))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    for _ in range(2):
        with pytest.raises(HostError, match=r"the cloud 'c' cannot be used: Couldn't find the vendor profile '?nobodys"):
            credentials.log_in(resolved(cloud="c"))


def test_regions_of_a_profile_of_openstacksdk_need_a_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clouds.yaml").write_text(clouds(profile="rackspace").replace(', "region_name": "RegionOne"', ""))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    with pytest.raises(HostError, match=r"gives it the regions DFW, .*; say which with region_name="):
        credentials.log_in(resolved(cloud="c"))


def test_system_scope_of_clouds_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keystone: Keystone) -> None:
    auth = {"auth_url": f"{keystone.url}/v3", "username": "admin", "password": PASSWORD, "user_domain_name": "Default", "system_scope": "all"}
    (tmp_path / "clouds.yaml").write_text(json.dumps({"clouds": {"c": {"auth": auth, "region_name": "RegionOne"}}}))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    credentials.connect(resolved(cloud="c")).services()
    assert [login["scope"] for login in keystone.logins] == [{"system": {"all": True}}]


@pytest.mark.parametrize("by", ["cloud", "openrc"])
def test_a_refused_login_reads_its_file_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keystone: Keystone, by: str) -> None:
    """The password is changed in Keystone first, and in the file a little later; the token ends with it."""
    file, now = tmp_path / by, [1000.0]

    def write(password: str) -> None:
        file.write_text(clouds(keystone.url, password) if by == "cloud" else
                        f"export OS_AUTH_URL={keystone.url}/v3 OS_USERNAME=a OS_PASSWORD={password} OS_PROJECT_NAME=p\n")

    write(PASSWORD)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    values = resolved(cloud="c") if by == "cloud" else resolved(openrc=str(file))
    login = credentials.log_in(values)
    credentials._follow(login, lambda: credentials.log_in(values), lambda: now[0])

    def log_in_again() -> int:
        """Return how many logins Keystone was asked for."""
        before = len(keystone.logins)
        login.session.invalidate()
        with contextlib.suppress(Unauthorized):
            assert login.session.get_token() == "token"
        return len(keystone.logins) - before

    assert log_in_again() == 1
    keystone.password = "changed"
    assert log_in_again() == 1                      # the file says the same: not tried a second time
    assert [log_in_again() for _ in range(5)] == [0] * 5   # nor at once again
    now[0] += credentials.REFUSED_PAUSE
    assert log_in_again() == 1
    file.unlink()                                   # a file that is just being written is no end
    now[0] += credentials.REFUSED_PAUSE
    assert log_in_again() == 1
    write("changed")
    assert log_in_again() == 0
    now[0] += credentials.REFUSED_PAUSE
    assert log_in_again() == 1 and keystone.logins[-1]["identity"]["password"]["user"]["password"] == "changed"
    keystone.password = "changed-again"
    write("changed-again")
    assert log_in_again() == 2                      # the file was first: no pause at all
    assert log_in_again() == 1


def test_the_door_to_nova_follows_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keystone: Keystone) -> None:
    file = tmp_path / "clouds.yaml"
    file.write_text(clouds(keystone.url))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    nova = credentials.connect(resolved(cloud="c"))
    assert nova.services()
    keystone.password = "changed"
    file.write_text(clouds(keystone.url, "changed"))
    nova._compute.session.invalidate()
    assert nova.services()
