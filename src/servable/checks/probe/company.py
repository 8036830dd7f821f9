"""Company: whether a row's answer depends on the rows that are asked with it: twice in one call, in another order,
alone. It must not: a server puts rows of strangers together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from servable.checks.probe.finding import Finding, words
from servable.checks.probe.ground import take
from servable.checks.probe.policy import ROUNDING
from servable.checks.probe.search import Asked, Search
from servable.domain.batch import Array

KIND: Final = "duplicated"
WHAT: Final = "depends on other rows"
ALONE: Final = 32
"""Rows that are asked alone."""
TOLERANCE: Final = 1e-4


def company(search: Search) -> Iterator[Finding | None]:
    """One for each way in which the answers differ."""
    rows = search.ground.rows
    count = rows.rows
    few = np.arange(min(ALONE, count))
    ways = {"twice in one call": np.repeat(np.arange(count), 2), "in another order": np.arange(count)[::-1]}
    for told, index in ways.items():
        answer, failed = search.answers(take(rows, index))
        known = search.asked.get(KIND, Asked())
        search.asked[KIND] = known.plus(len(index), 0)
        if answer is None:
            yield _finding(search, told, index[failed], "no answer")
            continue
        wrong = _apart(search.before.strength()[index], answer.strength())
        yield _finding(search, told, index[wrong], words(answer, int(np.argmax(wrong)))) if wrong.any() else None
    alone = [search.answers(take(rows, np.array([at])))[0] for at in few]
    search.asked[KIND] = search.asked[KIND].plus(len(few), 0)
    strengths = np.array([np.nan if each is None else each.strength()[0] for each in alone])
    wrong = _apart(search.before.strength()[few], strengths)
    if wrong.any():
        first = alone[int(np.argmax(wrong))]
        yield _finding(search, "asked alone", few[wrong], "no answer" if first is None else words(first))


def _apart(one: Array, other: Array) -> Array:
    same = np.abs(one - other) <= TOLERANCE * np.maximum(1.0, np.abs(one))
    return np.asarray(~(same | (np.isnan(one) & np.isnan(other))))


def _finding(search: Search, told: str, index: Array, after: str) -> Finding:
    base = take(search.ground.rows, index[:1])
    return Finding(
        KIND, ("the row",), told, WHAT, search.ground.rows.rows, len(np.unique(index)), ROUNDING, base, base,
        words(search.before, int(index[0])), after,
    )  # fmt: skip
