"""Text to an Expression: a small language of its own, never Python's. Knows no columns and no arrays.

`age >= 18 and region in ("north", "south") and not (income is missing)`: arithmetic, comparisons (which may be chained:
`18 <= age <= 99`), `and`, `or`, `not`, `in`, `is missing`, and the functions of `domain/expression.py`. A column whose
name is no plain word stands in backticks.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Final, NamedTuple

from servable.domain.expression import FUNCTIONS, OPERATIONS, Column, Constant, Expression, Operation

LONGEST: Final = 10_000
"""Characters of an expression."""
DEEPEST: Final = 30
"""Brackets, functions and signs inside one another."""
LONGEST_CHAIN: Final = 200
"""Operations one behind the other, each done to what the one before gives: `a + b + c` are two."""

_TOKEN: Final = re.compile(
    r"""\s*(?:
    (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<text>"(?:[^"]|"")*"|'(?:[^']|'')*')
    | (?P<quoted>`[^`]+`)
    | (?P<name>[^\W\d][\w.]*(?:\[[^\]]*\])?)
    | (?P<mark>\*\*|<=|>=|==|!=|[-+*/<>(),\[\]])
    )""",
    re.VERBOSE,
)
_END: Final = "the end"
_COMPARISONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">="})
_MEANT: Final = {"=": "==", "&": "and", "|": "or", "!": "not", "<>": "!=", "^": "**", "%": "no operator"}
"""What other languages write."""


class BadExpression(ValueError):
    """Text that is no expression: what is wrong, and where."""


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse(text: str) -> Expression:
    """Read an expression. Raises BadExpression that says what is wrong at which character.

    >>> parse("age < 18")
    Operation(name='<', operands=(Column(name='age'), Constant(value=18.0)))
    >>> parse("log(income")
    Traceback (most recent call last):
    ...
    servable.rules.parse.BadExpression: expected ')' at character 11, got the end: log(income
    """
    if len(text) > LONGEST:
        raise BadExpression(f"expected at most {LONGEST} characters, got {len(text)}")
    reader = _Reader(text)
    found = reader.either()
    if reader.token.kind != _END:
        raise reader.wrong("an operator or the end")
    level: list[Expression] = [found]
    depth = 0
    while level := [operand for each in level if isinstance(each, Operation) for operand in each.operands]:
        depth += 1
    if depth > LONGEST_CHAIN:
        raise BadExpression(f"expected at most {LONGEST_CHAIN} operations one behind the other, got {depth}")
    return found


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            strange = text[at:].lstrip()
            meant = next((f": write {right!r}" for left, right in _MEANT.items() if strange.startswith(left)), "")
            if strange[0] in "\"'`":
                raise BadExpression(f"the quote at character {len(text) - len(strange) + 1} has no end")
            raise BadExpression(f"{strange[0]!r} at character {len(text) - len(strange) + 1} is no operator{meant}")
        tokens.append(_Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup)))
        at = found.end()
    return [*tokens, _Token(_END, _END, len(text))]


