"""Answered: what the Route gave to whom, and what the caller got: kept until its outcome comes."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from servable.domain.batch import Batch

if TYPE_CHECKING:
    from servable.engine.request import Request
    from servable.engine.serving import Serving


class Answered:
    """Of one request. `version` is the one that was drawn for it, whoever `gave` the answer in its place: to leave such
    requests out would leave out those that are hard for it.
    """

    __slots__ = ("gave", "id", "name", "rows", "start", "time", "unit", "version", "whole")

    def __init__(self, drawn: Serving, unit: str, request: Request, whole: Batch) -> None:
        self.name = drawn.name
        self.version = drawn.version
        self.unit = unit or request.id
        self.id = request.id
        self.time = time()
        self.rows = request.rows
        self.start = request.start
        self.whole = whole
        """The answer to all that shared the call."""
        self.gave = request.by or drawn

    def __len__(self) -> int:
        return self.rows

    @property
    def answer(self) -> Batch:
        """The answer to these rows."""
        return self.whole if self.whole.rows == self.rows else self.whole.slice(self.start, self.start + self.rows)
