"""An interval keeps its word: of 1000 simulated 95 % intervals, 93 to 97 % hold the truth. All seeded."""

from __future__ import annotations

import numpy as np
import pytest

from servable.statistics import classification, delong, regression
from servable.statistics.bootstrap import bca
from servable.statistics.calibration import calibration
from servable.statistics.interval import NORMAL
from servable.statistics.mcnemar import mcnemar, mcnemar_clustered
from servable.statistics.means import Means, difference
from servable.statistics.proportion import clopper_pearson, wilson

RUNS = 1000


def share(held) -> float:
    assert len(held) == RUNS
    return float(np.mean(held))


def holds(interval, truth) -> bool:
    return interval.low <= truth <= interval.high


@pytest.mark.parametrize(("trials", "truth"), [(50, 0.3), (100, 0.9), (400, 0.05), (2000, 0.99)])
def test_wilson(trials, truth):
    hits = np.random.default_rng(3).binomial(trials, truth, RUNS)
    assert 0.93 <= share([holds(wilson(count, trials), truth) for count in hits]) <= 0.97


def test_clopper_pearson_is_never_short_of_its_confidence():
    hits = np.random.default_rng(3).binomial(60, 0.2, RUNS)
    assert share([holds(clopper_pearson(int(count), 60), 0.2) for count in hits]) >= 0.95


@pytest.mark.parametrize("measure", ["mae", "r2"])
def test_bootstrap_of_errors(measure):
    random = np.random.default_rng(5)
    truth, told = random.normal(size=(2, RUNS, 150))
    expected = {"mae": np.sqrt(2 / np.pi) * 0.5, "r2": 0.75}[measure]
    compute = getattr(regression, measure)
    held = [
        holds(bca(compute(t, t + 0.5 * e), draws=300, seed=run), expected)
        for run, (t, e) in enumerate(zip(truth, told, strict=True))
    ]
    assert 0.93 <= share(held) <= 0.97


