"""HTTP/2 frame by frame: what a well-behaved peer may do, and what a bad one may not. Behind it a service that echoes.

The peer is the `h2` library where it can say what is needed, and bare frames where it would refuse to.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import struct
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, StreamEnded, StreamReset
from h2.settings import SettingCodes
from hypothesis import given, settings
from hypothesis import strategies as st

from servable.server.http2 import frames as h2
from servable.server.http2.connection import DRAIN_PING, Connection
from servable.server.http2.inbound import MAX_STREAMS
from servable.server.http2.reading import MAX_FRAME_BYTES, Frames, Headers, NotHttp2
from servable.server.http2.stream import Stream
from servable.settings import Settings

HEADERS = [(":method", "POST"), (":scheme", "http"), (":authority", "here"), (":path", "/echo")]
RESPONSE = h2.header_block([(b":status", b"200")])
TRAILERS = h2.header_block([(b"done", b"yes")])
BLOCK = h2.header_block([(name.encode(), value.encode()) for name, value in HEADERS])


class Echo:
    """Answers a request with its body once all of it has come; `/hold` never answers."""

    def __init__(self, service: EchoService, stream: Stream, path: bytes) -> None:
        self.service = service
        self.stream = stream
        self.path = path
        self.body = bytearray()

    def received(self, data: bytes) -> None:
        self.body += data
        self.stream.credit(len(data))

    def ended(self) -> None:
        if self.path != b"/hold":
            self.stream.write(RESPONSE, bytes(self.body), TRAILERS)

    def gone(self) -> None:
        self.service.gone += 1

    def writable(self) -> None:
        self.service.writable += 1


class EchoService:
    def __init__(self) -> None:
        self.opened = 0
        self.gone = 0
        self.writable = 0
        self.reads = 0

    def read_head(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        self.reads += 1
        found = dict(headers)
        if b":path" not in found:
            raise ValueError("no path")
        return found[b":path"]

    def open(self, stream: Stream, head: bytes) -> Echo:
        self.opened += 1
        if head == b"/refuse":
            stream.write(RESPONSE, b"", TRAILERS)
        return Echo(self, stream, head)


class Door:
    """The echo service on a port, and its connections."""

    def __init__(self, **settings: Any) -> None:
        self.service = EchoService()
        self.settings = Settings(**settings)
        self.connections: list[Connection] = []
        self.room = 100
        self.port = 0

    def connection(self) -> Connection:
        return Connection(self.service, self.settings, self._opened, self.connections.remove)

    def _opened(self, connection: Connection) -> bool:
        self.connections.append(connection)
        return len(self.connections) <= self.room


@contextlib.asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[Door]:
    door = Door(**settings)
    server = await asyncio.get_running_loop().create_server(door.connection, "127.0.0.1", 0)
    door.port = server.sockets[0].getsockname()[1]
    try:
        yield door
    finally:
        server.close()
        for connection in list(door.connections):
            connection.abort()
        await until(lambda: not door.connections)


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with opened() as open_door:
        yield open_door


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)


class Peer:
    """A client by the `h2` library. Gives what came, event by event."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        self.events: list[Event] = []
        self.data: dict[int, bytearray] = {}
        self.acknowledge = True

    async def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())
        await self.writer.drain()

    async def until(self, true: Callable[[Event], bool]) -> Event:
        """Read until an event is met for which this holds."""
        async with asyncio.timeout(20):
            while True:
                while self.events:
                    event = self.events.pop(0)
                    if isinstance(event, DataReceived):
                        self.data.setdefault(event.stream_id, bytearray()).extend(event.data)
                        if self.acknowledge:
                            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    if true(event):
                        await self.flush()
                        return event
                await self.flush()
                data = await self.reader.read(65536)
                assert data, "the connection was closed"
                self.events += self.h2.receive_data(data)

    async def ended(self, stream: int) -> bytes:
        await self.until(lambda event: isinstance(event, StreamEnded) and event.stream_id == stream)
        return bytes(self.data.get(stream, b""))

    async def ask(self, body: bytes, path: str = "/echo") -> int:
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [(n, path if n == ":path" else v) for n, v in HEADERS], end_stream=not body)
        sent = 0
        while sent < len(body):
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(body) - sent)
            if room:
                self.h2.send_data(stream, body[sent : sent + room], end_stream=sent + room == len(body))
                sent += room
                await self.flush()
            else:
                await self.until(lambda event: type(event).__name__ == "WindowUpdated")
        await self.flush()
        return stream


