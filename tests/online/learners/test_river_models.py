"""Every estimator of River: served, and the same learner again from its examples alone, or refused with a reason."""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import river
from river import bandit, base, compose, datasets, feature_extraction, linear_model, optim, preprocessing, reco, stats
from river import multiclass as many
from river import neighbors as near
from sklearn.linear_model import SGDClassifier, SGDRegressor

from servable.domain.batch import Array, Batch
from servable.errors import BundleError
from servable.online.learners.python_runtime import PythonLearning, _signature
from servable.online.learners.river import RiverLearner
from servable.online.learners.trial import compare

ROWS = 160
HOMES = (
    "active", "anomaly", "cluster", "compat", "compose", "conf", "drift", "dummy", "ensemble", "facto",
    "feature_extraction", "feature_selection", "forest", "imblearn", "linear_model", "misc", "model_selection",
    "multiclass", "multioutput", "naive_bayes", "neighbors", "preprocessing", "reco", "rules", "time_series", "tree",
)  # fmt: skip
"""Where River keeps what learns. Elsewhere are losses, metrics, statistics, policies, parts of these."""

LINE, SHARES = linear_model.LinearRegression, linear_model.LogisticRegression
MADE: dict[str, Callable[[], Any]] = {
    "compat.SKL2RiverClassifier": lambda: river.compat.convert_sklearn_to_river(
        SGDClassifier(loss="log_loss", random_state=1), classes=[0, 1]
    ),
    "compat.SKL2RiverRegressor": lambda: river.compat.convert_sklearn_to_river(SGDRegressor(random_state=1)),
    "compose.FuncTransformer": lambda: compose.FuncTransformer(doubled) | LINE(),
    "compose.Grouper": lambda: (
        compose.Grouper(compose.Select("x0", "x1") | preprocessing.StandardScaler(), by="kind") | LINE()
    ),
    "compose.Pipeline": lambda: compose.Pipeline(preprocessing.StandardScaler(), LINE()),
    "compose.Prefixer": lambda: compose.Prefixer("before_") | LINE(),
    "compose.Renamer": lambda: compose.Renamer({"a": "b"}) | LINE(),
    "compose.SelectType": lambda: (compose.SelectType(float) | preprocessing.StandardScaler()) | LINE(),
    "compose.Suffixer": lambda: compose.Suffixer("_after") | LINE(),
    "compose.TargetTransformRegressor": lambda: compose.TargetTransformRegressor(LINE(), math.log, math.exp),
    "compose.TransformerUnion": lambda: (preprocessing.StandardScaler() + preprocessing.MinMaxScaler()) | LINE(),
    "drift.DriftRetrainingClassifier": lambda: river.drift.DriftRetrainingClassifier(
        river.tree.HoeffdingTreeClassifier()
    ),
    "feature_extraction.Agg": lambda: feature_extraction.Agg("x0", by="kind", how=stats.Mean()) | LINE(),
    "feature_extraction.BagOfWords": lambda: feature_extraction.BagOfWords(on="said") | LINE(),
    "feature_extraction.TFIDF": lambda: feature_extraction.TFIDF(on="said") | LINE(),
    "feature_extraction.TargetAgg": lambda: feature_extraction.TargetAgg(by="kind", how=stats.Mean()) | LINE(),
    "feature_selection.PoissonInclusion": lambda: river.feature_selection.PoissonInclusion(p=0.1, seed=1) | LINE(),
    "feature_selection.SelectKBest": lambda: river.feature_selection.SelectKBest(stats.PearsonCorr(), k=2) | LINE(),
    "imblearn.RandomOverSampler": lambda: river.imblearn.RandomOverSampler(SHARES(), {0: 0.4, 1: 0.6}, seed=1),
    "imblearn.RandomSampler": lambda: river.imblearn.RandomSampler(SHARES(), {0: 0.4, 1: 0.6}, seed=1),
    "imblearn.RandomUnderSampler": lambda: river.imblearn.RandomUnderSampler(SHARES(), {0: 0.4, 1: 0.6}, seed=1),
    "model_selection.BanditClassifier": lambda: river.model_selection.BanditClassifier(
        [SHARES(optim.SGD(rate)) for rate in (0.1, 0.01)], river.metrics.Accuracy(), bandit.EpsilonGreedy(0.1, seed=1)
    ),
    "model_selection.BanditRegressor": lambda: river.model_selection.BanditRegressor(
        [LINE(optim.SGD(rate)) for rate in (0.01, 0.001)], river.metrics.MAE(), bandit.EpsilonGreedy(0.1, seed=1)
    ),
    "model_selection.SuccessiveHalvingClassifier": lambda: river.model_selection.SuccessiveHalvingClassifier(
        [SHARES(optim.SGD(rate)) for rate in (0.1, 0.01)], river.metrics.Accuracy(), budget=100
    ),
    "neighbors.KNNClassifier": lambda: near.KNNClassifier(engine=near.SWINN(seed=1)),
    "neighbors.KNNRegressor": lambda: near.KNNRegressor(engine=near.SWINN(seed=1)),
    "preprocessing.GapEncoder": lambda: preprocessing.GapEncoder(on="said", seed=1) | LINE(),
    "preprocessing.OneHotEncoder": lambda: (compose.Select("kind") | preprocessing.OneHotEncoder()) | LINE(),
    "preprocessing.TargetMinMaxScaler": lambda: preprocessing.TargetMinMaxScaler(LINE()),
    "preprocessing.TargetStandardScaler": lambda: preprocessing.TargetStandardScaler(LINE()),
    "reco.Baseline": reco.Baseline,
    "reco.BiasedMF": lambda: reco.BiasedMF(seed=1),
    "reco.FunkMF": lambda: reco.FunkMF(seed=1),
    "reco.RandomNormal": lambda: reco.RandomNormal(seed=1),
}
"""Those that River's own example of parameters does not make, or not with a seed, or not with columns to work on."""

