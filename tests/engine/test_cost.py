from __future__ import annotations

import numpy as np
import pytest

from servable.domain.batch import Batch
from servable.engine.cost import MORE_REPEATS, REPEATS, SIZES, measure


class Timed:
    """A model and the clock that its calls move: `row_s` a row, ten times that where `disturbed` says so of a call."""

    def __init__(self, row_s, disturbed):
        self.row_s = row_s
        self.disturbed = disturbed
        self.now = 0.0
        self.calls = dict.fromkeys(SIZES, 0)

    def predict(self, batch):
        call = self.calls[batch.rows]
        self.calls[batch.rows] += 1
        self.now += self.row_s * batch.rows * (10 if self.disturbed(call) else 1)
        return batch

    def close(self):
        pass

    def measured(self, *, batched=True):
        def example(count):
            return Batch({"x": np.zeros((count, 1), np.float32)})

        return measure(self, example, batched=batched, clock=lambda: self.now)


def test_the_fastest_of_the_calls_counts():
    model = Timed(0.0015, lambda call: call in {0, 1, 3})
    assert model.measured().points == [(size, pytest.approx(0.0015 * size)) for size in SIZES]
    assert set(model.calls.values()) == {1 + REPEATS}


def test_short_calls_are_repeated_until_one_is_not_disturbed():
    model = Timed(1e-7, lambda call: call < 10)
    assert model.measured().points == [(size, pytest.approx(1e-7 * size)) for size in SIZES]
    assert model.calls[1] == 1 + MORE_REPEATS


def test_a_slow_model_is_not_asked_for_more_and_one_without_a_batch_axis_for_one():
    slow = Timed(0.1, lambda _: False)
    assert [size for size, _ in slow.measured().points] == [1, 8]
    assert [size for size, _ in Timed(0.1, lambda _: False).measured(batched=False).points] == [1]
