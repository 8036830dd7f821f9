"""The expressions of PMML as functions from a scope to a column: constants, fields, norms, bins, tables, functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from servable.domain.batch import Array
from servable.errors import CorruptModel
from servable.runtimes.pmml.document import Element, unsupported
from servable.runtimes.pmml.functions import NUMERIC, ORDERING, TEXTUAL, textual
from servable.runtimes.pmml.values import BOOLEAN, NUMBER, TEXT, Evaluate, Floats, Names, Scope, cast, kind_of

Typed = tuple[Evaluate, str]
"""A column's function, and its kind."""

EXPRESSIONS: Final = ("Constant", "FieldRef", "NormContinuous", "NormDiscrete", "Discretize", "MapValues", "Apply")
_NOT_TRANSLATED: Final = ("Aggregate", "Lag", "TextIndex")


def expression(parent: Element, names: Names) -> Typed:
    """The one expression inside an element."""
    found = parent.first(*EXPRESSIONS)
    if found is None:
        other = parent.first(*_NOT_TRANSLATED)
        raise unsupported(other) if other else CorruptModel(f"{parent}: expected an expression inside")
    return translate(found, names)


def translate(element: Element, names: Names) -> Typed:
    """An expression."""
    if element.tag not in _TRANSLATORS:
        raise unsupported(element)
    return _TRANSLATORS[element.tag](element, names)


def derive(element: Element, names: Names) -> Typed:
    """A <DerivedField>: its expression, held in the field's data type."""
    rule, kind = expression(element, names)
    data_type = element.get("dataType")
    wanted = kind_of(data_type) if data_type else kind
    if wanted == kind or {wanted, kind} == {NUMBER, BOOLEAN}:
        if data_type in {"float", "integer"} and kind == NUMBER:
            return (lambda scope: cast(rule(scope), data_type)), wanted
        return rule, wanted
    if wanted == TEXT:
        return (lambda scope: textual("concat", scope.call, [rule(scope)], [kind])), TEXT
    return (lambda scope: _parsed(scope, rule(scope))), wanted


def add_derived(element: Element | None, names: Names) -> None:
    """Add the fields and functions of a <TransformationDictionary> or <LocalTransformations> to what can be named."""
    for child in element.children if element else ():
        if child.tag == "DefineFunction":
            names.functions[child.must("name")] = child
    for child in element.all("DerivedField") if element else ():
        rule, kind = derive(child, names)
        names.kinds[child.must("name")] = kind
        if child.get("dataType") == "float":
            names.singles.add(child.must("name"))
        names.derived[child.must("name")] = rule


def field(name: str, names: Names, where: Element) -> Typed:
    """A field by its name. Raises CorruptModel where there is none."""
    kind = names.kind(name)
    if kind is None:
        raise CorruptModel(f"{where} names the field {name!r}, which is not there")
    return (lambda scope: scope.get(name)), kind


def _parsed(scope: Scope, column: Floats) -> Floats:
    """Texts read as numbers; what is none is missing."""

    def read(text: str | None) -> float:
        try:
            return np.nan if text is None else float(text)
        except ValueError:
            return np.nan

    return np.array([read(text) for text in scope.call.decode(column)])


def _constant(element: Element, names: Names) -> Typed:
    data_type = element.get("dataType")
    kind = kind_of(data_type) if data_type else (NUMBER if _is_number(element.text) else TEXT)
    missing = element.flag("missing")
    value = np.nan if missing else names.literal(element.text.strip() if kind != TEXT else element.text, kind, element)
    return (lambda scope: scope.full(value)), kind


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _reference(element: Element, names: Names) -> Typed:
    rule, kind = field(element.must("field"), names, element)
    return _otherwise(element, names, rule, kind), kind


def _otherwise(element: Element, names: Names, rule: Evaluate, kind: str, attribute: str = "mapMissingTo") -> Evaluate:
    """The rule, with missing values replaced where the element says so."""
    if attribute not in element.attributes:
        return rule
    value = names.literal(element.must(attribute), kind, element)

    def filled(scope: Scope) -> Floats:
        column = rule(scope)
        return np.where(np.isnan(column), value, column)

    return filled


