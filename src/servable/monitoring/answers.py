"""Answers: a sink for what was answered in a trial, kept until outcomes come. A sample of it where there is much.

The sample is drawn by chance alone, so that it is one of all versions alike.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final

from servable.bundles.answer import read_answer
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.record import ids_of
from servable.domain.success import Said
from servable.engine.routing.answered import Answered
from servable.errors import ServableError, UsageError
from servable.monitoring.kept import Kept

if TYPE_CHECKING:
    from servable.monitoring.outcomes import Outcomes

BURST: Final = 20_000
"""Rows that are kept at once."""
PER_S: Final = 20.0
"""And so many a second from then on: in a day more than any comparison needs."""

logger = logging.getLogger("servable.monitoring")


class Answers:
    """Writes to a store, which is opened when there is something to write; a RecordQueue feeds it."""

    def __init__(self, store: Callable[[], Outcomes]) -> None:
        self._store = store
        self._allowed = float(BURST)
        self._filled = monotonic()
        self._chance = random.Random()  # noqa: S311 - a sample, no secret

    def write(self, calls: Sequence[Answered]) -> None:
        kept = [(one.name, row) for one in self._sample(calls) for row in rows_of(one)]
        if kept:
            self._store().keep(kept)

    def close(self) -> None:
        """There is nothing to give back."""

    def _sample(self, calls: Sequence[Answered]) -> Sequence[Answered]:
        """As many as are allowed, drawn from all; requests are kept whole."""
        now = monotonic()
        self._allowed = min(self._allowed + (now - self._filled) * PER_S, float(BURST))
        self._filled = now
        rows = sum(map(len, calls))
        if rows > self._allowed:
            calls = self._chance.sample(calls, int(len(calls) * self._allowed / rows))
            rows = sum(map(len, calls))
        self._allowed -= rows
        return calls


def rows_of(answered: Answered) -> Iterator[Kept]:
    """A request's rows, each with what was said to it."""
    ids = ids_of(answered.id, answered.rows)
    for id, said in zip(ids, _said(answered), strict=True):
        yield Kept(answered.version, answered.unit, id, said, answered.time)


def _said(answered: Answered) -> Sequence[Said]:
    outputs = answered.answer
    return [None] * answered.rows if outputs is None else said_by(outputs, answered.gave.bundle, answered.version)


def said_by(outputs: Batch, bundle: Bundle, version: str) -> Sequence[Said]:
    """What the outputs of a version say to each row; None where that is neither a class nor a number."""
    try:
        answer = read_answer(outputs, bundle.signature, bundle.manifest.labels)
    except UsageError:  # the outcome alone tells
        return [None] * outputs.rows
    except (ServableError, ValueError, IndexError):
        logger.exception("what %s:%s answered cannot be read", bundle.name, version)
        return [None] * outputs.rows
    if answer.numbers is not None:
        return [float(number) for number in answer.numbers]
    assert answer.chosen is not None  # noqa: S101 - it is numbers or classes
    known = len(answer.classes)
    return [answer.classes[code] if code < known else None for code in answer.chosen.tolist()]
