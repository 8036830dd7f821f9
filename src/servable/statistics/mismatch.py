"""Sample-ratio mismatch: whether the groups of an experiment received the shares that they were promised.

If not, something besides chance decided who was in which group (requests lost, a faulty split), and no comparison of
them means anything. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from servable.statistics.sequential import LARGEST

VOID: Final = 0.001
"""A p-value below this voids a comparison. A. Fabijan et al., "Diagnosing sample ratio mismatch in online controlled
experiments", KDD 2019."""
CONCENTRATION: Final = 10_000.0
"""How near to the promised shares a mismatch is looked for: a twentieth of a small one."""


def sample_ratio(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Pearson's chi-square p-value: how likely counts as uneven as these are, under the promised shares. For one look.

    >>> round(sample_ratio([821_588, 815_482], [0.5, 0.5]), 8)
    1.82e-06
    >>> round(sample_ratio([952, 48], [0.95, 0.05]), 2)
    0.77
    """
    total = sum(counts)
    if total == 0:
        return 1.0
    expected = [share * total for share in shares]
    distance = sum((count - wanted) ** 2 / wanted for count, wanted in zip(counts, expected, strict=True))
    return _chi_square_tail(distance, len(counts) - 1)


def sample_ratio_always(counts: Sequence[int], shares: Sequence[float]) -> float:
    """The p-value that may be looked at all the time: one over the evidence of a Dirichlet mixture around the shares.

    M. Lindon and A. Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022.

    >>> sample_ratio_always([952, 48], [0.95, 0.05])
    1.0
    >>> sample_ratio_always([821_588, 815_482], [0.5, 0.5]) < VOID
    True
    """
    total = sum(counts)
    log = math.lgamma(CONCENTRATION) - math.lgamma(CONCENTRATION + total)
    for count, share in zip(counts, shares, strict=True):
        prior = CONCENTRATION * share
        log += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
    return min(1.0, math.exp(-max(min(log, LARGEST), 0.0)))


def _chi_square_tail(distance: float, freedom: int) -> float:
    """P(χ² > distance), by the recurrence of the incomplete gamma function from one or two degrees of freedom."""
    half = distance / 2
    order = 0.5 if freedom % 2 else 1.0
    tail = math.erfc(math.sqrt(half)) if freedom % 2 else math.exp(-half)
    while order < freedom / 2:
        tail += math.exp(order * math.log(half) - half - math.lgamma(order + 1)) if half else 0.0
        order += 1
    return min(tail, 1.0)
