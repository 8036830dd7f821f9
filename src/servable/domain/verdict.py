"""Verdict: the answer of any check, so there is one table, one page and one alert path for all of them."""

from __future__ import annotations

from typing import Any

import msgspec


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """`passed`, the numbers it rests on, the reason in one sentence, and evidence (rows, paths) for whoever doubts
    it.
    """

    check: str
    passed: bool
    reason: str
    numbers: dict[str, float] = {}
    evidence: dict[str, Any] = {}

    def __str__(self) -> str:
        return f"{'passed' if self.passed else 'FAILED'}  {self.check}: {self.reason}"
