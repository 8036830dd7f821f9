"""Inquiry: what a request of the Open Inference Protocol asks, once its bytes are read."""

from __future__ import annotations

from typing import Final, NamedTuple

from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.wire.options import Options

NO_OPTIONS: Final = Options()


class Wanted(NamedTuple):
    """One output of an answer: which, as binary or JSON, and whether as the k highest classes."""

    field: Field
    binary: bool = False
    classes: int = 0


class Inquiry(NamedTuple):
    """A decoded request. `wanted` is None for all outputs as JSON; `by_rows`: asked in rows, to be answered in rows."""

    batch: Batch
    options: Options
    wanted: tuple[Wanted, ...] | None = None
    by_rows: bool = False