@contextlib.asynccontextmanager
async def peer(door: Door, *, greet: bool = True) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    client = Peer(reader, writer)
    if greet:
        client.h2.initiate_connection()
        await client.flush()
        await client.until(lambda event: type(event).__name__ == "SettingsAcknowledged")
    try:
        yield client
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


# ---- what a peer may do


@pytest.mark.parametrize("size", [0, 1, 16_384, 65_535, 65_536, 2**20 + 1, 20 * 2**20])
async def test_bodies_of_any_size_come_back(door: Door, size: int):
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    async with peer(door) as client:
        assert await client.ended(await client.ask(body)) == body
    await until(lambda: not door.connections)
    assert door.service.gone == 0


async def test_streams_take_turns_and_windows_hold(door: Door):
    """Three large answers wait for windows of 1000 bytes; a small one passes them."""
    async with peer(door) as client:
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1000})
        await client.flush()
        client.acknowledge = False
        large = [await client.ask(bytes(200_000)) for _ in range(3)]
        small = await client.ask(b"small")
        assert await client.ended(small) == b"small"
        assert all(len(client.data.get(stream, b"")) <= 1000 for stream in large)
        for stream in large:
            client.h2.increment_flow_control_window(200_000, stream)
        client.h2.increment_flow_control_window(2_000_000)
        await client.flush()
        for stream in large:
            assert await client.ended(stream) == bytes(200_000)


async def test_a_window_that_shrinks_below_zero(door: Door):
    async with peer(door) as client:
        client.acknowledge = False
        stream = await client.ask(bytes(100_000))
        await client.until(lambda _: len(client.data.get(stream, b"")) == 65_535)
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 100})
        client.h2.increment_flow_control_window(200_000)
        client.h2.increment_flow_control_window(65_000, stream)
        await client.flush()
        client.h2.ping(b"01234567")
        await client.until(lambda event: type(event).__name__ == "PingAckReceived")
        assert len(client.data[stream]) < 65_535 + 100  # the window is 100 - 65 535 + 65 000, below zero
        client.h2.increment_flow_control_window(100_000, stream)
        assert await client.ended(stream) == bytes(100_000)


async def test_frames_no_longer_than_the_peer_takes(door: Door):
    async with peer(door) as client:
        client.h2.update_settings({SettingCodes.MAX_FRAME_SIZE: 20_000, SettingCodes.INITIAL_WINDOW_SIZE: 2**20})
        client.h2.increment_flow_control_window(2**20)
        await client.flush()
        longest = 0

        def ended(event: Event) -> bool:
            nonlocal longest
            if isinstance(event, DataReceived):
                longest = max(longest, event.flow_controlled_length)
            return isinstance(event, StreamEnded) and event.stream_id == stream

        stream = await client.ask(bytes(300_000))
        await client.until(ended)
        assert longest == 20_000


async def test_headers_in_pieces_padding_priorities_and_unknown_frames(door: Door):
    async with peer(door) as client:
        padded = b"\x05" + struct.pack(">IB", 0, 15) + BLOCK[:7] + bytes(5)
        client.writer.write(
            h2.frame(0x2, 0, 9, struct.pack(">IB", 0, 15))  # PRIORITY of a stream that is idle
            + h2.frame(0xFA, 0xFF, 3, b"anything")
            + h2.frame(h2.HEADERS, h2.PADDED | h2.WITH_PRIORITY, 1, padded)
            + h2.frame(h2.CONTINUATION, 0, 1, BLOCK[7:20])
            + h2.frame(h2.CONTINUATION, h2.END_HEADERS, 1, BLOCK[20:])
            + h2.frame(h2.DATA, h2.PADDED, 1, b"\x03hal" + bytes(3))
            + h2.frame(h2.DATA, 0, 1, b"lo")
            + h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, h2.header_block([(b"trailer", b"x")]))
        )
        answer = await _raw(client, lambda _, flags, number, _payload: flags & h2.END_STREAM and number == 1)
        assert b"".join(payload for kind, _, number, payload in answer if kind == h2.DATA and number == 1) == b"hallo"


