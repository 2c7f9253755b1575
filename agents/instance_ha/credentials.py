"""From parameters to a session with Keystone: clouds.yaml, an openrc file, or the parameters themselves."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any, TypeVar

from .answers import one_line
from .errors import ConfigurationError, HostError
from .http_limits import limit
from .nova import MICROVERSION, PLACEMENT_MICROVERSION, Nova

_EXPORT = re.compile(r"\s*(?:export\s+)?(OS_[A-Z_]+)=(.*)")
_FROM_OPENRC = {
    "OS_AUTH_URL": "auth_url", "OS_USERNAME": "username", "OS_PASSWORD": "password", "OS_PROJECT_NAME": "tenant_name",
    "OS_TENANT_NAME": "tenant_name", "OS_USER_DOMAIN_NAME": "user_domain", "OS_PROJECT_DOMAIN_NAME": "project_domain",
    "OS_REGION_NAME": "region_name", "OS_CACERT": "cacert", "OS_INTERFACE": "endpoint_type", "OS_ENDPOINT_TYPE": "endpoint_type",
}
Door = TypeVar("Door", bound=Nova)
_NEEDED = ("auth_url", "username", "password", "tenant_name")


def check(values: Mapping[str, str]) -> None:
    """Raise ConfigurationError unless the parameters (by name, resolved) say who to be and where."""
    if values["cloud"] or values["openrc"]:
        return
    missing = [name for name in _NEEDED if not values[name]]
    if missing:
        raise ConfigurationError(f"missing {', '.join(missing)}: give them, or cloud=, or openrc=")


def connect(values: Mapping[str, str]) -> Nova:
    """A Nova for the resolved parameters; no request is sent yet. Raises ConfigurationError, HostError."""
    return connect_by(Nova, values)


def connect_by(door: type[Door], values: Mapping[str, str]) -> Door:
    """The same, by another door to it."""
    check(values)
    session, interface, region, elsewhere = _from_clouds_yaml(values) if values["cloud"] else _from_values(values)
    from keystoneauth1.adapter import Adapter

    def adapter(service: str, microversion: str | None = None) -> Any:
        return Adapter(session=session, service_type=service, interface=interface, region_name=region or None, connect_retries=0,
                       default_microversion=microversion, endpoint_override=elsewhere.get(service))

    return door(adapter("compute", MICROVERSION), adapter("image"), adapter("placement", PLACEMENT_MICROVERSION))


def _from_values(values: Mapping[str, str]) -> tuple[Any, str, str, dict[str, str]]:
    try:
        from keystoneauth1 import session
        from keystoneauth1.identity import generic
    except ImportError as error:
        raise HostError(f"keystoneauth1 is not installed for this Python: {error}") from None
    if values["openrc"]:
        values = {**values, **read_openrc(values["openrc"])}
        missing = [name for name in _NEEDED if not values[name]]
        if missing:
            raise HostError(f"{values['openrc']} does not set {', '.join(missing)}; ids and application credentials need clouds.yaml and cloud=")
    auth = generic.Password(
        auth_url=values["auth_url"], username=values["username"], password=values["password"],
        project_name=values["tenant_name"], user_domain_name=values["user_domain"], project_domain_name=values["project_domain"],
    )
    verify: bool | str = False if values["insecure"] == "true" else (values["cacert"] or True)
    made = session.Session(auth=auth, verify=verify)
    limit(made, float(values["api_timeout"]), values["auth_url"])
    return made, _interface(values), values["region_name"], {}


def _from_clouds_yaml(values: Mapping[str, str]) -> tuple[Any, str, str, dict[str, str]]:
    try:
        import openstack.config
        from keystoneauth1.exceptions import ClientException
        from openstack.exceptions import ConfigException
        from yaml import YAMLError  # type: ignore[import-untyped]
    except ImportError as error:
        raise HostError(f"openstacksdk is not installed for this Python: {error}") from None
    try:
        region = openstack.config.OpenStackConfig().get_one(
            cloud=values["cloud"], region_name=values["region_name"] or None, api_timeout=float(values["api_timeout"]),
            **({"verify": False} if values["insecure"] == "true" else {}), **({"cacert": values["cacert"]} if values["cacert"] else {}))
        session = region.get_session()
    except (ConfigException, ClientException, OSError, ValueError, YAMLError, TypeError, AttributeError, KeyError) as error:
        # What is missing in a clouds.yaml, or is no mapping there, comes out of openstacksdk as any of these.
        known = isinstance(error, (ConfigException, ClientException, OSError, YAMLError))
        what = one_line(error) if known else f"something is missing in clouds.yaml, or is no mapping there ({one_line(error)})"
        raise HostError(f"the cloud {values['cloud']!r} cannot be used: {what}") from None
    limit(session, float(values["api_timeout"]), str(getattr(session.auth, "auth_url", None) or ""))
    elsewhere = {service: url for service in ("compute", "image", "placement") if (url := region.get_endpoint(service))}
    return session, region.config.get("interface") or _interface(values), region.get_region_name() or "", elsewhere


def _interface(values: Mapping[str, str]) -> str:
    return values["endpoint_type"].replace("URL", "")


def read_openrc(path: str) -> dict[str, str]:
    """The cloud parameters that a file of OS_ variables sets. It is parsed, not executed. Raises HostError."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.readlines()
    except (OSError, UnicodeDecodeError) as error:
        raise HostError(f"openrc={path} cannot be read: {one_line(error)}") from None
    found = {}
    for line in lines:
        match = _EXPORT.match(line)
        name = _FROM_OPENRC.get(match.group(1)) if match else None
        if match and name:
            try:
                found[name] = "".join(shlex.split(match.group(2), comments=True))
            except ValueError:
                raise HostError(f"openrc={path}: the line of {match.group(1)} has an open quote") from None
    return found
