"""Calibration: what rules learned from data at packing. A small file of the bundle, JSON, numbers only."""

from __future__ import annotations

from typing import Final

import msgspec

from servable.rules.conformal import FittedInterval
from servable.rules.distance import FittedDistance

CALIBRATION: Final = "calibration.json"
"""The file's name in a bundle that this program packs."""


class Calibration(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Distances by the name of their rule, intervals and sets by the output that they stand around."""

    distances: dict[str, FittedDistance] = {}
    intervals: dict[str, FittedInterval] = {}


def calibration_bytes(calibration: Calibration) -> bytes:
    """The file's content. Equal calibrations give equal bytes."""
    return msgspec.json.encode(calibration) + b"\n"


def read_calibration(data: bytes) -> Calibration:
    """Read it back. Raises ValueError."""
    return msgspec.json.decode(data, type=Calibration)
