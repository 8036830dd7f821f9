"""Which models of River can be served as learners, and why the others cannot: of a learner an outcome is told, and what
it answered is judged by that.

For `river.py`, which asks as it makes a model: when a learner is packed, then, not when its first example comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from servable.errors import BundleError

EXPECTED: Final = "expected a classifier, a regressor or a ranker of River, or a pipeline that ends with one"
OWN: Final = "write it as a servable.PythonLearner, which says itself what it answers and what an outcome teaches it"
PAIR: Final = ("user", "item")


def suited(model: Any, classes: Sequence[str | int], inputs: Sequence[str]) -> Any:
    """The model, or what asks it as River asks a regressor. Raises BundleError that says what stands in the way."""
    from river import base
    from river.active.base import ActiveLearningClassifier
    from river.reco.base import Ranker

    kind = _kind(model)
    if isinstance(model, ActiveLearningClassifier):
        raise BundleError(f"{kind} also asks for labels, which nobody hears: serve the classifier inside it")
    if isinstance(model, base.MultiLabelClassifier) or _several(model):
        raise BundleError(f"{kind} answers several targets at once, and an outcome is one: serve a learner for each")
    if isinstance(model, base.Classifier):
        if not classes:
            raise BundleError(f"{kind} is a classifier: name its `classes`")
        if len(classes) > 2 and not model._multiclass:  # what River's own wrappers ask
            raise BundleError(
                f"{kind} tells two classes apart, not {len(classes)}: put it into multiclass.OneVsRestClassifier"
            )
        return model
    if not isinstance(model, (base.Regressor, Ranker)):
        raise BundleError(f"{kind} {_why(model)}")
    if classes:
        raise BundleError(f"{kind} is no classifier: leave `classes` out, or give one")
    if not isinstance(model, Ranker):
        return model
    if not set(PAIR) <= set(inputs):
        raise BundleError(f"{kind} ranks items for users: expected `user` and `item` among the inputs")
    return Ranked(model)


class Ranked:
    """A ranker as a regressor: `user` and `item` are features, the others its context."""

    def __init__(self, ranker: Any) -> None:
        self._ranker = ranker

    def predict_one(self, row: dict[str, Any]) -> float:
        """How much the user of the row may like its item."""
        return float(self._ranker.predict_one(*_told_apart(row)))

    def learn_one(self, row: dict[str, Any], outcome: float) -> None:
        """How much it was."""
        user, item, context = _told_apart(row)
        self._ranker.learn_one(user, item, outcome, context)


def _told_apart(row: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    user, item = (row[name] for name in PAIR)
    return user, item, {name: value for name, value in row.items() if name not in PAIR}


def _several(model: Any) -> bool:
    from river import base

    one = getattr(model, "_last_step", model)  # River's own trees of several targets are regressors, too
    return isinstance(one, base.MultiTargetRegressor)


def _why(model: Any) -> str:
    """Why a model that is no predictor of an outcome cannot be served."""
    from river import base
    from river.time_series.base import Forecaster

    if isinstance(model, base.Clusterer):
        return f"makes groups, of which nobody tells an outcome: {OWN}"
    if isinstance(model, Forecaster):
        return f"forecasts from what it has seen, and answers no rows: {OWN}"
    if isinstance(model, (base.AnomalyDetector, base.SupervisedAnomalyDetector, base.AnomalyFilter)):
        return f"scores how strange a row is, in no unit of an outcome that could judge it: {OWN}"
    if isinstance(model, base.BaseTransformer):
        return f"transforms, and predicts nothing: {EXPECTED}"
    return f"cannot be served: {EXPECTED}"


def _kind(model: Any) -> str:
    """Its name, of a pipeline that of its last step."""
    last = getattr(model, "_last_step", model)
    return f"River's {type(last).__name__}" if type(last).__module__.startswith("river.") else f"{last!r:.80}"
