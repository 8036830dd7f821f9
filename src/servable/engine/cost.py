"""Cost: how long a model call takes for how many rows. Measured when a version loads, kept up to date while it
serves.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Final

from servable.domain.batch import Batch
from servable.domain.model import Model
from servable.engine.policy import CostCurve

SIZES: Final = (1, 8, 32, 128)
REPEATS: Final = 3
BUDGET_S: Final = 0.25
"""No larger size is tried once a call took this long: a slow model must not make loading slow."""


def measure(model: Model, example: Callable[[int], Batch], *, batched: bool) -> CostCurve:
    """Time the model at each of SIZES (1 only, where rows cannot be joined), the fastest of REPEATS each.

    The first call is not counted: it allocates. Raises what the model raises on a batch that its own signature allows.
    """
    points = []
    for size in SIZES if batched else SIZES[:1]:
        batch = example(size)
        model.predict(batch)
        seconds = min(_timed(model, batch) for _ in range(REPEATS))
        points.append((size, seconds))
        if seconds > BUDGET_S:
            break
    return CostCurve(points)


def _timed(model: Model, batch: Batch) -> float:
    start = perf_counter()
    model.predict(batch)
    return perf_counter() - start
