"""The loss of a variant: a number for vectors, labels, scores and plain numbers."""

from __future__ import annotations

import numpy as np
import pytest

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.edge.loss import Loss, losses

VECTOR = Field("y", "FP32", (-1, 2), values="any")
SCORES = Field("y", "FP32", (-1, 2), ("no", "yes"), values="any")
NUMBER = Field("y", "FP32", (-1, 1), values="any")
LABEL = Field("y", "BYTES")


def lost(field: Field, expected: object, found: object) -> Loss:
    def array(values: object) -> Array:
        return np.asarray(values, field.dtype)

    (told,) = losses(Batch({"y": array(expected)}), Batch({"y": array(found)}), Signature((), (field,)))
    return told


def test_vectors_lose_by_the_lowest_cosine() -> None:
    told = lost(VECTOR, [[1, 0], [3, 4]], [[2, 0], [4, 3]])
    assert (told.loss, told.cosine) == (pytest.approx(0.04), pytest.approx(0.96))
    assert lost(VECTOR, [[0, 0]], [[0, 0]]).loss == 0
    assert lost(VECTOR, [[0, 0]], [[1, 0]]).loss == 1


def test_labels_lose_by_the_rows_that_got_another() -> None:
    told = lost(LABEL, ["a", "b", "a", "b"], ["a", "b", "b", "b"])
    assert (told.loss, told.agreement) == (0.25, 0.75)


def test_numbers_lose_by_the_share_of_their_range() -> None:
    told = lost(NUMBER, [[0], [10]], [[1], [10]])
    assert (told.loss, told.largest) == (pytest.approx(0.1), 1.0)
    assert lost(NUMBER, [[5], [5]], [[5], [5]]).loss == 0


def test_scores_lose_by_whichever_is_more() -> None:
    near = lost(SCORES, [[0.9, 0.1], [0.0, 1.0]], [[0.8, 0.2], [0.0, 1.0]])
    assert (near.loss, near.agreement) == (pytest.approx(0.1), 1.0)
    over = lost(SCORES, [[0.51, 0.49], [0.0, 1.0]], [[0.49, 0.51], [0.0, 1.0]])
    assert (over.loss, over.agreement) == (0.5, 0.5)


@pytest.mark.parametrize("found", [[[np.nan], [1]], [[1], [1], [1]]])
def test_an_answer_of_another_kind_is_a_whole_loss(found: object) -> None:
    assert lost(NUMBER, [[1], [1]], found).loss == 1


def test_missing_and_infinite_are_equal_to_themselves() -> None:
    assert lost(NUMBER, [[np.nan], [np.inf], [2]], [[np.nan], [np.inf], [2]]).loss == 0
