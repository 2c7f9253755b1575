"""Every parameter, declared once: its name, type, default, aliases and texts.

metadata.py renders the table as OCF XML, as options of fencing.py and as options of the command line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from . import booleans
from .errors import ConfigurationError
from .model import RECORD

SILENT = frozenset(("2", "disabled"))    # record_only: the agent is switched off
_PRIORITY = re.compile(r"[^=]+=-?([0-9]{1,3}|1000)")
FENCE = "fence"
OCF = "ocf"
# What recover_states may name, and names by default. A test holds it to states.py.
STATE_WORDS = ("error", "paused", "suspended", "rescued", "shelved", "resized")
DEFAULT_STATE_WORDS = ("error", "paused", "resized")


@dataclass(frozen=True)
class Param:
    """One parameter.

    `kind` is string, boolean, integer, second (a number of seconds) or select (one of `choices`). `aliases` are
    other names that are taken as well, those of the peers. `fence_name` is its name in fence_nova where
    fencing.py already has one. `letter` is its short option there.
    """

    name: str
    short: str
    long: str = ""
    kind: str = "string"
    default: str = ""
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    agents: frozenset[str] = frozenset((FENCE, OCF))
    fence_name: str = ""
    letter: str = ""
    secret: bool = False
    reloadable: bool = True
    minimum: float | None = None
    maximum: float | None = None


_OCF_ONLY = frozenset((OCF,))
_FENCE_ONLY = frozenset((FENCE,))

CLOUD: tuple[Param, ...] = (
    Param("cloud", "Name of the cloud in clouds.yaml",
          "The entry of clouds.yaml (OS_CLIENT_CONFIG_FILE, else /etc/openstack/clouds.yaml) that holds the credentials, with the "
          "secure.yaml beside it. The current folder and the home folder do not count. "
          "It keeps the password out of the cluster's configuration; application credentials work here too."),
    Param("openrc", "Path of a file of OS_ variables",
          "A file with lines such as export OS_AUTH_URL=..., read as bash reads it and not executed: a line that would have to be "
          "executed is refused. It must exist on every node that runs the agent. Names, ids, application credentials and system "
          "scope are taken under the names that the openstack command has for them."),
    Param("auth_url", "Keystone's URL", "The address of Keystone, for instance https://keystone.example.com:5000/v3", letter="k"),
    Param("username", "User", "The user that evacuates. It needs the policies that docs/operations.md lists; admin has them.",
          aliases=("login", "user"), fence_name="username", letter="l"),
    Param("password", "Password", "That user's password. Better kept in clouds.yaml or an openrc file.",
          aliases=("passwd",), fence_name="password", letter="p", secret=True),
    Param("tenant_name", "Project", "The project in which the user has its role.", aliases=("project_name", "tenant", "project"), letter="t"),
    Param("user_domain", "Keystone domain of the user", default="Default", aliases=("user_domain_name",), letter="u"),
    Param("project_domain", "Keystone domain of the project", default="Default", aliases=("project_domain_name",), letter="P"),
    Param("region_name", "Region", "The region whose Nova is meant, in clouds that have several."),
    Param("endpoint_type", "Kind of endpoint", "Which endpoint of the service catalog is used.", letter="e",
          default="internalURL", kind="select",
          choices=("internalURL", "publicURL", "adminURL", "internal", "public", "admin")),
    Param("insecure", "Do not verify TLS certificates", kind="boolean", default="false", aliases=("ssl_insecure",)),
    Param("cacert", "CA file", "A file of PEM certificates that Keystone's and Nova's certificates are verified with; default: the system's."),
    Param("domain", "DNS domain of the compute hosts",
          "Appended to a Pacemaker node's name to find its host in Nova, where Nova knows hosts by their FQDN and Pacemaker by their short name.",
          aliases=("compute_domain",), letter="d"),
    Param("api_timeout", "Longest wait for one answer of Keystone or Nova, in seconds", kind="second", default="10",
          aliases=("apitimeout",), minimum=1, maximum=300),
    Param("evacuate_attribute", "Node attribute that holds the fencing record",
          "The permanent node attribute of each host; another, with -held after its name, keeps nova-compute from starting. "
          "fence_nova and NovaEvacuate must be given the same name.",
          default=RECORD, reloadable=False),
)

FENCING: tuple[Param, ...] = (
    Param("record_only", "Only record the fencing",
          "true: off writes the record and leaves Nova to NovaEvacuate's worker. Disabled (or 2): off, on and monitor succeed and do nothing, "
          "the peers' way to switch the agent off. As fence_compute has it, 1 and true are the same.",
          default="false", agents=_FENCE_ONLY),
    Param("nova_timeout", "Longest time that off spends on Nova, in seconds",
          "After it the worker marks the service down instead. Keep it well below the fencing timeout. Where Pacemaker takes long for "
          "the record, Nova gets less.",
          kind="second", default="10", agents=_FENCE_ONLY, minimum=1, maximum=60),
    Param("quick_evacuate_level", "What has to be before a host is evacuated",
          "2: its power is off, by a device before fence_nova in each of its fencing levels; then Nova is told that it is down. "
          "1: the same without a power device: Pacemaker's word that fence_nova succeeded is enough. Only for those who fence by other "
          "means: a host that is still alive then runs its servers twice and destroys their data. "
          "3: Nova is not told; it has to notice by itself, after its service_down_time. Give both agents the same level.",
          kind="select", choices=("1", "2", "3"), default="2"),
    Param("protect_hosts", "Hosts that are protected, where Nova's list of compute hosts is not it",
          "Names or shell patterns separated by spaces, of Pacemaker's nodes or of Nova's hosts, "
          "in any case and with or without the DNS domain, such as cmp-*. Empty: every compute host "
          "of Nova. Of any other host fence_nova puts no fencing on record, nothing is evacuated from "
          "it, and doctor and configure leave it out. Give both agents the same.", default=""),
    Param("let_in", "When a returned node is unfenced",
          "evacuated: not before its evacuation is over; until then unfencing fails and Pacemaker asks again each second, and what requires "
          "unfencing does not start. at_once: always. Only where something else keeps nova-compute from starting: the rule on evacuate-held of "
          "docs/install.md, or its own unit (instance-ha wait-until-evacuated).",
          kind="select", choices=("evacuated", "at_once"), default="evacuated", agents=_FENCE_ONLY),
    Param("no_shared_storage", "Accepted and without effect: Nova finds out for itself since 2.14", kind="boolean", default="false",
          aliases=("on_shared_storage",)),
    Param("instance_filtering", "Accepted and without effect: the worker selects the servers", kind="boolean", default="true", agents=_FENCE_ONLY),
)

EVACUATION: tuple[Param, ...] = (
    Param("enabled", "Evacuate", "false: fencings go on being recorded, and nothing is evacuated until it is true again.",
          kind="boolean", default="true", agents=_OCF_ONLY),
    Param("evacuate_delay", "Pause between the fencing and the first evacuation, in seconds",
          "For storage that holds the dead host's locks for a while (NFS leases, Ceph's exclusive locks).",
          kind="second", default="0", agents=_OCF_ONLY, minimum=0, maximum=3600),
    Param("min_parallel", "Fewest evacuations under way at once, whatever trouble there is", kind="integer", default="2",
          agents=_OCF_ONLY, minimum=1, maximum=512),
    Param("max_parallel", "Most evacuations under way at once, of all dead hosts together", kind="integer", default="256",
          agents=_OCF_ONLY, minimum=1, maximum=512),
    Param("max_parallel_per_host", "Most evacuations under way at once for each living host",
          "Whatever it is, no more than 16 wait for Nova's choice of a host at once, and fewer after lost or slow answers, or failed rebuilds.",
          kind="integer", default="20", agents=_OCF_ONLY, minimum=1, maximum=512),
    Param("start_pause", "Fixed pause between the starts of two evacuations, in seconds", kind="second", default="0", agents=_OCF_ONLY,
          minimum=0, maximum=600),
    Param("group_timeout", "How long a restart group waits for the one before it, in seconds",
          "Servers whose metadata name a restart_group are evacuated group by group, the group with the highest restart_priority first.",
          kind="second", default="300", agents=_OCF_ONLY, minimum=0, maximum=7200),
    Param("max_attempts", "Most tries for one server",
          "A server that no host has room for is tried for as long as its host is away, whatever this says.",
          kind="integer", default="5", agents=_OCF_ONLY, minimum=1, maximum=100),
    Param("retry_pause", "Pause before the second try of a server, in seconds; it doubles with each try",
          kind="second", default="5", agents=_OCF_ONLY, minimum=1, maximum=600),
    Param("stuck_timeout", "How long an evacuation may show no progress before it counts as stuck, in seconds",
          "Only while Nova's conductor and scheduler are up. A request that no scheduler has taken in this time, every conductor and scheduler "
          "being up, was lost and is sent again; any other stuck evacuation is named, and never sent again while it may still be carried out.",
          kind="second", default="300", agents=_OCF_ONLY, minimum=30, maximum=7200),
    Param("threshold", "Share of the compute hosts, in percent, that may be down before evacuation waits for a person",
          "When more are on record at once it is rather the network or the control plane that failed: nothing more is evacuated until a person "
          "says instance-ha release, and a held host that comes back is let in with its servers. A single host is never held. A host that was "
          "evacuated over an hour ago and waits for its repair does not count. 100 switches this "
          "off. A number for one host aggregate: its metadata instance-ha:max_failures (or instanceha:max_failures).",
          kind="integer", default="50", agents=_OCF_ONLY, minimum=0, maximum=100),
    Param("reserved_hosts", "Enable a reserved host for a dead one",
          "A compute host that is disabled with a reason that begins with the word reserved is enabled when a host of the same aggregate, "
          "or else of the same zone, is evacuated, and disabled again when no server went there.", kind="boolean", default="true", agents=_OCF_ONLY),
    Param("recover_states", "States besides running and shut off in which a server is recovered",
          "Words separated by spaces, of " + ", ".join(STATE_WORDS) + ". docs/states.md says what each costs.",
          default=" ".join(DEFAULT_STATE_WORDS), agents=_OCF_ONLY),
    Param("evacuable_tag", "Name of the flavor extra spec, image property or tag, server or aggregate metadata key that opts in or out",
          default="evacuable", agents=_OCF_ONLY),
    Param("protect", "Which servers are protected",
          "all: every server but those that opt out (evacuable=false or HA_Enabled=false). tagged: only those that opt in "
          "(evacuable=true or HA_Enabled=true). The most specific word counts: name pattern, server metadata, image, flavor, project, aggregate.",
          kind="select", choices=("all", "tagged"), default="all", agents=_OCF_ONLY),
    Param("skip_servers", "Names of servers that are never evacuated: shell patterns separated by spaces, such as amphora-*",
          default="", agents=_OCF_ONLY),
    Param("protect_servers", "Names of servers that are protected: shell patterns separated by spaces", default="", agents=_OCF_ONLY),
    Param("skip_projects", "Projects whose servers are not evacuated unless something more specific protects them: ids separated by spaces",
          default="", agents=_OCF_ONLY),
    Param("protect_projects", "Projects whose servers are protected unless something more specific says no: ids separated by spaces",
          default="", agents=_OCF_ONLY),
    Param("image_disks", "Servers whose disk is where their host keeps it: those that were made from an image",
          "evacuate: moved; where the hosts share no storage for such disks (Ceph, NFS), Nova makes the disk anew from its image, and what was on "
          "it is lost. shared: moved only from hosts of an aggregate whose metadata say instance-ha:shared_disks=true. leave: never moved; "
          "they start again when their host is back. tell, until somebody has chosen: as shared, and monitor names those that stay.",
          kind="select", choices=("tell", "evacuate", "shared", "leave"), default="tell", agents=_OCF_ONLY),
    Param("user_priorities", "Owners of servers say in which order theirs come",
          "false: restart_priority, restart_group and HA_Enabled in server metadata order nothing. Operators' own order stands above theirs in "
          "any case: restart_priority (-1000 to 1000, 500 where there is none) of the flavor's extra specs, of project_priorities, of the "
          "host's aggregates, the first that is there.", kind="boolean", default="true", agents=_OCF_ONLY),
    Param("project_priorities", "Operators' priorities of projects: ID=NUMBER separated by spaces", default="", agents=_OCF_ONLY),
    Param("quarantine", "Returns in a day after which a host is kept out of service",
          "A host that has failed and returned so often within 24 hours stays disabled in Nova, and monitor names it, until a person enables "
          "it. 0: never.", kind="integer", default="0", agents=_OCF_ONLY, minimum=0, maximum=100),
    Param("after_reboot", "Servers that a reboot of their host has left off",
          "Of a host that was away without being fenced, as when somebody reboots it. tell: "
          "monitor names them. start: those that are protected, and that Nova itself has stopped "
          "since the host's return, are started there as well. One that anybody else has stopped, "
          "or that was off before, is never started; docs/limits.md says what cannot be told apart.",
          kind="select", choices=("tell", "start"), default="tell", agents=_OCF_ONLY),
    Param("leave_disabled", "Leave the service of a returned host disabled until a person enables it", kind="boolean", default="false",
          agents=_OCF_ONLY),
    Param("metrics_directory", "Directory for node_exporter's text-file collector",
          "The worker writes instance_ha_RESOURCE.prom there, whole, at least every 10 s, and removes it when it is stopped. The directory must "
          "be there on each controller. Empty: no metrics.", agents=_OCF_ONLY),
    Param("hook", "Command or URL that is told of incidents",
          "An absolute path: called for each event with a JSON object on standard input and INSTANCE_HA_ variables. An http or https URL: gets "
          "the object as a POST. A call has 20 s. What hangs or fails is told in the log and holds nothing up. Empty: none. "
          "docs/operations.md lists the events.", agents=_OCF_ONLY, secret=True),
    Param("log_level", "Least severity that is logged", kind="select", choices=("debug", "info", "warning", "error"),
          default="info", agents=_OCF_ONLY),
    Param("log_file", "File for the log of the worker, in place of syslog",
          "An absolute path; a second file of the same name with .1 has what was before. Where there is no syslog, as in many containers, and "
          "no such file is named, the log is NovaEvacuate-RESOURCE.log among the worker's files, in /run/resource-agents.",
          default="", agents=_OCF_ONLY),
)

ALL = CLOUD + FENCING + EVACUATION


def of(agent: str) -> list[Param]:
    """The parameters of one agent (FENCE or OCF), in the order of the table."""
    return [param for param in ALL if agent in param.agents]


def boolean(text: str) -> bool | None:
    """Return what a parameter's text means as yes or no, an empty one as no; None for neither."""
    return booleans.boolean(text) if text.strip() else False


