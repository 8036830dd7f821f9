"""Rows that trees answer alike, one after another: then the processor guesses right which branch comes next.

onnxruntime takes a block of rows through one tree after another, and what that costs is mostly branches guessed wrong.
So the rows of a large batch are put in the order of their answers to the questions that most trees begin with. Each
row's numbers stay the same to the last bit, as no row knows of another. Knows nothing of onnxruntime; `onnx.py` calls
it. Field numbers: onnx/onnx.proto.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from servable.domain.batch import Array, Batch
from servable.runtimes.protobuf import Part, floats, integers, parts, text_field

LEAST_ROWS: Final = 512
"""Of fewer, the order costs about as much as it saves."""
MOST: Final = 16
"""Questions: one for each bit of a number that numpy sorts by its digits."""
TREES: Final = frozenset({"TreeEnsembleClassifier", "TreeEnsembleRegressor"})
PLAIN: Final = frozenset({"Cast", "Identity"})
"""What else may be in the graph: each of these answers a value without looking at its neighbours."""
_GRAPH, _NODE, _INPUT, _ATTRIBUTE = 7, 1, 11, 5


class Questions(NamedTuple):
    """Is the value of this feature at most this limit? The one that most trees begin with comes first."""

    features: tuple[int, ...]
    limits: tuple[float, ...]


def questions(model: bytes) -> Questions | None:
    """Those of a model of nothing but trees over its only input; None for any other."""
    graph = next(part for part in parts(model) if part.number == _GRAPH)
    fields = list(parts(model, graph.start, graph.stop))
    inputs = [text_field(model, field, 1) for field in fields if field.number == _INPUT]
    rows, roots = set(inputs), []
    for node in (field for field in fields if field.number == _NODE):
        operator, source = text_field(model, node, 4), text_field(model, node, 1)
        if operator in TREES and source in rows:
            roots.append(_roots(model, node))
        elif operator not in PLAIN:
            return None
        elif source in rows:
            rows.add(text_field(model, node, 2))
    if len(inputs) != 1 or not roots:
        return None
    asked, counts = np.unique(np.concatenate(roots), axis=0, return_counts=True)
    most = asked[np.argsort(-counts, kind="stable")[:MOST]]
    return Questions(tuple(most[:, 0].astype(int).tolist()), tuple(most[:, 1].tolist())) if len(most) else None


def order(asked: Questions, batch: Batch) -> Array | None:
    """Where each row comes from, if those of the same answers stand together; None for what are no rows of the model:
    onnxruntime will say so.
    """
    rows = next(iter(batch.columns.values()), None)
    if rows is None or len(batch.columns) > 1 or rows.ndim != 2 or max(asked.features) >= rows.shape[1]:
        return None
    answers = np.zeros(len(rows), np.uint16)
    for feature, limit in zip(*asked, strict=True):
        answers <<= 1
        answers |= rows[:, feature] <= limit
    return np.argsort(answers, kind="stable")


def placed(batch: Batch, came_from: Array) -> dict[str, Array]:
    """The rows in that order."""
    return {name: np.take(array, came_from, axis=0) for name, array in batch.columns.items()}


def back(answer: Batch, came_from: Array) -> Batch:
    """The answers in the order that the rows had."""
    found = {name: np.empty_like(array) for name, array in answer.columns.items()}
    for name, array in answer.columns.items():
        found[name][came_from] = array
    return Batch(found, answer.rows)


def _roots(model: bytes, node: Part) -> Array:
    """Feature and limit at the root of each tree, which stands first of its nodes."""
    told = {text_field(model, one, 1): one for one in parts(model, node.start, node.stop) if one.number == _ATTRIBUTE}
    names = ("nodes_treeids", "nodes_featureids", "nodes_values")
    if not told.keys() >= set(names):
        return np.empty((0, 2))
    trees, features, limits = (told[name] for name in names)
    _, first = np.unique(integers(model, trees, 8), return_index=True)
    return np.column_stack([integers(model, features, 8)[first], floats(model, limits, 7)[first]])