class _Reader:
    """Recursive descent, a method for each level of binding: the loosest first."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._next = 0
        self._depth = 0

    @property
    def token(self) -> _Token:
        return self._tokens[self._next]

    def wrong(self, expected: str) -> BadExpression:
        token = self.token
        got = token.text if token.kind == _END else repr(token.text)
        return BadExpression(f"expected {expected} at character {token.at + 1}, got {got}: {self._text}")

    def either(self) -> Expression:
        return self._joined("or", lambda: self._joined("and", self._denied))

    def _joined(self, word: str, operand: Callable[[], Expression]) -> Expression:
        parts = [operand()]
        while self._took(word):
            parts.append(operand())
        return parts[0] if len(parts) == 1 else Operation(word, tuple(parts))

    def _denied(self) -> Expression:
        if not self._took("not"):
            return self._compared()
        self._enter()
        denied = Operation("not", (self._denied(),))
        self._depth -= 1
        return denied

    def _compared(self) -> Expression:
        left = self._sum()
        if self._took("is"):
            denied = self._took("not")
            self._expect("missing")
            return _unless(denied, Operation("is missing", (left,)))
        if (denied := self._took("not")) or self.token.text == "in":
            self._expect("in")
            return _unless(denied, Operation("in", (left, *self._listed())))
        comparisons: list[Expression] = []
        while self.token.kind == "mark" and self.token.text in _COMPARISONS:
            name = self._take()
            right = self._sum()
            comparisons.append(Operation(name, (left, right)))
            left = right
        if not comparisons:
            return left
        return comparisons[0] if len(comparisons) == 1 else Operation("and", tuple(comparisons))

    def _listed(self) -> list[Expression]:
        """The values behind `in`."""
        close = {"(": ")", "[": "]"}.get(self.token.text)
        if close is None:
            raise self.wrong("values in brackets behind 'in'")
        self._take()
        values = [self._sum()]
        while self._took(","):
            values.append(self._sum())
        self._expect(close)
        return values

    def _sum(self) -> Expression:
        return self._chained(("+", "-"), lambda: self._chained(("*", "/"), self._signed))

    def _chained(self, marks: tuple[str, ...], operand: Callable[[], Expression]) -> Expression:
        left = operand()
        while self.token.kind == "mark" and self.token.text in marks:
            left = Operation(self._take(), (left, operand()))
        return left

    def _signed(self) -> Expression:
        if not self._took("-"):
            return self._power()
        self._enter()
        value = self._signed()
        self._depth -= 1
        if isinstance(value, Constant) and isinstance(value.value, float):
            return Constant(-value.value)
        return Operation("negative", (value,))

    def _power(self) -> Expression:
        base = self._value()
        return Operation("**", (base, self._signed())) if self._took("**") else base

    def _value(self) -> Expression:
        token = self.token
        if token.kind == "number":
            return Constant(float(self._take()))
        if token.kind == "text":
            quote = token.text[0]
            return Constant(self._take()[1:-1].replace(quote * 2, quote))
        if token.kind == "quoted":
            return Column(self._take()[1:-1])
        if token.kind == "name":
            return self._named()
        if self._took("("):
            self._enter()
            inside = self.either()
            self._expect(")")
            self._depth -= 1
            return inside
        raise self.wrong("a column, a number, a text or '('")

    def _named(self) -> Expression:
        name = self.token.text
        if name in {"and", "or", "not", "in", "is", "missing"}:
            raise self.wrong("a column, a number, a text or '('")
        self._take()
        if name in {"true", "false"}:
            return Constant(name == "true")
        if not self._took("("):
            return Column(name)
        if name not in FUNCTIONS:
            near = difflib.get_close_matches(name, FUNCTIONS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(FUNCTIONS)}"
            raise BadExpression(f"unknown function {name!r}: {hint}")
        self._enter()
        operands = [self.either()]
        while self._took(","):
            operands.append(self.either())
        self._expect(")")
        self._depth -= 1
        takes = OPERATIONS[name]
        if not takes.least <= len(operands) <= takes.most:
            several = f"{takes.least} to {takes.most}" if takes.most > takes.least else str(takes.least)
            raise BadExpression(f"function {name!r} takes {several} values, got {len(operands)}")
        return Operation(name, tuple(operands))

    def _take(self) -> str:
        self._next += 1
        return self._tokens[self._next - 1].text

    def _took(self, text: str) -> bool:
        if self.token.text != text or self.token.kind not in {"name", "mark"}:
            return False
        self._next += 1
        return True

    def _expect(self, text: str) -> None:
        if not self._took(text):
            raise self.wrong(repr(text))

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise BadExpression(f"expected at most {DEEPEST} brackets, functions and signs inside one another")


def _unless(denied: bool, found: Expression) -> Expression:
    return Operation("not", (found,)) if denied else found
