"""The parameter table rendered: OCF 1.1 metadata, options of fencing.py."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

from lxml import etree

from . import __version__, params

OCF_NAME = "NovaEvacuate"
OCF_SHORT = "Evacuates the instances of fenced OpenStack compute hosts"
OCF_LONG = (
    "Runs a worker on one node of the cluster. When Pacemaker has fenced a compute host, and fence_nova has put that on record, "
    "the worker evacuates the host's servers through the Nova API, follows each one to its end, tries again what failed, and gives "
    "the host back to Nova when it has returned. Run one of it, on a node that is no compute host. "
    "monitor answers 190 (degraded) with a reason when a person should look."
)
FENCE_SHORT = "Fence agent that records the fencing of an OpenStack compute host and marks it down in Nova"
FENCE_LONG = (
    "fence_nova cuts no power. It belongs in the same fencing level as a power device, after it: off stores a fencing record in "
    "the cluster's configuration, and forces the host's nova-compute service down in Nova. ocf:openstack:NovaEvacuate acts on the "
    "record. on (unfencing) lets the node in when its evacuation is over. Create it with meta provides=unfencing and a pcmk_host_list "
    "of the compute nodes."
)
FENCING_HAS = ("login", "passwd", "ssl_insecure")  # fencing.py declares these itself
ONE_WORKER_EACH = "evacuate_attribute"    # two workers must not share the records
# (name, timeout, interval, depth)
OCF_ACTIONS = (
    ("start", "30s", "", ""),
    ("stop", "30s", "", ""),
    ("monitor", "20s", "10s", "0"),
    ("monitor", "40s", "60s", "10"),
    ("reload-agent", "20s", "", ""),
    ("validate-all", "40s", "", "0"),
    ("validate-all", "40s", "", "10"),
    ("meta-data", "5s", "", ""),
)
_OCF_KIND = {"second": "string", "string": "string", "boolean": "boolean", "integer": "integer", "select": "select"}


def ocf_xml() -> str:
    """The agent's metadata, an OCF 1.1 document (Pacemaker's Resource Agent API 1.1)."""
    root = etree.Element("resource-agent", name=OCF_NAME, version=__version__)
    etree.SubElement(root, "version").text = "1.1"
    etree.SubElement(root, "longdesc", lang="en").text = OCF_LONG
    etree.SubElement(root, "shortdesc", lang="en").text = OCF_SHORT
    table = etree.SubElement(root, "parameters")
    for param in params.of(params.OCF):
        table.append(_ocf_parameter(param))
        for alias in param.aliases:
            table.append(_ocf_alias(param, alias))
    actions = etree.SubElement(root, "actions")
    for name, timeout, interval, depth in OCF_ACTIONS:
        action = etree.SubElement(actions, "action", name=name, timeout=timeout)
        if interval:
            action.set("interval", interval)
        if depth:
            action.set("depth", depth)
    # Without an XML declaration: crmsh parses the text, and refuses one that names an encoding.
    document: str = etree.tostring(root, pretty_print=True, encoding="unicode")
    return document


def _ocf_parameter(param: params.Param) -> Any:
    element = etree.Element("parameter", name=param.name)
    if param.reloadable:
        element.set("reloadable", "1")
    if param.name == ONE_WORKER_EACH:
        element.set("unique-group", "records")
    etree.SubElement(element, "longdesc", lang="en").text = param.long or f"{param.short}."
    etree.SubElement(element, "shortdesc", lang="en").text = param.short
    content = etree.SubElement(element, "content", type=_OCF_KIND[param.kind])
    if param.default:
        content.set("default", param.default)
    for choice in param.choices:
        etree.SubElement(content, "option", value=choice)
    return element


def _ocf_alias(param: params.Param, alias: str) -> Any:
    element = etree.Element("parameter", name=alias)
    if param.reloadable:
        element.set("reloadable", "1")
    deprecated = etree.SubElement(element, "deprecated")
    etree.SubElement(deprecated, "replaced-with", name=param.name)
    etree.SubElement(element, "longdesc", lang="en").text = f"Another name of {param.name}."
    etree.SubElement(element, "shortdesc", lang="en").text = f"Another name of {param.name}"
    etree.SubElement(element, "content", type="string")
    return element


def fence_options() -> dict[str, dict[str, Any]]:
    """Options of fence_nova as fencing.py's all_opt wants them, aliases included, by their key there."""
    options: dict[str, dict[str, Any]] = {"nodename": {
        "getopt": ":", "longopt": "nodename", "help": "--nodename=[node]".ljust(30) + " Pacemaker's name of the node; Pacemaker gives it",
        "required": "0", "shortdesc": "Pacemaker's name of the node; Pacemaker gives it", "order": 2}}
    order = 2
    for param in params.of(params.FENCE):
        names = [] if param.fence_name else [param.name]
        for name in names + [alias for alias in param.aliases if alias not in FENCING_HAS]:
            order += 1
            options[name] = _fence_option(param, name, param.letter if name == param.name else "", order)
    return options


def about(param: params.Param) -> str:
    """All that is to be known of a parameter, in one paragraph."""
    kind = {"second": "seconds", "select": "one of " + ", ".join(param.choices)}.get(param.kind, param.kind)
    facts = [kind] + ([f"default {param.default}"] if param.default else []) + ([f"also called {', '.join(param.aliases)}"] if param.aliases else [])
    long = param.long if not param.long or param.long.endswith(".") else param.long + "."
    return f"{param.short} ({'; '.join(facts)}). {long}".strip()


def _fence_option(param: params.Param, name: str, letter: str, order: int) -> dict[str, Any]:
    word = name.replace("_", "-")
    takes_value = param.kind != "boolean"
    suffix = f"=[{'seconds' if param.kind == 'second' else 'value'}]" if takes_value else ""
    text = about(param) if name == param.name else f"Another name of {param.name}"
    option: dict[str, Any] = {
        "getopt": (letter + (":" if letter and takes_value else "")) if takes_value else letter,
        "longopt": word,
        "help": f"{f'-{letter}, ' if letter else ''}--{word}{suffix}".ljust(30) + " " + text,
        "required": "0",
        "shortdesc": escape(text),   # fencing.py prints it into its XML as it is
        "order": order,
    }
    if takes_value and not letter:
        option["getopt"] = ":"
    if takes_value:
        option["type"] = {"select": "string"}.get(param.kind, param.kind)
    return option
