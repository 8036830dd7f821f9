"""Kept: an answer to one row, whose outcome is waited for. Told: an outcome that came. Each with its place."""

from __future__ import annotations

from typing import NamedTuple

from servable.domain.outcome import Outcome
from servable.domain.success import Said


class Kept(NamedTuple):
    """`version` is the one that was drawn for the `unit`; `time` in seconds since the epoch; `seq` its place."""

    version: str
    unit: str
    id: str
    said: Said
    time: float
    seq: int = 0


class Told(NamedTuple):
    """`seq` is its place among all outcomes."""

    seq: int
    outcome: Outcome
