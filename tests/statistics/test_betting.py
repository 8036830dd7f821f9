"""Betting against a limit of the mean loss: no false alarms at any look, whatever the losses look like."""

import numpy as np
import pytest

from servable.statistics.betting import wealth
from servable.statistics.sequential import ENOUGH


@pytest.mark.parametrize(
    ("draw", "limit"),
    [
        (lambda chance, shape: (chance.random(shape) < 0.01).astype(float), 0.01),
        (lambda chance, shape: chance.random(shape), 0.5),
        (lambda chance, shape: chance.beta(0.2, 1.8, shape), 0.1),
    ],
)
def test_false_alarms_at_the_limit(draw, limit):
    evidence = wealth(draw(np.random.default_rng(1), (1000, 2000)), limit)
    assert (evidence >= ENOUGH).any(-1).mean() <= 0.05


def test_a_higher_mean_is_found():
    chance = np.random.default_rng(2)
    slow = (chance.random((200, 5000)) < 0.03).astype(float)
    found = wealth(slow, 0.01) >= ENOUGH
    assert found.any(-1).mean() >= 0.99
    assert np.median(found.argmax(-1)) < 1000


def test_what_lies_outside_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        wealth(np.array([0.5, 1.5]), 0.1)
    with pytest.raises(ValueError, match="limit"):
        wealth(np.array([0.5]), 0.0)
    assert wealth(np.array([]), 0.5).size == 0
