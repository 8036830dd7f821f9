"""<NaiveBayesModel>: priors times the likelihood of each input, computed as logarithms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from servable.errors import CorruptModel
from servable.runtimes.pmml.document import Element, unsupported
from servable.runtimes.pmml.expressions import derive, field
from servable.runtimes.pmml.result import Result, Shape, elected
from servable.runtimes.pmml.values import Floats, Names, Scope

Likelihood = Callable[[Scope], Floats]
"""Logarithms of the likelihood of each class, [rows, classes]; 0 where the input is missing."""


def naive_bayes(model: Element, names: Names, shape: Shape) -> tuple[Callable[[Scope], Result], Shape]:
    """P(class) times P(input | class) over all inputs that are there, made to add up to 1."""
    small = model.number("threshold")
    prior = _counts(model.need("BayesOutput").need("TargetValueCounts"), shape)
    parts = [_input(each, names, shape, prior, small) for each in model.need("BayesInputs").all("BayesInput")]

    def vote(scope: Scope) -> Result:
        with np.errstate(divide="ignore"):
            logs = np.log(prior / prior.sum()) + np.sum([part(scope) for part in parts], axis=0)
        shares = np.exp(logs - logs.max(axis=1, keepdims=True))
        return elected(shape, shares / shares.sum(axis=1, keepdims=True))

    return vote, shape


def _counts(element: Element, shape: Shape) -> Floats:
    found = np.zeros(len(shape.classes))
    for each in element.all("TargetValueCount"):
        label = each.must("value")
        if label not in shape.classes:
            raise CorruptModel(f"{each}: {label!r} is not one of the target's values: {', '.join(shape.classes)}")
        found[shape.classes.index(label)] = each.number("count")
    return found


def _input(element: Element, names: Names, shape: Shape, prior: Floats, small: float) -> Likelihood:
    stats = element.first("TargetValueStats")
    rule, kind = field(element.must("fieldName"), names, element)
    if stats is not None:
        return _normal(stats, shape, rule, small)
    derived = element.first("DerivedField")
    if derived is not None:
        rule, kind = derive(derived, names)
    table: dict[float, Floats] = {}
    for pair in element.all("PairCounts"):
        counts = _counts(pair.need("TargetValueCounts"), shape)
        table[names.literal(pair.must("value"), kind, pair)] = counts
    totals = np.sum(list(table.values()), axis=0)
    with np.errstate(all="ignore"):
        logs = {key: np.log(np.where(counts > 0, counts / totals, small)) for key, counts in table.items()}
    nothing = np.zeros(len(prior))
    return lambda scope: np.array([logs.get(value, nothing) for value in rule(scope).tolist()]).reshape(-1, len(prior))


def _normal(stats: Element, shape: Shape, rule: Callable[[Scope], Floats], small: float) -> Likelihood:
    means, variances = np.full(len(shape.classes), np.nan), np.full(len(shape.classes), np.nan)
    for each in stats.all("TargetValueStat"):
        normal = each.first("GaussianDistribution")
        if normal is None:
            raise unsupported(each, "a distribution that is not normal")
        at = shape.classes.index(each.must("value")) if each.must("value") in shape.classes else None
        if at is None:
            raise CorruptModel(f"{each}: {each.must('value')!r} is not one of the target's values")
        means[at], variances[at] = normal.number("mean"), normal.number("variance")

    def logs(scope: Scope) -> Floats:
        x = rule(scope)[:, None]
        found = -((x - means) ** 2) / (2 * variances) - 0.5 * np.log(2 * np.pi * variances)
        if small > 0:
            found = np.maximum(found, np.log(small))
        return np.where(np.isnan(x), 0.0, found)

    return logs
