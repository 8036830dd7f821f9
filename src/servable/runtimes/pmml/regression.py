"""<RegressionModel> and <GeneralRegressionModel>: sums of terms, and what links them to an answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from servable.errors import CorruptModel
from servable.runtimes.pmml.document import Element, unsupported
from servable.runtimes.pmml.expressions import field
from servable.runtimes.pmml.result import Result, Shape, elected
from servable.runtimes.pmml.values import TEXT, Evaluate, Floats, Names, Scope

Run = Callable[[Scope], Result]


def _probit(y: Floats) -> Floats:
    return np.asarray(np.vectorize(lambda z: 0.5 * math.erfc(-z / math.sqrt(2)), otypes=[float])(y))


INVERSES: Final[dict[str, Callable[[Floats], Any]]] = {
    "none": lambda y: y,
    "identity": lambda y: y,
    "logit": lambda y: 1 / (1 + np.exp(-y)),
    "probit": _probit,
    "cloglog": lambda y: 1 - np.exp(-np.exp(y)),
    "loglog": lambda y: np.exp(-np.exp(-y)),
    "cauchit": lambda y: 0.5 + np.arctan(y) / np.pi,
    "exp": np.exp,
    "log": np.exp,
    "inverse": lambda y: 1 / y,
}
"""What a link is undone by."""


def softmax(y: Floats) -> Floats:
    """Shares of exponentials, [rows, classes]."""
    powers = np.exp(y - y.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def regression_model(model: Element, names: Names, shape: Shape) -> tuple[Run, Shape]:
    """Tables of terms: one for a number, one a class for a label."""
    tables = list(model.all("RegressionTable"))
    sums = [_table(table, names) for table in tables]
    method = model.get("normalizationMethod", "none")
    if shape.function == "regression":
        if len(tables) != 1 or method == "simplemax":
            raise CorruptModel(f"{model}: a regression has one table, and no {method!r}")
        undo = INVERSES["logit" if method == "softmax" else method]
        return (lambda scope: Result(_quiet(undo, sums[0](scope)))), shape
    labels = [table.must("targetCategory") for table in tables]
    known = dict(zip(shape.classes, shape.codes, strict=True))
    kind = shape.kind
    codes = [known[label] if label in known else names.literal(label, kind, model) for label in labels]
    shape = Shape(shape.function, kind, tuple(labels), tuple(codes))
    share = _shares(model, method, len(tables))
    return (lambda scope: elected(shape, _quiet(share, np.stack([each(scope) for each in sums], axis=1)))), shape


def _quiet(function: Callable[[Floats], Any], values: Floats) -> Floats:
    with np.errstate(all="ignore"):
        return np.asarray(function(values), np.float64)


def _shares(model: Element, method: str, count: int) -> Callable[[Floats], Floats]:
    """From sums [rows, classes] to probabilities."""
    if method == "softmax":
        return softmax
    if method == "simplemax":
        return lambda y: y / y.sum(axis=1, keepdims=True)
    undo = INVERSES.get(method)
    if undo is None:
        raise CorruptModel(f"{model}: there is no normalizationMethod {method!r}")
    if count == 2 or method == "none":  # the last class is what the others leave

        def rest(y: Floats) -> Floats:
            first = undo(y[:, :-1])
            return np.concatenate([first, 1 - first.sum(axis=1, keepdims=True)], axis=1)

        return rest
    raise unsupported(model, f"normalizationMethod {method!r} of more than two classes")


def _table(table: Element, names: Names) -> Evaluate:
    """The intercept and the sum of the terms. A missing number makes it missing; a missing category adds nothing."""
    intercept = table.number("intercept", 0.0)
    numeric: list[tuple[Evaluate, float, float]] = []
    categories: list[tuple[Evaluate, float, float]] = []
    products: list[tuple[list[Evaluate], float]] = []
    for term in table.children:
        if term.tag == "NumericPredictor":
            rule, _ = field(term.must("name"), names, term)
            numeric.append((rule, term.number("coefficient"), term.number("exponent", 1.0)))
        elif term.tag == "CategoricalPredictor":
            rule, kind = field(term.must("name"), names, term)
            categories.append((rule, names.literal(term.must("value"), kind, term), term.number("coefficient")))
        elif term.tag == "PredictorTerm":
            rules = [field(part.must("field"), names, part)[0] for part in term.all("FieldRef")]
            products.append((rules, term.number("coefficient")))
        elif term.tag != "Extension":
            raise unsupported(term)

    def total(scope: Scope) -> Floats:
        out = scope.full(intercept)
        for rule, coefficient, exponent in numeric:
            column = rule(scope)
            out = out + coefficient * (column if exponent == 1.0 else np.power(column, exponent))
        for rule, value, coefficient in categories:
            out = out + np.where(rule(scope) == value, coefficient, 0.0)
        for rules, coefficient in products:
            out = out + coefficient * np.prod([rule(scope) for rule in rules], axis=0)
        return out

    return total


def general_regression(model: Element, names: Names, shape: Shape) -> tuple[Run, Shape]:
    """Parameters, the predictors that make up each (the PP matrix), and a link."""
    kind = model.must("modelType")
    if kind not in {"regression", "generalLinear", "generalizedLinear", "multinomialLogistic"}:
        raise unsupported(model, f"the model type {kind!r}")
    if model.attributes.keys() & {"offsetVariable", "trialsVariable", "offsetValue", "trialsValue"}:
        raise unsupported(model, "offsets and trials")
    terms = _terms(model, names)
    cells = list(model.need("ParamMatrix").all("PCell"))
    link = "logit" if kind == "multinomialLogistic" else model.get("linkFunction", "identity")
    power = model.number("linkParameter", 1.0)
    undo = (lambda y: y if power == 1 else np.power(y, 1 / power)) if link == "power" else INVERSES.get(link)
    if undo is None:
        raise unsupported(model, f"the link function {link!r}")

    def total(scope: Scope, betas: list[tuple[str, float]]) -> Floats:
        return np.asarray(sum((beta * terms[name](scope) for name, beta in betas), scope.full(0.0)), np.float64)

    if shape.function == "regression":
        betas = [(cell.must("parameterName"), cell.number("beta")) for cell in cells]
        return (lambda scope: Result(_quiet(undo, total(scope, betas)))), shape
    reference = model.get("targetReferenceCategory") or next(
        (label for label in shape.classes if all(cell.get("targetCategory", label) != label for cell in cells)),
        shape.classes[-1] if shape.classes else "",
    )
    labels = [label for label in shape.classes if label != reference]
    groups = {
        label: [(cell.must("parameterName"), cell.number("beta")) for cell in cells
                if cell.get("targetCategory", label) == label]
        for label in labels
    }  # fmt: skip

    def vote(scope: Scope) -> Result:
        sums = {label: total(scope, groups[label]) for label in labels}
        sums[reference] = scope.full(0.0)
        y = np.stack([sums[label] for label in shape.classes], axis=1)
        if len(labels) == 1 and kind != "multinomialLogistic":
            first = _quiet(undo, sums[labels[0]])
            pair = {labels[0]: first, reference: 1 - first}
            return elected(shape, np.stack([pair[label] for label in shape.classes], axis=1))
        return elected(shape, softmax(y))

    return vote, shape


def _terms(model: Element, names: Names) -> dict[str, Evaluate]:
    """Each parameter as the product of its predictors: covariates by power, factors as 0 or 1."""
    factors = {each.must("name") for each in (model.first("FactorList") or model).all("Predictor")}
    grouped: dict[str, list[tuple[Evaluate, float | None, float]]] = {
        each.must("name"): [] for each in model.need("ParameterList").all("Parameter")
    }
    matrix = model.first("PPMatrix")
    for cell in matrix.all("PPCell") if matrix else ():
        name = cell.must("predictorName")
        rule, kind = field(name, names, cell)
        if name in factors:
            grouped[cell.must("parameterName")].append((rule, names.literal(cell.must("value"), kind, cell), 1.0))
        elif kind == TEXT:
            raise CorruptModel(f"{cell}: the covariate {name!r} is text")
        else:
            grouped[cell.must("parameterName")].append((rule, None, cell.number("value")))

    def term(parts: list[tuple[Evaluate, float | None, float]]) -> Evaluate:
        def product(scope: Scope) -> Floats:
            out = scope.full(1.0)
            for rule, value, power in parts:
                column = rule(scope)
                if value is not None:
                    out = out * np.where(np.isnan(column), np.nan, column == value)
                else:
                    out = out * (column if power == 1.0 else np.power(column, power))
            return out

        return product

    return {name: term(parts) for name, parts in grouped.items()}
