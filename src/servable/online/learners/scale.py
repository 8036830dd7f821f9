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

    def learn(self, row: Array) -> Array:
        """Take a row into the moments; the row, scaled."""
        if self.count >= SETTLED:
            far = np.abs(row - self.mean) > self.reach * self.deviation
            far[0] = False
            if far.any():
                self.clipped += int(np.count_nonzero(far))
                edge = self.mean + np.copysign(self.reach * self.deviation, row - self.mean)
                row = np.where(far, edge, row)
        self.count += 1
        gap = row - self.mean
        self.mean += gap / self.count
        self.squares += gap * (row - self.mean)
        self.mean[0] = self.squares[0] = 0.0
        self._refresh()
        scaled: Array = (row - self.mean) / self.deviation
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
        self.deviation[self.deviation == 0.0] = 1.0

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
