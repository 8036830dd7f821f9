"""Bandit: chooses one of several actions in a context, and learns from the reward of the one that was taken.

Its answer holds the action and its propensity, the probability with which it was chosen; both are kept beside the
context until the reward comes, so what it learned from can be evaluated off-policy. Asked about an action that it is
told, it answers what it expects of that one: so the guards judge it, and a replay asks it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import InvalidInput, ModelFailed, UsageError
from servable.online.learners import choice, state
from servable.online.learners.arms import Arms
from servable.online.learners.features import Features
from servable.online.learners.linear import numbers

REWARD: Final = Field("reward", "FP64")
PROPENSITY: Final = Field("propensity", "FP64", values="missing", low=0.0, high=1.0)
ID: Final = Field("id", "BYTES", values="missing", content="id")
MOST_NUMBERS: Final = 20_000_000
"""In the matrices of all arms together: 160 MB, twice."""

Choose = Callable[[Array, Array], Array]
POLICIES: Final[dict[str, tuple[Choose, float]]] = {
    "epsilon-greedy": (choice.greedy, 0.1),
    "linucb": (choice.upper, 0.0),
    "thompson": (choice.sampled, 0.0),
}
"""By the name of the learner: how it chooses, and the share of choices that go to any action unless it is said."""


def signature(context: Sequence[Field], actions: Sequence[str]) -> Signature:
    """What a bandit takes and gives. Action and propensity may be told, of what somebody else has chosen."""
    taken = Field("action", "BYTES", values="missing", categories=tuple(actions))
    answer = Field("action", "BYTES", categories=tuple(actions))
    propensity = Field(PROPENSITY.name, PROPENSITY.datatype)
    shares = Field("propensities", "FP64", (-1, len(actions)))
    return Signature((*context, taken, PROPENSITY, ID), (REWARD, answer, propensity, shares))


class Options(msgspec.Struct, frozen=True):
    """`epsilon`: the share of choices that go to any action, as POLICIES says unless it is told. `alpha`: how much
    uncertainty counts, for LinUCB and Thompson sampling. `ridge`: what holds weights near zero. `seed`: of the draws.
    `hash_bits`: texts share `2 ** hash_bits` positions.
    """

    epsilon: float | None = None
    alpha: float = 0.25
    ridge: float = 1.0
    seed: int = 0
    hash_bits: int = 6


class Bandit:
    """A Learner whose outcomes are rewards. `policy` is one of POLICIES."""

    concurrent = False
    clips = False
    facts = frozenset({PROPENSITY.name})
    """Columns that tell what was, and are no context."""

    def __init__(
        self, policy: str, signature: Signature, actions: Sequence[str], options: Options | None = None
    ) -> None:
        """Raises UsageError for what cannot be."""
        if len(actions) < 2 or len(set(actions)) != len(actions) or not all(isinstance(one, str) for one in actions):
            raise UsageError(f"actions: expected two or more different texts, got {list(actions)!r:.200}")
        options = options or Options()
        self._choose, usual = POLICIES[policy]
        self._epsilon = usual if options.epsilon is None else options.epsilon
        if not 0.0 <= self._epsilon <= 1.0 or options.ridge <= 0.0 or options.alpha < 0.0:
            raise UsageError("options: expected epsilon between 0 and 1, ridge above 0, and alpha not below 0")
        self.actions = tuple(actions)
        self._place = {action: place for place, action in enumerate(actions)}
        context = tuple(field for field in signature.inputs if field.name not in {"action", PROPENSITY.name})
        self._features = Features(Signature(context, signature.outputs), options.hash_bits)
        size = self._features.size
        if len(actions) * size * size > MOST_NUMBERS:
            raise UsageError(
                f"{len(actions)} actions over {size} features need {len(actions) * size * size:,} numbers, at most are "
                f"{MOST_NUMBERS:,}: give it fewer inputs, or fewer 'hash_bits' for texts"
            )
        self._policy, self._alpha, self._seed = policy, options.alpha, options.seed
        self._facts = {"actions": list(actions), "size": size, **msgspec.to_builtins(options), "epsilon": self._epsilon}
        self._arms: Arms | None = Arms(len(actions), size, options.ridge)

    # ---- a Learner

    def predict(self, batch: Batch) -> Batch:
        """`action`, `propensity`, the `propensities` of all, and the `reward` that is expected of the action."""
        shares, means = self._known(batch)
        told = batch["action"].reshape(-1).tolist()
        ids = batch[ID.name].reshape(-1).tolist()
        places = np.array(
            [
                self._drawn(share, key, batch, row) if action is None else self._place[_text(action)]
                for row, (action, key, share) in enumerate(zip(told, ids, shares, strict=True))
            ],
            np.intp,
        )
        rows = np.arange(batch.rows)
        answer = {
            REWARD.name: means[rows, places],
            "action": np.array(self.actions, object)[places],
            PROPENSITY.name: shares[rows, places],
            "propensities": shares,
        }
        return Batch(answer, batch.rows)

    def learn(self, batch: Batch, outcomes: Array) -> None:
        """What the action of each row brought, in order. Raises InvalidInput where a row has none."""
        rewards = numbers(outcomes)
        told = batch["action"].reshape(-1).tolist()
        without = [f"row {row}: no action" for row, action in enumerate(told) if action is None]
        if without:
            raise InvalidInput("a reward is for an action: send 'action', or the id of a prediction", faults=without)
        for context, action, reward in zip(self.contexts(batch), told, rewards.tolist(), strict=True):
            self._open().learn(self._place[_text(action)], context, reward)

    def check(self, outcomes: Array) -> None:
        numbers(outcomes)

    def snapshot(self) -> bytes:
        return state.dumps(self._policy, self._facts, self._open().state())

    def restore(self, data: bytes) -> None:
        self._open().take(state.loads(data, self._policy, self._facts))

    def parameters(self) -> Array:
        """The weights, flat: what a guard watches."""
        return self._open().weights.ravel()

    def close(self) -> None:
        self._arms = None

    # ---- what it reckons with

    def places(self, batch: Batch) -> Array:
        """The place of the action of each row, which all must have."""
        return np.array([self._place[_text(action)] for action in batch["action"].reshape(-1).tolist()], np.intp)

    def expected(self, batch: Batch) -> Array:
        """The reward that is expected of each action, rows by actions."""
        return self._known(batch)[1]

    def contexts(self, batch: Batch) -> Array:
        """The rows as numbers, the constant first."""
        encoded = self._features.encode(batch)
        whole = np.zeros((batch.rows, self._features.size))
        whole[:, : self._features.dense] = encoded.dense
        for row, places in enumerate(encoded.sparse):
            whole[row, places] = 1.0
        return whole

    def _known(self, batch: Batch) -> tuple[Array, Array]:
        """Of each row, of each action: the probability that it is chosen, and the reward that is expected of it."""
        arms = self._open()
        shares = np.zeros((batch.rows, len(self.actions)))
        means = np.zeros_like(shares)
        # Row by row, not as one product: a row has the same bits alone as among others, whatever it shares a call with.
        for row, context in enumerate(self.contexts(batch)):
            means[row], widths = arms.judge(context)
            shares[row] = choice.explored(self._choose(means[row], self._alpha * widths), self._epsilon)
        return shares, means

    def _drawn(self, shares: Array, key: Any, batch: Batch, row: int) -> int:
        """The place of an action: by the row's id, or, of one that has none, as in a job, by all that it holds."""
        if key is None:
            held = repr([batch[name][row : row + 1].tolist() for name in sorted(batch)]).encode()
            return choice.draw(shares, held, self._seed)
        return choice.draw(shares, _text(key), self._seed)

    def _open(self) -> Arms:
        if self._arms is None:
            raise ModelFailed("the model is closed")
        return self._arms


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