def check(param: Param, text: str) -> str:
    """`text` as a clean value of `param`; its default for an empty one. Raises ConfigurationError naming parameter and value."""
    text = text.strip() or param.default
    if param.kind == "boolean":
        value = boolean(text)
        if value is None:
            raise ConfigurationError(f"{param.name}={text!r} is neither true nor false")
        return "true" if value else "false"
    if param.kind in ("integer", "second") and text:
        return _check_number(param, text)
    if param.kind == "select" and text:
        for choice in param.choices:
            if choice.lower() == text.lower():
                return choice
        raise ConfigurationError(f"{param.name}={text!r} is none of {', '.join(param.choices)}")
    if param.name == "recover_states":
        unknown = sorted(set(text.replace(",", " ").split()) - {*STATE_WORDS, "none"})
        if unknown:
            raise ConfigurationError(f"recover_states names {', '.join(unknown)}; it may name none, {', '.join(STATE_WORDS)}")
    if param.name == "project_priorities" and not all(_PRIORITY.fullmatch(word) for word in text.replace(",", " ").split()):
        raise ConfigurationError(f"{param.name}={text!r} is not ID=NUMBER separated by spaces, numbers from -1000 to 1000")
    if param.name == "record_only" and text.lower() not in SILENT and boolean(text) is None:
        raise ConfigurationError(f"{param.name}={text!r} is none of true, false and Disabled (or 2)")
    if param.name == "evacuate_attribute" and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", text):
        raise ConfigurationError(f"{param.name}={text!r} is no name of a node attribute: letters, digits, _, . and -")
    if not text.isprintable():
        raise ConfigurationError(f"{param.name} holds a control character, or another that does not print")
    if param.name == "auth_url" and has_password(text):
        raise ConfigurationError("auth_url holds a user or a password: give them as username and password")
    if param.name == "hook" and not text.startswith("/") and not all("!" <= char <= "~" for char in text):
        raise ConfigurationError("hook is a URL with a space or a letter that is not ASCII: write it as %20 or the like")
    if param.name in ("metrics_directory", "log_file") and text and not text.startswith("/"):
        raise ConfigurationError(f"{param.name}={text!r} is no absolute path")
    if param.name == "hook" and text and not text.startswith("/") and not _is_url(text):
        raise ConfigurationError("hook is neither an absolute path nor an http or https URL")  # it may hold a key: not shown
    return text


