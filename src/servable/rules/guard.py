"""Guard: the rules of one model around its predictions. One evaluator for the doors, bulk jobs and the edge.

It computes no prediction: `steps` says which rows it wants predicted by whom, is sent the answers, and gives the whole.
All rules judge a row as it came; where several fire, the strongest decides (refuse, then answer, then fallback; of
equal ones the first), and values are clipped last.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.rule import Fired, Rule, told
from servable.domain.signature import Signature
from servable.rules.bounds import Bounds
from servable.rules.calibration import Calibration
from servable.rules.compile import compiled
from servable.rules.refusal import refusal
from servable.rules.tests import BoundsTest, Test, clipped
from servable.rules.view import View
from servable.rules.whole import Answered, Whole, take

MODEL = ""
"""Whom rows are for that go to the model itself, in the place of a fallback's Ref."""


class Guarded(NamedTuple):
    """The whole answer, with what fired in its parameters, and what fired. Rows in `refused` hold nothing."""

    answer: Batch
    fired: tuple[Fired, ...]
    refused: Array


Steps = Generator[dict[str, Batch], Mapping[str, Answered], Guarded]
"""Yields rows by the Ref of who shall predict them, and is sent the answers by the same."""


class Guard:
    """The rules of one version, ready. `model` is the model's own contract, `signature` the one that callers see."""

    def __init__(self, rules: Sequence[Rule], signature: Signature, calibration: Calibration | None = None) -> None:
        """Raises BadRule."""
        ready = compiled(rules, signature, calibration)
        self.rules = tuple(rules)
        self.model = signature
        self.signature = ready.signature
        self._places = ready.places
        self._around = ready.around
        self._fixed = ready.fixed
        self._tests = {test.rule.name: test for test in ready.tests}
        self._before = [test for test in ready.tests if not test.answered]
        self._after = [test for test in ready.tests if test.answered]
        self._bounds = Bounds((test.rule for test in self._before if isinstance(test, BoundsTest)), ready.places)
        self._slow = [test for test in self._before if not isinstance(test, BoundsTest)]

    @property
    def answers(self) -> bool:
        """Whether the model's answer is looked at, or added to."""
        return bool(self._after or self._around)

    @property
    def quick(self) -> bool:
        """Whether judging inputs takes comparisons of numbers only, however many rows there are."""
        return not self._slow

    def judge(self, batch: Batch) -> list[Fired]:
        """The rules over inputs that fire, in their order. Nearly always none, which is found out first."""
        tests: Sequence[Test] = self._before
        if not self._bounds.crossed(batch):
            if not self._slow:
                return []
            tests = self._slow
        return _fired(tests, View(self._places, batch))

    def steps(self, batch: Batch, fired: Sequence[Fired] | None = None, *, lenient: bool = False) -> Steps:
        """Yields the rows to be predicted, by whom, at most twice; is sent the answers; returns the whole.

        `fired` is what `judge` gave, if it was asked before. Raises Refused; where `lenient`, refused rows are left
        without an answer instead.
        """
        every = self.judge(batch) if fired is None else list(fired)
        if not lenient:
            refusal(every, self._tests, View(self._places, batch))
        whole = Whole(batch.rows)
        whole.decide(every)
        left = whole.left()
        asks = whole.handed_over(batch)
        if len(left) or not batch.rows:
            asks[MODEL] = take(self._clipped(batch, every), left)
        answers = (yield asks) if asks else {}
        whole.take_in(answers)
        if MODEL in answers:
            view = View(self._places, take(batch, left), self._with_intervals(answers[MODEL].answer))
            found = _fired(self._after, view)
            if not lenient:
                refusal(found, self._tests, view, left)
            answer = self._clipped_answer(view, found)
            more = [each._replace(rows=left[each.rows]) for each in found]
            whole.decide(more)
            every += more
            if again := whole.handed_over(batch):
                whole.take_in((yield again))
            kept = whole.left()
            whole.put(kept, take(answer, np.searchsorted(left, kept)).columns)
        whole.put_fixed(self._fixed)
        named = whole.versions(every)
        columns = whole.columns(self.signature.outputs)
        return Guarded(Batch(columns, batch.rows, told(whole.acted(named)) or None), named, whole.refused())

    def answer(
        self,
        batch: Batch,
        predict: Callable[[Batch], Batch],
        hand_over: Callable[[str, Batch], Answered],
        *,
        lenient: bool = False,
    ) -> Guarded:
        """The whole in one call, for jobs. `hand_over` asks the fallback of a Ref. Raises Refused; where `lenient`,
        refused rows are left without an answer instead.
        """
        steps = self.steps(batch, lenient=lenient)
        try:
            asks = next(steps)
            while True:
                asks = steps.send(
                    {ref: hand_over(ref, rows) if ref else Answered(predict(rows)) for ref, rows in asks.items()}
                )
        except StopIteration as over:
            guarded: Guarded = over.value
            return guarded

    def _clipped(self, batch: Batch, fired: Sequence[Fired]) -> Batch:
        """The batch with the values put in place that rules of inputs give."""
        changed = clipped(View(self._places, batch), self._of(fired))
        return Batch({**batch.columns, **changed}, batch.rows, batch.parameters) if changed else batch

    def _clipped_answer(self, view: View, fired: Sequence[Fired]) -> Batch:
        """The same for the answer."""
        changed = clipped(view, self._of(fired))
        return Batch({**view.answered.columns, **changed}, view.rows) if changed else view.answered

    def _of(self, fired: Sequence[Fired]) -> list[Test]:
        return [self._tests[each.rule.name] for each in fired if each.rule.action == "clip"]

    def _with_intervals(self, answer: Batch) -> Batch:
        if not self._around:
            return answer
        return Batch({**answer.columns, **{each.field.name: each.of(answer) for each in self._around}}, answer.rows)


def _fired(tests: Sequence[Test], view: View) -> list[Fired]:
    """The tests that fire anywhere, with their rows."""
    found = []
    for test in tests:
        rows = np.flatnonzero(test.mask(view))
        if len(rows):
            found.append(Fired(test.rule, rows))
    return found
