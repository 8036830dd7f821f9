from __future__ import annotations

import numpy as np
import pytest

from servable.domain.batch import Batch
from servable.engine.routing.comparison import compare


@pytest.mark.parametrize(
    ("live", "shadow", "agreed"),
    [
        ([1, 2, 3], [1, 2, 4], 2),
        ([True, False], [True, True], 1),
        (np.array(["a", "b"], object), np.array(["a", "c"], object), 1),
        ([1.0, 2.0], [1.0005, 2.1], 1),
        ([np.nan, 1.0], [np.nan, 1.0], 2),
        ([[0.1, 0.9], [0.6, 0.4]], [[0.4, 0.6], [0.4, 0.6]], 1),
        ([[1, 2], [3, 4]], [[1, 2], [3, 5]], 1),
        ([1.0, 2.0], [[1.0], [2.0]], 0),
        ([1.0, 2.0], np.array(["a", "b"], object), 0),
        (np.zeros((0, 3)), np.zeros((0, 3)), 0),
        ([np.inf, 1.0], [np.inf, np.inf], 1),
    ],
)
def test_rows_agree(live, shadow, agreed):
    assert compare(Batch({"y": np.asarray(live)}), Batch({"y": np.asarray(shadow)})).agreed == agreed


def test_all_outputs_must_agree_and_the_largest_difference_is_told():
    live = Batch({"label": np.array([1, 1]), "score": np.array([0.5, 0.25])})
    shadow = Batch({"label": np.array([1, 0]), "score": np.array([0.5, 0.5]), "more": np.zeros(2)})
    assert compare(live, shadow) == (2, 1, 0.25)
    assert compare(shadow, live).agreed == 0
