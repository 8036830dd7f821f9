"""Shares that were promised and shares that came."""

import numpy as np
import pytest
from scipy.stats import chi2

from servable.statistics.mismatch import VOID, _chi_square_tail, sample_ratio, sample_ratio_always


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 10])
@pytest.mark.parametrize("distance", [0.0, 0.3, 3.84, 20.0, 300.0])
def test_the_tail_of_chi_square(distance, freedom):
    assert _chi_square_tail(distance, freedom) == pytest.approx(chi2.sf(distance, freedom), rel=1e-9, abs=1e-300)


def test_false_voids_at_every_look():
    chance = np.random.default_rng(1)
    counts = chance.binomial(500, 0.05, (1000, 60)).cumsum(1)
    total = 500 * np.arange(1, 61)
    voided = [
        any(sample_ratio_always([n - c, c], [0.95, 0.05]) < VOID for c, n in zip(run, total.tolist(), strict=True))
        for run in counts.tolist()
    ]
    assert np.mean(voided) <= 0.003


def test_a_canary_that_loses_a_tenth_of_its_requests_voids():
    counts = [95_000, 4_500]
    assert sample_ratio(counts, [0.95, 0.05]) < VOID
    assert sample_ratio_always(counts, [0.95, 0.05]) < VOID


def test_no_counts_are_no_mismatch():
    assert sample_ratio([0, 0], [0.9, 0.1]) == 1.0
    assert sample_ratio_always([0, 0], [0.9, 0.1]) == 1.0
