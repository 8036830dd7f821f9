"""Finishes the trees of a converted graph: what scikit-learn's trees and forests do, and skl2onnx leaves out.

Where a missing value goes at each branch, and the votes of a forest counted without rounding. Imported only while
converting: it needs onnx.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from onnx import helper, numpy_helper

from servable.bundles.histogram_trees import rebuild
from servable.domain.batch import Array

_TREES: Final = ("DecisionTree", "ExtraTree", "RandomForest")
_FORESTS: Final = ("RandomForestClassifier", "ExtraTreesClassifier")


def finish(graph: Any, estimator: Any, *, double: bool) -> None:
    """Correct the one tree ensemble of a converted tree or forest, in place; any other graph is left alone.

    `double`: the graph computes in float64, up to the trees of what compares in it.
    """
    ensembles = [node for node in graph.node if node.op_type.startswith("TreeEnsemble")]
    kind = type(estimator).__name__
    if len(ensembles) == 1 and kind.startswith("HistGradientBoosting"):
        rebuild(ensembles[0], estimator, double=double)
    if len(ensembles) != 1 or not kind.startswith(_TREES):
        return
    _lead_missing(ensembles[0], [part.tree_ for part in getattr(estimator, "estimators_", [estimator])])
    if kind in _FORESTS:
        _count_votes(graph, ensembles[0], estimator)


def _lead_missing(node: Any, trees: list[Any]) -> None:
    """A missing value goes where the tree learned it should, or where most values went."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    places = zip(attributes["nodes_treeids"].ints, attributes["nodes_nodeids"].ints, strict=True)
    left = [int(trees[tree].missing_go_to_left[place]) for tree, place in places]
    if "nodes_missing_value_tracks_true" not in attributes:
        node.attribute.append(helper.make_attribute("nodes_missing_value_tracks_true", left))
    else:
        attributes["nodes_missing_value_tracks_true"].ints[:] = left


def _count_votes(graph: Any, node: Any, forest: Any) -> None:
    """Sum the trees' shares and divide once, as scikit-learn does.

    The converter divides each share first; the sum of a hundred rounded hundredths then decides between classes that
    have equally many votes. Whole shares add up exactly, and of equals the first class wins, in both.
    """
    count = forest.n_estimators
    for attribute in node.attribute:
        if attribute.name == "class_weights":
            attribute.floats[:] = [np.float32(np.float64(weight) * count) for weight in attribute.floats]
    label, shares = node.output
    names, total, votes = f"{label}_names", f"{shares}_trees", f"{shares}_votes"
    node.output[:] = [f"{label}_unused", f"{shares}_sums"]
    classes = np.asarray(forest.classes_)
    _constant(graph, names, classes.astype(object) if classes.dtype.kind in "USO" else classes.astype(np.int64))
    _constant(graph, total, np.array([count], np.float32))
    added = [
        helper.make_node("Div", [votes, total], [shares]),
        helper.make_node("ArgMax", [votes], [f"{label}_index"], axis=1, keepdims=0),
        helper.make_node("Gather", [names, f"{label}_index"], [label], axis=0),
    ]
    (ids,) = (set(attribute.ints) for attribute in node.attribute if attribute.name == "class_ids")
    if len(ids) == 1 and len(classes) > 1:  # only the second class is counted: the first has the other votes
        _constant(graph, f"{votes}_second", np.array([1], np.int64))
        added[:0] = [
            helper.make_node("Gather", [f"{shares}_sums", f"{votes}_second"], [f"{votes}_1"], axis=1),
            helper.make_node("Sub", [total, f"{votes}_1"], [f"{votes}_0"]),
            helper.make_node("Concat", [f"{votes}_0", f"{votes}_1"], [votes], axis=1),
        ]
    else:
        added.insert(0, helper.make_node("Identity", [f"{shares}_sums"], [votes]))
    nodes = list(graph.node)
    at = nodes.index(node) + 1
    del graph.node[:]
    graph.node.extend([*nodes[:at], *added, *nodes[at:]])


def _constant(graph: Any, name: str, values: Array) -> str:
    graph.initializer.append(numpy_helper.from_array(values, name))
    return name
