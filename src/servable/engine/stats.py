"""Stats: what one loaded version has done, as plain integers. Written on the event loop only; read by whoever
reports.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from time import time
from typing import TYPE_CHECKING, Any, Final

from servable.domain.rule import Fired

if TYPE_CHECKING:
    from servable.engine.request import Request

NS: Final = 1_000_000_000
BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets for seconds a request took; one more bucket holds the rest."""


COUNTED: Final = (
    "batch_sizes", "buckets", "cancelled", "circuit_opened", "compute_ns", "executions", "failure", "input_ns",
    "last_ms", "output_ns", "pending", "prompt_tokens", "queue_ns", "request_ns", "rows", "rules", "success", "tokens",
)  # fmt: skip


class Stats:
    """Counters of one version. Times are sums in nanoseconds; `queue_ns` and `request_ns` count each request,
    `compute_ns` each model call once.
    """

    __slots__ = (*COUNTED, "on_failed")

    def __init__(self) -> None:
        self.success = 0
        self.failure: dict[str, int] = {}
        self.cancelled = 0
        self.circuit_opened = 0
        self.rows = 0
        self.executions = 0
        self.queue_ns = 0
        self.input_ns = 0
        self.compute_ns = 0
        self.output_ns = 0
        self.request_ns = 0
        self.pending = 0
        self.last_ms = 0
        self.prompt_tokens = 0
        self.tokens = 0
        self.rules: dict[str, int] = {}
        """Rows where a rule fired, by `NAME ACTION SEVERITY`."""
        self.batch_sizes: dict[int, tuple[int, int]] = {}
        self.buckets = [0] * (len(BOUNDS_S) + 1)
        self.on_failed: Callable[[str], None] | None = None
        """Told the code of each failure."""

    def executed(self, rows: int, compute_s: float) -> None:
        """One model call. Batch sizes are kept exactly up to 16 rows, above that by the next power of two."""
        ns = int(compute_s * NS)
        self.executions += 1
        self.compute_ns += ns
        size = rows if rows <= 16 else 1 << (rows - 1).bit_length()
        count, total = self.batch_sizes.get(size, (0, 0))
        self.batch_sizes[size] = (count + 1, total + ns)

    def answered(self, rows: int, queue_s: float, request_s: float) -> None:
        """One request with its answer."""
        self.success += 1
        self.rows += rows
        self.queue_ns += int(queue_s * NS)
        self.request_ns += int(request_s * NS)
        self.buckets[bisect_left(BOUNDS_S, request_s)] += 1
        self.last_ms = int(time() * 1000)

    def answered_together(self, requests: Sequence[Request], started: float, ended: float) -> None:
        """The same for all that shared a call, which ran between these moments of `time.monotonic()`."""
        buckets = self.buckets
        arrived_s = 0.0
        rows = 0
        for request in requests:
            arrived = request.arrived
            arrived_s += arrived
            rows += request.rows
            buckets[bisect_left(BOUNDS_S, ended - arrived)] += 1
        count = len(requests)
        self.success += count
        self.rows += rows
        self.queue_ns += int((started * count - arrived_s) * NS)
        self.request_ns += int((ended * count - arrived_s) * NS)
        self.last_ms = int(time() * 1000)

    def failed(self, code: str) -> None:
        """One request without: refused, expired, or failed by the model."""
        self.failure[code] = self.failure.get(code, 0) + 1
        if self.on_failed is not None:
            self.on_failed(code)

    def withdraw(self) -> None:
        """An answer that was counted is no answer after all: a rule keeps it back, or a fallback failed."""
        self.success -= 1

    def fired(self, fired: Fired) -> None:
        """A rule, over some rows of a request."""
        rule = fired.rule
        key = f"{rule.name} {rule.action} {rule.severity}"
        self.rules[key] = self.rules.get(key, 0) + len(fired.rows)

    def snapshot(self) -> dict[str, Any]:
        """All of it as plain values, for another process."""
        return {name: getattr(self, name) for name in COUNTED} | {
            "failure": dict(self.failure),
            "rules": dict(self.rules),
            "batch_sizes": {str(size): list(pair) for size, pair in self.batch_sizes.items()},
            "buckets": list(self.buckets),
        }