def _norm_continuous(element: Element, names: Names) -> Typed:
    rule, _ = field(element.must("field"), names, element)
    points = [(point.number("orig"), point.number("norm")) for point in element.all("LinearNorm")]
    if len(points) < 2:
        raise CorruptModel(f"{element}: expected at least two <LinearNorm>")
    outliers = element.get("outliers", "asIs")
    apply = piecewise(points, outliers)
    return _otherwise(element, names, lambda scope: apply(rule(scope)), NUMBER), NUMBER


def piecewise(points: list[tuple[float, float]], outliers: str) -> Callable[[Floats], Floats]:
    """The lines through points in ascending order; the first and last go on, unless `outliers` says otherwise."""
    xs, ys = (np.array(column) for column in zip(*points, strict=True))
    slopes = np.diff(ys) / np.diff(xs)

    def apply(column: Floats) -> Floats:
        if outliers == "asExtremeValues":
            inside = np.clip(column, xs[0], xs[-1])
        elif outliers == "asMissingValues":
            inside = np.where((column < xs[0]) | (column > xs[-1]), np.nan, column)
        else:
            inside = column
        at = np.clip(np.searchsorted(xs, inside, side="right") - 1, 0, len(slopes) - 1)
        return np.asarray(ys[at] + (inside - xs[at]) * slopes[at])

    return apply


def _norm_discrete(element: Element, names: Names) -> Typed:
    rule, kind = field(element.must("field"), names, element)
    value = names.literal(element.must("value"), kind, element)

    def one(scope: Scope) -> Floats:
        column = rule(scope)
        return np.where(np.isnan(column), np.nan, (column == value).astype(np.float64))

    return _otherwise(element, names, one, NUMBER), NUMBER


def _discretize(element: Element, names: Names) -> Typed:
    rule, _ = field(element.must("field"), names, element)
    bins = list(element.all("DiscretizeBin"))
    data_type = element.get("dataType")
    texts = [each.must("binValue") for each in bins]
    kind = kind_of(data_type) if data_type else (NUMBER if all(map(_is_number, texts)) else TEXT)
    values = [names.literal(text, kind, element) for text in texts]
    limits = [interval(each.need("Interval")) for each in bins]
    default = (
        names.literal(element.must("defaultValue"), kind, element) if "defaultValue" in element.attributes else np.nan
    )

    def binned(scope: Scope) -> Floats:
        column = rule(scope)
        out = np.where(np.isnan(column), np.nan, default)
        for inside, value in zip(reversed(limits), reversed(values), strict=True):
            out[inside(column)] = value
        return out

    return _otherwise(element, names, binned, kind), kind


def interval(element: Element) -> Callable[[Floats], Array]:
    """Whether values lie in an <Interval>."""
    low, high = element.number("leftMargin", -np.inf), element.number("rightMargin", np.inf)
    closure = element.must("closure")
    left = np.greater_equal if closure.startswith("closed") else np.greater
    right = np.less_equal if closure.lower().endswith("closed") else np.less
    return lambda column: left(column, low) & right(column, high)


def _map_values(element: Element, names: Names) -> Typed:
    pairs = [(pair.must("column"), field(pair.must("field"), names, pair)) for pair in element.all("FieldColumnPair")]
    output = element.must("outputColumn")
    data_type = element.get("dataType")
    rows = table(element)
    kind = (
        kind_of(data_type) if data_type else (NUMBER if all(_is_number(row.get(output, "")) for row in rows) else TEXT)
    )
    known: dict[tuple[float, ...], float] = {}
    for row in rows:
        if output in row and all(column in row for column, _ in pairs):
            key = tuple(names.literal(row[column], given, element) for column, (_, given) in pairs)
            known.setdefault(key, names.literal(row[output], kind, element))
    default = (
        names.literal(element.must("defaultValue"), kind, element) if "defaultValue" in element.attributes else np.nan
    )
    missing = (
        names.literal(element.must("mapMissingTo"), kind, element) if "mapMissingTo" in element.attributes else np.nan
    )

    def mapped(scope: Scope) -> Floats:
        columns = [rule(scope) for _, (rule, _) in pairs]
        keys = zip(*(column.tolist() for column in columns), strict=True)
        out = np.array([known.get(key, default) for key in keys])
        out[np.isnan(np.stack(columns)).any(axis=0)] = missing
        return out

    return mapped, kind


