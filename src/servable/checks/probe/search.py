"""Search: every edge asked of the model, and what is odd about the answers, each shrunk to the simplest row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np

from servable.bundles.answer import Answer
from servable.checks.probe import policy
from servable.checks.probe.edges import Edge
from servable.checks.probe.finding import Finding, words
from servable.checks.probe.ground import Ground, take
from servable.checks.probe.shrink import Holds, shrink, start
from servable.checks.subject import Subject
from servable.domain.batch import Array, Batch
from servable.domain.columns import columns
from servable.errors import ServableError

JUDGED_BY_FLIPS: Final = frozenset({"missing", "wrong unit", "unseen category", "sign", "swapped columns"})
"""Kinds whose rows mean nothing. An extreme may be true: the answer may follow it."""
SHOWN: Final = "saturates"


class Asked(NamedTuple):
    """How much was asked: rows, and how many of them the contract or a rule kept from the model."""

    rows: int = 0
    kept_out: int = 0

    def plus(self, rows: int, kept_out: int) -> Asked:
        """With more of both."""
        return Asked(self.rows + rows, self.kept_out + kept_out)


class Search:
    """Asks one model. `asked` counts by kind what it was asked."""

    def __init__(self, ground: Ground, model: Subject) -> None:
        self.ground = ground
        self.model = model
        self.before = model.answer(ground.rows)
        self.scale = policy.Scale.of(self.before)
        self.asked: dict[str, Asked] = {}

    def findings(self, edges: Iterable[Edge]) -> Iterator[Finding | None]:
        """One or none for each edge."""
        for edge in edges:
            yield self._try(edge)

    def _try(self, edge: Edge) -> Finding | None:
        rows = self.ground.rows
        variant = edge.apply(rows)
        differ = _differ(rows, variant, edge.columns, self.ground)
        let_in = differ & self.accepted(variant)
        count = self.asked.get(edge.kind, Asked())
        self.asked[edge.kind] = count.plus(int(differ.sum()), int(differ.sum() - let_in.sum()))
        index = np.flatnonzero(let_in)
        if not len(index):
            return None
        answer, failed = self.answers(take(variant, index))
        if failed.any():
            affected = index[failed]
            return self._finding(edge, self._failure(take(variant, affected[:1])), affected, len(index))
        assert answer is not None  # noqa: S101 - none failed
        before = self.before.of(index)
        odd = policy.odd_rows(before, answer, self.scale)
        if edge.kind not in JUDGED_BY_FLIPS or len(index) < policy.FEW or odd["flips"].mean() < policy.FLIPPED:
            del odd["flips"]
        for what in policy.WORST_FIRST:
            if what in odd and odd[what].any():
                return self._finding(edge, what, index[odd[what]], len(index))
        still = policy.saturated(before.strength(), answer.strength())
        if still and edge.kind != "boundary":
            return self._finding(edge, SHOWN, index, len(index))
        return None

    def accepted(self, rows: Batch) -> Array:
        """Which rows neither the contract nor a rule keeps from the model."""
        signature = self.model.bundle.signature
        good = np.ones(rows.rows, bool)
        if signature.check(rows):
            good = np.array([not signature.check(rows.slice(at, at + 1)) for at in range(rows.rows)])
        index = np.flatnonzero(good)
        if len(index):
            for fired in self.model.fired(take(rows, index)):
                good[index[fired.rows]] = False
        return good

    def answers(self, rows: Batch) -> tuple[Answer | None, Array]:
        """The answers, or which rows the model fails on, asked one by one."""
        try:
            return self.model.answer(rows), np.zeros(rows.rows, bool)
        except ServableError:
            failed = np.array([self._fails(rows.slice(at, at + 1)) for at in range(rows.rows)])
            # Where each alone is answered, it is the whole that fails: then all are what it takes.
            return None, failed if failed.any() else np.ones(rows.rows, bool)

    def _fails(self, row: Batch) -> bool:
        try:
            self.model.answer(row)
        except ServableError:
            return True
        return False

    def _failure(self, row: Batch) -> str:
        """Whether there is no answer at all, or one that is no number, which the contract does not let pass."""
        try:
            told = self.model.model.predict(row)
        except Exception:  # noqa: BLE001 - a wall: a model may raise anything
            return "fails"
        floats = [array for array in told.columns.values() if array.dtype.kind == "f"]
        return "fails" if all(np.isfinite(array).all() for array in floats) else "is not finite"

    def _holds(self, edge: Edge, what: str) -> Holds:
        def holds(bases: Batch) -> Array:
            rows = edge.apply(bases)
            good = self.accepted(rows) & self.accepted(bases)
            if what == SHOWN or not good.any():
                return good
            answer, failed = self.answers(rows)
            if what == "fails" or answer is None:
                return good & failed
            before, _ = self.answers(bases)
            if before is None:
                return np.zeros(bases.rows, bool)
            return good & policy.odd_rows(before, answer, self.scale)[what]

        return holds

    def _finding(self, edge: Edge, what: str, affected: Array, asked: int) -> Finding:
        holds = self._holds(edge, what)
        base = take(self.ground.rows, affected[:1])
        base = shrink(self.ground, base, edge.columns if edge.value is None else (), holds)
        first = None
        if edge.value is not None and what != SHOWN:
            known = self.ground.known[edge.columns[0]]
            seen = known.high if edge.value > (known.high or 0.0) else known.low
            if seen is not None:
                first = start(self.ground, base, edge.columns[0], seen, edge.value, self._at_value(what, base))
        row = edge.apply(base)
        before, _ = self.answers(base)
        after, _ = self.answers(row)
        size = 0.0
        if before is not None and after is not None:
            size = abs(float(after.strength()[0] - before.strength()[0])) / max(self.scale.spread, policy.ROUNDING)
        nothing = "nan" if what == "is not finite" else "no answer"
        return Finding(
            edge.kind, edge.columns, edge.told, what, asked, len(affected), size, base, row,
            "no answer" if before is None else words(before), nothing if after is None else words(after), first,
        )  # fmt: skip

    def _at_value(self, what: str, base: Batch) -> Holds:
        """Whether rows that have their value already show it."""

        def holds(rows: Batch) -> Array:
            good = self.accepted(rows)
            answer, failed = self.answers(rows)
            if what == "fails" or answer is None:
                return good & failed
            before, _ = self.answers(take(base, np.zeros(rows.rows, int)))
            return good & failed if before is None else good & policy.odd_rows(before, answer, self.scale)[what]

        return holds


def _differ(before: Batch, after: Batch, names: Iterable[str], ground: Ground) -> Array:
    """Which rows a change has changed."""
    old, new = (columns(batch, ground.signature.inputs) for batch in (before, after))
    differ = np.zeros(before.rows, bool)
    for name in names:
        one, other = old[name], new[name]
        differ |= np.asarray(one != other, bool)
        if one.dtype.kind == "f":
            differ &= ~(np.isnan(one) & np.isnan(other))
    return differ
