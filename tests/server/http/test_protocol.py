"""The HTTP door as the network sees it: raw bytes to a real server, with the limits drawn tight."""

import contextlib
import json
import select
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.e2e.serving import Serving, eventually, write_model

BODY = b'{"id":"%d","inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[%d]}]}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("http")
    model = write_model(folder / "line.onnx", 0.5)
    settings = {
        "workers": 1, "grpc_port": -1, "max_body_bytes": 50_000, "max_decompressed_bytes": 100_000,
        "max_header_bytes": 4096, "receive_timeout_s": 1.0, "min_receive_rate": 500, "keep_alive_s": 2.0,
        "write_timeout_s": 2.0,
        "max_connections": 60,
    }  # fmt: skip
    with Serving(folder, model, **settings) as running:
        yield running.ready()


class Wire:
    """A connection that sends what it is told and reads whole HTTP answers."""

    def __init__(self, server: Serving) -> None:
        self.socket = socket.create_connection((server.host, server.port), timeout=20)
        self.buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = self._until(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        length = int(headers.get("content-length", 0))
        while len(self.buffer) < length:
            self._more()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return int(lines[0].split()[1]), headers, body

    def closed(self) -> bool:
        """Whether the server hangs up, now or within the time a timeout takes."""
        try:
            while chunk := self.socket.recv(65536):
                self.buffer += chunk
        except ConnectionError:
            pass
        return True

    def _until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            self._more()
        head, _, self.buffer = self.buffer.partition(mark)
        return head

    def _more(self) -> None:
        chunk = self.socket.recv(65536)
        if not chunk:
            raise ConnectionError(f"closed after {self.buffer!r}")
        self.buffer += chunk


@pytest.fixture
def wire(server: Serving) -> Iterator[Wire]:
    connection = Wire(server)
    yield connection
    connection.socket.close()


def post(body: bytes, path: str = "/v2/models/line/infer", *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


TO_LINE = b"POST /v2/models/line/infer HTTP/1.1\r\nHost: localhost\r\n"
GET = b"GET /v2/models/line HTTP/1.1\r\nHost: localhost\r\n\r\n"


def value(answer: tuple[int, dict[str, str], bytes]) -> tuple[str, float]:
    assert answer[0] == 200, answer
    document = json.loads(answer[2])
    return document["id"], document["outputs"][0]["data"][0]


def test_requests_follow_each_other_on_one_connection(wire: Wire) -> None:
    for number in range(20):
        wire.send(post(BODY % (number, number)))
        assert value(wire.answer()) == (str(number), 2 * number + 0.5)


def test_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    wire.send(b"".join(post(BODY % (number, number)) for number in range(300)))
    for number in range(300):
        assert value(wire.answer()) == (str(number), 2 * number + 0.5)


def test_inference_and_ordinary_routes_keep_their_order_when_pipelined(wire: Wire) -> None:
    wire.send(post(BODY % (1, 1)) + GET + post(BODY % (2, 2)) + GET + GET + post(BODY % (3, 3)))
    assert value(wire.answer())[0] == "1"
    assert json.loads(wire.answer()[2])["name"] == "line"
    assert value(wire.answer())[0] == "2"
    assert json.loads(wire.answer()[2])["name"] == "line"
    assert json.loads(wire.answer()[2])["name"] == "line"
    assert value(wire.answer())[0] == "3"


def test_bytes_may_come_one_by_one(wire: Wire) -> None:
    for byte in post(BODY % (7, 7)):
        wire.send(bytes([byte]))
    assert value(wire.answer()) == ("7", 14.5)


def test_chunked_bodies(wire: Wire) -> None:
    body = BODY % (5, 5)
    head = b"POST /v2/models/line/infer HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:10], body[10:11], body[11:]))
    wire.send(head + chunks + b"0\r\n\r\n" + post(BODY % (6, 6)))
    assert value(wire.answer()) == ("5", 10.5)
    assert value(wire.answer()) == ("6", 12.5)


@pytest.mark.parametrize("line", ["Connection: close", "close"])
def test_who_asks_to_close_is_closed_after_the_answer(wire: Wire, line: str) -> None:
    request = post(BODY % (1, 1), "/v2/models/line/infer", "Connection: close")
    wire.send(request if line != "close" else request.replace(b"HTTP/1.1", b"HTTP/1.0"))
    status, headers, _ = wire.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert wire.closed()


def test_expect_100_continue(wire: Wire) -> None:
    body = BODY % (1, 1)
    head = post(body, "/v2/models/line/infer", "Expect: 100-continue")[: -len(body)]
    wire.send(head)
    assert wire._until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
    wire.send(body)
    assert value(wire.answer()) == ("1", 2.5)


@pytest.mark.parametrize(("encoding", "window"), [("gzip", 31), ("deflate", 15)])
def test_compressed_bodies_and_answers(wire: Wire, encoding: str, window: int) -> None:
    rows = 4000
    data = b'{"inputs":[{"name":"x","shape":[%d,1],"datatype":"FP32","data":[%b]}]}' % (rows, b",".join([b"1"] * rows))
    packer = zlib.compressobj(wbits=window)
    packed = packer.compress(data) + packer.flush()
    wire.send(post(packed, "/v2/models/line/infer", f"Content-Encoding: {encoding}", f"Accept-Encoding: {encoding}"))
    status, headers, body = wire.answer()
    assert (status, headers["content-encoding"]) == (200, encoding)
    assert json.loads(zlib.decompress(body, window))["outputs"][0]["data"] == [2.5] * rows


def test_a_bomb_is_refused_and_the_server_goes_on(wire: Wire) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = packer.compress(b" " * 20_000_000) + packer.flush()
    wire.send(post(bomb, "/v2/models/line/infer", "Content-Encoding: gzip"))
    status, _, body = wire.answer()
    assert status == 413
    assert "100000 bytes" in json.loads(body)["error"]
    wire.send(post(BODY % (1, 1)))
    assert value(wire.answer()) == ("1", 2.5)


def test_an_unknown_encoding_names_those_that_are_known(wire: Wire) -> None:
    wire.send(post(b"x", "/v2/models/line/infer", "Content-Encoding: br"))
    status, headers, _ = wire.answer()
    assert (status, headers["accept-encoding"]) == (501, "gzip, deflate")


@pytest.mark.parametrize("path", ["/v2/models/line/infer", "/v2/repository/index"])
def test_declared_length_past_the_limit_is_refused_before_it_comes(wire: Wire, path: str) -> None:
    wire.send(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000000\r\n\r\n".encode())
    status, headers, body = wire.answer()
    assert (status, headers["connection"]) == (413, "close")
    assert "50000 bytes" in json.loads(body)["error"]
    assert wire.closed()


@pytest.mark.parametrize("path", ["/v2/models/line/infer", "/v2/repository/index"])
def test_an_endless_chunked_body_is_cut_at_the_limit(wire: Wire, path: str) -> None:
    wire.send(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
    try:
        for _ in range(100):
            wire.send(chunk)
    except ConnectionError:
        pass
    with contextlib.suppress(ConnectionError):  # the refusal may be lost with the connection that we kept writing to
        assert wire.answer()[0] == 413
    assert wire.closed()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /v2/models/line/infer HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 5000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 2000 + b"\r\n", 431),
        (
            TO_LINE + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            TO_LINE + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}}",
            400,
        ),
        (b"POST /v2/models/line/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: -2\r\n\r\n{}", 400),
        (b"POST /v2/models/line/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: two\r\n\r\n{}", 400),
        (b"POST /v2/models/line/infer HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n folded: yes\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /v2/health/live HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (post(BODY % (1, 1)).replace(b"localhost", b"evil.example:80"), 403),
    ],
)
def test_what_is_not_as_it_should_be_is_refused_and_closed(wire: Wire, request_: bytes, status: int) -> None:
    wire.send(request_)
    told, headers, body = wire.answer()
    assert (told, headers["connection"]) == (status, "close")
    assert json.loads(body)["error"]
    assert wire.closed()


