"""The OCF protocol of NovaEvacuate: actions, exit codes, reasons."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Collection, Mapping

from .errors import CloudError, ConfigurationError, HostError
from .process import open_streams
from .text import ascii_line, without_password

SUCCESS, GENERIC, ARGS, UNIMPLEMENTED, PERM, INSTALLED, CONFIGURED, NOT_RUNNING, DEGRADED = 0, 1, 2, 3, 4, 5, 6, 7, 190
REASON_LENGTH = 128      # bytes; Pacemaker drops what is beyond, a part of a letter too
LEAST_ROOM = 24          # of one problem among many: what it is about
PREFIX = "OCF_RESKEY_"
API_MAJOR = "1"          # of OCF's resource agent API


def main(argv: list[str], environment: Mapping[str, str]) -> int:
    """Run one action. Returns OCF's exit code; says why on stderr as an ocf-exit-reason."""
    open_streams()
    action = argv[1] if len(argv) > 1 else environment.get("__OCF_ACTION", "")
    actions = {
        "start": _start, "stop": _stop, "monitor": _monitor, "reload-agent": _reload, "validate-all": _validate, "meta-data": _metadata,
    }
    if action not in actions:
        print(f"usage: NovaEvacuate {{{'|'.join(actions)}}}", file=sys.stderr)
        return UNIMPLEMENTED
    major = environment.get("OCF_RA_VERSION_MAJOR") or API_MAJOR
    if major != API_MAJOR and action in ("start", "monitor", "reload-agent", "validate-all"):
        return _fail(INSTALLED, f"OCF's agent API {major} is unknown; this agent has {API_MAJOR}")
    if action in ("start", "stop", "reload-agent") and os.geteuid():
        return _fail(PERM, f"{action} needs root, and this is user {os.geteuid()}")
    try:
        return actions[action](environment)
    except ConfigurationError as error:
        return _fail(CONFIGURED, str(error))
    except HostError as error:
        return _fail(INSTALLED, str(error))
    except ImportError as error:
        return _fail(INSTALLED, f"a Python library is missing for {sys.executable}: {error}")


def _fail(code: int, reason: str) -> int:
    prefix = os.environ.get("OCF_EXIT_REASON_PREFIX", "ocf-exit-reason:")
    text = without_password(ascii_line(reason))
    if _cut(text, REASON_LENGTH) != text and code != DEGRADED:
        print(text, file=sys.stderr)     # Pacemaker logs it; of what is degraded the worker's own log has the whole
    print(prefix + _cut(text, REASON_LENGTH), file=sys.stderr)
    return code


def _cut(text: str, room: int) -> str:
    raw = text.encode(errors="replace")
    return text if len(raw) <= room else raw[: room - 3].decode(errors="ignore") + "..."


