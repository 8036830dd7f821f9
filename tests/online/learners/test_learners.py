"""The built-in learners: against the formulas of their papers, and what every learner must hold to."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.domain.model import Learner
from servable.domain.signature import Signature
from servable.errors import CorruptModel, IncompatibleModel, InvalidInput, UsageError
from servable.online.learners.ftrl import Ftrl
from servable.online.learners.labels import Labels
from servable.online.learners.linear import OUTPUT, Linear
from servable.online.learners.memory import Memory

CANCER = load_breast_cancer(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
DIGITS = load_digits(return_X_y=True)


def ftrl(width: int = 30, classes: list[int] | None = None, **options: float) -> Ftrl:
    classes = classes or [0, 1]
    return Ftrl(Signature((Field("x", "FP64", (-1, width)),), Labels(classes).fields()), classes, **options)


def linear(width: int = 10) -> Linear:
    return Linear(Signature((Field("x", "FP64", (-1, width)),), (OUTPUT,)))


CASES: dict[str, tuple[Callable[[], Learner], Array, Array]] = {
    "ftrl": (ftrl, *CANCER),
    "ftrl of ten classes": (lambda: ftrl(64, list(range(10))), DIGITS[0][:400], DIGITS[1][:400]),
    "linear": (linear, *DIABETES),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Callable[[], Learner], Array, Array]:
    return CASES[request.param]


def test_one_by_one_is_the_same_as_all_at_once(case: tuple[Callable[[], Learner], Array, Array]) -> None:
    make, x, y = case
    single, whole = make(), make()
    for row in range(len(x)):
        single.learn(Batch({"x": x[row : row + 1]}), y[row : row + 1])
    whole.learn(Batch({"x": x}), y)
    assert single.snapshot() == whole.snapshot()


def test_order_matters_and_is_kept(case: tuple[Callable[[], Learner], Array, Array]) -> None:
    make, x, y = case
    forward, backward = make(), make()
    forward.learn(Batch({"x": x}), y)
    backward.learn(Batch({"x": x[::-1]}), y[::-1])
    assert forward.snapshot() != backward.snapshot()


def test_a_state_goes_round_and_learning_goes_on_from_it(case: tuple[Callable[[], Learner], Array, Array]) -> None:
    make, x, y = case
    half = len(x) // 2
    whole, first, second = make(), make(), make()
    whole.learn(Batch({"x": x}), y)
    first.learn(Batch({"x": x[:half]}), y[:half])
    second.restore(first.snapshot())
    assert second.snapshot() == first.snapshot()
    second.learn(Batch({"x": x[half:]}), y[half:])
    assert second.snapshot() == whole.snapshot()
    told, again = whole.predict(Batch({"x": x})), second.predict(Batch({"x": x}))
    for name in told:
        np.testing.assert_array_equal(told[name], again[name])


def test_rows_are_predicted_as_they_are_alone(case: tuple[Callable[[], Learner], Array, Array]) -> None:
    make, x, y = case
    learner = make()
    learner.learn(Batch({"x": x}), y)
    together = learner.predict(Batch({"x": x[:20]}))
    for row in range(20):
        for name, values in learner.predict(Batch({"x": x[row : row + 1]})).columns.items():
            np.testing.assert_allclose(values[0], together[name][row], rtol=1e-12)
    assert learner.predict(Batch({"x": x[:0]})).rows == 0


def test_a_state_that_is_damaged_or_of_another_is_refused(case: tuple[Callable[[], Learner], Array, Array]) -> None:
    make, _, _ = case
    state = make().snapshot()
    for end in range(0, len(state), max(len(state) // 50, 1)):
        with pytest.raises(CorruptModel):
            make().restore(state[:end])
    with pytest.raises(IncompatibleModel, match="goes back into the learner"):
        ftrl(alpha=0.7).restore(state)


def test_ftrl_is_the_algorithm_of_the_paper() -> None:
    """Algorithm 1, written out coordinate by coordinate, on values that are scaled as the learner scales them."""
    alpha, beta, l1, l2 = 0.3, 2.0, 0.5, 0.7
    learner = ftrl(3, alpha=alpha, beta=beta, l1=l1, l2=l2)
    random = np.random.default_rng(7)
    z, n = [0.0] * 4, [0.0] * 4
    for _ in range(300):
        row = random.normal(size=(1, 3)) * [1, 10, 0.1]
        y = int(row[0, 0] + row[0, 1] / 10 > 0)
        learner.learn(Batch({"x": row}), np.array([y]))
        x = learner._scale.scaled(np.column_stack([[1.0], row]))[0]
        w = [
            0.0 if abs(zi) <= l1 else -(zi - math.copysign(l1, zi)) / ((beta + math.sqrt(ni)) / alpha + l2)
            for zi, ni in zip(z, n, strict=True)
        ]
        p = 1 / (1 + math.exp(-sum(wi * xi for wi, xi in zip(w, x, strict=True))))
        for i in range(4):
            g = (p - y) * x[i]
            sigma = (math.sqrt(n[i] + g * g) - math.sqrt(n[i])) / alpha
            z[i] += g - sigma * w[i]
            n[i] += g * g
    np.testing.assert_allclose(learner._held[0, 0, :4], z, rtol=1e-9)
    np.testing.assert_allclose(learner._held[1, 0, :4], n, rtol=1e-9)


def test_ftrl_learns_and_l1_makes_weights_zero() -> None:
    right = 0
    learner = ftrl()
    for row in range(len(CANCER[0])):
        batch = Batch({"x": CANCER[0][row : row + 1]})
        right += int(learner.predict(batch)["label"][0] == CANCER[1][row])
        learner.learn(batch, CANCER[1][row : row + 1])
    assert right / len(CANCER[0]) > 0.93
    sparse = ftrl(l1=60.0)
    sparse.learn(Batch({"x": CANCER[0]}), CANCER[1])
    assert 0 < np.count_nonzero(sparse.parameters()) < 25 < np.count_nonzero(learner.parameters())


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_no_unit_of_an_input_throws_off_the_linear_learner(factor: float) -> None:
    x = DIABETES[0].copy()
    x[:, 3] *= factor
    learner = linear()
    squares = []
    for row in range(len(x)):
        batch = Batch({"x": x[row : row + 1]})
        squares.append((learner.predict(batch)["prediction"][0] - DIABETES[1][row]) ** 2)
        learner.learn(batch, DIABETES[1][row : row + 1])
    assert math.sqrt(np.mean(squares)) < 0.8 * DIABETES[1].std()


def test_one_absurd_value_does_not_blind_a_learner() -> None:
    clean, hit = ftrl(), ftrl()
    x = CANCER[0].copy()
    clean.learn(Batch({"x": x}), CANCER[1])
    x[100, 5] = 1e9
    hit.learn(Batch({"x": x}), CANCER[1])
    agree = clean.predict(Batch({"x": CANCER[0]}))["label"] == hit.predict(Batch({"x": CANCER[0]}))["label"]
    assert agree.mean() > 0.99
    assert hit._scale.clipped > clean._scale.clipped


def test_texts_and_missing_numbers_are_features() -> None:
    signature = Signature(
        (Field("city", "BYTES", values="missing"), Field("age", "FP64", values="missing")),
        Labels(["no", "yes"]).fields(),
    )
    learner = Ftrl(signature, ["no", "yes"], alpha=0.5, memory=Memory(hash_bits=10))
    cities = np.array(["Oslo", "Rome", None] * 100, object)
    ages = np.array([1.0, np.nan, 1.0] * 100)
    answers = np.array(["yes", "no", "yes"] * 100, object)
    learner.learn(Batch({"city": cities, "age": ages}), answers)
    told = learner.predict(Batch({"city": cities[:3], "age": ages[:3]}))
    assert told["label"].tolist() == ["yes", "no", "yes"]
    np.testing.assert_allclose(told["probabilities"].sum(axis=1), 1.0)


def test_what_cannot_be_learned_is_told() -> None:
    learner = ftrl()
    before = learner.snapshot()
    with pytest.raises(InvalidInput, match="expected one of 0, 1") as told:
        learner.learn(Batch({"x": CANCER[0][:3]}), np.array([1, 7, -1]))
    assert told.value.detail["faults"] == ["outcome of row 1: 7", "outcome of row 2: -1"]
    assert learner.snapshot() == before
    with pytest.raises(InvalidInput, match="finite"):
        linear().learn(Batch({"x": DIABETES[0][:1]}), np.array([np.nan]))
    with pytest.raises(UsageError, match="two or more different"):
        ftrl(classes=[1, 1])
    with pytest.raises(UsageError, match="fixed number of numbers"):
        Ftrl(Signature((Field("x", "FP64", (-1, -1)),), Labels([0, 1]).fields()), [0, 1])