def test_wrong_lengths_of_the_json_part(wire: Wire) -> None:
    body = BODY % (1, 1)
    for length in ("NaN", "-1", "99999999999999999999", str(len(body) + 1)):
        wire.send(post(body, "/v2/models/line/infer", f"Inference-Header-Content-Length: {length}"))
        status, _, told = wire.answer()
        assert status == 400
        assert "Inference-Header-Content-Length" in json.loads(told)["error"]


def test_errors_name_what_was_expected_and_leave_the_connection_open(wire: Wire) -> None:
    wire.send(post(b'{"inputs":[{"name":"z","shape":[1,1],"datatype":"FP32","data":[1]}]}'))
    status, headers, body = wire.answer()
    told = json.loads(body)
    assert (status, told["code"], "connection" in headers) == (400, "invalid_input", False)
    wire.send(post(json.dumps(told["example"]).encode()))
    assert wire.answer()[0] == 200
    wire.send(post(b"{}", "/v2/models/lime/infer"))
    status, _, body = wire.answer()
    assert status == 404
    assert "did you mean 'line'" in json.loads(body)["error"]
    wire.send(post(b"{}", "/v2/models/line/versions/9/infer"))
    assert wire.answer()[0] == 404
    wire.send(post(BODY % (3, 3), "/v2/models/line/versions/1/infer"))
    assert value(wire.answer()) == ("3", 6.5)


