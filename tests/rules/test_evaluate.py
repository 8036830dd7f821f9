"""Conditions over columns: equal to a plain evaluation of each row, in whatever company and order the rows are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servable.domain.batch import Array
from servable.domain.expression import Column, Constant, Expression, Operation
from servable.domain.field import Field
from servable.rules.evaluate import fires
from servable.rules.kinds import condition
from servable.rules.parse import BadExpression, parse
from tests.rules.naive import value_of

FIELDS = {
    "a": Field("a", "FP64"), "b": Field("b", "FP32"), "n": Field("n", "INT64"), "t": Field("t", "BYTES"),
    "u": Field("u", "BYTES"), "c": Field("c", "BOOL"),
}  # fmt: skip

_NUMBERS = st.sampled_from([-2.5, -1.0, 0.0, 0.1, 1.0, 3.0, 1e9, math.inf, -math.inf])
_TEXTS = st.sampled_from(["", "a", "North", "north", "ß"])


def _numbers(children: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    pairs = st.tuples(children, children)
    return st.builds(Operation, st.sampled_from(["+", "-", "*", "/", "min", "max", "coalesce"]), pairs) | st.builds(
        Operation, st.sampled_from(["negative", "abs", "floor", "ceil", "sqrt"]), st.tuples(children)
    )


NUMBERS = st.recursive(
    st.builds(Constant, _NUMBERS) | st.sampled_from([Column("a"), Column("b"), Column("n")]), _numbers, max_leaves=4
)
TEXTS = st.one_of(
    st.builds(Constant, _TEXTS),
    st.sampled_from([Column("t"), Column("u"), Operation("lower", (Column("t"),))]),
    st.just(Operation("coalesce", (Column("u"), Column("t")))),
)


def _truths(children: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    return (
        st.builds(Operation, st.just("not"), st.tuples(children))
        | st.builds(Operation, st.sampled_from(["and", "or"]), st.lists(children, min_size=2, max_size=3).map(tuple))
        | st.builds(Operation, st.sampled_from(["==", "!=", "coalesce"]), st.tuples(children, children))
    )


TRUTHS = st.recursive(
    st.builds(Operation, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.tuples(NUMBERS, NUMBERS))
    | st.builds(Operation, st.sampled_from(["==", "!="]), st.tuples(TEXTS, TEXTS))
    | st.builds(Operation, st.just("in"), st.lists(NUMBERS, min_size=2, max_size=3).map(tuple))
    | st.builds(Operation, st.just("in"), st.lists(TEXTS, min_size=2, max_size=3).map(tuple))
    | st.builds(Operation, st.just("is missing"), st.tuples(NUMBERS | TEXTS))
    | st.sampled_from([Column("c"), Constant(value=True)]),
    _truths,
    max_leaves=5,
)
ROWS = st.lists(
    st.fixed_dictionaries({
        "a": _NUMBERS | st.none(), "b": _NUMBERS.map(lambda value: float(np.float32(value))) | st.none(),
        "n": st.sampled_from([-1, 0, 1, 3]), "t": _TEXTS | st.none(), "u": _TEXTS | st.none(), "c": st.booleans(),
    }),
    min_size=1, max_size=6,
)  # fmt: skip


def _arrays(rows: list[dict[str, Any]]) -> dict[str, Array]:
    found = {}
    for name, field in FIELDS.items():
        values = [row[name] for row in rows]
        if field.dtype.kind == "f":
            values = [math.nan if value is None else value for value in values]
        found[name] = np.array([*values, None], object)[:-1] if field.dtype == object else np.array(values, field.dtype)
    return found


@settings(max_examples=120, deadline=None)
@given(TRUTHS, ROWS)
def test_an_expression_is_what_each_row_alone_and_plainly_gives(
    expression: Expression, rows: list[dict[str, Any]]
) -> None:
    ready = condition(expression, FIELDS)
    found = fires(ready, _arrays(rows), len(rows)).tolist()
    assert found == [value_of(ready, row) is True for row in rows]
    assert found == [bool(fires(ready, _arrays([row]), 1)[0]) for row in rows]
    assert found[::-1] == fires(ready, _arrays(rows[::-1]), len(rows)).tolist()


def test_a_condition_that_is_unknown_does_not_fire_nor_does_its_opposite() -> None:
    columns = {"a": np.array([1.0, np.nan])}
    assert fires(parse("a > 0"), columns, 2).tolist() == [True, False]
    assert fires(parse("not (a > 0)"), columns, 2).tolist() == [False, False]
    assert fires(parse("a > 0 or a is missing"), columns, 2).tolist() == [True, True]


def test_missing_stays_missing_through_powers_and_logarithms() -> None:
    columns = {"a": np.array([np.nan, -1.0])}
    for text in ("1 ** a == 1", "a ** 0 == 1", "log(a) < 5"):
        assert not fires(parse(text), columns, 2)[0]
    assert not fires(parse("log(a) < 5"), columns, 2)[1]


def test_a_constant_meets_a_32_bit_column_as_its_values_were_sent() -> None:
    columns = {"b": np.array([0.1], np.float32)}
    assert not fires(condition(parse("b > 0.1"), FIELDS), columns, 1)[0]
    assert fires(condition(parse("b in (0.1, 2)"), FIELDS), columns, 1)[0]
    assert fires(condition(parse("b * 1 > 0.1"), FIELDS), columns, 1)[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("aa > 1", "unknown column 'aa': did you mean 'a'?"),
        ("a", "expected a condition, which is true or false, got a number"),
        ("a > t", "'>' takes a number here, got a text (t)"),
        ("a == 'x'", "'==' takes a number here, got a text"),
        ("a and c", "'and' takes a truth here, got a number (a)"),
        ("t in ('x', 1)", "'in' takes a text here, got a number"),
        ("log(t) > 1", "'log' takes a number here, got a text (t)"),
        ("c + 1 > 2", "'+' takes a number here, got a truth (c)"),
    ],
)
def test_what_is_out_of_place_is_told(text: str, told: str) -> None:
    with pytest.raises(BadExpression) as error:
        condition(parse(text), FIELDS)
    assert str(error.value).startswith(told)
