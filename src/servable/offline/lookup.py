"""Lookup: answers by key, as JSON, each with the version that gave it, its generation and its age. Knows no protocol.

A miss is told, or, where the table says so and whoever asks brings the inputs, computed now by the version that made
the table, and remembered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson

from servable.domain.batch import Batch
from servable.errors import CorruptModel, InvalidInput, NotFound, ServableError
from servable.offline.asked import Asked, Row
from servable.offline.counts import Counts
from servable.stores.tables import keys
from servable.stores.tables.generation import Generation, KeyKind
from servable.stores.tables.layout import Layout
from servable.stores.tables.port import Found, Tables

NOTHING: Final = b"null"

Predict = Callable[[str, str, list[Row]], Awaitable[Batch]]
"""Name and version of a model, and rows, to its answers."""
Permit = Callable[[str], None]
"""Takes a model's name. Raises Forbidden unless whoever asks may ask it."""


class Answers(NamedTuple):
    """Answers to many keys: what is the same in all, as a JSON object that lacks its end, and each row as JSON."""

    head: bytes
    rows: list[bytes]

    def json(self) -> bytes:
        """All of it."""
        return b'%b,"rows":[%b]}' % (self.head, b",".join(self.rows))


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
        self._heads: dict[str, _Head] = {}
        """Of each table, the generation that was read last: what comes next is from the same one, nearly always."""
        self.counts: dict[str, Counts] = {}
        """What was asked of each table, since the door started."""

    @property
    def seen(self) -> list[Generation]:
        """Of each table, the generation that was read last."""
        return [head.generation for head in list(self._heads.values())]

    async def one(self, table: str, key: str, permit: Permit) -> bytes:
        """The answer to one key. Raises NotFound, and what `permit` raises."""
        if not self.tables.blocking:
            return self.now(table, key, permit)
        return await asyncio.to_thread(self.now, table, key, permit)

    def now(self, table: str, key: str, permit: Permit) -> bytes:
        """The same, at once where the store makes nobody wait."""
        known = self._known(table)
        try:
            encoded = keys.encode_one(key, known.generation.key)
        except InvalidInput:
            if self._head(self.tables.live(table)).generation.key == known.generation.key:
                raise
            return self.now(table, key, permit)
        found = self.tables.read(table, (encoded,))
        head = known if found.generation is known.generation else self._head(found.generation)
        generation = head.generation
        if generation.key != known.generation.key:
            return self.now(table, key, permit)
        permit(generation.model)
        (answer,) = found.answers
        start, stale = self._start(head)
        head.counts.add(1, 1, answer is not None, stale and answer is not None)
        if answer is None:
            raise missed(key, generation)
        return b'%b,"key":%b,"row":%b}' % (start, orjson.dumps(key), head.layout.json(answer))

    def together(self, table: str, asked: Sequence[tuple[str, Permit]]) -> list[bytes | ServableError]:
        """The answers to keys that were asked for one by one, at the same time: of each what `now` gives or raises.

        They share one reading of the table, one look at the clock, one conversion of numbers to text.
        """
        if len(asked) > 1:
            try:
                return self._together(table, asked)
            except CorruptModel:
                pass  # one of them: each by itself tells which
            except ServableError as error:
                return [error] * len(asked)
        answers: list[bytes | ServableError] = []
        for key, permit in asked:
            try:
                answers.append(self.now(table, key, permit))
            except ServableError as error:
                answers.append(error)
        return answers

    def _together(self, table: str, asked: Sequence[tuple[str, Permit]]) -> list[bytes | ServableError]:
        kind = self._known(table).generation.key
        encoded = [_encoded(key, kind) for key, _ in asked]
        found = self.tables.read(table, [key for key in encoded if isinstance(key, bytes)])
        head = self._head(found.generation)
        generation = head.generation
        if generation.key != kind:
            return self._together(table, asked)
        texts = iter(_texts(head.layout, found))
        start, stale = self._start(head)
        answers: list[bytes | ServableError] = []
        hits = misses = 0
        for (key, permit), one in zip(asked, encoded, strict=True):
            if not isinstance(one, bytes):
                answers.append(one)
                continue
            text = next(texts)
            try:
                permit(generation.model)
            except ServableError as error:
                answers.append(error)
                continue
            if text is NOTHING:
                misses += 1
                answers.append(missed(key, generation))
            else:
                hits += 1
                answers.append(b'%b,"key":%b,"row":%b}' % (start, orjson.dumps(key), text))
        head.counts.add(hits + misses, hits + misses, hits, hits if stale else 0)
        return answers

    def quick(self, table: str) -> bool:
        """Whether look-ups in this table never wait: for another machine, or for a model."""
        if self.tables.blocking:
            return False
        try:
            return self.tables.live(table).on_miss == "refuse"
        except ServableError:
            return False

    def many_now(self, table: str, asked: Asked, permit: Permit) -> Answers:
        """`many`, for a table that is `quick`."""
        found, _ = self._read(table, asked.keys)
        permit(found.generation.model)
        head = self._head(found.generation)
        return self._answers(head, _texts(head.layout, found))

    async def many(self, table: str, asked: Asked, permit: Permit) -> Answers:
        """The answers to many keys, in their order, null for a miss."""
        if self.tables.blocking:
            found, encoded = await asyncio.to_thread(self._read, table, asked.keys)
        else:
            found, encoded = self._read(table, asked.keys)
        permit(found.generation.model)
        head = self._head(found.generation)
        texts = _texts(head.layout, found)
        computed = 0
        if found.generation.on_miss == "predict" and NOTHING in texts:
            computed = await self._compute(head, asked, encoded, texts)
        return self._answers(head, texts, computed)

    def _read(self, table: str, asked: list[Any]) -> tuple[Found, list[bytes]]:
        """What the live generation has for these keys, and the keys as it has them."""
        generation = self.tables.live(table)
        while True:
            encoded = keys.encode_all(asked, generation.key)
            found = self.tables.read(table, encoded)
            if found.generation.key == generation.key:
                return found, encoded
            generation = found.generation

    def _answers(self, head: _Head, texts: list[bytes], computed: int = 0) -> Answers:
        start, stale = self._start(head)
        hits = len(texts) - texts.count(NOTHING) - computed
        head.counts.add(1, len(texts), hits, hits if stale else 0, computed)
        return Answers(start + b',"computed":%d' % computed if computed else start, texts)

    def _start(self, head: _Head) -> tuple[bytes, bool]:
        """What every answer of this moment begins with, and whether it is stale."""
        now = self._now()
        stale = head.generation.stale(now)
        age_s = head.generation.age_s(now)
        return b'%b,"age_s":%.3f,"stale":%b' % (head.json, age_s, b"true" if stale else b"false"), stale

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

    async def _compute(self, head: _Head, asked: Asked, encoded: Sequence[bytes], texts: list[bytes]) -> int:
        """Fill in the misses that can be computed; how many."""
        inputs = asked.rows or [None] * len(texts)
        places = [at for at, text in enumerate(texts) if text is NOTHING and inputs[at] is not None]
        given = [row for at in places if (row := inputs[at]) is not None]
        if not places or self._predict is None:
            return 0
        generation = head.generation
        batch = await self._predict(generation.model, generation.version, given)
        answers = head.layout.encode(batch)
        for at, text in zip(places, head.layout.texts(answers), strict=True):
            texts[at] = text
        await asyncio.to_thread(self.tables.remember, generation, [encoded[at] for at in places], answers)
        return len(places)

    def _known(self, table: str) -> _Head:
        """Of the generation that was read last, or of the live one."""
        return self._heads.get(table) or self._head(self.tables.live(table))

    def _head(self, generation: Generation) -> _Head:
        known = self._heads.get(generation.table)
        if known is None or known.generation.number != generation.number:
            told = {
                "table": generation.table,
                "model_name": generation.model,
                "model_version": generation.version,
                "generation": generation.number,
                "made_at": _iso(generation.made_at),
            }
            counts = self.counts.setdefault(generation.table, Counts())
            known = _Head(generation, Layout(generation.columns), orjson.dumps(told)[:-1], counts)
            self._heads[generation.table] = known
        return known


def _encoded(key: str, kind: KeyKind) -> bytes | ServableError:
    """The key as it is kept, or why it is none."""
    try:
        return keys.encode_one(key, kind)
    except ServableError as error:
        return error


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