def test_a_deadline_in_the_header(wire: Wire) -> None:
    wire.send(post(BODY % (3, 3), "/v2/models/line/infer", "X-Request-Timeout-Ms: 0"))
    assert wire.answer()[0] == 504
    wire.send(post(BODY % (3, 3), "/v2/models/line/infer", "X-Request-Timeout-Ms: soon"))
    assert wire.answer()[0] == 400
    wire.send(post(BODY % (3, 3), "/v2/models/line/infer", "X-Request-Timeout-Ms: 5000"))
    assert wire.answer()[0] == 200


def test_an_id_in_the_header_comes_back(wire: Wire) -> None:
    wire.send(
        post(
            b'{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[1]}]}',
            "/v2/models/line/infer",
            "X-Request-Id: r-1",
        )
    )
    assert value(wire.answer())[0] == "r-1"


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"POST /v2/models/line/infer HTTP/1.1\r\nHost: loc",
        b"POST /v2/models/line/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
        b"POST /v2/repository/index HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
    ],
)
def test_who_sends_too_slowly_is_closed_and_others_are_not_held_up(server: Serving, start: bytes) -> None:
    slow = [Wire(server) for _ in range(10)]
    for connection in slow:
        connection.send(start)
    other = Wire(server)
    other.send(post(BODY % (1, 1)))
    assert value(other.answer()) == ("1", 2.5)
    for connection in slow:
        assert connection.closed()
        connection.socket.close()
    other.socket.close()


def test_a_trickle_is_too_slow_as_well(server: Serving) -> None:
    with Wire(server) as connection:
        connection.send(
            b"POST /v2/models/line/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n".replace(
                b"100000", b"40000"
            )
        )
        started = time.monotonic()
        while time.monotonic() - started < 15:
            try:
                connection.send(b" ")
            except ConnectionError:
                break
            if select.select([connection.socket], [], [], 0.1)[0]:
                break
        assert connection.answer()[0] == 408
        assert connection.closed()


def test_who_does_not_read_is_closed(server: Serving) -> None:
    with Wire(server) as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        rows = 4000
        request = post(
            b'{"inputs":[{"name":"x","shape":[%d,1],"datatype":"FP32","data":[%b]}]}'
            % (rows, b",".join([b"1.5"] * rows))
        )
        connection.socket.settimeout(0.2)
        try:
            for _ in range(3000):
                connection.send(request)
        except (TimeoutError, ConnectionError):
            pass
        connection.socket.settimeout(20)

        def reset() -> bool:
            try:
                connection.socket.send(b" ")
            except ConnectionError:
                return True
            except (TimeoutError, BlockingIOError):
                return False
            return False

        connection.socket.setblocking(False)
        eventually(reset, "the server to give up on a client that does not read")


