"""<TreeModel>, and the <Segmentation> that is a plain forest of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from servable.domain.batch import Array
from servable.errors import CorruptModel
from servable.runtimes.pmml.document import Element, unsupported
from servable.runtimes.pmml.forest import NULL, Growing
from servable.runtimes.pmml.predicates import predicate
from servable.runtimes.pmml.result import Result, Shape
from servable.runtimes.pmml.values import Floats, Names, Scope

STRATEGIES: Final = {"none", "lastPrediction", "nullPrediction", "defaultChild"}
VOTES: Final = {"majorityVote", "weightedMajorityVote"}
JOINS: Final = {
    "average",
    "weightedAverage",
    "sum",
    "weightedSum",
    "median",
    "max",
    "majorityVote",
    "weightedMajorityVote",
}


def grow(model: Element, names: Names, growing: Growing) -> None:
    """Add a tree to those that grow; its leaves are the nodes' elements."""
    strategy = model.get("missingValueStrategy", "none")
    if strategy not in STRATEGIES:
        raise unsupported(model, f"missingValueStrategy {strategy!r}")
    last = model.get("noTrueChildStrategy") == "returnLastPrediction"

    def branch(node: Element) -> int:
        if node.first("EmbeddedModel", "Regression", "DecisionTree"):
            raise unsupported(node, "a model inside a node")
        children = list(node.all("Node"))
        here = growing.leaf(node)
        if not children:
            return here
        ways = {id(child): branch(child) for child in children}
        default = next((ways[id(child)] for child in children if child.get("id") == node.get("defaultChild")), NULL)
        way = here if last else NULL
        for child in reversed(children):
            unknown = {"none": way, "lastPrediction": here, "nullPrediction": NULL, "defaultChild": default}[strategy]
            way = growing.when(predicate(child, names), ways[id(child)], way, unknown)
        return way

    root = model.need("Node")
    growing.roots.append(growing.when(predicate(root, names), branch(root), NULL, NULL))


def tree_model(model: Element, names: Names, shape: Shape) -> tuple[Callable[[Scope], Result], Shape]:
    """One tree."""
    growing = Growing()
    grow(model, names, growing)
    forest = growing.done()
    nodes: Sequence[Element | None] = growing.leaves
    entities = tuple(node.get("id") if node else "" for node in nodes)
    if shape.function == "regression":
        values = _numbers(nodes)

        def number(scope: Scope) -> Result:
            leaf = _together([part[:, 0] for part in forest.leaves(scope)])
            return Result(values[leaf], entity=leaf)

        return number, _with(shape, entities)
    scores, codes = _shares(nodes, shape), _codes(nodes, shape)

    def label(scope: Scope) -> Result:
        leaf = _together([part[:, 0] for part in forest.leaves(scope)])
        return Result(codes[leaf], scores[leaf], entity=leaf)

    return label, _with(shape, entities)


def joined(
    models: Sequence[tuple[Element, Names]], weights: Sequence[float], method: str, shape: Shape
) -> Callable[[Scope], Result]:
    """Many trees, their answers put together by `method`, one of JOINS."""
    growing = Growing()
    for model, names in models:
        grow(model, names, growing)
    forest = growing.done()
    share = np.array(weights)
    if method in {"average", "sum", "median", "max", "majorityVote"}:
        share = np.ones(len(models))
    if shape.function == "regression":
        values = _numbers(growing.leaves)
        reduce: dict[str, Callable[[Floats], Floats]] = {
            "median": lambda found: np.median(found, axis=1),
            "max": lambda found: found.max(axis=1),
            "sum": lambda found: found @ share,
            "weightedSum": lambda found: found @ share,
            "average": lambda found: found @ share / share.sum(),
            "weightedAverage": lambda found: found @ share / share.sum(),
        }
        if method not in reduce:
            raise CorruptModel(f"a regression cannot join its trees by {method!r}")
        join = reduce[method]
        return lambda scope: Result(_together([join(values[part]) for part in forest.leaves(scope)]))
    if method in {"sum", "weightedSum", "median"}:
        raise CorruptModel(f"a classification cannot join its trees by {method!r}")
    table = _votes(growing.leaves, shape) if method.lower().endswith("vote") else _shares(growing.leaves, shape)
    table = np.ascontiguousarray(table.T)
    codes = np.array(shape.codes)

    def vote(scope: Scope) -> Result:
        scores = _together([_sum(table, part, share, largest=method == "max") for part in forest.leaves(scope)])
        missing = np.isnan(scores)
        if not missing.any():
            return Result(codes[scores.argmax(axis=1)], scores)
        gone = np.asarray(missing.any(axis=1))
        value = codes[np.where(gone[:, None], -np.inf, scores).argmax(axis=1)]
        value[gone] = np.nan
        return Result(value, scores)

    return vote


def _sum(table: Floats, leaves: Array, share: Floats, *, largest: bool) -> Floats:
    """Weighted mean over trees of the leaves' entries in a table [classes, leaves]: [rows, classes]."""
    if largest:
        found: Floats = table[:, leaves].max(axis=2).T
        return found
    out: Floats = np.empty((len(leaves), len(table)))
    for column, scores in enumerate(table):
        out[:, column] = scores.take(leaves) @ share
    return np.asarray(out / share.sum())


def _together(parts: Sequence[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _with(shape: Shape, entities: tuple[str, ...]) -> Shape:
    return Shape(shape.function, shape.kind, shape.classes, shape.codes, entities)


def _numbers(nodes: Sequence[Element | None]) -> Floats:
    return np.array(
        [node.number("score") if node is not None and "score" in node.attributes else np.nan for node in nodes]
    )


def _codes(nodes: Sequence[Element | None], shape: Shape) -> Floats:
    known = dict(zip(shape.classes, shape.codes, strict=True))
    shares = _shares(nodes, shape)
    out = np.full(len(nodes), np.nan)
    for at, node in enumerate(nodes):
        if node is None:
            continue
        if "score" in node.attributes:
            out[at] = known[node.get("score")]
        elif not np.isnan(shares[at]).any():
            out[at] = shape.codes[int(shares[at].argmax())]
    return out


def _shares(nodes: Sequence[Element | None], shape: Shape) -> Floats:
    """Probabilities of the classes at each leaf: as stated, or by the counts of records, or certain."""
    place = {label: at for at, label in enumerate(shape.classes)}
    out = np.full((len(nodes), len(place)), np.nan)
    for row, node in enumerate(nodes):
        if node is None:
            continue
        counts = list(node.all("ScoreDistribution"))
        if counts:
            attribute = "probability" if all("probability" in each.attributes for each in counts) else "recordCount"
            found = np.zeros(len(place))
            for each in counts:
                found[_at(place, each, "value")] = each.number(attribute)
            out[row] = found if attribute == "probability" else found / found.sum()
        elif "score" in node.attributes:
            out[row] = 0.0
            out[row, _at(place, node, "score")] = 1.0
    return out


def _votes(nodes: Sequence[Element | None], shape: Shape) -> Floats:
    """One for the class each leaf votes for; nothing from a leaf without a prediction."""
    codes = _codes(nodes, shape)
    return np.asarray(codes[:, None] == np.array(shape.codes)[None, :], np.float64)


def _at(place: dict[str, int], element: Element, attribute: str) -> int:
    label = element.must(attribute)
    if label not in place:
        raise CorruptModel(f"{element}: {label!r} is not one of the target's values: {', '.join(place)}")
    return place[label]
