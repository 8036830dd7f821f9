"""Conversion of a learner, as it is now, to ONNX. Not trusted until it is proven."""

from __future__ import annotations

from typing import Any

from servable.domain.model import Learner
from servable.domain.signature import Signature
from servable.errors import ConversionRejected, MissingExtra
from servable.online.learners.bandit import Bandit
from servable.online.learners.ftrl import Ftrl
from servable.online.learners.linear import Linear
from servable.online.learners.python_runtime import PythonLearning
from servable.online.learners.river import RiverLearner
from servable.online.learners.sklearn import SklearnLearner
from servable.online.learners.torch import TorchLearner


def to_onnx(learner: Learner, signature: Signature) -> bytes:
    """An ONNX file with the names of the learner's inputs and outputs. `signature` is without the target.

    Raises ConversionRejected that says what stands in the way, MissingExtra.
    """
    try:
        import onnx  # noqa: F401 - what is imported below is written with it
    except ImportError as error:
        raise MissingExtra("pack", "convert a learner to ONNX", missing=error.name) from error
    from servable.online.frozen import river, sklearn, torch, weighted

    if isinstance(learner, Ftrl):
        return weighted.graph_of(learner.weighted(), signature, learner.labels.classes)
    if isinstance(learner, Linear):
        return weighted.graph_of(learner.weighted(), signature, ())
    if isinstance(learner, Bandit):
        raise ConversionRejected("a bandit draws what it answers, and ONNX draws nothing")
    inside: Any = learner.learner if isinstance(learner, PythonLearning) else learner
    if isinstance(inside, RiverLearner):
        return weighted.graph_of(river.weighted(inside, signature), signature, tuple(inside.classes))
    if isinstance(inside, SklearnLearner):
        return sklearn.graph_of(inside, signature)
    if isinstance(inside, TorchLearner):
        return torch.graph_of(inside, signature)
    raise ConversionRejected(f"{type(inside).__name__} is Python of its own, of which only it knows what it reckons")