async def test_bytes_one_by_one(door: Door):
    async with peer(door, greet=False) as client:
        client.h2.initiate_connection()
        client.h2.send_headers(1, HEADERS)
        client.h2.send_data(1, b"slow and steady", end_stream=True)
        for byte in client.h2.data_to_send():
            client.writer.write(bytes([byte]))
            await client.writer.drain()
            await asyncio.sleep(0)
        assert await client.ended(1) == b"slow and steady"


async def test_repeated_headers_are_read_once(door: Door):
    async with peer(door) as client:
        for _ in range(10):
            await client.ended(await client.ask(b"x"))
        assert door.service.opened == 10
        assert door.service.reads <= 3  # literal at first, then by number
        client.h2.encoder.header_table_size = 0
        for _ in range(2):
            await client.ended(await client.ask(b"x"))
        assert await client.ended(await client.ask(b"y", "/other")) == b"y"


async def test_a_request_taken_back(door: Door):
    async with peer(door) as client:
        stream = await client.ask(b"x", "/hold")
        await until(lambda: door.service.opened == 1)
        client.h2.reset_stream(stream)
        await client.flush()
        await until(lambda: door.service.gone == 1)
        assert await client.ended(await client.ask(b"y")) == b"y"


async def test_an_answer_before_the_request_has_ended(door: Door):
    async with peer(door) as client:
        client.h2.send_headers(1, [(n, "/refuse" if n == ":path" else v) for n, v in HEADERS])
        client.h2.send_data(1, b"more")
        await client.flush()
        await client.until(lambda event: isinstance(event, (StreamReset, StreamEnded)))
        assert await client.ended(await client.ask(b"y")) == b"y"
    assert door.service.gone == 0


async def test_no_more_streams_than_announced(door: Door):
    async with peer(door) as client:
        held = [await client.ask(b"", "/hold") for _ in range(MAX_STREAMS)]
        client.writer.write(h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, held[-1] + 2, BLOCK))
        answer = await _raw(client, lambda kind, *_: kind == h2.RST_STREAM)
        assert h2.word(answer[-1][3]) == h2.REFUSED_STREAM
        assert len(door.connections[0].streams) == MAX_STREAMS


async def test_nothing_is_left_for_the_collector(door: Door):
    async with peer(door) as client:
        await client.ended(await client.ask(b"x"))
        gc.collect()
        gc.disable()
        try:
            before = sum(issubclass(type(each), (Stream, Echo)) for each in gc.get_objects())
            for _ in range(20):
                await client.ended(await client.ask(b"x"))
            after = sum(issubclass(type(each), (Stream, Echo)) for each in gc.get_objects())
        finally:
            gc.enable()
    assert after <= before


# ---- the end


async def test_draining_serves_what_is_on_its_way(door: Door):
    async with peer(door) as client:
        held = await client.ask(b"", "/hold")
        await until(lambda: door.connections[0].streams)
        connection = door.connections[0]
        connection.drain()
        client.writer.write(h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, held + 2, BLOCK))  # crosses the GOAWAY
        frames = await _raw(client, lambda _kind, _flags, number, _: number == held + 2)
        first = next(payload for kind, _, _, payload in frames if kind == h2.GOAWAY)
        assert first[:4] == b"\x7f\xff\xff\xff"
        assert any(kind == h2.PING and payload == DRAIN_PING for kind, _, _, payload in frames)
        client.writer.write(h2.frame(h2.PING, h2.ACK, 0, DRAIN_PING))
        client.writer.write(h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, held + 4, BLOCK))  # too late
        frames = await _raw(client, lambda kind, *_: kind == h2.RST_STREAM)
        assert [h2.word(payload[:4]) for kind, _, _, payload in frames if kind == h2.GOAWAY] == [held + 2]
        assert door.connections == [connection]
        client.writer.write(h2.reset(held, h2.CANCEL))
        assert await asyncio.wait_for(client.reader.read(), 10) == b""


