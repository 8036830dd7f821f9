"""Scorer: one part of the input to the files of its answers. Runs in a worker.

A part's files appear whole; the report beside them comes last. So a part is done or it is not, whoever dies, and doing
it again gives the same bytes.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from servable.domain.batch import Batch
from servable.domain.model import Model
from servable.domain.signature import Signature
from servable.errors import ModelFailed
from servable.offline import piece
from servable.offline.intake import Reasons, named, take
from servable.offline.keying import keys_of
from servable.offline.order import Order, Part, Scored
from servable.offline.piece import Piece, Unreadable, arrow
from servable.offline.results import Answers, Frames
from servable.offline.whole import Lines, write_whole
from servable.stores.tables.layout import Layout

ANSWERS: Final = "answers"
REJECTED: Final = "rejected"
REPORTS: Final = "parts"


class Intake(NamedTuple):
    """Of a block, the rows that have all they need, their keys (None: the job keeps none), and why others do not."""

    rows: Any
    batch: Batch
    keys: Any
    reasons: Reasons


class Scorer:
    """A loaded model, and what a job wants of it."""

    def __init__(self, order: Order, model: Model, signature: Signature) -> None:
        self._order = order
        self._model = model
        self._signature = signature = named(signature, order.features, "") if order.features else signature
        self._layout = Layout(signature.outputs)
        self._folder = Path(order.folder)

    def score(self, part: Part) -> Scored:
        """Do one part. Raises ModelFailed, InvalidInput, EnvironmentFault."""
        began = time.monotonic()
        name = f"{part.number:06d}"
        rows = bad = 0
        with contextlib.ExitStack() as files:
            answers = files.enter_context(Answers(self._folder / ANSWERS / f"{name}.arrow", self._layout))
            rejected = files.enter_context(Lines(self._folder / REJECTED / f"{name}.jsonl"))
            frames = files.enter_context(Frames(Path(self._order.output), name, self._signature))
            for one in part.pieces:
                first = one.first_row or 0
                for block, broken in piece.read(one, self._order.columns):
                    intake = self._intake(block)
                    if intake.batch.rows:
                        self._answer(intake, answers, frames)
                    _reject(rejected, one, first, block, intake.reasons, broken)
                    rows += block.num_rows + len(broken)
                    bad += len(intake.reasons) + len(broken)
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

    def _answer(self, intake: Intake, answers: Answers, frames: Frames) -> None:
        answer = self._model.predict(intake.batch)
        if faults := self._signature.check_outputs(answer):
            raise ModelFailed(f"the model's answer breaks its own contract: {'; '.join(map(str, faults))}")
        if answer.rows != intake.batch.rows:
            raise ModelFailed(f"the model gave {answer.rows} answers to {intake.batch.rows} rows")
        if self._order.answers:
            answers.write(intake.keys, answer)
        if self._order.output:
            frames.write(intake.rows, answer)


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
