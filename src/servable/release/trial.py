"""Trial: what is known of a canary so far. It is fed with counts, look after look, and can be written down between two:
whoever goes on with it need not have begun it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from servable.domain.joined import Joined
from servable.domain.terms import Terms
from servable.release.counts import Counts
from servable.statistics.guardrail import Guardrail, Seen

SLOW: Final = (0.1, 0.01)
"""Two shares of the live version's answers that may be called slow: buckets are coarse, and one may hide a change."""
TOLD: Final = 200
"""Answers of the live version from which its latency is known well enough to say what is slow."""


class Trial(msgspec.Struct, frozen=True):
    """`began` names the release that it belongs to (seconds since the epoch): another one, another trial.

    Two guardrails each for errors and slow answers: one that gathers evidence of harm, one that gathers evidence that
    there is none. `slow_buckets` are the buckets of latencies above which an answer is slow, by each of SLOW; found
    once, then kept.
    """

    canary: str
    live: str
    began: float
    harm: Guardrail
    harmless: Guardrail
    slower: tuple[Guardrail, ...]
    no_slower: tuple[Guardrail, ...]
    slow_buckets: tuple[int, ...] = ()
    of_canary: Counts = Counts()
    of_live: Counts = Counts()
    seen_canary: Counts = Counts()
    """What the doors had counted at the last look."""
    seen_live: Counts = Counts()
    joined: Joined = Joined()
    """What outcomes tell, where they are waited for."""
    looks: int = 0

    @staticmethod
    def begin(canary: str, live: str, began: float, terms: Terms) -> Trial:
        """Before the first look."""
        return Trial(
            canary, live, began,
            Guardrail(terms.error_margin), Guardrail(terms.error_margin, worse=False),
            (Guardrail(terms.slow_margin),) * len(SLOW), (Guardrail(terms.slow_margin, worse=False),) * len(SLOW),
        )  # fmt: skip

    def look(self, canary: Counts, live: Counts, joined: Joined | None = None) -> Trial:
        """After another look at what the doors have counted, and at outcomes. The first only tells where counting
        begins.
        """
        joined = self.joined if joined is None else joined
        if self.looks == 0:
            return msgspec.structs.replace(self, seen_canary=canary, seen_live=live, joined=joined, looks=1)
        own, other = canary.since(self.seen_canary), live.since(self.seen_live)
        of_live = self.of_live.plus(other)
        buckets, slower, no_slower = self.slow_buckets, self.slower, self.no_slower
        if buckets:
            pairs = [(_slow(own, bucket), _slow(other, bucket)) for bucket in buckets]
            slower, no_slower = (
                tuple(guard.look(*pair) for guard, pair in zip(guards, pairs, strict=True))
                for guards in (slower, no_slower)
            )
        elif sum(of_live.buckets) >= TOLD:
            buckets = tuple(slow_bucket(of_live.buckets, share) for share in SLOW)
        pair = Seen(own.failed, own.requests), Seen(other.failed, other.requests)
        return msgspec.structs.replace(
            self, harm=self.harm.look(*pair), harmless=self.harmless.look(*pair), slower=slower, no_slower=no_slower,
            slow_buckets=buckets, of_canary=self.of_canary.plus(own), of_live=of_live,
            seen_canary=canary, seen_live=live, joined=joined, looks=self.looks + 1,
        )  # fmt: skip


def slow_bucket(buckets: tuple[int, ...], share: float) -> int:
    """The lowest bucket above which at most this share of all answers lie.

    >>> slow_bucket((0, 900, 95, 5, 0), 0.01), slow_bucket((0, 900, 95, 5, 0), 0.1)
    (2, 1)
    """
    total, above = sum(buckets), sum(buckets)
    for bucket, count in enumerate(buckets):
        above -= count
        if above <= share * total:
            return bucket
    return len(buckets) - 1


def _slow(counts: Counts, bucket: int) -> Seen:
    return Seen(counts.slow(bucket), sum(counts.buckets))
