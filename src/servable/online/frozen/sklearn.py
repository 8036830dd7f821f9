"""The graph of scikit-learn's steps: their own converter's, between the inputs and outputs of the learner."""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx

from servable.bundles.convert import Attempt, to_onnx
from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import ConversionRejected
from servable.online.frozen.graph import Graph
from servable.online.learners.sklearn import SklearnLearner
from servable.runtimes.classes import PREDICTION
from servable.runtimes.estimator import answer_of

MATRIX: Final = "x"


def graph_of(learner: SklearnLearner, signature: Signature) -> bytes:
    """The ONNX file. Raises ConversionRejected, MissingExtra."""
    if not learner.trained:
        raise ConversionRejected("it has learned nothing yet")
    from sklearn.pipeline import make_pipeline

    estimator = make_pipeline(*learner.trained)
    width = sum(int(np.prod(field.shape[1:], dtype=np.int64)) for field in signature.inputs)
    rows = np.random.default_rng(0).normal(size=(4, width))
    expected = answer_of(estimator)(rows)
    attempt = Attempt("one FP64 matrix", (Field(MATRIX, "FP64", (-1, width)),), double=True)
    made = to_onnx(estimator, attempt, (), Batch(expected, len(rows)), Batch({MATRIX: rows}))
    graph = Graph(signature)
    told = dict(zip(expected, graph.inlined(onnx.load_from_string(made), **{MATRIX: graph.matrix()}), strict=True))
    if not learner.classes:
        return graph.finished({PREDICTION: graph.node("Cast", told[PREDICTION], to=onnx.TensorProto.DOUBLE)})
    # It tells the place of a class, which is its label; without probabilities that place has all of it.
    place, count = told["label"], len(learner.classes)
    if "probabilities" in told:
        shares = graph.node("Cast", told["probabilities"], to=onnx.TensorProto.DOUBLE)
    else:
        shares = graph.node("Gather", graph.constant(np.eye(count)), place)
    outputs = graph.classified(shares, learner.classes)
    kind = object if isinstance(learner.classes[0], str) else np.int64
    return graph.finished({**outputs, "label": graph.node("Gather", graph.constant(learner.classes, kind), place)})
