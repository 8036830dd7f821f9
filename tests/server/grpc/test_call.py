"""gRPC on the wire, where no client library would go: pieces, cuts, wrong headers, too much at once."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import unquote

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded, StreamReset
from hypothesis import given
from hypothesis import strategies as st

from servable.errors import InvalidInput
from servable.server.grpc.call import UNITS_S, read_head
from servable.server.grpc.status import MAX_TEXT_BYTES, percent_encoded, text_of
from servable.wire.generated import open_inference_pb2 as pb
from tests.server import grpc_served
from tests.server.grpc_served import Served, served

HEADERS = {
    ":method": "POST",
    ":scheme": "http",
    ":authority": "here",
    ":path": "/inference.GRPCInferenceService/ModelInfer",
    "content-type": "application/grpc",
    "te": "trailers",
}


def request(rows: int = 1) -> bytes:
    message = pb.ModelInferRequest(model_name="scores", raw_input_contents=[bytes(12 * rows)])
    message.inputs.add(name="x", datatype="FP32", shape=[rows, 3])
    return message.SerializeToString()


def framed(message: bytes, packed: int = 0) -> bytes:
    return bytes([packed]) + len(message).to_bytes(4, "big") + message


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    return grpc_served.models(tmp_path_factory.mktemp("models"))


@pytest.fixture
async def door(files) -> AsyncIterator[Served]:
    async with served(files, max_body_bytes=10_000) as open_door:
        yield open_door


class Wire:
    """One connection, through which anything can be sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.answers: dict[int, dict[str, str]] = {}
        self.ended: set[int] = set()

    async def begin(self, headers: Mapping[str, str] = HEADERS) -> int:
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, list(headers.items()))
        await self.flush()
        return stream

    async def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        self.h2.send_data(stream, data, end_stream=end)
        await self.flush()

    async def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())
        await self.writer.drain()

    async def answer(self, stream: int) -> dict[str, str]:
        """Headers and trailers of the answer, all together."""
        async with asyncio.timeout(20):
            while stream not in self.ended:
                data = await self.reader.read(65536)
                assert data
                for event in self.h2.receive_data(data):
                    if headers := getattr(event, "headers", None):
                        self.answers.setdefault(event.stream_id, {}).update(headers)
                    if isinstance(event, (StreamEnded, StreamReset)):
                        self.ended.add(event.stream_id)
                await self.flush()
        return {name: unquote(value) for name, value in self.answers.get(stream, {}).items()}


@contextlib.asynccontextmanager
async def wire(door: Served) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection(*door.address.split(":"))
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def ask(door: Served, headers: Mapping[str, str], *pieces: bytes) -> dict[str, str]:
    async with wire(door) as client:
        stream = await client.begin(headers)
        for piece in pieces:
            await client.send(stream, piece)
            await asyncio.sleep(0)
        await client.send(stream, b"", end=True)
        return await client.answer(stream)


async def test_a_message_in_pieces(door: Served):
    whole = framed(request(100))
    for cut in (1, 4, 5, 6, len(whole) - 1):
        answer = await ask(door, HEADERS, whole[:cut], whole[cut:])
        assert (answer[":status"], answer["grpc-status"]) == ("200", "0")
    assert all(connection.held_bytes == 0 for connection in door.door._connections)


