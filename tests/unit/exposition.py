"""A strict reader of Prometheus's text format, so that a file that Prometheus would refuse fails a test."""

from __future__ import annotations

import re

_LINE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*",?)*)\})? ([-+0-9.eE]+|\+Inf|NaN)')
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"')
SUFFIXES = ("_bucket", "_sum", "_count")
Sample = tuple[str, tuple[tuple[str, str], ...]]


def read(text: str) -> tuple[dict[str, str], dict[Sample, float]]:
    """The kind of each metric, and the value of each sample by name and labels. AssertionError says what is wrong."""
    assert text.endswith("\n")
    kinds: dict[str, str] = {}
    helped, samples = set(), {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in helped and len(line.split(" ", 3)[3]) > 5, f"{name} is explained twice, or not"
            helped.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds and name in helped and kind in ("counter", "gauge", "histogram")
            kinds[name] = kind
        else:
            match = _LINE.fullmatch(line)
            assert match, f"not a sample: {line!r}"
            name, labels = match.group(1), tuple(sorted(_LABEL.findall(match.group(2) or "")))
            base = next((name[:-len(s)] for s in SUFFIXES if name.endswith(s) and kinds.get(name[:-len(s)]) == "histogram"), name)
            assert base in kinds, f"{name} has no type"
            assert list(kinds)[-1] == base, f"the samples of {base} are not together"
            assert (name, labels) not in samples, f"twice: {line}"
            samples[name, labels] = float(match.group(3))
    for name, kind in kinds.items():
        assert (kind == "counter") == name.endswith("_total"), f"{name} is a {kind}"
        if kind == "histogram":
            _check_histogram(name, samples)
    return kinds, samples


def _check_histogram(name: str, samples: dict[Sample, float]) -> None:
    series: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    for (sample, labels), value in samples.items():
        if sample == f"{name}_bucket":
            rest = tuple(pair for pair in labels if pair[0] != "le")
            series.setdefault(rest, []).append((float(dict(labels)["le"]), value))
    for rest, buckets in series.items():
        assert buckets == sorted(buckets) and buckets[-1][0] == float("inf")
        assert [value for _, value in buckets] == sorted(value for _, value in buckets), "buckets do not add up"
        assert samples[f"{name}_count", rest] == buckets[-1][1] and (f"{name}_sum", rest) in samples
