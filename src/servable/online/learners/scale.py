"""Scale: numbers brought to mean 0 and deviation 1, both learned on the way, so that no feature rules by its unit.

Running sums of the distances from an origin, and of their squares. The origin moves to the mean whenever the count of
rows is a power of two: what is summed stays small, and nothing cancels (Chan, Golub, LeVeque, "Algorithms for computing
the sample variance", 1983). A number farther than `reach` deviations from the mean is taken as that far before it moves
the moments: one absurd value among thousands must not blind a learner to the rest.
"""

from __future__ import annotations

import numpy as np

from servable.domain.batch import Array

SETTLED = 30
"""Rows before which nothing is clipped: the moments are not known yet."""
SPAN = 128
"""Rows that are taken at once: as long as none of them is out of reach."""


class Scale:
    """The moments of `width` numbers. The first, the constant, stays what it is."""

    def __init__(self, width: int, reach: float = 8.0) -> None:
        self.reach = reach
        self.count = 0
        self.clipped = 0
        """Numbers that were too far out so far."""
        self.mean = np.zeros(width)
        self.deviation = np.ones(width)
        self._origin = np.zeros(width)
        self._sums = np.zeros((2, width))
        """Of the distances from the origin, and of their squares."""

    def learn(self, rows: Array) -> Array:
        """Take rows into the moments, in their order; each, scaled by the moments that it has made.

        Row by row and all at once are the same, to the bit: sums accumulate in order.

        >>> alone, together = Scale(2), Scale(2)
        >>> rows = np.column_stack([np.ones(300), np.random.default_rng(1).normal(size=300) ** 5])
        >>> together.learn(rows).tobytes() == b"".join(alone.learn(row[None]).tobytes() for row in rows)
        True
        >>> alone.clipped == together.clipped > 0
        True
        """
        scaled = np.empty_like(rows)
        done = 0
        while done < len(rows):
            done += self._span(rows[done : done + self._room()], scaled[done:])
        return scaled

    def _room(self) -> int:
        """How many rows the origin may stay for."""
        count = self.count
        return min((1 << count.bit_length()) - count, SPAN) if count else 1

    def _span(self, rows: Array, scaled: Array) -> int:
        """Take in rows as far as none is out of reach, or one that is; how many."""
        self._move(rows[0])
        taken, means, deviations = self._moments(rows)
        if self.count >= SETTLED:
            before = np.concatenate([self.mean[None], means[:-1]])
            edges = self.reach * np.concatenate([self.deviation[None], deviations[:-1]])
            far = np.abs(rows - before) > edges
            far[:, 0] = False
            if far.any():
                first = int(far.any(axis=1).argmax())
                if first:
                    rows, taken, means, deviations = rows[:first], taken[:, :first], means[:first], deviations[:first]
                else:
                    self.clipped += int(np.count_nonzero(far[0]))
                    rows = np.clip(rows[:1], before[:1] - edges[:1], before[:1] + edges[:1])
                    rows[:, 0] = 1.0
                    taken, means, deviations = self._moments(rows)
        size = len(rows)
        np.divide(rows - means, deviations, scaled[:size])
        self.count += size
        self._sums, self.mean, self.deviation = taken[:, -1], means[-1], deviations[-1]
        return size

    def _move(self, row: Array) -> None:
        """The origin to the mean; that of the first row is itself."""
        count = self.count
        if count & (count - 1):
            return
        first, second = self._sums
        origin = self._origin + first / count if count else row.copy()
        origin[0] = 0.0
        if count:
            second = np.maximum(second - first * (first / count), 0.0)
        self._origin, self._sums = origin, np.stack([np.zeros_like(origin), second])

    def _moments(self, rows: Array) -> tuple[Array, Array, Array]:
        """After each of the rows: the sums, the mean, the deviation."""
        away = rows - self._origin
        sums = np.empty((2, *rows.shape))
        sums[0] = away
        np.multiply(away, away, sums[1])
        sums[:, 0] += self._sums
        if len(rows) > 1:
            np.add.accumulate(sums, axis=1, out=sums)
        counts = np.arange(self.count + 1, self.count + 1 + len(rows), dtype=np.float64)[:, None]
        first, second = sums
        mean = first / counts
        deviations = np.sqrt(np.maximum(second / counts - mean * mean, 0.0))
        # What has not varied yet is only centred.
        deviations[deviations == 0.0] = 1.0
        deviations[:, 0] = 1.0
        means = self._origin + mean
        means[:, 0] = 0.0
        return sums, means, deviations

    def scaled(self, rows: Array) -> Array:
        """Rows, scaled and clipped by the moments as they are."""
        scaled: Array = (rows - self.mean) / self.deviation
        if self.count >= SETTLED:
            within = scaled[:, 1:]
            np.minimum(np.maximum(within, -self.reach, out=within), self.reach, out=within)
        return scaled

    def state(self) -> dict[str, Array]:
        """All that `take` needs."""
        return {
            "scale_counts": np.array([self.count, self.clipped]),
            "scale_moments": np.stack([self._origin, *self._sums, self.mean, self.deviation]),
        }

    def take(self, state: dict[str, Array]) -> None:
        """Be what `state` told."""
        self.count, self.clipped = state["scale_counts"].tolist()
        self._origin, first, second, self.mean, self.deviation = state["scale_moments"].copy()
        self._sums = np.stack([first, second])
