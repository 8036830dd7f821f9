"""Answered: what the Route gave to whom, and what the caller got: kept until its outcome comes."""

from __future__ import annotations

from time import time

from servable.domain.batch import Batch
from servable.engine.request import Answering, Request


class Answered:
    """Of one request. `version` is the one that was drawn for it, whoever `gave` the answer in its place: to leave such
    requests out would leave out those that are hard for it.
    """

    __slots__ = ("gave", "id", "name", "rows", "start", "time", "unit", "version", "whole")

    def __init__(self, drawn: Answering, unit: str, id: str, request: Request | None = None) -> None:
        """Of a `request` that is answered, or of a text, whose outcome alone tells what it was worth."""
        self.name = drawn.name
        self.version = drawn.version
        self.unit = unit or id
        self.id = id
        self.time = time()
        self.rows = 1 if request is None else request.rows
        self.start = 0 if request is None else request.start
        self.whole = None if request is None else request.answer
        """The answer to all that shared the call; of a text it is not kept."""
        self.gave = drawn if request is None or request.by is None else request.by

    def __len__(self) -> int:
        return self.rows

    @property
    def answer(self) -> Batch | None:
        """The answer to these rows."""
        if self.whole is None or self.whole.rows == self.rows:
            return self.whole
        return self.whole.slice(self.start, self.start + self.rows)
