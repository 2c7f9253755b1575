"""What the commands share: the cloud, the cluster, tables."""

from __future__ import annotations

import argparse
import csv
import functools
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from .. import credentials, params
from ..cluster import Cluster
from ..errors import FORBIDDEN, CloudRefused, ClusterError, ConfigurationError, HostError
from ..model import Aggregate, ClusterView
from ..nova import Nova
from ..process import CLEAN_ENVIRONMENT, run
from ..text import printable

ALL_DONE, SOME_LEFT, NOTHING_TRIED = 0, 1, 2
FORMATS = ("table", "json", "yaml", "csv")
TOOL_TIMEOUT = 10.0
CLEAR = "\033[H\033[2J"       # the terminal's own words for an empty screen
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")      # and their wide forms, which Japanese spreadsheets take too
_NUMBER = re.compile(r"[+-]?[0-9.]*")
_NOT_CREDENTIALS = ("domain", "evacuate_attribute", "api_timeout")
_ENVIRONMENT = {
    "OS_CLOUD": "cloud", "OS_AUTH_URL": "auth_url", "OS_USERNAME": "username", "OS_PASSWORD": "password",
    "OS_PROJECT_NAME": "tenant_name", "OS_TENANT_NAME": "tenant_name", "OS_USER_DOMAIN_NAME": "user_domain",
    "OS_PROJECT_DOMAIN_NAME": "project_domain", "OS_REGION_NAME": "region_name", "OS_CACERT": "cacert",
    "OS_INTERFACE": "endpoint_type", "OS_ENDPOINT_TYPE": "endpoint_type",
}


class Screen:
    """A stream for people, to which no text from outside can send a command of a terminal. It takes CLEAR when it comes alone."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, said: str) -> int:
        """Write the text with what does not print replaced, but for the ends of lines."""
        if said != CLEAR and not said.isprintable():
            said = "".join(part if part in _KEPT else printable(part) for part in _ENDS.split(said))
        self._stream.write(said)
        return len(said)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


_KEPT = ("\n", "\r", "\t")
_ENDS = re.compile(r"([\n\r\t])")


def add_cloud_options(parser: argparse.ArgumentParser) -> None:
    """The options that name the cloud, as every OpenStack command has them."""
    parser.add_argument("--os-cloud", metavar="NAME", help="entry of clouds.yaml; default: OS_CLOUD, the OS_ variables, the NovaEvacuate resource")


def add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--format", choices=FORMATS, default="table", help="how the table is printed")


def seconds(text: str) -> float:
    """A number of seconds above 0, for argparse. Raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return value


def cloud_values(args: argparse.Namespace, resource: Mapping[str, str] | None = None) -> dict[str, str]:
    """The resolved parameters: the cloud from --os-cloud, else the OS_ variables, else the NovaEvacuate resource of this
    cluster (`resource`, where its parameters are known); everything else from that resource. Raises ConfigurationError when
    none of them names a cloud."""
    given = {"cloud": args.os_cloud} if args.os_cloud else {
        name: os.environ[variable] for variable, name in _ENVIRONMENT.items() if os.environ.get(variable)}
    resource = resource_parameters() if resource is None else resource
    if given.get("cloud") or given.get("auth_url"):
        credentials_of = {name for param in params.CLOUD if param.name not in _NOT_CREDENTIALS for name in (param.name, *param.aliases)}
        given = {**{name: value for name, value in resource.items() if name not in credentials_of}, **given}
    else:
        given = dict(resource)
    if not given:
        raise ConfigurationError("which cloud? give --os-cloud, or set OS_CLOUD or the OS_ variables (no NovaEvacuate resource here)")
    return params.resolve(params.of(params.OCF), given)


def has_pacemaker() -> bool:
    """Whether Pacemaker's tools are installed on this machine: else it is on no cluster."""
    return shutil.which("cibadmin", path=CLEAN_ENVIRONMENT["PATH"]) is not None


@functools.lru_cache
def _not_asked(why: str) -> None:
    print(f"instance-ha: this machine's cluster cannot be asked, and does not count: {why}", file=sys.stderr)


def resource_parameters() -> dict[str, str]:
    """The parameters of this cluster's NovaEvacuate resource; {} when there is no cluster here, or none in it. One that cannot
    be asked is named on stderr."""
    try:
        return resource_parameters_or_error() if has_pacemaker() else {}
    except (ClusterError, HostError) as error:
        _not_asked(str(error))
        return {}


