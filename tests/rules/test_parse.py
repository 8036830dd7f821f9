"""The language of rules: what it reads, and what it says to what it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servable.domain.expression import FUNCTIONS, OPERATIONS, Column, Constant, Expression, Operation
from servable.rules.parse import BadExpression, parse

READ = [
    ("a", Column("a")),
    ("`my column (€)`", Column("my column (€)")),
    ("output.p[yes]", Column("output.p[yes]")),
    ("x[0]", Column("x[0]")),
    ("größe", Column("größe")),
    ("1.5e3", Constant(1500.0)),
    ("-2", Constant(-2.0)),
    ('"a ""b"""', Constant('a "b"')),
    ("'it''s'", Constant("it's")),
    ("true", Constant(value=True)),
    ("1 + 2 * 3", Operation("+", (Constant(1.0), Operation("*", (Constant(2.0), Constant(3.0)))))),
    ("1 - 2 - 3", Operation("-", (Operation("-", (Constant(1.0), Constant(2.0))), Constant(3.0)))),
    ("2 ** 3 ** 2", Operation("**", (Constant(2.0), Operation("**", (Constant(3.0), Constant(2.0)))))),
    ("-a ** 2", Operation("negative", (Operation("**", (Column("a"), Constant(2.0))),))),
    ("a or b and c", Operation("or", (Column("a"), Operation("and", (Column("b"), Column("c")))))),
    ("not a == b", Operation("not", (Operation("==", (Column("a"), Column("b"))),))),
    ("1 < a <= 2", Operation("and", (Operation("<", (Constant(1.0), Column("a"))),
                                     Operation("<=", (Column("a"), Constant(2.0)))))),
    ("a in ('x', 'y')", Operation("in", (Column("a"), Constant("x"), Constant("y")))),
    ("a not in [1]", Operation("not", (Operation("in", (Column("a"), Constant(1.0))),))),
    ("a is missing", Operation("is missing", (Column("a"),))),
    ("a is not missing", Operation("not", (Operation("is missing", (Column("a"),)),))),
    ("max(a, 1, b)", Operation("max", (Column("a"), Constant(1.0), Column("b")))),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expression"), READ)
def test_what_is_written_is_read(text: str, expression: Expression) -> None:
    assert parse(text) == expression


WRONG = [
    ("", "expected a column, a number, a text or '(' at character 1, got the end"),
    ("a >", "at character 4, got the end"),
    ("a = 1", "'=' at character 3 is no operator: write '=='"),
    ("a && b", "write 'and'"),
    ("a || b", "write 'or'"),
    ("(a", "expected ')'"),
    ("a b", "expected an operator or the end at character 3, got 'b'"),
    ("lgo(a)", "unknown function 'lgo': did you mean 'log'?"),
    ("frobnicate(a)", "unknown function 'frobnicate': there are abs,"),
    ("abs(a, b)", "function 'abs' takes 1 values, got 2"),
    ("min(a)", "function 'min' takes 2 to 100 values, got 1"),
    ("a is null", "expected 'missing'"),
    ("a in b", "expected values in brackets behind 'in'"),
    ("a not b", "expected 'in'"),
    ("__import__('os')", "unknown function '__import__'"),
    ("a.b()", "unknown function 'a.b'"),
    ("'open", "the quote at character 1 has no end"),
    ("(" * 50 + "a" + ")" * 50, "at most 30 brackets"),
    ("- " * 50 + "a", "at most 30"),
    ("not " * 50 + "a", "at most 30"),
    ("a" + "+1" * 300, "at most 200 operations"),
    ("a" * 10_001, "at most 10000 characters"),
]


@pytest.mark.parametrize(("text", "told"), WRONG)
def test_what_is_no_expression_is_told_why(text: str, told: str) -> None:
    with pytest.raises(BadExpression) as error:
        parse(text)
    assert told in str(error.value)


@given(st.text(alphabet="abor nt()[]'\"`<>=!+-*/.,019is_mg", max_size=60))
def test_any_text_is_read_or_told(text: str) -> None:
    try:
        parse(text)
    except BadExpression as error:
        assert str(error)


def test_functions_are_the_operations_that_are_called() -> None:
    assert set(FUNCTIONS) <= set(OPERATIONS)
    assert not {"or", "and", "not", "in", "negative", "is missing", "+"} & set(FUNCTIONS)
