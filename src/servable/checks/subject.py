"""Subject: a version under test, loaded as a server would load it, and asked in parts with progress.

Data-only formats run in this process; what would run foreign code gets a process of its own, behind the same walls as
on a server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from servable.bundles.answer import Answer, read_answer
from servable.bundles.guard import guard_of
from servable.bundles.open_model import open_model
from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.domain.rule import Fired
from servable.domain.signature import Signature
from servable.engine.plan import Target
from servable.errors import ModelFailed, ServableError
from servable.rules.guard import Guard
from servable.rules.handover import FARTHEST, conformed, taken_by
from servable.rules.whole import Answered

AT_ONCE: Final = 4096
"""Rows of a call: of many more, temporary arrays no longer fit into a processor's cache."""

Tell = Callable[[int], Any]
"""Is told how many more rows have been answered."""


class Served(NamedTuple):
    """What clients get: the outputs, the rows that are refused (which hold nothing), and the rules that fired."""

    outputs: Batch
    refused: Array
    fired: tuple[Fired, ...] = ()


class Subject:
    """What is tested: `ref` says it in full (`churn:3`)."""

    def __init__(self, ref: str, bundle: Bundle, model: Model, load_s: float, guard: Guard | None = None) -> None:
        """`find`, where it is set, loads what rules hand rows over to; else the model itself stands in for it."""
        self.ref = ref
        self.find: Callable[[str], Subject] | None = None
        self.bundle = bundle
        self.model = model
        self.load_s = load_s
        self.guard = guard
        self.tell: Tell = lambda _: None

    @property
    def signature(self) -> Signature:
        """The contract as clients see it: rules may let in what the model itself does not take."""
        return self.bundle.signature if self.guard is None else self.guard.signature

    def predict(self, batch: Batch) -> Batch:
        """The model's outputs, held against its contract. Raises ModelFailed, and what the model raises."""
        if not self.bundle.signature.batched:
            return self._once(batch)
        parts = []
        for start in range(0, batch.rows, AT_ONCE):
            part = batch.slice(start, min(start + AT_ONCE, batch.rows))
            parts.append(self._once(part))
            self.tell(part.rows)
        return Batch.join(parts)

    def answer(self, batch: Batch) -> Answer:
        """What the model's outputs say, without rules. Raises as `predict`, and UsageError."""
        return self.read(self.predict(batch))

    def served(self, batch: Batch) -> Answer:
        """What a client is answered, rules included. Raises as `answer`, and Refused."""
        if self.guard is None:
            return self.answer(batch)
        whole = self.guard.answer(batch, self._once, self._hand_over)
        return self.read(whole.answer)

    def serve(self, batch: Batch, handed_over: int = 0) -> Served:
        """The same of many rows, in parts: each as if it were asked alone, so one that is refused is nobody else's
        affair. Raises as `predict`.
        """
        guard = self.guard
        if guard is None:
            return Served(self.predict(batch), np.empty(0, np.intp))
        hand_over = partial(self._hand_over, handed_over=handed_over)
        outputs, refused, fired = [], [], list[tuple[int, Fired]]()
        for start in range(0, max(batch.rows, 1), AT_ONCE):
            part = batch.slice(start, min(start + AT_ONCE, batch.rows))
            whole = guard.answer(part, self._once, hand_over, lenient=True)
            outputs.append(Batch(whole.answer.columns, part.rows))
            refused.append(whole.refused + start)
            fired += [(start, each) for each in whole.fired]
            self.tell(part.rows)
        return Served(Batch.join(outputs), np.concatenate(refused), _together(fired))

    def read(self, outputs: Batch) -> Answer:
        """What outputs say. Raises UsageError."""
        return read_answer(outputs, self.bundle.signature, self.bundle.manifest.labels)

    def _hand_over(self, ref: str, rows: Batch, handed_over: int = 0) -> Answered:
        if self.find is None:
            return Answered(self._once(rows), ref)
        if handed_over >= FARTHEST:
            raise ModelFailed(f"a row was handed over {FARTHEST} times, the last time to {ref}: nobody answers it")
        other = self.find(ref)
        served = other.serve(taken_by(other.signature, rows, self.signature), handed_over + 1)
        if len(served.refused):
            raise ModelFailed(f"{ref} refuses rows that a rule of {self.ref} hands over to it")
        return Answered(conformed(served.outputs, self.bundle.signature, ref), ref)

    def fired(self, batch: Batch) -> Sequence[Fired]:
        """The rules of the bundle that judge inputs, and fire."""
        return () if self.guard is None else self.guard.judge(batch)

    def _once(self, batch: Batch) -> Batch:
        try:
            with np.errstate(all="ignore"):
                answer = self.model.predict(batch)
        except ServableError:
            raise
        except Exception as error:
            raise ModelFailed(f"{self.ref} fails: {type(error).__name__}: {error}") from error
        if faults := self.bundle.signature.check_outputs(answer):
            told = "; ".join(map(str, faults))
            raise ModelFailed(f"the answer of {self.ref} breaks its own contract: {told}")
        if answer.rows != batch.rows and self.bundle.signature.batched:
            raise ModelFailed(f"{self.ref} answered {batch.rows} rows with {answer.rows}")
        return answer


def _together(fired: Sequence[tuple[int, Fired]]) -> tuple[Fired, ...]:
    """What fired in parts that began at these rows, rule by rule."""
    rules = {each.rule.name: each for _, each in fired}
    return tuple(
        each._replace(rows=np.concatenate([part.rows + start for start, part in fired if part.rule.name == name]))
        for name, each in rules.items()
    )


@contextmanager
def subject(target: Target, environments: Path) -> Iterator[Subject]:
    """The target, loaded and proven on its golden rows; closed at the end. Raises what loading raises."""
    start = time.perf_counter()
    opened = open_model(Path(target.source), environments, name=target.name, digest=target.digest)
    try:
        seconds = time.perf_counter() - start
        yield Subject(f"{target.name}:{target.version}", opened.bundle, opened.model, seconds, guard_of(opened.bundle))
    finally:
        opened.model.close()