def _in_one(problems: Collection[str]) -> str:
    """All of them, each with the same room where there is not enough for all."""
    text = "; ".join(problems)
    room = max((REASON_LENGTH + 2) // len(problems) - 2, LEAST_ROOM)
    return text if _cut(text, REASON_LENGTH) == text else "; ".join(_cut(problem, room) for problem in problems)


def _given(environment: Mapping[str, str]) -> dict[str, str]:
    start = len(PREFIX)
    return {key[start:]: value for key, value in environment.items() if key.startswith(PREFIX) and not key.startswith(PREFIX + "CRM_meta")}


def _values(environment: Mapping[str, str]) -> dict[str, str]:
    from . import credentials, params

    values = params.resolve(params.of(params.OCF), _given(environment))
    credentials.check(values)
    return values


def _number(text: str | None, default: int) -> int:
    """What Pacemaker or a person gave as a whole number; `default` for what is none: stop must not fail by it."""
    try:
        return int(text or default)
    except ValueError:
        return default


def _instance(environment: Mapping[str, str]) -> str:
    return environment.get("OCF_RESOURCE_INSTANCE", "default").split(":")[0]


def _service(environment: Mapping[str, str]):  # type: ignore[no-untyped-def]
    from .service import Service

    return Service(_instance(environment))


def _start(environment: Mapping[str, str]) -> int:
    service = _service(environment)
    values = _values(environment)
    status = service.status()
    if status.running:
        return SUCCESS
    left = service.stop(1.0)     # also of a worker whose pid file is gone
    if left:
        return _fail(GENERIC, left)
    try:
        service.start(values, _instance(environment))
    except HostError as error:
        left = service.stop(1.0)
        return _fail(GENERIC, f"{error}; {left}" if left else str(error))
    return SUCCESS


def _stop(environment: Mapping[str, str]) -> int:
    budget = _number(environment.get(PREFIX + "CRM_meta_timeout"), 20000) / 1000
    left = _service(environment).stop(min(budget, 20.0))
    return _fail(GENERIC, left) if left else SUCCESS


def _monitor(environment: Mapping[str, str]) -> int:
    status = _service(environment).status()
    probe = environment.get(PREFIX + "CRM_meta_interval", "0") in ("", "0")
    if not status.running:
        if probe:                    # also of a worker whose pid file is gone: elsewhere a second one would be started
            left = _service(environment).stop(1.0)
            return _fail(GENERIC, left) if left else NOT_RUNNING
        if status.running is False:
            return NOT_RUNNING
        return _fail(GENERIC, "the worker has died; its log says why")
    if status.age > status.limit:
        why = (status.problems or {}).get("hangs", "")
        return _fail(GENERIC, f"the worker has given no sign of life for {status.age:.0f} s" + (f"; {why}" if why else ""))
    if probe:
        return SUCCESS
    problems = dict(status.problems or {})
    if _number(environment.get("OCF_CHECK_LEVEL"), 0) >= 10:
        problems.update(_look_deep(environment))
    return _fail(DEGRADED, _in_one(problems.values())) if problems else SUCCESS


def _look_deep(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what is wrong outside the worker, by subject, in half of the time that monitor has: nothing else ends a wait for a name
    server, and at its timeout Pacemaker would restart the worker. A wrong parameter is no reason for that either: for a 6 Pacemaker
    would start it nowhere, while it works on with those that it has."""
    found: dict[str, str] = {}

    def look() -> None:
        try:
            found.update(_local_faults(environment))
            found.update(_ask_nova(environment))
        except ConfigurationError as error:
            found["parameters"] = str(error)

    limit = _number(environment.get(PREFIX + "CRM_meta_timeout"), 40000) / 2000
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(limit)
    return {**found, "late": f"Nova cannot be asked: no answer within {limit:g} s"} if thread.is_alive() else found


def _local_faults(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what parameters name and this node has not, by parameter."""
    from .reporting.hook import hook_fault
    from .reporting.telling import directory_fault

    values = _values(environment)
    directory = directory_fault(values["metrics_directory"])
    found = {"hook": hook_fault(values["hook"]), "metrics": directory}
    return {name: fault for name, fault in found.items() if fault}


def _ask_nova(environment: Mapping[str, str]) -> dict[str, str]:
    from . import credentials

    try:
        credentials.connect(_values(environment)).services()
    except (CloudError, HostError) as error:
        return {"nova": f"Nova cannot be asked: {error}"}
    return {}


def _reload(environment: Mapping[str, str]) -> int:
    service = _service(environment)
    try:
        service.reload(_values(environment))
    except (ConfigurationError, HostError) as error:
        if not service.status().running:
            raise
        # Pacemaker would stop the worker, and start it nowhere. It works on with the parameters it has; its monitor says so.
        print(ascii_line(f"the new parameters were not taken: {error}"), file=sys.stderr)
    return SUCCESS


def _validate(environment: Mapping[str, str]) -> int:
    values = _values(environment)
    if _number(environment.get("OCF_CHECK_LEVEL"), 0) < 10:
        return SUCCESS
    from . import credentials

    faults = _local_faults(environment)
    if faults:
        return _fail(INSTALLED, _in_one(faults.values()))
    try:
        credentials.connect(values).services()
    except CloudError as error:
        return _fail(GENERIC, f"Nova cannot be asked with these parameters: {error}")
    return SUCCESS


def _metadata(environment: Mapping[str, str]) -> int:
    from .metadata import ocf_xml

    sys.stdout.write(ocf_xml())
    return SUCCESS
