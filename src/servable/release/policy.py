"""Whether a canary is rolled back, promoted, or watched on: a pure function of its trial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from servable.domain.terms import Terms
from servable.domain.verdict import Verdict
from servable.engine.stats import BOUNDS_S
from servable.release.seen import MOST_TOLD
from servable.release.trial import Trial
from servable.statistics.guardrail import Guardrail
from servable.statistics.mismatch import VOID, sample_ratio, sample_ratio_always
from servable.statistics.sequential import ENOUGH, proportion_evidence

Action = Literal["watch", "roll back", "promote", "ready"]
"""`ready`: it could be promoted, and somebody is to say so."""


class Decision(NamedTuple):
    """What is to be done, why, and the verdicts that say so: all there are, the first failed one the reason."""

    action: Action
    reason: str
    verdicts: tuple[Verdict, ...]


def decide(trial: Trial, terms: Terms, share: float, lasted_s: float) -> Decision:
    """After a look. `share` is what the Route gives to the canary, `lasted_s` how long it has."""
    verdicts = (_ratio(trial, share), _errors(trial), _latency(trial), *_successes(trial, terms, share))
    bad = next((verdict for verdict in verdicts if not verdict.passed), None)
    if bad is not None:
        return Decision("roll back", f"{bad.check}: {bad.reason}", verdicts)
    lacking = _lacking(trial, terms, share, lasted_s)
    if lacking:
        return Decision("watch", lacking, verdicts)
    reason = f"no worse than version {trial.live} in {trial.of_canary.requests} requests"
    return Decision("promote" if terms.promote else "ready", reason, verdicts)


def _lacking(trial: Trial, terms: Terms, share: float, lasted_s: float) -> str:
    """What a promotion still waits for."""
    counts = [trial.of_live.assigned, trial.of_canary.assigned]
    if trial.of_canary.requests < terms.least_requests:
        return f"{trial.of_canary.requests} of {terms.least_requests} requests"
    if lasted_s < terms.least_s:
        return f"{lasted_s:.0f} of {terms.least_s:.0f} s"
    if trial.harmless.evidence < ENOUGH:
        return f"it may still fail more often by {terms.error_margin:.1%}"
    if any(guard.evidence < ENOUGH for guard in trial.no_slower):
        return f"it may still be slow more often by {terms.slow_margin:.1%}"
    if sample_ratio(counts, [1 - share, share]) < VOID:
        return "the requests are not divided as they should be"
    return _lacking_outcomes(trial, terms, share) if terms.success else ""


def _lacking_outcomes(trial: Trial, terms: Terms, share: float) -> str:
    if not _alike(trial, share):
        return "outcomes are known of other shares of the requests than were given"
    if _difference(trial, terms)[1] <= -terms.success_margin:
        judged = f"{trial.joined.of(trial.canary).judged} and {trial.joined.of(trial.live).judged} outcomes"
        return f"it may still succeed less often by {terms.success_margin:.1%} ({judged})"
    return ""


def _errors(trial: Trial) -> Verdict:
    canary, live = (_share(counts.failed, counts.requests) for counts in (trial.of_canary, trial.of_live))
    told = f"{canary} of its requests failed, {live} of version {trial.live}'s"
    return _guarded("canary errors", [trial.harm], told)


def _latency(trial: Trial) -> Verdict:
    if not trial.slow_buckets:
        return Verdict("canary latency", passed=True, reason="what is slow is not known yet")
    worst = max(range(len(trial.slower)), key=lambda place: trial.slower[place].evidence)
    seen = trial.slower[worst]
    told = (
        f"{_share(*seen.group)} of its answers took longer than {_bound(trial.slow_buckets[worst])}, "
        f"{_share(*seen.reference)} of version {trial.live}'s"
    )
    return _guarded("canary latency", trial.slower, told)


def _guarded(check: str, guards: Sequence[Guardrail], told: str) -> Verdict:
    """By the mean of their evidence, which is evidence again."""
    evidence = sum(guard.evidence for guard in guards) / len(guards)
    sure = evidence >= ENOUGH
    numbers = {"evidence": min(round(evidence, 4), MOST_TOLD), "enough": ENOUGH, "margin": guards[0].margin}
    reason = f"{told}: {'more' if sure else 'not evidently more'} than the margin of {guards[0].margin:.1%}"
    return Verdict(check, passed=not sure, reason=reason, numbers=numbers)


def _ratio(trial: Trial, share: float) -> Verdict:
    """Whether chance alone can have divided the requests as they came; if not, no comparison means anything."""
    counts = [trial.of_live.assigned, trial.of_canary.assigned]
    always = sample_ratio_always(counts, [1 - share, share])
    got = _share(counts[1], sum(counts))
    numbers = {"p": always, "chi_square_p": sample_ratio(counts, [1 - share, share]), "share": share}
    reason = f"{got} of the requests came to it, promised were {share:.1%}"
    return Verdict("canary assignment", passed=always >= VOID, reason=reason, numbers=numbers)


def _successes(trial: Trial, terms: Terms, share: float) -> tuple[Verdict, ...]:
    """By outcomes, where they are waited for; two-sided, and only the wrong side is a fault. A prediction without an
    outcome so far is neither a success nor none: it is not counted.
    """
    if not terms.success:
        return ()
    canary, live = trial.joined.of(trial.canary), trial.joined.of(trial.live)
    if not canary.judged or not live.judged:
        known = f"outcomes are known of {canary.judged} of its answers, {live.judged} of version {trial.live}'s"
        return (Verdict("canary successes", passed=True, reason=known),)
    evidence, low, high = _difference(trial, terms)
    alike = _alike(trial, share)
    worse = alike and evidence > ENOUGH and high < 0
    numbers = {
        "evidence": min(round(evidence, 4), MOST_TOLD), "enough": ENOUGH, "low": low, "high": high,
        "coverage": canary.judged / canary.kept, "live_coverage": live.judged / live.kept,
    }  # fmt: skip
    reason = (
        f"{canary.good / canary.judged:.2%} of {canary.judged} known outcomes are successes, "
        f"{live.good / live.judged:.2%} of {live.judged} of version {trial.live}'s: "
        f"a difference of {low:+.2%} to {high:+.2%}"
    )
    if not alike:
        reason += "; but outcomes are known of other shares of the requests than were given: nothing follows"
    return (Verdict("canary successes", passed=not worse, reason=reason, numbers=numbers),)


def _alike(trial: Trial, share: float) -> bool:
    """Whether outcomes come from both versions alike. Where answering otherwise decides of what an outcome is known
    (of a loan that was refused, none), those that are known say nothing of the rest.
    """
    judged = [trial.joined.of(version).judged for version in (trial.live, trial.canary)]
    return sample_ratio_always(judged, [1 - share, share]) >= VOID


def _difference(trial: Trial, terms: Terms) -> tuple[float, float, float]:
    """Evidence of a difference, and between what it lies."""
    canary, live = trial.joined.of(trial.canary), trial.joined.of(trial.live)
    evidence, interval = proportion_evidence(canary.good, canary.judged, live.good, live.judged, terms.effect)
    if math.isnan(interval.low):
        return evidence, -1.0, 1.0
    return evidence, interval.low, interval.high


def _bound(bucket: int) -> str:
    return f"{1000 * BOUNDS_S[min(bucket, len(BOUNDS_S) - 1)]:g} ms"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "none"
