"""Following: a learner's process while another machine learns. It answers by the newest state that came from there."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any

import orjson

from servable.domain.batch import Batch
from servable.domain.model import Learner
from servable.online import messages
from servable.online.teaching import Door

logger = logging.getLogger("servable.online")


class Following:
    """`states`: doors answer themselves, and are sent the states; else this is what answers."""

    def __init__(self, make: Callable[[], Learner], *, states: bool) -> None:
        """`make` gives the learner as it was packed."""
        self._learner = None if states else make()
        self._offset = self._learned = 0
        self.knows = False
        """Whether it was told of a state."""
        self._state = b""
        self._report: dict[str, Any] = {}
        self._watching: list[Door] = []

    def predict(self, batch: Batch) -> Batch:
        """The answers of the newest state. Not where doors answer themselves."""
        if self._learner is None:
            raise TypeError("doors answer by the states that they are sent")
        answer = self._learner.predict(batch)
        return Batch(answer.columns, answer.rows, {"offset": self._offset})

    def follow(self, offset: int, learned: int, state: bytes) -> None:
        """Be this. A state that the learner cannot take leaves it what it was."""
        try:
            if self._learner is not None and state:
                self._learner.restore(state)
        except Exception:  # the wall: a learner may raise anything
            logger.exception("the state that another machine published is not understood here: are libraries the same?")
            return
        self._offset, self._learned, self._state = offset, learned, state
        self.knows = True
        for door in self._watching:
            self._show(door)

    def report(self) -> dict[str, Any]:
        """How learning goes elsewhere, as far as it was told; and how far answers are here."""
        here = {"offset": self._offset, "learned": self._learned, "published": self._offset}
        accepted = max(self._report.get("accepted", 0), self._offset)
        return {"paused": None, **self._report, **here, "accepted": accepted, "behind": accepted - self._offset}

    def told(self, report: dict[str, Any]) -> None:
        """How learning goes elsewhere."""
        self._report = report
        frame = messages.frame(messages.STANDING, 0, body=orjson.dumps(self.report()))
        for door in self._watching:
            _send(door, frame)

    def watch(self, door: Door) -> None:
        """Let it have the newest state, once that is known, and every one from now on."""
        self._watching.append(door)
        if self.knows:
            self._show(door)

    def forget(self, door: Door) -> None:
        """It is gone."""
        self._watching = [other for other in self._watching if other is not door]

    def _show(self, door: Door) -> None:
        told = messages.encode(messages.Progress(self._offset, self._learned))
        _send(door, messages.frame(messages.LEARNED, 0, told, b"" if self._learner is not None else self._state))


def _send(door: Door, frame: bytes) -> None:
    with contextlib.suppress(OSError):  # it is gone, which its own socket will tell
        door.send([frame])
