"""What changed from one generation of a table to the next: rows that are new or other, and keys that are gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from servable.errors import NotFound
from servable.offline.push.message import Message
from servable.stores.tables.generation import Generation
from servable.stores.tables.keys import decode
from servable.stores.tables.layout import Layout
from servable.stores.tables.port import Tables


def changes(tables: Tables, to: Generation, since: int | None, *, every: bool = False) -> Iterator[list[Message]]:
    """Blocks of messages. `since` is the generation that was delivered before; without it, where it is gone, or with
    `every`, all rows come. Each key comes once.
    """
    before = _known(tables, to.table, since)
    comparable = before is not None and not every and before.columns == to.columns and before.key == to.key
    layout = Layout(to.columns)
    stated = {
        "table": to.table,
        "generation": to.number,
        "model_name": to.model,
        "model_version": to.version,
        "made_at": to.made_at,
    }
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
