"""Guardrail: whether one group meets with something bad (errors, slow answers) more often than another; always valid.

It is fed with the counts of each look, forgets them, and can be written down between two looks. Standard library only.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from servable.statistics.sequential import LARGEST

STEPS: Final = (0.35, 0.7, 1.4, 2.8, 5.6)
"""How far from the margin the bets are placed, in log odds: from half as often again to nearly always."""
TOLD: Final = 20
"""Trials of the reference group before the first bet: how often it meets the bad thing must be known roughly."""
TINY: Final = 1e-9
ROUNDS: Final = 50


class Seen(NamedTuple):
    """Of so many trials, so many were bad."""

    bad: int = 0
    trials: int = 0

    def __add__(self, more: Seen) -> Seen:  # type: ignore[override]  # a sum of counts, not of tuples
        return Seen(self.bad + more.bad, self.trials + more.trials)


class Guardrail(NamedTuple):
    """Evidence that a group is worse than a reference by more than `margin`; or, with `worse` false, that it is not
    worse by as much.

    `margin` is a difference of shares. Each bet multiplies its stake by the likelihood ratio of a look's counts under a
    pair of shares beyond the margin, against the nearest pair on the margin; the pair is chosen before the look, so the
    evidence is an e-process, and the mean of several is one too. The nearest pair is the one of least relative entropy,
    which is why no pair on the other side wins on average either. R. Turner, A. Ly and P. Grünwald, "Generic
    E-variables for exact sequential k-sample tests", arXiv 2106.02693.

    >>> guard = Guardrail(margin=0.01)
    >>> for _ in range(10):
    ...     guard = guard.look(Seen(5, 50), Seen(10, 950))
    >>> guard.evidence > 1000
    True
    """

    margin: float
    worse: bool = True
    logs: tuple[float, ...] = (0.0,) * len(STEPS)
    group: Seen = Seen()
    reference: Seen = Seen()

    @property
    def evidence(self) -> float:
        """20 and more: an error of 5 % at the most."""
        return sum(math.exp(min(log, LARGEST)) for log in self.logs) / len(self.logs)

    def look(self, group: Seen, reference: Seen) -> Guardrail:
        """After these further counts, of both groups over the same time."""
        logs = self.logs
        if self.reference.trials >= TOLD and (group.trials or reference.trials):
            logs = tuple(
                log + self._won(step if self.worse else -step, group, reference)
                for log, step in zip(logs, STEPS, strict=True)
            )
        return self._replace(logs=logs, group=self.group + group, reference=self.reference + reference)

    def _won(self, step: float, group: Seen, reference: Seen) -> float:
        """The logarithm of what a bet on this step multiplies its stake by."""
        usual = (self.reference.bad + 0.5) / (self.reference.trials + 1)
        bet = _moved(min(usual + self.margin, 1 - TINY), step)
        near = _nearest(bet, usual, self.margin, group.trials, reference.trials)
        return _log_ratio(group, bet, near + self.margin) + _log_ratio(reference, usual, near)


def _moved(share: float, step: float) -> float:
    return 1 / (1 + math.exp(-math.log(share / (1 - share)) - step))


def _log_ratio(seen: Seen, share: float, null: float) -> float:
    good = seen.trials - seen.bad
    return seen.bad * math.log(share / null) + good * math.log((1 - share) / (1 - null))


def _nearest(bet: float, usual: float, margin: float, trials: int, reference_trials: int) -> float:
    """The reference's share q for which (q + margin, q) is nearest to (bet, usual), weighed by the trials.

    Where the derivative of the relative entropy is zero: it rises from one end of the bracket to the other.
    """

    def slope(share: float) -> float:
        other = share + margin
        return trials * (other - bet) / (other * (1 - other)) + reference_trials * (share - usual) / (
            share * (1 - share)
        )

    low, high = sorted((usual, bet - margin))
    low, high = max(low, TINY), min(high, 1 - margin - TINY)
    below, above = slope(low), slope(high)
    if below >= 0 or above <= 0:  # no trials on one side: the nearest pair lies at an end
        return low if below >= 0 else high
    share = low
    for _ in range(ROUNDS):  # false position, where the end that stays loses half its weight (Illinois)
        if high - low < TINY * low:
            break
        share = (low * above - high * below) / (above - below)
        rise = slope(share)
        if abs(rise) < TINY:
            break
        if rise < 0:
            low, below, above = share, rise, above / 2
        else:
            high, above, below = share, rise, below / 2
    return share
