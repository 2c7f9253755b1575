"""Pure: how a node stands in the CIB's status section, by more than one witness.

Pacemaker 3.0 reads `in_ccm` of a Pacemaker Remote node, which is a time stamp, as a boolean, and writes `0` for a node
that is online at the next election of a DC (seen with 3.0.0 and 3.0.3). So the state of such a node is not taken from
there alone: the history of its connection says whether a controller holds that connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

NO = ("false", "0")
CONNECTS = frozenset(("start", "monitor", "migrate_from"))   # what, if it succeeded last, leaves a connection that stands
STOP = "stop"
NEVER = 1 << 62    # above every call
PENDING = "-1"
# A full member's state has no mark of its own for a fencing; what wrote it last is one, under its names in Pacemaker 2.1 and 3.0.
FENCING_WROTE_IT = ("send_stonith_update", "update_node_state_after_fencing")


class Membership:
    """The status section of a CIB (the root element), read once. `states` holds each node's element by the node's name."""

    def __init__(self, root: Any) -> None:
        self.states = {state.get("uname") or "": state for state in root.iterfind("status/node_state")}
        members = [state for state in self.states.values() if state.get("remote_node") != "true" and _is_member(state)]
        self._connections: dict[str, list[Any]] = {}   # by remote node, its history on each controller that is online
        for state in members:
            for history in state.iterfind("lrm/lrm_resources/lrm_resource[@type='remote']"):
                self._connections.setdefault(history.get("id") or "", []).append(history)

    def is_remote(self, name: str) -> bool:
        """Return True if Pacemaker's own state of the node says that it is a Pacemaker Remote node."""
        state = self.states.get(name)
        return state is not None and state.get("remote_node") == "true"

    def is_online(self, name: str, remote: bool) -> bool | None:
        """Return how a node stands, None where the status section does not tell.

        A remote node is online when its `in_ccm` or its connection's history says so. It is offline when neither does,
        and at least one of them says that it is not.
        """
        state = self.states.get(name)
        if not remote:
            return None if state is None else _is_member(state)
        in_ccm = None if state is None or state.get("in_ccm") is None else state.get("in_ccm") not in NO
        connected = self._is_connected(name)
        if in_ccm or connected:
            return True
        if state is None or in_ccm is None:
            return None
        # "0" is what Pacemaker 3.0 writes for nodes that are online, too: alone it says nothing.
        return None if connected is None and state.get("in_ccm") == "0" else False

    def _is_connected(self, name: str) -> bool | None:
        """Return True if a controller that is online holds the node's connection, None without any history of it."""
        newest = [max(found) for one in self._connections.get(name, ()) if (found := list(_operations(one)))]
        return any(stands for *_, stands in newest) if newest else None

    def is_connecting(self, name: str) -> bool:
        """Return True if a controller is just trying to connect to a remote node: crm_mon calls it online then (2.1.5)."""
        operations = (operation for one in self._connections.get(name, ()) for operation in one.iterfind("lrm_rsc_op"))
        return any(_is_pending(one) and one.get("operation") != STOP for one in operations)

    def fenced_mark(self, name: str, remote: bool) -> str:
        """Return the mark that a fencing has left in the node's state, "" for none."""
        return _fenced_mark(self.states.get(name), remote)


def _is_member(state: Any) -> bool | None:
    """Return whether a full member is online, None where its state does not tell."""
    if state.get("in_ccm") is None:
        return None
    return state.get("in_ccm") not in NO and state.get("crmd") not in ("offline", "0", None)


def _fenced_mark(state: Any, remote: bool) -> str:
    if state is None:
        return ""
    if remote:
        epoch = state.get("node_fenced", "0")
        return f"node_fenced:{epoch}" if epoch.isdigit() and int(epoch) else ""
    origin = state.get("crm-debug-origin")
    down = state.get("crmd") in ("offline", "0") and (state.get("join"), state.get("expected")) == ("down", "down")
    return f"node_state:{origin}" if down and origin in FENCING_WROTE_IT else ""


def _operations(history: Any) -> Iterator[tuple[int, int, int, bool]]:
    """Yield what one controller remembers of a connection, to be ordered: call, time, place, whether it stands then.

    An operation that is under way has no call yet. A start that began after everything else says that nothing stood before.
    """
    done = [one for one in history.iterfind("lrm_rsc_op") if not _is_pending(one)]
    for place, operation in enumerate(done):
        stands = operation.get("operation") in CONNECTS and operation.get("rc-code") == "0"
        yield _number(operation.get("call-id")), _number(operation.get("last-rc-change")), place, stands
    latest = max((_number(one.get("last-rc-change")) for one in done), default=0)
    for operation in history.iterfind("lrm_rsc_op"):
        began = _number(operation.get("last-rc-change"))
        if _is_pending(operation) and operation.get("operation") == "start" and began >= latest:
            yield NEVER, began, 0, False


def _is_pending(operation: Any) -> bool:
    return PENDING in (operation.get("call-id"), operation.get("op-status"))


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else 0
