"""States in NATS JetStream: a subject for each learner in one stream, which a whole state purges of what came before.

Each message names the number of the last one of its subject, so that the server refuses it where another has written
meanwhile; a state that is larger than a message goes in parts.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError
from typing import Any, Final, TypeVar

import msgspec

from servable.errors import Conflict, EnvironmentFault
from servable.online.fleet.states.port import Listen, Told
from servable.stores.nats import TIMEOUT_S, connected, library

STREAM: Final = "servable-states"
SUBJECTS: Final = "servable.states"
HEADERS: Final = 1024
"""Bytes of a message that are kept for its headers."""
WRONG_LAST: Final = 10071
"""The server's code for: another message came last."""

T = TypeVar("T")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Told).decode


class NatsStates:
    """A `Log`. Its connection lives on an event loop of its own, in a thread of its own."""

    def __init__(self, url: str, learner: str) -> None:
        self._nats = library("hand states over through NATS")
        self._url = url
        self._learner = learner
        self._subject = f"{SUBJECTS}.{learner.encode().hex()}"  # a name may hold dots, which divide a subject
        self._loop = asyncio.new_event_loop()
        self._connection: Any = None
        self._opening = asyncio.Lock()
        self.listen: Listen | None = self._heard
        self._thread = threading.Thread(target=self._loop.run_forever, name="servable-nats", daemon=True)
        self._thread.start()

    def put(self, epoch: int, told: Told, after: str) -> str | None:
        return self._do(self._put(epoch, told, after))

    def since(self, place: str) -> list[tuple[str, Told]]:
        return self._do(self._since(int(place or 0)))

    def close(self) -> None:
        with contextlib.suppress(EnvironmentFault):
            self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _put(self, epoch: int, told: Told, after: str) -> str | None:
        stream = await self._stream()
        last, known = await self._last(stream)
        if known > epoch:
            raise Conflict(f"another machine learns for {self._learner} by now")
        if not told.whole and str(last) != after:
            return None
        data, most = _encode(told), self._connection.max_payload - HEADERS
        parts = [data[start : start + most] for start in range(0, len(data), most)]
        before = first = last
        for number, part in enumerate(parts):
            headers = {
                "Nats-Expected-Last-Subject-Sequence": str(last),
                "Epoch": str(epoch),
                "Part": str(number),
                "Left": str(len(parts) - 1 - number),
            }
            try:
                last = (await stream.publish(self._subject, part, headers=headers)).seq
            except self._nats.js.errors.APIError as error:
                if error.err_code != WRONG_LAST:
                    raise
                return None
            first = last if number == 0 else first
        if told.whole and before:
            await stream.purge_stream(STREAM, subject=self._subject, seq=first)
        return str(last)

    async def _since(self, place: int) -> list[tuple[str, Told]]:
        stream = await self._stream()
        if place and (await self._last(stream))[0] < place:
            place = 0  # the stream was made anew
        found: list[tuple[str, Told]] = []
        parts: list[bytes] = []
        with contextlib.suppress(self._nats.js.errors.NotFoundError):
            while True:
                message = await stream.get_msg(STREAM, seq=place + 1, subject=self._subject, next=True)
                place, headers = message.seq, message.headers
                parts = parts if headers["Part"] != "0" else []
                if len(parts) == int(headers["Part"]):  # else its beginning is gone
                    parts.append(message.data or b"")
                    if headers["Left"] == "0":
                        found.append((str(place), _decode(b"".join(parts))))
        return found

    async def _last(self, stream: Any) -> tuple[int, int]:
        """The number of the last message, and its epoch; zeros: there is none."""
        try:
            message = await stream.get_last_msg(STREAM, self._subject)
        except self._nats.js.errors.NotFoundError:
            return 0, 0
        return message.seq, int(message.headers["Epoch"])

    async def _stream(self) -> Any:
        """The stream, connected, and made if it is not there."""
        async with self._opening:
            if self._connection is not None:
                return self._connection.jetstream(timeout=TIMEOUT_S)
            connection = await connected(self._nats, self._url)
            stream = connection.jetstream(timeout=TIMEOUT_S)
            try:
                await stream.stream_info(STREAM)
            except self._nats.js.errors.NotFoundError:
                await stream.add_stream(name=STREAM, subjects=[f"{SUBJECTS}.>"])
            self._connection = connection
            return stream

    def _heard(self, over: Callable[[], bool], pause_s: float) -> Iterator[bool]:
        heard = self._do(self._subscribed())
        while not over():
            yield self._do(self._next(heard, pause_s))

    async def _subscribed(self) -> Any:
        await self._stream()
        return await self._connection.subscribe(self._subject)

    async def _next(self, heard: Any, pause_s: float) -> bool:
        try:
            await heard.next_msg(timeout=pause_s)
        except self._nats.errors.TimeoutError:
            return False
        return True

    async def _end(self) -> None:
        """Whoever waits is told."""
        await self._hang_up()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _hung_up(self, work: Coroutine[Any, Any, T]) -> T:
        """The next one connects anew where this one fails."""
        try:
            return await work
        except (self._nats.errors.Error, OSError, TimeoutError):
            await self._hang_up()
            raise

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        whole = self._hung_up(work)
        try:
            future = asyncio.run_coroutine_threadsafe(whole, self._loop)
        except RuntimeError as error:
            whole.close()
            work.close()
            raise EnvironmentFault(f"states of {self._learner} go through NATS no more") from error
        try:
            return future.result()
        except CancelledError as error:
            raise EnvironmentFault(f"states of {self._learner} go through NATS no more") from error
        except (self._nats.errors.Error, OSError, TimeoutError) as error:
            told = " ".join(str(error).split()) or type(error).__name__
            raise EnvironmentFault(f"states of {self._learner} do not go through NATS: {told}") from error