@pytest.mark.parametrize(
    ("settings_", "sent", "told"),
    [
        ({"keep_alive_s": 5.0}, "", h2.NO_ERROR),  # idle
        ({"receive_timeout_s": 5.0}, h2.frame(h2.DATA, 0, 1, bytes(50))[:20], h2.NO_ERROR),  # half a frame
        ({"receive_timeout_s": 5.0}, None, None),  # not even a preface
    ],
)
async def test_the_idle_and_the_halting_are_sent_away(settings_: dict, sent: Any, told: int | None):
    async with opened(**settings_) as door, peer(door, greet=sent is not None) as client:
        client.writer.write(sent or b"")
        await until(lambda: door.connections)
        connection = door.connections[0]
        connection.sweep(monotonic() + 4)
        assert not connection.is_over()
        await asyncio.sleep(0.05)  # whatever was sent has come
        connection.sweep(monotonic() + 6)
        assert connection.is_over()
        rest = await asyncio.wait_for(client.reader.read(), 10)
        if told is not None:
            assert rest[3] == h2.GOAWAY
            assert int.from_bytes(rest[13:17], "big") == told


async def test_a_request_that_comes_too_slowly_is_dropped(door: Door):
    async with peer(door) as client:
        client.h2.send_headers(1, HEADERS)
        client.h2.send_data(1, b"x")
        await client.flush()
        await until(lambda: door.service.opened == 1)
        door.connections[0].sweep(monotonic() + door.settings.receive_timeout_s + 1)
        event = await client.until(lambda event: isinstance(event, StreamReset))
        assert event.error_code == h2.CANCEL
        assert door.service.gone == 1


async def test_an_answer_that_nobody_takes_is_dropped(door: Door):
    async with peer(door) as client:
        client.acknowledge = False
        stream = await client.ask(bytes(100_000))
        await until(lambda: door.connections[0].sending.blocked)
        await client.until(lambda _: len(client.data.get(stream, b"")) == 65_535)
        door.connections[0].sweep(monotonic() + door.settings.write_timeout_s + 1)
        assert (await client.until(lambda event: isinstance(event, StreamReset))).error_code == h2.CANCEL
        client.h2.increment_flow_control_window(100)
        assert await client.ended(await client.ask(b"small")) == b"small"


async def test_a_peer_that_reads_nothing_is_cut_off(door: Door):
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=2**10)
    client = Peer(reader, writer)
    client.h2.initiate_connection()
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**30})
    client.h2.increment_flow_control_window(2**30)
    await client.flush()
    await until(lambda: door.connections)
    connection = door.connections[0]
    client.h2.send_headers(1, HEADERS)
    writer.write(client.h2.data_to_send())
    body = h2.frame(h2.DATA, 0, 1, bytes(2**19))
    for _ in range(40):  # 20 MiB, which come back; the windows are open, the socket fills
        writer.write(body)
        await asyncio.sleep(0)
    writer.write(h2.frame(h2.DATA, h2.END_STREAM, 1))
    await until(lambda: connection.sending.paused)
    connection.sweep(monotonic())
    assert not connection.is_over()
    connection.sweep(monotonic() + door.settings.write_timeout_s + 1)
    assert connection.is_over()
    await until(lambda: not door.connections)
    writer.close()


async def test_one_connection_too_many():
    async with opened() as door:
        door.room = 1
        async with peer(door), peer(door, greet=False) as second:
            rest = await asyncio.wait_for(second.reader.read(), 10)
            assert rest[3] == h2.GOAWAY


