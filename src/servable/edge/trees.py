"""The trees of an ONNX model, if it is nothing else: nodes, weights of leaves, and what is made of their sums.

Source: onnx/onnx, docs/Operators-ml.md, TreeEnsembleClassifier and TreeEnsembleRegressor. What stands behind the trees
(a division, the label of the largest) is recognised, not computed: whoever uses it proves it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from servable.edge.slim import loaded
from servable.errors import Unsupported

CLASSIFIER: Final = "TreeEnsembleClassifier"
REGRESSOR: Final = "TreeEnsembleRegressor"
BEHIND: Final = frozenset({"Identity", "Reshape", "Div", "ArgMax", "Gather"})
MODES: Final = ("LEAF", "BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
TRANSFORMS: Final = frozenset({"NONE", "LOGISTIC", "SOFTMAX"})


class Node(msgspec.Struct, frozen=True):
    """A branch: `mode` of MODES, and where to go; a leaf: mode 0, its weights from `yes` up to `no`."""

    mode: int
    feature: int
    threshold: float
    yes: int
    no: int
    missing: bool


class Trees(msgspec.Struct, frozen=True):
    """`roots` and `nodes` by number, `weights` as (target, weight). `labels` of a classifier. A `single` score tells of
    two classes; `positive`: it is a share already. Sums are divided by `divisor`.
    """

    nodes: tuple[Node, ...]
    roots: tuple[int, ...]
    weights: tuple[tuple[int, float], ...]
    base: tuple[float, ...]
    targets: int
    labels: tuple[str | int, ...]
    transform: str
    single: bool
    positive: bool
    divisor: float


def trees(model: bytes) -> Trees:
    """Raises Unsupported that says what there is beside trees."""
    graph = loaded(model).graph
    kinds = [node.op_type for node in graph.node]
    others = sorted({kind for kind in kinds if kind not in {CLASSIFIER, REGRESSOR, *BEHIND}})
    if others or kinds[:1] not in ([CLASSIFIER], [REGRESSOR]) or kinds.count(kinds[0]) > 1:
        raise Unsupported(f"it is more than trees ({', '.join(others or kinds)})")
    told = {each.name: _value(each) for each in graph.node[0].attribute}
    if any(name.endswith("_as_tensor") for name in told):
        raise Unsupported("its trees compute in floats of 64 bits")
    transform = told.get("post_transform", b"NONE").decode()
    if transform not in TRANSFORMS or told.get("aggregate_function", b"SUM") not in {b"SUM", b"AVERAGE"}:
        raise Unsupported(f"its sums become answers by {transform}")
    return _trees(told, transform, _divisor(graph, told), classifier=kinds[0] == CLASSIFIER)


def _trees(told: dict[str, Any], transform: str, divisor: float, *, classifier: bool) -> Trees:
    prefix, kind = ("class", "class_ids") if classifier else ("target", "target_ids")
    labels = _labels(told) if classifier else ()
    targets = len(labels) or int(told.get("n_targets", 1))
    leaves: dict[tuple[int, int], list[tuple[int, float]]] = {}
    ids = told[kind]
    for tree, node, target, weight in zip(
        told[f"{prefix}_treeids"], told[f"{prefix}_nodeids"], ids, told[f"{prefix}_weights"], strict=True
    ):
        leaves.setdefault((tree, node), []).append((target, weight))
    single = classifier and targets == 2 and len(set(ids)) == 1
    places = {key: at for at, key in enumerate(zip(told["nodes_treeids"], told["nodes_nodeids"], strict=True))}
    missing = told.get("nodes_missing_value_tracks_true") or [0] * len(places)
    nodes: list[Node] = []
    weights: list[tuple[int, float]] = []
    for (tree, number), at in places.items():
        mode = MODES.index(told["nodes_modes"][at].decode())
        if mode:
            ends = (told["nodes_truenodeids"][at], told["nodes_falsenodeids"][at])
            yes, no = (places[tree, end] for end in ends)
            threshold = told["nodes_values"][at]
            nodes.append(Node(mode, told["nodes_featureids"][at], threshold, yes, no, bool(missing[at])))
        else:
            own = leaves.get((tree, number), [])
            nodes.append(Node(0, 0, 0.0, len(weights), len(weights) + len(own), missing=False))
            weights += [(0, weight) for _, weight in own] if single else own
    reached = {end for node in nodes if node.mode for end in (node.yes, node.no)}
    roots = tuple(at for at in range(len(nodes)) if at not in reached)
    base = tuple(told.get("base_values") or [])
    positive = single and min(weight for _, weight in weights) >= 0
    scores = 1 if single else targets
    if len(base) not in {0, scores}:
        raise Unsupported(f"its {len(base)} base values are not those of {scores} sums")
    base = base or (0.0,) * scores
    return Trees(
        tuple(nodes), roots, tuple(weights), base, targets, labels, transform, single, positive, divisor
    )  # fmt: skip


def _divisor(graph: Any, told: dict[str, Any]) -> float:
    """Of the sums: the number of trees where they are averaged, or what the graph divides by."""
    from onnx import numpy_helper

    if told.get("aggregate_function") == b"AVERAGE":
        return float(len(set(told["nodes_treeids"])))
    constants = {each.name: each for each in graph.initializer}
    divided = [node.input[1] for node in graph.node if node.op_type == "Div"]
    return float(numpy_helper.to_array(constants[divided[0]]).ravel()[0]) if divided else 1.0


def _labels(told: dict[str, Any]) -> tuple[str | int, ...]:
    texts = told.get("classlabels_strings")
    return tuple(each.decode() for each in texts) if texts else tuple(told["classlabels_int64s"])


def _value(attribute: Any) -> Any:
    from onnx import helper

    return helper.get_attribute_value(attribute)
