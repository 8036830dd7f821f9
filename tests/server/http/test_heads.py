"""Remembered heads: found where a request is the same up to its body, and nowhere else."""

import pytest

from servable.server.http.heads import KNOWN_HEADS, Head, Heads
from servable.server.http.infer import NOTHING

START = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n\r\n"
HEAD = Head("m", None, NOTHING, 4)


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (START + b"abcd", b"abcd"),
        (START + b"abc", None),
        (START + b"abcde", None),
        (START[:-1], None),
        (START.replace(b"here", b"there") + b"abcd", None),
        (b"", None),
    ],
)
def test_a_head_is_found_with_its_whole_body(data: bytes, body: bytes | None) -> None:
    heads = Heads()
    heads.remember(START + b"wxyz", HEAD)
    assert heads.find(data) == (None if body is None else (HEAD, body))


def test_what_came_in_pieces_or_with_more_is_not_remembered() -> None:
    for data in (START, START + b"abc", START + b"abcdPOST /", b"", START.replace(b"here", b"h" * 4096) + b"abcd"):
        heads = Heads()
        heads.remember(data, HEAD)
        assert heads.find(data) is None


def test_memory_is_bounded() -> None:
    heads = Heads()
    for number in range(KNOWN_HEADS + 1):
        heads.remember(START.replace(b"here", b"%d" % number) + b"abcd", HEAD)
    assert heads.find(START.replace(b"here", b"0") + b"abcd") is None
    assert heads.find(START.replace(b"here", b"%d" % KNOWN_HEADS) + b"abcd") is not None


@pytest.mark.parametrize(
    ("url", "route"),
    [
        (b"/v2/models/m/infer", ("m", None)),
        (b"/v2/models/m/versions/3/infer", ("m", "3")),
        (b"/v2/models/m/versions/best/infer", ("m", "best")),
        (b"/v2/models/m", None),
        (b"/v2/models/m/infer?x=1", None),
        (b"/v2/models/-m/infer", None),
        (b"/v2/models/" + b"m" * 200 + b"/infer", None),
    ],
)
def test_routes(url: bytes, route: tuple[str, str | None] | None) -> None:
    heads = Heads()
    assert heads.route(url) == heads.route(url) == route
