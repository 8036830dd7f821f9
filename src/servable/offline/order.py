"""Order: what a worker is told to do, and what it reports. JSON lines between two processes: no tensors."""

from __future__ import annotations

import msgspec

from servable.domain.problem import Problem
from servable.engine.plan import Target
from servable.offline.piece import Piece
from servable.stores.tables.generation import KeyKind


class Order(msgspec.Struct, frozen=True):
    """The same for all parts of a job. `folder` is the job's; `output` a folder for Parquet files, empty: none.

    `columns` are those of the input that are read, `shown` those that go into the files (None: all). `features`: names
    for those of the model's only input, where the data alone has any.
    """

    target: Target
    folder: str
    key: str
    key_kind: KeyKind
    columns: tuple[str, ...]
    features: tuple[str, ...] = ()
    output: str = ""
    shown: tuple[str, ...] | None = None
    answers: bool = True
    fallbacks: dict[str, Target] = {}
    """What the model's rules may hand rows over to, by its Ref."""
    environments: str = ""
    """The folder of those that bundles name."""


class Part(msgspec.Struct, frozen=True, tag="part"):
    """One unit of work, and of what is not done twice: consecutive pieces of the input."""

    number: int
    pieces: tuple[Piece, ...]


class Scored(msgspec.Struct, frozen=True, tag="scored"):
    """A part is done, its files are on disk."""

    number: int
    rows: int
    bad: int
    seconds: float
    files: dict[str, int] = {}
    """Path inside the job's or the output's folder, to bytes."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """A part cannot be done, or the model cannot be loaded."""

    problem: Problem


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The model is loaded."""
