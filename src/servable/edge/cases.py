"""What a proof of parity asks: golden rows, rows made from the sample, rows about each rule, and bodies that break the
contract in every way. Each is the JSON of a request, with numbers as JavaScript writes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from servable.bundles.generate import generate
from servable.bundles.golden import golden_rows
from servable.bundles.profile import read_reference
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.expression import Column, Constant, Expression
from servable.domain.field import Field
from servable.domain.rule import OUTPUT, Rule
from servable.domain.signature import Signature
from servable.edge.javascript import as_javascript
from servable.edge.tensor_cases import tensors, tensors_of
from servable.errors import MissingExtra
from servable.rules.parse import parse

Row = dict[str, Any]
Body = dict[str, Any]

SAMPLED: Final = 200
"""Rows of the sample from which others are made."""
AT_ONCE: Final = 64
MOST_ALONE: Final = 600
"""Rows asked one by one, so that a refusal of one hides no other's answer."""
FEW: Final = 50
_WRONG: Final[tuple[Any, ...]] = ("text", "", None, True, 1.5, -1, 1e39, 1e300, 2**40, 300, [1.0], [], {"a": 1})


def bodies(bundle: Bundle, signature: Signature, given: Batch | None = None, *, few: bool = False) -> list[Body]:
    """The bodies to ask; `signature` is the contract as callers see it, `given` are rows of whoever exports. `few`: of
    each kind a tenth, for a model that takes its time. Raises MissingExtra.
    """
    if not signature.batched:
        return [*tensors(bundle, signature), {"rows": []}, {"rows": [{}]}]
    rows = [] if given is None else _plain(given.slice(0, min(given.rows, SAMPLED)), signature)
    rows += _rows(bundle, signature)
    rows = rows[:: 1 + 9 * few] if len(rows) > FEW else rows
    asked = [rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE)]
    step = max(1, len(rows) // MOST_ALONE)
    asked += [[row] for row in rows[::step]]
    base = rows[0] if rows else _plain(signature.example(), signature)[0]
    asked += [[row] for rule in bundle.manifest.rules for row in _about(rule, base)]
    told: list[Body] = [{"rows": [as_javascript(row) for row in part]} for part in asked]
    return [*told, *({"rows": part} for part in _broken(base, signature)), *tensors(bundle, signature)]


def plain_body(bundle: Bundle) -> Body:
    """One good row, to measure time with."""
    golden = golden_rows(bundle) or bundle.signature.example()
    return body_of(golden.slice(0, 1) if bundle.signature.batched else golden, bundle.signature)


def body_of(batch: Batch, signature: Signature) -> Body:
    """A batch as the body of a request: in rows, where the model has any."""
    if not signature.batched:
        return tensors_of(batch, signature)
    return {"rows": [as_javascript(row) for row in _plain(batch, signature)]}


def golden_bodies(bundle: Bundle) -> list[Body]:
    """Golden rows as bodies, for a device to try itself with."""
    golden = golden_rows(bundle)
    if golden is None or not bundle.signature.batched:
        return [plain_body(bundle)]
    rows = [as_javascript(row) for row in _plain(golden.slice(0, min(golden.rows, FEW)), bundle.signature)]
    return [{"rows": rows}, *({"rows": [row]} for row in rows)]


def _rows(bundle: Bundle, signature: Signature) -> Iterator[Row]:
    """Golden rows, then those of the sample and what is made from them."""
    golden = golden_rows(bundle)
    if golden is not None:
        yield from _plain(golden, signature)
    reference = read_reference(bundle)
    sample = golden if reference is None else reference.inputs
    if sample is None or not sample.rows or any(len(field.shape) > 2 for field in signature.inputs):
        return
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtra("edge", "make rows for the proof", missing=error.name) from error
    kept = sample.slice(0, min(sample.rows, SAMPLED))
    table = pd.DataFrame(_plain(kept, signature))
    for made in generate(table):
        for row in made.table.to_dict("records"):
            yield {name: None if _is_missing(value) else value for name, value in row.items()}


def _plain(batch: Batch, signature: Signature) -> list[Row]:
    """Rows of a batch as requests hold them."""
    rows: list[Row] = [{} for _ in range(batch.rows)]
    for field in signature.inputs:
        for row, values in zip(rows, batch[field.name].tolist(), strict=True):
            row.update(_named(field, values))
    return [{name: None if _is_missing(value) else value for name, value in row.items()} for row in rows]


def _named(field: Field, values: Any) -> Row:
    if field.features:
        return dict(zip(field.features, values, strict=True))
    return {field.name: values[0] if field.shape[1:] == (1,) else values}


def _about(rule: Rule, base: Row) -> Iterator[Row]:
    """Rows on both sides of where a rule fires."""
    names = [rule.column] if rule.column else []
    values: list[Any] = [None, *rule.allowed, "a value never seen"] if rule.allowed or rule.present else []
    if rule.when:
        names, numbers = _mentioned(parse(rule.when))
        values = [None, *numbers]
    for bound in (rule.low, rule.high, *[value for value in values if _is_number(value)]):
        if bound is not None and math.isfinite(bound):
            values += [bound, *[float(np.nextafter(bound, side, dtype=np.float32)) for side in (-np.inf, np.inf)]]
            values += [bound - 1, bound + 1]
    for name in names:
        if not name.startswith(OUTPUT) and name in base:
            yield from ({**base, name: value} for value in values)


def _mentioned(expression: Expression) -> tuple[list[str], list[Any]]:
    """The columns and constants in an expression."""
    if isinstance(expression, Column):
        return [expression.name], []
    if isinstance(expression, Constant):
        return [], [expression.value]
    names: list[str] = []
    values: list[Any] = []
    for operand in expression.operands:
        more_names, more_values = _mentioned(operand)
        names += more_names
        values += more_values
    return list(dict.fromkeys(names)), values


def _broken(base: Row, signature: Signature) -> Iterator[Any]:
    """Rows that break the contract, and some that only look as if they did."""
    base = as_javascript(base)
    yield []
    yield [{}]
    yield "no list"
    yield [base, {**base, "a column of nobody": 1}]
    for field in signature.inputs:
        names = field.features or (field.name,)
        for name in (names[0], names[-1]):
            for value in _WRONG:
                yield [as_javascript({**base, name: value})]
                yield [base, base, as_javascript({**base, name: value})]
            yield [{key: value for key, value in base.items() if key != name}]
        for limit in (field.low, field.high):
            if limit is not None:
                yield from ([as_javascript({**base, names[0]: limit + by})] for by in (-1, 0, 1))
        yield from ([as_javascript({**base, names[0]: value})] for value in field.categories[:3])
    yield [dict.fromkeys(base, "text")]
    yield [dict.fromkeys(base)] * 7


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_missing(value: Any) -> bool:
    return value is None or (not isinstance(value, (list, str)) and bool(value != value))  # noqa: PLR0124 - NaN
