"""A host that is offline and will not be evacuated: for each cause what crm_mon, the metrics and the hook have within seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
from instance_ha import cluster as door
from instance_ha.process import Outcome

from tests.unit import test_missed as missed
from tests.unit import test_telling as telling
from tests.unit.cibs import changed
from tests.unit.little_nova import LittleNova
from tests.unit.test_missed import FENCED, NO_DEVICE, OFFLINE, cib

WITHIN = 10.0  # seconds
FAILS = "its fencing fails, and Pacemaker tries again"
WHATEVER = missed.with_property("batch-limit", "0")  # a cluster of which nothing is odd
# The CIB, the devices that can fence the host, how its fencing ended, and the reason that is told.
CAUSES = [
    *((text, ("p", "n"), "", why) for text, why in missed.SOON_TOLD),
    (WHATEVER, ("p", "n"), "failed", FAILS),
    (WHATEVER, (), "failed", NO_DEVICE),  # it is in no device's list
    (WHATEVER, (), "", NO_DEVICE),
    (
        cib(FENCED, recorder="fence_ipmilan"),
        ("p",),
        "success",
        "it was fenced, and no fencing level of it has fence_nova",
    ),
]
NODES = ("<nodes>", "<crm_config/><nodes>")


class Lost(telling.Pacemaker):
    """A cluster that has lost cmp-1 and does not fence it."""

    def __init__(self, text: str, devices: tuple[str, ...], ended: str) -> None:
        super().__init__()
        self.text, self.devices, self.ended = text, devices, ended
        self.is_off = False

    def cib(self) -> str:
        text = self.text if "<crm_config>" in self.text else changed(self.text, NODES)
        return (
            text
            if self.is_off
            else text.replace(FENCED, missed.ONLINE).replace(OFFLINE, missed.ONLINE)
        )

    def __call__(self, argv: list[str], timeout: float) -> Outcome:
        if argv[:2] == ["stonith_admin", "--list"]:
            items = "".join(f"<item>{one}</item>" for one in self.devices)
            return Outcome(0, missed.DEVICES.format(items), "")
        if argv[0] == "stonith_admin":
            event = (
                missed.EVENT.format(self.ended, missed.now()) if self.ended and self.is_off else ""
            )
            return Outcome(0, missed.HISTORY.format(event), "")
        return super().__call__(argv, timeout)


@pytest.mark.parametrize(("text", "devices", "ended", "why"), CAUSES)
def test_each_cause_is_told_everywhere_within_seconds_and_taken_back(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    text: str,
    devices: tuple[str, ...],
    ended: str,
    why: str,
) -> None:
    tools, nova = Lost(text, devices, ended), LittleNova()
    monkeypatch.setattr(door, "run", tools)
    try:
        stage = telling.Stage(tools, nova, tmp_path)
        stage.turns(2)
        assert not stage.told() and not stage.worker.context.health.problems
        tools.is_off = True
        stage.turns(int(WITHIN) + 1)
        problems = stage.worker.context.health.problems  # what degrades the monitor
        assert problems["unfenced cmp-1"].startswith(
            f"cmp-1 is offline and will not be evacuated: {why}"
        )
        shown = tools.shown["evacuation-cmp-1"]
        assert shown.startswith(f"no record; offline, and will not be evacuated: {why}")
        (event,) = stage.told()
        assert (event["event"], event["node"]) == ("not-fenced", "cmp-1")
        assert event["reason"].startswith(why)
        stage.turns(2, telling.METRICS_PAUSE)
        assert stage.samples()["instance_ha_host_not_fenced", (("node", "cmp-1"),)] == 1
        tools.is_off = False
        stage.turns(2, telling.METRICS_PAUSE)
        assert "unfenced cmp-1" not in problems and len(stage.told()) == 1
        assert not [name for name, *_ in stage.samples() if name == "instance_ha_host_not_fenced"]
    finally:
        nova.server.shutdown()
        nova.server.server_close()


def test_a_part_without_quorum_is_told_once_each_time_it_is_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where no-quorum-policy=ignore or freeze leaves the worker running there."""
    tools, nova = Lost(WHATEVER, ("p", "n"), ""), LittleNova()
    lost = [False]
    whole = tools.cib
    monkeypatch.setattr(
        tools,
        "cib",
        lambda: whole().replace('have-quorum="1"', f'have-quorum="{1 - lost[0]}"'),
    )
    monkeypatch.setattr(door, "run", tools)
    try:
        stage = telling.Stage(tools, nova, tmp_path)
        stage.turns(2)
        for count in (1, 2):
            lost[0] = True
            stage.turns(4)
            assert [event["event"] for event in stage.told()] == ["no-quorum"] * count
            assert "no quorum; nothing is done" in stage.told()[-1]["sentence"]
            lost[0] = False
            stage.turns(4)
    finally:
        nova.server.shutdown()
        nova.server.server_close()
