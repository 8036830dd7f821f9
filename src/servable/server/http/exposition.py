"""Exposition: Prometheus' text format, version 0.0.4, and nothing of what is told in it. Called by `metrics.py`.

Source: prometheus.io/docs/instrumenting/exposition_formats.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]
Buckets = list[tuple[str, int]]
"""Upper bound, as text, to the count of all that is not above it. The last bound is `+Inf`."""


class Page:
    """Lines of Prometheus' text format, version 0.0.4."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, name: str, kind: str, what: str, values: Iterable[tuple[Labels, float]]) -> None:
        self._head(name, kind, what)
        self._lines += [f"{name}{_labels(labels)} {value:.16g}" for labels, value in values]

    def histogram(self, name: str, what: str, series: Iterable[tuple[Labels, Buckets, float]]) -> None:
        self._head(name, "histogram", what)
        for labels, buckets, total in series:
            self._lines += [f"{name}_bucket{_labels({**labels, 'le': bound})} {count}" for bound, count in buckets]
            self._lines.append(f"{name}_sum{_labels(labels)} {total:.16g}")
            self._lines.append(f"{name}_count{_labels(labels)} {buckets[-1][1]}")

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"

    def _head(self, name: str, kind: str, what: str) -> None:
        self._lines += [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def cumulative(bounds: Sequence[float], counts: Sequence[int]) -> Buckets:
    """Counts by bucket, one more than there are bounds, to counts up to each bound."""
    cumulative = []
    total = 0
    for bound, count in zip((*(f"{bound:g}" for bound in bounds), "+Inf"), counts, strict=True):
        total += count
        cumulative.append((bound, total))
    return cumulative
