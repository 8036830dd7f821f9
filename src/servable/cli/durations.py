"""Lengths of time as people write them: `90s`, `15m`, `36h`, `7d`."""

from __future__ import annotations

import re
from typing import Final

from servable.errors import UsageError

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def seconds(text: str, option: str) -> float:
    """How many seconds that is. Raises UsageError that names the option.

    >>> seconds("36h", "--fresh")
    129600.0
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip())
    if found is None:
        raise UsageError(f"{option}: expected a length of time such as 90s, 15m, 36h or 7d, got {text!r:.80}")
    return float(found[1]) * UNITS[found[2]]
