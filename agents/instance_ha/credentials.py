"""From parameters to a session with Keystone: clouds.yaml, an openrc file, or the parameters themselves."""

from __future__ import annotations

import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from . import openrc
from .answers import one_line
from .errors import ConfigurationError, HostError, InstanceHaError
from .files import read_bytes
from .http_limits import limit
from .nova import MICROVERSION, PLACEMENT_MICROVERSION, Nova

LOG = logging.getLogger(__name__)
FOLDER = "/etc/openstack"
SUFFIXES = (".yaml", ".yml", ".json")
SERVICES = ("compute", "image", "placement")
# After Keystone refused a login it is not asked again for so many seconds: a Keystone may lock the
# user after a few refusals.
REFUSED_PAUSE = 10.0
Door = TypeVar("Door", bound=Nova)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NEEDED = ("auth_url", "username", "password", "tenant_name")
_TRUE = ("1", "true", "yes", "on", "y")
_PASSWORD_TYPES = ("password", "v3password")
_APPLICATION_TYPES = ("v3applicationcredential",)
# keystoneauth's name of each login value, and the variables that hold it; the first that is set counts.
_USER = {
    "username": ("OS_USERNAME",), "user_id": ("OS_USER_ID",),
    "user_domain_id": ("OS_USER_DOMAIN_ID", "OS_DEFAULT_DOMAIN_ID"),
    "user_domain_name": ("OS_USER_DOMAIN_NAME", "OS_DEFAULT_DOMAIN_NAME", "OS_DEFAULT_DOMAIN"),
}
_SCOPE = {
    "project_id": ("OS_PROJECT_ID", "OS_TENANT_ID"), "project_name": ("OS_PROJECT_NAME", "OS_TENANT_NAME"),
    "domain_id": ("OS_DOMAIN_ID",), "domain_name": ("OS_DOMAIN_NAME",),
    "system_scope": ("OS_SYSTEM_SCOPE",), "trust_id": ("OS_TRUST_ID",),
}
_PROJECT_DOMAIN = {
    "project_domain_id": ("OS_PROJECT_DOMAIN_ID", "OS_DEFAULT_DOMAIN_ID"),
    "project_domain_name": ("OS_PROJECT_DOMAIN_NAME", "OS_DEFAULT_DOMAIN_NAME", "OS_DEFAULT_DOMAIN"),
}
_APPLICATION = {
    "application_credential_id": ("OS_APPLICATION_CREDENTIAL_ID",),
    "application_credential_name": ("OS_APPLICATION_CREDENTIAL_NAME",),
    "application_credential_secret": ("OS_APPLICATION_CREDENTIAL_SECRET",),
}
_TEXTS = (*_USER, *_SCOPE, *_PROJECT_DOMAIN, *_APPLICATION, "password", "tenant_name", "tenant_id")


@dataclass(frozen=True)
class Login:
    """How to log in and what to ask: `session` is keystoneauth's. `data` is what the login is made of, to
    compare it with a later one; it is never shown. `elsewhere` are addresses that count before the catalog's,
    by service."""

    session: Any
    interface: str
    region: str
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)


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
    login = log_in(values)
    _follow(login, lambda: log_in(values))
    from keystoneauth1.adapter import Adapter

    def adapter(service: str, microversion: str | None = None) -> Any:
        return Adapter(session=login.session, service_type=service, interface=login.interface,
                       region_name=login.region or None, connect_retries=0, default_microversion=microversion,
                       endpoint_override=login.elsewhere.get(service))

    return door(adapter("compute", MICROVERSION), adapter("image"), adapter("placement", PLACEMENT_MICROVERSION))


def log_in(values: Mapping[str, str]) -> Login:
    """Return the login that the parameters lead to, with its file read anew. Raises HostError."""
    return _from_clouds_yaml(values) if values["cloud"] else _from_values(values)


def source(values: Mapping[str, str]) -> str:
    """Return the file, or files, that the login comes from; "" where it comes from the parameters. Raises HostError."""
    if values["cloud"]:
        return " and ".join(filter(None, (clouds_file(), secure_file(clouds_file()))))
    return values["openrc"]


