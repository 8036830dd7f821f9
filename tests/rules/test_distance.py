"""Distances from the training data: equal to the library that grew the trees, and as rare as they promise to be."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import IsolationForest

from servable.domain.batch import Array
from servable.rules.calibration import Calibration, calibration_bytes, read_calibration
from servable.rules.distance import Distance, fit_distance
from servable.rules.encoding import Encoding
from servable.rules.forest import ROWS_A_TREE, TREES, Forest, grow

KINDS = ("mahalanobis", "isolation")


def wine() -> dict[str, Array]:
    data = load_wine()
    return dict(zip(data.feature_names, data.data.T, strict=True))


def test_the_trees_score_as_the_library_does() -> None:
    rows = load_breast_cancer().data.astype(np.float32)
    scores = Forest(grow(rows[:400], seed=7)).scores(rows)
    theirs = (
        IsolationForest(n_estimators=TREES, max_samples=ROWS_A_TREE, random_state=7).fit(rows[:400]).score_samples(rows)
    )
    np.testing.assert_allclose(scores, -theirs, rtol=1e-6)


def test_mahalanobis_is_that_of_the_encoded_rows() -> None:
    columns = wine()
    fitted = fit_distance(columns, "mahalanobis")
    rows = fitted.encoding(columns)
    covariance = np.cov(rows[::2], rowvar=False) + 1e-3 * np.eye(13)
    expected = [math.sqrt(row @ np.linalg.solve(covariance, row)) for row in rows]
    np.testing.assert_allclose(Distance(fitted).of(columns), expected, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_like_those_of_training_exceed_the_limit_as_rarely_as_it_says(kind: str) -> None:
    random = np.random.default_rng(1)
    columns = {f"x{at}": values for at, values in enumerate(random.lognormal(size=(3, 2000)))}
    distance = Distance(fit_distance(columns, kind))
    fresh = {name: random.lognormal(size=5000) for name in columns}
    rates = [float((distance.of(fresh) > distance.limit(within)).mean()) for within in (0.9, 0.99)]
    assert rates == pytest.approx([0.1, 0.01], abs=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_far_out_are_far(kind: str) -> None:
    columns = wine()
    distance = Distance(fit_distance(columns, kind))
    far = {name: np.array([values.max() * 5, np.inf, -np.inf, 1e300]) for name, values in columns.items()}
    assert (distance.of(far) > distance.limit(0.98)).all()


def test_categories_and_gaps_have_their_places() -> None:
    random = np.random.default_rng(0)
    regions = np.array([*random.choice(["north", "south"], 200, p=[0.9, 0.1]), None], object)
    ages = np.array([*random.normal(40, 5, 200), np.nan])
    encoding = Encoding.of({"region": regions, "age": ages})
    rows = encoding(
        {"region": np.array(["north", "south", "west", None], object), "age": np.array([40, 40, 40, np.nan])}
    )
    north, south, west, gap = rows[:, 0]
    assert north < south < west
    assert gap == 0
    assert rows[3, 1] == 0
    texts = Encoding.of({"text": np.array(["a" * length for length in range(1, 60)], object)})
    assert texts({"text": np.array(["a" * 500], object)})[0, 0] > 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_travels_as_a_file(kind: str) -> None:
    fitted = fit_distance(wine(), kind)
    back = read_calibration(calibration_bytes(Calibration({"far": fitted}))).distances["far"]
    np.testing.assert_array_equal(Distance(back).of(wine()), Distance(fitted).of(wine()))
    assert calibration_bytes(Calibration({"far": fitted})) == calibration_bytes(Calibration({"far": back}))


def test_what_cannot_be_fitted_says_what_it_takes() -> None:
    with pytest.raises(ValueError, match="at least 20 rows, got 5"):
        fit_distance({"x": np.arange(5.0)}, "mahalanobis")
    with pytest.raises(ValueError, match="at most 512 columns, got 600"):
        fit_distance({str(at): np.arange(30.0) for at in range(600)}, "mahalanobis")
    with pytest.raises(ValueError, match=r"'within' 0\.99 takes a sample of 198 rows"):
        Distance(fit_distance({"x": np.arange(30.0)}, "mahalanobis")).limit(0.99)
    with pytest.raises(msgspec.ValidationError):
        read_calibration(b'{"distances": {"x": {}}}')


def test_columns_that_never_vary_or_repeat_others_do_no_harm() -> None:
    values = np.random.default_rng(0).normal(size=100)
    columns = {"x": values, "again": values * 2 + 1, "constant": np.ones(100)}
    distance = Distance(fit_distance(columns, "mahalanobis"))
    assert np.isfinite(distance.of(columns)).all()
    odd = {"x": np.zeros(1), "again": np.array([9.0]), "constant": np.ones(1)}
    assert distance.of(odd)[0] > distance.limit(0.9)
