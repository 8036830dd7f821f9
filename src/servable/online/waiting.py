"""Waiting: rows that were predicted, kept until their outcomes come, or for a stated time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import numpy as np

from servable.domain.batch import Batch
from servable.online.event import Asked, Given, array, batch_of, column

MOST: Final = 200_000


class Waiting:
    """By the id of the prediction; the oldest go first, when their time is over or there are too many."""

    def __init__(self, window_s: float, most: int = MOST) -> None:
        self._window_s = window_s
        self._most = most
        self._rows: OrderedDict[str, tuple[Asked, Batch, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def keep(self, asked: Asked) -> None:
        """Rows that were predicted."""
        batch = batch_of(asked.columns)
        for row, key in enumerate(asked.ids):
            self._rows.pop(key, None)
            self._rows[key] = (asked, batch, row)
        self.forget(asked.time)

    def forget(self, now: float) -> None:
        """Let go of those whose time is over at `now`, in seconds since the epoch."""
        while self._rows:
            key = next(iter(self._rows))
            if len(self._rows) <= self._most and self._rows[key][0].time + self._window_s >= now:
                return
            del self._rows[key]

    def find(self, ids: Sequence[str]) -> tuple[list[int], Batch | None, Given | None]:
        """The places, among `ids`, of those that are here, their rows, and what was answered to them. They stay: an
        outcome may be corrected.
        """
        places = [place for place, key in enumerate(ids) if key in self._rows]
        if not places:
            return [], None, None
        found = [self._rows[ids[place]] for place in places]
        names = found[0][1].columns
        columns = {name: np.stack([batch[name][row] for _, batch, row in found]) for name in names}
        return places, Batch(columns, len(places)), _given([(asked, row) for asked, _, row in found])


def _given(rows: list[tuple[Asked, int]]) -> Given | None:
    """What was answered to rows, if it is known of all."""
    answers = [array(asked.answers)[row] for asked, row in rows if asked.answers is not None]
    if len(answers) < len(rows) or rows[0][0].answers is None:
        return None
    held = np.array(answers, array(rows[0][0].answers).dtype)
    return Given(
        tuple(asked.time for asked, _ in rows),
        column(rows[0][0].answers.name, held),
        tuple(asked.before for asked, _ in rows),
    )
