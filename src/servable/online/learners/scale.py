"""Scale: numbers brought to mean 0 and deviation 1, both learned on the way, so that no feature rules by its unit.

Welford's running moments (Technometrics 4, 1962). A number farther than `reach` deviations from the mean is taken as
that far before it moves the moments: one absurd value among thousands must not blind a learner to the rest.
"""

from __future__ import annotations

import numpy as np

from servable.domain.batch import Array

SETTLED = 30
"""Rows before which nothing is clipped: the moments are not known yet."""


class Scale:
    """The moments of `width` numbers. The first, the constant, stays what it is."""

    def __init__(self, width: int, reach: float = 8.0) -> None:
        self.reach = reach
        self.count = 0
        self.clipped = 0
        """Numbers that were too far out so far."""
        self.mean = np.zeros(width)
        self.squares = np.zeros(width)
        self.deviation = np.ones(width)
        self._edge = reach * self.deviation

    def learn(self, row: Array) -> Array:
        """Take a row into the moments; the row, scaled."""
        gap = row - self.mean
        if self.count >= SETTLED and (np.abs(gap) > self._edge).any():
            self.clipped += int(np.count_nonzero(np.abs(gap) > self._edge))
            row = self.mean + np.clip(gap, -self._edge, self._edge)
            gap = row - self.mean
        self.count += 1
        self.mean += gap / self.count
        left = row - self.mean
        self.squares += gap * left
        self.mean[0] = self.squares[0] = 0.0
        left[0] = row[0]
        self._refresh()
        scaled: Array = left / self.deviation
        return scaled

    def scaled(self, rows: Array) -> Array:
        """Rows, scaled and clipped by the moments as they are."""
        scaled: Array = (rows - self.mean) / self.deviation
        if self.count >= SETTLED:
            np.clip(scaled[:, 1:], -self.reach, self.reach, out=scaled[:, 1:])
        return scaled

    def _refresh(self) -> None:
        # What has not varied yet is only centred.
        self.deviation = np.sqrt(self.squares / self.count)
        if not self.deviation[1:].all():
            self.deviation[self.deviation == 0.0] = 1.0
        self.deviation[0] = 1.0
        self._edge = self.reach * self.deviation
        self._edge[0] = np.inf

    def state(self) -> dict[str, Array]:
        """All that `take` needs."""
        return {
            "scale_counts": np.array([self.count, self.clipped]),
            "scale_mean": self.mean,
            "scale_squares": self.squares,
        }

    def take(self, state: dict[str, Array]) -> None:
        """Be what `state` told."""
        self.count, self.clipped = state["scale_counts"].tolist()
        self.mean, self.squares = state["scale_mean"].copy(), state["scale_squares"].copy()
        if self.count:
            self._refresh()
