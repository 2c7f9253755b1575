"""docs/parameters.md, docs/states.md, docs/decisions.md, the findings in docs/operations.md and the modules in docs/architecture.md from
their tables and files: python3 -m tests.docs"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "agents"))

from instance_ha import params  # noqa: E402
from instance_ha.doctor.kinds import AREAS, KINDS  # noqa: E402
from instance_ha.engine import places, reboot, states  # noqa: E402
from instance_ha.engine.decide import RULES  # noqa: E402
from instance_ha.engine.scene import Case, HostScene  # noqa: E402
from instance_ha.engine.selection import Policy  # noqa: E402
from instance_ha.model import Server  # noqa: E402
from instance_ha.params import FENCE, OCF, Param  # noqa: E402

PAGE = ROOT / "docs" / "parameters.md"
OPERATIONS_PAGE = ROOT / "docs" / "operations.md"
ARCHITECTURE_PAGE = ROOT / "docs" / "architecture.md"
MODULES_FROM = "<!-- modules -->\n"
FINDINGS_FROM, FINDINGS_TO = "<!-- from agents/instance_ha/doctor/kinds.py: python3 -m tests.docs -->\n", "<!-- end -->\n"
STATES_PAGE = ROOT / "docs" / "states.md"
HEAD = """# Parameters

For operators who set them.

Made from `agents/instance_ha/params.py` by `python3 -m tests.docs`; a unit test compares the two.

Dashes and underscores in a name mean the same to the agents, but pcs takes only the names as they are written here. A name wins over
its aliases; an empty value counts as not given. Booleans are true, yes, on, y, 1 or false, no, off, n, 0. Seconds may be written `10` or `10s`.

Who the agents are in OpenStack comes from `cloud`, else from `openrc`, else from `auth_url`, `username`, `password` and `tenant_name`.
With `cloud`, the kind of endpoint is what clouds.yaml says, and the parameter `endpoint_type` does not count; openstacksdk's own default is
`public`, so write `interface: internal` there where that is meant. `cacert` and `insecure=true` count before what clouds.yaml says of TLS.
"""
STATES_HEAD = """# States

For operators.

What is done with a server, by the state it was in when its host died. Made from `agents/instance_ha/engine/states.py` by `python3 -m tests.docs`;
`tests/nova/test_states.py` brings a server into each of these states on a real Nova, lets its host die, and holds
each to its row. The first row that covers a server counts.

*Power state* is Nova's, and told only where it makes a difference. *Recovered when* names the word that the parameter `recover_states` has to hold
(its default: `{default}`); "always" asks no parameter. Every row is the same for a server that its owner has locked: it is evacuated, and its
lock and the lock's reason stay as they were. Instance HA locks the others while it moves them.

- **evacuate**: Nova evacuates it as it is.
- **reset, evacuate**: Nova refuses it in this state. It is set to ACTIVE first (`os-resetState`), then evacuated.
- **confirm, evacuate**: its resize is confirmed, where the host it came from is up; where that is dead too, it is reset.
- **leave**: it is not touched.

A server whose evacuation failed once comes back running from the next try, whatever it was; it is brought to the state in the last but one column
all the same. What users asked of a server in the seconds when its host was dead and Nova did not know it yet waits in that host's message queue. When
the host is back, its nova-compute tries to carry that out on servers that are not its own any more; what that breaks (ERROR, or a task that
never ends) is set right by the worker before it gives the host back.

"""
DECISIONS_HEAD = """# What is decided about a server

For engineers. Made from `agents/instance_ha/engine/decide.py` and `places.py` by `python3 -m tests.docs`; a unit test compares them.

A server of a dead host is at one of these places of its recovery. The first rule that holds counts. A place without a rule that
holds means `wait`, and the place is what is told. What became of each request is read from Nova's own record of the server
([nova-evidence.md](nova-evidence.md)), not from lists, which leave rows out without a word.

- `evacuate`: lock it with our claim, decide again on its own reads, send.
- `unlock`: it has arrived, or its move is given up: take our claim away. Without a claim of ours: `done`, or `left`.
- `left`: it is not moved, and the reason says why. `wait`: under way, or not known well enough.

