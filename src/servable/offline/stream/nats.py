"""NATS JetStream: a durable consumer pulls; an answer carries the number of its message, by which the stream drops one
that comes again, and is acknowledged before its message is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from servable.errors import Unavailable
from servable.offline.stream.pipe import Received
from servable.stores.nats import TIMEOUT_S, library, quiet

WAIT_S: Final = 0.2


class NatsPipe:
    """A `Pipe` from one subject to another; streams of the server collect both."""

    def __init__(self, url: str, source: str, target: str, durable: str) -> None:
        self._nats = library("take messages from NATS")
        self._url, self._source, self._target, self._durable = url, source, target, durable
        self._loop = asyncio.new_event_loop()
        self._connection: Any = None
        self._stream: Any = None
        self._subscription: Any = None

    def take(self, most: int) -> list[Received] | None:
        received: list[Received] = self._told(self._take(most))
        return received

    def answer(self, received: Sequence[Received], answers: Sequence[bytes]) -> None:
        self._told(self._answer(received, answers))

    def _told(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return self._loop.run_until_complete(work)
        except self._nats.js.errors.NotFoundError as error:
            raise Unavailable(f"NATS: no stream of the server collects the subject {self._source!r}") from error
        except self._nats.js.errors.NoStreamResponseError as error:
            raise Unavailable(f"NATS: no stream of the server collects the subject {self._target!r}") from error
        except (self._nats.errors.Error, OSError, TimeoutError) as error:
            raise Unavailable(f"NATS does not answer: {str(error) or type(error).__name__}") from error

    async def _take(self, most: int) -> list[Received]:
        if self._connection is None:
            try:
                async with asyncio.timeout(TIMEOUT_S):  # it would try for minutes; later, one that goes may come back
                    self._connection = await self._nats.connect(self._url, connect_timeout=TIMEOUT_S, error_cb=quiet)
            except TimeoutError as error:
                raise Unavailable(f"NATS does not answer: there was no connection in {TIMEOUT_S:.0f} s") from error
        if self._subscription is None:
            self._stream = self._connection.jetstream(timeout=TIMEOUT_S)
            self._subscription = await self._stream.pull_subscribe(self._source, self._durable)
        try:
            messages = await self._subscription.fetch(most, WAIT_S)
        except TimeoutError:
            return []
        return [Received(str(one.metadata.sequence.stream), one.data, one) for one in messages]

    async def _answer(self, received: Sequence[Received], answers: Sequence[bytes]) -> None:
        await self._publish(received, answers)
        async with asyncio.timeout(TIMEOUT_S):
            await asyncio.gather(*(message.receipt.ack_sync(TIMEOUT_S) for message in received))

    async def _publish(self, received: Sequence[Received], answers: Sequence[bytes]) -> None:
        first, *others = zip(answers, ({"Nats-Msg-Id": f"{self._durable}-{one.id}"} for one in received), strict=True)
        await self._stream.publish(
            self._target, first[0], headers=first[1]
        )  # tells at once where no stream collects it
        futures = [await self._stream.publish_async(self._target, body, headers=headers) for body, headers in others]
        async with asyncio.timeout(TIMEOUT_S):
            await asyncio.gather(*futures)

    def close(self) -> None:
        if self._connection is not None:
            self._loop.run_until_complete(self._connection.close())
        self._loop.close()
