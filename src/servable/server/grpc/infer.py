"""Predictions over gRPC: one by one, or many over a stream. From the message to the bytes of its answer.

The hot path of the gRPC door: no message object is made for an answer, and nothing is looked up twice.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from itertools import count
from time import monotonic
from typing import Final
from weakref import WeakKeyDictionary

from servable.engine.request import Answering, Request
from servable.engine.router import Router
from servable.errors import ServableError, Unavailable
from servable.server.grpc.call import Call
from servable.server.grpc.status import text_of, unexpected
from servable.wire.generated import open_inference_pb2 as pb
from servable.wire.grpc_tensors import GrpcCodec, read_request

IN_STREAM: Final = 64
"""Predictions of one stream that may be under way at once; beyond, it is not read from."""

Answered = Callable[[str, bytes | ServableError], None]
"""Takes a prediction's id, and its answer or what went wrong."""


class Predictions:
    """Answers ModelInfer and ModelStreamInfer. `admit(model, call)` raises if the caller may not."""

    def __init__(self, router: Router, deadline_s: float, admit: Callable[[str, Call], None]) -> None:
        self._router = router
        self._deadline_s = deadline_s
        self._admit = admit
        self._codecs: WeakKeyDictionary[Answering, GrpcCodec] = WeakKeyDictionary()
        self._prefix = secrets.token_hex(6)
        self._count = count(1)

    def infer(self, message: bytes, call: Call) -> None:
        """One prediction. The caller going away cancels it."""

        def answer(request_id: str, answer: bytes | ServableError) -> None:
            if isinstance(answer, bytes):
                call.reply(answer)
            else:
                call.fail(answer, request_id)

        request = self.begin(message, call, answer)
        if request is not None:
            call.on_gone = request.cancel

    def begin(self, message: bytes, call: Call, answer: Answered) -> Request | None:
        """Let one prediction in; `answer` is called once, now or later. Returns what to cancel."""
        request_id = ""
        try:
            asked = read_request(message)
            request_id = asked.id
            return self._submit(asked, call, answer)
        except ServableError as error:
            answer(request_id, error)
        except Exception as error:  # noqa: BLE001 - the wall: a caller gets a status, never a traceback
            answer(request_id, unexpected(error))
        return None

    def _submit(self, asked: pb.ModelInferRequest, call: Call, answer: Answered) -> Request:
        name = asked.model_name
        self._admit(name, call)
        request_id = asked.id or call.head.request_id or f"{self._prefix}-{next(self._count):x}"
        serving = self._router.pick(name, asked.model_version or None, request_id, call.head.unit)
        codec = self._codec(serving)
        try:
            inquiry, form = codec.decode(asked)
        except ServableError as error:
            serving.stats.failed(error.code)
            raise
        options = inquiry.options
        now = monotonic()
        deadline = call.deadline
        if options.timeout_s is not None:
            deadline = now + options.timeout_s if deadline is None else min(deadline, now + options.timeout_s)
        elif deadline is None:
            deadline = now + self._deadline_s
        deadline = max(deadline, now)

        def done(request: Request) -> None:
            try:
                own = codec if request.by is None else self._codec(request.by)
                encoded = own.encode(request.id, request.result(), form)
            except ServableError as error:
                answer(request.id, error)
            except Exception as error:  # noqa: BLE001 - the wall: the other requests of this batch go on
                answer(request.id, unexpected(error))
            else:
                answer(request.id, encoded)

        request = Request(request_id, inquiry.batch, done, deadline, options.priority, now)
        serving.submit(request)
        return request

    def _codec(self, serving: Answering) -> GrpcCodec:
        codec = self._codecs.get(serving)
        if codec is None:
            codec = self._codecs[serving] = GrpcCodec(serving.codec, serving.name, serving.version)
        return codec


class InferStream:
    """Many predictions over one call: answers in the order of the requests, a failure as the answer of its own request
    alone. When the server drains, what was read is answered, and the call ends.
    """

    def __init__(self, predictions: Predictions, call: Call, on_over: Callable[[InferStream], None]) -> None:
        """`on_over` is told when there is no more to stop."""
        self._predictions = predictions
        self._call = call
        self._on_over = on_over
        self._turns: deque[_Turn] = deque()
        self._unread: deque[bytes] = deque()
        self._flushing = False
        self._ended = False
        self._stopped = False
        call.on_message = self._take
        call.on_end = self._end
        call.on_room = self._flush
        call.on_gone = self._gone

    def stop(self) -> None:
        """Read no more; end when what was read is answered."""
        self._stopped = True
        self._flush()

    def _take(self, message: bytes) -> None:
        if not self._stopped:
            self._unread.append(message)
            self._flush()

    def _begin(self, message: bytes) -> None:
        turn = _Turn()
        self._turns.append(turn)

        def answer(request_id: str, answer: bytes | ServableError) -> None:
            turn.answer = _in_stream(request_id, answer)
            if self._turns and self._turns[0] is turn:
                self._flush()

        turn.request = self._predictions.begin(message, self._call, answer)

    def _flush(self) -> None:
        """Begin what may begin, send every answer whose turn has come, and end if that was all.

        Nothing begins and nothing is sent while the caller does not take what was sent before.
        """
        if self._flushing:
            return
        self._flushing = True
        while not self._call.clogged:
            if self._turns and (ready := self._turns[0].answer) is not None:
                self._turns.popleft()
                self._call.send(ready)
            elif self._unread and len(self._turns) < IN_STREAM:
                self._begin(self._unread.popleft())
            else:
                break
        self._flushing = False
        if self._unread:
            self._call.paused = True
        elif self._call.paused:
            self._call.resume()
        if not self._turns and not self._unread:
            if self._stopped:
                self._call.fail(Unavailable("the server is shutting down: open a new stream"))
                self._on_over(self)
            elif self._ended:
                self._call.succeed()
                self._on_over(self)

    def _end(self) -> None:
        self._ended = True
        self._flush()

    def _gone(self) -> None:
        self._unread.clear()
        for turn in self._turns:
            if turn.request is not None:
                turn.request.cancel()
        self._turns.clear()
        self._on_over(self)


class _Turn:
    """A request's place in the order of a stream's answers."""

    __slots__ = ("answer", "request")

    def __init__(self) -> None:
        self.answer: bytes | None = None
        self.request: Request | None = None


def _in_stream(request_id: str, answer: bytes | ServableError) -> bytes:
    """One answer of a stream. A failure carries its request's id, so that the client knows which one failed."""
    if isinstance(answer, bytes):
        told = pb.ModelStreamInferResponse(infer_response=pb.ModelInferResponse.FromString(answer))
    else:
        told = pb.ModelStreamInferResponse(error_message=text_of(answer))
        told.infer_response.id = request_id
    return told.SerializeToString()