def test_connections_past_the_limit_are_told_so(server: Serving) -> None:
    held = []
    told = None
    try:
        for _ in range(80):
            connection = Wire(server)
            held.append(connection)
            if select.select([connection.socket], [], [], 0.02)[0]:
                told = connection.answer()
                break
        assert told is not None
        assert told[0] == 503
    finally:
        for connection in held:
            connection.socket.close()
    eventually(lambda: server.ask("GET", "/v2/health/ready")[0] == 200, "room for new connections")


def test_a_reset_in_the_middle_leaves_the_server_well(server: Serving) -> None:
    for cut in (10, 80, 120):
        connection = Wire(server)
        connection.send(post(BODY % (1, 1))[:cut])
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.socket.close()
    status, _ = server.ask("GET", "/v2/health/ready")
    assert status == 200


def test_many_connections_at_once_each_get_their_own_answers(server: Serving) -> None:
    wrong: list[object] = []

    def caller(who: int) -> None:
        connection = Wire(server)
        for number in range(50):
            mine = who * 1000 + number
            connection.send(post(BODY % (mine, mine)))
            got = value(connection.answer())
            if got != (str(mine), 2 * mine + 0.5):
                wrong.append((mine, got))
        connection.socket.close()

    threads = [threading.Thread(target=caller, args=(who,)) for who in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_records_reach_a_file(tmp_path: Path) -> None:
    model = write_model(tmp_path / "line.onnx", 0.5)
    records = tmp_path / "records.jsonl"
    with Serving(tmp_path, model, workers=1, grpc_port=-1, record_file=records) as running:
        with Wire(running.ready()) as connection:
            for number in range(3):
                connection.send(post(BODY % (number, number)))
                assert value(connection.answer())[0] == str(number)
            connection.send(post(BODY % (9, 9), "/v2/models/line/infer", "X-Request-Timeout-Ms: 0"))
            assert connection.answer()[0] == 504
        eventually(lambda: records.exists() and len(records.read_text().splitlines()) == 4, "four records")
        lines = [json.loads(line) for line in records.read_text().splitlines()]
        assert [line["id"] for line in lines] == ["0", "1", "2", "9"]
        assert lines[1]["outputs"]["y"] == [[2.5]]
        assert (lines[1]["model"], lines[1]["version"], lines[1]["error"]) == ("line", "1", "")
        assert lines[3]["error"] == "deadline_exceeded"
        assert (records.stat().st_mode & 0o777) == 0o600


def test_heads_that_repeat_are_not_parsed_again_and_nothing_else_changes(wire: Wire) -> None:
    """The same head with bodies whole, cut, too long, chunked and wrong: each answered as if it were the first."""
    good = post(BODY % (1, 1))
    end = good.index(b"\r\n\r\n") + 4
    for _ in range(3):
        wire.send(good)
        assert value(wire.answer()) == ("1", 2.5)
    wire.send(good[: end + 5])
    wire.send(good[end + 5 :])
    assert value(wire.answer()) == ("1", 2.5)
    wire.send(good[:end])
    wire.send(good[end:])
    assert value(wire.answer()) == ("1", 2.5)
    wire.send(good + good[:20])
    assert value(wire.answer()) == ("1", 2.5)
    wire.send(good[20:] + GET + good)
    assert value(wire.answer()) == ("1", 2.5)
    assert json.loads(wire.answer()[2])["name"] == "line"
    assert value(wire.answer()) == ("1", 2.5)
    wrong = good[:end] + good[end:].replace(b"inputs", b"output")
    wire.send(wrong)
    assert wire.answer()[0] == 400
    wire.send(good)
    assert value(wire.answer()) == ("1", 2.5)
    wire.send(good + b"nonsense")
    assert value(wire.answer()) == ("1", 2.5)
    assert wire.answer()[0] == 400
    assert wire.closed()
