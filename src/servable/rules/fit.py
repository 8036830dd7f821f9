"""Fits what rules learn from data at packing: distances from the sample, intervals and sets from calibration rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.columns import columns
from servable.domain.rule import Rule
from servable.domain.signature import Signature
from servable.rules.calibration import Calibration
from servable.rules.compile import BadRule
from servable.rules.conformal import FittedInterval, fit_interval, fit_set
from servable.rules.distance import FittedDistance, fit_distance
from servable.rules.kinds import unknown
from servable.rules.outputs import field_around
from servable.rules.tests import numbers_or_texts


def fit(
    rules: Sequence[Rule],
    signature: Signature,
    sample: Batch | None = None,
    calibrating: tuple[Batch, Array] | None = None,
) -> Calibration:
    """What these rules need. `sample` are rows like those of training, `calibrating` the model's answers to rows that
    it was not trained on, and their true outcomes. Raises BadRule, MissingExtra.
    """
    distances: dict[str, FittedDistance] = {}
    intervals: dict[str, FittedInterval] = {}
    for rule in rules:
        try:
            if rule.distance:
                distances[rule.name] = _distance(rule, signature, sample)
            if rule.interval and rule.interval not in intervals:
                intervals[rule.interval] = _interval(rule, signature, calibrating)
        except ValueError as error:
            raise BadRule(f"rule {rule.name!r}: {error}") from error
    return Calibration(distances, intervals)


def _distance(rule: Rule, signature: Signature, sample: Batch | None) -> FittedDistance:
    if sample is None:
        raise ValueError("a distance from the training data takes a sample of it: pack with one")
    known = columns(sample, signature.inputs)
    for name in rule.columns:
        if name not in known:
            raise ValueError(unknown(name, known))
    fields = {name: field for field in signature.inputs for name in columns(sample, [field])}
    return fit_distance(
        {name: numbers_or_texts(known[name], fields[name]) for name in rule.columns or known}, rule.distance
    )


def _interval(rule: Rule, signature: Signature, calibrating: tuple[Batch, Array] | None) -> FittedInterval:
    output = signature.output(rule.interval)
    if output is None:
        raise ValueError(unknown(rule.interval, [field.name for field in signature.outputs], "output"))
    around = field_around(output)
    if calibrating is None:
        raise ValueError("an interval takes rows that the model was not trained on, with their outcomes: calibrate=")
    answers, outcomes = calibrating
    if around.datatype != "BOOL":
        if outcomes.dtype.kind not in "fiu":
            raise ValueError(f"the outcomes are no numbers, and output {rule.interval!r} is one")
        return fit_interval(answers[output.name].reshape(answers.rows), outcomes.astype(np.float64))
    if not output.features:
        raise ValueError(f"the classes of output {rule.interval!r} have no names to find the outcomes by")
    places = {name: at for at, name in enumerate(output.features)}
    strange = sorted({str(value) for value in outcomes if str(value) not in places})
    if strange:
        raise ValueError(f"the outcomes hold {strange[0]!r}, the classes of {output.name!r} are {', '.join(places)}")
    return fit_set(answers[output.name], np.array([places[str(value)] for value in outcomes]))
