"""Lookup: answers by key, as JSON, each with the version that gave it, its generation and its age. Knows no protocol.

A miss is told, or, where the table says so and whoever asks brings the inputs (or the key is the input), computed now
by the version that made the table, and remembered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson

from servable.domain.batch import Batch
from servable.errors import InvalidInput, NotFound, ServableError, TooLarge
from servable.offline.counts import Counts
from servable.stores.tables import keys
from servable.stores.tables.generation import Generation
from servable.stores.tables.layout import Layout
from servable.stores.tables.port import Found, Tables
from servable.wire.json_object import json_object

MOST_KEYS: Final = 10_000
EXAMPLE: Final = {"keys": ["42", "43"]}
NOTHING: Final = b"null"

Row = dict[str, Any]
Predict = Callable[[str, str, list[Row]], Awaitable[Batch]]
"""Name and version of a model, and rows, to its answers."""


class Asked(NamedTuple):
    """Keys as they came, and for each the inputs to compute its answer from, or None."""

    keys: list[Any]
    rows: list[Row | None] | None = None

    @staticmethod
    def read(body: bytes) -> Asked:
        """`{"keys": [...], "rows": [{column: value} or null, ...]}`. Raises InvalidInput, TooLarge."""
        document = json_object(body, EXAMPLE)
        asked, rows = document.get("keys"), document.get("rows")
        if not isinstance(asked, list) or not asked:
            raise InvalidInput("'keys': expected a list of keys", example=EXAMPLE)
        if len(asked) > MOST_KEYS:
            raise TooLarge(f"{len(asked)} keys in one request: at most {MOST_KEYS} are taken")
        if rows is not None and (
            not isinstance(rows, list)
            or len(rows) != len(asked)
            or not all(row is None or isinstance(row, dict) for row in rows)
        ):
            raise InvalidInput("'rows': expected an object or null for each key", example=EXAMPLE)
        return Asked(asked, rows)


class _Head(NamedTuple):
    """What is the same in every answer from one generation."""

    generation: Generation
    layout: Layout
    json: bytes
    counts: Counts


class Lookup:
    """Reads tables for a door. All methods are for its event loop."""

    def __init__(self, tables: Tables, predict: Predict | None = None, now: Callable[[], float] = time.time) -> None:
        self.tables = tables
        self._predict = predict
        self._now = now
        self._heads: dict[tuple[str, int], _Head] = {}
        self.counts: dict[str, Counts] = {}
        """What was asked of each table, since the door started."""
        self.seen: dict[str, Generation] = {}
        """Of each table, the generation that was read last: the next one has the same kind of key, nearly always."""

    async def one(self, table: str, key: str, permit: Callable[[str], None]) -> bytes:
        """The answer to one key. `permit` is called with the model's name, and raises. Raises NotFound."""
        if not self.tables.blocking:
            return self.now(table, key, permit)
        return await asyncio.to_thread(self.now, table, key, permit)

    def now(self, table: str, key: str, permit: Callable[[str], None]) -> bytes:
        """The same, at once where the store makes nobody wait."""
        known = self.seen.get(table) or self.tables.live(table)
        found = self.tables.read(table, (keys.encode_one(key, known.key),))
        if found.generation is not known:
            self.seen[table] = found.generation
            if found.generation.key != known.key:
                return self.now(table, key, permit)
        permit(found.generation.model)
        answer = self._one(key, found)
        if answer is None:
            raise missed(key, found.generation)
        return answer

    def quick(self, table: str) -> bool:
        """Whether look-ups in this table never wait: for another machine, or for a model."""
        if self.tables.blocking:
            return False
        try:
            return self.tables.live(table).on_miss == "refuse"
        except ServableError:
            return False

    def many_now(self, table: str, asked: Asked, permit: Callable[[str], None]) -> bytes:
        """`many`, for a table that is `quick`."""
        generation = self.tables.live(table)
        permit(generation.model)
        found = self.tables.read(table, keys.encode_all(asked.keys, generation.key))
        return self._many(found, _texts(self._head(found.generation).layout, found))

    async def many(self, table: str, asked: Asked, permit: Callable[[str], None]) -> bytes:
        """The answers to many keys, in their order: `rows`, null for a miss."""
        generation = await self._live(table)
        permit(generation.model)
        encoded = keys.encode_all(asked.keys, generation.key)
        if self.tables.blocking:
            found = await asyncio.to_thread(self.tables.read, table, encoded)
        else:
            found = self.tables.read(table, encoded)
        texts = _texts(self._head(found.generation).layout, found)
        computed = 0
        if generation.on_miss == "predict" and NOTHING in texts:
            computed = await self._compute(found.generation, asked, encoded, texts)
        return self._many(found, texts, computed)

    def _many(self, found: Found, texts: list[bytes], computed: int = 0) -> bytes:
        head = self._head(found.generation)
        hits = len(texts) - found.answers.count(None)
        head.counts.add(len(texts), hits, hits if found.generation.stale(self._now()) else 0, computed)
        more = b',"computed":%d' % computed if computed else b""
        return b'%b%b%b,"rows":[%b]}' % (head.json, self._age(found.generation), more, b",".join(texts))

    def tell(self, generation: Generation) -> Row:
        """A table as lists show it."""
        now = self._now()
        return {
            "table": generation.table, "model_name": generation.model, "model_version": generation.version,
            "generation": generation.number, "rows": generation.rows, "key": generation.key_name,
            "made_at": _iso(generation.made_at), "age_s": round(generation.age_s(now), 3),
            "fresh_s": generation.fresh_s, "stale": generation.stale(now), "on_miss": generation.on_miss,
            "columns": [
                {"name": field.name, "datatype": field.datatype, "shape": list(field.shape)}
                for field in generation.columns
            ],
        }  # fmt: skip

    async def _live(self, table: str) -> Generation:
        if self.tables.blocking:
            return await asyncio.to_thread(self.tables.live, table)
        return self.tables.live(table)

    def _one(self, key: str, found: Found) -> bytes | None:
        (answer,) = found.answers
        head = self._head(found.generation)
        age = self._age(found.generation)
        head.counts.add(1, answer is not None, answer is not None and age.endswith(b"true"))
        if answer is None:
            return None
        return b'%b%b,"key":%b,"row":%b}' % (head.json, age, orjson.dumps(key), head.layout.json(answer))

    async def _compute(self, generation: Generation, asked: Asked, encoded: Sequence[bytes], texts: list[bytes]) -> int:
        """Fill in the misses that can be computed; how many."""
        inputs = asked.rows or [None] * len(texts)
        places = [at for at, text in enumerate(texts) if text is NOTHING and inputs[at] is not None]
        given = [row for at in places if (row := inputs[at]) is not None]
        if not places or self._predict is None:
            return 0
        batch = await self._predict(generation.model, generation.version, given)
        layout = self._head(generation).layout
        answers = layout.encode(batch)
        for at, text in zip(places, layout.texts(answers), strict=True):
            texts[at] = text
        await asyncio.to_thread(self.tables.remember, generation, [encoded[at] for at in places], answers)
        return len(places)

    def _head(self, generation: Generation) -> _Head:
        known = self._heads.get((generation.table, generation.number))
        if known is None:
            told = {
                "table": generation.table,
                "model_name": generation.model,
                "model_version": generation.version,
                "generation": generation.number,
                "made_at": _iso(generation.made_at),
            }
            counts = self.counts.setdefault(generation.table, Counts())
            known = _Head(generation, Layout(generation.columns), orjson.dumps(told)[:-1], counts)
            if len(self._heads) > 1000:
                self._heads.clear()
            self._heads[generation.table, generation.number] = known
        return known

    def _age(self, generation: Generation) -> bytes:
        now = self._now()
        stale = b"true" if generation.stale(now) else b"false"
        return b',"age_s":%.3f,"stale":%b' % (generation.age_s(now), stale)


def missed(key: Any, generation: Generation) -> NotFound:
    """The error for a key that is not there."""
    more = ": POST its inputs to /lookup, and it is computed" if generation.on_miss == "predict" else ""
    return NotFound(
        f"table {generation.table!r} has no row {key!r:.100}{more}",
        table=generation.table,
        generation=generation.number,
    )


def _texts(layout: Layout, found: Found) -> list[bytes]:
    """The JSON of each row."""
    if None not in found.answers:
        return layout.texts(found.answers)  # type: ignore[arg-type]
    texts = iter(layout.texts([answer for answer in found.answers if answer is not None]))
    return [NOTHING if answer is None else next(texts) for answer in found.answers]


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
