"""Decision diagrams: what every tree of a document becomes, and how rows of a batch go through all trees at once.

A node tests one field and has three ways on: true, false, unknown. A predicate of several parts becomes several nodes.
Ways below zero are leaves. Knows no XML.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from servable.domain.batch import Array
from servable.runtimes.pmml.predicates import Junction, Predicate, Test
from servable.runtimes.pmml.values import Scope

CHUNK: Final = 1 << 14
"""Rows times trees that are walked together: what fits the cache of a core."""

_KINDS: Final = {"le": 0, "eq": 1, "in": 2, "missing": 3}
NULL: Final = -1
"""The leaf without a prediction."""


class Growing:
    """Nodes while trees are read."""

    def __init__(self) -> None:
        self.fields: dict[str, int] = {}
        self.leaves: list[Any] = [None]
        self.roots: list[int] = []
        self.nodes: list[tuple[int, int, float, int, int, int]] = []
        self._sets: list[tuple[float, ...]] = []
        self._seen: dict[tuple[Any, ...], int] = {}

    def leaf(self, payload: Any) -> int:
        """A way that ends here."""
        self.leaves.append(payload)
        return -len(self.leaves)

    def when(self, predicate: Predicate, yes: int, no: int, unknown: int) -> int:
        """The way that starts with testing a predicate."""
        if isinstance(predicate, bool):
            return yes if predicate else no
        if isinstance(predicate, Test):
            return self._test(predicate, yes, no, unknown)
        first = predicate.parts[0]
        if len(predicate.parts) == 1:
            return self.when(first, yes, no, unknown)
        rest = Junction(predicate.operator, predicate.parts[1:])
        if predicate.operator == "and":
            return self.when(
                first,
                self.when(rest, yes, no, unknown),
                no,
                no if no == unknown else self.when(rest, unknown, no, unknown),
            )
        if predicate.operator == "or":
            return self.when(
                first, yes, self.when(rest, yes, no, unknown),
                yes if yes == unknown else self.when(rest, yes, unknown, unknown),
            )  # fmt: skip
        if predicate.operator == "xor":
            return self.when(first, self.when(rest, no, yes, unknown), self.when(rest, yes, no, unknown), unknown)
        return self.when(first, yes, no, self.when(rest, yes, no, unknown))

    def _test(self, test: Test, yes: int, no: int, unknown: int) -> int:
        if test.negated:
            yes, no = no, yes
        key = (test.field, test.kind, test.values, yes, no, unknown)
        found = self._seen.get(key)
        if found is None:
            field = self.fields.setdefault(test.field, len(self.fields))
            value = float(len(self._sets)) if test.kind == "in" else (test.values[0] if test.values else 0.0)
            if test.kind == "in":
                self._sets.append(test.values)
            self.nodes.append((field, _KINDS[test.kind], value, yes, no, unknown))
            found = self._seen[key] = len(self.nodes) - 1
        return found

    def done(self) -> Forest:
        """The trees, to be walked."""
        return Forest(list(self.fields), self.nodes, self.roots, self._sets)


class Forest:
    """Trees as arrays."""

    def __init__(
        self,
        fields: list[str],
        nodes: list[tuple[int, int, float, int, int, int]],
        roots: list[int],
        sets: list[tuple[float, ...]],
    ) -> None:
        self._fields = fields
        columns = np.array(nodes, np.float64).reshape(-1, 6)
        self._field = columns[:, 0].astype(np.intp)
        self._kind = columns[:, 1].astype(np.int8)
        self._value = columns[:, 2].copy()
        self._ways = columns[:, 3:].astype(np.intp).ravel()
        self._roots = np.array(roots, np.intp)
        self._plain = not self._kind.any()
        self._members = np.array(sorted({value for values in sets for value in values}) or [0.0])
        self._sets = np.zeros((max(1, len(sets)), len(self._members)), bool)
        for at, values in enumerate(sets):
            self._sets[at, np.searchsorted(self._members, values)] = True

    @property
    def trees(self) -> int:
        return len(self._roots)

    def leaves(self, scope: Scope, start: int, stop: int) -> Array:
        """The leaf of every row from `start` to `stop`, in every tree: [rows, trees]."""
        rows = stop - start
        columns = [scope.get(name)[start:stop] for name in self._fields]
        values = np.concatenate(columns) if columns else np.zeros(0)
        gaps = bool(np.isnan(values).any())
        out = np.repeat(self._roots[None, :], rows, axis=0).ravel()
        place = np.flatnonzero(out >= 0)
        node = out[place]
        offset = self._field * rows
        row = place // max(1, len(self._roots))
        while len(place):
            x = values.take(offset.take(node) + row)
            way = x > self._value.take(node) if self._plain else self._answers(node, x)
            turn = 3 * node + way
            if gaps:
                gone = np.isnan(x) if self._plain else np.isnan(x) & (self._kind[node] != _KINDS["missing"])
                turn[gone] = 3 * node[gone] + 2
            node = self._ways.take(turn)
            going = np.flatnonzero(node >= 0)
            if len(going) < len(node):
                out[place] = node  # those that go on are written again
                place, node, row = place.take(going), node.take(going), row.take(going)
        return (-out - 1).reshape(rows, len(self._roots))

    def _answers(self, node: Array, x: Array) -> Array:
        """0 where the test is true, 1 where it is false."""
        kind, value = self._kind[node], self._value[node]
        answer = np.where(kind == _KINDS["eq"], x != value, x > value)
        inside = np.flatnonzero(kind == _KINDS["in"])
        if len(inside):
            found = x[inside]
            at = np.minimum(np.searchsorted(self._members, found), len(self._members) - 1)
            answer[inside] = ~(self._sets[value[inside].astype(np.intp), at] & (self._members[at] == found))
        absent = np.flatnonzero(kind == _KINDS["missing"])
        answer[absent] = ~np.isnan(x[absent])
        return answer


def chunks(rows: int, trees: int) -> list[tuple[int, int]]:
    """Row ranges that are walked together."""
    size = max(1, CHUNK // max(1, trees))
    return [(start, min(start + size, rows)) for start in range(0, rows, size)] or [(0, 0)]