NO_OUTCOME = "nobody tells an outcome"
SCORES = "scores how strange a row is"
SEVERAL = "several targets at once"
REFUSED = {
    "active.EntropySampler": "asks for labels",
    **dict.fromkeys(
        (
            "anomaly.GaussianScorer", "anomaly.HalfSpaceTrees", "anomaly.LODA", "anomaly.LocalOutlierFactor",
            "anomaly.OneClassSVM", "anomaly.PredictiveAnomalyDetection", "anomaly.QuantileFilter",
            "anomaly.StandardAbsoluteDeviation", "anomaly.ThresholdFilter",
        ),
        SCORES,
    ),
    **dict.fromkeys(
        (
            "cluster.CluStream", "cluster.DBSTREAM", "cluster.DenStream", "cluster.KMeans", "cluster.ODAC",
            "cluster.STREAMKMeans", "cluster.TextClust",
        ),
        NO_OUTCOME,
    ),
    **dict.fromkeys(
        (
            "multioutput.ClassifierChain", "multioutput.MonteCarloClassifierChain", "multioutput.MultiClassEncoder",
            "multioutput.PerOutputClassifier", "multioutput.PerOutputRegressor",
            "multioutput.ProbabilisticClassifierChain", "multioutput.RegressorChain", "tree.ISOUPTreeRegressor",
        ),
        SEVERAL,
    ),
    "time_series.HoltWinters": "forecasts from what it has seen",
    "time_series.SNARIMAX": "forecasts from what it has seen",
    "neighbors.LazySearch": "cannot be served",
    "neighbors.SWINN": "cannot be served",
}  # fmt: skip
UNSTEADY = {
    "feature_selection.PoissonInclusion": "asked changes what it learns",
    "feature_extraction.RandomTreesEmbedding": "at one time, not at another|does not hold all",
    "preprocessing.LDA": "asked changes what it learns",
    "reco.RandomNormal": "asked changes what it learns",
}
"""Served they would be others after a restart: packing says so."""
NEWER = {"misc.ZstdClassifier"}
"""For a later Python than this."""


def doubled(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value * 2 for name, value in row.items() if isinstance(value, float)}


def found() -> dict[str, type]:
    return {
        f"{home.name}.{name}": kind
        for home in pkgutil.iter_modules(river.__path__) if home.name in HOMES
        for name, kind in inspect.getmembers(importlib.import_module(f"river.{home.name}"), inspect.isclass)
        if issubclass(kind, base.Estimator) and not inspect.isabstract(kind)
    }  # fmt: skip


FOUND = found()


def model(name: str) -> Any:
    """A fresh one, with seeds; a transformer before a regression."""
    if name in MADE:
        return MADE[name]()
    kind = FOUND[name]
    told = dict(next(iter(kind._unit_test_params())))
    if "seed" in inspect.signature(kind.__init__).parameters:
        told["seed"] = 42
    made = kind(**told)
    return made | LINE() if isinstance(made, base.Transformer) else made


@cache
def stream(name: str) -> tuple[dict[str, Array], Array]:
    """Columns between 0 and 1, and what River bundles of outcomes."""
    kinds: dict[str, Callable[[], Iterator[Any]]] = {
        "two": datasets.Phishing, "seven": datasets.ImageSegments, "numbers": datasets.TrumpApproval,
    }  # fmt: skip
    events = list(kinds[name]().take(ROWS))
    x = np.array([list(row.values()) for row, _ in events], np.float64)
    x = (x - x.min(axis=0)) / np.maximum(np.ptp(x, axis=0), 1e-9)
    y = [outcome for _, outcome in events]
    columns = {f"x{place}": x[:, place] for place in range(x.shape[1])}
    outcomes = np.array([str(one) for one in y], object) if name == "seven" else np.array(y, np.float64)
    return columns, outcomes.astype(np.int64) if name == "two" else outcomes


