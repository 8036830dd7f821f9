"""Sequential tests, valid at every look: whoever watches all the time errs no more often than who looks once.

Counts and means in, evidence out, with nothing but the standard library.

Evidence is an e-value: a bet against "there is no difference" that, were it true, would on average win nothing. Under
it, evidence ever reaches 1/α with a probability of at most α (J. Ville, 1939), so 20 is an error of 5 % at the most.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from servable.statistics.interval import LEVEL, UNKNOWN, Interval

ENOUGH: Final = 20.0
"""Evidence at which "no difference" is given up: wrong in 5 % of all comparisons, however often one looks."""
LARGEST: Final = 700.0
"""Of the logarithm of any evidence: beyond it there is no float."""
HALVINGS: Final = 60
"""Of an interval in which a root is looked for: to the last digit of a float."""


def mixture_evidence(difference: float, variance: float, tau: float) -> float:
    """mSPRT: evidence that a difference of means is not zero. `variance` is that of the difference itself, so it falls
    with the samples; `tau` the size of a difference worth finding.

    The likelihood ratio mixed over differences from N(0, tau²). R. Johari, L. Pekelis and D. Walsh, "Always valid
    inference", arXiv 1512.04922, eq. 11.

    >>> round(mixture_evidence(0.02, 2 * 0.11 * 0.89 / 5000, tau=0.02), 1)
    31.3
    """
    if variance <= 0:
        return 1.0
    whole = variance + tau * tau
    log = 0.5 * math.log(variance / whole) + (tau * difference) ** 2 / (2 * variance * whole)
    return math.exp(min(log, LARGEST))


def mixture_sequence(difference: float, variance: float, tau: float, level: float = LEVEL) -> Interval:
    """The differences that `mixture_evidence` has not ruled out: an interval that holds at all looks at once.

    >>> print(mixture_sequence(0.02, 2 * 0.11 * 0.89 / 5000, tau=0.02))
    0.02 [0.0009863, 0.03901]
    """
    if variance <= 0:
        return UNKNOWN
    whole = variance + tau * tau
    reach = math.sqrt(variance * whole / (tau * tau) * (math.log(whole / variance) - 2 * math.log(1 - level)))
    return Interval(difference, difference - reach, difference + reach)


def proportion_evidence(
    first: float, first_trials: int, second: float, second_trials: int, tau: float
) -> tuple[float, Interval]:
    """The same for two proportions: how the first differs from the second, as evidence and as an interval.

    The variance is that of the pooled share for the evidence. Below one success and one failure there is none.

    >>> evidence, difference = proportion_evidence(612, 5000, 504, 5000, tau=0.02)
    >>> evidence > ENOUGH, difference.low > 0
    (True, True)
    """
    if not first_trials or not second_trials:
        return 1.0, UNKNOWN
    pooled = (first + second) / (first_trials + second_trials)
    variance = pooled * (1 - pooled) * (1 / first_trials + 1 / second_trials)
    difference = first / first_trials - second / second_trials
    return mixture_evidence(difference, variance, tau), mixture_sequence(difference, variance, tau)


def proportion_sequence(successes: int, trials: int, level: float = LEVEL) -> Interval:
    """The values of a proportion that are not ruled out, at all looks at once: the beta-binomial confidence sequence.

    Those p for which the evidence of a uniform mixture, B(s+1, f+1) / (p^s (1-p)^f), stays below 1/α. H. Robbins,
    "Statistical methods related to the law of the iterated logarithm", Annals of Mathematical Statistics 41 (1970).

    >>> print(proportion_sequence(10, 100))
    0.1 [0.02884, 0.2283]
    """
    if trials <= 0:
        return UNKNOWN
    failures = trials - successes
    mixed = _log_beta(successes + 1, failures + 1) + math.log(1 - level)

    def ruled_out(share: float) -> bool:
        return mixed > successes * math.log(share) + failures * math.log1p(-share)

    estimate = successes / trials
    low = 0.0 if successes == 0 else _edge(ruled_out, math.ulp(0.0), estimate)
    high = 1.0 if failures == 0 else _edge(ruled_out, 1 - math.ulp(1.0), estimate)
    return Interval(estimate, low, high)


def paired_evidence(only_first: int, only_second: int) -> float:
    """Evidence that of two who judged the same cases one errs more often: from the cases in which just one of them did.

    The sequential McNemar: 2^n B(a+1, b+1), a uniform mixture against a fair coin.

    >>> round(paired_evidence(3, 3), 2), paired_evidence(2, 14) > ENOUGH
    (0.46, True)
    """
    count = only_first + only_second
    log = count * math.log(2) + _log_beta(only_first + 1, only_second + 1)
    return math.exp(min(log, LARGEST))


def margin_evidence(only_first: int, only_second: int, cases: int, margin: float) -> float:
    """Evidence that the first errs at most a share of `margin` more of the cases than the second.

    A bet on each case, averaged over stakes from timid to bold: a mixture of test supermartingales is one.

    >>> margin_evidence(20, 24, 1000, 0.03) > ENOUGH, margin_evidence(80, 40, 1000, 0.03) < 1
    (True, True)
    """
    ties = cases - only_first - only_second
    stakes = (0.05, 0.1, 0.2, 0.4)
    logs = [
        only_first * math.log1p(stake * (margin - 1))
        + only_second * math.log1p(stake * (margin + 1))
        + ties * math.log1p(stake * margin)
        for stake in stakes
    ]
    return sum(math.exp(min(log, LARGEST)) for log in logs) / len(stakes)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _edge(ruled_out: Callable[[float], bool], outside: float, inside: float) -> float:
    """Where, between a share that is ruled out and one that is not, the one becomes the other."""
    if not ruled_out(outside):
        return outside
    for _ in range(HALVINGS):
        middle = (outside + inside) / 2
        if ruled_out(middle):
            outside = middle
        else:
            inside = middle
    return outside
