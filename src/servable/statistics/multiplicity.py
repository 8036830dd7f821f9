"""Many tests at once: p-values adjusted so that of what is called a finding, few are false."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def benjamini_hochberg(values: Sequence[float], of: int | None = None) -> list[float]:
    """Adjusted p-values, in the order given: those at most q are findings, of which at most a share q is false.

    `of` is how many tests were made, or could have been, where `values` are only the smallest of them.

    Y. Benjamini and Y. Hochberg, Journal of the Royal Statistical Society B 57 (1995).

    >>> [round(value, 4) for value in benjamini_hochberg([0.01, 0.04, 0.03, 0.005])]
    [0.02, 0.04, 0.04, 0.02]
    """
    count = len(values)
    order = np.argsort(values)[::-1]
    scaled = np.asarray(values, float)[order] * (of or count) / np.arange(count, 0, -1)
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled), 1.0)
    return [float(value) for value in adjusted]