async def test_http_1_is_told_where_to_go(door: Door):
    async with peer(door, greet=False) as client:
        client.writer.write(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = await asyncio.wait_for(client.reader.read(), 10)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"gRPC" in answer


# ---- what a peer may not do

GREETING = h2.PREFACE + h2.settings([])
OPEN = h2.frame(h2.HEADERS, h2.END_HEADERS, 1, BLOCK)
BEGUN = h2.frame(h2.HEADERS, 0, 1, b"")
WHOLE = h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, BLOCK)
HOLD = h2.frame(h2.HEADERS, h2.END_HEADERS, 1, BLOCK.replace(b"\x05/echo", b"\x05/hold"))


async def _raw(client: Peer, true: Callable[..., Any]) -> list[tuple[int, int, int, bytes]]:
    """Frames that come, as they are, up to the first for which this holds: (kind, flags, stream, payload)."""
    frames: list[tuple[int, int, int, bytes]] = []
    async with asyncio.timeout(20):
        while not frames or not true(*frames[-1]):
            head = await client.reader.readexactly(9)
            word, flags, number = h2.HEAD.unpack(head)
            frames.append((word & 0xFF, flags, number, await client.reader.readexactly(word >> 8)))
    return frames


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (h2.PREFACE + h2.frame(h2.PING, 0, 0, bytes(8)), h2.PROTOCOL_ERROR),  # not SETTINGS first
        (GREETING + h2.HEAD.pack((MAX_FRAME_BYTES + 1) << 8, 0, 1), h2.FRAME_SIZE_ERROR),
        (GREETING + h2.frame(h2.DATA, 0, 0, b"x"), h2.PROTOCOL_ERROR),
        (GREETING + h2.frame(h2.DATA, 0, 5, b"x"), h2.PROTOCOL_ERROR),  # idle
        (GREETING + OPEN + h2.frame(h2.DATA, h2.PADDED, 1, b"\x09abc"), h2.PROTOCOL_ERROR),
        (GREETING + OPEN + h2.frame(h2.DATA, h2.PADDED, 1, b""), h2.PROTOCOL_ERROR),
        (GREETING + h2.frame(h2.HEADERS, h2.END_HEADERS, 2, BLOCK), h2.PROTOCOL_ERROR),
        (GREETING + h2.frame(h2.HEADERS, h2.END_HEADERS, 0, BLOCK), h2.PROTOCOL_ERROR),
        (GREETING + h2.frame(h2.HEADERS, h2.END_HEADERS | h2.WITH_PRIORITY, 1, b"123"), h2.FRAME_SIZE_ERROR),
        (GREETING + h2.frame(h2.HEADERS, h2.END_HEADERS, 1, b"\xff\xff\xff\xff\x7f"), h2.COMPRESSION_ERROR),
        (GREETING + h2.frame(h2.HEADERS, h2.END_HEADERS, 1, b"\x00\x7f"), h2.COMPRESSION_ERROR),
        (GREETING + h2.frame(h2.HEADERS, 0, 1, BLOCK) + h2.frame(h2.PING, 0, 0, bytes(8)), h2.PROTOCOL_ERROR),
        (GREETING + h2.frame(h2.HEADERS, 0, 1, BLOCK) + h2.frame(h2.CONTINUATION, 4, 3, b""), h2.PROTOCOL_ERROR),
        (GREETING + h2.frame(h2.CONTINUATION, h2.END_HEADERS, 1, BLOCK), h2.PROTOCOL_ERROR),
        (GREETING + h2.frame(h2.PUSH_PROMISE, 4, 1, bytes(4)), h2.PROTOCOL_ERROR),
        (GREETING + h2.frame(h2.PRIORITY, 0, 0, bytes(5)), h2.PROTOCOL_ERROR),
        (GREETING + h2.frame(h2.PRIORITY, 0, 1, bytes(4)), h2.FRAME_SIZE_ERROR),
        (GREETING + h2.frame(h2.RST_STREAM, 0, 1, bytes(4)), h2.PROTOCOL_ERROR),  # idle
        (GREETING + OPEN + h2.frame(h2.RST_STREAM, 0, 1, bytes(3)), h2.FRAME_SIZE_ERROR),
        (GREETING + h2.frame(h2.SETTINGS, 0, 1, b""), h2.PROTOCOL_ERROR),
        (GREETING + h2.frame(h2.SETTINGS, 0, 0, bytes(5)), h2.FRAME_SIZE_ERROR),
        (GREETING + h2.frame(h2.SETTINGS, h2.ACK, 0, bytes(6)), h2.FRAME_SIZE_ERROR),
        (GREETING + h2.settings([(h2.ENABLE_PUSH, 2)]), h2.PROTOCOL_ERROR),
        (GREETING + h2.settings([(h2.INITIAL_WINDOW_SIZE, 2**31)]), h2.FLOW_CONTROL_ERROR),
        (GREETING + h2.settings([(h2.MAX_FRAME_SIZE, 100)]), h2.PROTOCOL_ERROR),
        (GREETING + h2.frame(h2.PING, 0, 0, bytes(7)), h2.FRAME_SIZE_ERROR),
        (GREETING + h2.frame(h2.PING, 0, 1, bytes(8)), h2.PROTOCOL_ERROR),
        (GREETING + h2.frame(h2.GOAWAY, 0, 1, bytes(8)), h2.PROTOCOL_ERROR),
        (GREETING + h2.window_update(0, 0), h2.PROTOCOL_ERROR),
        (GREETING + h2.window_update(7, 1), h2.PROTOCOL_ERROR),  # idle
        (GREETING + h2.window_update(0, 2**31 - 1), h2.FLOW_CONTROL_ERROR),
        (GREETING + HOLD + h2.settings([(h2.INITIAL_WINDOW_SIZE, 0)]) + h2.window_update(1, 2**31 - 1)
         + h2.settings([(h2.INITIAL_WINDOW_SIZE, 2**30)]), h2.FLOW_CONTROL_ERROR),
        (GREETING + BEGUN + h2.frame(h2.CONTINUATION, 0, 1, b"") * 2000, h2.ENHANCE_YOUR_CALM),
        (GREETING + BEGUN + h2.frame(h2.CONTINUATION, 0, 1, bytes(16_000)) * 3, h2.ENHANCE_YOUR_CALM),
        (GREETING + h2.frame(h2.PING, 0, 0, bytes(8)) * 11_000, h2.ENHANCE_YOUR_CALM),
        (GREETING + h2.settings([]) * 11_000, h2.ENHANCE_YOUR_CALM),
        (GREETING + OPEN + h2.frame(h2.DATA, 0, 1, b"") * 11_000, h2.ENHANCE_YOUR_CALM),
        (GREETING + HOLD + h2.window_update(1, 1) * 11_000, h2.ENHANCE_YOUR_CALM),
        (GREETING + b"".join(h2.frame(h2.HEADERS, h2.END_HEADERS, number, BLOCK) + h2.reset(number, h2.CANCEL)
                             for number in range(1, 3001, 2)), h2.ENHANCE_YOUR_CALM),  # rapid reset
    ],
)  # fmt: skip
async def test_what_ends_the_connection(door: Door, sent: bytes, code: int):
    async with peer(door, greet=False) as client:
        client.writer.write(sent)
        frames = await _raw(client, lambda kind, *_: kind == h2.GOAWAY)
        assert int.from_bytes(frames[-1][3][4:8], "big") == code
    await until(lambda: not door.connections)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (WHOLE.replace(b"/echo", b"/hold") + h2.frame(h2.DATA, 0, 1, b"x"), h2.STREAM_CLOSED),
        (WHOLE.replace(b"/echo", b"/hold") + WHOLE, h2.STREAM_CLOSED),
        (OPEN + OPEN, h2.PROTOCOL_ERROR),  # headers again, and no end
        (OPEN + h2.window_update(1, 0), h2.PROTOCOL_ERROR),
        (OPEN + h2.window_update(1, 2**31 - 1), h2.FLOW_CONTROL_ERROR),
        (h2.frame(h2.HEADERS, h2.END_HEADERS, 1, h2.header_block([(b"x", b"y")])), h2.PROTOCOL_ERROR),  # no :path
    ],
)
async def test_what_ends_one_stream(door: Door, sent: bytes, code: int):
    async with peer(door, greet=False) as client:
        client.writer.write(GREETING + sent + h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 3, BLOCK))
        frames = await _raw(client, lambda _kind, _flags, number, _: number == 3)
        assert [h2.word(payload) for kind, _, _, payload in frames if kind == h2.RST_STREAM] == [code]
    assert all(connection.held_bytes == 0 for connection in door.connections)


