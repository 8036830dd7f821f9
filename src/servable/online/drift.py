"""Drift: what the detectors say of the errors of the learner. It is told, and decides nothing; it starts anew with the
process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from servable.statistics.detectors.adwin import Adwin
from servable.statistics.detectors.hddm import HddmW
from servable.statistics.detectors.page_hinkley import PageHinkley


class Detector(Protocol):
    """Tells of each value whether there is a change."""

    def see(self, value: float) -> bool: ...


class Drift:
    """ADWIN to alarm, HDDM-W to warn, Page-Hinkley beside them: how often each has told of a change, and when last.

    >>> drift = Drift()
    >>> drift.see([0.0] * 500 + [1.0] * 500)
    >>> [told["changes"] > 0 for told in drift.report().values()]
    [True, True, True]
    """

    def __init__(self) -> None:
        self._detectors: dict[str, Detector] = {"adwin": Adwin(), "hddm_w": HddmW(), "page_hinkley": PageHinkley()}
        self._seen = 0
        self._told: dict[str, list[int]] = {name: [0, 0] for name in self._detectors}

    def see(self, losses: Sequence[float]) -> None:
        """Of the next examples, each between 0 and 1."""
        for name, detector in self._detectors.items():
            for seen, loss in enumerate(losses, self._seen + 1):
                if detector.see(loss):
                    self._told[name] = [self._told[name][0] + 1, seen]
        self._seen += len(losses)

    def report(self) -> dict[str, Any]:
        """For each, the changes it told of, and how many examples ago the last was; None: there was none."""
        return {
            name: {"changes": changes, "examples_ago": self._seen - last if changes else None}
            for name, (changes, last) in self._told.items()
        }
