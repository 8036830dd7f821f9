"""Subscribers: what changes in a table, as server-sent events, as long as somebody listens.

A stream ends after a while, so that a door that drains need not wait for it; whoever listens asks again by itself and
says which generation it has, as the protocol wants (WHATWG HTML, "Server-sent events").
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Final

from servable.offline.push.changes import changes
from servable.stores.tables.port import Tables

LONGEST_S: Final = 25.0
LOOK_S: Final = 0.25


async def events(tables: Tables, table: str, since: int | None, longest_s: float = LONGEST_S) -> AsyncIterator[bytes]:
    """A `change` for each row that changes after generation `since` (None: the live one), then the `generation`."""
    yield b"retry: 1000\n\n"
    until = monotonic() + longest_s
    if since is None:
        since = (await asyncio.to_thread(tables.live, table)).number
        yield b"id: %d\nevent: generation\ndata: %d\n\n" % (since, since)
    while monotonic() < until:
        live = await asyncio.to_thread(tables.live, table)
        if live.number != since:
            blocks = changes(tables, live, since)
            while (block := await asyncio.to_thread(next, blocks, None)) is not None:
                yield b"".join([b"event: change\ndata: %b\n\n" % message.body for message in block])
            since = live.number
            yield b"id: %d\nevent: generation\ndata: %d\n\n" % (since, since)
        await asyncio.sleep(LOOK_S)
