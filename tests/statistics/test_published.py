"""The statistics beside what others compute: published tables, SciPy, scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from servable.statistics import classification, delong, regression
from servable.statistics.bootstrap import bca, draw
from servable.statistics.interval import UNKNOWN, normal
from servable.statistics.mcnemar import mcnemar
from servable.statistics.means import Means, difference
from servable.statistics.multiplicity import benjamini_hochberg
from servable.statistics.proportion import clopper_pearson, wilson

RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.integers(0, 3, 500)
CHOSEN = np.where(RANDOM.random(500) < 0.7, TRUTH, RANDOM.integers(0, 3, 500))
PROBABILITIES = RANDOM.dirichlet([1, 1, 1], 500)
NUMBERS = RANDOM.normal(1e6, 2, 500)
TOLD = NUMBERS + RANDOM.normal(0.3, 1, 500)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 100), (100, 1000), (1000, 10000), (7, 7)])
def test_proportions_as_scipy_has_them(successes, trials):
    for ours, theirs in ((wilson, "wilson"), (clopper_pearson, "exact")):
        low, high = stats.binomtest(successes, trials).proportion_ci(method=theirs)
        assert ours(successes, trials)[1:] == pytest.approx((low, high), abs=1e-9)


def test_nothing_is_known_of_no_trial():
    assert wilson(0, 0) is UNKNOWN
    assert clopper_pearson(0, 0) is UNKNOWN


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (classification.accuracy(TRUTH, CHOSEN), metrics.accuracy_score(TRUTH, CHOSEN)),
        (classification.balanced_accuracy(TRUTH, CHOSEN, 3), metrics.balanced_accuracy_score(TRUTH, CHOSEN)),
        (classification.precision(TRUTH, CHOSEN, 2), metrics.precision_score(TRUTH, CHOSEN, average=None)[2]),
        (classification.recall(TRUTH, CHOSEN, 1), metrics.recall_score(TRUTH, CHOSEN, average=None)[1]),
        (classification.f1(TRUTH, CHOSEN, 0), metrics.f1_score(TRUTH, CHOSEN, average=None)[0]),
        (classification.f1_macro(TRUTH, CHOSEN, 3), metrics.f1_score(TRUTH, CHOSEN, average="macro")),
        (classification.specificity(TRUTH, CHOSEN, 1), metrics.recall_score(TRUTH != 1, CHOSEN != 1)),
        (classification.log_loss(TRUTH, PROBABILITIES), metrics.log_loss(TRUTH, PROBABILITIES)),
        (
            classification.brier(TRUTH == 1, np.column_stack([1 - PROBABILITIES[:, 1], PROBABILITIES[:, 1]])),
            metrics.brier_score_loss(TRUTH == 1, PROBABILITIES[:, 1]),
        ),
        (regression.mae(NUMBERS, TOLD), metrics.mean_absolute_error(NUMBERS, TOLD)),
        (regression.rmse(NUMBERS, TOLD), metrics.root_mean_squared_error(NUMBERS, TOLD)),
        (regression.r2(NUMBERS, TOLD), metrics.r2_score(NUMBERS, TOLD)),
        (regression.mape(NUMBERS, TOLD), metrics.mean_absolute_percentage_error(NUMBERS, TOLD)),
    ],
)  # fmt: skip
def test_measures_as_scikit_learn_has_them(ours, theirs):
    ours = ours if isinstance(ours, Means) else ours()
    assert ours.estimate == pytest.approx(theirs, rel=1e-9)


def test_auc_as_scikit_learn_has_it():
    score = np.round(PROBABILITIES[:, 1], 1)  # with ties
    assert delong.auc(TRUTH == 1, score).estimate == pytest.approx(metrics.roc_auc_score(TRUTH == 1, score))
    mean = metrics.roc_auc_score(TRUTH, PROBABILITIES, multi_class="ovr")
    assert delong.mean_auc(TRUTH, PROBABILITIES).estimate == pytest.approx(mean)


def test_delong_error_is_that_of_the_definition():
    """The placement values of every pair, as the paper writes them."""
    truth, score = np.repeat([True, False], [30, 50]), RANDOM.normal(size=80)
    placed = (score[truth][:, None] > score[~truth][None, :]).astype(float)
    variance = placed.mean(1).var(ddof=1) / 30 + placed.mean(0).var(ddof=1) / 50
    assert delong.auc(truth, score).error() == pytest.approx(np.sqrt(variance))


def test_auc_of_one_kind_of_row_is_unknown():
    nothing = delong.auc(np.ones(5, bool), np.arange(5.0))
    assert np.isnan(nothing.estimate)
    assert nothing.interval() is UNKNOWN


def test_equal_models_do_not_differ():
    truth, score = np.repeat([True, False], 20), RANDOM.normal(size=40)
    same = delong.auc(truth, score)
    assert delong.difference(same, same) == ((0.0, 0.0, 0.0), 1.0)


@pytest.mark.parametrize(("first", "second"), [(15, 5), (3, 0), (0, 1), (100, 140)])
def test_mcnemar_is_the_mid_p_of_the_binomial(first, second):
    exact = stats.binomtest(min(first, second), first + second).pvalue
    point = stats.binom.pmf(min(first, second), first + second, 0.5)
    assert mcnemar(first, second) == pytest.approx(min(1.0, exact - point))


def test_benjamini_hochberg_as_scipy_has_it():
    values = RANDOM.random(40) ** 3
    assert benjamini_hochberg(values) == pytest.approx(stats.false_discovery_control(values))
    assert benjamini_hochberg([]) == []


def test_a_bootstrap_is_the_same_every_time():
    one = regression.mae(NUMBERS, TOLD)
    assert bca(one, seed=4) == bca(one, seed=4) != bca(one, seed=5)


def test_the_bootstrap_of_a_mean_is_the_normal_interval():
    rows = RANDOM.normal(size=(5000, 1))
    error = rows.std(ddof=1) / np.sqrt(5000)
    assert bca(Means(rows, lambda means: means[..., 0]), seed=1)[1:] == pytest.approx(
        normal(float(rows.mean()), float(error))[1:], abs=error / 5
    )


def test_drawing_counts_of_kinds_is_drawing_rows():
    hits = (RANDOM.random((3000, 1)) < 0.2).astype(float)
    counted = draw(Means(hits, lambda means: means[..., 0]), draws=4000)
    assert counted.std() == pytest.approx(np.sqrt(hits.mean() * (1 - hits.mean()) / 3000), rel=0.05)


def test_strata_keep_their_sizes():
    strata = np.repeat([0, 1], [100, 300])
    of_first = draw(Means((strata == 0).astype(float)[:, None], lambda means: means[..., 0]), strata=strata)
    assert set(of_first) == {0.25}


def test_a_measure_without_rows_is_unknown():
    none = np.zeros(10, int)
    assert np.isnan(classification.precision(none, none, 1).estimate)
    assert bca(classification.precision(none, none, 1)) is UNKNOWN
    assert np.isnan(classification.accuracy(none[:0], none[:0]).estimate)


def test_a_difference_is_of_the_same_rows():
    gap = difference(classification.accuracy(TRUTH, CHOSEN), classification.accuracy(TRUTH, CHOSEN))
    assert bca(gap) == (0.0, 0.0, 0.0)