def clouds_file() -> str:
    """Return the path of the clouds.yaml that counts: OS_CLIENT_CONFIG_FILE, else the one in /etc/openstack.

    The current folder and a person's home never count, as another user may own the one, and the agents
    would not find the other. Raises HostError."""
    named = os.environ.get("OS_CLIENT_CONFIG_FILE", "")
    if named and not os.path.isabs(named):
        raise HostError(f"OS_CLIENT_CONFIG_FILE={named} is no absolute path; write it from / on")
    path = named or _beside(FOLDER, "clouds")
    if not path or not os.path.exists(path):
        raise HostError(f"there is no {named or FOLDER + '/clouds.yaml'}; write it, or set OS_CLIENT_CONFIG_FILE to another")
    return path


def secure_file(clouds: str) -> str:
    """Return the secure.yaml that completes a clouds.yaml: OS_CLIENT_SECURE_FILE, else the one beside it; "" for none."""
    return os.environ.get("OS_CLIENT_SECURE_FILE", "") or _beside(os.path.dirname(clouds), "secure")


def _beside(folder: str, name: str) -> str:
    paths = (os.path.join(folder, name + suffix) for suffix in SUFFIXES)
    return next((path for path in paths if os.path.exists(path)), "")


def _from_values(values: Mapping[str, str]) -> Login:
    try:
        from keystoneauth1 import identity, session
        from keystoneauth1.identity import generic
    except ImportError as error:
        raise HostError(f"keystoneauth1 is not installed for this Python: {error}") from None
    given: Mapping[str, str] = openrc.read(values["openrc"]) if values["openrc"] else {}
    if values["openrc"]:
        data = read_openrc(values["openrc"], given, values)
    else:
        data = {"auth_url": values["auth_url"], "username": values["username"], "password": values["password"],
                "project_name": values["tenant_name"], "user_domain_name": values["user_domain"],
                "project_domain_name": values["project_domain"]}
    plugin = identity.V3ApplicationCredential if "application_credential_secret" in data else generic.Password
    insecure = values["insecure"] == "true" or given.get("OS_INSECURE", "").lower() in _TRUE
    verify: bool | str = False if insecure else (given.get("OS_CACERT") or values["cacert"] or True)
    certificate = (given["OS_CERT"], given["OS_KEY"]) if given.get("OS_CERT") and given.get("OS_KEY") else given.get("OS_CERT") or None
    made = session.Session(auth=plugin(**data), verify=verify, cert=certificate)
    limit(made, float(values["api_timeout"]), data["auth_url"])
    elsewhere = {service: url for service in SERVICES if (url := given.get(f"OS_{service.upper()}_ENDPOINT_OVERRIDE"))}
    interface = given.get("OS_INTERFACE") or given.get("OS_ENDPOINT_TYPE") or values["endpoint_type"]
    return Login(made, interface.replace("URL", ""), given.get("OS_REGION_NAME") or values["region_name"], elsewhere, data)


