"""A clouds.yaml that is wrong is one sentence, whatever is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from instance_ha import credentials, params
from instance_ha.errors import HostError

AUTH = "auth: {auth_url: 'http://127.0.0.1:1/v3', username: a, password: b, project_name: p, user_domain_name: d, project_domain_name: d}"


@pytest.mark.parametrize("text", [
    "", "clouds:\n", "clouds: [c]\n", "clouds:\n  c:\n", "clouds:\n  other: {}\n", "clouds: {c: {auth: }}\n", "clouds: {c: [1]}\n", "clouds: {c: {\n",
    "clouds: {c: {auth: {username: a, password: b}}}\n", "clouds: {c: {auth_type: v3nonsense, auth: {auth_url: x}}}\n",
    "clouds: {c: {auth_type: v3applicationcredential, auth: {auth_url: x, application_credential_id: y}}}\n"])
def test_what_is_wrong_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    file = tmp_path / "clouds.yaml"
    file.write_text(text)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    with pytest.raises(HostError, match="the cloud 'c' cannot be used: "):
        credentials.connect(params.resolve(params.of(params.OCF), {"cloud": "c"}))


@pytest.mark.parametrize(("given", "verify"), [({}, "/its.pem"), ({"insecure": "true"}, False), ({"cacert": "/x.pem"}, "/x.pem")])
def test_tls_parameters_count_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], verify: object) -> None:
    file = tmp_path / "clouds.yaml"
    file.write_text(f"clouds: {{c: {{{AUTH}, cacert: /its.pem, region_name: R}}}}\n")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    session, *_ = credentials._from_clouds_yaml(params.resolve(params.of(params.OCF), {"cloud": "c", **given}))
    assert session.verify == verify
