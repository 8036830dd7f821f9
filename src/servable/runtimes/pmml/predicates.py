"""The predicates of PMML on columns: 1 true, 0 false, NaN unknown. And as conditions, for trees to be built of.

Source of the logic: dmg.org, PMML 4.4, "Tree Models", the truth tables of compound predicates.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from servable.domain.batch import Array
from servable.errors import CorruptModel
from servable.runtimes.pmml.document import Element, unsupported, words
from servable.runtimes.pmml.functions import both, either
from servable.runtimes.pmml.values import TEXT, Evaluate, Floats, Names, Scope

PREDICATES: Final = ("True", "False", "SimplePredicate", "SimpleSetPredicate", "CompoundPredicate")


class Test(msgspec.Struct, frozen=True):
    """A test of one field, in its plainest form: `le` (at most a value), `eq`, `in` (a set) or `missing`.

    `negated`: the answer is turned round; unknown stays unknown.
    """

    field: str
    kind: str
    values: tuple[float, ...] = ()
    negated: bool = False


class Junction(msgspec.Struct, frozen=True):
    """Several predicates joined by `and`, `or`, `xor` or `surrogate` (the first that is known)."""

    operator: str
    parts: tuple[Predicate, ...]


Predicate = bool | Test | Junction


def predicate(parent: Element, names: Names) -> Predicate:
    """The predicate of a node, a segment, a rule. Raises CorruptModel where there is none."""
    return translate(parent.need(*PREDICATES), names)


def translate(element: Element, names: Names) -> Predicate:
    """A predicate."""
    if element.tag in {"True", "False"}:
        return element.tag == "True"
    if element.tag == "SimplePredicate":
        return _simple(element, names)
    if element.tag == "SimpleSetPredicate":
        name, _ = _field(element, names)
        values = tuple(names.limit(word, name, element) for word in words(element.need("Array")))
        return Test(name, "in", values, element.must("booleanOperator") == "isNotIn")
    if element.tag == "CompoundPredicate":
        parts = tuple(translate(child, names) for child in element.all(*PREDICATES))
        operator = element.must("booleanOperator")
        if operator not in {"and", "or", "xor", "surrogate"} or not parts:
            raise CorruptModel(f"{element}: {operator!r} of {len(parts)} predicates")
        return Junction(operator, parts)
    raise unsupported(element)


def _field(element: Element, names: Names) -> tuple[str, str]:
    name = element.must("field")
    kind = names.kind(name)
    if kind is None:
        raise CorruptModel(f"{element} names the field {name!r}, which is not there")
    return name, kind


def _simple(element: Element, names: Names) -> Test:
    name, kind = _field(element, names)
    operator = element.must("operator")
    if operator in {"isMissing", "isNotMissing"}:
        return Test(name, "missing", (), operator == "isNotMissing")
    value = names.limit(element.must("value"), name, element)
    if operator in {"equal", "notEqual"}:
        return Test(name, "eq", (value,), operator == "notEqual")
    if kind == TEXT:
        raise unsupported(element, "texts compared by order")
    if operator in {"lessOrEqual", "greaterThan"}:
        return Test(name, "le", (value,), operator == "greaterThan")
    if operator in {"lessThan", "greaterOrEqual"}:  # x < v is x <= the number before v
        return Test(name, "le", (float(np.nextafter(value, -np.inf)),), operator == "greaterOrEqual")
    raise CorruptModel(f"{element}: there is no operator {operator!r}")


def evaluator(wanted: Predicate) -> Evaluate:
    """A predicate as a function from a scope to a column of 1, 0 and NaN."""
    if isinstance(wanted, bool):
        return lambda scope: scope.full(float(wanted))
    if isinstance(wanted, Test):
        return lambda scope: _tested(wanted, scope)
    parts = [evaluator(part) for part in wanted.parts]
    if wanted.operator == "and":
        return lambda scope: both([part(scope) for part in parts])
    if wanted.operator == "or":
        return lambda scope: either([part(scope) for part in parts])

    def odd(scope: Scope) -> Floats:
        return np.asarray(np.mod(np.sum([part(scope) for part in parts], axis=0), 2.0), np.float64)

    def known(scope: Scope) -> Floats:
        out = scope.full(np.nan)
        for part in parts:
            out = np.where(np.isnan(out), part(scope), out)
        return out

    return odd if wanted.operator == "xor" else known


def _tested(test: Test, scope: Scope) -> Floats:
    column = scope.get(test.field)
    gone = np.isnan(column)
    if test.kind == "missing":
        return np.asarray(gone != test.negated, np.float64)
    found: Array
    if test.kind == "le":
        found = column <= test.values[0]
    elif test.kind == "eq":
        found = column == test.values[0]
    else:
        found = np.isin(column, test.values)
    return np.where(gone, np.nan, np.asarray(found != test.negated, np.float64))
