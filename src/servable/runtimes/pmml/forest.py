"""Decision diagrams: what every tree of a document becomes, and how rows of a batch go through all trees at once.

A node tests one field and has three ways on: true, false, unknown. A predicate of several parts becomes several nodes.
Ways below zero are leaves. Knows no XML. Walked natively (`ensemble.py`) where that is seen to reach the same leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from servable.domain.batch import Array
from servable.runtimes.pmml.ensemble import EQ, IN, LE, MISSING, Node, compiled, two_ways
from servable.runtimes.pmml.predicates import Junction, Predicate, Test
from servable.runtimes.pmml.values import Floats, Scope

CHUNK: Final = 1 << 14
"""Rows times trees that are walked together in numpy: what fits the cache of a core."""
NATIVE_CHUNK: Final = 1 << 20
"""The same natively: what bounds the memory of the answer."""
TRIED: Final = 256
"""Rows that both walks are asked for before the native one is used."""

_KINDS: Final = {"le": LE, "eq": EQ, "in": IN, "missing": MISSING}
NULL: Final = -1
"""The leaf without a prediction."""


class Growing:
    """Nodes while trees are read."""

    def __init__(self) -> None:
        self.fields: dict[str, int] = {}
        self.leaves: list[Any] = [None]
        self.roots: list[int] = []
        self.nodes: list[Node] = []
        self._sets: dict[tuple[float, ...], int] = {}
        self._seen: dict[Node, int] = {}

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
        field = self.fields.setdefault(test.field, len(self.fields))
        kind = _KINDS[test.kind]
        first = test.values[0] if test.values else 0.0
        value = float(self._sets.setdefault(test.values, len(self._sets))) if kind == IN else first
        if test.negated:
            yes, no = no, yes
        ways = (self._past(yes, 3, (field, kind, value)), self._past(no, 4, (field, kind, value)))
        node = (field, kind, value, *ways, self._past(unknown, 5, (field, kind, value)))
        found = self._seen.get(node)
        if found is None:
            self.nodes.append(node)
            found = self._seen[node] = len(self.nodes) - 1
        return found

    def _past(self, way: int, answer: int, test: tuple[int, int, float]) -> int:
        """Where a way leads whose test is answered already: siblings often ask the same, once more and negated."""
        while way >= 0 and self.nodes[way][:3] == test:
            way = int(self.nodes[way][answer])
        return way

    def done(self) -> Forest:
        """The trees, to be walked."""
        return Forest(list(self.fields), self.nodes, self.roots, list(self._sets))


class Forest:
    """Trees as arrays."""

    def __init__(self, fields: list[str], nodes: list[Node], roots: list[int], sets: list[tuple[float, ...]]) -> None:
        self._fields = fields
        self._taken: tuple[tuple[str, ...], Array | None] = ((), None)
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
        self._all_native = two_ways(nodes)
        self._native = compiled(nodes, sets, roots, len(fields))
        if self._native is not None and not self._proven(sets):
            self._native = None

    @property
    def trees(self) -> int:
        return len(self._roots)

    def leaves(self, scope: Scope) -> Iterator[Array]:
        """The leaf of every row in every tree, [rows, trees], for some rows after the other."""
        rows = self._rows(scope)
        size = max(1, (CHUNK if self._native is None else NATIVE_CHUNK) // max(1, self.trees))
        if scope.rows <= size:
            yield self._reached(rows)
            return
        for start in range(0, scope.rows, size):
            yield self._reached(rows[start : start + size])

    def _rows(self, scope: Scope) -> Floats:
        """What the trees ask of each row, [rows, fields]. Inputs that nothing has touched lie beside each other: they
        are taken at once.
        """
        call = scope.call
        if scope.untouched:
            order, places = self._taken
            if order is not call.order:
                known = {name: place for place, name in enumerate(call.order)}
                found = [known.get(name, -1) for name in self._fields]
                places = None if -1 in found else np.array(found, np.intp)
                self._taken = (call.order, places)
            if places is not None:
                return np.ascontiguousarray(call.numbers.take(places, axis=0).T)
        columns = [scope.get(name) for name in self._fields]
        return np.ascontiguousarray(np.array(columns, np.float64).reshape(len(columns), scope.rows).T)

    def _reached(self, rows: Floats) -> Array:
        if self._native is None:
            return self._walked(rows)
        if self._all_native or not (missing := np.isnan(rows)).any():
            return self._native(rows)
        gaps = missing.any(axis=1)
        out = np.empty((len(rows), len(self._roots)), np.intp)
        out[gaps] = self._walked(rows[gaps])
        if not gaps.all():
            out[~gaps] = self._native(rows[~gaps])
        return out

    def _proven(self, sets: list[tuple[float, ...]]) -> bool:
        """Whether the native walk reaches the leaves of this one from values at every limit and next to it, from the
        largest and from missing ones.
        """
        random = np.random.default_rng(0)
        rows = np.empty((TRIED, len(self._fields)))
        for field in range(len(self._fields)):
            at = self._field == field
            limits = self._value[at & (self._kind != IN)]
            members = [value for place in self._value[at & (self._kind == IN)] for value in sets[int(place)]]
            limits = np.unique(np.concatenate([limits, np.array(members, np.float64)]))
            near = [limits, np.nextafter(limits, -np.inf), np.nextafter(limits, np.inf), [-np.inf, np.inf]]
            rows[:, field] = random.choice(np.concatenate(near), TRIED)
        half = rows[: TRIED // 2]
        half[random.random(half.shape) < 0.2] = np.nan
        return bool((self._reached(rows) == self._walked(rows)).all())

    def _walked(self, rows: Floats) -> Array:
        """The leaves of rows [rows, fields], all trees a step at a time."""
        values = np.ascontiguousarray(rows.T).ravel()
        gaps = bool(np.isnan(values).any())
        out = np.repeat(self._roots[None, :], len(rows), axis=0).ravel()
        place = np.flatnonzero(out >= 0)
        node = out[place]
        offset = self._field * len(rows)
        row = place // max(1, len(self._roots))
        while len(place):
            x = values.take(offset.take(node) + row)
            way = x > self._value.take(node) if self._plain else self._answers(node, x)
            turn = 3 * node + way
            if gaps:
                gone = np.isnan(x) if self._plain else np.isnan(x) & (self._kind[node] != MISSING)
                turn[gone] = 3 * node[gone] + 2
            node = self._ways.take(turn)
            going = np.flatnonzero(node >= 0)
            if len(going) < len(node):
                out[place] = node  # those that go on are written again
                place, node, row = place.take(going), node.take(going), row.take(going)
        return (-out - 1).reshape(len(rows), len(self._roots))

    def _answers(self, node: Array, x: Array) -> Array:
        """0 where the test is true, 1 where it is false."""
        kind, value = self._kind[node], self._value[node]
        answer = np.where(kind == EQ, x != value, x > value)
        inside = np.flatnonzero(kind == IN)
        if len(inside):
            found = x[inside]
            at = np.minimum(np.searchsorted(self._members, found), len(self._members) - 1)
            answer[inside] = ~(self._sets[value[inside].astype(np.intp), at] & (self._members[at] == found))
        absent = np.flatnonzero(kind == MISSING)
        answer[absent] = ~np.isnan(x[absent])
        return answer
