"""Predictions over gRPC: one by one, or many over a stream. From the message to the bytes of its answer.

The hot path of the gRPC door: no message object is made for an answer, and nothing is looked up twice.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from itertools import count
from time import monotonic
from typing import Final
from weakref import WeakKeyDictionary

from servable.engine.request import Request
from servable.engine.router import Router
from servable.engine.serving import Serving
from servable.errors import ServableError, Unavailable
from servable.server.grpc_status import Context, refuse, status_of, unexpected
from servable.wire.generated import open_inference_pb2 as pb
from servable.wire.grpc_tensors import Form, GrpcCodec, read_request

IN_STREAM: Final = 64
"""Predictions of one stream that may be under way at once; beyond, it is not read from."""

Answered = tuple[str, bytes | ServableError]
"""A prediction's id, and its answer or what went wrong."""
Begun = tuple[asyncio.Future[Answered], Request | None]


class Predictions:
    """Answers ModelInfer and ModelStreamInfer. `admit(model, context)` raises if the caller may not."""

    def __init__(
        self, router: Router, deadline_s: float, admit: Callable[[str, Context], None], draining: asyncio.Event
    ) -> None:
        self._router = router
        self._deadline_s = deadline_s
        self._admit = admit
        self._draining = draining
        self._codecs: WeakKeyDictionary[Serving, GrpcCodec] = WeakKeyDictionary()
        self._prefix = secrets.token_hex(6)
        self._count = count(1)

    async def infer(self, message: bytes, context: Context) -> bytes:
        """One prediction. The caller going away cancels it."""
        future, request = self._begin(message, context)
        try:
            request_id, answer = await future
        except asyncio.CancelledError:
            if request is not None:
                request.cancel()
            raise
        return answer if isinstance(answer, bytes) else await refuse(context, answer, request_id)

    async def stream_infer(self, messages: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        """Many predictions: answers in the order of the requests, a failure as the answer of its own request alone.
        When the server drains, what was read is answered, and the stream ends."""
        begun: asyncio.Queue[Begun | None] = asyncio.Queue(IN_STREAM)

        async def read() -> None:
            try:
                async for message in messages:
                    await begun.put(self._begin(message, context))
            finally:
                await begun.put(None)

        async def stop() -> None:
            await self._draining.wait()
            reading.cancel()

        reading = asyncio.ensure_future(read())
        stopping = asyncio.ensure_future(stop())
        try:
            while (next_ := await begun.get()) is not None:
                yield _in_stream(*await next_[0])
            if reading.cancelled() or self._draining.is_set():
                await refuse(context, Unavailable("the server is shutting down: open a new stream"))
        finally:
            stopping.cancel()
            reading.cancel()
            while not begun.empty():
                left = begun.get_nowait()
                if left is not None and left[1] is not None:
                    left[1].cancel()

    def _begin(self, message: bytes, context: Context) -> Begun:
        """Let one prediction in. Its future gets the answer, now or later; the Request is what to cancel."""
        future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        request_id = ""
        try:
            asked = read_request(message)
            request_id = asked.id
            return future, self._submit(asked, context, future)
        except ServableError as error:
            future.set_result((request_id, error))
        except Exception as error:  # noqa: BLE001 - the wall: a caller gets a status, never a traceback
            future.set_result((request_id, unexpected(error)))
        return future, None

    def _submit(self, asked: pb.ModelInferRequest, context: Context, future: asyncio.Future[Answered]) -> Request:
        name = asked.model_name
        self._admit(name, context)
        request_id = asked.id or f"{self._prefix}-{next(self._count):x}"
        serving = self._router.pick(name, asked.model_version or None, request_id)
        codec = self._codecs.get(serving)
        if codec is None:
            codec = self._codecs[serving] = GrpcCodec(serving.codec, serving.name, serving.version)
        inquiry, form = codec.decode(asked)
        within_s = inquiry.options.timeout_s
        left_s: float | None = context.time_remaining()
        if left_s is not None:
            within_s = left_s if within_s is None else min(within_s, left_s)
        elif within_s is None:
            within_s = self._deadline_s
        now = monotonic()
        done = _telling(future, codec, form)
        request = Request(request_id, inquiry.batch, done, now + within_s, inquiry.options.priority, now)
        serving.submit(request)
        return request


def _telling(future: asyncio.Future[Answered], codec: GrpcCodec, form: Form) -> Callable[[Request], None]:
    """What a request calls when it is done: its answer, encoded, goes to the future."""

    def done(request: Request) -> None:
        if future.done():
            return
        answer: bytes | ServableError
        if request.answer is None:
            answer = request.error or ServableError("the request ended without an answer")
        else:
            try:
                answer = codec.encode(request.id, request.answer, form)
            except ServableError as error:
                answer = error
            except Exception as error:  # noqa: BLE001 - the wall: the other requests of this batch go on
                answer = unexpected(error)
        future.set_result((request.id, answer))

    return done


def _in_stream(request_id: str, answer: bytes | ServableError) -> bytes:
    """One answer of a stream. A failure carries its request's id, so that the client knows which one failed."""
    if isinstance(answer, bytes):
        told = pb.ModelStreamInferResponse(infer_response=pb.ModelInferResponse.FromString(answer))
    else:
        told = pb.ModelStreamInferResponse(error_message=status_of(answer, request_id).text)
        told.infer_response.id = request_id
    return told.SerializeToString()
