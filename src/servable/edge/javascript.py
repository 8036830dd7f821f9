"""Values as `JSON.stringify` writes them: what a device is asked must be what a page would send."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

EXACT: Final = 2**53


def as_javascript(row: dict[str, Any]) -> dict[str, Any]:
    """A row: whole floats without a point, no NaN."""
    return {name: plain(value) for name, value in row.items()}


def plain(value: Any) -> Any:
    """A value as JSON.stringify writes it: whole floats without a point, no NaN."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < EXACT else value
    return value
