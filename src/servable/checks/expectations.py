"""Expectations that need no label: what must not move an answer, and what must move it one way only.

After M. T. Ribeiro et al., "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList", ACL 2020.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from servable.bundles.answer import Answer
from servable.checks.subject import Subject
from servable.domain.batch import Array, Batch
from servable.domain.columns import columns, with_column
from servable.domain.demand import Invariant, Monotone
from servable.domain.verdict import Verdict
from servable.errors import UsageError
from servable.statistics.proportion import wilson

ROWS: Final = 2000
"""Asked at most: enough to know a share within a percent."""
STEPS: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
"""The quantiles of a column at which a row is asked for its direction."""
SHOWN: Final = 3
HAIR: Final = 1e-6
"""Scores that differ by less, of their own size, are the same: the rounding of float32."""


def invariant(demand: Invariant, model: Subject, rows: Batch, seed: int) -> Verdict:
    """Rows are asked again with the column's values of other rows; what moves too far is counted."""
    some = _some(rows, seed)
    known = _column(some, demand.column, model)
    others = known[np.random.default_rng(seed).permutation(some.rows)]
    changed = np.asarray(known != others, bool) & ~_gaps(known) & ~_gaps(others)
    asked_again = with_column(some, model.bundle.signature.inputs, demand.column, others)
    before, after = model.answer(some), model.answer(asked_again)
    moves = _moves(before, after)
    wrong = np.flatnonzero(changed & (moves > demand.within + HAIR))
    asked = int(changed.sum())
    worst = wrong[np.argsort(-moves[wrong], kind="stable")][:SHOWN]
    evidence = [
        {"row": int(at), "was": _plain(known[at]), "became": _plain(others[at]), "moved": float(moves[at])}
        for at in worst
    ]
    return _verdict(demand.text, asked, len(wrong), demand.share, evidence, "answers move")


def monotone(demand: Monotone, model: Subject, rows: Batch, seed: int) -> Verdict:
    """Each row is asked with the column at several of its quantiles, from low to high."""
    some = _some(rows, seed, at_most=ROWS // len(STEPS))
    known = _column(some, demand.column, model)
    if known.dtype.kind not in "fiu":
        raise UsageError(f"check {demand.text!r}: {demand.column!r} is no number: nothing can rise or fall with it")
    steps = np.unique(np.quantile(known[np.isfinite(known.astype(float))], STEPS, method="nearest"))
    strengths = []
    for step in steps:
        moved = with_column(some, model.bundle.signature.inputs, demand.column, np.full(some.rows, step, known.dtype))
        strengths.append(model.answer(moved).strength(demand.of))
    table = np.column_stack(strengths) * (1 if demand.rises else -1)
    falls = np.diff(table, axis=1) < -HAIR * np.maximum(1.0, np.abs(table[:, :-1]))
    wrong = np.flatnonzero(falls.any(axis=1))
    evidence = []
    for at in wrong[:SHOWN]:
        step = int(np.argmin(np.diff(table[at])))
        evidence.append(
            {
                "row": int(at), "from": _plain(steps[step]), "to": _plain(steps[step + 1]),
                "answers": [float(strengths[step][at]), float(strengths[step + 1][at])],
            }
        )  # fmt: skip
    return _verdict(demand.text, some.rows, len(wrong), demand.share, evidence, "rows go the other way")


def _verdict(text: str, asked: int, wrong: int, share: float, evidence: list[dict[str, Any]], what: str) -> Verdict:
    if not asked:
        return Verdict(text, passed=False, reason="no row has another value to try: the data hold one value only")
    right = wilson(asked - wrong, asked)
    passed = right.estimate >= share
    told = f"{wrong} of {asked} {what}; {right.estimate:.2%} do as they should, {share:.4g} is demanded"
    reason = told if wrong else f"all {asked} rows do as they should"
    numbers = {"value": right.estimate, "low": right.low, "high": right.high, "limit": share, "rows": float(asked)}
    return Verdict(text, passed=passed, reason=reason, numbers=numbers, evidence={"rows": evidence} if evidence else {})


def _some(rows: Batch, seed: int, at_most: int = ROWS) -> Batch:
    if rows.rows <= at_most:
        return rows
    index = np.sort(np.random.default_rng(seed).choice(rows.rows, at_most, replace=False))
    return Batch({name: array[index] for name, array in rows.columns.items()}, at_most)


def _column(rows: Batch, name: str, model: Subject) -> Array:
    known = columns(rows, model.bundle.signature.inputs)
    if name not in known:
        raise UsageError(f"the model has no column {name!r}: columns are {', '.join(map(repr, list(known)[:30]))}")
    return known[name]


def _gaps(values: Array) -> Array:
    """Where a value is missing."""
    if values.dtype.kind == "f":
        return np.asarray(np.isnan(values))
    return np.asarray([value is None for value in values], bool)


def _moves(before: Answer, after: Answer) -> Array:
    """How far each answer moved: the largest change of a score, or of the number; 1 for another class."""
    if before.numbers is not None and after.numbers is not None:
        return np.asarray(np.abs(before.numbers - after.numbers))
    if before.scores is not None and after.scores is not None:
        return np.asarray(np.abs(before.scores - after.scores).max(axis=1))
    first, second = (np.asarray((*each.classes, None), object)[each.chosen] for each in (before, after))
    return np.asarray(first != second, float)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
