"""Metrics as Prometheus reads them."""

from __future__ import annotations

import pytest
from instance_ha.reporting.metrics import TABLE, Metrics

from tests.unit.exposition import read


def test_counters_begin_at_zero_and_everything_is_readable() -> None:
    kinds, samples = read(Metrics().text())
    assert samples["instance_ha_incidents_total", ()] == 0
    assert samples["instance_ha_hook_calls_total", (("result", "dropped"),)] == 0
    assert set(kinds.values()) == {"counter"}


def test_labels_are_escaped_and_values_are_whole_numbers_where_they_can_be() -> None:
    metrics = Metrics()
    metrics.set("host_record", 1, node='a"b\\c\nd', state="fenced")
    metrics.set("worker_heartbeat_timestamp_seconds", 1795559436.25)
    text = metrics.text()
    read(text)
    assert 'instance_ha_host_record{node="a\\"b\\\\c\\nd",state="fenced"} 1\n' in text
    assert "instance_ha_worker_heartbeat_timestamp_seconds 1795559436.25\n" in text


def test_durations_fall_into_buckets() -> None:
    metrics = Metrics()
    for seconds in (0.1, 0.5, 7, 5000, -3):
        metrics.observe("phase_duration_seconds", seconds, phase="start")
    _, samples = read(metrics.text())

    def bucket(edge: str) -> float:
        return samples["instance_ha_phase_duration_seconds_bucket", (("le", edge), ("phase", "start"))]

    assert (bucket("0.5"), bucket("5"), bucket("10"), bucket("1800"), bucket("+Inf")) == (3, 3, 4, 4, 5)
    assert samples["instance_ha_phase_duration_seconds_sum", (("phase", "start"),)] == pytest.approx(5007.6)


def test_gauges_whose_labels_are_gone_are_gone() -> None:
    metrics = Metrics()
    metrics.set("host_held", 1, node="cmp-1")
    metrics.count("incidents_total")
    metrics.forget("host_held", "host_record")
    assert "host_held" not in metrics.text() and "instance_ha_incidents_total 1\n" in metrics.text()


@pytest.mark.parametrize("use", [lambda m: m.count("nova_reachable"), lambda m: m.set("host_record", 1, node="a"), lambda m: m.set("nonsense", 1)])
def test_a_metric_is_what_the_table_says(use: object) -> None:
    with pytest.raises((AssertionError, KeyError)):
        use(Metrics())  # type: ignore[operator]


def test_every_name_follows_prometheus_conventions() -> None:
    for name, (kind, text, _) in TABLE.items():
        assert text.endswith(".") and (kind == "counter") == name.endswith("_total")
        assert "duration" not in name or name.endswith("_seconds")
