"""The baseboard controllers: an ipmi_sim per node, in the laboratory's network namespace, that switches the node's power."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from tests.lab.common import CLOUD_ADDRESS, REPOSITORY, RUN, STATE, Daemon, LabError, Node, in_netns, wait_until

FOLDER = STATE / "bmc"
USER = "admin"
PASSWORD = "lab-bmc"  # a password of nothing but this laboratory, whose network nobody else reaches

LAN = """\
name "{name}"
set_working_mc 0x20
  startlan 1
    addr {address} {port}
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "{program} 0x20"
  user 1 true "" "test" user 10 none md2 md5 straight
  user 2 true "{user}" "{password}" admin 10 none md2 md5 straight
"""
EMULATION = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nmc_enable 0x20\n"

# ipmi_sim runs PROGRAM 0x20 get WHAT... | set WHAT VALUE... and waits for it. "get" is asked at every turn, so it starts no Python.
PROGRAM = """\
#!/bin/sh
[ "$1" = 0x20 ] && shift
action=$1; shift
if [ "$action" = get ]; then
    for what; do
        case $what in
        power)
            on=0 started=
            read -r pid started < {pidfile}  # has no newline, so read fails
            if [ "$started" ] && read -r stat < "/proc/$pid/stat"; then
                set -- ${{stat##*)}}
                case $1 in [ZX]) ;; *) [ "${{20}}" = "$started" ] && on=1 ;; esac
            fi
            echo "power:$on" ;;
        boot) echo boot:default ;;
        *) echo "$what:0" ;;
        esac
    done 2>/dev/null
    exit 0
fi
cd {repository} || exit 1
lab() {{ {python} -m tests.lab power "$1" {name} >> {log} 2>&1; }}
while [ $# -ge 2 ]; do
    case $1=$2 in
    power=0|shutdown=*) lab off ;;
    power=1) [ -e {stay_off} ] || lab on ;;
    reset=*) lab off && lab on ;;
    boot=*|identify=*) ;;
    *) echo "not known: $1=$2" >> {log}; exit 1 ;;
    esac || exit 1
    shift 2
done
"""


def start(node: Node) -> None:
    """Start a node's BMC and wait until it listens; a running one is left alone. Raises LabError."""
    home = FOLDER / node.name
    (home / "state").mkdir(parents=True, exist_ok=True)
    program = _write(home / "power", PROGRAM.format(
        name=node.name, pidfile=shlex.quote(str(RUN / f"node-{node.name}.pid")), log=shlex.quote(str(home / "power.log")),
        repository=shlex.quote(str(REPOSITORY)), stay_off=shlex.quote(str(home / "stay-off")), python=shlex.quote(sys.executable),
    ), 0o755)
    lan = _write(home / "lan.conf", LAN.format(
        name=node.name, address=CLOUD_ADDRESS, port=node.bmc_port, program=program, user=USER, password=PASSWORD,
    ), 0o600)
    emulation = _write(home / "sim.emu", EMULATION)
    daemon = Daemon(f"bmc-{node.name}")
    daemon.start(in_netns(["ipmi_sim", "-n", "-c", str(lan), "-f", str(emulation), "-s", str(home / "state")]))
    if not wait_until(lambda: daemon.pid is None or _listens(daemon.pid, node.bmc_port), 10) or daemon.pid is None:
        raise LabError(f"the BMC of {node.name} does not start; its log is {daemon.log}")


def stay_off(node: Node, wanted: bool) -> None:
    """Make a BMC deaf to "on", as that of a machine with a broken power supply; or not any more."""
    flag = FOLDER / node.name / "stay-off"
    if wanted:
        flag.touch()
    else:
        flag.unlink(missing_ok=True)


def repair_all() -> None:
    """Have every BMC hear "on" again: a run that was killed may have left one deaf."""
    for flag in FOLDER.glob("*/stay-off"):
        flag.unlink()


def stop(node: Node) -> None:
    """Switch a node's BMC off: it no longer answers. The node is left as it is."""
    stop_named(node.name)


def stop_named(name: str) -> None:
    Daemon(f"bmc-{name}").stop(grace=1)


def is_on(node: Node) -> bool:
    return Daemon(f"bmc-{node.name}").pid is not None


def _write(path: Path, text: str, mode: int = 0o644) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def _listens(pid: int, port: int) -> bool:
    """Whether a UDP port is open in the network namespace of `pid`."""
    try:
        table = Path(f"/proc/{pid}/net/udp").read_text()
    except OSError:
        return False
    return f":{port:04X} " in table
