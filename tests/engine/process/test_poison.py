"""Suspects: twice is enough, an answer clears, time forgives."""

from __future__ import annotations

import numpy as np

from servable.domain.batch import Batch
from servable.engine.process.poison import FORGOTTEN_S, REMEMBERED, Suspects


def batch(value: float, text: str = "a") -> Batch:
    return Batch({"x": np.array([value]), "t": np.array([text], object)})


def test_an_input_is_deadly_the_second_time() -> None:
    suspects = Suspects()
    assert not suspects
    assert not suspects.accuse(batch(1), 0.0)
    assert suspects
    assert not suspects.deadly(batch(1), 0.0)
    assert suspects.accuse(batch(1), 1.0)
    assert suspects.deadly(batch(1), 1.0)
    assert not suspects.deadly(batch(2), 1.0)
    assert not suspects.deadly(batch(1, "b"), 1.0)


def test_an_answer_clears_and_time_forgives() -> None:
    suspects = Suspects()
    suspects.accuse(batch(1), 0.0)
    suspects.acquit(batch(1))
    assert not suspects.accuse(batch(1), 0.0)
    assert suspects.accuse(batch(1), 1.0)
    assert not suspects.deadly(batch(1), 1.0 + FORGOTTEN_S)


def test_memory_is_bounded_and_shapes_tell_inputs_apart() -> None:
    suspects = Suspects()
    for number in range(REMEMBERED + 1):
        suspects.accuse(batch(number), 0.0)
    assert not suspects.accuse(batch(0), 0.0), "the oldest is forgotten"
    assert suspects.accuse(batch(REMEMBERED), 0.0)
    flat, square = (Batch({"x": np.zeros(shape)}, 1) for shape in ((4,), (2, 2)))
    suspects.accuse(flat, 0.0)
    assert not suspects.accuse(square, 0.0)
