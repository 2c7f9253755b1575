"""docs/parameters.md from the parameter table: python3 -m tests.docs"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "agents"))

from instance_ha import params  # noqa: E402
from instance_ha.params import FENCE, OCF, Param  # noqa: E402

PAGE = ROOT / "docs" / "parameters.md"
HEAD = """# Parameters

Made from `agents/instance_ha/params.py` by `python3 -m tests.docs`; a unit test compares the two.

Dashes and underscores in a name mean the same to the agents, but pcs takes only the names as they are written here. A name wins over
its aliases; an empty value counts as not given. Booleans are true, yes, on, y, 1 or false, no, off, n, 0. Seconds may be written `10` or `10s`.

Who the agents are in OpenStack comes from `cloud`, else from `openrc`, else from `auth_url`, `username`, `password` and `tenant_name`.
With `cloud`, what clouds.yaml says about the kind of endpoint, the CA and TLS counts, and the parameters `endpoint_type`, `cacert` and
`insecure` do not; openstacksdk's own default for the endpoint is `public`, so write `interface: internal` there where that is meant.
"""
SECTIONS = (
    ("Both agents", frozenset((FENCE, OCF)), ""),
    ("fence_nova only", frozenset((FENCE,)),
     "Besides these, fence_nova has the options of every fence agent (`plug`, `delay`, `verbose`, ...; see `fence_nova --help`), and Pacemaker's "
     "own for fence devices, such as `pcmk_host_list`."),
    ("NovaEvacuate only", frozenset((OCF,)),
     "NovaEvacuate takes a change of every parameter without a restart, except where the table says otherwise."),
)


def page() -> str:
    """The whole of docs/parameters.md."""
    parts = [HEAD]
    for title, agents, text in SECTIONS:
        rows = [param for param in params.ALL if param.agents == agents]
        parts.append(f"## {title}\n\n" + (f"{text}\n\n" if text else "") + table(rows))
    return "\n".join(parts)


def table(rows: Iterable[Param]) -> str:
    """Rows of Markdown, one a parameter."""
    lines = ["| name | also called | value | default | meaning |", "| --- | --- | --- | --- | --- |"]
    for param in rows:
        cells = (f"`{param.name}`", ", ".join(f"`{alias}`" for alias in param.aliases), value(param), default(param), meaning(param))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def value(param: Param) -> str:
    """What may be written for it."""
    if param.choices:
        return ", ".join(f"`{choice}`" for choice in param.choices)
    kind = {"second": "seconds"}.get(param.kind, param.kind)
    return f"{kind}, {param.minimum:g} to {param.maximum:g}" if param.minimum is not None and param.maximum is not None else kind


def default(param: Param) -> str:
    return f"`{param.default}`" if param.default else ""


def meaning(param: Param) -> str:
    """Its texts as sentences, and what is special about it."""
    texts = [param.short + ".", param.long if not param.long or param.long.endswith((".", "v3")) else param.long + "."]
    if param.secret:
        texts.append("Secret.")
    if not param.reloadable:
        texts.append("A change restarts the worker.")
    return " ".join(text for text in texts if text)


def main() -> int:
    PAGE.write_text(page(), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
