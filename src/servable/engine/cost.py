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
MORE_REPEATS: Final = 30
STEADY_S: Final = 0.003
"""Short calls are repeated more often, until they took this long together: what disturbs one is large beside it."""
BUDGET_S: Final = 0.25
"""No larger size is tried once a call took this long: a slow model must not make loading slow."""


def measure(
    model: Model, example: Callable[[int], Batch], *, batched: bool, clock: Callable[[], float] = perf_counter
) -> CostCurve:
    """Time the model at each of SIZES (1 only, where rows cannot be joined), the fastest of REPEATS each, or more.

    The first call is not counted: it allocates. Raises what the model raises on a batch that its own signature allows.
    """
    points = []
    for size in SIZES if batched else SIZES[:1]:
        batch = example(size)
        model.predict(batch)
        seconds = _fastest(model, batch, clock)
        points.append((size, seconds))
        if seconds > BUDGET_S:
            break
    return CostCurve(points)


def _fastest(model: Model, batch: Batch, clock: Callable[[], float]) -> float:
    times: list[float] = []
    begun = clock()
    while len(times) < REPEATS or (len(times) < MORE_REPEATS and clock() - begun < STEADY_S):
        start = clock()
        model.predict(batch)
        times.append(clock() - start)
    return min(times)
