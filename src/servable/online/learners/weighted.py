"""Weighted: what a linear learner has come to, as plain arrays: the form in which it can leave its own library."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np

from servable.domain.batch import Array
from servable.errors import ConversionRejected
from servable.online.learners.features import Features
from servable.online.learners.table import Table

Words = Mapping[str, Mapping[str | None, Array]]
"""By input and text, what it adds to each score: [k]."""


class Weighted(NamedTuple):
    """Of k scores for each row, from n numbers and some texts.

    A score is bias + clip((x - mean) / deviation, -reach, reach) · weights, + absent where a number is missing, + words
    of texts.

    `mean` and `deviation` are [n], `weights` and `absent` [k, n], `bias` [k]. A missing number counts as 0, if `absent`
    is not None. Nothing is clipped if `reach` is None.

    `link` makes answers of scores: "number" is the score itself; "logistic" the probability of the second of two
    classes, or, of more, of each against the rest, brought to the sum of 1.
    """

    mean: Array
    deviation: Array
    weights: Array
    bias: Array
    link: Literal["number", "logistic"]
    reach: float | None = None
    absent: Array | None = None
    words: Words = MappingProxyType({})


def known_weights(features: Features, table: Table, weights: Array) -> tuple[Array, Array, Array | None, Words]:
    """Of weights by position, [k, size]: those of numbers, of the constant, of absences, of texts. Raises
    ConversionRejected where texts may come that are not known, or where two features have one place.
    """

    def at(position: int) -> Array:
        found: Array = weights[:, table.find(np.array([position]))].sum(axis=1)
        return found

    absences, texts = features.absences(), features.known_texts()
    one_each = [set(absences.values()), *(set(positions.values()) for positions in texts.values())]
    if len(set[int]().union(*one_each)) < sum(map(len, one_each)):
        raise ConversionRejected("two texts of different inputs share a place by chance: set another `hash_bits`")
    absent = None
    if absences:
        absent = np.zeros((len(weights), features.dense - 1))
        for place, position in absences.items():
            absent[:, place - 1] = at(position)
    words = {name: {text: at(position) for text, position in known.items()} for name, known in texts.items()}
    return weights[:, 1 : features.dense].copy(), weights[:, 0].copy(), absent, words
