"""Which generations of a table stay, and which one comes back. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def surplus(numbers: Sequence[int], live: int | None, keep: int) -> list[int]:
    """The generations to drop so that `keep` are left, the newest and always the live one.

    >>> surplus([1, 2, 3, 4], live=4, keep=2)
    [1, 2]
    >>> surplus([1, 2, 3, 4], live=1, keep=2)
    [2, 3]
    """
    others = sorted(number for number in numbers if number != live)
    room = max(keep, 1) - (1 if live in numbers else 0)
    return others[: len(others) - room] if room else others


def previous(numbers: Sequence[int], live: int) -> int | None:
    """The generation before the live one: what a roll-back goes to.

    >>> previous([1, 3, 4], live=4)
    3
    """
    return max((number for number in numbers if number < live), default=None)
