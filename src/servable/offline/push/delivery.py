"""Delivery: the changes of a table to one consumer, until it has them all.

A consumer that cannot be reached is tried again, a bounded number of times, with pauses that grow; then the delivery
stops with nothing lost, and the next one goes on where this one was acknowledged. A message that it refuses is narrowed
down, set aside with the reason, and the others go on.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from servable.offline.push.changes import changes
from servable.offline.push.message import Message, NoAnswer, Refused, Sink
from servable.offline.push.outbox import Outbox
from servable.offline.push.policy import pause_s
from servable.stores.tables.port import Tables

AT_ONCE = 500


class Delivered(NamedTuple):
    """How many messages were delivered, how many the consumer refused, and of which generation they were."""

    generation: int
    messages: int
    refused: int


class Delivery:
    """One consumer of one table, by its URL."""

    def __init__(
        self,
        tables: Tables,
        home: Path,
        sink: Callable[[], Sink],
        *,
        every: bool = False,
        at_once: int = AT_ONCE,
        attempts: int = 8,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """`every`: all rows, not only those that changed."""
        self._tables = tables
        self._home = home
        self._sink = sink
        self._every = every
        self._at_once = at_once
        self._attempts = attempts
        self._wait = wait

    def deliver(self, table: str, consumer: str) -> Delivered:
        """Bring the consumer to the live generation. Raises NoAnswer, NotFound, Conflict."""
        sent = refused = 0
        with Outbox(self._home, table, consumer) as outbox:
            while True:
                if outbox.cursor.under_way is None:
                    live = self._tables.live(table)
                    if live.number == outbox.cursor.delivered:
                        return Delivered(live.number, sent, refused)
                    blocks = changes(self._tables, live, outbox.cursor.delivered, every=self._every)
                    outbox.fill(live.number, blocks)
                sink = self._sink()
                try:
                    for group in outbox.due(self._at_once):
                        dead = self._send(sink, group, outbox)
                        outbox.done()
                        sent, refused = sent + len(group) - dead, refused + dead
                finally:
                    sink.close()
                outbox.over()

    def _send(self, sink: Sink, messages: list[Message], outbox: Outbox) -> int:
        """Deliver a group; how many of it were refused."""
        attempt = 1
        while True:
            try:
                sink.send(messages)
            except Refused as error:
                if len(messages) == 1:
                    outbox.bury(messages, error.message)
                    return 1
                half = len(messages) // 2
                return self._send(sink, messages[:half], outbox) + self._send(sink, messages[half:], outbox)
            except NoAnswer as error:
                if attempt == self._attempts:
                    raise NoAnswer(
                        f"the consumer did not answer {attempt} times: {error.message}; nothing is lost, the next "
                        "push goes on from here",
                        retry_after_s=60.0,
                    ) from error
                self._wait(pause_s(attempt, random.random()))  # noqa: S311 - no secret
                attempt += 1
            else:
                return 0
