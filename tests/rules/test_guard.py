"""The guard over whole batches: what a row meets does not depend on the rows around it, and equals a plain reading."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.domain.rule import Rule
from servable.domain.signature import Signature
from servable.errors import Refused
from servable.rules.guard import Guard, Guarded
from servable.rules.whole import Answered

SIGNATURE = Signature(
    (
        Field("input", "FP32", (-1, 2), ("age", "income"), values="missing"),
        Field("count", "INT32", (-1, 1)),
        Field("region", "BYTES", (-1, 1), values="missing"),
    ),
    (Field("price", "FP32", (-1, 1)), Field("grade", "BYTES")),
)
RULES = (
    Rule("young", column="age", low=18, action="refuse"),
    Rule("old", column="age", high=99, action="clip"),
    Rule("no-income", column="income", present=True, action="clip", to=0.0),
    Rule("many", column="count", low=0.5, high=9.5, action="clip"),
    Rule("strange", column="region", allowed=("north", "south"), action="clip", to="north"),
    Rule("rich", when="income > 1000 and region == 'south'", action="answer", answer={"price": 5.0, "grade": "top"}),
    Rule("gap", when="region is missing", action="fallback", fallback="simple"),
    Rule("busy", when="count > 7", action="flag"),
    Rule("dear", column="output.price", high=120, action="clip"),
    Rule(
        "odd", when="output.price > 100 and output.grade == 'b'", action="answer", answer={"price": 6, "grade": "odd"}
    ),
)
NUMBER = st.sampled_from([-5.0, 0.0, 17.5, 18.0, 50.0, 99.0, 100.0, 1001.0, math.inf, math.nan])
ROW = st.tuples(NUMBER, NUMBER, st.integers(-3, 12), st.sampled_from(["north", "south", "west", "", None]))
ROWS = st.lists(ROW, min_size=1, max_size=7)


def batch_of(rows: list[Any]) -> Batch:
    texts = np.empty((len(rows), 1), object)
    texts[:, 0] = [row[3] for row in rows]
    return Batch({
        "input": np.array([row[:2] for row in rows], np.float32),
        "count": np.array([[row[2]] for row in rows], np.int32),
        "region": texts,
    })  # fmt: skip


def predict(batch: Batch) -> Batch:
    """price = age + count, grade by whether the count is even."""
    price = batch["input"][:, :1] + batch["count"]
    grade = np.array([*("a" if count % 2 else "b" for count in batch["count"][:, 0]), None], object)[:-1]
    return Batch({"price": price.astype(np.float32), "grade": grade})


def fallback(_: str, batch: Batch) -> Answered:
    price = np.full((batch.rows, 1), 7, np.float32)
    return Answered(Batch({"price": price, "grade": np.full(batch.rows, "simple", object)}), "simple:2")


def plainly(row: Any) -> Any:
    """What one row gets, read off the rules: price and grade, or None where it is refused."""
    age, income, count, region = row
    if age < 18:
        return None
    if income > 1000 and region == "south":
        return 5.0, "top"
    if region is None:
        return 7.0, "simple"
    age = min(age, 99)
    count = min(max(count, 1), 9)
    price, grade = age + count, "a" if count % 2 else "b"
    if price > 100 and grade == "b":
        return 6.0, "odd"
    return min(price, 120), grade


def rows_of(guarded: Guarded) -> list[Any]:
    refused = set(guarded.refused.tolist())
    prices, grades = guarded.answer["price"][:, 0].tolist(), guarded.answer["grade"].tolist()
    return [None if at in refused else pair for at, pair in enumerate(zip(prices, grades, strict=True))]


def same(left: list[Any], right: list[Any]) -> bool:
    return all(a == b or (a and b and math.isnan(a[0]) and math.isnan(b[0])) for a, b in zip(left, right, strict=True))


GUARD = Guard(RULES, SIGNATURE)


@settings(max_examples=80, deadline=None)
@given(ROWS)
def test_a_row_gets_what_it_gets_alone_in_any_order_and_read_plainly(rows: list[Any]) -> None:
    found = rows_of(GUARD.answer(batch_of(rows), predict, fallback, lenient=True))
    assert same(found, [plainly(row) for row in rows])
    alone = [rows_of(GUARD.answer(batch_of([row]), predict, fallback, lenient=True))[0] for row in rows]
    assert same(found, alone)
    assert same(found[::-1], rows_of(GUARD.answer(batch_of(rows[::-1]), predict, fallback, lenient=True)))


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_what_was_clipped_is_not_clipped_again(rows: list[Any]) -> None:
    clipping = Guard(
        [rule for rule in RULES if rule.action == "clip" and not rule.column.startswith("output")], SIGNATURE
    )
    seen: list[Batch] = []

    def look(batch: Batch) -> Batch:
        seen.append(batch)
        return predict(batch)

    clipping.answer(batch_of(rows), look, fallback)
    again = clipping.answer(seen[0], look, fallback)
    assert again.fired == ()
    for name in seen[0]:
        np.testing.assert_array_equal(seen[0][name], seen[1][name])


@settings(max_examples=25, deadline=None)
@given(ROWS)
def test_the_callers_arrays_are_never_written_to(rows: list[Any]) -> None:
    batch = batch_of(rows)
    for array in batch.columns.values():
        array.flags.writeable = False
    GUARD.answer(batch, predict, fallback, lenient=True)


def test_a_refusal_lists_all_rules_and_rows() -> None:
    guard = Guard(
        [
            Rule("a", column="age", low=18, action="refuse"),
            Rule("b", when="count > 3", action="refuse", reason="too many"),
        ],
        SIGNATURE,
    )
    with pytest.raises(Refused) as refused:
        guard.answer(batch_of([(17, 1, 9, "x"), (20, 1, 1, "x"), (3, 1, 1, "x")]), predict, fallback)
    told = refused.value.detail["rules"]
    assert [(rule["rule"], rule["rows"], rule["got"]) for rule in told] == [
        ("a", "0,2", "17 (row 0), 3 (row 2)"),
        ("b", "0", "count = 9 (row 0)"),
    ]


def test_rows_without_a_model_call_do_not_make_one() -> None:
    def never(_: Batch) -> Batch:
        raise AssertionError

    answer = GUARD.answer(batch_of([(50, 1001, 1, "south")]), never, fallback).answer
    assert (answer["price"].tolist(), answer["grade"].tolist()) == ([[5.0]], ["top"])


def test_no_rows_are_an_answer_too() -> None:
    guarded = GUARD.answer(batch_of([(20, 1, 1, "x")]).slice(0, 0), predict, fallback)
    assert guarded.answer.rows == 0
    assert guarded.answer["price"].shape == (0, 1)


def test_a_rule_that_fills_gaps_lets_them_in() -> None:
    strict = Signature((Field("x", "FP32", (-1, 1)), Field("t", "BYTES", (-1, 1))), SIGNATURE.outputs)
    filling = Rule("fill", column="x", present=True, action="clip", to=3.0)
    guard = Guard([filling, Rule("say", column="t", present=True)], strict)
    assert [field.values for field in guard.signature.inputs] == ["missing", "finite"]
    seen: list[Any] = []

    def look(batch: Batch) -> Batch:
        seen.append(batch["x"].tolist())
        return Batch({"price": batch["x"], "grade": np.full(batch.rows, "a", object)})

    texts = np.full((2, 1), "t", object)
    guard.answer(Batch({"x": np.array([[np.nan], [1]], np.float32), "t": texts}), look, fallback)
    assert seen == [[[3.0], [1.0]]]


WRONG = [
    ([Rule("r", column="agee", low=1)], "rule 'r': unknown column 'agee': did you mean 'age'?"),
    ([Rule("r", when="agee > 1")], "rule 'r': unknown column 'agee': did you mean 'age'?"),
    ([Rule("r", when="lgo(age) > 1")], "rule 'r': unknown function 'lgo': did you mean 'log'?"),
    ([Rule("r", when="age >")], "rule 'r': expected a column, a number"),
    ([Rule("r", when="age + 1")], "rule 'r': expected a condition"),
    ([Rule("r", column="region", low=1)], "rule 'r': column 'region' is BYTES: expected a column of numbers"),
    ([Rule("r", column="region", allowed=("a", 1))], "rule 'r': 'allowed' holds 1: expected texts"),
    ([Rule("r", column="count", allowed=("a",))], "rule 'r': 'allowed' holds 'a': expected whole numbers (INT32)"),
    ([Rule("r", column="count", allowed=(1, 2**40))], "'allowed' holds 1099511627776, which INT32 cannot hold"),
    ([Rule("r", column="count", present=True)], "rule 'r': column 'count' is INT32, which is never missing"),
    ([Rule("r", column="count", high=5, action="clip", to=1.5)], "'to' is 1.5: expected a whole number"),
    ([Rule("r", column="age", high=5, action="clip", to=6)], "'to' is 6, which is out of bounds itself"),
    ([Rule("r", column="age", high=5, action="clip", to="x")], "'to' is 'x': expected a number"),
    ([Rule("r", column="region", allowed=("a",), action="clip", to="b")], "'to' is 'b', which is not among 'allowed'"),
    ([Rule("r", when="age > 1", action="answer", answer={"price": 1})], "lacks a value for the output 'grade'"),
    ([Rule("r", when="age > 1", action="answer", answer={"cost": 1})], "holds 'cost', the outputs are 'price'"),
    ([Rule("r", when="age > 1", action="answer", answer={"price": "x", "grade": "a"})], "expected FP32, got 'x'"),
    ([Rule("r", distance="isolation")], "rule 'r': a distance is fitted at packing"),
    ([Rule("r", interval="price")], "rule 'r': an interval is fitted at packing"),
    ([Rule("r", interval="cost")], "rule 'r': unknown output 'cost'"),
    ([Rule("r", when="age > 1"), Rule("r", when="age > 2")], "rule 'r': there are 2 rules of this name"),
    ([Rule("a", column="age", low=50, action="refuse"), Rule("b", column="age", high=40, action="clip")],
     "contradictory bounds of 'age': rule 'a' asks for at least 50, rule 'b' for at most 40"),
    ([Rule("a", column="count", low=1.2, high=1.8, action="refuse")],
     "contradictory bounds of 'count': no whole number is at least 1.2 and at most 1.8"),
    ([Rule("a", column="age", present=True, action="clip", to=5.0), Rule("b", column="age", low=18, action="refuse")],
     "rule 'a': 'to' is 5.0, which rule 'b' does not let pass"),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "told"), WRONG)
def test_rules_that_cannot_hold_name_themselves_and_say_why(rules: list[Rule], told: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - what it says is looked at below
        Guard(rules, SIGNATURE)
    assert told in str(error.value)


def test_bounds_are_met_as_values_were_sent() -> None:
    guard = Guard([Rule("r", column="age", low=0.1, high=0.3)], SIGNATURE)
    assert guard.judge(batch_of([(0.1, 0, 1, ""), (0.3, 0, 1, ""), (math.nan, 0, 1, "")])) == []
    (fired,) = guard.judge(batch_of([(0.0999, 0, 1, ""), (0.3, 0, 1, ""), (math.inf, 0, 1, "")]))
    assert fired.rows.tolist() == [0, 2]
