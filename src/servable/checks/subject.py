"""Subject: a version under test, loaded as a server would load it, and asked in parts with progress.

Data-only formats run in this process; what would run foreign code gets a process of its own, behind the same walls as
on a server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from servable.bundles.answer import Answer, read_answer
from servable.bundles.guard import guard_of
from servable.bundles.open_model import open_model
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.domain.rule import Fired
from servable.engine.plan import Target
from servable.errors import ModelFailed, ServableError
from servable.rules.guard import Guard
from servable.rules.whole import Answered

AT_ONCE: Final = 4096
"""Rows of a call: of many more, temporary arrays no longer fit into a processor's cache."""

Tell = Callable[[int], Any]
"""Is told how many more rows have been answered."""


class Subject:
    """What is tested: `ref` says it in full (`churn:3`)."""

    def __init__(self, ref: str, bundle: Bundle, model: Model, load_s: float, guard: Guard | None = None) -> None:
        self.ref = ref
        self.bundle = bundle
        self.model = model
        self.load_s = load_s
        self.guard = guard
        self.tell: Tell = lambda _: None

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
        """What the outputs say. Raises as `predict`, and UsageError."""
        return read_answer(self.predict(batch), self.bundle.signature, self.bundle.manifest.labels)

    def served(self, batch: Batch) -> Answer:
        """What a client is answered, rules included; the model itself stands in for fallbacks. Raises as `answer`, and
        Refused.
        """
        if self.guard is None:
            return self.answer(batch)
        whole = self.guard.answer(batch, self._once, lambda _, rows: Answered(self._once(rows)))
        return read_answer(whole.answer, self.bundle.signature, self.bundle.manifest.labels)

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