async def test_more_data_than_the_window():
    """A service that acknowledges nothing: the stream's window of 1 MiB is all that may come."""

    class Deaf(EchoService):
        def open(self, stream: Stream, head: bytes) -> Echo:
            answer = super().open(stream, head)
            answer.received = lambda _: None
            return answer

    async with opened() as door:
        door.service = Deaf()
        async with peer(door, greet=False) as client:
            client.writer.write(GREETING + OPEN + h2.frame(h2.DATA, 0, 1, bytes(2**19)) * 3)
            frames = await _raw(client, lambda kind, *_: kind == h2.RST_STREAM)
            assert h2.word(frames[-1][3]) == h2.FLOW_CONTROL_ERROR


# ---- anything


@given(st.lists(st.integers(1, 40), max_size=30), st.data())
def test_frames_are_the_same_however_the_bytes_are_cut(cuts: list[int], data: st.DataObject):
    frames = data.draw(
        st.lists(
            st.tuples(st.integers(0, 20), st.integers(0, 255), st.integers(0, 2**31 - 1), st.binary(max_size=60)),
            max_size=6,
        )
    )
    sent = h2.PREFACE + b"".join(h2.frame(*frame) for frame in frames)
    reader = Frames()
    got = []
    for cut in [*cuts, len(sent)]:
        piece, sent = sent[:cut], sent[cut:]
        got += reader.feed(piece) if piece else []
    assert got == frames
    assert not reader.partial


