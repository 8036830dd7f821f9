"""Evaluation: what other ways to choose would have earned, from the journal of a bandit.

The first half of its examples teaches: the bandits that are compared, and the model of rewards that makes an estimate
doubly robust. The second half judges; nobody has learned from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from servable.domain.batch import Array, Batch
from servable.errors import UsageError
from servable.online.event import Examples, array, batch_of
from servable.online.journal import read
from servable.online.learners.bandit import PROPENSITY, Bandit
from servable.statistics.interval import UNKNOWN, Interval
from servable.statistics.offpolicy import doubly_robust, ips, snips, support, weights

LEAST: Final = 50
"""Examples in a half, below which nothing is told."""


class Log(NamedTuple):
    """Contexts with the action of each row and its propensity; what it brought. In the order of the journal."""

    batch: Batch
    rewards: Array


class Value(NamedTuple):
    """What a way to choose is worth an example, by three estimates; `worth` is how many rows they rest on."""

    policy: str
    ips: Interval
    snips: Interval
    doubly_robust: Interval
    worth: float


def log_of(journal: Path) -> tuple[Log, int]:
    """The examples of a journal, each with its last reward; and how many were left out: their propensity is not known.

    Raises UsageError where there are too few.
    """
    last: dict[str, tuple[int, Batch, float]] = {}
    for entry in read(journal):
        if not isinstance(entry.event, Examples):
            continue
        batch, rewards = batch_of(entry.event.columns), array(entry.event.outcomes).astype(np.float64)
        for row, (key, version) in enumerate(zip(entry.event.ids, entry.event.versions, strict=True)):
            if key not in last or version > last[key][0]:
                last[key] = version, batch.slice(row, row + 1), float(rewards[row])
    known = [(row, reward) for _, row, reward in last.values() if row[PROPENSITY.name].reshape(-1)[0] > 0.0]
    if len(known) < 2 * LEAST:
        raise UsageError(
            f"{len(known)} examples have a reward and a propensity: expected {2 * LEAST} or more; ask the bandit, and "
            "tell it the rewards by the ids of its answers"
        )
    return Log(Batch.join([row for row, _ in known]), np.array([reward for _, reward in known])), len(last) - len(known)


def evaluate(log: Log, judge: Bandit, others: Mapping[str, Bandit]) -> list[Value]:
    """The value of what was done, of any action by chance, of each action always, and of other bandits as they are
    after the first half. `judge` is the model of rewards. None of the bandits has learned anything yet.
    """
    half = len(log.rewards) // 2
    past, rest = log.batch.slice(0, half), log.batch.slice(half, log.batch.rows)
    for bandit in {id(bandit): bandit for bandit in (judge, *others.values())}.values():
        bandit.learn(past, log.rewards[:half])
    rewards = log.rewards[half:]
    taken = judge.places(rest)
    expected = judge.expected(rest)
    count, rows = len(judge.actions), np.arange(rest.rows)
    mean = ips(np.ones(len(rewards)), rewards)
    values = [Value("as it was", mean, mean, UNKNOWN, float(len(rewards)))]
    for name, shares in _policies(rest, judge, count, others):
        weight = weights(shares[rows, taken], rest[PROPENSITY.name].reshape(-1))
        told = doubly_robust(weight, rewards, expected[rows, taken], (shares * expected).sum(axis=1))
        values.append(Value(name, ips(weight, rewards), snips(weight, rewards), told, support(weight)))
    return values


def _policies(rest: Batch, judge: Bandit, count: int, others: Mapping[str, Bandit]) -> Iterable[tuple[str, Array]]:
    """The probabilities of all actions, for each row, by each way to choose."""
    yield "any, by chance", np.full((rest.rows, count), 1.0 / count)
    for place, action in enumerate(judge.actions):
        yield f"always {action}", np.tile(np.eye(count)[place], (rest.rows, 1))
    for name, bandit in others.items():
        if bandit.actions != judge.actions:
            raise UsageError(f"{name} chooses among {bandit.actions}: expected the same actions, {judge.actions}")
        yield name, bandit.predict(rest)["propensities"]
