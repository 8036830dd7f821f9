"""The trees of scikit-learn's HistGradientBoosting as ONNX nodes: with its categories, and its thresholds unrounded.

skl2onnx writes a branch by categories as one by numbers, and every threshold as float32. Here each branch by categories
becomes a chain of equalities, and an ensemble that is asked in float64 compares in it. Imported only while
converting: it needs onnx. Source of what a branch does: sklearn/ensemble/_hist_gradient_boosting/_predictor.pyx.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from onnx import helper, numpy_helper

from servable.domain.batch import Array

_NEVER: Final = -1e9
"""No category has this number."""


class _Node(NamedTuple):
    """One node of the ensemble, as the operator's attributes have it."""

    nodes_treeids: int
    nodes_nodeids: int
    nodes_featureids: int = 0
    nodes_modes: str = "LEAF"
    nodes_values: float = 0.0
    nodes_truenodeids: int = 0
    nodes_falsenodeids: int = 0
    nodes_missing_value_tracks_true: int = 0


def rebuild(ensemble: Any, boosting: Any, *, double: bool) -> None:
    """Give the ensemble the nodes of the model's own trees, in place. Leaves keep their numbers and weights."""
    trees = [tree for iteration in boosting._predictors for tree in iteration]
    known = _known(boosting)
    nodes = [node for at, tree in enumerate(trees) for node in _nodes(at, tree, known)]
    attributes = {attribute.name: attribute for attribute in ensemble.attribute}
    columns = {name: [getattr(node, name) for node in nodes] for name in _Node._fields}
    weights = ["class_weights", "target_weights", "base_values"]
    floats = {"nodes_values": columns.pop("nodes_values")}
    floats.update({name: list(attributes[name].floats) for name in weights if name in attributes})
    kept = [each for name, each in attributes.items() if name not in {*columns, *floats, "nodes_hitrates"}]
    made = [helper.make_attribute(name, values) for name, values in columns.items()]
    made += [_floats(name, values, double=double) for name, values in floats.items()]
    del ensemble.attribute[:]
    ensemble.attribute.extend([*kept, *made])


def _floats(name: str, values: list[float], *, double: bool) -> Any:
    if double:
        return helper.make_attribute(f"{name}_as_tensor", numpy_helper.from_array(np.array(values, np.float64), name))
    return helper.make_attribute(name, np.array(values, np.float32).tolist())


def _nodes(tree_id: int, tree: Any, known: dict[int, set[int]]) -> list[_Node]:
    """The nodes of one tree; those that a chain adds come after the tree's own numbers."""
    found = []
    after = len(tree.nodes)
    for at, node in enumerate(tree.nodes):
        if node["is_leaf"]:
            found.append(_Node(tree_id, at))
            continue
        feature, left, right = int(node["feature_idx"]), int(node["left"]), int(node["right"])
        missing = int(node["missing_go_to_left"])
        if not node["is_categorical"]:
            value = float(node["num_threshold"])
            found.append(_Node(tree_id, at, feature, "BRANCH_LEQ", value, left, right, missing))
            continue
        chain = _chain(
            tree_id, at, after, node, _members(tree.raw_left_cat_bitsets[node["bitset_idx"]]), known[feature]
        )
        after += len(chain) - 1
        found.extend(chain)
    return found


def _chain(tree_id: int, at: int, after: int, node: Any, left: set[int], known: set[int]) -> list[_Node]:
    """A branch by categories as equalities in a row. What is missing or unknown equals none, and reaches the end."""
    named = known - left if node["missing_go_to_left"] else left
    there, end = (node["right"], node["left"]) if node["missing_go_to_left"] else (node["left"], node["right"])
    values = [float(value) for value in sorted(named)] or [_NEVER]
    ids = [at, *range(after, after + len(values) - 1)]
    falls = [*ids[1:], int(end)]
    return [
        _Node(tree_id, own, int(node["feature_idx"]), "BRANCH_EQ", value, int(there), fall)
        for own, value, fall in zip(ids, values, falls, strict=True)
    ]


def _known(boosting: Any) -> dict[int, set[int]]:
    """The categories seen in training, by feature."""
    if boosting.is_categorical_ is None:
        return {}
    bitsets, places = boosting._bin_mapper.make_known_categories_bitsets()
    chosen = np.flatnonzero(boosting._bin_mapper.is_categorical_)  # as encoded: categories come first there
    return {int(at): _members(bitsets[places[at]]) for at in chosen}


def _members(bitset: Array) -> set[int]:
    """The numbers in a set of 256, kept as eight words of 32 bits."""
    return {32 * word + bit for word, bits in enumerate(bitset) for bit in range(32) if int(bits) >> bit & 1}
