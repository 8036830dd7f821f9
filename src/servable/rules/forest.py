"""Forest: an isolation forest as plain numbers, evaluated without the library that grew it.

A row that few random cuts set apart from all others is unlike them. Its score is 2^(-d/c), d being the mean depth at
which the trees isolate it and c the depth that chance would take: near 1 far out, below 0.5 among the others. Source:
Liu, Ting, Zhou, "Isolation Forest", ICDM 2008.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from servable.domain.batch import Array
from servable.errors import MissingExtra

TREES: Final = 100
ROWS_A_TREE: Final = 256
AT_ONCE: Final = 4096
"""Rows that go down the trees together."""
FARTHEST: Final = float(np.finfo(np.float32).max)
EULER: Final = 0.5772156649015329


class Trees(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The nodes of all trees behind one another; each tree begins at one of `roots`.

    A row goes on to `left` where its `feature` is at most `threshold`, else to `right`; a leaf leads to itself. `depth`
    is how deep a row that ends in the node is isolated, and `levels` the longest way down.
    """

    roots: list[int]
    feature: list[int]
    threshold: list[float]
    left: list[int]
    right: list[int]
    depth: list[float]
    levels: int
    expected: float


def grow(rows: Array, seed: int = 0) -> Trees:
    """Fit the trees to rows [rows, features]. Raises MissingExtra."""
    try:
        from sklearn.ensemble import IsolationForest
    except ImportError as error:
        raise MissingExtra("sklearn", "fit an isolation forest", missing=error.name) from error
    most = min(ROWS_A_TREE, len(rows))
    forest = IsolationForest(n_estimators=TREES, max_samples=most, random_state=seed).fit(rows.astype(np.float32))
    roots: list[int] = []
    parts: dict[str, list[Any]] = {name: [] for name in ("feature", "threshold", "left", "right", "depth")}
    levels = 0
    for grown in forest.estimators_:
        tree = grown.tree_
        start = len(parts["feature"])
        roots.append(start)
        leaf = tree.children_left < 0
        own = np.arange(tree.node_count)
        depth = _depths(tree)
        levels = max(levels, int(depth.max()))
        parts["feature"] += np.where(leaf, 0, tree.feature).tolist()
        parts["threshold"] += [float(str(value)) for value in _below(tree.threshold)]
        parts["left"] += (start + np.where(leaf, own, tree.children_left)).tolist()
        parts["right"] += (start + np.where(leaf, own, tree.children_right)).tolist()
        parts["depth"] += np.round(depth + expected_depth(tree.n_node_samples), 6).tolist()
    return Trees(roots, levels=levels, expected=float(expected_depth(np.array([most]))[0]), **parts)


class Forest:
    """The trees, ready to score rows."""

    def __init__(self, trees: Trees) -> None:
        self._roots = np.array(trees.roots, np.intp)
        self._feature = np.array(trees.feature, np.intp)
        self._threshold = np.array(trees.threshold, np.float32)
        self._left = np.array(trees.left, np.intp)
        self._right = np.array(trees.right, np.intp)
        self._depth = np.array(trees.depth)
        self._levels = trees.levels
        self._expected = trees.expected

    def scores(self, rows: Array) -> Array:
        """The score of each row [rows, features]."""
        narrow = np.clip(rows, -FARTHEST, FARTHEST).astype(np.float32)
        parts = [self._some(narrow[start : start + AT_ONCE]) for start in range(0, max(len(narrow), 1), AT_ONCE)]
        return np.concatenate(parts)

    def _some(self, rows: Array) -> Array:
        node = np.broadcast_to(self._roots, (len(rows), len(self._roots)))
        row = np.arange(len(rows))[:, None]
        for _ in range(self._levels):
            under = rows[row, self._feature[node]] <= self._threshold[node]
            node = np.where(under, self._left[node], self._right[node])
        return np.asarray(np.exp2(-self._depth[node].mean(axis=1) / self._expected))


def expected_depth(rows: Array) -> Array:
    """The mean depth of an unsuccessful search in a binary tree of so many rows."""
    count = np.maximum(rows.astype(np.float64), 2.0)
    depth = 2.0 * (np.log(count - 1.0) + EULER) - 2.0 * (count - 1.0) / count
    return np.where(rows <= 1, 0.0, np.where(rows == 2, 1.0, depth))


def _depths(tree: Any) -> Array:
    """How many cuts lead to each node. Children stand behind their parents."""
    depth = np.zeros(tree.node_count)
    for node in range(tree.node_count):
        for child in (tree.children_left[node], tree.children_right[node]):
            if child >= 0:
                depth[child] = depth[node] + 1
    return depth


def _below(thresholds: Array) -> Array:
    """The 32-bit floats at or below: a 32-bit value is at most one exactly where it is at most the other."""
    narrow = thresholds.astype(np.float32)
    return np.where(narrow > thresholds, np.nextafter(narrow, np.float32(-np.inf)), narrow)
