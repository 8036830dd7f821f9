"""The graph of a linear learner: scaled, weighed, summed, and an answer made of the scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from onnx import TensorProto

from servable.domain.batch import Array
from servable.domain.signature import Signature
from servable.online.frozen.graph import Graph
from servable.online.learners.ftrl import STEEP
from servable.online.learners.weighted import Weighted
from servable.runtimes.classes import PREDICTION

MISSING: Final = "<missing>"
"""What a missing text is told to the graph; `options.missing_text` in the manifest."""


def graph_of(weighted: Weighted, signature: Signature, classes: tuple[str | int, ...]) -> bytes:
    """The ONNX file."""
    graph = Graph(signature)
    parts = [graph.constant(weighted.bias[None])]
    if weighted.weights.shape[1]:
        parts += _numbers(graph, weighted)
    parts += [_text(graph, name, told) for name, told in weighted.words.items()]
    scores = parts[0]
    for part in parts[1:]:
        scores = graph.node("Add", scores, part)
    if weighted.link == "number":
        return graph.finished({PREDICTION: graph.node("Squeeze", scores, graph.constant([1], np.int64))})
    one = graph.constant(1.0)
    steep = graph.node("Clip", scores, graph.constant(-STEEP), graph.constant(STEEP))
    chances = graph.node("Div", one, graph.node("Add", one, graph.node("Exp", graph.node("Neg", steep))))
    if len(weighted.bias) == 1:
        shares = graph.node("Concat", graph.node("Sub", one, chances), chances, axis=1)
    else:
        shares = graph.node("Div", chances, graph.node("ReduceSum", chances, graph.constant([1], np.int64)))
    return graph.finished(graph.classified(shares, classes))


def _numbers(graph: Graph, weighted: Weighted) -> list[str]:
    """What numbers add to the scores, and their absence."""
    values = graph.matrix()
    absent = None
    if weighted.absent is not None:
        absent = graph.node("IsNaN", values)
        values = graph.node("Where", absent, graph.constant(0.0), values)
    scaled = graph.node(
        "Div", graph.node("Sub", values, graph.constant(weighted.mean)), graph.constant(weighted.deviation)
    )
    if weighted.reach is not None:
        scaled = graph.node("Clip", scaled, graph.constant(-weighted.reach), graph.constant(weighted.reach))
    parts = [graph.node("MatMul", scaled, graph.constant(weighted.weights.T))]
    if absent is not None and weighted.absent is not None:
        told = graph.node("Cast", absent, to=TensorProto.DOUBLE)
        parts.append(graph.node("MatMul", told, graph.constant(weighted.absent.T)))
    return parts


def _text(graph: Graph, name: str, told: Mapping[str | None, Array]) -> str:
    """What a text adds: a row of a table, the last one for a text that nothing was learned of."""
    texts = [MISSING if text is None else text for text in told]
    flat = graph.node("Reshape", name, graph.constant([-1], np.int64))
    place = graph.node(
        "LabelEncoder", flat, domain="ai.onnx.ml", keys_strings=texts, values_int64s=list(range(len(texts))),
        default_int64=len(texts),
    )  # fmt: skip
    rows = np.vstack([*told.values(), np.zeros((1, len(next(iter(told.values())))))])
    return graph.node("Gather", graph.constant(rows), place)