TEXTS = {"feature_extraction.BagOfWords", "feature_extraction.TFIDF", "preprocessing.GapEncoder"}
KINDS = {"compose.Grouper", "compose.SelectType", "feature_extraction.Agg", "feature_extraction.TargetAgg"}
KINDS |= {"preprocessing.OneHotEncoder"}


def learner(name: str, made: Callable[[], Any], stated: str) -> tuple[Callable[[], PythonLearning], Batch, Array]:
    """How it is made, and its stream."""
    columns, outcomes = stream(stated)
    kinds = np.array(["low" if value < 0.5 else "high" for value in columns["x1"]], object)
    if name in TEXTS:
        columns = {"said": np.array([f"{kind} and day {row % 7}" for row, kind in enumerate(kinds)], object)}
    elif name in KINDS:
        columns = {**columns, "kind": kinds}
    elif name.startswith("reco."):
        columns = {"user": kinds, "item": np.array([f"film {row % 5}" for row in range(ROWS)], object)}
    inputs = {key: "BYTES" if values.dtype == object else "FP64" for key, values in columns.items()}
    classes = {"two": (0, 1), "numbers": ()}.get(stated, tuple(sorted(set(outcomes.tolist()))))
    kind = type("Own", (RiverLearner,), {"inputs": inputs, "classes": classes, "model": lambda _: made()})

    def make() -> PythonLearning:
        learner = kind()
        learner.load(None)
        return PythonLearning(learner, _signature(kind, Path("own.py")))

    return make, Batch(columns, ROWS), outcomes


def streams(name: str) -> list[str]:
    made = model(name)
    if not isinstance(made, base.Classifier):
        return ["numbers"]
    return ["two", "seven"] if made._multiclass and name not in TWO else ["two"]


TWO = {"compat.SKL2RiverClassifier"} | {f"imblearn.Random{kind}Sampler" for kind in ("", "Over", "Under")}
"""Made for two classes."""


@pytest.mark.faults
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(set(FOUND) - set(REFUSED) - set(UNSTEADY) - NEWER))
def test_what_predicts_an_outcome_is_served_and_is_the_same_after_a_restart(name: str) -> None:
    for stated in streams(name):
        make, rows, outcomes = learner(name, lambda: model(name), stated)
        assert compare(make, rows, outcomes, math.inf) == ROWS


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_judged_by_an_outcome_is_refused_by_name(name: str) -> None:
    make, _, _ = learner(name, lambda: model(name), "two" if name.startswith("active") else "numbers")
    with pytest.raises(BundleError, match=f"{name.rsplit('.', 1)[1]}.*{REFUSED[name]}"):
        make()


@pytest.mark.faults
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(UNSTEADY))
def test_what_would_be_another_after_a_restart_is_refused_while_it_is_packed(name: str) -> None:
    make, rows, outcomes = learner(name, lambda: model(name), "numbers")
    with pytest.raises(BundleError, match=UNSTEADY[name]):
        compare(make, rows, outcomes, math.inf)


def test_without_a_seed_it_is_told_to_have_one() -> None:
    make, rows, outcomes = learner("forest", lambda: river.forest.ARFClassifier(n_models=3), "two")
    with pytest.raises(BundleError, match="its seed"):
        compare(make, rows, outcomes, math.inf)


@pytest.mark.parametrize("classes", [("fine", "phishing"), (1, 2), ("1", "0")])
def test_two_classes_have_any_names(classes: tuple[Any, Any]) -> None:
    """Of River's models most know 0 and 1 alone: they raise at a text, and take a 2 for what it is not."""
    columns, outcomes = stream("two")
    told = np.array([classes[one] for one in outcomes], object if isinstance(classes[0], str) else np.int64)
    answers = []
    for names, y in (((0, 1), outcomes), (classes, told)):
        kind = type("Own", (RiverLearner,), {
            "inputs": dict.fromkeys(columns, "FP64"), "classes": names,
            "model": lambda _: preprocessing.StandardScaler() | SHARES(),
        })  # fmt: skip
        made = kind()
        made.load(None)
        learner = PythonLearning(made, _signature(kind, Path("own.py")))
        learner.learn(Batch(columns, ROWS), y)
        answers.append(learner.predict(Batch(columns, ROWS)))
    np.testing.assert_array_equal(answers[0]["probabilities"], answers[1]["probabilities"])
    np.testing.assert_array_equal([classes[one] for one in answers[0]["label"]], answers[1]["label"])
    assert (answers[1]["label"] == told).mean() > 0.85


def test_more_than_two_classes_need_a_model_that_knows_so_many() -> None:
    make, _, _ = learner("own", SHARES, "seven")
    with pytest.raises(BundleError, match=r"two classes apart, not 7: put it into multiclass\.OneVsRestClassifier"):
        make()
    make, rows, outcomes = learner("own", lambda: many.OneVsRestClassifier(SHARES()), "seven")
    assert compare(make, rows, outcomes, math.inf) == ROWS
