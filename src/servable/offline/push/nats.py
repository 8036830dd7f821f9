"""NATS JetStream: a message each, in order, acknowledged by the stream, which drops what comes twice by its id."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from servable.offline.push.message import Message, NoAnswer, Refused
from servable.stores.nats import TIMEOUT_S, connected, library


class NatsStream:
    """A `Sink`. `subject` must be one that a stream of the server collects."""

    def __init__(self, url: str, subject: str) -> None:
        self._nats = library("push to NATS")
        self._url = url
        self._subject = subject
        self._loop = asyncio.new_event_loop()
        self._connection: Any = None

    def send(self, messages: Sequence[Message]) -> None:
        try:
            self._loop.run_until_complete(self._send(messages))
        except self._nats.js.errors.NoStreamResponseError as error:
            self._hang_up()
            raise NoAnswer(f"NATS does not take it: no stream of the server collects {self._subject!r}") from error
        except self._nats.errors.MaxPayloadError as error:
            raise Refused(f"NATS refuses it: a message is larger than the server takes: {error}") from error
        except (self._nats.errors.Error, OSError, TimeoutError) as error:
            self._hang_up()
            raise NoAnswer(f"NATS does not take it: {str(error) or type(error).__name__}") from error

    async def _send(self, messages: Sequence[Message]) -> None:
        if self._connection is None:
            self._connection = await connected(self._nats, self._url)
        stream = self._connection.jetstream(timeout=TIMEOUT_S)
        first, *others = ((one.body, {"Nats-Msg-Id": one.id, "key": one.key}) for one in messages)
        await stream.publish(self._subject, first[0], headers=first[1])  # tells at once where no stream collects it
        acknowledged = [await stream.publish_async(self._subject, body, headers=headers) for body, headers in others]
        async with asyncio.timeout(TIMEOUT_S):
            await asyncio.gather(*acknowledged)

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._loop.run_until_complete(connection.close())

    def close(self) -> None:
        self._hang_up()
        self._loop.close()