@pytest.mark.parametrize(
    ("headers", "sent", "status", "told"),
    [
        ({}, b"", "3", "takes one message, and none came"),
        ({}, framed(request()) * 2, "3", "takes one message, and 2 came"),
        ({}, framed(request())[:-1], "3", "the last message was cut"),
        ({}, b"\0\0", "3", "the last message was cut"),
        ({}, b"\0" + (10_001).to_bytes(4, "big"), "8", "at most 10000 are taken"),
        ({}, framed(request(), packed=1), "3", "no header grpc-encoding"),
        ({"grpc-encoding": "gzip"}, framed(gzip.compress(request(), mtime=0), packed=1), "0", ""),
        ({"grpc-encoding": "gzip"}, framed(request()), "0", ""),  # each message says for itself
        ({"grpc-encoding": "gzip"}, framed(gzip.compress(request(), mtime=0)[:-4], packed=1), "3", "ends early"),
        ({"grpc-encoding": "snappy"}, framed(request()), "12", "'snappy' is not spoken here"),
        ({"grpc-timeout": "10S"}, framed(request()), "0", ""),
        ({"grpc-timeout": "0n"}, framed(request()), "4", "no answer within"),
        ({"grpc-timeout": "10s"}, framed(request()), "3", "grpc-timeout: expected digits and one of H M S m u n"),
        ({"grpc-timeout": "123456789S"}, framed(request()), "3", "grpc-timeout"),
        ({":path": "/nothing"}, framed(request()), "12", "no method '/nothing'"),
        ({"content-type": "application/grpc+proto"}, framed(request()), "0", ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_each_call_ends_with_its_status(door: Served, headers: dict, sent: bytes, status: str, told: str):
    answer = await ask(door, HEADERS | headers, sent)
    assert answer["grpc-status"] == status
    assert told in answer.get("grpc-message", "")
    assert answer[":status"] == "200"
    assert answer["grpc-accept-encoding"] == "identity,deflate,gzip"


@pytest.mark.parametrize("headers", [{":method": "GET"}, {"content-type": "application/json"}])
async def test_what_is_not_grpc_is_told_so(door: Served, headers: dict):
    assert (await ask(door, HEADERS | headers, b""))[":status"] == "415"


async def test_a_refusal_does_not_wait_for_the_rest(door: Served):
    """The length says that it is too long: nobody waits for the bytes."""
    async with wire(door) as client:
        stream = await client.begin()
        await client.send(stream, b"\0" + (2**31).to_bytes(4, "big") + b"x")
        assert (await client.answer(stream))["grpc-status"] == "8"
        again = await client.begin()
        await client.send(again, framed(request()), end=True)
        assert (await client.answer(again))["grpc-status"] == "0"


async def test_halves_of_messages_are_bounded_by_the_connection(door: Served):
    """Each within its limit, and none ever ended: together they are not let grow beyond twice the limit."""
    async with wire(door) as client:
        streams = [await client.begin() for _ in range(4)]
        for stream in streams[:3]:
            await client.send(stream, framed(bytes(9_900))[:-3_200])
        assert (await client.answer(streams[2]))["grpc-status"] == "8"
        assert "unfinished messages" in (await client.answer(streams[2]))["grpc-message"]
        assert max(each.held_bytes for each in door.door._connections) < 20_000
        await client.send(streams[3], framed(request()), end=True)
        assert (await client.answer(streams[3]))["grpc-status"] == "0"
    async with asyncio.timeout(10):
        while door.door._connections:
            await asyncio.sleep(0.01)


async def test_half_a_message_of_a_stream_must_be_followed_by_the_rest(door: Served):
    """Between its messages a stream may take its time; in the middle of one it may not."""
    from time import monotonic

    path = HEADERS[":path"].replace("ModelInfer", "ModelStreamInfer")
    async with wire(door) as client:
        stream = await client.begin(HEADERS | {":path": path})
        await client.send(stream, framed(request()))
        await until(lambda: door.stats("scores").success == 1)
        (connection,) = door.door._connections
        connection.sweep(monotonic() + 1000)
        assert connection.streams
        await client.send(stream, framed(request())[:9])
        await until(lambda: connection.held_bytes == 9)
        connection.sweep(monotonic() + 1)
        assert connection.streams
        connection.sweep(monotonic() + 11)
        assert not connection.streams
        assert connection.held_bytes == 0


async def until(true) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)


# ---- headers and texts


@given(st.integers(0, 99_999_999), st.sampled_from(sorted(UNITS_S)))
def test_timeouts_in_every_unit(number: int, unit: bytes):
    headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
    head = read_head([*headers, (b"grpc-timeout", b"%d%b" % (number, unit))])
    assert head.problem is None
    assert head.timeout_s == pytest.approx(number * UNITS_S[unit])


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b":method", b"POST"), (b":path", b"/x")],
        [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/x"), (b":path", b"/y")],
        [(b":method", b"POST"), (b":scheme", b"http"), (b"te", b"trailers"), (b":path", b"/x")],
        [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/x"), (b"TE", b"trailers")],
        [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/x"), (b"connection", b"close")],
    ],
)
def test_headers_that_are_no_http_2_request(headers: list):
    with pytest.raises(ValueError):  # noqa: PT011 - which of them it is, nobody is told
        read_head(headers)


@given(st.text(max_size=200), st.integers(1, 400))
def test_no_text_is_longer_than_clients_take(text: str, times: int):
    error = InvalidInput(text * times, example={"x": text})
    told = percent_encoded(text_of(error))
    assert len(told) <= MAX_TEXT_BYTES
    assert all(32 <= byte < 127 for byte in told)


@given(st.text())
def test_texts_come_back(text: str):
    encoded = text.encode("utf-8", "replace").decode()
    assert unquote(percent_encoded(text).decode()) == encoded


async def test_large_rows_are_within_the_limit(files):
    """Exactly the limit is taken; a byte more is not."""
    size = len(request(1000))
    async with served(files, max_body_bytes=size) as door:
        assert (await ask(door, HEADERS, framed(request(1000))))["grpc-status"] == "0"
        assert (await ask(door, HEADERS, framed(request(1001))))["grpc-status"] == "8"
