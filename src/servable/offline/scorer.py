"""Scorer: one part of the input to the files of its answers. Runs in a worker.

A part's files appear whole; the report beside them comes last. So a part is done or it is not, whoever dies, and doing
it again gives the same bytes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from servable.bundles.elsewhere.process import Died
from servable.bundles.guard import guard_of
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.field import Field
from servable.domain.model import Model
from servable.errors import ModelFailed
from servable.offline import piece
from servable.offline.intake import named, take
from servable.offline.keying import keys_of
from servable.offline.numerals import Reasons, read_as, settled
from servable.offline.order import Order, Part, Scored
from servable.offline.piece import Group, Piece, Unreadable, arrow
from servable.offline.results import Answers, Frames
from servable.offline.whole import Lines, write_whole
from servable.rules.whole import Answered
from servable.stores.tables.layout import Layout

ANSWERS: Final = "answers"
REJECTED: Final = "rejected"
REPORTS: Final = "parts"
DOUBT: Final = 20
"""Rows that a model may fail on, answering none, before it is held to fail on all."""


class Intake(NamedTuple):
    """Of a block, the rows that have all they need, their keys (None: the job keeps none), and why others do not."""

    rows: Any
    batch: Batch
    keys: Any
    reasons: Reasons

    def slice(self, start: int, stop: int) -> Intake:
        """Some of the rows, with nothing against them."""
        keys = None if self.keys is None else self.keys.slice(start, stop - start)
        return Intake(self.rows.slice(start, stop - start), self.batch.slice(start, stop), keys, {})


class Scorer:
    """A loaded model, and what a job wants of it."""

    def __init__(self, order: Order, model: Model, bundle: Bundle, hand_over: Callable[[str, Batch], Answered]) -> None:
        """`hand_over` asks the fallback that a rule names."""
        self._order = order
        self._model = model
        self._guard = guard_of(bundle)
        self._hand_over = hand_over
        self._own = bundle.signature
        self._signature = named(bundle.signature, order.features, "") if order.features else bundle.signature
        self._kinds = read_as(self._signature, order.key)
        self._floats = [name for name, kind in self._kinds.items() if kind == "float64"]
        self._outputs = outputs_of(bundle)
        self._layout = Layout(self._outputs)
        self._folder = Path(order.folder)
        self._works = False
        self._failed = 0

    def score(self, part: Part) -> Scored:
        """Do one part. Raises ModelFailed, InvalidInput, EnvironmentFault."""
        began = time.monotonic()
        name = f"{part.number:06d}"
        rows = bad = 0
        with contextlib.ExitStack() as files:
            answers = files.enter_context(Answers(self._folder / ANSWERS / f"{name}.arrow", self._layout))
            rejected = files.enter_context(Lines(self._folder / REJECTED / f"{name}.jsonl"))
            frames = files.enter_context(Frames(Path(self._order.output), name, self._outputs))
            for one in part.pieces:
                first = one.first_row or 0
                for block, broken, group in piece.read(one, self._order.columns, self._floats):
                    intake = self._intake(block)
                    refused = self._answer(intake, answers, frames, group) if intake.batch.rows else {}
                    _reject(rejected, one, first, block, intake.reasons, broken)
                    _reject(rejected, one, first, intake.rows, refused, [])
                    rows += block.num_rows + len(broken)
                    bad += len(intake.reasons) + len(broken) + len(refused)
                    first += block.num_rows
            sizes = {str(file.path): file.finish() for file in (answers, rejected, frames) if file.made}
        scored = Scored(part.number, rows, bad, time.monotonic() - began, sizes)
        write_whole(self._folder / REPORTS / f"{name}.json", msgspec.json.encode(scored))
        return scored

    def _intake(self, block: Any) -> Intake:
        taken = take(block, self._signature)
        if not self._order.key:
            rows = block if taken.good is None else block.filter(arrow().array(taken.good))
            return Intake(rows, taken.batch, None, taken.reasons)
        keys, wrong = keys_of(block, self._order.key, self._order.key_kind)
        if taken.good is None and not wrong:
            return Intake(block, taken.batch, keys, {})
        good = np.ones(block.num_rows, bool) if taken.good is None else taken.good
        left = good.copy()
        left[list(wrong)] = False
        kept, mask = left[good], arrow().array(left)
        batch = Batch({name: array[kept] for name, array in taken.batch.columns.items()}, int(kept.sum()))
        reasons = {row: [*taken.reasons.get(row, ()), *([wrong[row]] if row in wrong else ())] for row in
                   sorted(taken.reasons.keys() | wrong.keys())}  # fmt: skip
        return Intake(block.filter(mask), batch, keys.filter(mask), reasons)

    def _answer(self, intake: Intake, answers: Answers, frames: Frames, group: Group | None) -> Reasons:
        """Write the answers down; the rows that the model's rules refuse, or that it fails on, with the reasons."""
        rows, keys = intake.rows, intake.keys
        try:
            answer, refused = self._ask(intake.batch)
        except Died:
            raise
        except ModelFailed as error:
            return self._narrow(error, intake, answers, frames)
        self._works = True
        if refused:
            kept = np.ones(answer.rows, bool)
            kept[list(refused)] = False
            answer = Batch({name: array[kept] for name, array in answer.columns.items()}, int(kept.sum()))
            mask = arrow().array(kept)
            rows, keys = rows.filter(mask), None if keys is None else keys.filter(mask)
        if answer.rows and self._order.answers:
            answers.write(keys, answer)
        if answer.rows and self._order.output:
            if self._order.shown is not None:
                rows, group = rows.select(list(self._order.shown)), None
            frames.write(settled(rows, self._kinds), answer, group)
        return refused

    def _ask(self, batch: Batch) -> tuple[Batch, Reasons]:
        """Answers by model and rules, and the rows that rules refuse."""
        if self._guard is None:
            return self._predict(batch), {}
        whole = self._guard.answer(batch, self._predict, self._hand_over, lenient=True)
        refused: Reasons = {}
        for fired in whole.fired if len(whole.refused) else ():
            if fired.rule.action == "refuse":
                why = fired.rule.reason or fired.rule.judges
                for row in fired.rows.tolist():
                    refused.setdefault(row, []).append(f"rule {fired.rule.name!r}: {why}")
        return whole.answer, refused

    def _narrow(self, error: ModelFailed, intake: Intake, answers: Answers, frames: Frames) -> Reasons:
        """Which rows the model fails on, by halves. Raises what it fails with where it has answered none so far."""
        count = intake.batch.rows
        if count == 1:
            self._failed += 1
            if not self._works and self._failed == DOUBT:
                raise error
            return {0: [error.message]}
        half = count // 2
        first = self._answer(intake.slice(0, half), answers, frames, None)
        second = self._answer(intake.slice(half, count), answers, frames, None)
        return first | {half + row: why for row, why in second.items()}

    def _predict(self, batch: Batch) -> Batch:
        answer = self._model.predict(batch)
        if faults := self._own.check_outputs(answer):
            raise ModelFailed(f"the model's answer breaks its own contract: {'; '.join(map(str, faults))}")
        if answer.rows != batch.rows:
            raise ModelFailed(f"the model gave {answer.rows} answers to {batch.rows} rows")
        return answer


def outputs_of(bundle: Bundle) -> tuple[Field, ...]:
    """What callers get of a model: its outputs, and those that its rules add."""
    guard = guard_of(bundle)
    return (bundle.signature if guard is None else guard.signature).outputs


def _reject(lines: Lines, one: Piece, first: int, block: Any, reasons: Reasons, broken: list[Unreadable]) -> None:
    """Write down each row that gets no answer, where it stood and why."""
    for row, why in reasons.items():
        values = {
            name: value.decode(errors="replace") if isinstance(value, bytes) else value
            for name, value in block.slice(row, 1).to_pylist()[0].items()
        }
        lines.write({"source": one.path, "row": first + row, "reasons": why, "values": values})
    for line in broken:
        lines.write({"source": one.path, "row": line.row, "reasons": [line.reason], "values": line.text})
