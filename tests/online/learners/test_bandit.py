"""Bandits: LinUCB against its formulas, Thompson's probabilities against draws, all better than chance on digits."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.errors import IncompatibleModel, InvalidInput, UsageError
from servable.online.evaluation import Log, evaluate
from servable.online.guards.guarded import Guarded
from servable.online.kept import answered
from servable.online.learners import choice
from servable.online.learners.bandit import Bandit, Options, signature

DIGITS = load_digits(return_X_y=True)
X, Y = DIGITS[0] / 16.0, DIGITS[1]
ACTIONS = [str(digit) for digit in range(10)]


def bandit(policy: str, width: int = 64, actions: list[str] | None = None, **options: float) -> Bandit:
    chosen = actions or ACTIONS
    context = (Field("x", "FP64", (-1, width)),)
    return Bandit(policy, signature(context, chosen), chosen, Options(**options))


def asked(x: Array, first: int = 0) -> Batch:
    rows = len(x)
    ids = np.array([f"request {first + row}" for row in range(rows)], object)
    return Batch({"x": x, "action": np.full(rows, None, object), "propensity": np.full(rows, np.nan), "id": ids})


def play(learner: Bandit | Guarded, burst: slice = slice(0, 0), rows: int = len(X)) -> tuple[Array, list[Batch]]:
    """The rewards of recognising digits, one by one, and what is kept of each; in a burst they are told wrong."""
    rewards, kept = np.zeros(rows), []
    turned = set(range(rows)[burst])
    for row in range(rows):
        at = row % len(X)
        question = asked(X[at : at + 1], row)
        answer = learner.predict(question)
        rewards[row] = answer["action"][0] == str(Y[at])
        kept.append(answered(question, answer))
        learner.learn(kept[-1], np.array([1.0 - rewards[row] if row in turned else rewards[row]]))
    return rewards, kept


def test_linucb_is_the_algorithm_of_the_paper() -> None:
    """Algorithm 1, by solving for each arm anew; long enough for the inverses to be computed anew, too."""
    random = np.random.default_rng(7)
    actions = ["a", "b", "c"]
    learner = bandit("linucb", 4, actions, alpha=0.7, ridge=2.0)
    truth = random.normal(size=(3, 5))
    moments, sums = [2.0 * np.eye(5) for _ in actions], [np.zeros(5) for _ in actions]
    for row in range(1800):
        x = random.normal(size=(1, 4))
        context = np.concatenate([[1.0], x[0]])
        means = [np.linalg.solve(a, b) @ context for a, b in zip(moments, sums, strict=True)]
        widths = [np.sqrt(context @ np.linalg.solve(a, context)) for a in moments]
        upper = np.array(means) + 0.7 * np.array(widths)
        answer = learner.predict(asked(x, row))
        best = np.flatnonzero(np.isclose(upper, upper.max(), rtol=1e-9))
        assert answer["action"][0] in {actions[place] for place in best}
        np.testing.assert_allclose(answer["propensities"][0, best], 1.0 / len(best))
        chosen = actions.index(answer["action"][0])
        np.testing.assert_allclose(answer["reward"][0], means[chosen], atol=1e-9)
        # A third of the arms would never be tried where LinUCB is right about them: somebody else chooses now and then.
        chosen = row % 3 if row % 5 == 0 else chosen
        reward = truth[chosen] @ context + random.normal() * 0.1
        told = {"action": np.array([actions[chosen]], object), "propensity": np.array([np.nan])}
        learner.learn(Batch({**asked(x).columns, **told}), np.array([reward]))
        moments[chosen] += np.outer(context, context)
        sums[chosen] += reward * context
    np.testing.assert_allclose(learner.parameters().reshape(3, 5), truth, atol=0.05)


def test_thompson_takes_each_action_as_often_as_it_is_drawn_best() -> None:
    random = np.random.default_rng(3)
    for means, widths in [
        ([0.1, 0.2, 0.4], [0.3, 0.1, 0.2]),
        ([0.0, 0.0, 0.0], [1.0, 0.01, 3.0]),
        ([0.5, 0.1, 0.49], [0.02, 0.02, 0.02]),
    ]:
        drawn = random.normal(means, widths, size=(200_000, 3)).argmax(axis=1)
        shares = choice.sampled(np.array(means), np.array(widths))
        np.testing.assert_allclose(shares, np.bincount(drawn, minlength=3) / 200_000, atol=0.005)


def test_what_is_drawn_is_a_function_of_the_id_and_the_seed_and_as_frequent_as_it_says() -> None:
    shares = np.array([0.05, 0.7, 0.0, 0.25])
    drawn = [choice.draw(shares, f"request {number}", 0) for number in range(20_000)]
    assert drawn == [choice.draw(shares, f"request {number}", 0) for number in range(20_000)]
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 20_000, shares, atol=0.01)
    other = [choice.draw(shares, f"request {number}", 1) for number in range(20_000)]
    together = np.mean(np.array(drawn) == np.array(other))
    assert together == pytest.approx((shares**2).sum(), abs=0.01)


@pytest.mark.parametrize(("policy", "at_least"), [("epsilon-greedy", 0.35), ("linucb", 0.75), ("thompson", 0.45)])
def test_digits_are_recognised_from_rewards_alone_far_better_than_by_chance(policy: str, at_least: float) -> None:
    """Ten actions, a reward of 1 for the right one: chance earns 0.1."""
    rewards, kept = play(bandit(policy), rows=700)
    assert rewards.mean() > at_least
    again, kept_again = play(bandit(policy), rows=700)
    np.testing.assert_array_equal(rewards, again)
    for one, other in zip(kept, kept_again, strict=True):
        assert one["propensity"] == other["propensity"]


@pytest.mark.faults
def test_rewards_that_are_told_wrong_do_not_unlearn_what_was_learned() -> None:
    policy = "linucb"
    burst = slice(1500, 1797)
    clean, _ = play(Guarded(bandit(policy), bandit(policy)))
    guarded = Guarded(bandit(policy), bandit(policy))
    hit, _ = play(guarded, burst)
    alone, _ = play(bandit(policy), burst)
    assert guarded.tally.falls == 1
    assert hit[burst].mean() > clean[burst].mean() - 0.2
    assert alone[burst].mean() < clean[burst].mean() - 0.2


def test_off_policy_evaluation_tells_from_its_log_what_chance_and_each_action_earn() -> None:
    """The truth is known: of the digits, each action is right for a tenth."""
    rewards, kept = play(bandit("epsilon-greedy", epsilon=0.5))
    told = {
        one.policy: one
        for one in evaluate(Log(Batch.join(kept), rewards), bandit("linucb"), {"linucb": bandit("linucb")})
    }
    half = len(rewards) // 2
    truth = {"any, by chance": 0.1, **{f"always {digit}": np.mean(Y[half:] == int(digit)) for digit in ACTIONS}}
    held = [
        interval.low <= truth[name] <= interval.high
        for name in truth
        for interval in (told[name].ips, told[name].snips, told[name].doubly_robust)
    ]
    assert np.mean(held) >= 0.85
    assert told["as it was"].ips.estimate == rewards[half:].mean()
    assert told["linucb"].snips.low > told["as it was"].ips.high
    assert told["linucb"].doubly_robust.low > 0.6


def test_an_action_that_is_told_is_judged_and_one_that_is_missing_cannot_be_learned() -> None:
    learner = bandit("thompson", 2, ["a", "b"])
    rows = asked(np.array([[1.0, 0.0], [0.0, 1.0]]))
    with pytest.raises(InvalidInput, match="send 'action'") as told:
        learner.learn(rows, np.array([1.0, 0.0]))
    assert told.value.detail["faults"] == ["row 0: no action", "row 1: no action"]
    chosen = Batch({**rows.columns, "action": np.array(["a", "b"], object)})
    learner.learn(chosen, np.array([1.0, 0.0]))
    answer = learner.predict(chosen)
    assert answer["action"].tolist() == ["a", "b"]
    assert answer["reward"][0] > answer["reward"][1]
    with pytest.raises(InvalidInput, match="finite"):
        learner.check(np.array([np.nan]))


def test_rows_without_an_id_are_drawn_each_for_itself() -> None:
    learner = bandit("epsilon-greedy", 2, ["a", "b"], epsilon=1.0)
    rows = asked(np.random.default_rng(5).normal(size=(400, 2)))
    answer = learner.predict(Batch({**rows.columns, "id": np.full(400, None, object)}))
    assert 150 < (answer["action"] == "a").sum() < 250


def test_texts_are_contexts_too() -> None:
    sig = signature((Field("city", "BYTES"), Field("age", "FP64", values="missing")), ["sun", "rain"])
    learner = Bandit("linucb", sig, ["sun", "rain"], Options(alpha=0.1))
    cities = np.array(["Oslo", "Rome"] * 100, object)
    ages = np.where(np.arange(200) % 3 == 0, np.nan, 1.0)
    right = np.array(["rain", "sun"] * 100, object)
    for rewards, actions in [(np.ones(200), right), (np.zeros(200), right[::-1])]:
        told = {"city": cities, "age": ages, "action": actions, "propensity": np.full(200, np.nan), "id": cities}
        learner.learn(Batch(told), rewards)
    question = {"city": cities[:2], "age": ages[:2], "action": np.full(2, None, object), "id": cities[:2]}
    assert learner.predict(Batch(question))["action"].tolist() == ["rain", "sun"]


def test_what_cannot_be_is_refused() -> None:
    for actions in (["a"], ["a", "a"], [1, 2]):
        with pytest.raises(UsageError, match="two or more different texts"):
            bandit("linucb", 2, actions)
    for options in ({"epsilon": 1.5}, {"ridge": 0.0}, {"alpha": -1.0}):
        with pytest.raises(UsageError, match="epsilon between 0 and 1"):
            bandit("linucb", 2, **options)
    with pytest.raises(UsageError, match="at most are 20,000,000"):
        bandit("linucb", 2000)
    with pytest.raises(IncompatibleModel):
        bandit("thompson", 2).restore(bandit("linucb", 2).snapshot())