def resource_parameters_or_error() -> dict[str, str]:
    """The same; raises ClusterError or HostError when the cluster cannot be asked."""
    from .. import configuration
    from ..cib import parse_cib

    done = run(["cibadmin", "--query"], TOOL_TIMEOUT)
    if done.code:
        raise ClusterError(f"cibadmin failed with {done.code}: {done.sentence}")
    found = configuration.read(parse_cib(done.out)).of_type("ocf:openstack:NovaEvacuate")
    return dict(found[0].params) if found else {}


def resource_values() -> dict[str, str]:
    """The resolved parameters for a command that asks the cluster only. Raises ClusterError, HostError when that cannot be asked."""
    return params.resolve(params.of(params.OCF), resource_parameters_or_error() if has_pacemaker() else {})


def attribute_name() -> str:
    """The node attribute of the records, whatever is wrong with other parameters. Raises ClusterError, HostError, ConfigurationError."""
    [only] = [param for param in params.of(params.OCF) if param.name == "evacuate_attribute"]
    return params.resolve([only], resource_parameters_or_error())[only.name]


def aggregates(nova: Nova) -> Sequence[Aggregate]:
    """Nova's host aggregates; none, with a word on stderr, where this user may not see them."""
    try:
        return nova.aggregates()
    except CloudRefused as error:
        if error.status != FORBIDDEN:
            raise
        print(f"instance-ha: what host aggregates say does not count: {error}", file=sys.stderr)
        return ()


def connect(args: argparse.Namespace, resource: Mapping[str, str] | None = None) -> tuple[Nova, dict[str, str]]:
    """Nova, and the parameters that led to it. `resource` as for cloud_values."""
    values = cloud_values(args, resource)
    return credentials.connect(values), values


def cluster_view(values: Mapping[str, str]) -> tuple[Cluster, ClusterView] | None:
    """This node's cluster; None off a cluster, and, with a word on stderr, where it cannot be asked."""
    cluster = Cluster(values["evacuate_attribute"])
    try:
        return (cluster, cluster.view()) if has_pacemaker() else None
    except (ClusterError, HostError) as error:
        _not_asked(str(error))
        return None


def must_have_quorum(view: ClusterView) -> None:
    """Raise ClusterError in a part of the cluster without quorum: what is written there the worker does not see."""
    if not view.quorate:
        raise ClusterError("this part of the cluster has no quorum: run it on a controller that has")


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[object]], how: str) -> None:
    """Print rows on stdout as a table, JSON or YAML (a list of objects), or CSV."""
    if how in ("json", "yaml"):
        print_value([dict(zip(columns, row)) for row in rows], how)
    elif how == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows([[_of_csv(cell) for cell in row] for row in rows])
    else:
        print_table(columns, [["" if cell is None else printable(str(cell)) for cell in row] for row in rows])


def _of_csv(cell: object) -> object:
    """A cell as CSV may hold it: spreadsheets carry out what begins like a formula."""
    if cell is None or isinstance(cell, (bool, int, float)):
        return cell
    said = printable(str(cell))
    return f"'{said}" if said[:1] in FORMULA and not _NUMBER.fullmatch(said) else said


def check_format(how: str) -> None:
    """Raise HostError where there is no PyYAML for YAML: before something is done whose outcome nobody would see."""
    if how == "yaml":
        try:
            import yaml  # type: ignore[import-untyped]  # noqa: F401
        except ImportError as error:
            raise HostError(f"-f yaml needs PyYAML, which comes with openstacksdk: {error}") from None


def print_value(value: object, how: str) -> None:
    """Print a value on stdout as JSON or YAML. Raises HostError where there is no PyYAML."""
    if how == "json":
        print(json.dumps(value, indent=1))
        return
    check_format(how)
    import yaml

    said = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    if not said.replace("\n", "").isprintable():
        said = yaml.safe_dump(value, sort_keys=False)     # with an escape for whatever is not ASCII
    print(said, end="")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max([len(column)] + [len(row[n]) for row in rows]) for n, column in enumerate(columns)]
    line = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    print(line)
    print("| " + " | ".join(column.ljust(width) for column, width in zip(columns, widths)) + " |")
    print(line)
    for row in rows:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")
    print(line)
