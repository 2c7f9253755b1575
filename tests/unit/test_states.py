"""The table of states: its order, its words, what a record keeps of owners' locks."""

from __future__ import annotations

import pytest
from instance_ha import params
from instance_ha.engine import states
from instance_ha.engine.selection import Policy
from instance_ha.engine.states import DIRECT, LEAVE, kept_of, state_of

from tests.unit.test_model import server


@pytest.mark.parametrize(("fields", "name"), [
    ({}, "running"), ({"task_state": "reboot_started_hard"}, "rebooting"), ({"task_state": "image_pending_upload"}, "image being made"),
    ({"task_state": "powering-off"}, "powering off"), ({"task_state": "updating_password"}, "running"),
    ({"vm_state": "stopped", "task_state": "powering-on"}, "powering on"), ({"vm_state": "stopped", "task_state": "image_snapshot"}, "shut off"),
    ({"vm_state": "error", "power_state": 4}, "error, shut off"), ({"vm_state": "error", "power_state": 0}, "error"),
    ({"vm_state": "resized", "power_state": 4}, "resized, shut off"), ({"vm_state": "shelved"}, "shelved"),
    ({"vm_state": "paused", "task_state": "deleting"}, "being deleted"), ({"vm_state": "new-in-nova-99"}, "unknown")])
def test_the_row_of_a_server(fields: dict[str, object], name: str) -> None:
    assert state_of(server(**fields)).name == name


def test_an_unknown_state_is_never_touched() -> None:
    assert state_of(server(vm_state="new-in-nova-99")).way == LEAVE


def test_names_are_unique_and_words_are_those_of_the_parameter() -> None:
    assert len({state.name for state in states.STATES}) == len(states.STATES)
    assert states.WORDS == params.STATE_WORDS and states.DEFAULT_WORDS == params.DEFAULT_STATE_WORDS
    assert Policy().recover == frozenset(states.DEFAULT_WORDS)
    assert all(state.word for state in states.STATES if state.way not in (DIRECT, LEAVE)), "what is reset is the operator's choice"


def test_what_a_record_keeps() -> None:
    assert kept_of([server(id="a", locked=True, locked_reason="mine", vm_state="stopped", power_state=4), server(id="b", vm_state="stopped"),
                    server(id="c", locked=True, locked_reason="mine")]) == {"a": "stopped"}
