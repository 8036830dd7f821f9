"""Rule: one declarative guardrail on a Batch, and the action where it fires. The noun only; `rules/` evaluates it.

The same rows of a manifest hold for every door, for bulk jobs and at the edge.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np

from servable.domain.batch import Array
from servable.domain.ref import NAME, Ref
from servable.errors import UsageError

Action = Literal["refuse", "clip", "flag", "answer", "fallback"]
Severity = Literal["info", "warning", "error"]
Judges = Literal["bounds", "categories", "missing", "expression", "distance", "interval"]

OUTPUT: Final = "output."
"""How the name of a column begins that the model answers with: `output.price`, `output.probabilities[yes]`."""

_KINDS: Final[dict[str, Judges]] = {
    "low": "bounds", "high": "bounds", "allowed": "categories", "present": "missing", "when": "expression",
    "distance": "distance", "interval": "interval",
}  # fmt: skip
"""The key that makes a rule one of a kind."""


class Rule(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A row of the manifest: what it judges, what happens where it fires, and what users are told.

    It judges one of: `column` with `low` and `high` (both allowed themselves), with `allowed` values, or `present`
    (a value must be there); `when`, an expression that is true where it fires; `distance` from the training data over
    `columns` (all, if none are named), which fires beyond what a share `within` of the training rows keep; `interval`,
    the name of an output that then comes with a prediction interval or set of `coverage`, which fires where it is wider
    than `widest`, or holds no class or more than `most`.

    Actions: `refuse` the request; `clip` to the nearest bound, or put `to` in the place of the value; `flag` the row;
    `answer` with fixed values by output; hand the row to the model `fallback` names. Without a value a column is
    neither out of bounds nor of a strange category.

    >>> Rule("adult", column="age", low=18, action="refuse", reason="we lend to adults only").judges
    'bounds'
    """

    name: str
    action: Action = "flag"
    reason: str = ""
    severity: Severity = "warning"
    column: str = ""
    low: float | None = None
    high: float | None = None
    allowed: tuple[str | int | bool, ...] = ()
    present: bool = False
    when: str = ""
    distance: Literal["", "mahalanobis", "isolation"] = ""
    columns: tuple[str, ...] = ()
    within: float = 0.99
    interval: str = ""
    coverage: float = 0.9
    widest: float | None = None
    most: int | None = None
    to: float | str | None = None
    answer: dict[str, Any] = {}
    fallback: str = ""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"a rule's name is {self.name!r}: expected letters, digits, '_', '.' and '-', at most 128")
        kinds = list(dict.fromkeys(self._said()))
        if len(kinds) != 1:
            told = f"several ({', '.join(kinds)}): write a rule for each" if kinds else "nothing"
            raise self._wrong(f"expected one of {', '.join(_KINDS)} to say what it judges, got {told}")
        self._check_what()
        self._check_action()

    @property
    def judges(self) -> Judges:
        """Which kind of rule it is."""
        return next(self._said())

    def _said(self) -> Iterator[Judges]:
        """The kinds of the keys that are there."""
        for key, kind in _KINDS.items():
            value = getattr(self, key)
            if value is not None and value is not False and value not in ("", ()):
                yield kind

    def _check_what(self) -> None:
        kind = self.judges
        if (kind in {"bounds", "categories", "missing"}) != bool(self.column):
            needed = f"'column' beside {kind}" if not self.column else f"no 'column' for a rule of {kind}"
            raise self._wrong(f"expected {needed}")
        if any(bound is not None and math.isnan(bound) for bound in (self.low, self.high)):
            raise self._wrong("expected 'low' and 'high' to be numbers, got nan")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise self._wrong(f"contradictory bounds: low {self.low:g} is above high {self.high:g}")
        for key in ("within", "coverage"):
            if not 0 < getattr(self, key) < 1:
                raise self._wrong(f"expected {key!r} between 0 and 1, got {getattr(self, key):g}")
        if self.columns and kind != "distance":
            raise self._wrong(
                "expected no 'columns': they belong to a distance; one 'column', or an expression in 'when'"
            )
        if kind != "interval" and (self.widest is not None or self.most is not None):
            raise self._wrong("expected 'widest' and 'most' only beside 'interval'")

    def _check_action(self) -> None:
        kind = self.judges
        if (self.action == "answer") != bool(self.answer):
            raise self._wrong("expected 'answer' to hold a value for each output, where the action is \"answer\"")
        if (self.action == "fallback") != bool(self.fallback):
            raise self._wrong("expected 'fallback' to name a model, where the action is \"fallback\"")
        if self.fallback:
            try:
                Ref.parse(self.fallback)
            except UsageError as error:
                raise self._wrong(f"fallback: {error.message}") from error
        if self.to is not None and self.action != "clip":
            raise self._wrong("expected 'to' only where the action is \"clip\"")
        if self.action == "clip" and kind not in {"bounds", "categories", "missing"}:
            raise self._wrong(f'expected an action other than "clip": a rule of {kind} has no value to put in place')
        if self.action == "clip" and kind != "bounds" and self.to is None:
            raise self._wrong("expected 'to', the value that is put in place")

    def _wrong(self, told: str) -> ValueError:
        return ValueError(f"rule {self.name!r}: {told}")


class Fired(NamedTuple):
    """A rule that fired, and the numbers of the rows where it did, in order. `to` is the fallback version that
    answered them (`name:version`), if one did.
    """

    rule: Rule
    rows: Array
    to: str = ""

    def __str__(self) -> str:
        """As answers tell it: action, rows, and the reason if the rule gives one.

        >>> str(Fired(Rule("old", when="age > 100", reason="older than anybody seen"), np.array([0, 4, 5, 6, 7])))
        'flag rows 0,4-7: older than anybody seen'
        """
        to = f" to {self.to}" if self.to else ""
        why = f": {self.rule.reason}" if self.rule.reason else ""
        return f"{self.rule.action}{to} rows {ranges(self.rows)}{why}"


def shared_out(fired: Sequence[Fired], counts: Sequence[int]) -> list[list[Fired]]:
    """What fired over rows that stood behind one another, for each part of so many rows, by its own numbers.

    >>> old = Rule("old", when="age > 100")
    >>> [[str(each) for each in part] for part in shared_out([Fired(old, np.array([1, 2, 5]))], [2, 3, 1])]
    [['flag rows 1'], ['flag rows 0'], ['flag rows 0']]
    """
    parts: list[list[Fired]] = [[] for _ in counts]
    ends = np.cumsum(counts)
    for each in fired:
        part_of = np.searchsorted(ends, each.rows, side="right")
        for part in np.unique(part_of):
            parts[part].append(each._replace(rows=each.rows[part_of == part] - (ends[part] - counts[part])))
    return parts


def ranges(rows: Array | Sequence[int]) -> str:
    """Ascending row numbers, written short.

    >>> ranges([1, 2, 3, 9])
    '1-3,9'
    """
    array = np.asarray(rows)
    parts = np.split(array, np.flatnonzero(np.diff(array) != 1) + 1) if len(array) else []
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else f"{part[0]}" for part in parts)


def told(fired: Iterable[Fired]) -> dict[str, str]:
    """What an answer's parameters say of the rules that fired: `rule.NAME` to action, rows and reason."""
    return {f"rule.{each.rule.name}": str(each) for each in fired}
