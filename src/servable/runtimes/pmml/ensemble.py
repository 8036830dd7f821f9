"""The walk through all trees in native code: an ONNX ensemble of them, run by onnxruntime, whose answer to a row is the
number of the leaf that it reaches in each tree.

Leaves, not sums of their scores: so that comparing, in float64, is all that is done elsewhere, and what becomes of the
leaves is the same to the last bit. Called by `forest.py`, which holds it against its own walk before it is used. Source
of the attributes: onnx.ai, "TreeEnsembleRegressor", version 3 of ai.onnx.ml.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from servable.domain.batch import Array
from servable.runtimes.onnx import session_options
from servable.runtimes.pmml.values import Floats
from servable.runtimes.protobuf import packed, put

Node = tuple[int, int, float, int, int, int]
"""Field, kind of test, value (or the number of a set), and the ways on: true, false, unknown. Below zero: a leaf."""

LE, EQ, IN, MISSING = range(4)
LARGEST: Final = 4
"""A node that several ways lead to is written once for each: so many times all nodes, and the walk is not native."""
DEEPEST: Final = 1000
"""Rows below each other: the library reads a tree by recursion."""
_LEAVES: Final = 1 << 24
"""Numbers that float32, in which the leaves are told, holds without a gap."""
_LEAF: Final = -1
_MODES: Final = {LE: put(9, "BRANCH_LEQ"), EQ: put(9, "BRANCH_EQ"), _LEAF: put(9, "LEAF")}
_INT, _TENSOR, _INTS, _STRINGS, _STRING = 2, 4, 7, 8, 3
_FLOAT, _DOUBLE = 1, 11

Walk = Callable[[Floats], Array]
"""From rows [rows, fields] to leaves [rows, trees]."""


def compiled(
    nodes: Sequence[Node], sets: Sequence[tuple[float, ...]], roots: Sequence[int], fields: int
) -> Walk | None:
    """The walk; None where the trees are too entangled to be written apart.

    A row without a missing value is led by the ways true and false alone. One with a missing value is led right where
    `two_ways` holds.
    """
    import onnxruntime

    written = _Written(nodes, sets, LARGEST * len(nodes) + 64 * len(roots))
    if not nodes or not all(written.add(tree, root) for tree, root in enumerate(roots)):
        return None
    if max(number for _, _, number in written.leaves) >= _LEAVES:
        return None
    model = _model(written, len(roots), fields)
    session = onnxruntime.InferenceSession(model, session_options(1), providers=["CPUExecutionProvider"])
    run = session._sess.run  # as `onnx.py` calls it
    options = onnxruntime.RunOptions()
    options.log_severity_level = 3

    def walk(rows: Floats) -> Array:
        (leaves,) = run(["leaves"], {"rows": rows}, options)
        return np.asarray(leaves, np.intp).reshape(len(rows), len(roots))

    return walk


def two_ways(nodes: Sequence[Node]) -> bool:
    """Whether no test of a missing value leads elsewhere than both other answers."""
    return all(kind == MISSING or unknown in {yes, no} for _, kind, _, yes, no, unknown in nodes)


class _Written:
    """`rows`: tree, place, field, mode, value, the places of true and false, whether a missing value goes with true.
    `leaves`: tree, place, number.
    """

    def __init__(self, nodes: Sequence[Node], sets: Sequence[tuple[float, ...]], most: int) -> None:
        self.rows: list[tuple[int, int, int, int, float, int, int, int]] = []
        self.leaves: list[tuple[int, int, int]] = []
        self._nodes = nodes
        self._sets = sets
        self._most = most

    def add(self, tree: int, root: int) -> bool:
        """A tree, from its root on; False if it is too large. A set becomes a row of equalities, which share the place
        of their true.
        """
        next_place = 1
        waiting = [(root, 0, 0)]
        while waiting:
            way, place, depth = waiting.pop()
            if depth > DEEPEST or len(self.rows) > self._most:
                return False
            if way < 0:
                self.rows.append((tree, place, 0, _LEAF, 0.0, 0, 0, 0))
                self.leaves.append((tree, place, -way - 1))
                continue
            field, kind, value, yes, no, unknown = self._nodes[way]
            values: tuple[float, ...] = (value,)
            if kind == MISSING:  # all that is there is at most infinity
                values, yes, no, unknown = (np.inf,), no, yes, yes
            elif kind == IN:
                values = self._sets[int(value)] or (np.nan,)  # nothing equals NaN
            true, next_place = next_place, next_place + 1
            waiting.append((yes, true, depth + len(values)))
            for each in values:
                mode = LE if kind in {LE, MISSING} else EQ
                self.rows.append((tree, place, field, mode, each, true, next_place, int(unknown == yes)))
                place, next_place = next_place, next_place + 1
            waiting.append((no, place, depth + len(values)))
        return True


def _model(written: _Written, trees: int, fields: int) -> bytes:
    tree, place, field, mode, value, true, false, missing = zip(*written.rows, strict=True)
    leaf_tree, leaf_place, leaf = zip(*written.leaves, strict=True)
    ensemble = b"".join((
        put(1, "rows"), put(2, "leaves"), put(4, "TreeEnsembleRegressor"), put(7, "ai.onnx.ml"),
        _ints("nodes_treeids", tree), _ints("nodes_nodeids", place), _ints("nodes_featureids", field),
        put(5, put(1, "nodes_modes") + b"".join([_MODES[each] for each in mode]) + put(20, _STRINGS)),
        _doubles("nodes_values_as_tensor", value), _ints("nodes_truenodeids", true), _ints("nodes_falsenodeids", false),
        _ints("nodes_missing_value_tracks_true", missing),
        _ints("target_treeids", leaf_tree), _ints("target_nodeids", leaf_place), _ints("target_ids", leaf_tree),
        _doubles("target_weights_as_tensor", leaf),
        put(5, put(1, "n_targets") + put(3, trees) + put(20, _INT)),
        put(5, put(1, "aggregate_function") + put(4, "SUM") + put(20, _STRING)),
        put(5, put(1, "post_transform") + put(4, "NONE") + put(20, _STRING)),
    ))  # fmt: skip
    graph = put(1, ensemble) + put(2, "trees")
    graph += put(11, _tensor("rows", _DOUBLE, fields)) + put(12, _tensor("leaves", _FLOAT, trees))
    opsets = [put(8, put(1, domain) + put(2, version)) for domain, version in (("", 13), ("ai.onnx.ml", 3))]
    return put(1, 8) + put(7, graph) + b"".join(opsets)


def _ints(name: str, values: Sequence[int]) -> bytes:
    return put(5, put(1, name) + packed(8, np.array(values, np.uint64)) + put(20, _INTS))


def _doubles(name: str, values: Sequence[float]) -> bytes:
    tensor = put(1, len(values)) + put(2, _DOUBLE) + put(8, name) + put(9, np.array(values, "<f8").tobytes())
    return put(5, put(1, name) + put(5, tensor) + put(20, _TENSOR))


def _tensor(name: str, kind: int, columns: int) -> bytes:
    """The declaration of a matrix with any number of rows."""
    shape: Any = put(1, b"") + put(1, put(1, columns))
    return put(1, name) + put(2, put(1, put(1, kind) + put(2, shape)))
