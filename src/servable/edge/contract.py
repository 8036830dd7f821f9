"""What a device is told of a model: `contract.json`. Signature, rules and their sentences, ready for a program that has
no numpy: bounds as their dtype holds them, expressions as trees, the words of refusals made here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np

from servable.bundles.guard import calibration_of
from servable.domain.datatypes import FLOATS
from servable.domain.expression import Column, Constant, Expression, columns_in
from servable.domain.field import Field
from servable.edge.edition import Edition
from servable.rules.compile import Compiled, compiled
from servable.rules.conformal import quantile
from servable.rules.distance import FittedDistance
from servable.rules.encoding import Scale
from servable.rules.outputs import Around
from servable.rules.tests import BoundsTest, CategoriesTest, DistanceTest, ExpressionTest, IntervalTest, Test

CONTRACT: Final = "contract.json"
MODEL: Final = "model.onnx"
MOST_SHOWN: Final = 20
ROUNDING: Final = 1e-9
"""A limit is the distance of a row of training: sums in another order must not put that row beyond it."""


def contract_of(edition: Edition) -> dict[str, Any]:
    """The contract of an edition."""
    bundle, model = edition.bundle, edition.model
    learned = calibration_of(bundle)
    ready = compiled(bundle.manifest.rules, bundle.signature, learned)
    outside = ready.signature
    return {
        "name": bundle.name,
        "version": edition.version,
        "digest": bundle.digest,
        "variant": edition.variant,
        "file": {"path": MODEL, "bytes": len(model), "sha256": hashlib.sha256(model).hexdigest()},
        "inputs": [_field(field) for field in outside.inputs],
        "outputs": [_field(field) for field in outside.outputs],
        "batched": outside.batched,
        "model": {
            "inputs": [_field(field) for field in edition.inside.signature.inputs],
            "outputs": [_field(field) for field in edition.inside.signature.outputs],
            "missing_text": bundle.manifest.options.get("missing_text"),
            "alone": edition.alone,
        },
        "labels": bundle.manifest.labels,
        "tokenizer": None if edition.texts is None else edition.texts.contract(),
        **_rules(ready, {} if learned is None else learned.distances),
    }


def _field(field: Field) -> dict[str, Any]:
    categories = [str(category) for category in field.categories]
    shown = ", ".join(categories[:MOST_SHOWN]) + (", …" if len(categories) > MOST_SHOWN else "")
    return {
        "name": field.name,
        "datatype": field.datatype,
        "shape": list(field.shape),
        "features": list(field.features),
        "values": field.values,
        "content": field.content,
        "low": _limit(field, field.low, "at least"),
        "high": _limit(field, field.high, "at most"),
        "plain_below": _plain_below(field),
        "categories": {"allowed": categories, "expected": f"one of {shown}"} if categories else None,
    }


def _plain_below(field: Field) -> float:
    """From where on numpy, as it is here, prints a float of this dtype with an exponent: releases differ."""
    kind = field.dtype.type
    return next((10.0**power for power in (3, 6) if field.datatype in FLOATS and "e" in str(kind(10.0**power))), 1e16)


def _limit(field: Field, value: float | None, word: str) -> dict[str, Any] | None:
    """A limit as values of the field's datatype are compared with it."""
    if value is None:
        return None
    rounded = float(np.asarray(value).astype(field.dtype)) if field.datatype in FLOATS else value
    return {"value": rounded, "expected": f"{word} {value:g}"}


def _rules(ready: Compiled, distances: Mapping[str, FittedDistance]) -> dict[str, Any]:
    places = {
        name: {"field": at.field.name, "datatype": at.field.datatype, "at": at.at, "width": at.width,
               "answered": at.answered}
        for name, at in ready.places.items()
    }  # fmt: skip
    return {
        "rules": [_rule(test, places, distances) for test in ready.tests],
        "places": places,
        "around": [_around(around) for around in ready.around],
        "fixed": {name: {output: _row(values) for output, values in row.items()} for name, row in ready.fixed.items()},
    }


def _rule(test: Test, places: Mapping[str, Any], distances: Mapping[str, FittedDistance]) -> dict[str, Any]:
    rule = test.rule
    told: dict[str, Any] = {
        "name": rule.name,
        "action": rule.action,
        "reason": rule.reason,
        "severity": rule.severity,
        "judges": rule.judges,
        "answered": test.answered,
        "expected": test.expected,
        "column": rule.column,
        "to": None if rule.to is None else _held(test, rule.to),
        "fallback": rule.fallback or None,
    }
    if isinstance(test, BoundsTest):
        told |= {"low": _finite(test.low, rule.low), "high": _finite(test.high, rule.high)}
    elif isinstance(test, CategoriesTest):
        text = test.field.datatype == "BYTES"
        told["allowed"] = [str(each) for each in rule.allowed] if text else _numbers(rule.allowed, test.field)
    elif isinstance(test, ExpressionTest):
        told |= {"when": _tree(test.expression), "columns": sorted(set(columns_in(test.expression)))}
    elif isinstance(test, DistanceTest):
        told |= {"limit": test.limit * (1 + ROUNDING), **_distance(distances[rule.name])}
    elif isinstance(test, IntervalTest):
        names = [name for name in places if name.startswith(f"{test.column}[")]
        narrow = any(places[name]["datatype"] == "FP32" for name in names)
        told |= {"columns": names, "widest": rule.widest, "most": rule.most, "narrow": narrow}
    return told


def _distance(fitted: FittedDistance) -> dict[str, Any]:
    """What a distance is measured with. The distances of training rows stay here: a device needs the limit alone."""
    scales = [{"name": name, **_scale(scale)} for name, scale in fitted.encoding.columns.items()]
    trees = None if fitted.trees is None else msgspec.to_builtins(fitted.trees)
    return {"scales": scales, "whitening": fitted.whitening, "trees": trees}


def _scale(scale: Scale) -> dict[str, Any]:
    return {name: getattr(scale, name) for name in ("mean", "std", "bits", "strange", "text")}


def _held(test: Test, value: float | str) -> Any:
    """The value that a rule puts in place, as its column's dtype holds it."""
    field: Field = test.field  # type: ignore[attr-defined]  # only tests of one column clip
    return value if field.datatype == "BYTES" else np.asarray(value, field.dtype).item()


def _finite(bound: Any, stated: float | None) -> float | int | None:
    return None if stated is None or not np.isfinite(bound) else bound.item()


def _numbers(values: tuple[Any, ...], field: Field) -> list[Any]:
    return list(np.asarray(values).astype(field.dtype).tolist())


def _tree(expression: Expression) -> dict[str, Any]:
    if isinstance(expression, Constant):
        return {"value": expression.value}
    if isinstance(expression, Column):
        return {"column": expression.name}
    return {"does": expression.name, "to": [_tree(operand) for operand in expression.operands]}


def _around(around: Around) -> dict[str, Any]:
    scores = [quantile(each, around.coverage) for each in around.fitted.scores]
    return {
        "output": around.output.name,
        "name": around.field.name,
        "cast": around.field.datatype,
        "edges": around.fitted.edges,
        "halves": scores,
        "threshold": scores[0] if around.of_classes else None,
    }


def _row(values: Any) -> dict[str, Any]:
    return {"values": values.ravel().tolist(), "shape": [1, *values.shape]}
