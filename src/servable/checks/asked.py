"""Asked: labelled rows as a version answers them, beside a champion's answers: what is served, with rules applied.

Of a row that a rule refuses there is no answer to be right or wrong: it is counted, and metrics are of the others. Two
versions are compared on the rows that both answer.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from servable.checks.examples import Examples
from servable.checks.measure import Judged, judged
from servable.checks.question import Question
from servable.checks.subject import Served, Subject
from servable.domain.batch import Array
from servable.errors import CheckFailed


class Pairs(NamedTuple):
    """The rows that both answer, by each; `ref` names the champion."""

    ref: str
    ours: Judged
    theirs: Judged
    examples: Examples


class Asked(NamedTuple):
    """The rows that are answered, where there are labelled ones; `pairs` where there is a champion."""

    served: Served | None = None
    rows: Judged | None = None
    examples: Examples | None = None
    pairs: Pairs | None = None


def ask(question: Question, model: Subject, champion: Subject | None) -> Asked:
    """Both about all rows. Raises UsageError for answers that are no classes or numbers, and what a model raises."""
    examples = question.examples
    if examples is None or examples.truth is None:
        return Asked()
    clusters = None if question.cluster is None else examples.clusters(question.cluster)
    served = model.serve(examples.batch)
    kept = _answered(len(examples), served)
    if not len(kept):
        raise CheckFailed(f"{model.ref} refuses every row: there is nothing to measure")
    ours = _judged(model, served, examples, clusters, kept)
    if champion is None:
        return Asked(served, ours, _some(examples, kept))
    other = champion.serve(examples.batch)
    both = np.intersect1d(kept, _answered(len(examples), other))
    if not len(both):
        raise CheckFailed(f"{model.ref} and {champion.ref} answer no row in common: there is nothing to compare")
    pairs = Pairs(
        champion.ref,
        _judged(model, served, examples, clusters, both),
        _judged(champion, other, examples, clusters, both),
        _some(examples, both),
    )
    return Asked(served, ours, _some(examples, kept), pairs)


def _answered(rows: int, served: Served) -> Array:
    return np.setdiff1d(np.arange(rows), served.refused)


def _judged(model: Subject, served: Served, examples: Examples, clusters: Array | None, kept: Array) -> Judged:
    outputs = served.outputs
    if len(kept) < outputs.rows:
        outputs = type(outputs)({name: values[kept] for name, values in outputs.columns.items()}, len(kept))
    return judged(model.read(outputs), examples.truth[kept], None if clusters is None else clusters[kept])


def _some(examples: Examples, kept: Array) -> Examples:
    return examples if len(kept) == len(examples) else examples.of(kept)