def has_password(url: str) -> bool:
    """Whether a URL holds a user or a password, which would stand in every message about it."""
    return "@" in url.partition("://")[2].partition("/")[0]


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        return False


def _check_number(param: Param, text: str) -> str:
    digits = text[:-1] if param.kind == "second" and text.lower().endswith("s") else text
    try:
        number = float(digits) if param.kind == "second" else int(digits)
    except ValueError:
        raise ConfigurationError(f"{param.name}={text!r} is not a number") from None
    if not (param.minimum is None or number >= param.minimum) or not (param.maximum is None or number <= param.maximum):
        raise ConfigurationError(f"{param.name}={text} is outside {param.minimum:g} to {param.maximum:g}")
    return digits


def resolve(params: Iterable[Param], given: Mapping[str, str]) -> dict[str, str]:
    """The checked value of every parameter, by its name, from what a user gave under its name or an alias.

    Dashes count as underscores. The name wins over its aliases, an empty value counts as not given.
    Raises ConfigurationError.
    """
    words = {key.replace("-", "_").lower(): value for key, value in given.items()}
    values = {}
    for param in params:
        text = next((words[name] for name in (param.name, *param.aliases) if words.get(name)), "")
        values[param.name] = check(param, text)
    if words.get("min_parallel") and int(values.get("min_parallel", 0)) > int(values.get("max_parallel", 512)):
        raise ConfigurationError(f"min_parallel={values['min_parallel']} is above max_parallel={values['max_parallel']}")
    return values


def in_force(values: Mapping[str, str]) -> dict[str, str]:
    """The resolved parameters that say how hosts are evacuated and that are not the default; a secret one only as "set"."""
    of_cloud = {param.name for param in CLOUD}
    return {param.name: "set" if param.secret else values[param.name] for param in of(OCF)
            if param.name not in of_cloud and values.get(param.name, param.default) != param.default}
