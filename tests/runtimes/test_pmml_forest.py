"""The walk through all trees: natively, and step by step; both reach the same leaves."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from servable.runtimes.pmml import ensemble
from servable.runtimes.pmml.ensemble import EQ, IN, LE, MISSING, compiled, two_ways
from servable.runtimes.pmml.forest import Forest, Growing
from servable.runtimes.pmml.predicates import Junction
from servable.runtimes.pmml.predicates import Test as Asked
from servable.runtimes.pmml.translate import translate
from servable.runtimes.pmml.values import Call, Scope, Texts

FILES = Path(__file__).parent.parent / "data" / "pmml"
TREES = ["tree", "forest", "forest_regression", "forest_titanic", "boosting", "histogram", "lightgbm", "xgboost",
         "isolation", "nyoka_tree", "nyoka_forest", "nyoka_lightgbm"]  # fmt: skip


def scope(**columns):
    rows = len(next(iter(columns.values())))
    arrays = {name: np.array(column, float) for name, column in columns.items()}
    return Scope(Call(Texts(), rows, tuple(arrays), np.array(list(arrays.values()))), arrays, {}, None)


def reached(forest, scope):
    return np.concatenate(list(forest.leaves(scope)))


def random_trees(random, kinds, trees=5, depth=6):
    """Trees as the reader of documents makes them, with every kind of test and three ways."""
    growing = Growing()
    for name in "abcd":
        growing.fields[name] = len(growing.fields)

    def grow(left):
        if not left or random.random() < 0.1:
            return growing.leaf(object())
        field, kind = random.choice(list("abcd")), random.choice(kinds)
        values = tuple(random.integers(0, 4, 2).astype(float)) if kind == "in" else (float(random.integers(0, 4)),)
        test = Asked(str(field), str(kind), () if kind == "missing" else values, bool(random.random() < 0.5))
        yes, no = grow(left - 1), grow(left - 1)
        return growing.when(test, yes, no, (yes, no, -1)[int(random.integers(3))])

    growing.roots.extend(grow(depth) for _ in range(trees))
    return growing


@pytest.mark.parametrize("kinds", [["le"], ["eq"], ["le", "eq", "in", "missing"]])
@pytest.mark.parametrize("seed", range(4))
def test_both_walks_reach_the_same_leaves(kinds, seed):
    random = np.random.default_rng(seed)
    forest = random_trees(random, kinds).done()
    assert forest._native is not None
    rows = random.choice([-np.inf, -1.0, 0.0, 0.5, 1.0, np.nextafter(2.0, 3.0), 3.0, 1e300, np.nan], (500, 4))
    rows[:100] = np.nan_to_num(rows[:100])
    np.testing.assert_array_equal(forest._reached(rows), forest._walked(rows))


@pytest.mark.parametrize("name", TREES)
def test_trees_that_other_tools_wrote_are_walked_natively(name, monkeypatch):
    """And answer as by the walk that is not."""
    made = []
    monkeypatch.setattr(Growing, "done", lambda growing, done=Growing.done: made.append(done(growing)) or made[-1])
    document = translate(gzip.decompress((FILES / f"{name}.pmml.gz").read_bytes()), name)
    assert made
    assert all(forest._native is not None for forest in made)
    given = json.loads((FILES / f"{name}.json").read_text())["inputs"]
    count = len(next(iter(given.values())))
    columns = {
        field.name: np.array([np.nan if value is None else value for value in given.get(field.name, [None] * count)],
                             object if field.datatype == "BYTES" else field.dtype)
        for field in document.inputs
    }  # fmt: skip
    natively = document.answer(columns, count)
    for forest in made:
        forest._native = None
    for key, expected in document.answer(columns, count).items():
        np.testing.assert_array_equal(natively[key], expected)


def test_a_walk_that_goes_elsewhere_is_not_used(monkeypatch):
    real = ensemble.compiled
    monkeypatch.setattr(
        "servable.runtimes.pmml.forest.compiled", lambda *given: lambda rows: real(*given)(np.abs(rows) + 1)
    )
    forest = random_trees(np.random.default_rng(0), ["le"]).done()
    assert forest._native is None
    assert reached(forest, scope(a=[1], b=[2], c=[3], d=[0])).shape == (1, 5)


def test_limits_are_of_double_precision():
    near = np.nextafter(0.1, 1.0)
    growing = Growing()
    growing.roots.append(growing.when(Asked("a", "le", (0.1,)), growing.leaf("low"), growing.leaf("high"), -1))
    found = reached(growing.done(), scope(a=[0.1, near, np.float32(0.1)]))
    assert [growing.leaves[leaf] for leaf in found[:, 0]] == ["low", "high", "high"]


def test_a_sibling_that_asks_the_same_is_not_asked():
    growing = Growing()
    low, high = growing.leaf("low"), growing.leaf("high")
    second = growing.when(Asked("a", "le", (1.0,), negated=True), high, -1, -1)
    growing.roots.append(growing.when(Asked("a", "le", (1.0,)), low, second, -1))
    assert growing.nodes[-1] == (0, LE, 1.0, low, high, -1)


def test_trees_that_would_be_written_too_often_or_too_deep_are_walked_step_by_step():
    nodes = [(0, EQ, 0.0, -2, -3, -1)]
    for at in range(1, 40):  # each leads to the one before it, twice
        nodes.append((0, LE, float(at), at - 1, at - 1, at - 1))
    assert compiled(nodes, [], [39], 1) is None
    chain = [(0, EQ, float(at), -2, at - 1 if at else -3, -1) for at in range(5000)]
    assert compiled(chain, [], [4999], 1) is None
    assert Forest(["a"], chain, [4999], [])._walked(np.array([[4.0], [-1.0]])).tolist() == [[1], [2]]


def test_a_set_is_a_row_of_equalities_and_an_empty_one_has_no_members():
    nodes = [(0, IN, 0.0, -2, -3, -1), (0, IN, 1.0, -2, 0, 0), (0, MISSING, 0.0, -4, 1, 1)]
    assert not two_ways(nodes)
    walk = compiled(nodes, [(1.0, 2.0), ()], [2], 1)
    assert walk(np.array([[1.0], [2.0], [3.0], [np.nan]])).ravel().tolist() == [1, 1, 2, 3]


def test_predicates_of_several_parts():
    growing = Growing()
    yes, no = growing.leaf("yes"), growing.leaf("no")
    parts = (Asked("a", "le", (1.0,)), Asked("b", "le", (1.0,)))
    for operator in ("and", "or", "xor", "surrogate"):
        growing.roots.append(growing.when(Junction(operator, parts), yes, no, -1))
    found = reached(growing.done(), scope(a=[0, 0, 2, np.nan], b=[0, 2, 2, 0]))
    assert [[growing.leaves[leaf] for leaf in row] for row in found] == [
        ["yes", "yes", "no", "yes"],
        ["no", "yes", "yes", "yes"],
        ["no", "no", "no", "no"],
        [None, "yes", None, "yes"],
    ]


def test_inputs_are_taken_at_once_only_where_nothing_touches_them():
    growing = Growing()
    growing.roots.append(growing.when(Asked("b", "le", (1.0,), False), growing.leaf("low"), growing.leaf("high"), -1))
    forest = growing.done()
    plain = scope(a=[5, 5], b=[0, 2])
    assert plain.untouched
    treated = Scope(plain.call, {"b": np.array([2.0, 0.0])}, {}, plain)
    derived = Scope(plain.call, {"a": plain.columns["a"]}, {"b": lambda seen: 2 - seen.call.numbers[1]}, None)
    assert not treated.untouched
    assert not derived.untouched
    low, high = (growing.leaves.index(name) for name in ("low", "high"))
    for one, expected in ((plain, [low, high]), (treated, [high, low]), (derived, [high, low]), (plain, [low, high])):
        assert reached(forest, one)[:, 0].tolist() == expected
    other = scope(b=[0, 2], a=[5, 5])
    assert reached(forest, other)[:, 0].tolist() == [low, high]
