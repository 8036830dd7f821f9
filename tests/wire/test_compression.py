"""Compressed bodies: what comes back, what is refused, and that a bomb costs no more than the limit."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servable.errors import InvalidInput, TooLarge, Unsupported
from servable.wire.compression import choose, compress, decompress

MIB = 1024 * 1024


@given(st.binary(max_size=4096), st.sampled_from(["gzip", "deflate"]))
def test_what_is_packed_comes_back(body: bytes, encoding: str) -> None:
    assert decompress(compress(body, encoding), encoding, 4096) == body


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_no_encoding_leaves_the_body_alone(encoding: str) -> None:
    assert decompress(b"as it is", encoding, 1) == b"as it is"


def test_other_writers_are_read() -> None:
    raw = zlib.compressobj(wbits=-15)
    assert decompress(gzip.compress(b"one") + gzip.compress(b" two"), "GZip", 100) == b"one two"
    assert decompress(gzip.compress(b"one"), "x-gzip", 100) == b"one"
    assert decompress(zlib.compress(b"one"), "deflate", 100) == b"one"
    assert decompress(raw.compress(b"one") + raw.flush(), "deflate", 100) == b"one"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_refused_within_the_limit(encoding: str) -> None:
    bomb = compress(bytes(256 * MIB), encoding)
    assert len(bomb) < 2 * MIB
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge) as refused:
            decompress(bomb, encoding, MIB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.status == 413
    assert refused.value.detail == {"limit_bytes": MIB}
    assert peak < 8 * MIB


def test_a_bomb_in_many_members_is_refused() -> None:
    with pytest.raises(TooLarge):
        decompress(gzip.compress(bytes(MIB)) * 10, "gzip", 5 * MIB)
    with pytest.raises(InvalidInput, match="more bytes"):
        decompress(gzip.compress(b"") * 100_000, "gzip", MIB)


def test_the_limit_is_the_last_size_taken() -> None:
    packed = compress(bytes(1000), "gzip")
    assert len(decompress(packed, "gzip", 1000)) == 1000
    with pytest.raises(TooLarge):
        decompress(packed, "gzip", 999)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@given(body=st.binary(max_size=200))
def test_noise_is_a_clear_error(encoding: str, body: bytes) -> None:
    # Nothing but these two may come of it; a body that happens to be well-formed is taken.
    with suppress(InvalidInput, TooLarge):
        assert isinstance(decompress(body, encoding, 1000), bytes)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_cut_body_is_a_clear_error(encoding: str) -> None:
    packed = compress(b"a body of some length " * 20, encoding)
    for length in range(len(packed)):
        with pytest.raises(InvalidInput):
            decompress(packed[:length], encoding, 10_000)
    with pytest.raises(InvalidInput, match=r"more bytes|not valid"):
        decompress(packed + b"tail", encoding, 10_000)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress", "x" * 5000])
def test_another_encoding_is_unsupported_and_says_what_is(encoding: str) -> None:
    with pytest.raises(Unsupported) as refused:
        decompress(b"x", encoding, 100)
    assert refused.value.status == 501
    assert refused.value.detail["accept_encoding"] == "gzip, deflate"
    assert len(refused.value.message) < 200


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", ""),
        ("gzip", "gzip"),
        ("GZIP, deflate, br", "gzip"),
        ("deflate", "deflate"),
        ("deflate;q=0.9, gzip;q=0.1", "deflate"),
        ("*", "gzip"),
        ("*;q=0", ""),
        ("gzip;q=0, *", "deflate"),
        ("identity", ""),
        ("gzip;q=nonsense", ""),
        ("br;q=1.0, gzip; q=0.5", "gzip"),
        ("gzip;q=nan", ""),
    ],
)
def test_the_answer_is_in_what_the_client_takes(header: str, expected: str) -> None:
    assert choose(header) == expected