@given(st.binary(max_size=40))
def test_other_beginnings_are_known_at_once(data: bytes):
    reader = Frames()
    if not h2.PREFACE.startswith(data[:24]) and not data.startswith(h2.PREFACE):
        with pytest.raises(NotHttp2):
            list(reader.feed(data))


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=5))
def test_any_header_block_is_read_or_ends_the_connection(blocks: list[bytes]):
    def read(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        assert all(type(name) is bytes and type(value) is bytes for name, value in headers)
        return headers

    reader = Headers(read, 4096)
    with contextlib.suppress(h2.ConnectionFault):
        for block in blocks:
            first = reader.decode(block)
            if block and block[0] & 0xC0 == 0x00:
                assert reader.decode(block) == first


async def test_any_frames_leave_the_door_standing(door: Door):
    """Bad peers one after another; then a good one."""
    import random

    chance = random.Random(7)
    kinds = [(GREETING, 1), (OPEN, 1), (WHOLE, 2), (h2.window_update(1, 9), 1), (h2.settings([(4, 9)]), 1), (HOLD, 1)]
    for _ in range(150):
        sent = bytearray(GREETING + b"".join(chance.choices([k for k, _ in kinds], [w for _, w in kinds], k=5)))
        for _ in range(chance.randrange(4)):
            sent[chance.randrange(24, len(sent))] = chance.randrange(256)
        async with peer(door, greet=False) as client:
            client.writer.write(bytes(sent))
            client.writer.write_eof()
            async with asyncio.timeout(10):
                while await client.reader.read(65536):
                    pass
    async with peer(door) as client:
        assert await client.ended(await client.ask(b"good")) == b"good"
    await until(lambda: not door.connections)
