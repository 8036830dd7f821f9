"""Which device the settings give to a model. Pure; called where a Plan is made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from servable.domain.ref import NAME
from servable.errors import UsageError

DEVICE: Final = re.compile(r"[a-z]+(:[0-9]+)?")
OTHERS: Final = ""
"""Stands for all models that are not named."""


def devices_of(words: Sequence[str]) -> dict[str, str]:
    """The setting `devices` as a table. Raises UsageError.

    >>> devices_of(["churn=cuda:0", "cuda:1"])
    {'churn': 'cuda:0', '': 'cuda:1'}
    """
    table: dict[str, str] = {}
    for word in words:
        name, equals, device = word.rpartition("=")
        if not DEVICE.fullmatch(device) or (equals and not NAME.fullmatch(name)):
            raise UsageError(f"setting 'devices': expected NAME=DEVICE, as churn=cuda:0, or cuda:0 alone; got {word!r}")
        if name in table:
            raise UsageError(f"setting 'devices': two devices for {name or 'all that are not named'}")
        table[name] = device
    return table


def device_of(table: dict[str, str], name: str) -> str:
    """The device of a model.

    >>> device_of({"churn": "cuda:0"}, "iris")
    'cpu'
    """
    return table.get(name) or table.get(OTHERS, "cpu")