"""
CONDITIONS = (
    ("evacuate", "Before a request to evacuate is sent, all of this has to be known, by the server's own reads of that moment. Else one of these "
     "is said, and nothing is sent:", places.to_evacuate),
    ("start on its old host", "Before a server is started, reset or unlocked on its old host, which is back. Else one of these holds, it stays "
     "locked, and a person is told:", places.to_restore),
)
STARTS = """## start after a reboot

A host was away without a fencing (`after_reboot=start`). Before a server that is off since is
started, all of this has to be known. Else one of these is said in the log, and the server is named:

"""
DECISIONS_PAGE = ROOT / "docs" / "decisions.md"
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


def states_page() -> str:
    """The whole of docs/states.md."""
    lines = ["| state | vm_state | task_state | power state | what is done | recovered when | it ends | what is lost |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for state in states.STATES:
        left = state.way == states.LEAVE
        cells = (state.name, f"`{state.vm_state}`" if state.vm_state else "any", ", ".join(f"`{task}`" for task in state.tasks) or "any other",
                 "shut down" if state.power == states.SHUT_DOWN else "", state.way, "" if left else f"`{state.word}`" if state.word else "always",
                 "" if left else states.ENDS[state.was], state.cost)
        lines.append("| " + " | ".join(cells) + " |")
    return STATES_HEAD.format(default=" ".join(states.DEFAULT_WORDS)) + "\n".join(lines) + "\n"


def decisions_page() -> str:
    """The whole of docs/decisions.md."""
    lines = ["| place | when | what is done |", "| --- | --- | --- |"]
    for place, rules in RULES.items():
        lines += [f"| {place.value} | {rule.when} | `{rule.action}` |" for rule in rules] or [f"| {place.value} | always | `wait` |"]
    server = Server("", "", "", None, None, None, None)
    scene = HostScene("", "", "", 0, (), {}, (), frozenset(), frozenset(), False, 0.0)
    seen = places.Seen(Case(server), scene, Policy())
    parts = [DECISIONS_HEAD + "\n".join(lines) + "\n"]
    for title, text, conditions in CONDITIONS:
        parts.append(f"## {title}\n\n{text}\n\n" + "\n".join(f"- {words}" for _, words in conditions(seen)) + "\n")
    unknown = reboot.LeftOff("", None, (), (), reboot.Silence())
    starts = [words for _, words in reboot.to_start(unknown)]
    parts.append(STARTS + "\n".join(f"- {words}" for words in starts) + "\n")
    return "\n".join(parts)


def operations_page() -> str:
    """The whole of docs/operations.md, with the tables of the doctor's findings made anew."""
    before, _, rest = OPERATIONS_PAGE.read_text(encoding="utf-8").partition(FINDINGS_FROM)
    after = rest.partition(FINDINGS_TO)[2]
    return before + FINDINGS_FROM + findings() + FINDINGS_TO + after


def findings() -> str:
    """A table of Markdown for each area, one row a finding."""
    parts = []
    for area in AREAS:
        rows = [f"| `{kind.name}` | {kind.level} | {kind.what} | {kind.why} |" for kind in KINDS.values() if kind.area == area]
        parts.append("\n".join([f"| {area} | | what | why it matters |", "| --- | --- | --- | --- |", *rows]) + "\n")
    return "\n".join(parts)


def architecture_page() -> str:
    """The whole of docs/architecture.md, with the table of modules made anew."""
    before, _, rest = ARCHITECTURE_PAGE.read_text(encoding="utf-8").partition(MODULES_FROM)
    return before + MODULES_FROM + modules() + FINDINGS_TO + rest.partition(FINDINGS_TO)[2]


def modules() -> str:
    """A table of Markdown: each module, and the first line of what it says of itself."""
    base = ROOT / "agents" / "instance_ha"
    lines = ["| module | |", "| --- | --- |"]
    for path in sorted(base.rglob("*.py"), key=lambda path: (len(path.relative_to(base).parts), path)):
        said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        name = path.relative_to(base).as_posix()
        lines.append(f"| `{name}` | {' '.join(said.partition(chr(10) * 2)[0].split())} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    pages = ((PAGE, page()), (STATES_PAGE, states_page()), (DECISIONS_PAGE, decisions_page()), (OPERATIONS_PAGE, operations_page()),
             (ARCHITECTURE_PAGE, architecture_page()))
    for path, text in pages:
        path.write_text(text, encoding="utf-8")
        print(f"written: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
