"""Ranges: each input's mean and deviation so far, and numbers brought within reach of them before they teach.

Welford's moments, batch by batch (Chan, Golub, LeVeque, 1983), of numbers that were clipped themselves: no single one
can widen the range for the next.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np

from servable.domain.batch import Array, Batch

SETTLED: Final = 100
"""Numbers before which nothing is clipped."""


class Ranges:
    """Of all columns of floats, a range for each place in a row. `clipped` counts."""

    def __init__(self, reach: float, without: Collection[str] = ()) -> None:
        """`without`: columns that are left as they are."""
        self.clipped = 0
        self._without = frozenset(without)
        self._reach = reach
        self._moments: dict[str, Array] = {}
        """By column: count, mean and sum of squares of each place in a row, three rows of float64."""

    def take_in(self, batch: Batch) -> Batch:
        """The batch with what is out of reach brought to its edge; the ranges know it from then on.

        >>> ranges = Ranges(reach=10)
        >>> usual = Batch({"x": np.tile([[-1.0], [1.0]], (100, 1))})
        >>> ranges.take_in(usual) is usual, ranges.take_in(Batch({"x": np.array([[1e9], [0.5]])}))["x"].tolist()
        (True, [[10.0], [0.5]])
        """
        columns = dict(batch.columns)
        for name, values in batch.columns.items():
            if values.dtype.kind == "f" and len(values) and name not in self._without:
                near = self._near(name, values)
                if near is not None:
                    columns[name] = near
                self._learn(name, columns[name])
        same = all(columns[name] is batch.columns[name] for name in columns)
        return batch if same else Batch(columns, batch.rows)

    def _near(self, name: str, values: Array) -> Array | None:
        """What is out of reach, brought to its edge; None if nothing is."""
        known = self._moments.get(name)
        if known is None:
            return None
        count, mean, squares = known
        wide = self._reach * np.sqrt(squares / np.maximum(count, 1.0))
        # What has never varied may vary: it has no range yet.
        wide[(count < SETTLED) | (wide == 0.0)] = np.inf
        flat = values.reshape(len(values), -1)
        away = flat - mean
        far = np.abs(away, away) > wide
        if not far.any():
            return None
        self.clipped += int(np.count_nonzero(far))
        edges = np.clip(flat, mean - wide, mean + wide).astype(values.dtype)
        return np.where(far, edges, flat).reshape(values.shape)

    def _learn(self, name: str, values: Array) -> None:
        flat = values.reshape(len(values), -1).astype(np.float64, copy=False)
        more: float | Array = float(len(flat))
        mean = flat.sum(axis=0) / more
        if np.isfinite(mean).all():  # else some are missing
            away = flat - mean
        else:
            there = np.isfinite(flat)
            more = there.sum(axis=0).astype(np.float64)
            mean = np.where(there, flat, 0.0).sum(axis=0) / np.maximum(more, 1.0)
            away = np.where(there, flat - mean, 0.0)
        squares = np.multiply(away, away, away).sum(axis=0)
        old = self._moments.get(name)
        if old is None:
            self._moments[name] = np.stack([np.broadcast_to(more, mean.shape), mean, squares])
            return
        count = old[0] + more
        gap = mean - old[1]
        share = more / np.maximum(count, 1.0)
        self._moments[name] = np.stack([count, old[1] + gap * share, old[2] + squares + gap * gap * old[0] * share])

    def state(self) -> tuple[int, dict[str, bytes]]:
        """All that `take` needs."""
        return self.clipped, {name: moments.tobytes() for name, moments in self._moments.items()}

    def take(self, state: tuple[int, dict[str, bytes]]) -> None:
        """Be what `state` told."""
        self.clipped = state[0]
        self._moments = {name: np.frombuffer(data).reshape(3, -1).copy() for name, data in state[1].items()}
