"""Published: a built-in learner as a door answers for it: by the latest state that its process published.

A state is taken up whole, by one assignment: no call sees half of one, and none waits for learning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import deepcopy

from servable.domain.batch import Batch
from servable.domain.model import Learner, Model
from servable.domain.record import Records
from servable.domain.signature import Signature
from servable.online.messages import Progress
from servable.online.teacher import Teacher


class Published:
    """A Model. Its answers carry the offset that they were computed at."""

    concurrent = False

    def __init__(
        self,
        name: str,
        address: str,
        signature: Signature,
        make: Callable[[], Model],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`make` gives the learner as it was packed; `address` is where its process listens. Not for the loop's own
        thread: it waits for it.
        """
        self._packed = make()  # its files may change, or go, while it serves: they are read once
        self._loop = loop
        self._current: tuple[Model, int] = (deepcopy(self._packed), 0)
        connecting = Teacher.connect(name, address, signature, self._take)
        self.teacher = asyncio.run_coroutine_threadsafe(connecting, loop).result()

    def _take(self, progress: Progress, state: bytes) -> None:
        learner = deepcopy(self._packed)
        if not isinstance(learner, Learner):
            raise TypeError(f"{type(learner).__name__} does not learn")
        learner.restore(state)
        self._current = (learner, progress.offset)

    def predict(self, batch: Batch) -> Batch:
        learner, offset = self._current
        answer = learner.predict(batch)
        return Batch(answer.columns, answer.rows, {"offset": offset})

    def keep(self, records: Records) -> None:
        """Rows that were predicted may get their outcomes later."""
        self.teacher.keep(records)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self.teacher.close)
