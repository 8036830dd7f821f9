"""Join: answers with their outcomes, as far as both have come: what changed since the last time, and no more.

Labels come late, out of order, twice, and are corrected. So what is known of each unit that something new concerns is
taken back and put anew: in whatever order they came, the same outcomes lead to the same tallies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from servable.domain.joined import Joined, Tally
from servable.domain.outcome import standing
from servable.domain.success import Success, succeeded
from servable.monitoring.kept import Kept, Told
from servable.monitoring.outcomes import Outcomes

MOST: Final = 2000
"""Answers, and outcomes, that are looked at together."""


class Trial(NamedTuple):
    """What is joined: the answers to a name since a moment, and what a success is."""

    name: str
    since: float
    success: Success


def join(store: Outcomes, trial: Trial, before: Joined) -> Joined:
    """With all that has come since. Raises EnvironmentFault."""
    if before.outcomes is None:
        store.forget(trial.name, trial.since)
        before = msgspec.structs.replace(before, outcomes=store.last())
    while True:
        assert before.outcomes is not None  # noqa: S101 - it was put there
        answers = store.answers_after(trial.name, before.answers, trial.since, MOST)
        outcomes = store.outcomes_after(trial.name, before.outcomes, MOST)
        if not answers and not outcomes:
            return before
        upto = (
            answers[-1].seq if answers else before.answers,
            outcomes[-1].seq if outcomes else before.outcomes,
        )
        before = _step(store, trial, before, upto, (answers, outcomes))


def _step(
    store: Outcomes, trial: Trial, before: Joined, upto: tuple[int, int], news: tuple[list[Kept], list[Told]]
) -> Joined:
    """One portion of news, with all else that is known of the units it concerns."""
    answers, outcomes = news
    met = store.answers_of(trial.name, trial.since, ids=sorted({told.outcome.id for told in outcomes}))
    units = sorted({kept.unit for kept in [*answers, *met]})
    whole = store.answers_of(trial.name, trial.since, units=units) if units else []
    told = store.outcomes_of(trial.name, sorted({kept.id for kept in whole}))
    was = tally(whole, told, trial.success, (before.answers, before.outcomes or 0))
    now = tally(whole, told, trial.success, upto)
    tallies = dict(before.tallies)
    for version in was.keys() | now.keys():
        known = tallies.get(version, Tally())
        tallies[version] = known.moved(was.get(version, Tally()), now.get(version, Tally()))
    return Joined(*upto, tallies)


def tally(
    answers: Sequence[Kept], outcomes: Sequence[Told], success: Success, upto: tuple[int, int]
) -> Mapping[str, Tally]:
    """By version, of the answers and outcomes up to these places. An id that was answered twice counts once.

    Of a unit with several outcomes it is the share of successes: between 0 and 1 it spreads no more than a success that
    is drawn with that chance, so tests of proportions remain valid, and are cautious.
    """
    told = defaultdict(list)
    for one in sorted(outcomes):
        if one.seq <= upto[1]:
            told[one.outcome.id].append(one.outcome)
    units: dict[tuple[str, str], dict[str, bool | None]] = {}
    for kept in sorted(answers, key=lambda kept: kept.seq):
        if kept.seq <= upto[0]:
            outcome = standing(told[kept.id]) if kept.id in told else None
            good = None if outcome is None else succeeded(success, kept.said, outcome.outcome)
            units.setdefault((kept.version, kept.unit), {}).setdefault(kept.id, good)
    tallies: dict[str, Tally] = {}
    for (version, _), known in units.items():
        judged = [good for good in known.values() if good is not None]
        before = tallies.get(version, Tally())
        tallies[version] = Tally(
            before.kept + 1,
            before.judged + bool(judged),
            before.good + (sum(judged) / len(judged) if judged else 0.0),
        )
    return tallies
