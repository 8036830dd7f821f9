"""Joined: what the outcomes of a trial have come to so far, version by version, and how far they have been read."""

from __future__ import annotations

import msgspec


class Tally(msgspec.Struct, frozen=True):
    """Of one version, in units: those that were drawn for it (`kept`), those of which an outcome is known (`judged`),
    and their successes (`good`: of a unit with several, their share).

    A unit is what the draw was for: a request, or whatever its caller calls itself. Rows of one are not many draws.
    """

    kept: int = 0
    judged: int = 0
    good: float = 0.0

    def moved(self, before: Tally, after: Tally) -> Tally:
        """With what was known of some units before, replaced by what is known of them now.

        >>> Tally(9, 5, 3.0).moved(Tally(1, 1, 1.0), Tally(1, 1, 0.0))
        Tally(kept=9, judged=5, good=2.0)
        """
        return Tally(
            self.kept + after.kept - before.kept,
            self.judged + after.judged - before.judged,
            self.good + after.good - before.good,
        )


class Joined(msgspec.Struct, frozen=True):
    """`answers` and `outcomes` are the places up to which both were read; none yet: the beginning."""

    answers: int = 0
    outcomes: int | None = None
    tallies: dict[str, Tally] = {}

    def of(self, version: str) -> Tally:
        """That of a version."""
        return self.tallies.get(version, Tally())
