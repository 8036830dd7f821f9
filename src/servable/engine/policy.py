"""The engine's decisions, as pure functions of what is known: no clock, no queue, no model.

Which batch to cut, where to run it, whom to refuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

KEEPS_RISING: Final = 1.10
"""A larger batch must bring at least this many times the rows per second, or the cap stays where it is."""
CALL_S: Final = 30e-6
"""What a call costs a lane beside the model: requests are joined, looked at, split, counted. Where a model is so quick
that this matters, a larger batch saves it, and the cap must not hang on whether a call took 110 or 120 µs that once.
"""
LARGEST: Final = 1024
"""Rows in one call at the most, where the curve was still rising at its end."""
FASTER: Final = 0.2
SLOWER: Final = 0.01
"""How far the curve follows a call that was faster, or slower, than it said. Noise (another process had the core, the
interpreter's lock was elsewhere) only ever adds time, so good news counts for more: a model that has truly become
slower is slower every time, and is believed after some hundred calls."""


class CostCurve:
    """Seconds of a call against its rows: measured points, linear between them, by the row beyond the last.

    >>> curve = CostCurve([(1, 0.010), (8, 0.017)])
    >>> round(curve.seconds(4), 4)
    0.013
    """

    __slots__ = ("points", "scale")

    def __init__(self, points: Sequence[tuple[int, float]]) -> None:
        self.points = list(points)
        self.scale = 1.0

    def seconds(self, rows: int) -> float:
        """The expected duration of a call with this many rows."""
        points = self.points
        low_rows, low_s = points[0]
        if rows <= low_rows:
            return low_s * self.scale
        for high_rows, high_s in points[1:]:
            if rows <= high_rows:
                share = (rows - low_rows) / (high_rows - low_rows)
                return (low_s + share * (high_s - low_s)) * self.scale
            low_rows, low_s = high_rows, high_s
        return low_s * self.scale * rows / low_rows

    def observe(self, rows: int, seconds: float) -> None:
        """A call took this long: the whole curve follows, slowly, one step counting for twice the time at the most."""
        ratio = min(seconds / self.seconds(rows), 2.0)
        self.scale *= 1 + (ratio - 1) * (FASTER if ratio < 1 else SLOWER)


def cap_of(curve: CostCurve, *, batched: bool) -> int:
    """Rows in a batch, at the most: where rows per second stop rising. For convolutional networks that is often 1, for
    small trees there is no end to it.

    >>> cap_of(CostCurve([(1, 0.002), (8, 0.016), (32, 0.064)]), batched=True)
    1
    >>> cap_of(CostCurve([(1, 0.002), (8, 0.004), (32, 0.015)]), batched=True)
    8
    >>> cap_of(CostCurve([(1, 7e-6), (8, 13e-6), (32, 33e-6), (128, 130e-6)]), batched=True)
    1024
    """
    if not batched:
        return 1
    best_rows, best_s = curve.points[0]
    for rows, seconds in curve.points[1:]:
        if rows / (seconds + CALL_S) >= KEEPS_RISING * best_rows / (best_s + CALL_S):
            best_rows, best_s = rows, seconds
    return LARGEST if best_rows == curve.points[-1][0] and len(curve.points) > 1 else best_rows


class Refusal(NamedTuple):
    """Why a request is not let in, and when to come back."""

    reason: str
    retry_after_s: float


class Crowd(NamedTuple):
    """Who is there already: requests and rows that wait, and how long the call that runs now will still take."""

    waiting: int
    rows: int
    busy_s: float


def admit(crowd: Crowd, max_waiting: int, rows: int, left_s: float, cap: int, curve: CostCurve) -> Refusal | None:
    """Whether a request may wait: a place in the queue, and a fair chance to be answered in the time it has left.

    `left_s`: until the deadline, infinite for none.
    A wait that is expected to be longer than the time left is refused at once, while the caller can still go elsewhere.
    An idle model is always tried: an estimate that is wrong must be able to learn so.
    """
    wait = wait_s(crowd.rows, cap, curve)
    if crowd.waiting >= max_waiting:
        return Refusal(f"{crowd.waiting} requests wait already, and no more may", max(wait, 0.05))
    expected = crowd.busy_s + wait + curve.seconds(min(rows, cap))
    if expected > left_s and (crowd.waiting or crowd.busy_s > 0.0):
        return Refusal(f"its {left_s:.3f} s would run out: the wait alone is about {expected:.3f} s", expected - left_s)
    return None


def wait_s(rows_waiting: int, cap: int, curve: CostCurve) -> float:
    """How long the rows that wait will keep the model busy, in full batches and a rest."""
    full, rest = divmod(rows_waiting, cap)
    return full * curve.seconds(cap) + (curve.seconds(rest) if rest else 0.0)
