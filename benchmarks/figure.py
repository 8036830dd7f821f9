"""Figure: one line of the table. What was measured, what it should be, each sample that was seen."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Figure:
    """`samples` are ratios or absolute values, one a repeat; their median is what was seen.

    `at_least` or `at_most` is the goal; neither: told for information. `absolute` says what stands behind a ratio,
    `missing` why there is nothing; `broken` that this is our own fault.
    """

    name: str
    samples: tuple[float, ...] = ()
    unit: Literal["×", "µs", "ms", "s", "KiB", "MiB", "rows/s", "requests/s", "events/s", "cosine"] = "×"
    at_least: float | None = None
    at_most: float | None = None
    absolute: str = ""
    missing: str = ""
    broken: bool = False
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def seen(self) -> float:
        """The median of the samples."""
        return statistics.median(self.samples)

    @property
    def passed(self) -> bool | None:
        """Whether the median meets the goal; None without a goal or a sample."""
        if self.broken:
            return False
        if not self.samples:
            return None
        if self.at_least is not None:
            return self.seen >= self.at_least
        if self.at_most is not None:
            return self.seen <= self.at_most
        return None

    def goal(self) -> str:
        """The goal in words."""
        if self.at_least is not None:
            return f"≥ {self.at_least:,g}{self.unit if self.unit == '×' else ' ' + self.unit}"
        if self.at_most is not None:
            return f"≤ {self.at_most:,g}{self.unit if self.unit == '×' else ' ' + self.unit}"
        return ""

    def spread(self) -> str:
        """The least and the most that was seen."""
        if not self.samples:
            return ""
        return f"{self.show(min(self.samples))} – {self.show(max(self.samples))}"

    def show(self, value: float) -> str:
        """A value with its unit, to the digits that mean something."""
        digits = 4 if self.unit == "cosine" else 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
        text = f"{value:,.{digits}f}"
        return f"{text}×" if self.unit == "×" else f"{text} {self.unit}"

    def as_json(self) -> dict[str, Any]:
        """Everything, for a program."""
        return {
            "name": self.name, "unit": self.unit, "at_least": self.at_least, "at_most": self.at_most,
            "seen": self.seen if self.samples else None, "samples": list(self.samples), "passed": self.passed,
            "absolute": self.absolute, "missing": self.missing, "broken": self.broken, **self.detail,
        }  # fmt: skip

    @classmethod
    def of_json(cls, told: dict[str, Any]) -> Figure:
        """The figure that `as_json` told of."""
        own = {"name", "unit", "at_least", "at_most", "absolute", "missing", "broken"}
        detail = {key: value for key, value in told.items() if key not in own | {"seen", "samples", "passed"}}
        return cls(**{key: told[key] for key in own}, samples=tuple(told["samples"]), detail=detail)


def thousands(rate: float) -> str:
    """A rate as people say it.

    >>> thousands(23_612.0), thousands(763.0)
    ('23.6 k', '763')
    """
    return f"{rate / 1000:.1f} k" if rate >= 1000 else f"{rate:.0f}"
