"""Flow: take what is there, answer it in one call of the model, hand the answers over. No message is taken before the
last ones are answered, so that a slow model, or a slow consumer, slows the stream and fills no memory.

A message that is no row of the model, or that it fails on, is answered with what is wrong: each gets one answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from servable.bundles.elsewhere.process import Died
from servable.bundles.guard import guard_of
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.engine.plan import Target
from servable.errors import ServableError, Unsupported
from servable.offline.intake import absent, needed, take
from servable.offline.piece import of_rows
from servable.offline.scorer import outputs_of
from servable.offline.stream.pipe import Pipe, Received
from servable.rules.whole import Answered
from servable.stores.tables.layout import Layout

AT_ONCE = 1024


class Flown(NamedTuple):
    """How many messages were answered, and how many of these with an error."""

    messages: int
    errors: int


class Flow:
    """A loaded model between two ends of a pipe."""

    def __init__(self, target: Target, model: Model, bundle: Bundle) -> None:
        self._model = model
        self._guard = guard_of(bundle)
        self._signature = bundle.signature
        self._layout = Layout(outputs_of(bundle))
        names = [name for field in bundle.signature.inputs for name in field.features or (field.name,)]
        self._columns = needed(bundle.signature, names)
        self.lacking = set(absent(bundle.signature, ()))
        """Columns that the model may do without, and that no message had so far: perhaps they are spelled otherwise."""
        self._head = {"model_name": target.name, "model_version": target.version}

    def run(self, pipe: Pipe, over: threading.Event, told: Callable[[Flown], None] = lambda _: None) -> Flown:
        """Answer until there is nothing more to come, or it is over."""
        messages = errors = 0
        while not over.is_set() and (received := pipe.take(AT_ONCE)) is not None:
            if received:
                answers, wrong = self.answer(received)
                pipe.answer(received, answers)
                messages, errors = messages + len(received), errors + wrong
                told(Flown(messages, errors))
        return Flown(messages, errors)

    def answer(self, received: Sequence[Received]) -> tuple[list[bytes], int]:
        """The answer to each message, in order, and how many of them are errors."""
        answers: list[dict[str, Any] | None] = [None] * len(received)
        rows, places = [], []
        for at, message in enumerate(received):
            try:
                row = orjson.loads(message.body)
                if not isinstance(row, dict):
                    raise TypeError("expected an object")
            except (orjson.JSONDecodeError, TypeError) as error:
                answers[at] = {"error": f"not a JSON object: {error}"}
            else:
                rows.append(row)
                places.append(at)
                if self.lacking:
                    self.lacking.difference_update(row)
        for at, row in zip(places, self._predict(rows) if rows else (), strict=True):
            answers[at] = row
        bodies = [orjson.dumps({"id": one.id, **self._head, **(answer or {})})
                  for one, answer in zip(received, answers, strict=True)]  # fmt: skip
        return bodies, sum("error" in (answer or {}) for answer in answers)

    def _predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        taken = take(of_rows(rows, self._columns), self._signature)
        answers: list[dict[str, Any]] = [{"error": "; ".join(taken.reasons.get(at, ()))} for at in range(len(rows))]
        good = [at for at in range(len(rows)) if at not in taken.reasons]
        for at, answer in zip(good, self._answers(taken.batch) if good else (), strict=True):
            answers[at] = answer
        return answers

    def _answers(self, batch: Batch) -> list[dict[str, Any]]:
        """To each row the model's, or what stands in the way of it. Raises Died: a model that is gone has none."""
        try:
            answer, refused = self._ask(batch)
        except Died:
            raise
        except ServableError as error:
            if batch.rows == 1:
                return [{"error": error.message}]
            half = batch.rows // 2
            return [*self._answers(batch.slice(0, half)), *self._answers(batch.slice(half, batch.rows))]
        rows = self._layout.rows(self._layout.encode(answer))
        return [{"error": refused[at]} if at in refused else {"row": row} for at, row in enumerate(rows)]

    def _ask(self, batch: Batch) -> tuple[Batch, dict[int, str]]:
        """Answers by model and rules; the rows that rules refuse, with the reason."""
        if self._guard is None:
            return self._model.predict(batch), {}
        whole = self._guard.answer(batch, self._model.predict, _nobody, lenient=True)
        refused: dict[int, str] = {}
        for fired in whole.fired:
            if fired.rule.action == "refuse":
                why = f"rule {fired.rule.name!r}: {fired.rule.reason or fired.rule.judges}"
                refused |= dict.fromkeys(fired.rows.tolist(), why)
        return whole.answer, refused


def _nobody(ref: str, _: Batch) -> Answered:
    raise Unsupported(f"a rule hands rows over to {ref!r}: streams ask one model alone")
