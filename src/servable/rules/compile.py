"""Rules made ready for a model: each is held against the columns there are, and all against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from servable.domain.batch import Array
from servable.domain.datatypes import FLOATS, INTEGERS
from servable.domain.expression import columns_in
from servable.domain.rule import OUTPUT, Rule
from servable.domain.signature import Signature
from servable.rules.calibration import Calibration
from servable.rules.conflicts import check_allowed, check_put, conflicts
from servable.rules.conformal import quantile
from servable.rules.distance import Distance
from servable.rules.kinds import condition, unknown
from servable.rules.outputs import Around, contract, field_around, fixed
from servable.rules.parse import parse
from servable.rules.tests import (
    BoundsTest,
    CategoriesTest,
    DistanceTest,
    ExpressionTest,
    IntervalTest,
    MissingTest,
    Test,
)
from servable.rules.view import Place, places_of


class BadRule(ValueError):
    """A rule that cannot hold for this model: which one, and why."""


class Compiled(NamedTuple):
    """Rules, ready: the contract as callers see it, where columns lie, a test for each rule in their order, what goes
    around answers, and the fixed answers by the rule's name.
    """

    signature: Signature
    places: Mapping[str, Place]
    tests: tuple[Test, ...]
    around: tuple[Around, ...]
    fixed: Mapping[str, Mapping[str, Array]]


def compiled(rules: Sequence[Rule], signature: Signature, calibration: Calibration | None = None) -> Compiled:
    """Check rules against the model's signature and each other. Raises BadRule that names the rule.

    Without a `calibration` distances and intervals are refused: they are fitted at packing.
    """
    if not signature.batched and rules:
        raise BadRule(f"rule {rules[0].name!r}: this model has no rows, and rules judge rows")
    found = calibration or Calibration()
    around = _around(rules, signature, found)
    try:
        outside = contract(signature, rules, around)
    except ValueError as error:
        raise BadRule(str(error)) from error
    places = places_of(outside)
    tests: list[Test] = []
    answers = {}
    for rule in rules:
        try:
            test = _test(rule, places, found)
            if rule.action == "answer":
                answers[rule.name] = fixed(rule.answer, signature)
        except ValueError as error:
            raise BadRule(f"rule {rule.name!r}: {error}") from error
        tests.append(test)
    if conflict := next(conflicts(rules, places), ""):
        raise BadRule(conflict)
    return Compiled(outside, places, tuple(tests), around, answers)


def _test(rule: Rule, places: Mapping[str, Place], calibration: Calibration) -> Test:
    """Raises ValueError."""
    if rule.when:
        expression = condition(parse(rule.when), {name: place.field for name, place in places.items()})
        answered = any(places[name].answered for name in columns_in(expression))
        return ExpressionTest(rule, expression, answered=answered)
    if rule.distance:
        return _distance(rule, places, calibration)
    if rule.interval:
        return IntervalTest(rule, _interval_column(rule, places))
    place = places.get(rule.column)
    if place is None:
        raise ValueError(unknown(rule.column, places))
    field = place.field
    if rule.allowed:
        check_allowed(rule, field)
        return CategoriesTest(rule, field, answered=place.answered)
    if rule.present:
        if field.datatype not in FLOATS | {"BYTES"}:
            raise ValueError(f"column {rule.column!r} is {field.datatype}, which is never missing")
        check_put(rule, field)
        return MissingTest(rule, field, answered=place.answered)
    if field.datatype not in FLOATS | INTEGERS:
        raise ValueError(f"column {rule.column!r} is {field.datatype}: expected a column of numbers for bounds")
    check_put(rule, field)
    return BoundsTest(rule, field, answered=place.answered)


def _distance(rule: Rule, places: Mapping[str, Place], calibration: Calibration) -> DistanceTest:
    fitted = calibration.distances.get(rule.name)
    if fitted is None:
        raise ValueError("a distance is fitted at packing: pack the model with a sample and this rule")
    distance = Distance(fitted)
    for name in distance.names:
        if name not in places or places[name].answered:
            raise ValueError(unknown(name, [known for known, place in places.items() if not place.answered]))
    return DistanceTest(rule, distance, {name: places[name].field for name in distance.names})


def _around(rules: Sequence[Rule], signature: Signature, calibration: Calibration) -> tuple[Around, ...]:
    """The interval or set of each output that a rule wants one of."""
    found: dict[str, Around] = {}
    for rule in rules:
        if not rule.interval:
            continue
        try:
            output = signature.output(rule.interval)
            if output is None:
                raise ValueError(unknown(rule.interval, [field.name for field in signature.outputs], "output"))
            fitted = calibration.intervals.get(rule.interval)
            if fitted is None:
                raise ValueError("an interval is fitted at packing: pack the model with calibration rows and this rule")
            for scores in fitted.scores:
                quantile(scores, rule.coverage)  # too few rows for this coverage are told now
            made = Around(output, field_around(output), fitted, rule.coverage)
            if found.setdefault(rule.interval, made).coverage != rule.coverage:
                raise ValueError(f"another rule has the same interval at coverage {found[rule.interval].coverage:g}")
            if (rule.most if not made.of_classes else rule.widest) is not None:
                raise ValueError("'widest' is for an interval, 'most' for a set of classes")
        except ValueError as error:
            raise BadRule(f"rule {rule.name!r}: {error}") from error
    return tuple(found.values())


def _interval_column(rule: Rule, places: Mapping[str, Place]) -> str:
    """How the columns begin that hold the rule's interval or set."""
    return next(
        column
        for column in (f"{OUTPUT}{rule.interval}_interval", f"{OUTPUT}{rule.interval}_set")
        if any(name.startswith(f"{column}[") for name in places)
    )