def read_openrc(path: str, given: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """Return keystoneauth's login values of the variables that an openrc file sets. Raises HostError.

    What the file does not say of domains is as the parameters have it."""
    odd = next((name for name, value in given.items() if name.startswith("OS_") and _CONTROL.search(value)), None)
    if odd:
        raise HostError(f"openrc={path}: {odd} holds a control character")
    if given.get("OS_CLOUD"):
        raise HostError(f"openrc={path} names a cloud of clouds.yaml with OS_CLOUD: give cloud={given['OS_CLOUD']} instead of openrc=")
    kind, user, application = given.get("OS_AUTH_TYPE", ""), _of(_USER, given), _of(_APPLICATION, given)
    if kind not in ("", *_PASSWORD_TYPES, *_APPLICATION_TYPES):
        raise HostError(f"openrc={path}: OS_AUTH_TYPE={kind} is none of {', '.join(_PASSWORD_TYPES + _APPLICATION_TYPES)}")
    if not kind and application and given.get("OS_PASSWORD"):
        raise HostError(f"openrc={path} has a password and an application credential: OS_AUTH_TYPE has to say which counts")
    by_application = kind in _APPLICATION_TYPES or (not kind and bool(application))
    missing = [] if given.get("OS_AUTH_URL") else ["OS_AUTH_URL"]
    if not by_application or not application.get("application_credential_id"):
        missing += [] if user.keys() & {"username", "user_id"} else ["OS_USERNAME or OS_USER_ID"]
        user = user if user.keys() & {"user_id", "user_domain_id", "user_domain_name"} else {
            **user, "user_domain_name": values["user_domain"]}
    if by_application:
        missing += [] if application.keys() - {"application_credential_secret"} else ["OS_APPLICATION_CREDENTIAL_ID"]
        missing += [] if "application_credential_secret" in application else ["OS_APPLICATION_CREDENTIAL_SECRET"]
        # keystoneauth finds the versions of a Keystone for passwords only.
        url = given.get("OS_AUTH_URL", "").rstrip("/")
        login = {"auth_url": url if url.endswith("/v3") else f"{url}/v3", **user, **application}
    else:
        missing += [] if given.get("OS_PASSWORD") else ["OS_PASSWORD"]
        scope = _scope(path, given, values)
        missing += [] if scope else ["OS_PROJECT_NAME or OS_PROJECT_ID"]
        login = {**user, "password": given.get("OS_PASSWORD", ""), **scope}
    if missing:
        raise HostError(f"{path} does not set {', '.join(missing)}")
    return {"auth_url": given["OS_AUTH_URL"], **login}


def _scope(path: str, given: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    scope = _of(_SCOPE, given)
    kinds = {name.split("_")[0] for name in scope}
    if "system" in kinds and scope["system_scope"] != "all":
        raise HostError(f"openrc={path}: OS_SYSTEM_SCOPE={scope['system_scope']} is not all, the only one that Keystone has")
    if len(kinds) > 1:
        raise HostError(f"openrc={path} asks for several scopes at once ({', '.join(sorted(kinds))}): leave one")
    if "project_id" in scope:
        return {"project_id": scope["project_id"]}
    if "project_name" not in scope:
        return scope
    return {**scope, **(_of(_PROJECT_DOMAIN, given) or {"project_domain_name": values["project_domain"]})}


def _of(names: Mapping[str, tuple[str, ...]], given: Mapping[str, str]) -> dict[str, str]:
    found = {name: next((given[one] for one in variables if given.get(one)), "") for name, variables in names.items()}
    return {name: value for name, value in found.items() if value}


def _from_clouds_yaml(values: Mapping[str, str]) -> Login:
    try:
        import openstack.config
        from keystoneauth1.exceptions import ClientException
        from openstack.exceptions import ConfigException
        from yaml import BaseLoader, YAMLError, load, safe_load  # type: ignore[import-untyped]
    except ImportError as error:
        raise HostError(f"openstacksdk is not installed for this Python: {error}") from None
    asked = f"the cloud {values['cloud']!r} cannot be used"
    # openstacksdk goes on without a profile that it does not find, which may have held the CA.
    warnings.filterwarnings("error", message="Couldn't find the vendor profile")
    try:
        path = clouds_file()
        secure = secure_file(path)
        for one in filter(None, (path, secure)):   # openstacksdk passes over a file that it cannot read
            text = read_bytes(one).decode("utf-8")
            read = safe_load(text)
            written = load(text, BaseLoader)  # noqa: S506 - it makes texts of all values
            _check_texts(one, _inside(read, "clouds", values["cloud"]),
                         _inside(written, "clouds", values["cloud"], "auth"))
        config = openstack.config.OpenStackConfig(
            config_files=[path], secure_files=[secure] if secure else [], load_envvars=False,
            vendor_files=[os.path.join(os.path.dirname(path), "clouds-public" + suffix) for suffix in SUFFIXES])
        if values["cloud"] in config.cloud_config["clouds"] and not values["region_name"]:
            # openstacksdk 0.55 gives None for a cloud without a region.
            known = config._get_known_regions(values["cloud"]) or []
            regions = [region["name"] for region in known]
            if len(regions) > 1:
                raise HostError(f"{asked}: {path} gives it the regions {', '.join(regions)}; say which with region_name=")
        region = config.get_one(
            cloud=values["cloud"], region_name=values["region_name"] or None, api_timeout=float(values["api_timeout"]),
            **({"verify": False} if values["insecure"] == "true" else {}), **({"cacert": values["cacert"]} if values["cacert"] else {}))
        _check_login(path, region.config)
        session = region.get_session()
    except Warning as error:
        raise HostError(f"{asked}: {one_line(error)}: neither openstacksdk nor a "
                        "clouds-public.yaml beside the file has it") from None
    except HostError as error:
        raise (error if str(error).startswith(asked) else HostError(f"{asked}: {error}")) from None
    except (ConfigException, ClientException, OSError, ValueError, YAMLError, TypeError, AttributeError, KeyError, RecursionError) as error:
        # What is missing in a clouds.yaml, or is no mapping there, comes out of openstacksdk as any of these.
        meant = isinstance(error, (ConfigException, ClientException, OSError, YAMLError))
        what = one_line(error) if meant else f"something is missing in clouds.yaml, or is no mapping there ({one_line(error)})"
        raise HostError(f"{asked}: {what}") from None
    limit(session, float(values["api_timeout"]), str(getattr(session.auth, "auth_url", None) or ""))
    elsewhere = {service: url for service in SERVICES if (url := region.get_endpoint(service))}
    interface = region.config.get("interface") or values["endpoint_type"].replace("URL", "")
    data = {"auth_type": region.config.get("auth_type"), **(region.config.get("auth") or {})}
    return Login(session, interface, region.get_region_name() or "", elsewhere, data)


def _inside(root: Any, *names: str) -> Mapping[str, Any]:
    """Return the mapping below these names, {} where there is none."""
    for name in names:
        root = root.get(name) if isinstance(root, Mapping) else None
    return root if isinstance(root, Mapping) else {}


def _check_texts(path: str, cloud: Mapping[str, Any], written: Mapping[str, Any]) -> None:
    """Raise HostError for a value that YAML takes for something else than what is written."""
    auth = _inside(cloud, "auth")
    if any(auth.get(name) for name in _APPLICATION) and not {"auth_type", "profile"} & {*cloud}:
        raise HostError(f"{path} gives it an application credential, and no auth_type: that has to "
                        f"be {_APPLICATION_TYPES[0]}")
    for name in (name for name in _TEXTS if auth.get(name) is not None):
        value = auth[name]
        plain = isinstance(value, (str, int)) and not isinstance(value, bool)
        if not plain or str(value) != written.get(name, str(value)):    # a merged key is not there
            raise HostError(
                f"{path}: YAML takes {name} for a value of the type {type(value).__name__}, which "
                "is not what is written: put it in quotes")


def _check_login(path: str, config: Mapping[str, Any]) -> None:
    """Raise HostError where a login by a password lacks what keystoneauth misses late."""
    auth, kind = config.get("auth") or {}, config.get("auth_type") or "password"
    if kind not in _PASSWORD_TYPES:
        return
    needed = (("username",), ("username", "user_id")), (("password",), ("password",)), (
        ("project_name",), tuple(_SCOPE))
    missing = [words[0] for words, names in needed if not any(auth.get(name) for name in names)]
    if auth.get("auth_url") and missing:
        raise HostError(f"{path} gives it no {' and no '.join(missing)}")


def _follow(login: Login, again: Callable[[], Login], clock: Callable[[], float] = time.monotonic) -> None:
    """Let a login that Keystone refuses be tried with what its file says by then.

    A password is changed in Keystone and in the file, in either order. Keystone is asked again at once only
    if the file says something else, and else after REFUSED_PAUSE. keystoneauth calls this under its lock."""
    from keystoneauth1.exceptions import Unauthorized

    if not hasattr(login.session.auth, "get_auth_ref"):
        return
    state: dict[str, Any] = {"ask": login.session.auth.get_auth_ref, "data": login.data, "until": 0.0, "error": None}

    def ask(session: Any, **options: Any) -> Any:
        if state["error"] is not None and clock() < state["until"]:
            raise state["error"].with_traceback(None)
        before, state["error"] = state["error"], None
        if before is not None:
            take()
        try:
            return state["ask"](session, **options)
        except Unauthorized as error:
            refused(error)
            if before is not None or not take():
                raise
        try:
            access = state["ask"](session, **options)
        except Unauthorized as error:
            refused(error)
            raise
        state["error"] = None
        LOG.info("Keystone refused the login; with what the file says now it is good")
        return access

    def refused(error: Exception) -> None:
        state.update(error=error, until=clock() + REFUSED_PAUSE)

    def take() -> bool:
        try:
            new = again()
        except InstanceHaError as error:
            LOG.warning("Keystone refused the login, and it cannot be read again: %s", error)
            return False
        changed = bool(new.data != state["data"])
        if changed:
            state.update(ask=new.session.auth.get_auth_ref, data=new.data)
        return changed

    login.session.auth.get_auth_ref = ask
