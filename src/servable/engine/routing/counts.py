"""What a Route has done in one door, as plain integers: whom it chose, who answered instead, how shadows compare."""

from __future__ import annotations

from typing import Any

import msgspec

from servable.engine.routing.comparison import Comparison


class ShadowCounts(msgspec.Struct):
    """Of one shadow. Requests: `compared`, `dropped` for want of time, `failed` where the original was answered, and
    `rescued` where it was not. Rows: `rows` that were compared, those that `agreed`.
    """

    compared: int = 0
    rows: int = 0
    agreed: int = 0
    failed: int = 0
    rescued: int = 0
    dropped: int = 0
    largest: float = 0.0

    def add(self, comparison: Comparison) -> None:
        """One request, compared."""
        self.compared += 1
        self.rows += comparison.rows
        self.agreed += comparison.agreed
        self.largest = max(self.largest, comparison.largest)


class RouteCounts(msgspec.Struct):
    """Of one name. `assigned` counts the requests that the Route gave to each version, where each was drawn for itself:
    those whose callers named a unit are left out, as one caller's are not many draws.
    """

    assigned: dict[str, int] = {}
    fallbacks: dict[str, int] = {}
    """Answers given instead of a version's own, by `version code`: why."""
    shadows: dict[str, ShadowCounts] = {}

    def snapshot(self) -> dict[str, Any]:
        """All of it as plain values, for another process."""
        told: dict[str, Any] = msgspec.to_builtins(self)
        return told
