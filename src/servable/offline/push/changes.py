"""What changed from one generation of a table to the next: rows that are new or other, and keys that are gone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson

from servable.errors import InvalidInput, NotFound
from servable.offline.push.message import Message
from servable.stores.tables.generation import Generation
from servable.stores.tables.keys import decode, encode_one
from servable.stores.tables.layout import Layout
from servable.stores.tables.port import Tables

APART: Final = 10**11
"""More than the changes of any generation."""


def changes(tables: Tables, to: Generation, since: int | None, *, every: bool = False) -> Iterator[list[Message]]:
    """Blocks of messages. `since` is the generation that was delivered before; without it, where it is gone, or with
    `every`, all rows come. Each key comes once.
    """
    before = _known(tables, to.table, since)
    comparable = before is not None and not every and before.columns == to.columns and before.key == to.key
    layout, stated = Layout(to.columns), _stated(to)
    number = 0
    for block in tables.scan(to.table, to.number):
        pairs = block
        if before is not None and comparable:
            held = tables.read(to.table, [key for key, _ in block], before.number).answers
            pairs = [pair for pair, old in zip(block, held, strict=True) if pair[1] != old]
        rows = layout.rows([answer for _, answer in pairs])
        messages = [
            _message(stated, decode(key, to.key), row, number + at)
            for at, ((key, _), row) in enumerate(zip(pairs, rows, strict=True))
        ]
        number += len(messages)
        if messages:
            yield messages
    if before is None or before.key != to.key:
        return
    for block in tables.scan(to.table, before.number):
        kept = tables.read(to.table, [key for key, _ in block], to.number).answers
        gone = [decode(key, to.key) for (key, _), answer in zip(block, kept, strict=True) if answer is None]
        if gone:
            yield [_message(stated, key, None, number + at) for at, key in enumerate(gone)]
            number += len(gone)


def present(tables: Tables, table: str, number: int, keys: Sequence[Any]) -> list[Message]:
    """What a generation has for some keys, as messages of their own: a row, or None for one that is not there."""
    found = tables.read(table, (), number).generation
    layout, stated = Layout(found.columns), _stated(found)
    messages = []
    for key in keys:
        try:
            (answer,) = tables.read(table, (encode_one(key, found.key),), number).answers
        except InvalidInput:  # the table has other keys by now: this one is gone
            answer = None
        row = None if answer is None else layout.rows((answer,))[0]
        # Numbered apart from all changes, and the same each time: who gets it twice can tell.
        digest = hashlib.sha256(str(key).encode()).digest()
        messages.append(_message(stated, key, row, APART + int.from_bytes(digest[:4], "big")))
    return messages


def _stated(generation: Generation) -> dict[str, Any]:
    return {
        "table": generation.table,
        "generation": generation.number,
        "model_name": generation.model,
        "model_version": generation.version,
        "made_at": generation.made_at,
    }


def _known(tables: Tables, table: str, number: int | None) -> Generation | None:
    if number is None:
        return None
    try:
        return tables.read(table, (), number).generation
    except NotFound:
        return None


def _message(stated: dict[str, Any], key: Any, row: Any, number: int) -> Message:
    """`row` is None for a key that is gone."""
    name = f"{stated['table']}/{stated['generation']}/{number}"
    return Message(name, str(key), orjson.dumps({"id": name, **stated, "key": key, "row": row}))
