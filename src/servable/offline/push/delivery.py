"""Delivery: the changes of a table to one consumer, until it has them all.

A consumer that cannot be reached is tried again, a bounded number of times, with pauses that grow; then the delivery
stops with nothing lost, and the next one goes on where this one was acknowledged. A message that it refuses, or that it
fails on as often while it takes others, is narrowed down, set aside with the reason, and the others go on.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from servable.offline.push.changes import changes, present
from servable.offline.push.message import Fails, Message, NoAnswer, Refused, Sink
from servable.offline.push.outbox import Outbox
from servable.offline.push.policy import pause_s
from servable.stores.tables.port import Tables

AT_ONCE = 500
DOUBT = 4
"""Messages that a consumer may fail on, one after another and taking none, before it is held to fail on all."""


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
        wait: Callable[[float, str], None] = lambda pause, _: time.sleep(pause),
    ) -> None:
        """`every`: all rows, not only those that changed. `wait` is given seconds, and why there is to be a pause."""
        self._tables = tables
        self._home = home
        self._sink = sink
        self._every = every
        self._at_once = at_once
        self._attempts = attempts
        self._wait = wait

    def deliver(self, table: str, consumer: str, *, dead: bool = False) -> Delivered:
        """Bring the consumer to the live generation; with `dead` offer it then what it refused before, as it stands
        now. Raises NoAnswer, NotFound, Conflict.
        """
        with Outbox(self._home, table, consumer) as outbox:
            told = self._bring(table, outbox)
            return self._offer_again(told, table, outbox) if dead else told

    def _bring(self, table: str, outbox: Outbox) -> Delivered:
        sent = refused = 0
        while True:
            if outbox.cursor.under_way is None:
                live = self._tables.live(table)
                if live.number == outbox.cursor.delivered:
                    return Delivered(live.number, sent, refused)
                blocks = changes(self._tables, live, outbox.cursor.delivered, every=self._every)
                outbox.fill(live.number, blocks)
            with closing(self._sink()) as sink:
                for group in outbox.due(self._at_once):
                    buried = self._send(sink, group, outbox)
                    outbox.done(len(group) - buried)
                    sent, refused = sent + len(group) - buried, refused + buried
            outbox.over()

    def _offer_again(self, told: Delivered, table: str, outbox: Outbox) -> Delivered:
        """Each key that was refused, by what the generation that was delivered has for it: never an older row after a
        newer one. What is refused again is set aside again.
        """
        keys = outbox.exhume()
        sent = refused = 0
        with closing(self._sink()) as sink:
            for start in range(0, len(keys), self._at_once):
                group = present(self._tables, table, told.generation, keys[start : start + self._at_once])
                buried = self._send(sink, group, outbox)
                sent, refused = sent + len(group) - buried, refused + buried
        outbox.rest(sent)
        return Delivered(told.generation, told.messages + sent, refused)

    def _send(self, sink: Sink, messages: list[Message], outbox: Outbox) -> int:
        """Deliver a group; how many of it were set aside."""
        left, failed = [messages], list[tuple[list[Message], str]]()
        buried, works = 0, len(messages) == 1
        while left:
            group = left.pop(0)
            try:
                self._offer(sink, group, once=1 < len(group) < len(messages))
            except (Refused, Fails) as error:
                if len(group) > 1:
                    left[:0] = group[: len(group) // 2], group[len(group) // 2 :]
                elif isinstance(error, Refused):
                    outbox.bury(group, error.message)
                    buried, works = buried + 1, True
                else:
                    failed.append((group, error.message))
                    if len(failed) == min(DOUBT, len(messages)) and not works:
                        raise _given_up(error, self._attempts) from error
            else:
                works = True
        for group, reason in failed:
            outbox.bury(group, reason)
        return buried + len(failed)

    def _offer(self, sink: Sink, messages: list[Message], *, once: bool) -> None:
        """Hand messages over, in as many attempts as it may take; `once`: where it fails, that is told at once.

        Raises Refused, Fails, NoAnswer.
        """
        for attempt in range(1, self._attempts + 1):
            try:
                sink.send(messages)
            except NoAnswer as error:
                if isinstance(error, Fails) and (once or attempt == self._attempts):
                    raise
                if attempt == self._attempts:
                    raise _given_up(error, attempt) from error
                pause = pause_s(attempt, random.random())  # noqa: S311 - no secret
                self._wait(pause, f"{error.message} (attempt {attempt} of {self._attempts})")
            else:
                return


def _given_up(error: NoAnswer, attempts: int) -> NoAnswer:
    told = f"the consumer did not answer {attempts} times: {error.message}"
    return NoAnswer(f"{told}; nothing is lost, the next push goes on from here", retry_after_s=60.0)