def table(element: Element) -> list[dict[str, str]]:
    """The rows of an <InlineTable>, as texts by column."""
    if element.first("TableLocator"):
        raise unsupported(element.need("TableLocator"), "a table outside of the file")
    return [{cell.tag: cell.text for cell in row.children} for row in element.need("InlineTable").all("row")]


def _apply(element: Element, names: Names) -> Typed:
    name = element.must("function")
    if element.get("invalidValueTreatment", "returnInvalid") not in {"returnInvalid", "asIs", "asMissing"}:
        raise unsupported(element, "this invalidValueTreatment")
    arguments = [translate(child, names) for child in element.children if child.tag != "Extension"]
    if name in names.functions:
        rule, kind = _defined(names.functions[name], arguments, names, element)
    elif name in NUMERIC:
        rule, kind = _builtin(name, arguments, element)
    elif name in TEXTUAL:
        rules, kinds = [each for each, _ in arguments], [each for _, each in arguments]
        rule, kind = (lambda scope: textual(name, scope.call, [each(scope) for each in rules], kinds)), TEXTUAL[name]
    else:
        raise unsupported(element, f"the function {name!r}")
    rule = _otherwise(element, names, rule, kind, "defaultValue")
    if "mapMissingTo" not in element.attributes:
        return rule, kind
    value = names.literal(element.must("mapMissingTo"), kind, element)
    given = [each for each, _ in arguments]

    def mapped(scope: Scope) -> Floats:
        gone = np.isnan(np.stack([each(scope) for each in given])).any(axis=0)
        return np.where(gone, value, rule(scope))

    return mapped, kind


def _builtin(name: str, arguments: list[Typed], element: Element) -> Typed:
    if not arguments:
        raise CorruptModel(f"{element}: {name!r} has no arguments")
    function, kind = NUMERIC[name]
    if name in ORDERING and any(given == TEXT for _, given in arguments):
        raise unsupported(element, "texts compared by order")
    rules = [rule for rule, _ in arguments]

    def apply(scope: Scope) -> Floats:
        with np.errstate(all="ignore"):
            return np.asarray(function([rule(scope) for rule in rules]), np.float64)

    return apply, kind or arguments[min(1, len(arguments) - 1)][1]


def _defined(function: Element, arguments: list[Typed], names: Names, element: Element) -> Typed:
    """A function of the document's own: its expression, seeing its parameters only."""
    parameters = [child.must("name") for child in function.all("ParameterField")]
    if len(parameters) != len(arguments):
        raise CorruptModel(f"{element}: {len(parameters)} arguments expected, {len(arguments)} given")
    inner = Names(names.texts)
    inner.functions = {name: known for name, known in names.functions.items() if known is not function}
    inner.kinds = dict(zip(parameters, (kind for _, kind in arguments), strict=True))
    rule, kind = derive(function, inner)
    rules = [each for each, _ in arguments]

    def apply(scope: Scope) -> Floats:
        columns = {name: given(scope) for name, given in zip(parameters, rules, strict=True)}
        return rule(Scope(scope.call, columns, {}, None))

    return apply, kind


_TRANSLATORS: Final[dict[str, Callable[[Element, Names], Typed]]] = {
    "Constant": _constant,
    "FieldRef": _reference,
    "NormContinuous": _norm_continuous,
    "NormDiscrete": _norm_discrete,
    "Discretize": _discretize,
    "MapValues": _map_values,
    "Apply": _apply,
}