def test_bootstrap_of_f1():
    """On the joint distribution of truth and answer (n, p, and all four cells known), F1 is known."""
    cells = np.array([[0.55, 0.05], [0.10, 0.30]])
    expected = 2 * 0.30 / (2 * 0.30 + 0.05 + 0.10)
    random = np.random.default_rng(7)
    held = []
    for run in range(RUNS):
        rows = random.choice(4, 300, p=cells.ravel())
        held.append(holds(bca(classification.f1(rows // 2, rows % 2, 1), draws=300, seed=run), expected))
    assert 0.93 <= share(held) <= 0.97


def test_cluster_bootstrap_where_rows_are_not_independent():
    """Ten rows of each customer share a fate: as rows, the interval is far too short."""
    random = np.random.default_rng(11)
    clusters = np.repeat(np.arange(60), 10)
    whole, alone = [], []
    for run in range(RUNS):
        values = random.normal(size=60)[clusters] + random.normal(size=600)
        mean = Means(values[:, None], lambda means: means[..., 0])
        whole.append(holds(bca(mean, draws=200, seed=run, clusters=clusters), 0.0))
        if run < 200:
            alone.append(holds(bca(mean, draws=100, seed=run), 0.0))
    assert 0.93 <= share(whole) <= 0.97
    assert np.mean(alone) < 0.75


def test_paired_difference():
    """Two classifiers that agree on most rows: the difference is known far better than either."""
    random = np.random.default_rng(13)
    held, widths = [], []
    for run in range(RUNS):
        truth = np.zeros(1000, int)
        first = (random.random(1000) < 0.15).astype(int)
        second = np.where(random.random(1000) < 0.10, 1 - first, first)
        pair = classification.accuracy(truth, first), classification.accuracy(truth, second)
        interval = bca(difference(*pair), draws=200, seed=run)
        held.append(holds(interval, 0.85 - (0.85 * 0.9 + 0.15 * 0.1)))
        widths.append(interval.high - interval.low)
    assert 0.93 <= share(held) <= 0.97
    assert np.mean(widths) < 0.045  # unpaired it would be 0.063


@pytest.mark.parametrize(("positives", "negatives"), [(40, 160), (150, 150)])
def test_delong(positives, negatives):
    """Scores N(1.5, 1) against N(0, 1): the AUC is the normal distribution's at 1.5 / √2."""
    random = np.random.default_rng(17)
    truth = np.repeat([True, False], [positives, negatives])
    expected = NORMAL.cdf(1.5 / np.sqrt(2))
    held = [
        holds(delong.auc(truth, random.normal(size=len(truth)) + 1.5 * truth).interval(), expected) for _ in range(RUNS)
    ]
    assert 0.93 <= share(held) <= 0.97


def test_delong_difference():
    random = np.random.default_rng(19)
    truth = np.repeat([True, False], [100, 200])
    expected = NORMAL.cdf(1.5 / np.sqrt(2)) - NORMAL.cdf(1.0 / np.sqrt(2))
    held = []
    for _ in range(RUNS):
        shared, own, other = random.normal(size=(3, len(truth)))
        first = 1.5 * truth + np.sqrt(0.7) * shared + np.sqrt(0.3) * own
        second = 1.0 * truth + np.sqrt(0.7) * shared + np.sqrt(0.3) * other
        held.append(holds(delong.difference(delong.auc(truth, first), delong.auc(truth, second))[0], expected))
    assert 0.93 <= share(held) <= 0.97


def test_delong_where_rows_are_not_independent():
    """Four rows of each of 160 customers, who are what they are: their scores share a part."""
    random = np.random.default_rng(29)
    clusters = np.repeat(np.arange(160), 4)
    truth = clusters % 2 == 0
    expected = NORMAL.cdf(1.0 / np.sqrt(2))
    shared, own = random.normal(size=(RUNS, 160))[:, clusters], random.normal(size=(RUNS, 640))
    scores = truth + np.sqrt(0.5) * shared + np.sqrt(0.5) * own
    found = [delong.auc(truth, score) for score in scores]
    assert 0.93 <= share([holds(each.interval(clusters=clusters), expected) for each in found]) <= 0.97
    assert share([holds(each.interval(), expected) for each in found]) < 0.85


@pytest.mark.parametrize(("rows", "gap"), [(2000, 0.0), (500, 0.05), (2000, 0.05), (2000, 0.1)])
def test_calibration_error(rows, gap):
    random = np.random.default_rng(23)
    told = np.repeat(np.linspace(0.1, 0.8, 10), rows // 10)
    came = (random.random((RUNS, rows)) < told + gap).astype(float)
    found = [calibration(each, told, draws=200, seed=run) for run, each in enumerate(came)]
    assert 0.93 <= share([holds(each.error, gap) for each in found]) <= 0.97
    if gap == 0:
        assert 0.03 <= share([each.p_value < 0.05 for each in found]) <= 0.07


@pytest.mark.parametrize("gap", [0.0, 0.05])
@pytest.mark.parametrize(("groups", "size"), [(200, 5), (40, 25)])
def test_calibration_error_where_rows_are_not_independent(groups, size, gap):
    """Rows of a group are told the same, and half of them come true together."""
    random = np.random.default_rng(31)
    clusters = np.repeat(np.arange(groups), size)
    rows = groups * size
    held, alarms, short = [], [], []
    for run in range(RUNS):
        told = np.repeat(random.uniform(0.1, 0.9 - gap, groups), size)
        shared, own = random.random(groups)[clusters], random.random(rows)
        came = (np.where(random.random(rows) < 0.5, shared, own) < told + gap).astype(float)
        found = calibration(came, told, draws=200, seed=run, clusters=clusters)
        held.append(holds(found.error, gap))
        alarms.append(found.p_value < 0.05)
        short.append(holds(calibration(came, told, draws=1, seed=run).error, gap))
    assert 0.93 <= share(held) <= 0.97
    assert share(short) < 0.85
    if gap == 0:
        assert share(alarms) <= 0.07


def test_mcnemar_where_rows_are_not_independent():
    """Which of two equals is right depends on the group: ten rows of each of sixty."""
    random = np.random.default_rng(37)
    clusters = np.repeat(np.arange(60), 10)
    alarms, naive = [], []
    for _ in range(RUNS):
        lean = random.normal(size=60)[clusters]
        first, second = random.normal(size=600) + lean > 0, random.normal(size=600) - lean > 0
        only_first, only_second = first & ~second, second & ~first
        alarms.append(mcnemar_clustered(only_first, only_second, clusters) < 0.05)
        naive.append(mcnemar(int(only_first.sum()), int(only_second.sum())) < 0.05)
    assert 0.03 <= share(alarms) <= 0.07
    assert share(naive) > 0.3
